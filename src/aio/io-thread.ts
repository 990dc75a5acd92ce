/**
 * IOThread: a Worker with an instance of its own over the core's memory, an AioContext and a run
 * loop. This is main's side of it: it makes the thread, asks it for services by message, changes
 * its limits and puts it away. All methods: main thread. QEMU: `iothread.c`.
 */

import type { Core } from '../engine/core.ts';
import { CONTEXT_STOP } from '../layout.ts';
import { AioContext } from './context.ts';
import { type ContextFigures, contextFigures } from './context-block.ts';
import { AioError } from './error.ts';
import {
  type CheckedParams,
  checkChange,
  checkParams,
  DEFAULT_PARAMS,
  type IOThreadParams,
} from './io-thread-options.ts';
import { setPollParams } from './poll-params.ts';
import { type Spinner, spinners } from './spinners.ts';
import { Answer, ThreadCalls } from './thread-calls.ts';
import { reviveError } from './thread-error.ts';
import type { DownMessage, PoolLimits, UpMessage } from './thread-messages.ts';
import { wakeContext } from './wake.ts';
import { type WorkerLike, WorkerPort } from './worker-port.ts';

export interface IOThreadOptions extends IOThreadParams {
  /** For messages and `info`. Default `iothread` and a number. */
  id?: string;
  /** A fresh Worker that runs the package's `./io-thread`, or what makes one. */
  worker: WorkerLike | (() => WorkerLike);
  /** Bottom halves, handlers and coroutines that the thread's context has room for. */
  slots?: number;
  handlers?: number;
  coroutines?: number;
  /** ms that `stop` gives the thread before it terminates the Worker. Default 5000. */
  'stop-patience'?: number;
}

/** What QEMU's `query-iothreads` says, and figures of the thread's context. */
export interface IOThreadInfo extends CheckedParams, ContextFigures {
  readonly id: string;
  readonly 'thread-id': number;
  /** Whether the thread may busy-poll if it wants to: cores may be short (`spinners`). */
  readonly polling: boolean;
  /** Who holds the thread. */
  readonly users: readonly string[];
}

type Listener = (payload: never) => void;

const STOP_PATIENCE_MS = 5000;
let made = 0;

export class IOThread {
  readonly id: string;
  /** The core that it was started for. */
  readonly core: Core;
  /** Address of its AioContext. */
  readonly context: number;

