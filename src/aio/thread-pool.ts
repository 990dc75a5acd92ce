/**
 * Thread pool: blocking work for Workers, one pool per context (TP-1). Requests are words in core
 * memory (POOL_*, WORK_*), which any Worker takes in order; what is done comes back by a bottom
 * half of the context. Workers are made as work comes and leave when they have been idle for long.
 * The Workers' side is `pool-worker.ts`. All methods: home thread. QEMU: `util/thread-pool.c`.
 */

import type { Core } from '../engine/core.ts';
import {
  CONTEXT_HOME,
  POOL_CONTEXT,
  POOL_GENERATION,
  POOL_HEAD,
  POOL_IDLE,
  POOL_MAX,
  POOL_MIN,
  POOL_SLOT,
  POOL_STOP,
  POOL_TAIL,
  POOL_WAKE,
  POOL_WORKERS,
  WORK_ACTIVE,
  WORK_ADDRESS,
  WORK_DONE,
  WORK_FILE,
  WORK_FLAGS,
  WORK_LENGTH,
  WORK_LENGTH_HI,
  WORK_OFFSET_HI,
  WORK_OFFSET_LO,
  WORK_OP,
  WORK_RESULT,
  WORK_STATE,
  WORKER_LOOKS,
  WORKER_SLEEPS,
} from '../layout.ts';
import type { BottomHalf } from './bottom-half.ts';
import type { AioContext } from './context.ts';
import { AioError } from './error.ts';
import { allocatePool, REQUESTS, resetPool, workAt, workerAt } from './pool-block.ts';
import { PoolWorker } from './pool-thread.ts';
import type { PoolLimits } from './thread-messages.ts';
import type { WorkerLike } from './worker-port.ts';

/** What a Worker is to do. Offsets and lengths: bytes. */
export interface PoolWork {
  /** A number for which the Workers have an operation (`registerWork`). */
  readonly op: number;
  /** The rest is the operation's to read. `address`: of a buffer in core memory. */
  readonly file?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly address?: number;
  readonly flags?: number;
}

export type { PoolLimits } from './thread-messages.ts';

/** Limits: default 0 to 4 Workers. */
export interface ThreadPoolOptions extends Partial<PoolLimits> {
  /** A fresh Worker that runs the package's pool entry. */
  createWorker: () => WorkerLike;
  /** Core address of the pool's words (`allocatePool`); default: it allocates them, on main. */
  block?: number;
  /** ms after which an idle Worker leaves; default 10,000. */
  idleMs?: number;
}

/** A request that was submitted. */
export interface PoolRequest {
  readonly work: PoolWork;
  /** 0 or more: its number among the pool's. Else it waits for one, or has ended. */
  number: number;
  done: ((result: number) => void) | null;
}

const WAITS = -1;
const ENDED = -2;
const WORD = 0x1_0000_0000;
const IDLE_MS = 10_000;
const DEFAULT_LIMITS: PoolLimits = { min: 0, max: 4 };
const EIO = 5;
const ECANCELED = 125;

export class ThreadPool {
  readonly context: AioContext;
  /** Core address of its words (POOL_*). */
  readonly address: number;
  readonly #core: Core;
  readonly #owned: boolean;
  readonly #createWorker: () => WorkerLike;
  readonly #idleMs: number;
  readonly #bottomHalf: BottomHalf;
  /** By number. */
  readonly #requests: (PoolRequest | null)[] = new Array(REQUESTS).fill(null);
  readonly #freeNumbers: number[] = Array.from({ length: REQUESTS }, (_, i) => REQUESTS - 1 - i);
  #waiting: PoolRequest[] = [];
  /** Cancelled before they had a number; called back by the bottom half, as all are. */
  #cancelled: PoolRequest[] = [];
  /** And the number of each. */
  readonly #workers = new Map<PoolWorker, number>();
  #outstanding = 0;
  /** Those that have a number. */
  #passed = 0;
  #closed: Promise<void> | null = null;

  constructor(context: AioContext, options: ThreadPoolOptions) {
    const { core } = context;
    this.context = context;
    this.#core = core;
    this.#owned = options.block === undefined;
    this.#createWorker = options.createWorker;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    const { min = DEFAULT_LIMITS.min, max = DEFAULT_LIMITS.max } = options;
    checkLimits({ min, max });
    this.address = options.block ?? allocatePool(core);
    this.#bottomHalf = context.bottomHalf('thread pool', () => this.#complete());
    const { slot, generation } = this.#bottomHalf.handle;
    resetPool(core, this.address);
    this.#set(POOL_CONTEXT, context.address);
    this.#set(POOL_SLOT, slot);
    this.#set(POOL_GENERATION, generation);
    this.#set(POOL_MIN, min);
    this.#set(POOL_MAX, max);
  }

  /** Workers that live or are starting. */
  get workers(): number {
    return this.#get(POOL_WORKERS);
  }

