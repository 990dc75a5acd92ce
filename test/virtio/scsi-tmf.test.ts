/** Task management of a virtio-scsi host (SC-14 to SC-16): what is answered, and in which order. */

import { describe, expect, it } from 'vitest';
import type { BlockRequest } from '#src/block/driver';
import type { GuestScsi, ScsiResult } from '#src/guest/scsi';
import { QUEUE_INUSE } from '#src/layout';
import { ProbeDriver } from './probe-driver.ts';
import {
  engines,
  GOOD,
  type RigOptions,
  ScsiRig,
  scsiLun,
  senseOf,
  TEST_UNIT_READY,
  transfer10,
} from './scsi-rig.ts';

const ABORT_TASK = 0;
const ABORT_TASK_SET = 1;
const CLEAR_ACA = 2;
const CLEAR_TASK_SET = 3;
const I_T_NEXUS_RESET = 4;
const LOGICAL_UNIT_RESET = 5;
const QUERY_TASK = 6;
const QUERY_TASK_SET = 7;
const UNKNOWN = 8;

const COMPLETE = 0;
const ABORTED = 2;
const BAD_TARGET = 3;
const RESET = 4;
const SUCCEEDED = 10;
const REJECTED = 11;
const INCORRECT_LUN = 12;

const UNIT = scsiLun(0, 0);
const ECANCELED = -125;
/** Tag of the command that is there. */
const TAG = 2 ** 40 + 77;

/** A disk whose requests wait; a cancel ends them at once, unless they are stubborn. */
class SlowDisk extends ProbeDriver {
  stubborn = false;
  canceled = 0;

  constructor() {
    super(1 << 20, 'loop');
  }

  cancel(request: BlockRequest): void {
    this.canceled++;
    if (this.stubborn) return;
    const index = this.held.indexOf(request);
    if (index >= 0) this.settle(index, ECANCELED);
  }
}

