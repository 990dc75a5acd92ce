/**
 * The guest's root file system: busybox, kernel modules, our benchmark, and an /init that loads
 * the modules and serves commands on the serial port.
 */

import { type CpioEntry, packCpio } from './cpio.ts';
import { odirectProgram } from './odirect.ts';

/** The line that /init prints when the shell is ready for commands. */
export const READY = 'guest: ready';

/** `RUN number`: runs the lines sent before it; answers with output and `DONE number status`. */
export const RUN = 'guest: run';
export const DONE = 'guest: done';

/**
 * A word of the kernel's command line, which hands it on to /init: the drivers of v86's own disks
 * are loaded. Nobody else waits for them.
 */
const ATA = 'guest_ata';
export const WITH_ATA = `${ATA}=yes`;

/**
 * Modules that are loaded together, by the guest's command `load GROUP`; again, it does nothing.
 * /init loads `virtio`, `scsi` if there is a virtio-scsi host, and for v86's own disks `scsi` and
 * `ata`. Whoever uses another group loads it: ext4 takes a tenth of a boot.
 */
export type ModuleGroup = 'virtio' | 'scsi' | 'ata' | 'ext4';

/** A kernel module as Debian ships it (`virtio_blk.ko`), in the order in which to load them. */
export interface KernelModule {
  readonly group: ModuleGroup;
  readonly name: string;
  readonly data: Uint8Array;
}

export interface InitramfsParts {
  /** A static busybox for the guest's processor. */
  readonly busybox: Uint8Array;
  readonly modules: readonly KernelModule[];
}

/** PCI device ids as sysfs writes them (VIRTIO 1.3, 4.1.2). */
const VIRTIO_SCSI = '0x1048';
const VIRTIO_SCSI_TRANSITIONAL = '0x1004';

// Commands come over the serial port without echo or line editing, so that what goes back is
// output and nothing else. Kernel messages would mix with it: once booted, only emergencies are
// printed, and dmesg has the rest. Each command gets a shell of its own, so it may exit.
// Debian's busybox runs its applets without links to them, which would take a while to make.
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt /tmp
/bin/busybox mount -t proc proc /proc
ls / >/dev/null 2>&1 || /bin/busybox --install -s /bin
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
load virtio
case "$(cat /sys/bus/pci/devices/*/device)" in
  *${VIRTIO_SCSI}* | *${VIRTIO_SCSI_TRANSITIONAL}*) load scsi ;;
esac
[ "$${ATA}" ] && load scsi && load ata
dmesg -n 1
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty raw -echo
cd /
echo "${READY}"
while IFS= read -r line; do
  case "$line" in
    "${RUN} "*)
      sh /tmp/command </dev/null 2>&1
      status=$?
      printf '\\n${DONE} %s %s\\n' "\${line##* }" $status
      : >/tmp/command
      ;;
    *)
      printf '%s\\n' "$line" >>/tmp/command
      ;;
  esac
done
`;

const LOAD = `#!/bin/busybox sh
[ -e "/tmp/$1.loaded" ] && exit 0
for module in "/lib/modules/$1"/*.ko; do
  insmod "$module" || { echo "guest: $module does not load"; exit 1; }
done
: >"/tmp/$1.loaded"
`;

/**
 * The archive to pass as initrd. It is not compressed: in an emulator the kernel's inflate takes
 * longer than the bytes it saves.
 */
export function buildInitramfs(parts: InitramfsParts): Uint8Array<ArrayBuffer> {
  const entries: CpioEntry[] = [
    ...['bin', 'dev', 'lib', 'lib/modules'].map(directory),
    // The kernel opens this for /init before anything is mounted on /dev.
    { path: 'dev/console', kind: 'character-device', major: 5, minor: 1 },
    { path: 'init', kind: 'file', data: new TextEncoder().encode(INIT), executable: true },
    { path: 'bin/load', kind: 'file', data: new TextEncoder().encode(LOAD), executable: true },
    { path: 'bin/busybox', kind: 'file', data: parts.busybox, executable: true },
    { path: 'bin/odirect', kind: 'file', data: odirectProgram(), executable: true },
  ];
  const groups = new Set(parts.modules.map(({ group }) => group));
  entries.push(...Array.from(groups, (group) => directory(`lib/modules/${group}`)));
  for (const [index, module] of parts.modules.entries()) {
    const order = String(index).padStart(2, '0');
    const path = `lib/modules/${module.group}/${order}-${module.name}`;
    entries.push({ path, kind: 'file', data: withoutSignature(module.data) });
  }
  return packCpio(entries);
}

function directory(path: string): CpioEntry {
  return { path, kind: 'directory' };
}

const SIGNATURE_MARKER = new TextEncoder().encode('~Module signature appended~\n');
/** `struct module_signature`: five bytes, three of padding, and the signature's length (u32be). */
const SIGNATURE_INFO_BYTES = 12;

/**
 * A module without the signature behind it. Debian's kernel takes unsigned modules, and to check
 * a signature takes a guest some 50 ms.
 */
export function withoutSignature(module: Uint8Array): Uint8Array {
  const markerAt = module.length - SIGNATURE_MARKER.length;
  const infoAt = markerAt - SIGNATURE_INFO_BYTES;
  if (infoAt < 0 || SIGNATURE_MARKER.some((byte, n) => module[markerAt + n] !== byte)) {
    return module;
  }
  const view = new DataView(module.buffer, module.byteOffset, module.byteLength);
  const signatureBytes = view.getUint32(markerAt - 4);
  if (signatureBytes > infoAt) throw new Error('the module signature is longer than the module');
  return module.subarray(0, infoAt - signatureBytes);
}
