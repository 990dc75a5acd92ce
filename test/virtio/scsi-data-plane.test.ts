/** The data plane of virtio-scsi: its order of steps over all disks, and queues that change hands. */

import { describe, expect, it } from 'vitest';
import { QUEUE_INUSE, QUEUE_RUNNING } from '#src/layout';
import { Machine } from '#src/machine/machine';
import type { ScsiHome } from '#src/scsi/home';
import { VirtioScsi } from '#src/virtio/virtio-scsi';
import { ProbeDriver } from './probe-driver.ts';
import {
  engines,
  GOOD,
  pattern,
  ScsiRig,
  scsiLun,
  TEST_UNIT_READY,
  transfer10,
} from './scsi-rig.ts';

const FIRST = 2;
const ABORTED = 2;
const ABORT_TASK_SET = 1;
const COMPLETE = 0;
const UNIT = scsiLun(0, 0);

const kicksHeard = (rig: ScsiRig) => {
  const contexts = [rig.context, ...rig.near.map(({ context }) => context)];
  return contexts.flatMap(({ handlers }) => handlers.filter((name) => /kick/.test(name)));
};

describe.each(engines)('the data plane of virtio-scsi, %s', (engine) => {
  it('DP-10 stop: no commands are taken, then kicks are not heard, then all disks are drained, then interrupts end', async () => {
    const rig = await ScsiRig.open({ engine, place: 'a near thread' });
    const disks = [new ProbeDriver(1 << 20, 'loop'), new ProbeDriver(1 << 20, 'loop')];
    for (const disk of disks) await rig.plug({ disk });
    const guest = await rig.start();
    for (const target of [0, 1]) {
      const read = guest.command(scsiLun(target, 0), transfer10(false, 0, 1), { dataIn: 512 });
      read.catch(() => {}); // dropped by the reset
    }
    while (disks.some(({ held }) => held.length === 0)) await rig.relax();
    const steps: string[] = [];
    const { queue } = rig.device.queueConfigs[FIRST]!;
    const word = (field: number) => Atomics.load(rig.core.u32, (queue + field) >>> 2);
    const look = (step: string) => {
      const heard = rig.context.handlers.some((name) => /interrupt 2/.test(name));
      const state = `running ${word(QUEUE_RUNNING)}, popped ${word(QUEUE_INUSE)}`;
      const line = `${step}: ${state}, interrupts ${heard ? 'on' : 'off'}`;
      if (steps.at(-1) !== line) steps.push(line); // one section may lie in another
    };
    for (const [i, backend] of rig.backends.entries()) {
      const begin = backend.drainedBegin.bind(backend);
      backend.drainedBegin = () => {
        look(`drain ${i}`);
        begin();
      };
    }
    rig.near[0]!.before = (service) => {
      if (/^(detach|forget|close)-queues$/.test(service)) look(service);
    };
    const closed = rig.device.close();
    await rig.quiet();
    expect(steps).toEqual([
      'detach-queues: running 0, popped 2, interrupts on',
      'forget-queues: running 0, popped 2, interrupts on',
    ]);
    for (const disk of disks) disk.settleAll();
    await rig.settle(closed);
    expect(steps.slice(2)).toEqual([
      'drain 0: running 0, popped 0, interrupts on',
      'drain 1: running 0, popped 0, interrupts on',
      'close-queues: running 0, popped 0, interrupts on',
    ]);
    expect(rig.context.handlers).toEqual([]);
    expect(kicksHeard(rig)).toEqual([]);
  });

  it('DP-10 a start that fails, a reset, one that succeeds amid drains of two LUNs, a reset: nothing is left attached', async () => {
    const rig = await ScsiRig.open({ engine, place: 'a near thread' });
    for (let target = 0; target < 2; target++) await rig.plug();
    const [thread] = rig.near;
    const [first, second] = rig.backends;
    let refused = 0;
    thread!.before = (service) => {
      if (service !== 'attach-queues') return;
      refused++;
      throw new Error('no room');
    };
    const guest = await rig.start();
    expect(kicksHeard(rig)).toEqual([]);
    expect((await guest.command(UNIT, TEST_UNIT_READY)).status).toBe(GOOD); // served without
    first!.drainedBegin();
    second!.drainedBegin();
    await rig.quiet();
    await guest.reset();
    thread!.before = () => {};
    await guest.start();
    await rig.quiet();
    expect(kicksHeard(rig)).toEqual([]); // not before the last section has ended
    first!.drainedEnd();
    await rig.quiet();
    expect(kicksHeard(rig)).toEqual([]);
    second!.drainedEnd();
    await rig.quiet();
    expect(kicksHeard(rig)).toHaveLength(1);
    await rig.ready(0, 0);
    first!.drainedBegin();
    await guest.reset();
    first!.drainedEnd();
    await rig.quiet();
    expect(kicksHeard(rig)).toEqual([]);
    expect(refused).toBeGreaterThan(0);
  });
});

