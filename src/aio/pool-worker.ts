/**
 * A Worker of a thread pool, the Worker's own side: takes requests out of core memory one by one,
 * does them, and sleeps when there are none. It blocks its thread from start to end, so nothing
 * reaches it by message. QEMU: `util/thread-pool.c`, `worker_thread`.
 */

import type { Core } from '../engine/core.ts';
import {
  POOL_CONTEXT,
  POOL_HEAD,
  POOL_IDLE,
  POOL_MAX,
  POOL_MIN,
  POOL_STOP,
  POOL_TAIL,
  POOL_WAKE,
  POOL_WORKERS,
  WORK_ADDRESS,
  WORK_FILE,
  WORK_FLAGS,
  WORK_LENGTH,
  WORK_LENGTH_HI,
  WORK_OFFSET_HI,
  WORK_OFFSET_LO,
  WORK_OP,
  WORKER_LOOKS,
  WORKER_SLEEPS,
} from '../layout.ts';
import { workAt, workerAt } from './pool-block.ts';
import { wakeContext } from './wake.ts';

/** A request as an operation sees it. Offsets and lengths: bytes. */
export interface Work {
  readonly op: number;
  readonly file: number;
  readonly offset: number;
  readonly length: number;
  /** Core address of its buffer. */
  readonly address: number;
  readonly flags: number;
}

/** Does a request: may block. Returns its result, a negative errno if it failed. */
export type PerformWork = (core: Core, work: Work) => number;

const operations = new Map<number, PerformWork>();
const WORD = 0x1_0000_0000;
const EIO = 5;
const ENOSYS = 38;

/** Makes an operation known on this thread. */
export function registerWork(op: number, perform: PerformWork): void {
  operations.set(op, perform);
}

/**
 * Serves the pool whose words lie at `pool` until it is stopped, until there are more Workers than
 * it may have, or until none was needed for `idleMs`. The owner has counted this Worker, which is
 * `number` of those that live: there it looks if the Worker dies.
 */
export function runPoolWorker(core: Core, pool: number, idleMs: number, number?: number): void {
  const worker = new Loop(core, pool, idleMs, number ?? Number.POSITIVE_INFINITY);
  do worker.serve();
  while (!worker.leave());
}

class Loop {
  readonly #core: Core;
  readonly #pool: number;
  readonly #idleMs: number;
  /** Core address of what it is doing (WORKER_*); 0: nobody looks. */
  readonly #doing: number;
  /** Which limit may keep it when it would leave: the most there may be or, if idle, the least. */
  #least: typeof POOL_MAX | typeof POOL_MIN = POOL_MIN;

  constructor(core: Core, pool: number, idleMs: number, number: number) {
    this.#core = core;
    this.#pool = pool;
    this.#idleMs = idleMs;
    this.#doing = workerAt(core, pool, number);
  }

  /** Does what there is to do, and returns when this Worker should leave. */
  serve(): void {
    for (;;) {
      this.#least = POOL_MAX;
      if (this.#get(POOL_WORKERS) > this.#get(POOL_MAX)) return;
      this.#least = POOL_MIN;
      const number = this.#core.engine.poolTake(this.#pool);
      if (number >= 0) this.#perform(number);
      else if (this.#get(POOL_STOP) || !this.#sleep()) return;
    }
  }

  /**
   * Counts this Worker down. False: it stays after all. A request that came meanwhile found us
   * still counted, and nobody else may know of it; so look once more, after counting down.
   */
  leave(): boolean {
    const stop = this.#get(POOL_STOP) !== 0;
    if (!stop && !this.#countDown()) return false;
    if (stop) this.#add(POOL_WORKERS, -1);
    const missed = this.#get(POOL_HEAD) !== this.#get(POOL_TAIL);
    return stop || !missed || !this.#countUp();
  }

  #perform(number: number): void {
    this.#do(number + 1);
    const work = this.#read(number);
    const { engine } = this.#core;
    let result: number;
    try {
      result = operations.get(work.op)?.(this.#core, work) ?? -ENOSYS;
    } catch {
      result = -EIO;
    }
    this.#do(WORKER_LOOKS); // before: from there on the request may be somebody else's
    if (engine.poolDone(this.#pool, number, result) !== 1) return;
    wakeContext(this.#core, this.#get(POOL_CONTEXT));
  }

  /** Waits for work or a change of limits; false: none came for too long. */
  #sleep(): boolean {
    const { i32 } = this.#core;
    const word = (this.#pool + POOL_WAKE) >>> 2;
    const seen = Atomics.load(i32, word);
    // First counted as idle, then looked: a submit in between either sees us or is seen.
    this.#do(WORKER_SLEEPS);
    this.#add(POOL_IDLE, 1);
    const nothing = this.#get(POOL_HEAD) === this.#get(POOL_TAIL);
    const stays = !this.#get(POOL_STOP) && this.#get(POOL_WORKERS) <= this.#get(POOL_MAX);
    const answer = nothing && stays ? Atomics.wait(i32, word, seen, this.#idleMs) : 'ok';
    this.#add(POOL_IDLE, -1);
    this.#do(WORKER_LOOKS);
    return answer !== 'timed-out' || this.#get(POOL_WORKERS) <= this.#get(POOL_MIN);
  }

  /** One Worker fewer, unless that would be too few. */
  #countDown(): boolean {
    for (;;) {
      const workers = this.#get(POOL_WORKERS);
      if (workers <= this.#get(this.#least)) return false;
      if (this.#swap(POOL_WORKERS, workers, workers - 1)) return true;
    }
  }

  /** One Worker more, unless there are enough: those were counted after us, and look as well. */
  #countUp(): boolean {
    for (;;) {
      const workers = this.#get(POOL_WORKERS);
      if (workers >= this.#get(POOL_MAX)) return false;
      if (this.#swap(POOL_WORKERS, workers, workers + 1)) return true;
    }
  }

  #read(number: number): Work {
    const { u32 } = this.#core;
    const at = workAt(this.#core, this.#pool, number);
    const word = (field: number): number => u32[(at + field) >>> 2] as number;
    return {
      op: word(WORK_OP),
      file: word(WORK_FILE),
      offset: word(WORK_OFFSET_HI) * WORD + word(WORK_OFFSET_LO),
      length: word(WORK_LENGTH_HI) * WORD + word(WORK_LENGTH),
      address: word(WORK_ADDRESS),
      flags: word(WORK_FLAGS),
    };
  }

  #do(what: number): void {
    if (this.#doing !== 0) Atomics.store(this.#core.i32, this.#doing >>> 2, what);
  }

  #get(field: number): number {
    return Atomics.load(this.#core.u32, (this.#pool + field) >>> 2);
  }

  #add(field: number, value: number): void {
    Atomics.add(this.#core.i32, (this.#pool + field) >>> 2, value);
  }

  #swap(field: number, from: number, to: number): boolean {
    const at = (this.#pool + field) >>> 2;
    return Atomics.compareExchange(this.#core.u32, at, from, to) === from;
  }
}
