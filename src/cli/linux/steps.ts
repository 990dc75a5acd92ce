/**
 * What the guest does with a disk. The command shows these steps and the tests assert them: a
 * step returns one line about what it saw, and throws when that is not as it should be.
 */

import type { V86Blk } from '../../adapter/v86.ts';
import { clustersOf, type Disks, diskSha256 } from './disks.ts';
import type { Guest } from './guest.ts';

/** A guest with a disk, and the host's view of that disk. */
export interface Scene {
  readonly guest: Guest;
  /** The disk's name in the guest: `vda`, `sda`. */
  readonly disk: string;
  /** Files of 1 MiB to put on the disk, which is at least half as large again. Default: 10. */
  readonly files?: number;
  /** SHA-256 of the whole disk as the host reads it, in hexadecimal. */
  hostSha256(): string | Promise<string>;
}

export interface Step<S = Scene> {
  readonly title: string;
  run(scene: S): Promise<string>;
}

/** A guest with disks of ours, one of which is read-only. */
export interface DeviceScene extends Scene {
  readonly disks: Disks;
  /** The read-only one's name in the guest. */
  readonly readOnlyDisk: string;
}

/** The scene that the guest and `disks` make, which it calls by `names`. */
export function deviceScene(
  guest: Guest,
  disks: Disks,
  [disk, readOnlyDisk]: readonly [string, string] = ['vda', 'vdb'],
): DeviceScene {
  const hostSha256 = () => diskSha256(disks.writable.backend);
  return { guest, disk, hostSha256, disks, readOnlyDisk };
}

const FILES = 10;
const MOUNT = '/mnt';
const SUMS = '/tmp/sha256sums';

/** A file system made, filled, remounted and read back; leaves it unmounted. */
export const FILE_SYSTEM_STEPS: readonly Step[] = [
  {
    title: 'makes a file system and mounts it',
    async run({ guest, disk }) {
      await guest.ask('load ext4');
      await guest.ask(`mke2fs -F -b 4096 /dev/${disk}`);
      await guest.ask(`mount -t ext4 /dev/${disk} ${MOUNT}`);
      return guest.ask(`df -h ${MOUNT} | tail -1`);
    },
  },
  {
    title: 'writes files of random bytes',
    async run({ guest, files = FILES }) {
      const write = `dd if=/dev/urandom of=${MOUNT}/file$n bs=64k count=16 2>/dev/null`;
      await guest.ask(`for n in $(seq ${files}); do ${write} || exit 1; done; sync`);
      await guest.ask(`sha256sum ${MOUNT}/file* >${SUMS}`);
      const sum = "awk '{ bytes += $5 } END { print bytes }'";
      const bytes = await guest.ask(`ls -l ${MOUNT}/file* | ${sum}`);
      if (Number(bytes) !== files << 20) throw new Error(`the files have ${bytes} bytes`);
      return `${bytes} bytes in ${files} files`;
    },
  },
  {
    title: 'finds them unchanged after a remount',
    async run({ guest, disk, files = FILES }) {
      // Unmounting drops the cached pages, so that what is checked comes from the disk.
      await guest.ask(`umount ${MOUNT} && mount -t ext4 /dev/${disk} ${MOUNT}`);
      const report = await guest.ask(`sha256sum -c ${SUMS}`);
      const unchanged = report.match(/: OK$/gm)?.length ?? 0;
      if (unchanged !== files) throw new Error(report);
      return `${unchanged} SHA-256 sums agree`;
    },
  },
  {
    title: 'reads the whole disk as the host does',
    async run({ guest, disk, hostSha256 }) {
      await guest.ask(`umount ${MOUNT}`);
      return wholeDisk(guest, disk, hostSha256);
    },
  },
];

/** Compares the guest's and the host's SHA-256 of the whole disk, and returns it. */
export async function wholeDisk(
  guest: Guest,
  disk: string,
  hostSha256: Scene['hostSha256'],
): Promise<string> {
  const [seen] = (await guest.ask(`sha256sum /dev/${disk}`)).split(' ');
  const held = await hostSha256();
  if (seen !== held) throw new Error(`the guest reads a disk of ${seen}, the host ${held}`);
  return `SHA-256 ${seen}`;
}

/** What else a disk of ours does: discard, read-only, drivers that come and go. */
export const DEVICE_STEPS: readonly Step<DeviceScene>[] = [
  {
    title: 'loses its driver and gets it back',
    async run({ guest, disk, hostSha256 }) {
      const drivers = '/sys/bus/virtio/drivers/virtio_blk';
      const name = await guest.ask(`basename $(readlink /sys/block/${disk}/device)`);
      await guest.ask(`echo ${name} >${drivers}/unbind`);
      if ((await guest.run(`[ -e /sys/block/${disk} ]`)).status === 0)
        throw new Error('still there');
      await guest.ask(`echo ${name} >${drivers}/bind`);
      return wholeDisk(guest, disk, hostSha256);
    },
  },
  {
    title: 'is removed from the bus and found again',
    async run({ guest, disk, hostSha256, disks }) {
      const folder = functionFolder(disks.writable);
      await guest.ask(`echo 1 >${folder}/remove`);
      if ((await guest.run(`[ -e ${folder} ]`)).status === 0) throw new Error('still there');
      await guest.ask('echo 1 >/sys/bus/pci/rescan');
      return wholeDisk(guest, disk, hostSha256);
    },
  },
  {
    title: 'discards, and the host gets its memory back if one thread serves',
    async run({ guest, disk, hostSha256, disks }) {
      const before = clustersOf(disks.writable.backend);
      await guest.ask(`blkdiscard /dev/${disk}`);
      const after = clustersOf(disks.writable.backend);
      // With several threads inside a memory disk, no cluster can be freed: discard does nothing.
      const left = disks.threaded ? before : 0;
      if (before === 0 || after !== left) throw new Error(`${before} clusters, then ${after}`);
      await wholeDisk(guest, disk, hostSha256);
      return `${before} clusters of 64 KiB, then ${after}`;
    },
  },
  {
    title: 'refuses writes to a read-only disk',
    async run({ guest, disks, readOnlyDisk: name }) {
      const flag = await guest.ask(`cat /sys/block/${name}/ro`);
      const write = `dd if=/dev/zero of=/dev/${name} bs=4096 count=1 conv=notrunc oflag=direct`;
      const { status, output } = await guest.run(write);
      if (flag !== '1' || status === 0) throw new Error(`ro is ${flag}, dd ended with ${status}`);
      await wholeDisk(guest, name, () => diskSha256(disks.readOnly.backend));
      return /^dd: .*$/m.exec(output)?.[0] ?? output.trim();
    },
  },
];

/** The disk's PCI function in the guest's sysfs. */
export function functionFolder({ slot }: V86Blk): string {
  return `/sys/bus/pci/devices/0000:00:${slot.toString(16).padStart(2, '0')}.0`;
}
