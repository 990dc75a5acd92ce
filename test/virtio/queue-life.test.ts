/** Starts and stops of the data plane, and drained sections around them (behaviour 3.19). */

import { describe, expect, it, vi } from 'vitest';
import type { AioContext } from '#src/aio/context';
import {
  CONTEXT_TURNS,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_NOTIFICATION,
  QUEUE_READY,
  QUEUE_RUNNING,
} from '#src/layout';
import type { BlkQueue } from '#src/virtio/blk-queue';
import { Bench, type BenchOptions, OK, pattern, UNANSWERED } from './blk-bench.ts';
import type { NearThread } from './near-thread.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
const places = [
  { where: 'main, kick=poll', threads: 0, blk: { kick: 'poll' } },
  { where: 'a thread', threads: 1, blk: {} },
] as const;

/** Messages have been answered, too. */
async function quiet(bench: Bench): Promise<void> {
  for (let i = 0; i < 4; i++) {
    bench.turns();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function kicksHeard(home: AioContext): number[] {
  const numbers = home.handlers.map((name) => /kick (\d+)$/.exec(name)?.[1]);
  return numbers.filter((number) => number !== undefined).map(Number);
}

describe.each(places)('queues served by $where', ({ threads, blk }) => {
  async function open(options: BenchOptions = {}, settles: 'inline' | 'loop' = 'inline') {
    const driver = new ProbeDriver(SIZE, settles);
    const bench = await Bench.open({
      driver,
      threads,
      ...options,
      blk: { ...blk, ...options.blk },
    });
    const home: AioContext = bench.threads[0]?.context ?? bench.context;
    /** Handlers set and removed. */
    const trace: string[] = [];
    const real = home.setHandler.bind(home);
    home.setHandler = (notifier, handler) => {
      if (/kick/.test(notifier.name)) trace.push(handler ? 'attach' : 'detach');
      real(notifier, handler);
    };
    return { bench, driver, home, trace, listening: () => kicksHeard(home) };
  }

  const positions = [0, 1, 2, 3, 4, 5, 6];
  const pairs = positions.flatMap((start) =>
    positions.filter((stop) => stop >= start).map((stop) => [start, stop] as const),
  );

  it('DP-1 DP-3 DP-4 historic bug 9 a drained section 3 deep, with start and stop in all positions', async () => {
    for (const [start, stop] of pairs) {
      const { bench, trace, listening } = await open();
      let depth = 0;
      let started = false;
      const check = async (step: number) => {
        await quiet(bench);
        const expected = started && depth === 0 ? [0] : [];
        expect([start, stop, step, listening()]).toEqual([start, stop, step, expected]);
      };
      bench.negotiate();
      bench.addRing(0);
      for (let step = 0; step <= 6; step++) {
        if (step === start) {
          bench.blk.writeStatus(15);
          started = true;
        }
        await check(step);
        if (step === stop) {
          bench.blk.writeStatus(11);
          started = false;
        }
        await check(step);
        if (step === 6) break;
        if (step < 3) {
          bench.backend.drainedBegin();
          depth++;
        } else {
          bench.backend.drainedEnd();
          depth--;
        }
      }
      const steps = trace.join(' ');
      expect([start, stop, /attach attach|detach detach/.test(steps)]).toEqual([
        start,
        stop,
        false,
      ]);
      bench.blk.writeStatus(0);
      await bench.settle(bench.blk.close());
    }
  });

  it('DP-3 BB-7 a device that is made on a drained backend listens when the section ends', async () => {
    const { bench, listening } = await open();
    bench.backend.drainedBegin();
    bench.start();
    const read = bench.read(0, 512);
    bench.kick();
    await quiet(bench);
    expect([listening(), bench.status(read)]).toEqual([[], UNANSWERED]);
    bench.backend.drainedEnd();
    await quiet(bench);
    expect([listening(), bench.status(read)]).toEqual([[0], OK]);
  });

  it('HN-8 historic bug 12 a drain amid polling: kicks are asked for again, and what came is served', async () => {
    const { bench, home, trace, listening } = await open();
    bench.start();
    await quiet(bench);
    // Polling has begun; a drain comes, and nobody ends the polling.
    home.core.engine.queueSetNotification(bench.queueAddress(), 0);
    bench.backend.drainedBegin();
    await quiet(bench);
    expect([listening(), bench.queueWord(QUEUE_NOTIFICATION)]).toEqual([[], 0]);
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    expect(bench.rings[0]!.needsKick()).toBe(false); // so the driver does not kick
    trace.length = 0;
    bench.backend.drainedEnd();
    await quiet(bench);
    expect([bench.status(read), bench.queueWord(QUEUE_NOTIFICATION)]).toEqual([OK, 1]);
    expect(trace.filter((step) => step === 'attach')).toHaveLength(1);
    const next = bench.read(1, 512);
    bench.run();
    expect(bench.status(next)).toBe(OK);
  });

  it('DP-5 a handler that runs once more after the detach parks what it has popped', async () => {
    let pops = 0;
    let drain = () => {};
    const { bench, driver } = await open({
      intercept: (original) => ({
        blkPop(...args) {
          const count = original.blkPop(...args);
          if (count > 0 && pops++ === 0) drain();
          return count;
        },
      }),
      blk: { 'request-merging': false },
    });
    bench.start();
    await quiet(bench);
    drain = () => bench.backend.drainedBegin();
    const asked = [3, 5].map((at) => bench.write(at, pattern(512, at)));
    bench.kick();
    bench.turns();
    await bench.settle(bench.backend.idle());
    expect([pops, driver.calls, bench.queueWord(QUEUE_INUSE)]).toEqual([1, [], 2]);
    bench.backend.drainedEnd();
    await quiet(bench);
    expect(asked.map((one) => bench.status(one))).toEqual([OK, OK]);
    expect([bench.collect(), bench.queueWord(QUEUE_INUSE)]).toEqual([2, 0]);
  });

  it('DP-5 what was in flight at the detach completes inside the section, and interrupts', async () => {
    const { bench, driver } = await open({}, 'loop');
    bench.start();
    await quiet(bench);
    const read = bench.read(0, 512);
    bench.kick();
    bench.turns();
    bench.backend.drainedBegin();
    const idle = bench.backend.idle();
    await quiet(bench);
    driver.settle();
    await bench.settle(idle);
    await quiet(bench);
    expect([bench.status(read), bench.interrupts]).toEqual([OK, [0]]);
    bench.backend.drainedEnd();
  });

  it('DP-1 DP-7 historic bug 9 starts, resets and drains in any order leave no handler, and nothing runs', async () => {
    const { bench, listening } = await open({ blk: { 'num-queues': 2 } });
    let answered = 0;
    for (let round = 0; round < 60; round++) {
      if (round % 3 === 0) bench.backend.drainedBegin();
      bench.start();
      if (round % 2 === 0) await quiet(bench);
      bench.read(round, 512);
      bench.read(round, 512, 1);
      bench.kick();
      bench.kick(1);
      if (round % 3 === 0) {
        bench.backend.drainedEnd();
        await quiet(bench);
      }
      if (round % 3 === 1) bench.backend.drainedBegin();
      answered += bench.collect() + bench.collect(1);
      bench.blk.writeStatus(0);
      if (round % 3 === 1) bench.backend.drainedEnd();
      await bench.settle(bench.blk.idle());
      await quiet(bench);
      expect([round, listening()]).toEqual([round, []]);
    }
    expect(answered).toBeGreaterThanOrEqual(40);
    const contexts = [bench.context, ...bench.threads.map(({ context }) => context)];
    const turnsOf = () =>
      contexts.map(({ address }) => bench.core.u32[(address + CONTEXT_TURNS) >>> 2]);
    expect(contexts.map((context) => context.poll())).toEqual(contexts.map(() => false));
    const before = turnsOf();
    bench.blk.kick(0); // nobody listens, and nothing is served
    expect(contexts.map((context) => context.poll())).toEqual(contexts.map(() => false));
    expect(turnsOf().every((turns, i) => turns! - before[i]! <= 1)).toBe(true);
  });

  it('DP-6 a driver that starts, kicks and starts again from inside of what it starts', async () => {
    const { bench, driver, listening } = await open();
    bench.blk.useLegacy(true);
    bench.blk.writeStatus(3);
    bench.addRing(0, 256, true);
    driver.answer = () => {
      bench.blk.kick(0);
      bench.blk.writeStatus(7);
      return undefined;
    };
    const read = bench.read(0, 512);
    bench.kick();
    await quiet(bench);
    expect([bench.status(read), driver.calls.length, listening()]).toEqual([OK, 1, [0]]);
    const next = bench.read(1, 512);
    bench.run();
    expect([bench.status(next), driver.calls.length]).toEqual([OK, 2]);
  });

  it('HN-8 HN-4 a listener that is refused after a drain amid polling: kicks are asked for all the same', async () => {
    const { bench, home, listening } = await open();
    bench.start();
    await quiet(bench);
    home.core.engine.queueSetNotification(bench.queueAddress(), 0);
    bench.backend.drainedBegin();
    await quiet(bench);
    const full = home.setHandler;
    home.setHandler = (notifier, handler) => {
      if (handler && /kick/.test(notifier.name)) throw new RangeError('no room');
      full(notifier, handler);
    };
    bench.backend.drainedEnd();
    await quiet(bench);
    expect([listening(), bench.queueWord(QUEUE_NOTIFICATION)]).toEqual([[], 1]);
    const read = bench.read(0, 512);
    bench.run(); // kicks if it is asked to
    expect(bench.status(read)).toBe(OK);
    home.setHandler = full; // L2: the next start tries again, and its stop leaves nothing
    bench.blk.writeStatus(0);
    await bench.settle(bench.blk.idle());
    bench.start();
    await quiet(bench);
    expect(listening()).toEqual([0]);
    bench.blk.writeStatus(0);
    await quiet(bench);
    expect(listening()).toEqual([]);
  });

  it('VQ-7 historic bug 24 interrupts go on after stops and starts that others completed in', async () => {
    const { bench, driver } = await open({}, 'loop');
    bench.start(0xffff_ffff); // with EVENT_IDX
    await quiet(bench);
    for (let round = 0; round < 5; round++) {
      const before = bench.interrupts.length;
      bench.read(round, 512);
      bench.kick();
      bench.turns();
      bench.blk.writeStatus(11); // the data plane stops, with a request in flight
      driver.settle(); // used.idx goes on meanwhile
      bench.turns();
      bench.blk.writeStatus(15);
      await quiet(bench);
      expect(bench.collect()).toBe(1);
      const middle = bench.interrupts.length;
      expect([round, middle - before]).toEqual([round, 1]);
      const next = bench.read(round, 512);
      bench.kick();
      bench.turns();
      driver.settle();
      bench.turns();
      expect([bench.status(next), bench.collect()]).toEqual([OK, 1]);
      expect([round, bench.interrupts.length - middle]).toEqual([round, 1]);
    }
  });

  it('BL-17 DP-13 an interrupt that waits for a turn when the driver stops is delivered at once', async () => {
    const { bench, driver, home } = await open({}, 'loop');
    bench.start();
    await quiet(bench);
    bench.read(0, 512);
    bench.kick();
    bench.turns();
    driver.settle();
    // The lane's bottom half alone: the queue's, which tells, comes in the next turn.
    home.poll();
    expect(bench.interrupts).toEqual([]);
    bench.blk.writeStatus(11);
    expect(bench.interrupts).toEqual([0]);
    bench.turns();
    expect(bench.interrupts).toEqual([0]);
  });

  it('DP-3 DP-13 so is one when it stops inside a drained section', async () => {
    const { bench, driver, home } = await open({}, 'loop');
    bench.start();
    await quiet(bench);
    bench.read(0, 512);
    bench.kick();
    bench.turns();
    bench.backend.drainedBegin();
    await quiet(bench);
    driver.settle();
    home.poll();
    expect(bench.interrupts).toEqual([]);
    bench.blk.writeStatus(11);
    expect(bench.interrupts).toEqual([0]);
    bench.turns();
    expect(bench.interrupts).toEqual([0]);
    bench.backend.drainedEnd();
  });
});

describe('the order of steps', () => {
  /** What the thread finds when it reads each message, and main's guest notifier then. */
  async function traced() {
    const bench = await Bench.open({ threads: 1 });
    const [thread] = bench.threads as [NearThread];
    const steps: string[] = [];
    const look = (step: string) => {
      const word = (field: number) => bench.queueWord(field);
      const heard = bench.context.handlers.some((name) => /interrupt 0/.test(name));
      steps.push(
        `${step}: ready ${word(QUEUE_READY)}, running ${word(QUEUE_RUNNING)}, interrupts ${heard ? 'on' : 'off'}`,
      );
    };
    thread.before = look;
    return { bench, thread, steps, look };
  }

  it('DP-1 DP-2 DP-14 start: interrupts are heard, the ring is ready, then requests are taken, then kicks are heard', async () => {
    const { bench, steps, look } = await traced();
    bench.negotiate();
    look('before');
    bench.addRing(0);
    look('ring');
    bench.blk.writeStatus(15);
    bench.turns();
    expect(steps).toEqual([
      'before: ready 0, running 0, interrupts on',
      'ring: ready 1, running 0, interrupts on',
      'attach-queues: ready 1, running 1, interrupts on',
    ]);
  });

  it('DP-1 DP-2 stop: no requests are taken, then kicks are not heard, then the drain, then interrupts end', async () => {
    const { bench, thread, steps, look } = await traced();
    bench.start();
    bench.turns();
    steps.length = 0;
    const begin = vi.spyOn(bench.backend, 'drainedBegin');
    begin.mockImplementationOnce(function (this: typeof bench.backend) {
      look('drain');
      begin.mockRestore();
      this.drainedBegin();
    });
    bench.blk.writeStatus(0);
    bench.turns();
    await bench.settle(bench.blk.close());
    expect(steps).toEqual([
      'drain: ready 1, running 0, interrupts on',
      'detach-queues: ready 0, running 0, interrupts on',
      'close-queues: ready 0, running 0, interrupts on',
      'close-lane: ready 0, running 0, interrupts off',
    ]);
    expect(thread.context.handlers).toEqual([]);
  });

  it('DP-4 a drain before the start and one after the stop send no message', async () => {
    const { bench, thread } = await traced();
    const drain = async () => {
      bench.backend.drainedBegin();
      bench.backend.drainedEnd();
      await quiet(bench);
    };
    thread.called.length = 0;
    await drain();
    bench.start();
    await quiet(bench);
    await drain();
    bench.blk.writeStatus(0);
    await quiet(bench);
    await drain();
    expect(thread.called).toEqual([
      'attach-queues',
      'detach-queues',
      'attach-queues',
      'detach-queues',
    ]);
  });

  it('DP-5 a thread that has not read of the drain yet takes nothing', async () => {
    const { bench, thread } = await traced();
    bench.start();
    await quiet(bench);
    thread.paused = true;
    bench.backend.drainedBegin();
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    const places = thread.state.get('virtio/queues') as Map<number, { queue: BlkQueue }>;
    for (const { queue } of places.values()) queue.kick(); // its handler is there still
    expect([bench.queueWord(QUEUE_LAST_AVAIL), bench.status(read)]).toEqual([0, UNANSWERED]);
    thread.paused = false;
    bench.backend.drainedEnd();
    await quiet(bench);
    expect(bench.status(read)).toBe(OK);
  });
});
