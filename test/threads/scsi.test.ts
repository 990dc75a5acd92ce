/** Command queues of virtio-scsi on IOThreads: real Workers, with main busy elsewhere or not. */

import { describe, expect, it } from 'vitest';
import type { FaultDriver } from '#src/block/fault';
import { openDriver } from '#src/block/registry';
import {
  engines,
  GOOD,
  pattern,
  ScsiRig,
  scsiLun,
  TEST_UNIT_READY,
  transfer10,
} from '../virtio/scsi-rig.ts';

const ABORTED = 2;
const RESET = 4;
const LOGICAL_UNIT_RESET = 5;
const MEMORY = { driver: 'memory', options: { size: 1 << 20 } };

async function slowDisk(rig: ScsiRig) {
  const options = { image: MEMORY, rules: [], 'may-delay': true };
  const disk = (await openDriver(rig.core, { driver: 'fault', options })) as FaultDriver;
  const held = async () => {
    const counts = await Promise.all(rig.threads.map((thread) => thread.call('held', null)));
    return (counts as number[]).reduce((sum, count) => sum + count, 0);
  };
  const release = async () => {
    disk.setRules([]);
    disk.release();
    await Promise.all(rig.threads.map((thread) => thread.call('release', null)));
  };
  return { disk, held, release, hold: () => disk.setRules([{ action: 'delay' }]) };
}

describe.each(engines)('commands served by IOThreads, %s', (engine) => {
  it('SC-1 four queues of two disks: many commands at once, each answered once with its own data', async () => {
    const rig = await ScsiRig.open({ engine, place: 'an IOThread', scsi: { num_queues: 4 } });
    for (let target = 0; target < 2; target++) await rig.plug({ disk: MEMORY });
    const guest = await rig.start();
    const places = Array.from({ length: 120 }, (_, i) => {
      return { lun: scsiLun(i % 2, 0), queue: i % 4, lba: 8 * (i >> 1), data: pattern(4096, i) };
    });
    const written = await guest.together(() =>
      places.map(({ lun, queue, lba, data }) =>
        guest.command(lun, transfer10(true, lba, 8), { dataOut: data, queue }),
      ),
    );
    expect(written.every(({ response, status }) => response === 0 && status === GOOD)).toBe(true);
    for (const { lun, queue, lba, data } of places) {
      const read = await guest.command(lun, transfer10(false, lba, 8), {
        dataIn: 4096,
        queue: (queue + 1) % 4,
      });
      expect(read.data).toEqual(data);
    }
  });

  it('SC-3 SC-17 historic bug 16 unplug under a request of ten seconds: it ends, then the disk goes', async () => {
    const rig = await ScsiRig.open({ engine, place: 'an IOThread' });
    const slow = await slowDisk(rig);
    const unit = await rig.plug({ disk: slow.disk });
    await rig.plug({ disk: MEMORY });
    const guest = await rig.start();
    slow.hold();
    const command = guest.command(scsiLun(0, 0), transfer10(false, 0, 8), { dataIn: 4096 });
    while ((await slow.held()) === 0) await rig.relax();
    let gone = false;
    const unplugged = rig.device.unplug(unit).then(() => {
      gone = true;
    });
    await rig.quiet();
    // The other disk is served meanwhile.
    expect((await guest.command(scsiLun(1, 0), TEST_UNIT_READY)).response).toBe(0);
    if (!gone) await slow.release();
    await unplugged;
    expect((await command).response).toBe(ABORTED);
    expect((await guest.command(scsiLun(0, 0), TEST_UNIT_READY)).response).not.toBe(0);
  });

  it('SC-15 SC-16 resets of the unit under load: commands come back before the answer', async () => {
    const rig = await ScsiRig.open({ engine, place: 'an IOThread', scsi: { num_queues: 2 } });
    const slow = await slowDisk(rig);
    await rig.plug({ disk: slow.disk });
    const guest = await rig.start();
    for (let round = 0; round < 5; round++) {
      slow.hold();
      const order: string[] = [];
      const commands = Array.from({ length: 8 }, (_, i) =>
        guest
          .command(scsiLun(0, 0), transfer10(false, i, 1), { dataIn: 512, queue: i % 2 })
          .then(({ response }) => order.push(response === RESET ? 'reset' : `${response}`)),
      );
      while ((await slow.held()) < 8) await rig.relax();
      const answer = guest
        .taskManagement(LOGICAL_UNIT_RESET, scsiLun(0, 0))
        .then((response) => order.push(`answer ${response}`));
      await rig.quiet();
      await slow.release();
      await Promise.all([...commands, answer]);
      expect(order).toEqual([...new Array(8).fill('reset'), 'answer 0']);
      await rig.ready(0, 0);
    }
  });

  it('SC-24 SC-17 disks come and go while the guest asks for all of them, from every queue', async () => {
    const rig = await ScsiRig.open({ engine, place: 'an IOThread', scsi: { num_queues: 2 } });
    const guest = await rig.start();
    let probing = true;
    let asked = 0;
    const probe = async (queue: number) => {
      for (let i = 0; probing; i++, asked++) {
        const lun = scsiLun(i % 3, 0);
        await guest.command(lun, [0x12, 0, 0, 0, 36, 0], { dataIn: 36, queue });
        await guest.command(lun, transfer10(false, i % 64, 1), { dataIn: 512, queue });
      }
    };
    const probes = [0, 1].map(probe);
    const bytes: number[] = [];
    for (let round = 0; round < 12; round++) {
      const units = [await rig.plug({ disk: MEMORY }), await rig.plug({ disk: MEMORY })];
      if (round % 2) units.reverse();
      for (const unit of units) await rig.device.unplug(unit);
      for (const backend of [...rig.backends]) await rig.closeBackend(backend);
      bytes.push(rig.core.allocatedBytes);
    }
    probing = false;
    await Promise.all(probes);
    expect(asked).toBeGreaterThan(0);
    expect(guest.needsReset).toBe(false);
    expect(new Set(bytes).size).toBe(1);
  });
});
