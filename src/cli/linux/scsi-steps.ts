/** What the guest does with the disks of a virtio-scsi host, which come and go. As `steps.ts`. */

import { attachVirtioScsi, type V86Scsi } from '../../adapter/v86.ts';
import type { LogicalUnit } from '../../scsi/logical-unit.ts';
import { diskSha256 } from './disks.ts';
import type { Guest } from './guest.ts';
import { burn, memoryDisk, type ScsiDisks } from './scsi-disks.ts';
import { type Scene, type Step, wholeDisk } from './steps.ts';

/** A guest with a virtio-scsi host of ours. */
export interface ScsiScene extends Scene {
  readonly disks: ScsiDisks;
}

const SECTOR = 512;
const MIB = 1 << 20;
/** More than is written before it goes. */
const LONG_BYTES = 64 * MIB;
const WRITE_BYTES = 65_536;
const SOME_WRITES = 20;
/** Rounds of a host that is plugged and unplugged. */
const HOST_ROUNDS = 2;
/** Tenths of a second. */
const PATIENCE = 600;

/** The scene that the guest and `disks` make, as soon as the guest has found them all. */
export async function scsiScene(guest: Guest, disks: ScsiDisks): Promise<ScsiScene> {
  const { host, disk, small, cd } = disks;
  for (const unit of [small, cd]) await nameOf(guest, host, unit);
  const name = await nameOf(guest, host, disk);
  return { guest, disk: name, hostSha256: () => diskSha256(disk.backend), disks };
}

/** What the guest calls a unit, `sda`, once it has found it. */
export async function nameOf(guest: Guest, host: V86Scsi, unit: LogicalUnit): Promise<string> {
  const folder = `${folderOf(host, unit)}/block`;
  await until(guest, `[ -e ${folder}/* ]`);
  return guest.ask(`basename ${folder}/*`);
}

/** Waits until the guest has let go of a unit. */
export async function departed(guest: Guest, host: V86Scsi, unit: LogicalUnit): Promise<void> {
  await until(guest, `[ ! -e ${folderOf(host, unit)} ]`);
}

/** Waits until the guest has let go of a host. */
export async function hostDeparted(guest: Guest, host: V86Scsi): Promise<void> {
  await until(guest, `[ ! -e ${functionOf(host)} ]`);
}

function functionOf({ slot }: V86Scsi): string {
  return `/sys/bus/pci/devices/0000:00:${slot.toString(16).padStart(2, '0')}.0`;
}

function folderOf(host: V86Scsi, { config: { scsiId, lun } }: LogicalUnit): string {
  return `${functionOf(host)}/virtio*/host*/target*/*:0:${scsiId}:${lun}`;
}

