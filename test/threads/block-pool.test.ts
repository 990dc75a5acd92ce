/** The thread pool with real Workers. */
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AioContext } from '#src/aio/context';
import { registerWork, runPoolWorker } from '#src/aio/pool-worker';
import { type PoolRequest, ThreadPool, type ThreadPoolOptions } from '#src/aio/thread-pool';
import type { Core } from '#src/engine/core';
import { CONTEXT_HOME, POOL_IDLE, POOL_RING, POOL_SIZE, POOL_WORKERS } from '#src/layout';
import { type EngineName, engines, sharedCore, until, workerAt } from './threads.ts';

const ECANCELED = 125;
/** Operations of block-pool-worker.mjs. */
const HOLD = 100;
const ADD = 101;
const THROW = 102;
const DIE = 103;

class Rig {
  readonly core: Core;
  readonly context: AioContext;
  readonly pool: ThreadPool;
  /** Words of HOLD: how many are inside, whether they may go, the most that were inside. */
  readonly gate: number;
  /** Workers that were made. */
  made = 0;

  constructor(core: Core, options: Partial<ThreadPoolOptions>) {
    this.core = core;
    this.context = new AioContext(core);
    const make = options.createWorker ?? workerAt('./block-pool-worker.mjs');
    const createWorker = () => {
      this.made += 1;
      return make();
    };
    this.pool = new ThreadPool(this.context, { ...options, createWorker });
    this.gate = core.allocate(16);
  }

  word(index: number): number {
    return Atomics.load(this.core.i32, (this.gate >>> 2) + index);
  }

  /** Workers that sleep, or are about to. */
  get idle(): number {
    return Atomics.load(this.core.i32, (this.pool.address + POOL_IDLE) >>> 2);
  }

  inside(count: number): Promise<void> {
    return until(() => this.word(0) === count);
  }

  /** Lets all that hold go, now and from now on. */
  release(): void {
    Atomics.store(this.core.i32, (this.gate >>> 2) + 1, 1);
    Atomics.notify(this.core.i32, (this.gate >>> 2) + 1);
  }

  hold(offset: number, done: (result: number) => void): PoolRequest {
    return this.pool.submit({ op: HOLD, address: this.gate, offset }, done);
  }

  add(offset: number): Promise<number> {
    return new Promise((resolve) => this.pool.submit({ op: ADD, offset }, resolve));
  }

  async close(): Promise<void> {
    await this.pool.close();
    this.context.close();
    this.core.free(this.gate);
  }
}

