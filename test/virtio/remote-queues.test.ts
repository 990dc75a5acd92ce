/** Queues that another thread serves: start, reset, what breaks, and the end of a thread. */

import { describe, expect, it } from 'vitest';
import { deferCall } from '#src/aio/defer-call';
import {
  BROKEN_ENGINE,
  BROKEN_HEAD,
  CONTEXT_MAX_BATCH,
  QUEUE_BROKEN,
  QUEUE_EPOCH,
  QUEUE_INUSE,
  QUEUE_READY,
  QUEUE_RUNNING,
  QUEUE_SERVING,
} from '#src/layout';
import type { BlkQueue } from '#src/virtio/blk-queue';
import { QueueServing, quiesceQueues, setRunning } from '#src/virtio/queue-serving';
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

/** The servers of a thread's queues, by the address of their words. */
function serversOf(thread: NearThread): BlkQueue[] {
  const places = thread.state.get('virtio/queues') as Map<number, { queue: BlkQueue }>;
  return [...places.values()].map(({ queue }) => queue);
}

describe.each(engines)('queues of another thread, %s', (engine) => {
  async function open(options: BenchOptions = {}, settles: 'inline' | 'loop' = 'inline') {
    const driver = new ProbeDriver(SIZE, settles);
    const bench = await Bench.open({ engine, driver, threads: 1, ...options });
    return { bench, driver, thread: bench.threads[0] as NearThread };
  }

  async function started(options: BenchOptions = {}, settles: 'inline' | 'loop' = 'inline') {
    const opened = await open(options, settles);
    opened.bench.start();
    opened.bench.turns();
    await new Promise((resolve) => setImmediate(resolve));
    return opened;
  }

  describe('start', () => {
    it('DP-14 a handler that runs between any two steps of a start finds all or nothing', async () => {
      const seen: number[] = [];
      let look = () => {};
      const { bench, driver, thread } = await open({
        intercept: (original) => ({
          queueEnable(...args) {
            look();
            const broken = original.queueEnable(...args);
            look();
            return broken;
          },
        }),
      });
      look = () => {
        for (const queue of serversOf(thread)) queue.serve();
        seen.push(driver.calls.length);
      };
      bench.negotiate();
      const ring = bench.addRing(0);
      const read = bench.read(0, 512);
      ring.publish();
      look();
      expect([bench.queueWord(QUEUE_READY), bench.queueWord(QUEUE_RUNNING)]).toEqual([1, 0]);
      expect(seen).toEqual([0, 0, 0]);
      bench.blk.writeStatus(15);
      expect(bench.queueWord(QUEUE_RUNNING)).toBe(1);
      look(); // its handler is not attached yet
      expect([bench.status(read), bench.blk.brokenReason]).toEqual([OK, 0]);
      bench.blk.writeStatus(11);
      bench.read(1, 512);
      ring.publish();
      look();
      expect(driver.calls).toHaveLength(1);
    });

    it('VC-1 a driver that stops and starts again within one turn is served', async () => {
      const { bench, thread } = await started();
      thread.paused = true;
      for (let i = 0; i < 3; i++) {
        bench.blk.writeStatus(11);
        bench.blk.writeStatus(15);
      }
      thread.paused = false;
      bench.turns();
      const read = bench.read(0, 512);
      bench.run();
      expect([bench.status(read), thread.context.handlers]).toEqual([OK, ['kick 0']]);
    });
  });

  describe('reset', () => {
    it('VC-3 with nothing in flight the status reads 0 at once, whatever the thread does', async () => {
      const { bench, thread } = await started();
      const read = bench.read(0, 512);
      bench.run();
      expect(bench.status(read)).toBe(OK);
      thread.paused = true;
      bench.blk.writeStatus(0);
      expect([bench.blk.status, bench.queueWord(QUEUE_RUNNING)]).toEqual([0, 0]);
      bench.start();
      const next = bench.read(1, 512);
      bench.run(); // before the thread has read one message
      expect([bench.status(next), bench.queueWord(QUEUE_INUSE)]).toEqual([OK, 0]);
      thread.paused = false;
    });

    it('VC-3 BL-17 what settles between a reset and its message touches no guest byte', async () => {
      const { bench, driver, thread } = await started({}, 'loop');
      driver.bytes.fill(0x77);
      const asked = [bench.read(0, 512), bench.write(9, pattern(512)), bench.read(20, 4096)];
      bench.kick();
      expect(driver.held).toHaveLength(3);
      thread.paused = true;
      bench.blk.writeStatus(0);
      const before = bench.ram.read(0, 1 << 20);
      driver.settleAll();
      bench.turns();
      expect(bench.ram.read(0, 1 << 20)).toEqual(before);
      expect(asked.map((one) => bench.status(one))).toEqual(asked.map(() => UNANSWERED));
      expect([bench.blk.resetting, bench.interrupts]).toEqual([true, []]);
      thread.paused = false;
      await bench.settle(bench.blk.idle());
      expect([bench.blk.status, bench.queueWord(QUEUE_INUSE)]).toEqual([0, 0]);
    });

    it('BL-17 requests of the next driver are not taken for those of the last', async () => {
      const { bench, driver } = await started({}, 'loop');
      for (let round = 0; round < 3; round++) {
        for (const sector of [0, 10]) bench.read(sector, 512);
        bench.kick();
        bench.blk.writeStatus(0);
        driver.settleAll();
        await bench.settle(bench.blk.idle());
        bench.start();
        const asked: Asked[] = [0, 10].map((sector) => bench.read(sector, 512));
        bench.kick();
        driver.settleAll();
        bench.turns();
        expect([bench.collect(), ...asked.map((one) => one.used)]).toEqual([2, 513, 513]);
        bench.blk.writeStatus(0);
        await bench.settle(bench.blk.idle());
        bench.start();
      }
    });

    it('BL-17 a gate that was closed in between leaves nothing parked', async () => {
      const { bench, driver } = await started({ blk: { 'request-merging': false } });
      driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
      for (const sector of [0, 1, 2]) bench.write(sector, pattern(512));
      bench.kick();
      expect(bench.queueWord(QUEUE_INUSE)).toBe(2);
      bench.blk.writeStatus(0);
      bench.backend.drainedEnd();
      await bench.settle(bench.blk.idle());
      expect([driver.calls.length, bench.queueWord(QUEUE_INUSE)]).toEqual([1, 0]);
    });

    it('PC-8 without bus mastering the thread touches no guest byte', async () => {
      const { bench, driver, thread } = await started({}, 'loop');
      bench.read(0, 512);
      bench.kick();
      thread.paused = true;
      bench.blk.setBusMaster(false);
      const before = bench.ram.read(0, 1 << 20);
      driver.bytes.fill(0x55);
      driver.settleAll();
      bench.turns();
      bench.rings[0]!.publish();
      bench.blk.kick(0);
      bench.turns();
      expect(bench.ram.read(0, 1 << 20)).toEqual(before);
      thread.paused = false;
      bench.turns();
      bench.blk.setBusMaster(true);
    });

    it('BL-18 a resize is told by main, with queues elsewhere, and the thread serves the new end', async () => {
      const { bench, driver } = await started();
      const beyond = bench.read(SIZE / 512, 512);
      bench.run();
      await bench.settle(bench.backend.resize(2 * SIZE));
      bench.turns();
      expect(bench.configInterrupts).toBe(1);
      expect(driver.size).toBe(2 * SIZE);
      const inside = bench.read(SIZE / 512, 512);
      bench.run();
      expect([bench.status(beyond), bench.status(inside)]).toEqual([1, OK]);
    });
  });

  describe('what breaks', () => {
    it('DP-9 four queues of four threads break at once: one NEEDS_RESET, one interrupt', async () => {
      const { bench } = await open({ threads: 4, blk: { 'num-queues': 4 } });
      bench.start();
      bench.turns();
      for (let queue = 0; queue < 4; queue++) {
        bench.rings[queue]!.offer(999);
        bench.rings[queue]!.publish();
        bench.blk.kick(queue);
      }
      for (const thread of bench.threads) while (thread.turn());
      for (let queue = 0; queue < 4; queue++) {
        expect(bench.queueWord(QUEUE_BROKEN, queue)).toBe(BROKEN_HEAD);
      }
      bench.turns();
      await new Promise((resolve) => setImmediate(resolve));
      bench.turns();
      expect([bench.blk.brokenReason, bench.configInterrupts]).toEqual([BROKEN_HEAD, 1]);
      expect(bench.blk.status & 64).toBe(64);
      bench.blk.writeStatus(0);
      await bench.settle(bench.blk.idle());
      bench.start();
      bench.turns();
      for (let queue = 0; queue < 4; queue++) {
        const read = bench.read(0, 512, queue);
        bench.run(queue);
        expect(bench.status(read)).toBe(OK);
      }
      expect([bench.blk.brokenReason, bench.configInterrupts]).toEqual([0, 1]);
    });

    it('DP-9 what breaks by the engine brings its cause along', async () => {
      let failing = false;
      const { bench } = await started({
        intercept: (original) => ({
          blkPop(queue, max) {
            if (failing) throw new WebAssembly.RuntimeError('unreachable');
            return original.blkPop(queue, max);
          },
        }),
      });
      failing = true;
      bench.read(0, 512);
      bench.kick();
      failing = false;
      expect([bench.blk.brokenReason, bench.queueWord(QUEUE_SERVING)]).toEqual([BROKEN_ENGINE, 0]);
      expect(bench.blk.brokenCause).toMatchObject({ name: 'RuntimeError', message: 'unreachable' });
    });

    it('DP-9 news of a queue that was reset meanwhile is dropped', async () => {
      const { bench, thread } = await started();
      const news: [string, unknown][] = [];
      const post = thread.post.bind(thread);
      thread.post = (event, payload) => void news.push([event, payload]);
      bench.rings[0]!.offer(999);
      bench.rings[0]!.publish();
      bench.blk.kick(0);
      while (thread.turn());
      bench.blk.writeStatus(0);
      await bench.settle(bench.blk.idle());
      bench.start();
      for (const [event, payload] of news) post(event, payload);
      bench.turns();
      expect(news).toHaveLength(1);
      expect([bench.blk.brokenReason, bench.configInterrupts]).toEqual([0, 0]);
    });

    it('a thread that dies breaks the device, which can be reset and closed', async () => {
      const { bench, thread } = await started({}, 'loop');
      bench.read(0, 512);
      bench.kick();
      thread.die(new Error('out of memory'));
      expect([bench.blk.brokenReason, bench.configInterrupts]).toEqual([BROKEN_ENGINE, 1]);
      expect(bench.blk.brokenCause).toMatchObject({ message: 'out of memory' });
      bench.blk.kick(0);
      bench.blk.writeStatus(0);
      await bench.settle(bench.blk.idle());
      expect(bench.blk.status).toBe(0);
      bench.start(); // nobody is there to serve it
      expect([bench.blk.brokenReason, bench.configInterrupts]).toEqual([BROKEN_ENGINE, 2]);
      await bench.settle(bench.blk.close());
    });
  });

  describe('batches', () => {
    it('TP-6 what a driver defers is done once for a kick, and the interrupt comes though it throws', async () => {
      const { bench, driver } = await started();
      let flushed = 0;
      const flush = () => {
        flushed++;
      };
      driver.answer = (request) => {
        deferCall(flush, 0);
        if (request.offset === 512 * 20) throw new Error('no such luck');
        return undefined;
      };
      const asked = [0, 10, 20, 30].map((sector) => bench.read(sector, 512));
      bench.kick();
      expect([flushed, bench.interrupts]).toEqual([1, [0]]);
      expect(asked.map((one) => bench.status(one))).toEqual([OK, OK, 1, OK]);
    });

    it('HN-10 many requests of one turn are one interrupt', async () => {
      const { bench } = await started();
      for (let i = 0; i < 80; i++) bench.read(i * 2, 512);
      bench.kick();
      expect([bench.interrupts, bench.collect()]).toEqual([[0], 80]);
    });

    it('aio-max-batch says how many are taken from the ring in one go', async () => {
      const counts: number[] = [];
      const { bench, thread } = await started({
        intercept: (original) => ({
          blkPop(queue, max) {
            counts.push(max);
            return original.blkPop(queue, max);
          },
        }),
      });
      const words = thread.core.u32;
      const at = (thread.context.address + CONTEXT_MAX_BATCH) >>> 2;
      words[at] = 5;
      counts.length = 0;
      for (let i = 0; i < 12; i++) bench.read(i * 2, 512);
      bench.kick();
      expect([new Set(counts), bench.collect()]).toEqual([new Set([5]), 12]);
    });
  });
});

