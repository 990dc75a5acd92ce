/**
 * A queue of coroutines that wait for a condition under a mutex (CO-10).
 * QEMU: `util/qemu-coroutine-lock.c`, `qemu_co_queue_wait_impl`.
 */

import type { CoMutex } from './co-mutex.ts';
import {
  type Coroutine,
  CoroutineError,
  coYield,
  currentCoroutine,
  type Yielding,
} from './coroutine.ts';

export class CoQueue {
  readonly #waiting: Coroutine[] = [];
  readonly #woken = new Set<Coroutine>();

  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /**
   * Waits until `enterNext` reaches it. `mutex`, which the caller holds, is let go only when the
   * caller stands in the queue, and is held again at the return.
   */
  *wait(mutex?: CoMutex): Yielding {
    const self = currentCoroutine();
    if (!self) throw new CoroutineError('ENOCALLER', 'to wait in a queue takes a coroutine');
    this.#waiting.push(self);
    mutex?.unlock();
    while (!this.#woken.delete(self)) yield* coYield();
    if (mutex) yield* mutex.lock();
  }

  /** Wakes the one that has waited longest; false if nobody waits. Outside of a coroutine, too. */
  enterNext(): boolean {
    const next = this.#waiting.shift();
    if (!next) return false;
    this.#woken.add(next);
    next.wake();
    return true;
  }

  /**
   * As `enterNext` for a coroutine that holds `mutex`: lets go of it around the wake-up, so that
   * the woken one can take it.
   */
  *enterNextUnlocked(mutex: CoMutex): Yielding<boolean> {
    if (this.empty) return false;
    mutex.unlock();
    const woken = this.enterNext();
    yield* mutex.lock();
    return woken;
  }
}