  readonly #port: WorkerPort;
  readonly #patience: number;
  readonly #spinner: Spinner = {
    wanted: () => this.#params['poll-max-ns'],
    allow: (polling) => this.#allowPolling(polling),
  };
  readonly #users = new Map<string, number>();
  readonly #calls = new ThreadCalls();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #ready = new Answer<void>();
  /** Nothing more comes from the thread: it has stopped, died or exited. */
  readonly #silent = new Answer<void>();
  readonly #ended = new Answer<void>();
  #params: CheckedParams;
  #threadNumber = 0;
  #polling = true;
  #state: 'running' | 'stopping' | 'stopped' | 'dead' = 'running';
  /** The thread touches its context's memory no more. */
  #left = false;
  /** It did not stop in time: a platform that says it has exited may be wrong. */
  #cutOff = false;
  /** What it died of, or had not put away when it stopped. */
  #complaint: Error | null = null;
  /** As they were when its memory was given back. */
  #figures: ContextFigures | null = null;
  #stopped: Promise<void> | null = null;

  /**
   * Starts a thread; resolves when it has its number and serves (WT-4). Rejects with what it died
   * of, with a RangeError for a wrong option, and with ENOTSUP if the core's memory is not shared.
   */
  static async start(core: Core, options: IOThreadOptions): Promise<IOThread> {
    if (!core.shared) {
      const message = 'an IOThread needs shared memory: open the core with { shared: true }';
      throw new AioError('ENOTSUP', message);
    }
    const params = checkParams(options, DEFAULT_PARAMS);
    const { slots, handlers, coroutines } = options;
    const context = AioContext.allocate(core, { slots, handlers, coroutines });
    let thread: IOThread;
    try {
      const worker = typeof options.worker === 'function' ? options.worker() : options.worker;
      if (!worker) throw new RangeError('worker: a Worker, or what makes one, is needed');
      thread = new IOThread(core, context, worker, params, options);
    } catch (error) {
      AioContext.release(core, context);
      throw error;
    }
    await thread.#handshake();
    return thread;
  }

  private constructor(
    core: Core,
    context: number,
    worker: WorkerLike,
    params: CheckedParams,
    options: IOThreadOptions,
  ) {
    this.id = options.id ?? `iothread${made++}`;
    this.context = context;
    this.core = core;
    this.#params = params;
    this.#patience = options['stop-patience'] ?? STOP_PATIENCE_MS;
    this.#port = new WorkerPort(worker, {
      message: (data) => this.#receive(data as UpMessage),
      failed: (cause) => this.#die(cause),
      exited: () => this.#exited(),
    });
  }

  /** The thread's number in the core: which thread is home of a context. */
  get threadNumber(): number {
    return this.#threadNumber;
  }

  /** Resolves when the Worker has ended: nothing of it touches core memory any more. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  // ---- Who uses it ----------------------------------------------------------------------------

  /** `stop` is refused until `user` has called `unref` as often (WT-5). */
  ref(user: string): void {
    this.#mustRun();
    this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
  }

  unref(user: string): void {
    const count = this.#users.get(user);
    if (count === undefined) throw new Error(`iothread '${this.id}' is not used by ${user}`);
    if (count > 1) this.#users.set(user, count - 1);
    else this.#users.delete(user);
  }

  // ---- Messages -------------------------------------------------------------------------------

  /**
   * Asks for a service (services.ts) and resolves to its answer; main's loop goes on meanwhile
   * (WT-3). Rejects with what the service threw, its class revived; with ESHUTDOWN after `stop`,
   * with EOWNERDEAD if the thread dies. Keeps the process alive until it is answered.
   */
  async call(service: string, payload?: unknown, transfer?: readonly object[]): Promise<unknown> {
    this.#mustRun();
    const { number, answer } = this.#calls.open();
    this.#port.hold();
    try {
      this.#mail({ type: 'call', number, service, payload }, transfer);
      return await answer;
    } finally {
      this.#calls.close(number);
      this.#port.release();
    }
  }

  /**
   * Calls `listener` with each `event` that a service posts; returns what removes it. Event `died`
   * is told here, with an AioError, when the Worker ends without having been asked to.
   */
  on<T>(event: string, listener: (payload: T) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  // ---- Limits and figures ---------------------------------------------------------------------

  /**
   * Changes limits while the thread runs; it looks at them at once (WT-7, NT-10). Throws a
   * RangeError for a wrong one, and then all keep their old values.
   */
  set(params: IOThreadParams): void {
    this.#mustRun();
    const old = this.#poolLimits();
    this.#params = checkChange(params, this.#params);
    const limits = this.#poolLimits();
    spinners.settle();
    this.#writeParams();
    if (limits.min === old.min && limits.max === old.max) return;
    this.#mail({ type: 'set-limits', limits });
  }

  info(): IOThreadInfo {
    return {
      id: this.id,
      'thread-id': this.#threadNumber,
      ...this.#params,
      polling: this.#polling,
      ...(this.#figures ?? contextFigures(this.core, this.context)),
      users: [...this.#users.keys()],
    };
  }

  // ---- The end --------------------------------------------------------------------------------

  /**
   * Stops the thread and joins it: resolves when the Worker has ended. Services under way are
   * answered first; one that takes longer than `stop-patience` is cut off. Refused with EBUSY,
   * naming the users, while the thread is in use (WT-5). Calling it again waits for the same end.
   */
  stop(): Promise<void> {
    if (this.#stopped) return this.#stopped;
    if (this.#users.size > 0) {
      const users = [...this.#users.keys()].join(', ');
      const message = `iothread '${this.id}' is in use by ${users}`;
      return Promise.reject(new AioError('EBUSY', message));
    }
    this.#stopped = this.#join();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #join(): Promise<void> {
    this.#port.hold();
    const dead = this.#state === 'dead';
    if (!dead) {
      this.#state = 'stopping';
      spinners.remove(this.#spinner);
      // The word first: a thread that the mail wakes finds it. It is never cleared.
      Atomics.store(this.core.i32, (this.context + CONTEXT_STOP) >>> 2, 1);
      this.#mail({ type: 'stop' });
      this.#cutOff = !(await within(this.#silent.promise, this.#patience));
    }
    this.#state = 'stopped';
    await this.#end();
    const message = `iothread '${this.id}' has been stopped`;
    this.#calls.rejectAll(new AioError('ESHUTDOWN', message));
    // A thread that was cut off may still be inside a call: Deno and Bun cannot interrupt one.
    this.#figures = contextFigures(this.core, this.context);
    if (this.#left) AioContext.release(this.core, this.context);
    this.#port.release();
    if (!dead && this.#complaint) throw this.#complaint;
  }

  /** Terminates the Worker. Once is enough: a platform may answer a second time at once. */
  #end(): Promise<void> {
    void this.#port.terminate().then(this.#ended.resolve, this.#ended.reject);
    return this.#ended.promise;
  }

  // ---- What comes from the thread -------------------------------------------------------------

  async #handshake(): Promise<void> {
    this.#writeParams();
    spinners.add(this.#spinner);
    this.#port.hold();
    try {
      const limits = this.#poolLimits();
      const core = this.core.handle();
      this.#port.post({ type: 'start', id: this.id, core, context: this.context, limits });
      await this.#ready.promise;
    } catch (error) {
      this.#die(error as Error);
      await this.stop();
      throw error;
    } finally {
      this.#port.release();
    }
  }

  #receive(message: UpMessage): void {
    switch (message.type) {
      case 'ready':
        this.#threadNumber = message.thread;
        this.#ready.resolve();
        return;
      case 'done':
        this.#calls.resolve(message.number, message.result);
        return;
      case 'failed':
        this.#calls.reject(message.number, reviveError(message.error));
        return;
      case 'event':
        this.#tell(message.event, message.payload);
        return;
      case 'stopped':
        this.#left = true;
        this.#state = 'stopped';
        this.#complaint = message.error && reviveError(message.error);
        this.#silent.resolve();
        return;
      case 'died':
        this.#left = true;
        this.#die(reviveError(message.error));
    }
  }

  #exited(): void {
    if (!this.#cutOff) this.#left = true;
    this.#die(new Error('the Worker has exited'));
  }

  /** The Worker failed. Whatever of it still lives is ended. */
  #die(cause: Error): void {
    if (this.#state === 'stopped' || this.#state === 'dead') return;
    const message = `iothread '${this.id}' died: ${cause.message}`;
    const error = new AioError('EOWNERDEAD', message, cause);
    const untold = this.#state === 'running' && this.#threadNumber > 0;
    this.#state = 'dead';
    spinners.remove(this.#spinner);
    this.#ready.reject(cause);
    this.#calls.rejectAll(error);
    this.#complaint = error;
    this.#silent.resolve();
    this.#end();
    if (untold) this.#tell('died', error);
  }

  #tell(event: string, payload: unknown): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(payload as never);
  }

  // ---- What goes to the thread ----------------------------------------------------------------

  /** The message first, then the count, then the wake-up: a thread that saw the count waits. */
  #mail(message: DownMessage, transfer?: readonly object[]): void {
    this.#port.post(message, transfer);
    if (this.core.engine.mailSent(this.context) === 1) wakeContext(this.core, this.context);
  }

  /** The thread goes by the new numbers at once (NT-10). */
  #writeParams(): void {
    const params = this.#params;
    setPollParams(this.core, this.context, {
      maxNs: this.#polling ? params['poll-max-ns'] : 0,
      grow: params['poll-grow'],
      shrink: params['poll-shrink'],
      maxBatch: params['aio-max-batch'],
    });
  }

  #allowPolling(polling: boolean): void {
    if (polling === this.#polling) return;
    this.#polling = polling;
    this.#writeParams();
  }

  #poolLimits(): PoolLimits {
    return { min: this.#params['thread-pool-min'], max: this.#params['thread-pool-max'] };
  }

  #mustRun(): void {
    if (this.#state === 'running') return;
    if (this.#state === 'dead') throw this.#complaint as Error;
    throw new AioError('ESHUTDOWN', `iothread '${this.id}' has been stopped`);
  }
}

/** Does `promise` resolve in `ms`? */
async function within(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const answer = await Promise.race([promise.then(() => true), patience]);
  clearTimeout(timer);
  return answer;
}
