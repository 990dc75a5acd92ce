/** Queues change the thread that serves them: under load, stopped, refused, reset amid it. */

import { describe, expect, it, vi } from 'vitest';
import type { BackendOptions } from '#src/block/backend';
import {
  BROKEN_ENGINE,
  QUEUE_EPOCH,
  QUEUE_F_HELD,
  QUEUE_FEATURES,
  QUEUE_INUSE,
  QUEUE_NOTIFICATION,
  QUEUE_SERVING,
} from '#src/layout';
import { RingRecords } from '#src/virtio/ring-records';
import type { VirtioBlkOptions } from '#src/virtio/virtio-blk';
import type { VqMapping } from '#src/virtio/vq-mapping';
import {
  type Asked,
  Bench,
  type BenchOptions,
  engines,
  OK,
  pattern,
  UNANSWERED,
} from './blk-bench.ts';
import type { NearThread } from './near-thread.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
const EIO = -5;
const MAIN: VirtioBlkOptions = { 'iothread-vq-mapping': undefined } as never;

/** Where the queue is: main, or thread 0 or 1. */
type Place = 'main' | 0 | 1;

async function quiet(bench: Bench): Promise<void> {
  for (let i = 0; i < 4; i++) {
    bench.turns();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe.each(engines)('moves of queues, %s', (engine) => {
  async function open(
    options: {
      blk?: VirtioBlkOptions;
      backend?: BackendOptions;
      settles?: 'inline' | 'loop';
      from?: Place;
      machine?: boolean;
      intercept?: BenchOptions['intercept'];
    } = {},
  ) {
    const { settles = 'inline', from = 'main', backend = {}, machine = false } = options;
    const driver = new ProbeDriver(SIZE, settles);
    const bench = await Bench.open({
      engine,
      threads: 2,
      driver,
      machine,
      backend,
      ...(options.intercept && { intercept: options.intercept }),
      blk: { ...MAIN, ...options.blk },
    });
    const [one, two] = bench.threads as [NearThread, NearThread];
    const mapping = (to: Place) => (to === 'main' ? {} : { iothread: bench.threads[to]! });
    const begin = (to: Place) => bench.blk.changeMapping(mapping(to));
    const move = async (to: Place) => {
      await bench.settle(begin(to));
      await quiet(bench);
    };
    if (from !== 'main') await move(from);
    bench.start();
    await quiet(bench);
    return { bench, driver, one, two, begin, move };
  }

  const route: readonly Place[] = [0, 1, 'main', 1, 0, 'main'];

  it('between main and two threads: each request is served where the queue is, once', async () => {
    const { bench, driver, one, two, move } = await open({ blk: { 'num-queues': 2 } });
    const handlers = () => [one, two].map(({ context }) => context.handlers.length);
    let sector = 0;
    for (const to of route) {
      await move(to);
      expect([to, handlers()]).toEqual([to, [to === 0 ? 2 : 0, to === 1 ? 2 : 0]]);
      for (const queue of [0, 1]) {
        const write = bench.write(sector, pattern(512, sector), queue);
        const read = bench.read(sector, 512, queue);
        expect(bench.run(queue)).toBe(2);
        expect([bench.status(write), bench.status(read)]).toEqual([OK, OK]);
        expect(bench.data(read, 512)).toEqual(pattern(512, sector++));
      }
    }
    expect(driver.calls).toHaveLength(24);
    expect(bench.backend.stats().read.operations).toBe(12); // figures of lanes that are gone count
    expect(bench.interrupts.length).toBeGreaterThanOrEqual(12);
  });

  it('what is in flight ends first, what was parked and what comes meanwhile is served after', async () => {
    const { bench, driver, begin } = await open({
      settles: 'loop',
      blk: { 'request-merging': false },
    });
    const asked: Asked[] = [];
    for (const [round, to] of route.entries()) {
      const flying = bench.write(round, pattern(512, round));
      bench.kick();
      expect(driver.held).toHaveLength(1);
      const moving = begin(to);
      let moved = false;
      void moving.then(() => {
        moved = true;
      });
      await quiet(bench);
      const late = bench.write(100 + round, pattern(512, round));
      bench.kick();
      await quiet(bench);
      expect([moved, driver.held.length]).toEqual([false, 1]);
      driver.settle();
      await bench.settle(moving);
      await quiet(bench);
      expect(driver.held).toHaveLength(1);
      driver.settle();
      await quiet(bench);
      asked.push(flying, late);
      expect([round, bench.collect()]).toEqual([round, 2]);
    }
    expect(asked.map((one) => bench.status(one))).toEqual(asked.map(() => OK));
    expect(bench.queueWord(QUEUE_INUSE)).toBe(0);
  });

  it('popped requests that met the gate go along, in order', async () => {
    const { bench, driver, move } = await open({ blk: { 'request-merging': false } });
    for (const to of route) {
      driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
      driver.take();
      const asked = [9, 7, 8, 2].map((at) => bench.write(at, pattern(512, at)));
      bench.kick();
      bench.turns();
      expect(bench.queueWord(QUEUE_INUSE)).toBe(3);
      driver.answer = () => undefined;
      await move(to); // inside a drained section of somebody else's
      expect([to, driver.calls.length]).toEqual([to, 1]);
      bench.backend.drainedEnd();
      await quiet(bench);
      expect(driver.take().map(({ offset }) => offset / 512)).toEqual([9, 7, 8, 2]);
      expect(asked.map((one) => bench.status(one))).toEqual([OK, OK, OK, OK]);
      expect([bench.collect(), bench.queueWord(QUEUE_INUSE)]).toEqual([4, 0]);
    }
  });

  it('BL-16 historic bug 18 what failed goes along while the machine is stopped, and completes once', async () => {
    const { bench, driver, move } = await open({
      machine: true,
      backend: { werror: 'stop' },
      blk: { 'num-queues': 2 },
    });
    const machine = bench.machine!;
    for (const to of route) {
      driver.answer = ({ op }) => (op === 1 ? EIO : undefined);
      const asked = [0, 1].flatMap((queue) =>
        [3, 9].map((at) => bench.write(at + queue, pattern(512, at), queue)),
      );
      bench.kick(0);
      bench.kick(1);
      for (let i = 0; i < 3; i++) await quiet(bench);
      expect([to, machine.state]).toEqual([to, 'io-error']);
      expect([0, 1].map((queue) => bench.queueWord(QUEUE_INUSE, queue))).toEqual([2, 2]);
      driver.answer = () => undefined;
      driver.take();
      await move(to);
      expect(driver.take().filter(({ op }) => op === 'write')).toEqual([]);
      await bench.settle(machine.cont());
      await quiet(bench);
      expect(asked.map((one) => bench.status(one))).toEqual([OK, OK, OK, OK]);
      expect([bench.collect(0), bench.collect(1)]).toEqual([2, 2]);
      expect(driver.take().filter(({ op }) => op === 'write')).toHaveLength(4);
    }
  });

  it('BL-16 a machine that goes on while queues change hands: what failed is tried again', async () => {
    const { bench, driver, one, begin } = await open({
      machine: true,
      backend: { werror: 'stop' },
      from: 0,
    });
    driver.answer = ({ op }) => (op === 1 ? EIO : undefined);
    const write = bench.write(3, pattern(512));
    bench.kick();
    for (let i = 0; i < 3; i++) await quiet(bench);
    driver.answer = () => undefined;
    const call = one.call.bind(one);
    one.call = async (service, payload) => {
      const answer = await call(service, payload);
      if (service !== 'hand-over-queues') return answer;
      await bench.machine!.cont(); // the thread has let go, and main does not know yet
      return answer;
    };
    await bench.settle(begin(1));
    expect(bench.machine!.state).toBe('running');
    await quiet(bench);
    expect(bench.status(write)).toBe(OK);
  });

  it('HN-8 notifications that polling had left off are on at the new place', async () => {
    const { bench, one, two, move } = await open({ from: 0 });
    for (const to of [1, 'main', 0, 'main'] as const) {
      const home = { main: bench, 0: one, 1: two }[to === 1 ? 0 : to === 0 ? 'main' : 1];
      home.core.engine.queueSetNotification(bench.queueAddress(), 0);
      const read = bench.read(0, 512);
      bench.rings[0]!.publish();
      expect(bench.rings[0]!.needsKick()).toBe(false);
      await move(to);
      expect([to, bench.queueWord(QUEUE_NOTIFICATION), bench.status(read)]).toEqual([to, 1, OK]);
      bench.collect();
    }
  });

  it('VQ-7 BB-17 historic bug 24 with EVENT_IDX each completion interrupts, wherever the last one was', async () => {
    const { bench, driver, begin } = await open({ settles: 'loop' });
    bench.blk.writeStatus(0);
    bench.start(0xffff_ffff);
    await quiet(bench);
    for (const [round, to] of route.entries()) {
      const before = bench.interrupts.length;
      bench.read(round, 512);
      bench.kick();
      const moving = begin(to);
      await quiet(bench);
      driver.settle();
      await bench.settle(moving);
      await quiet(bench);
      expect([to, bench.collect(), bench.interrupts.length - before]).toEqual([to, 1, 1]);
    }
  });

  it.each([
    ['thread', 0, 1],
    ['main', 'main', 0],
  ] as const)(
    'BB-17 historic bug 20 an interrupt that waits for a turn of the old place is not lost: %s',
    async (_name, from, to) => {
      const { bench, driver, one, begin } = await open({ settles: 'loop', from });
      const home = from === 'main' ? bench.context : one.context;
      bench.read(0, 512);
      bench.kick();
      bench.turns();
      driver.settle();
      home.poll(); // completed; it would be told of in the next turn
      expect(bench.interrupts).toEqual([]);
      const poll = home.poll.bind(home);
      home.poll = () => false; // which does not come
      await bench.settle(begin(to));
      home.poll = poll;
      expect([bench.collect(), bench.interrupts]).toEqual([1, [0]]);
      await quiet(bench);
      expect(bench.interrupts).toEqual([0]);
    },
  );

  it('a queue that is made for a move is asleep: the old place serves until it has let go', async () => {
    const popped: unknown[] = [];
    const { bench, one, two } = await open({
      blk: { 'num-queues': 2 },
      intercept: (original) => ({
        blkPop(...args) {
          popped.push(original);
          return original.blkPop(...args);
        },
      }),
    });
    two.paused = true; // the move waits for it
    const mapping: VqMapping[] = [{ iothread: one }, { iothread: two }];
    const moving = bench.blk.changeMapping({ 'iothread-vq-mapping': mapping });
    await quiet(bench);
    expect(one.called).toContain('create-queues');
    popped.length = 0;
    bench.backend.drainedBegin();
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    bench.backend.drainedEnd(); // all lanes are told, those of the move, too
    await quiet(bench);
    expect(bench.status(read)).toBe(OK);
    expect(popped).not.toContain(Object.getPrototypeOf(one.core.engine));
    two.paused = false;
    await bench.settle(moving);
  });

  describe('a refusal before the queues change hands changes nothing', () => {
    const services = ['open-lane', 'create-queues'] as const;

    it.each(services)('the second of two threads refuses: %s', async (refused) => {
      const { bench, one, two, move } = await open({ blk: { 'num-queues': 2 } });
      await move(0); // what a first move makes for good is there
      await move('main');
      const before = [
        bench.core.allocatedBytes,
        bench.context.handlers,
        bench.context.bottomHalves,
      ];
      const configs = bench.blk.queueConfigs;
      two.before = (service) => {
        if (service === refused) throw new Error(`no ${service} here`);
      };
      const mapping: VqMapping[] = [{ iothread: one }, { iothread: two }];
      const moving = bench.blk.changeMapping({ 'iothread-vq-mapping': mapping });
      await expect(bench.settle(moving)).rejects.toThrow(`no ${refused} here`);
      await quiet(bench);
      expect([
        bench.core.allocatedBytes,
        bench.context.handlers,
        bench.context.bottomHalves,
      ]).toEqual(before);
      expect([one.users, two.users, one.listeners, two.listeners]).toEqual([[], [], 0, 0]);
      expect([one.context.bottomHalves, two.context.bottomHalves]).toEqual([0, 0]);
      expect(bench.blk.queueConfigs).toEqual(configs);
      for (const queue of [0, 1]) {
        const read = bench.read(0, 512, queue);
        bench.run(queue);
        expect(bench.status(read)).toBe(OK);
      }
      two.before = () => {}; // and the next one succeeds
      await bench.settle(bench.blk.changeMapping({ 'iothread-vq-mapping': mapping }));
      await quiet(bench);
      expect([one, two].map(({ context }) => context.handlers.length)).toEqual([1, 1]);
    });

    it('a queue that joins others on their thread is refused, and they are served', async () => {
      const { bench, one, two } = await open({ blk: { 'num-queues': 2 } });
      const apart: VqMapping[] = [
        { iothread: one, vqs: [0] },
        { iothread: two, vqs: [1] },
      ];
      await bench.settle(bench.blk.changeMapping({ 'iothread-vq-mapping': apart }));
      await quiet(bench);
      const before = bench.core.allocatedBytes;
      one.before = (service) => {
        if (service === 'create-queues') throw new Error('full');
      };
      await expect(bench.settle(bench.blk.changeMapping({ iothread: one }))).rejects.toThrow(
        'full',
      );
      await quiet(bench);
      expect(bench.core.allocatedBytes).toBe(before);
      one.before = () => {};
      await bench.settle(bench.blk.changeMapping({ iothread: one }));
      await quiet(bench);
      expect([one, two].map(({ context }) => context.handlers.length)).toEqual([2, 0]);
      const ours = ({ users }: NearThread) => users.filter((user) => user === 'virtio-blk');
      expect([ours(one), ours(two)]).toEqual([['virtio-blk'], []]);
      for (const queue of [0, 1]) {
        const read = bench.read(0, 512, queue);
        bench.run(queue);
        expect(bench.status(read)).toBe(OK);
      }
    });

    it('a disk that serves its own thread only, and a mapping that is wrong', async () => {
      const { bench, one } = await open();
      await expect(
        bench.blk.changeMapping({ 'iothread-vq-mapping': [{ iothread: one, vqs: [1] }] }),
      ).rejects.toThrow(/queue 1 .*num-queues/);
      await expect(bench.blk.changeMapping({ iotread: one } as never)).rejects.toThrow('iotread');
      expect(one.called).toEqual([]);
    });
  });

  describe('a reset amid a move', () => {
    const steps = ['open-lane', 'create-queues', 'hand-over-queues', 'take-queues', 'close-queues'];

    it.each(steps)('VC-3 at %s: nothing old is served, and the next driver is', async (at) => {
      const { bench, driver, one, two, begin } = await open({
        from: 0,
        blk: { 'request-merging': false },
      });
      driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
      const asked = [3, 5].map((sector) => bench.write(sector, pattern(512)));
      bench.kick();
      driver.answer = () => undefined;
      const reset = (service: string) => {
        if (service === at) bench.blk.writeStatus(0);
      };
      one.before = reset;
      two.before = reset;
      await bench.settle(begin(1));
      one.before = () => {};
      two.before = () => {};
      await bench.settle(bench.blk.idle());
      bench.backend.drainedEnd();
      await quiet(bench);
      expect([bench.blk.status, driver.calls.length]).toEqual([0, 1]);
      expect(bench.status(asked[1]!)).toBe(UNANSWERED);
      expect([bench.queueWord(QUEUE_INUSE), bench.queueWord(QUEUE_SERVING)]).toEqual([0, 0]);
      bench.start();
      await quiet(bench);
      const read = bench.read(0, 512);
      bench.run();
      expect([bench.status(read), two.context.handlers.length]).toEqual([OK, 1]);
    });

    it('VC-3 and one that is started again before the queues have changed hands', async () => {
      const { bench, one, two, begin } = await open({ from: 0 });
      one.before = (service) => {
        if (service !== 'hand-over-queues') return;
        bench.blk.writeStatus(0);
        expect(bench.blk.status).toBe(0); // nothing was in flight
        bench.start();
      };
      const epoch = bench.queueWord(QUEUE_EPOCH);
      await bench.settle(begin(1));
      await quiet(bench);
      expect(bench.queueWord(QUEUE_EPOCH)).toBe(epoch + 2);
      const read = bench.read(0, 512);
      bench.run();
      expect([bench.status(read), two.context.handlers.length]).toEqual([OK, 1]);
    });
  });

  it('VC-3 a reset while the new thread takes them over: they are dropped', async () => {
    const blk = { 'request-merging': false };
    const { bench, driver, begin } = await open({ from: 0, blk });
    driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
    for (const at of [9, 7]) bench.write(at, pattern(512, at));
    bench.kick();
    await quiet(bench);
    driver.answer = () => undefined;
    expect(driver.take()).toHaveLength(1); // the other one waits
    const { queue } = bench.blk.queueConfigs[0]!;
    const real = RingRecords.prototype.isInFlight;
    const spy = vi.spyOn(RingRecords.prototype, 'isInFlight');
    spy.mockImplementationOnce(function (this: RingRecords, head: number) {
      // As main does, before it waits for the thread to come out of its call.
      Atomics.add(bench.core.i32, (queue + QUEUE_EPOCH) >>> 2, 1);
      return real.call(this, head);
    });
    await bench.settle(begin(1));
    expect(spy).toHaveBeenCalled();
    spy.mockRestore();
    bench.blk.writeStatus(0);
    bench.backend.drainedEnd();
    await quiet(bench);
    expect(bench.blk.status).toBe(0);
    expect(driver.take()).toEqual([]);
    bench.start();
    await quiet(bench);
    const read = bench.read(0, 512);
    bench.run();
    expect(bench.status(read)).toBe(OK);
  });

  it('stop and start amid a move: listened for at the new place only', async () => {
    const { bench, one, two, begin } = await open({ from: 0 });
    one.before = (service) => {
      if (service === 'hand-over-queues') bench.blk.writeStatus(11);
    };
    two.before = (service) => {
      if (service === 'take-queues') bench.blk.writeStatus(15);
    };
    await bench.settle(begin(1));
    await quiet(bench);
    expect([one, two].map(({ context }) => context.handlers.length)).toEqual([0, 1]);
    const read = bench.read(0, 512);
    bench.run();
    expect(bench.status(read)).toBe(OK);
  });

  it('a thread that dies while it hands over breaks the device, which can be reset and goes on', async () => {
    const { bench, one, two, begin } = await open({ from: 0 });
    bench.core.i32[(bench.queueAddress() + QUEUE_SERVING) >>> 2] = 1; // it dies inside a call
    one.paused = true;
    const moving = begin(1);
    await quiet(bench); // the other one is ready; this one reads no message
    one.die(new Error('gone'));
    await bench.settle(moving);
    expect(bench.blk.brokenReason).toBe(BROKEN_ENGINE);
    bench.blk.writeStatus(0);
    await bench.settle(bench.blk.idle());
    bench.start();
    await quiet(bench);
    const read = bench.read(0, 512);
    bench.run();
    expect([bench.status(read), two.context.handlers.length]).toEqual([OK, 1]);
  });

  it('moves come one after the other, and a close waits for them', async () => {
    const { bench, one, two, begin } = await open();
    const moves = [begin(0), begin(1), begin('main'), begin(1)];
    const closed = bench.blk.close();
    await bench.settle(Promise.all([...moves, closed]));
    expect([one.users, two.users]).toEqual([[], []]);
    expect([one, two].map(({ context }) => context.bottomHalves)).toEqual([0, 0]);
  });

  it('a device that is closed is not moved', async () => {
    const { bench, begin } = await open();
    await bench.settle(bench.blk.close());
    await expect(begin(0)).rejects.toThrow('closed');
  });

  it('what was allocated for a place is given back when the queue leaves it', async () => {
    const { bench, one, two, move } = await open();
    await move(0);
    await move('main');
    const before = [
      bench.core.allocatedBytes,
      bench.context.handlers.length,
      bench.context.bottomHalves,
    ];
    for (const to of route) await move(to);
    expect([
      bench.core.allocatedBytes,
      bench.context.handlers.length,
      bench.context.bottomHalves,
    ]).toEqual(before);
    expect([one, two].map(({ context }) => context.bottomHalves)).toEqual([0, 0]);
    expect([one, two].map(({ listeners }) => listeners)).toEqual([0, 0]);
  });

  it('a client’s notifiers stay where they are', async () => {
    const { bench, move } = await open({ blk: { guestNotifier: 'client' } });
    const notifiers = bench.blk.queueNotifiers;
    for (const to of route) {
      await move(to);
      expect(bench.blk.queueNotifiers).toEqual(notifiers);
      const read = bench.read(0, 512);
      bench.rings[0]!.publish();
      bench.core.engine.notifierSet(notifiers[0]!.host);
      bench.turns();
      expect([to, bench.status(read)]).toEqual([to, OK]);
      expect(bench.core.engine.notifierTestAndClear(notifiers[0]!.guest)).toBe(1);
    }
  });

  it('what is written is told of first at each place, and main holds the index where a thread serves', async () => {
    const told: number[] = [];
    const { bench, move } = await open({
      blk: { onGuestWrite: (address) => told.push(address) },
    });
    const held = () => (bench.queueWord(QUEUE_FEATURES) & QUEUE_F_HELD) !== 0;
    for (const to of [...route, 0, 'main'] as const) {
      await move(to);
      expect([to, held()]).toEqual([to, to !== 'main']);
      told.length = 0;
      const read = bench.read(0, 512);
      bench.run();
      expect([to, bench.status(read), told.length > 0]).toEqual([to, OK, true]);
      bench.blk.writeStatus(11); // a stop looks once more: the index must not go back
      bench.blk.writeStatus(15);
      await quiet(bench);
      expect(bench.collect()).toBe(0);
    }
  });
});

describe.each(engines)('a thread that has died with a request in flight, %s', (engine) => {
  const steps: Record<string, (bench: Bench) => Promise<unknown>> = {
    'its machine stops': (bench) => bench.blk.settings.machine!.stop(),
    'its queues move to main': (bench) => bench.blk.changeMapping({}),
    'its queues move, and the device is closed': (bench) => {
      void bench.blk.changeMapping({});
      return bench.blk.close();
    },
  };

  it.each(Object.keys(steps))('nobody waits for it: %s', async (step) => {
    const driver = new ProbeDriver(SIZE, 'loop');
    const bench = await Bench.open({ engine, threads: 1, driver, machine: true });
    bench.start();
    await quiet(bench);
    const write = bench.write(3, pattern(512));
    bench.run();
    expect(driver.held).toHaveLength(1);
    driver.answer = () => 0; // the machine's flush
    const [thread] = bench.threads as [NearThread];
    thread.die(new Error('gone'));
    await quiet(bench);
    expect(bench.blk.brokenReason).toBe(BROKEN_ENGINE);
    let over = false;
    const ends = steps[step]!(bench).then(() => {
      over = true;
    });
    for (let i = 0; i < 10 && !over; i++) await quiet(bench);
    expect(over).toBe(true);
    await ends;
    expect([bench.backend.inFlight, bench.status(write)]).toEqual([0, UNANSWERED]);
  });
});