describe.each(engines)('task management, %s', (engine) => {
  for (const place of ['main', 'a near thread'] as const) {
    const open = async (options: RigOptions = {}) => {
      const rig = await ScsiRig.open({ engine, place, ...options });
      const disk = new SlowDisk();
      await rig.plug({ disk });
      const guest = await rig.start();
      /** Order in which things come back. */
      const order: string[] = [];
      const noted = (name: string, what: Promise<ScsiResult | number>) => {
        void what.then(
          () => order.push(name),
          () => order.push(`${name} dropped`),
        );
        return what;
      };
      return { rig, disk, guest, order, noted };
    };
    const held = async (rig: ScsiRig, disk: SlowDisk, count: number) => {
      while (disk.held.length < count) await rig.relax();
    };
    const read = (guest: GuestScsi, lba: number, tag?: number) =>
      guest.command(UNIT, transfer10(false, lba, 1), { dataIn: 512, ...(tag && { tag }) });

    /** Function, its answer with the command there and without, and what becomes of the command. */
    const functions: [string, number, number, number, number | null][] = [
      ['ABORT TASK', ABORT_TASK, COMPLETE, COMPLETE, ABORTED],
      ['ABORT TASK SET', ABORT_TASK_SET, COMPLETE, COMPLETE, ABORTED],
      ['CLEAR ACA', CLEAR_ACA, REJECTED, REJECTED, null],
      ['CLEAR TASK SET', CLEAR_TASK_SET, COMPLETE, COMPLETE, ABORTED],
      ['I_T NEXUS RESET', I_T_NEXUS_RESET, COMPLETE, COMPLETE, RESET],
      ['LOGICAL UNIT RESET', LOGICAL_UNIT_RESET, COMPLETE, COMPLETE, RESET],
      ['QUERY TASK', QUERY_TASK, SUCCEEDED, COMPLETE, null],
      ['QUERY TASK SET', QUERY_TASK_SET, SUCCEEDED, COMPLETE, null],
      ['an unknown function', UNKNOWN, REJECTED, REJECTED, null],
    ];
    for (const [name, type, present, absent, response] of functions) {
      it(`SC-14 ${name}, with the command present and absent; ${place}`, async () => {
        const { rig, disk, guest } = await open();
        expect(await guest.taskManagement(type, UNIT, TAG)).toBe(absent);
        await rig.ready(0, 0);
        const command = read(guest, 0, TAG);
        await held(rig, disk, 1);
        expect(await guest.taskManagement(type, UNIT, TAG)).toBe(present);
        if (response === null) disk.settleAll();
        expect((await command).response).toBe(response ?? COMPLETE);
        expect(disk.canceled).toBe(response === null ? 0 : 1);
        await rig.ready(0, 0);
        disk.stubborn = true;
        const after = read(guest, 1);
        await held(rig, disk, 1);
        disk.settleAll();
        expect(await after).toMatchObject({ response: 0, status: GOOD });
      });

      it(`SC-14 ${name} to a LUN and to a target that are not there; ${place}`, async () => {
        const { guest } = await open();
        const isKnown = type !== CLEAR_ACA && type !== UNKNOWN;
        const wrongLun = type === I_T_NEXUS_RESET ? COMPLETE : isKnown ? INCORRECT_LUN : REJECTED;
        expect(await guest.taskManagement(type, scsiLun(0, 1))).toBe(wrongLun);
        const nobody = isKnown ? BAD_TARGET : REJECTED;
        expect(await guest.taskManagement(type, scsiLun(9, 0))).toBe(nobody);
        expect(await guest.taskManagement(type, Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0))).toBe(
          type === I_T_NEXUS_RESET ? BAD_TARGET : nobody,
        );
      });
    }

    it(`SC-14 ABORT TASK ends the command with that tag and no other; ${place}`, async () => {
      const { rig, disk, guest } = await open();
      const commands = [TAG, TAG + 1, TAG + 2 ** 32].map((tag, i) => read(guest, i, tag));
      await held(rig, disk, 3);
      expect(await guest.taskManagement(ABORT_TASK, UNIT, TAG)).toBe(COMPLETE);
      expect((await commands[0]!).response).toBe(ABORTED);
      expect(disk.held).toHaveLength(2);
      disk.settleAll();
      const answers = await Promise.all(commands.slice(1));
      expect(answers.map(({ response, status }) => [response, status])).toEqual([
        [0, GOOD],
        [0, GOOD],
      ]);
    });

    it(`SC-14 a reset of the unit is told to the next command; ${place}`, async () => {
      const { guest } = await open();
      expect(await guest.taskManagement(LOGICAL_UNIT_RESET, UNIT)).toBe(COMPLETE);
      const next = await guest.command(UNIT, TEST_UNIT_READY);
      expect(senseOf(next)).toEqual([6, 0x29, 0]);
    });

    it(`SC-15 the answer comes after all commands that it kills, however slow; ${place}`, async () => {
      const { rig, disk, guest, order, noted } = await open();
      disk.stubborn = true;
      for (let i = 0; i < 3; i++) void noted(`command ${i}`, read(guest, i));
      await held(rig, disk, 3);
      const answer = noted('answer', guest.taskManagement(ABORT_TASK_SET, UNIT));
      await rig.quiet();
      expect([disk.canceled, order]).toEqual([3, []]);
      for (const last of [2, 0, 1]) {
        expect(order).not.toContain('answer');
        disk.settle(Math.min(last, disk.held.length - 1));
        await rig.quiet();
      }
      expect(await answer).toBe(COMPLETE);
      expect(order.at(-1)).toBe('answer');
      expect(order).toHaveLength(4);
    });

    it(`SC-15 I_T NEXUS RESET while a disk of the target leaves: its commands come back first; ${place}`, async () => {
      const { rig, disk, guest, order, noted } = await open();
      await rig.plug({ 'scsi-id': 0, lun: 1 });
      await rig.ready(0, 1);
      disk.stubborn = true;
      void noted('command', read(guest, 0));
      await held(rig, disk, 1);
      const unplugged = rig.device.unplug(rig.device.bus.units[0]!);
      await rig.quiet();
      const answer = noted('answer', guest.taskManagement(I_T_NEXUS_RESET, UNIT));
      await rig.quiet();
      expect(order).toEqual([]);
      disk.settleAll();
      await rig.settle(unplugged);
      expect(await answer).toBe(COMPLETE);
      expect(order).toEqual(['command', 'answer']);
      const next = await guest.command(scsiLun(0, 1), TEST_UNIT_READY);
      expect(senseOf(next)).toEqual([6, 0x29, 0]);
    });

    it(`SC-14 I_T NEXUS RESET of a target whose only disk leaves finds no target; ${place}`, async () => {
      const { rig, disk, guest } = await open();
      disk.stubborn = true;
      const command = read(guest, 0);
      await held(rig, disk, 1);
      const unplugged = rig.device.unplug(rig.device.bus.units[0]!);
      await rig.quiet();
      expect(await guest.taskManagement(I_T_NEXUS_RESET, UNIT)).toBe(BAD_TARGET);
      disk.settleAll();
      await rig.settle(unplugged);
      expect((await command).response).toBe(ABORTED);
    });

    it(`SC-6 SC-15 two functions wait for one command that is canceled once; ${place}`, async () => {
      const { rig, disk, guest, order, noted } = await open();
      disk.stubborn = true;
      const command = noted('command', read(guest, 0, TAG));
      await held(rig, disk, 1);
      const answers = [ABORT_TASK, ABORT_TASK_SET].map((type) =>
        noted(`${type}`, guest.taskManagement(type, UNIT, TAG)),
      );
      await rig.quiet();
      expect([disk.canceled, order]).toEqual([1, []]);
      disk.settle(0, ECANCELED);
      expect(await Promise.all(answers)).toEqual([COMPLETE, COMPLETE]);
      expect(await command).toMatchObject({ response: ABORTED });
      expect(order[0]).toBe('command');
    });

    it(`SC-6 a canceled command that completes nevertheless is answered once, as aborted; ${place}`, async () => {
      const { rig, disk, guest } = await open();
      disk.stubborn = true;
      const command = read(guest, 0, TAG);
      await held(rig, disk, 1);
      const answer = guest.taskManagement(ABORT_TASK, UNIT, TAG);
      await rig.quiet();
      disk.settle(0);
      expect(await answer).toBe(COMPLETE);
      expect(await command).toMatchObject({ response: ABORTED, residual: 0 });
      const { queue } = rig.device.queueConfigs[2]!;
      expect(Atomics.load(rig.core.u32, (queue + QUEUE_INUSE) >>> 2)).toBe(0);
    });

    it(`SC-14 commands that wait at a closed gate are aborted at once; ${place}`, async () => {
      const { rig, disk, guest } = await open();
      const [backend] = rig.backends;
      backend!.drainedBegin();
      const command = read(guest, 0, TAG);
      await rig.quiet();
      expect(await guest.taskManagement(QUERY_TASK, UNIT, TAG)).toBe(SUCCEEDED);
      expect(await guest.taskManagement(ABORT_TASK, UNIT, TAG)).toBe(COMPLETE);
      expect((await command).response).toBe(ABORTED);
      backend!.drainedEnd();
      await rig.quiet();
      expect(disk.calls).toHaveLength(0);
    });

    it(`SC-16 VC-3 a reset waits for a function that waits for a command; ${place}`, async () => {
      const { rig, disk, guest, order, noted } = await open();
      disk.stubborn = true;
      noted('command', read(guest, 0)).catch(() => {});
      await held(rig, disk, 1);
      noted('answer', guest.taskManagement(LOGICAL_UNIT_RESET, UNIT)).catch(() => {});
      await rig.quiet();
      rig.bus.writeStatus(0);
      await rig.quiet();
      expect(rig.bus.readStatus()).not.toBe(0);
      const before = rig.ram.read(0, 1 << 20);
      disk.settle(0);
      await rig.quiet();
      expect(rig.bus.readStatus()).toBe(0);
      expect(Buffer.compare(rig.ram.read(0, 1 << 20), before)).toBe(0);
      guest.abandon();
      await rig.quiet();
      expect(order.sort()).toEqual(['answer dropped', 'command dropped']);
      await rig.start();
      disk.stubborn = false;
      const again = read(guest, 3);
      await held(rig, disk, 1);
      disk.settleAll();
      expect((await again).status).toBe(GOOD);
    });
  }

  it('SC-22 asynchronous notification is answered with no event', async () => {
    const rig = await ScsiRig.open({ engine });
    await rig.plug();
    const guest = await rig.start();
    for (const type of [1, 2]) {
      expect(await guest.notification(type, UNIT, 0x3f)).toEqual({ events: 0, response: 0 });
    }
  });

  it('BG-13 a control request that is a byte too short breaks the host, a whole one does not', async () => {
    for (const [bytes, room, broken] of [
      [24, 1, false],
      [23, 1, true],
      [24, 0, true],
      [3, 1, true],
    ] as const) {
      const rig = await ScsiRig.open({ engine });
      const guest = await rig.start();
      const tmf = new Uint8Array(bytes);
      if (bytes > 4) tmf[4] = QUERY_TASK;
      guest.control(tmf, room).catch(() => {});
      await rig.quiet();
      expect(guest.needsReset, `${bytes} bytes, room for ${room}`).toBe(broken);
      await guest.reset();
    }
  });

  it('BG-13 what the control queue has answered before a bad request has been answered', async () => {
    const rig = await ScsiRig.open({ engine });
    const guest = await rig.start();
    const notification = new Uint8Array(16);
    notification[0] = 1;
    const [good] = await guest.together(() => {
      const first = guest.control(notification, 5);
      guest.control(new Uint8Array(2), 1).catch(() => {});
      return [first];
    });
    expect([...good!.data]).toEqual([0, 0, 0, 0, 0]);
    expect(guest.needsReset).toBe(true);
    await guest.reset();
  });

  it('an unknown control request is given back without an answer', async () => {
    const rig = await ScsiRig.open({ engine });
    const guest = await rig.start();
    const { written } = await guest.control(Uint8Array.of(9, 0, 0, 0), 5);
    expect([written, guest.needsReset]).toEqual([0, false]);
  });
});
