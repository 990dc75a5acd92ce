/**
 * A mutex for coroutines of one thread, of one context or of several (CO-9). Fair: `unlock` hands
 * the lock to the one that has waited longest, so that nobody who comes late takes it. There is no
 * spinning: a holder on the same thread cannot let go while we spin.
 * QEMU: `util/qemu-coroutine-lock.c`.
 */

import {
  type Coroutine,
  CoroutineError,
  coYield,
  currentCoroutine,
  type Yielding,
} from './coroutine.ts';

export class CoMutex {
  #holder: Coroutine | null = null;
  readonly #waiting: Coroutine[] = [];

  get locked(): boolean {
    return this.#holder !== null;
  }

  /** Coroutines that wait for it. */
  get waiters(): number {
    return this.#waiting.length;
  }

  /** Takes the lock, in a coroutine: `yield* mutex.lock()`. Taking it twice is an error. */
  *lock(): Yielding {
    const self = currentCoroutine();
    if (!self) throw new CoroutineError('ENOCALLER', 'a mutex is locked outside of a coroutine');
    if (this.#holder === self) {
      throw new CoroutineError('ELOCKED', `${self.name} locks a mutex that it holds`);
    }
    if (!this.#holder) {
      this.#holder = self;
    } else {
      this.#waiting.push(self);
      // Handed over by `unlock`; whoever else wakes us does not end the wait.
      while ((this.#holder as Coroutine | null) !== self) yield* coYield();
    }
    self.locksHeld++;
  }

  /** Lets go, and wakes the next. Only the holder may. */
  unlock(): void {
    const self = currentCoroutine();
    if (!self || this.#holder !== self) {
      const owner = this.#holder ? `${this.#holder.name} holds it` : 'nobody holds it';
      throw new CoroutineError('ELOCKED', `${self?.name ?? 'no coroutine'} unlocks: ${owner}`);
    }
    self.locksHeld--;
    this.#holder = this.#waiting.shift() ?? null;
    this.#holder?.wake();
  }
}
