/**
 * Who may touch guest memory for a queue, and until when (design section 7). Four words, two
 * threads; every access is atomic:
 *
 *     home thread                         main, `quiesceQueues`
 *     SERVING = 1                         RUNNING = 0, READY = 0, EPOCH += 1
 *     reads EPOCH, RUNNING, READY         waits until SERVING is 0
 *     touches guest memory, or does not   EPOCH += 1
 *     SERVING = 0
 *
 * Whichever comes second sees the other: home finds the epoch ended, or main waits until home is
 * out of its current call. The second count ends what home may have popped in between, when it
 * still found the ring ready. Home never waits for main.
 */

import type { Core } from '../engine/core.ts';
import { QUEUE_EPOCH, QUEUE_READY, QUEUE_RUNNING, QUEUE_SERVING } from '../layout.ts';

/** The home thread's side, one per queue. */
export class QueueServing {
  readonly #core: Core;
  readonly #serving: number;
  readonly #epochAt: number;
  readonly #running: number;
  #words: Int32Array;
  #epoch: number;
  #depth = 0;

  /** `queue`: address of its words. */
  constructor(core: Core, queue: number) {
    this.#core = core;
    this.#serving = (queue + QUEUE_SERVING) >>> 2;
    this.#epochAt = (queue + QUEUE_EPOCH) >>> 2;
    this.#running = (queue + QUEUE_RUNNING) >>> 2;
    this.#words = core.i32;
    this.#epoch = Atomics.load(this.#words, this.#epochAt);
  }

  /** Is this thread between `enter` and `leave`? */
  get inside(): boolean {
    return this.#depth > 0;
  }

  /**
   * Before guest memory is touched. False if the epoch has ended to which the queue's requests
   * belong: then nothing of theirs is. `leave` is owed either way. Nests.
   */
  enter(): boolean {
    this.#refresh();
    if (this.#depth++ === 0) Atomics.store(this.#words, this.#serving, 1);
    return Atomics.load(this.#words, this.#epochAt) === this.#epoch;
  }

  leave(): void {
    if (--this.#depth > 0) return;
    this.#refresh();
    Atomics.store(this.#words, this.#serving, 0);
  }

  /** A memory of one thread may have grown, and the view with it be gone. */
  #refresh(): void {
    if (this.#words.length === 0 || !this.#core.viewsDetach) this.#words = this.#core.i32;
  }

  /** QUEUE_EPOCH as of the last `begin`. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Inside: may requests be taken? Pairs with `setRunning`. */
  get running(): boolean {
    return Atomics.load(this.#words, this.#running) === 1;
  }

  /** What comes from now on is of the epoch that the words say. Nothing of an old one is left. */
  begin(): void {
    this.#epoch = Atomics.load(this.#core.i32, this.#epochAt);
  }
}

/**
 * Main: lets the queues take requests, or stops them from doing so; those in flight go on. The
 * store comes after all that the home thread needs to serve (DP-14).
 */
export function setRunning(core: Core, queues: readonly number[], running: boolean): void {
  for (const queue of queues) {
    Atomics.store(core.i32, (queue + QUEUE_RUNNING) >>> 2, running ? 1 : 0);
  }
}

/**
 * Main, after `setRunning(..., false)`: waits until the queues' threads, which are other ones, are
 * out of the call that may have begun before. Throws as `quiesceQueues`.
 */
export function awaitOutside(core: Core, queues: readonly number[]): void {
  for (const queue of queues) awaitServed(core.i32, (queue + QUEUE_SERVING) >>> 2);
}

/** A thread that has not come out of one call for so long has died or hangs, in ms. */
const PATIENCE_MS = 30_000;
/** Looks at the word between two looks at the clock. */
const LOOKS = 100_000;

/**
 * Main, first half of a reset or of a queue's end: when this returns, nothing touches the rings or
 * a buffer, whatever still completes. `left`: queues whose thread runs no more.
 * Throws if a thread stays in one call for half a minute. Not from inside a queue's own call.
 */
export function quiesceQueues(
  core: Core,
  queues: readonly number[],
  left: (queue: number) => boolean = () => false,
): void {
  const { i32 } = core;
  for (const queue of queues) {
    Atomics.store(i32, (queue + QUEUE_RUNNING) >>> 2, 0);
    Atomics.store(i32, (queue + QUEUE_READY) >>> 2, 0);
    Atomics.add(i32, (queue + QUEUE_EPOCH) >>> 2, 1);
  }
  for (const queue of queues) {
    if (!left(queue)) awaitServed(i32, (queue + QUEUE_SERVING) >>> 2);
    Atomics.add(i32, (queue + QUEUE_EPOCH) >>> 2, 1);
  }
}

function awaitServed(words: Int32Array, serving: number): void {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    for (let look = 0; look < LOOKS; look++) if (Atomics.load(words, serving) === 0) return;
    if (Date.now() > until) throw new Error('the thread of a queue does not come out of a call');
  }
}
