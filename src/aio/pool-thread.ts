/**
 * One Worker of a thread pool, seen from the pool: its start and its end. In between it is spoken
 * to through words alone (`thread-pool.ts`). QEMU: `util/thread-pool.c`, `worker_thread`.
 */

import type { CoreHandle } from '../engine/core.ts';
import type { AioContext } from './context.ts';
import { Answer } from './thread-calls.ts';
import { type EncodedError, reviveError } from './thread-error.ts';
import { type WorkerLike, WorkerPort } from './worker-port.ts';

/** The one message to a Worker of a pool. */
export interface PoolStart {
  readonly type: 'start';
  readonly core: CoreHandle;
  /** Core address of the pool's words. */
  readonly pool: number;
  /** ms after which it leaves if it is idle and one of more than POOL_MIN. */
  readonly idleMs: number;
  /** Which of the Workers that live it is, from 0 on. */
  readonly number: number;
}

/** What a Worker says. `left`: it has counted itself down and takes no more. */
export type PoolUp =
  | { readonly type: 'ready' }
  | { readonly type: 'left' }
  | { readonly type: 'failed'; readonly error: EncodedError };

export class PoolWorker {
  /** Resolves when it takes requests; rejects with what it failed of. */
  readonly ready: Promise<void>;
  /** Resolves when it takes no more: true if it has counted itself down (POOL_WORKERS). */
  readonly gone: Promise<boolean>;
  readonly #context: AioContext;
  readonly #port: WorkerPort | null = null;
  readonly #ready = new Answer<void>();
  readonly #gone = new Answer<boolean>();
  #starting = true;

  constructor(context: AioContext, createWorker: () => WorkerLike, start: PoolStart) {
    this.#context = context;
    this.ready = this.#ready.promise;
    this.gone = this.#gone.promise;
    // Until it is ready its answers come through the JavaScript loop.
    context.addLoopUser();
    try {
      this.#port = new WorkerPort(createWorker(), {
        message: (data) => this.#receive(data as PoolUp),
        failed: (error) => this.#fail(error),
        exited: () => this.#fail(new Error('the Worker has exited')),
      });
      this.#port.hold();
      this.#port.post(start);
    } catch (thrown) {
      this.#fail(thrown as Error);
    }
  }

  #receive(message: PoolUp): void {
    if (message.type === 'ready') this.#started();
    if (message.type === 'left') this.#gone.resolve(true);
    if (message.type === 'failed') this.#fail(reviveError(message.error));
  }

  #started(): void {
    if (!this.#starting) return;
    this.#starting = false;
    this.#context.removeLoopUser();
    this.#port?.release();
    this.#ready.resolve();
  }

  #fail(error: Error): void {
    this.#ready.reject(error);
    this.#started();
    this.#gone.resolve(false);
    void this.#port?.terminate();
  }
}