describe.each(engines)('thread pool, %s engine', (engine: EngineName) => {
  let core: Core;
  let bytes: number;
  let rig: Rig | null;
  const open = (options: Partial<ThreadPoolOptions> = {}): Rig => (rig = new Rig(core, options));
  beforeEach(async () => {
    core = await sharedCore(engine);
    bytes = core.allocatedBytes;
    rig = null;
  });
  afterEach(async () => {
    await rig?.close();
    expect(core.allocatedBytes).toBe(bytes);
  });

  it('TP-1 two hundred requests, never more than four Workers, each is called back once', async () => {
    const { pool, context } = open();
    const { bottomHalves } = context;
    const results: number[] = [];
    for (let i = 0; i < 200; i++) rig!.hold(i, (result) => results.push(result));
    expect(pool.workers).toBe(4);
    await rig!.inside(4);
    expect(results).toEqual([]);
    expect(pool.outstanding).toBe(200);
    rig!.release();
    await until(() => pool.outstanding === 0);
    expect(results.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect([rig!.word(2), rig!.made, pool.workers]).toEqual([4, 4, 4]);
    expect(context.bottomHalves).toBe(bottomHalves);
  });

  it('TP-1 Workers are made as requests need them; all words reach the operation', async () => {
    const { pool } = open();
    expect(pool.workers).toBe(0);
    const result = await new Promise((resolve) => {
      const work = { op: ADD, offset: 2 ** 30, length: 1000, file: 20, flags: 3 };
      pool.submit(work, resolve);
    });
    expect([result, pool.workers]).toEqual([2 ** 30 + 1023, 1]);
    expect(await rig!.add(7)).toBe(7);
    expect(rig!.made).toBe(1);
  });

  it('TP-1 an idle Worker leaves if there are more than min, and its place is free', async () => {
    const { pool } = open({ min: 1, max: 3, idleMs: 20 });
    const held = [0, 1, 2].map((i) => new Promise((resolve) => rig!.hold(i, resolve)));
    await rig!.inside(3);
    rig!.release();
    expect(await Promise.all(held)).toEqual([0, 1, 2]);
    await until(() => pool.workers === 1);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(pool.workers).toBe(1);
    expect(await Promise.all([rig!.add(1), rig!.add(2), rig!.add(3)])).toEqual([1, 2, 3]);
  });

  it('TP-1 requests that come while Workers leave are done all the same', async () => {
    open({ max: 2, idleMs: 1 });
    for (let i = 0; i < 150; i++) {
      expect(await rig!.add(i)).toBe(i);
      if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });

  it('TP-1 raised limits make Workers, lowered ones send them away', async () => {
    const { pool } = open({ max: 1, idleMs: 2 ** 31 - 1 });
    for (let i = 0; i < 6; i++) rig!.hold(i, () => {});
    await rig!.inside(1);
    expect(pool.workers).toBe(1);
    pool.limits = { min: 0, max: 3 };
    await rig!.inside(3);
    pool.limits = { min: 0, max: 2 };
    rig!.release();
    const settled = (count: number) => pool.workers === count && rig!.idle === count;
    await until(() => pool.outstanding === 0 && settled(2));
    pool.limits = { min: 0, max: 1 }; // wakes those that sleep, too
    await until(() => settled(1));
    const wanted = rig!.made + 3;
    pool.limits = { min: 4, max: 4 };
    await until(() => rig!.made === wanted);
    expect(pool.workers).toBe(4);
    expect(() => (pool.limits = { min: 3, max: 2 })).toThrow(RangeError);
    expect(() => (pool.limits = { min: 0, max: 0 })).toThrow(RangeError);
    expect(pool.limits).toEqual({ min: 4, max: 4 });
  });

  it('TP-1 a Worker that sleeps is woken by a request, and no other is made', async () => {
    open({ max: 2, idleMs: 2 ** 31 - 1 });
    for (let i = 1; i < 5; i++) {
      expect(await rig!.add(i)).toBe(i);
      await until(() => rig!.idle === 1);
    }
    expect(rig!.made).toBe(1);
  });

  it('TP-1 only the thread of the context submits and cancels', () => {
    const { pool, context } = open();
    const home = (context.address + CONTEXT_HOME) >>> 2;
    const thread = core.u32[home] as number;
    core.u32[home] = thread + 1;
    expect(() => pool.submit({ op: ADD }, () => {})).toThrow(/belongs to thread \d+; thread/);
    expect(() => pool.cancel({ work: { op: ADD }, number: 0, done: null })).toThrow(/belongs/);
    core.u32[home] = thread;
  });

  it('TP-2 an operation that throws, or is not there, is an error of its request alone', async () => {
    const { pool } = open();
    const perform = (op: number) => new Promise((resolve) => pool.submit({ op }, resolve));
    expect(await perform(THROW)).toBe(-5);
    expect(await perform(999)).toBe(-38);
    expect(await rig!.add(5)).toBe(5);
    expect(rig!.made).toBe(1);
  });

  it('TP-3 historic bug 7: a callback that polls until another is done does not wait for ever', async () => {
    const { pool, context } = open({ max: 2 });
    const order: string[] = [];
    let other = false;
    const nested = (name: string) => (): void => {
      order.push(`${name} begins`);
      const end = Date.now() + 5000;
      if (order.length === 1) while (!other && Date.now() < end) context.poll();
      other = true;
      order.push(`${name} ends`);
    };
    rig!.hold(0, nested('a'));
    rig!.hold(1, nested('b'));
    await rig!.inside(2);
    rig!.release();
    while (rig!.word(0) > 0); // both are all but done before anybody looks
    await until(() => pool.outstanding === 0);
    expect(order.length).toBe(4);
    expect(order.map((entry) => entry.split(' ')[1])).toEqual(['begins', 'begins', 'ends', 'ends']);
  });

  it('TP-4 cancel ends what no Worker has begun, once; the others complete', async () => {
    const { pool } = open({ max: 2 });
    const results = new Map<number, number[]>();
    const requests = Array.from({ length: 100 }, (_, i) => {
      results.set(i, []);
      return rig!.hold(i, (result) => results.get(i)!.push(result));
    });
    await rig!.inside(2);
    const cancelled = requests.filter((request) => pool.cancel(request)).length;
    expect(cancelled).toBe(98);
    expect([...results.values()].flat()).toEqual([]); // not from inside cancel
    await until(() => pool.outstanding === 2);
    expect(requests.some((request) => pool.cancel(request))).toBe(false);
    rig!.release();
    await until(() => pool.outstanding === 0);
    const expected = (i: number) => [i < 2 ? i : -ECANCELED];
    expect([...results].every(([i, list]) => list.length === 1 && list[0] === expected(i)[0])).toBe(
      true,
    );
  });

  it('TP-4 a cancelled request is called back though nothing else ends', async () => {
    const { pool } = open({ max: 1 });
    let held = -1;
    rig!.hold(0, (result) => void (held = result));
    await rig!.inside(1);
    const results = new Map<number, number>();
    const requests = Array.from({ length: 70 }, (_, i) =>
      pool.submit({ op: ADD, offset: i }, (result) => results.set(i, result)),
    );
    // In the ring, and behind it.
    for (const i of [10, 69]) {
      expect(pool.cancel(requests[i]!)).toBe(true);
      await until(() => results.has(i));
      expect([results.get(i), held]).toEqual([-ECANCELED, -1]);
    }
    expect(results.size).toBe(2);
    rig!.release();
    await until(() => pool.outstanding === 0);
    expect([results.size, results.get(68), held]).toEqual([70, 68, 0]);
  });

  it('TP-4 cancelled requests do not fill the ring while all Workers are busy', async () => {
    const { pool } = open({ max: 1 });
    let held = -1;
    rig!.hold(5, (result) => (held = result));
    await rig!.inside(1);
    const early = rig!.add(4);
    for (let i = 0; i < 300; i++) {
      const result = new Promise((resolve) => {
        const request = pool.submit({ op: ADD, offset: i }, resolve);
        expect(pool.cancel(request)).toBe(true);
      });
      expect(await result).toBe(-ECANCELED);
    }
    const late = rig!.add(9);
    rig!.release();
    expect(await late).toBe(9);
    expect([held, await early, await rig!.add(3)]).toEqual([5, 4, 3]);
  });

  it('TP-5 close refuses while requests are outstanding, and then waits for all Workers', async () => {
    const { pool } = open({ min: 2 });
    await pool.start();
    rig!.hold(0, () => {});
    await rig!.inside(1);
    expect(() => pool.close()).toThrow('1 requests outstanding');
    rig!.release();
    await until(() => pool.outstanding === 0);
    expect(pool.workers).toBe(2);
    await pool.close();
    expect(core.u32[(pool.address + POOL_WORKERS) >>> 2]).toBe(0);
    expect(() => pool.submit({ op: ADD }, () => {})).toThrow('closed');
  });

  it('TP-7 a pool whose first Worker cannot start says why', async () => {
    const lost = open({ createWorker: workerAt('./no-such-worker.mjs') });
    await expect(lost.pool.start()).rejects.toThrow(/no-such-worker/);
    expect(lost.pool.workers).toBe(0);
  });

  it('a Worker that dies fails what was submitted, and the next request gets a new one', async () => {
    const { pool } = open({ max: 1 });
    const died = new Promise((resolve) => pool.submit({ op: DIE }, resolve));
    const queued = rig!.add(1);
    expect(await Promise.all([died, queued])).toEqual([-5, -5]);
    expect(await rig!.add(2)).toBe(2);
    expect(rig!.made).toBe(2);
  });

  it('a Worker that dies beside others fails its own request alone', async () => {
    const { pool } = open({ max: 2 });
    const results: number[] = [];
    rig!.hold(7, (result) => results.push(result));
    await rig!.inside(1);
    expect(await new Promise((resolve) => pool.submit({ op: DIE }, resolve))).toBe(-5);
    expect([results, pool.outstanding, pool.workers]).toEqual([[], 1, 1]);
    rig!.release();
    await until(() => results.length === 1);
    expect([results, await rig!.add(3)]).toEqual([[7], 3]);
  });

  it('Workers that die while they are idle are not waited for', async () => {
    const workers: Worker[] = [];
    const make = workerAt('./block-pool-worker.mjs');
    const createWorker = (): Worker => {
      const worker = make();
      workers.push(worker);
      return worker;
    };
    const { pool } = open({ max: 2, min: 2, createWorker });
    await pool.start();
    const idle = () => Atomics.load(core.u32, (pool.address + POOL_IDLE) >>> 2);
    await until(() => idle() === 2);
    await workers[0]!.terminate();
    await until(() => pool.workers === 1);
    expect(await rig!.add(1)).toBe(1);
    await until(() => idle() === 1);
    await workers[1]!.terminate();
    await until(() => pool.workers === 0);
    expect([idle(), await rig!.add(2)]).toEqual([0, 2]);
  });

  it('a Worker that cannot be made later fails what waits for it', async () => {
    let broken = false;
    const make = workerAt('./block-pool-worker.mjs');
    const createWorker = (): Worker => {
      if (broken) throw new Error('no more Workers');
      return make();
    };
    const { pool } = open({ max: 1, idleMs: 5, createWorker });
    expect(await rig!.add(1)).toBe(1);
    await until(() => pool.workers === 0);
    broken = true;
    const failed = await Promise.all(Array.from({ length: 70 }, (_, i) => rig!.add(i)));
    expect(failed.every((result) => result === -5)).toBe(true);
    broken = false;
    expect(await rig!.add(2)).toBe(2);
  });

  it('TP-1 a request that comes between the last look and the leave is not lost', async () => {
    const listeners = new Map<string, (data: unknown) => void>();
    const inert = {
      on: (event: string, listener: never) => listeners.set(event, listener),
      postMessage() {},
      terminate() {},
    };
    const { pool, context } = open({ max: 1, createWorker: () => inert });
    void pool.start();
    const word = (field: number) => Atomics.load(core.u32, (pool.address + field) >>> 2);
    const results: number[] = [];
    let slept = false;
    // This thread plays the Worker, which times out at once; the owner submits just then.
    const view = Object.create(core, {
      engine: { value: core.engine },
      i32: { get: () => core.i32 },
      u32: {
        get: () => {
          if (word(POOL_IDLE) === 1) slept = true;
          if (slept && word(POOL_IDLE) === 0 && pool.outstanding === 0 && results.length === 0) {
            expect(word(POOL_WORKERS)).toBe(1);
            pool.submit({ op: 7, offset: 70 }, (result) => results.push(result));
          }
          return core.u32;
        },
      },
    }) as Core;
    registerWork(7, (_, { offset }) => offset + 7);
    runPoolWorker(view, pool.address, 0);
    expect(word(POOL_WORKERS)).toBe(0);
    listeners.get('message')!({ type: 'ready' });
    listeners.get('message')!({ type: 'left' });
    context.poll();
    expect(results).toEqual([77]);
  });

  it('its words are one block: requests lie behind the ring', () => {
    const { pool } = open();
    expect(core.u32[(pool.address + POOL_RING) >>> 2]).toBe(pool.address + POOL_SIZE);
  });
});
