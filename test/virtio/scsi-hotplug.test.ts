/** Disks of a virtio-scsi host that come and go, and what the driver hears of it (SC-17, SC-18). */

import { describe, expect, it } from 'vitest';
import { NullDriver } from '#src/block/null';
import type { ScsiEvent } from '#src/guest/scsi-events';
import { ProbeDriver } from './probe-driver.ts';
import {
  CHECK_CONDITION,
  engines,
  GOOD,
  type RigOptions,
  ScsiRig,
  scsiLun,
  senseOf,
  TEST_UNIT_READY,
  transfer10,
} from './scsi-rig.ts';

const HOTPLUG = 1;
const CHANGE = 2;
const NO_EVENT = 0;
const TRANSPORT_RESET = 1;
const PARAM_CHANGE = 3;
const RESCAN = 1;
const REMOVED = 2;
const BAD_TARGET = 3;
const ABORTED = 2;

/** What a disk on the bus is seen as. */
const seen = ({ event, missed, lun, reason, written }: ScsiEvent) => ({
  event,
  missed,
  lun: [...lun],
  reason,
  written,
});

describe.each(engines)('disks that come and go, %s', (engine) => {
  for (const place of ['main', 'a near thread', 'two near threads'] as const) {
    const open = async (options: RigOptions = {}) => {
      const rig = await ScsiRig.open({
        engine,
        place,
        ...options,
        scsi: { num_queues: 2, ...options.scsi },
      });
      const events: ScsiEvent[] = [];
      rig.guest.onEvent = (event) => events.push(event);
      return { rig, guest: rig.guest, events };
    };

    it(`SC-17 a plugged disk is found, and announced after that; ${place}`, async () => {
      const { rig, guest, events } = await open();
      await rig.plug();
      await rig.start();
      const plugged = rig.plug({ 'scsi-id': 4, lun: 260 });
      const event = await guest.nextEvent();
      const found = await guest.command(scsiLun(4, 260), [0x12, 0, 0, 0, 36, 0], { dataIn: 36 });
      expect([found.response, found.status]).toEqual([0, GOOD]);
      await plugged;
      expect(seen(event)).toEqual({
        event: TRANSPORT_RESET,
        missed: false,
        lun: [1, 4, 0x41, 4, 0, 0, 0, 0],
        reason: RESCAN,
        written: 16,
      });
      const told = await guest.command(scsiLun(0, 0), TEST_UNIT_READY);
      expect([told.status, ...senseOf(told)]).toEqual([CHECK_CONDITION, 6, 0x3f, 0xe]);
      await rig.quiet();
      expect(events).toHaveLength(1);
    });

    it(`SC-17 SC-5 an unplugged disk is gone before its removal is announced; ${place}`, async () => {
      const { rig, guest } = await open();
      await rig.plug();
      const unit = await rig.plug({ 'scsi-id': 7, id: 'disk' });
      await rig.start();
      const unplugged = rig.settle(rig.device.unplug(unit));
      const event = await guest.nextEvent();
      expect((await guest.command(scsiLun(7, 0), TEST_UNIT_READY)).response).toBe(BAD_TARGET);
      await unplugged;
      expect(seen(event)).toMatchObject({
        event: TRANSPORT_RESET,
        lun: [1, 7, 0, 0, 0, 0, 0, 0],
        reason: REMOVED,
      });
      expect([rig.backends[1]!.devOps, rig.device.bus.units.length]).toEqual([null, 1]);
      await rig.closeBackend(rig.backends[1]!); // nobody has a lane any more
      await rig.plug({ 'scsi-id': 7 });
      await rig.ready(7, 0);
      expect((await guest.command(scsiLun(7, 0), TEST_UNIT_READY)).status).toBe(GOOD);
    });

    it(`SC-3 historic bug 16 unplug with a request of ten seconds in flight waits for it; ${place}`, async () => {
      const { rig, guest, events } = await open();
      const disk = new ProbeDriver(1 << 20, 'loop');
      const before = rig.core.allocatedBytes;
      const unit = await rig.plug({ disk });
      await rig.start();
      const command = guest.command(scsiLun(0, 0), transfer10(false, 0, 8), { dataIn: 4096 });
      while (disk.held.length === 0) await rig.relax();
      let gone = false;
      const unplugged = rig.device.unplug(unit).then(() => {
        gone = true;
      });
      await rig.quiet();
      expect([gone, rig.backends[0]!.devOps === null]).toEqual([false, false]);
      guest.poll();
      expect(events).toEqual([]); // it is not announced either
      disk.settle(0);
      await rig.settle(unplugged);
      expect((await command).response).toBe(ABORTED);
      await rig.closeBackend(rig.backends[0]!);
      expect(rig.core.allocatedBytes).toBe(before);
    });

    it(`SC-18 three disks without a buffer, then one buffer: what was missed is said once; ${place}`, async () => {
      const { rig, guest, events } = await open({ guest: { events: 0 } });
      await rig.start();
      for (let i = 0; i < 3; i++) await rig.plug();
      await rig.quiet();
      const { ScsiEventBuffers } = await import('#src/guest/scsi-events');
      const buffers = new ScsiEventBuffers(guest, 2, (event) => events.push(event));
      await rig.quiet();
      guest.poll();
      expect(events.map(seen)).toEqual([
        { event: NO_EVENT, missed: true, lun: [0, 0, 0, 0, 0, 0, 0, 0], reason: 0, written: 16 },
      ]);
      await rig.plug();
      await rig.quiet();
      guest.poll();
      expect(events.slice(1).map(seen)).toMatchObject([{ event: TRANSPORT_RESET, missed: false }]);
      buffers.refill = false;
    });

    it(`SC-9 a disk that not every thread has yet is found by nobody, and its address is taken; ${place}`, async () => {
      const { rig, guest } = await open();
      await rig.plug();
      await rig.start();
      const [last] = rig.near.slice(-1);
      if (last) {
        last.paused = true;
        const plugged = rig.plug({ 'scsi-id': 1 });
        await rig.quiet();
        const { units } = rig.device.bus;
        expect(units.map(({ config, words }) => [config.scsiId, words.realized])).toEqual([
          [0, true],
          [1, false],
        ]);
        last.paused = false;
        await plugged;
      } else await rig.plug({ 'scsi-id': 1 });
      await rig.ready(1, 0);
      for (const queue of [0, 1]) {
        const answer = await guest.command(scsiLun(1, 0), TEST_UNIT_READY, { queue });
        expect(answer.status).toBe(GOOD);
      }
      await expect(rig.plug({ 'scsi-id': 1, lun: 0 })).rejects.toThrow(/lun: 0 is not allowed/);
    });

    it(`SD-16 SC-18 another size is told to disks, and not to CDs; ${place}`, async () => {
      const { rig, guest, events } = await open();
      await rig.plug({ disk: { driver: 'memory', options: { size: 1 << 20 } } });
      await rig.plug({ disk: { driver: 'memory', options: { size: 1 << 20 } }, type: 'cd' });
      await rig.start();
      for (const backend of rig.backends) await rig.settle(backend.resize(2 << 20));
      await rig.quiet();
      guest.poll();
      expect(events.map(seen)).toMatchObject([
        { event: PARAM_CHANGE, lun: [1, 0, 0, 0, 0, 0, 0, 0], reason: 0x092a },
      ]);
      const told = await guest.command(scsiLun(0, 0), TEST_UNIT_READY);
      expect(senseOf(told)).toEqual([6, 0x2a, 9]);
      expect((await guest.command(scsiLun(1, 0), TEST_UNIT_READY)).status).toBe(GOOD);
    });
  }

  it('SC-18 no event before DRIVER_OK, nor one that was not negotiated', async () => {
    for (const without of [[], [HOTPLUG], [CHANGE]]) {
      const rig = await ScsiRig.open({ engine, guest: { without } });
      const events: ScsiEvent[] = [];
      rig.guest.onEvent = (event) => events.push(event);
      await rig.plug({ disk: { driver: 'memory', options: { size: 1 << 20 } } });
      await rig.start();
      await rig.quiet();
      rig.guest.poll();
      expect(events).toHaveLength(0);
      await rig.plug();
      await rig.settle(rig.backends[0]!.resize(2 << 20));
      await rig.quiet();
      rig.guest.poll();
      const expected = [TRANSPORT_RESET, PARAM_CHANGE].filter((_, i) => {
        return !(without as number[]).includes(i === 0 ? HOTPLUG : CHANGE);
      });
      expect(events.map(({ event }) => event)).toEqual(expected);
      const attention = await rig.guest.command(scsiLun(1, 0), TEST_UNIT_READY);
      expect(senseOf(attention)).toEqual([6, 0x29, 0]);
      await rig.guest.reset();
    }
  });

  it('BG-13 an event buffer that is a byte too short breaks the host, a whole one does not', async () => {
    const { GuestChain } = await import('#src/guest/chain');
    for (const [bytes, broken] of [
      [16, false],
      [15, true],
    ] as const) {
      const rig = await ScsiRig.open({ engine, guest: { events: 0 } });
      const guest = await rig.start();
      const at = guest.ram.allocate(16, 16);
      guest.add(1, new GuestChain().in(at, bytes), { finished() {}, dropped() {} });
      guest.submit(1);
      expect(guest.needsReset).toBe(false);
      await rig.plug();
      expect(guest.needsReset, `${bytes} bytes`).toBe(broken);
      await guest.reset();
    }
  });

  it('historic bug 15 an unplug goes on only when every thread has walked its requests', async () => {
    const rig = await ScsiRig.open({ engine, place: 'two near threads', scsi: { num_queues: 2 } });
    const guest = rig.guest;
    const unit = await rig.plug();
    const other = await rig.plug();
    await rig.start();
    rig.near[1]!.paused = true;
    let gone = false;
    const unplugged = rig.device.unplug(unit).then(() => {
      gone = true;
    });
    await rig.quiet();
    const called = (service: string) => rig.near.map(({ called }) => called.includes(service));
    expect(called('scsi-cancel')).toEqual([true, false]);
    expect(called('scsi-unplug')).toEqual([false, false]);
    expect([gone, rig.backends[0]!.quiesced]).toEqual([false, true]); // it is held
    expect((await guest.command(scsiLun(0, 0), TEST_UNIT_READY)).response).toBe(BAD_TARGET);
    rig.near[1]!.paused = false;
    await rig.settle(unplugged);
    expect(called('scsi-unplug')).toEqual([true, true]);
    await rig.settle(rig.device.unplug(other));
  });

  it('a thread that cannot open the disk refuses the plug, and nothing is left behind', async () => {
    const rig = await ScsiRig.open({ engine, place: 'two near threads', scsi: { num_queues: 2 } });
    await rig.start();
    const backend = await rig.backend();
    const before = [rig.core.allocatedBytes, rig.context.bottomHalves];
    for (const service of ['open-lane', 'scsi-plug']) {
      rig.near[1]!.before = (called) => {
        if (called === service) throw new Error('no room');
      };
      const refused = rig.settle(rig.device.plug('hd', backend));
      await expect(refused).rejects.toThrow('no room');
      expect([backend.devOps, rig.device.bus.units.length]).toEqual([null, 0]);
      expect(rig.core.allocatedBytes).toBe(before[0]);
    }
    rig.near[1]!.before = () => {};
    await rig.settle(rig.device.plug('hd', backend));
    await rig.ready(0, 0);
    const answer = await rig.guest.command(scsiLun(0, 0), TEST_UNIT_READY, { queue: 1 });
    expect(answer.status).toBe(GOOD);
  });

  it('a drive that another device has is refused, and so is a bus that is full', async () => {
    const rig = await ScsiRig.open({ engine });
    await rig.plug();
    const again = rig.device.plug('hd', rig.backends[0]!);
    await expect(again).rejects.toThrow(/drive: .* is not allowed/);
    const backend = await rig.backend({ disk: new NullDriver(1 << 20, true) });
    await expect(rig.device.plug('hd', backend, { 'scsi-id': 0, lun: 0 })).rejects.toThrow(/lun/);
    const unit = await rig.device.plug('hd', backend, { 'scsi-id': 0 });
    expect([unit.config.scsiId, unit.config.lun]).toEqual([0, 1]);
    await rig.device.unplug(unit);
    await expect(rig.device.unplug(unit)).rejects.toThrow(/not plugged in/);
  });

  it('SD-11 a CD whose medium is taken out and put in says so, one thing after the other', async () => {
    const rig = await ScsiRig.open({ engine });
    const unit = await rig.plug({ type: 'cd' });
    const guest = await rig.start();
    const backend = unit.backend;
    await rig.settle(backend.removeMedium());
    const ask = async () => {
      const answer = await guest.command(scsiLun(0, 0), TEST_UNIT_READY);
      return answer.status === GOOD ? [] : senseOf(answer);
    };
    expect([await ask(), await ask()]).toEqual([
      [6, 0x3a, 0],
      [2, 0x3a, 0],
    ]);
    await rig.settle(backend.insertMedium(new ProbeDriver(1 << 20)));
    expect([await ask(), await ask(), await ask()]).toEqual([[6, 0x3a, 0], [6, 0x28, 0], []]);
  });
});