describe.each(engines)('command queues that change hands, %s', (engine) => {
  const open = async (options: { machine?: boolean; disk?: ProbeDriver } = {}) => {
    const { machine = false, disk } = options;
    const rig = await ScsiRig.open({ engine, place: 'two near threads', machine });
    if (disk) await rig.plug({ disk });
    const guest = await rig.start();
    const move = (i: number) => rig.device.changeMapping({ iothread: rig.near[i]! });
    await rig.settle(move(0));
    return { rig, guest, move };
  };

  it('SC-4 SC-5 a command that was taken over and not begun ends with its disk', async () => {
    const disk = new ProbeDriver(1 << 20);
    const { rig, guest, move } = await open({ machine: true, disk });
    const [backend] = rig.backends;
    backend!.drainedBegin();
    const parked = guest.command(UNIT, transfer10(true, 1, 1), { dataOut: pattern(512) });
    await rig.quiet();
    const stopped = rig.machine!.stop();
    await rig.quiet();
    backend!.drainedEnd();
    await rig.settle(stopped);
    await rig.settle(move(1));
    await rig.settle(rig.device.unplug(rig.device.bus.units[0]!));
    guest.poll();
    expect((await parked).response).toBe(ABORTED);
    await rig.settle(rig.machine!.cont());
    expect(disk.take().filter(({ op }) => op === 'write')).toEqual([]);
  });

  it('SC-14 and a function finds it, one by its tag', async () => {
    const { rig, guest, move } = await open({ machine: true, disk: new ProbeDriver(1 << 20) });
    const [backend] = rig.backends;
    backend!.drainedBegin();
    const parked = [7, 8].map((tag) => {
      return guest.command(UNIT, transfer10(true, tag, 1), { dataOut: pattern(512), tag });
    });
    await rig.quiet();
    const stopped = rig.machine!.stop();
    await rig.quiet();
    backend!.drainedEnd();
    await rig.settle(stopped);
    await rig.settle(move(1));
    const { bus } = rig.device;
    const all = { target: 0, lun: 0, tag: null };
    const settled = <T>(value: T | Promise<T>) => rig.settle(Promise.resolve(value));
    expect(await settled(bus.count(all))).toBe(2);
    expect(await settled(bus.count({ ...all, tag: [7, 1] }))).toBe(0);
    expect(await settled(bus.count({ ...all, lun: 1 }))).toBe(0);
    expect(await settled(bus.cancel({ ...all, tag: [7, 0] }, 'aborted'))).toBe(1);
    expect(await settled(bus.count(all))).toBe(1);
    guest.poll();
    expect((await parked[0]!).response).toBe(ABORTED);
    await rig.settle(rig.machine!.cont());
    expect(await parked[1]!).toMatchObject({ response: 0, status: GOOD });
  });

  it('SC-15 a function at any step of a move: no command that it ends comes after its answer', async () => {
    let moved = false;
    let amid = 0;
    for (let step = 0; !moved; step++) {
      const { rig, guest, move } = await open({ disk: new ProbeDriver(1 << 20) });
      const [backend] = rig.backends;
      backend!.drainedBegin();
      const order: string[] = [];
      const command = guest
        .command(UNIT, transfer10(true, 1, 1), { dataOut: pattern(512) })
        .then(({ response }) => order.push(`command ${response}`));
      await rig.quiet();
      const moving = move(1).then(() => {
        moved = true;
      });
      for (let i = 0; i < step; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        rig.near[i % 2]!.readMail();
      }
      if (!moved) amid++;
      const answer = guest
        .taskManagement(ABORT_TASK_SET, UNIT)
        .then((response) => order.push(`function ${response}`));
      await rig.quiet();
      backend!.drainedEnd();
      await rig.settle(Promise.all([moving, command, answer]));
      expect([step, order]).toEqual([step, [`command ${ABORTED}`, `function ${COMPLETE}`]]);
      moved &&= amid < step;
    }
    expect(amid).toBeGreaterThan(4);
  });

  it('DP-4 with no disk, too, nobody listens while they do: a driver that starts then is heard', async () => {
    let moved = false;
    let amid = 0;
    for (let step = 0; !moved; step++) {
      const { rig, guest, move } = await open();
      await guest.reset();
      guest.negotiate();
      guest.setUpQueues();
      const moving = move(1).then(() => {
        moved = true;
      });
      for (let i = 0; i < step; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        rig.near[i % 2]!.readMail();
      }
      if (!moved) amid++;
      guest.driverOk();
      await rig.settle(moving);
      await rig.quiet();
      expect(rig.near.map(({ context }) => context.handlers.length)).toEqual([0, 1]);
      expect((await guest.command(UNIT, TEST_UNIT_READY)).response).not.toBe(0);
      moved &&= amid < step;
    }
    expect(amid).toBeGreaterThan(4);
  });
});