  /** Requests whose callback has not been called. */
  get outstanding(): number {
    return this.#outstanding;
  }

  get limits(): PoolLimits {
    return { min: this.#get(POOL_MIN), max: this.#get(POOL_MAX) };
  }

  /** Takes hold at once: Workers are made, or leave as soon as they are idle (TP-1). */
  set limits(limits: PoolLimits) {
    checkLimits(limits);
    if (this.#closed) return;
    this.#set(POOL_MIN, limits.min);
    this.#set(POOL_MAX, limits.max);
    this.#wakeWorkers();
    this.#spawnWanted();
  }

  /** Makes the first Worker, and those that stay. Rejects with what one of them failed of. */
  async start(): Promise<void> {
    this.#checkThread();
    const wanted = Math.max(1, this.limits.min);
    while (this.workers < wanted) this.#spawn();
    await Promise.all([...this.#workers.keys()].map((worker) => worker.ready));
  }

  /**
   * Has a Worker do `work`. `done` is called once, from a later poll of the context, with what the
   * operation returned or a negative errno. Only from the context's thread (TP-1).
   */
  submit(work: PoolWork, done: (result: number) => void): PoolRequest {
    this.#checkThread();
    if (this.#closed) throw new AioError('ESHUTDOWN', 'the thread pool is closed');
    const request: PoolRequest = { work, done, number: WAITS };
    if (this.#outstanding++ === 0) this.context.ref();
    if (this.#waiting.length > 0 || !this.#pass(request)) this.#waiting.push(request);
    return request;
  }

  /**
   * Asks to end a request. True if no Worker had begun it: it will end with -ECANCELED (TP-4). Else
   * it ends as it would have.
   */
  cancel(request: PoolRequest): boolean {
    this.#checkThread();
    if (request.number === WAITS) {
      const at = this.#waiting.indexOf(request);
      if (at < 0) return false; // cancelled before
      this.#waiting.splice(at, 1);
      this.#cancelled.push(request);
      this.#bottomHalf.schedule();
      return true;
    }
    if (request.number === ENDED) return false;
    if (!this.#core.engine.poolCancel(this.address, request.number, -ECANCELED)) return false;
    this.#bottomHalf.schedule();
    return true;
  }

  /** Sends all Workers away and resolves when they are gone. Nothing may be outstanding (TP-5). */
  close(): Promise<void> {
    if (this.#closed) return this.#closed;
    if (this.#outstanding > 0) {
      throw new AioError('EBUSY', `the thread pool has ${this.#outstanding} requests outstanding`);
    }
    this.#closed = this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#set(POOL_STOP, 1);
    this.#set(POOL_MAX, 0);
    this.#set(POOL_MIN, 0);
    this.#wakeWorkers();
    this.context.addLoopUser(); // that they have left, they say through the JavaScript loop
    await Promise.all([...this.#workers.keys()].map((worker) => worker.gone));
    this.context.removeLoopUser();
    this.#bottomHalf.delete();
    if (this.#owned) this.#core.free(this.address);
  }

  // ---- Requests ---------------------------------------------------------------------------------

  /** Gives a request to the Workers; false if all numbers are in use. */
  #pass(request: PoolRequest): boolean {
    const number = this.#freeNumbers.pop();
    if (number === undefined) return false;
    request.number = number;
    this.#requests[number] = request;
    this.#passed += 1;
    this.#fill(number, request.work);
    const asleep = this.#core.engine.poolSubmit(this.address, number) === 1;
    if (asleep) Atomics.notify(this.#core.i32, (this.address + POOL_WAKE) >>> 2);
    else if (this.#passed > this.workers && this.workers < this.#get(POOL_MAX)) this.#spawn();
    return true;
  }

  #fill(number: number, work: PoolWork): void {
    const { u32 } = this.#core;
    const { op, file = 0, offset = 0, length = 0, address = 0, flags = 0 } = work;
    const words: [number, number][] = [
      [WORK_RESULT, 0],
      [WORK_OP, op],
      [WORK_FILE, file],
      [WORK_OFFSET_LO, offset >>> 0],
      [WORK_OFFSET_HI, Math.floor(offset / WORD)],
      [WORK_ADDRESS, address],
      [WORK_LENGTH, length >>> 0],
      [WORK_LENGTH_HI, Math.floor(length / WORD)],
      [WORK_FLAGS, flags],
    ];
    const at = workAt(this.#core, this.address, number);
    for (const [field, value] of words) u32[(at + field) >>> 2] = value;
  }

  /** The bottom half. Whatever a callback does, each result is delivered once (TP-3). */
  #complete(): void {
    for (;;) {
      const ended = this.#nextEnded();
      if (!ended) break;
      // A poll nested in the callback must find the results that are still here; afterwards there
      // is nothing to run for, since this loop looks again.
      this.#bottomHalf.schedule();
      this.#end(ended.request, ended.result);
      this.#bottomHalf.cancel();
    }
    while (this.#waiting.length > 0 && this.#pass(this.#waiting[0] as PoolRequest)) {
      this.#waiting.shift();
    }
  }

  #nextEnded(): { request: PoolRequest; result: number } | null {
    const number = this.#core.engine.poolReap(this.address, 0);
    if (number >= 0) {
      const request = this.#requests[number] as PoolRequest;
      const result = this.#core.i32[
        (workAt(this.#core, this.address, number) + WORK_RESULT) >>> 2
      ] as number;
      this.#requests[number] = null;
      this.#passed -= 1;
      this.#freeNumbers.push(number);
      return { request, result };
    }
    const request = this.#cancelled.shift();
    return request ? { request, result: -ECANCELED } : null;
  }

  #end(request: PoolRequest, result: number): void {
    const { done } = request;
    request.number = ENDED;
    request.done = null;
    if (--this.#outstanding === 0) this.context.unref();
    done?.(result);
  }

  // ---- Workers ----------------------------------------------------------------------------------

  #spawnWanted(): void {
    const { min, max } = this.limits;
    const queued = (this.#get(POOL_TAIL) - this.#get(POOL_HEAD)) | 0;
    const wanted = Math.min(max, Math.max(min, this.workers + queued));
    while (this.workers < wanted) this.#spawn();
  }

  #spawn(): void {
    const taken = [...this.#workers.values()];
    let number = 0;
    while (taken.includes(number)) number++;
    const worker = new PoolWorker(this.context, this.#createWorker, {
      type: 'start',
      core: this.#core.handle(),
      pool: this.address,
      idleMs: this.#idleMs,
      number,
    });
    this.#workers.set(worker, number);
    Atomics.add(this.#core.i32, (this.address + POOL_WORKERS) >>> 2, 1);
    worker.gone.then((left) => {
      this.#workers.delete(worker);
      if (!left) this.#bury(number);
      if (this.workers === 0 && this.#workers.size === 0 && this.#passed > 0) this.#failAll();
    });
  }

  /** A Worker has died, or could not be made: what it was doing fails. Others go on. */
  #bury(number: number): void {
    const { i32 } = this.#core;
    Atomics.sub(i32, (this.address + POOL_WORKERS) >>> 2, 1);
    const word = workerAt(this.#core, this.address, number);
    const doing = word === 0 ? WORKER_LOOKS : Atomics.exchange(i32, word >>> 2, WORKER_LOOKS);
    if (doing === WORKER_SLEEPS) Atomics.sub(i32, (this.address + POOL_IDLE) >>> 2, 1);
    if (doing > 0) this.#fail(doing - 1);
  }

  /** Of a Worker that has died. */
  #fail(number: number): void {
    const { i32 } = this.#core;
    const at = workAt(this.#core, this.address, number);
    if (Atomics.load(i32, (at + WORK_STATE) >>> 2) !== WORK_ACTIVE) return;
    i32[(at + WORK_RESULT) >>> 2] = -EIO;
    Atomics.store(i32, (at + WORK_STATE) >>> 2, WORK_DONE);
    this.#bottomHalf.schedule();
  }

  /** Workers have died or could not be made, and none is left: what was submitted fails. */
  #failAll(): void {
    const { engine } = this.#core;
    this.#requests.forEach((request, number) => {
      if (request && !engine.poolCancel(this.address, number, -EIO)) this.#fail(number);
    });
    // The ring holds only what has just been failed: nobody is left to pass it.
    this.#set(POOL_HEAD, this.#get(POOL_TAIL));
    this.#bottomHalf.schedule();
  }

  #wakeWorkers(): void {
    const { i32 } = this.#core;
    Atomics.add(i32, (this.address + POOL_WAKE) >>> 2, 1);
    Atomics.notify(i32, (this.address + POOL_WAKE) >>> 2);
  }

  // ---- Words ------------------------------------------------------------------------------------

  #get(field: number): number {
    return Atomics.load(this.#core.u32, (this.address + field) >>> 2);
  }

  #set(field: number, value: number): void {
    Atomics.store(this.#core.u32, (this.address + field) >>> 2, value);
  }

  #checkThread(): void {
    const home = Atomics.load(this.#core.u32, (this.context.address + CONTEXT_HOME) >>> 2);
    if (home === 0 || home === this.#core.thread) return;
    const message = `the thread pool of context '${this.context.name}' belongs to thread ${home}`;
    throw new AioError('EPERM', `${message}; thread ${this.#core.thread} may not use it`);
  }
}

/** Throws a RangeError. */
export function checkLimits({ min, max }: PoolLimits): void {
  const whole = Number.isInteger(min) && Number.isInteger(max);
  if (whole && min >= 0 && max >= 1 && min <= max) return;
  throw new RangeError(`thread pool: ${min} to ${max} Workers is not allowed; allowed: from 0, 1`);
}