describe('who may touch guest memory', () => {
  it('VC-3 home is told that its epoch has ended, from the first word on, inside and outside', async () => {
    const bench = await Bench.open({ threads: 1 });
    bench.negotiate();
    bench.addRing(0);
    const queue = bench.queueAddress();
    const word = (field: number) => Atomics.load(bench.core.u32, (queue + field) >>> 2);
    const home = new QueueServing((bench.threads[0] as NearThread).core, queue);
    expect([home.enter(), word(QUEUE_SERVING), home.running]).toEqual([true, 1, false]);
    expect(word(QUEUE_READY)).toBe(1);
    setRunning(bench.core, [queue], true);
    expect([home.enter(), home.running, home.inside]).toEqual([true, true, true]);
    Atomics.add(bench.core.i32, (queue + QUEUE_EPOCH) >>> 2, 1); // as main's first half
    expect(home.enter()).toBe(false);
    for (let i = 0; i < 3; i++) {
      expect(word(QUEUE_SERVING)).toBe(1);
      home.leave();
    }
    expect([word(QUEUE_SERVING), home.inside]).toEqual([0, false]);
    const epoch = word(QUEUE_EPOCH);
    quiesceQueues(bench.core, [queue]);
    // Twice: what was popped after the first count is of an old epoch, too.
    expect(word(QUEUE_EPOCH)).toBe(epoch + 2);
    expect([word(QUEUE_RUNNING), word(QUEUE_READY), home.enter()]).toEqual([0, 0, false]);
    home.leave();
    home.begin();
    expect(home.enter()).toBe(true);
    home.leave();
  });

  it('VC-3 main does not wait for a thread that has gone', async () => {
    const bench = await Bench.open({ threads: 1 });
    const queue = bench.queueAddress();
    const home = new QueueServing((bench.threads[0] as NearThread).core, queue);
    home.enter();
    quiesceQueues(bench.core, [queue], () => true);
    home.leave();
    expect(home.enter()).toBe(false);
    home.leave();
  });
});