describe('a machine around a host that is being made', () => {
  it('VM-1 it stops and goes on before the threads have answered', async () => {
    const rig = await ScsiRig.open({ place: 'a near thread' });
    const machine = new Machine(rig.context);
    const made = VirtioScsi.realize(rig.core, rig.context, { machine, iothread: rig.near[0]! });
    await machine.stop();
    await machine.cont();
    const device = await rig.settle(made);
    await rig.settle(device.close());
    machine.close();
  });

  it('SC-23 VM-3 a thread that joins while it stops or goes on knows whether it runs', async () => {
    const rig = await ScsiRig.open({ place: 'two near threads', machine: true });
    const { machine, device } = rig;
    await rig.plug();
    const [backend] = rig.backends;
    const guest = await rig.start();
    await rig.settle(device.changeMapping({ iothread: rig.near[0]! }));
    for (let step = 0; step < 40; step++) {
      const goesOn = step % 4 > 1;
      if (goesOn) await rig.settle(machine!.stop());
      const joins = rig.near[(step + 1) % 2]!;
      const moved = device.changeMapping({ iothread: joins });
      for (let i = 0; i < step >> 2; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        for (const thread of rig.near) thread.readMail();
      }
      const turned = goesOn ? machine!.cont() : machine!.stop();
      await rig.settle(Promise.all([moved, turned]));
      const homes = joins.state.get('scsi/homes') as Map<number, ScsiHome>;
      expect([step, [...homes.values()].map(({ units }) => units.running)]).toEqual([
        step,
        [goesOn],
      ]);
      await rig.settle(machine!.cont());
      backend!.drainedBegin();
      const parked = guest.command(UNIT, transfer10(true, 1, 1), { dataOut: pattern(512, step) });
      await rig.quiet();
      backend!.drainedEnd();
      expect((await parked).response).toBe(0);
    }
  });
});