async function until(guest: Guest, condition: string): Promise<void> {
  const look = `${condition} && exit 0; sleep 0.1`;
  await guest.ask(`for i in $(seq ${PATIENCE}); do ${look}; done; exit 1`, 200 * PATIENCE);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/**
 * Linux's virtio_scsi makes the work item of an event anew while its own `remove` cancels it, which
 * the kernel remarks on, once: its affair.
 */
const KNOWN_RACE = 'workqueue.c:[0-9]* __cancel_work_timer';

/** Throws if the kernel complains of anything but failed I/O. */
export async function noOops(guest: Guest): Promise<void> {
  const bad = 'Oops|BUG:|WARNING:|protection fault|hung task|nobody cared';
  const found = await guest.ask(`dmesg | grep -E '${bad}' | grep -v '${KNOWN_RACE}' || true`);
  if (found !== '') throw new Error(`the kernel complains: ${found}`);
}

/** Random bytes to all of a disk, and back from the disk itself. */
async function writeAndVerify(guest: Guest, name: string, { backend }: LogicalUnit) {
  await guest.ask(`dd if=/dev/urandom of=/dev/${name} bs=64k conv=fsync 2>/dev/null; true`);
  await guest.ask('echo 3 >/proc/sys/vm/drop_caches');
  return wholeDisk(guest, name, () => diskSha256(backend));
}

async function plugAndUse({ guest, disks: { host } }: ScsiScene): Promise<LogicalUnit> {
  const unit = await host.plug({ disk: memoryDisk(), 'scsi-id': 1, lun: 0 });
  await writeAndVerify(guest, await nameOf(guest, host, unit), unit);
  return unit;
}

export const SCSI_STEPS: readonly Step<ScsiScene>[] = [
  {
    title: 'SC-8 SC-10 finds the LUNs of each target, and none in between',
    async run({ guest, disks }) {
      const names: string[] = [];
      for (const unit of [disks.disk, disks.small, disks.cd]) {
        const name = await nameOf(guest, disks.host, unit);
        const { size } = unit.backend;
        const seen = Number(await guest.ask(`cat /sys/block/${name}/size`)) * SECTOR;
        if (seen !== size) throw new Error(`${name} has ${seen} bytes, not ${size}`);
        names.push(name);
      }
      const folders = `${functionOf(disks.host)}/virtio*/host*/target*/*:0:*:*`;
      const all = await guest.ask(`ls -d ${folders} | wc -l`);
      if (Number(all) !== names.length) throw new Error(`the guest has found ${all} units`);
      return names.join(' ');
    },
  },
  {
    title: 'SD-11 reads a CD, and can write nothing to it',
    async run({ guest, disks: { host, cd } }) {
      const name = await nameOf(guest, host, cd);
      await wholeDisk(guest, name, () => diskSha256(cd.backend));
      const write = `dd if=/dev/zero of=/dev/${name} bs=2048 count=1 conv=notrunc`;
      const { status, output } = await guest.run(write);
      if (status === 0) throw new Error(`dd has written to ${name}`);
      await wholeDisk(guest, name, () => diskSha256(cd.backend));
      return /^dd: .*$/m.exec(output)?.[0] ?? output.trim();
    },
  },
  {
    title: 'SD-11 notices that the CD is gone, and reads the one that is put in',
    async run({ guest, disks: { host, cd } }) {
      const name = await nameOf(guest, host, cd);
      const before = await diskSha256(cd.backend);
      await cd.backend.removeMedium();
      const { status } = await guest.run(`dd if=/dev/${name} of=/dev/null bs=2048 count=1`);
      if (status === 0) throw new Error('the guest reads from an empty drive');
      await cd.backend.insertMedium(memoryDisk());
      await burn(cd.backend, 1);
      const after = await wholeDisk(guest, name, () => diskSha256(cd.backend));
      if (after.endsWith(before)) throw new Error('the CD is the same as before');
      return after;
    },
  },
  {
    title: 'SD-16 sees a disk grow, and uses what is new',
    async run({ guest, disks: { host, small } }) {
      const name = await nameOf(guest, host, small);
      const size = small.backend.size + 2 * MIB;
      await small.backend.resize(size);
      await until(guest, `[ $(cat /sys/block/${name}/size) = ${size / SECTOR} ]`);
      await writeAndVerify(guest, name, small);
      return `${size / MIB} MiB`;
    },
  },
  {
    title: 'SC-17 finds a disk that is plugged in, and lets go of one that is unplugged',
    async run(scene) {
      const { guest, disks } = scene;
      const { host } = disks;
      const before = host.core.allocatedBytes;
      const names: string[] = [];
      for (let round = 0; round < 2; round++) {
        const unit = await plugAndUse(scene);
        names.push(await nameOf(guest, host, unit));
        await host.unplug(unit);
        await departed(guest, host, unit);
      }
      const left = host.core.allocatedBytes - before;
      if (left !== 0) throw new Error(`${left} bytes of the core are left behind`);
      await noOops(guest);
      return `twice, as ${names.join(' and ')}`;
    },
  },
  {
    title: 'SC-17 a disk goes while it is written to: its writers fail, and nothing else does',
    async run({ guest, disks, disk, hostSha256 }) {
      const unit = await disks.host.plug({ disk: memoryDisk(LONG_BYTES), 'scsi-id': 1, lun: 0 });
      const name = await nameOf(guest, disks.host, unit);
      const write = `dd if=/dev/zero of=/dev/${name} bs=${WRITE_BYTES} oflag=direct conv=notrunc`;
      const writers = `${write} & ${write} & wait; echo writers ended`;
      await guest.ask(`(${writers}) >/tmp/writers 2>&1 </dev/null &`);
      while (unit.backend.stats().write.operations < SOME_WRITES) await pause();
      await disks.host.unplug(unit);
      await departed(guest, disks.host, unit);
      await until(guest, 'grep -q "writers ended" /tmp/writers');
      await noOops(guest);
      await wholeDisk(guest, disk, hostSha256);
      const said = await guest.ask('cat /tmp/writers');
      const records = [...said.matchAll(/^(\d+)\+\d+ records out/gm)].map((match) =>
        Number(match[1]),
      );
      const whole = records.some((count) => count * WRITE_BYTES >= LONG_BYTES);
      const late = said.match(/^dd: can't open /gm)?.length ?? 0;
      if (whole || records.length + late !== 2) throw new Error(`one was done before: ${said}`);
      const error = /^dd: error writing.*$/m.exec(said);
      if (!error) throw new Error(`the writers have seen no error: ${said}`);
      return error[0];
    },
  },
  {
    title: 'SC-24 hosts are plugged in and unplugged, with their disks and after them',
    async run({ guest, disks: { how, host: first } }) {
      const found: string[] = [];
      for (let round = 0; round < HOST_ROUNDS; round++) {
        const units = [{ disk: memoryDisk() }, { disk: memoryDisk() }];
        const host = await attachVirtioScsi(guest.emulator, { ...how, units });
        const [early, late] = host.units as [LogicalUnit, LogicalUnit];
        // The guest probes all targets meanwhile.
        if (round % 2 === 0) await host.unplug(early);
        found.push(await nameOf(guest, host, late));
        await host.eject();
        await hostDeparted(guest, host);
        if (host.slot === first.slot) throw new Error('both hosts have one slot');
      }
      await noOops(guest);
      return `${found.join(' and ')} came and went`;
    },
  },
];
