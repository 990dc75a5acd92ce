/**
 * Waiting for another request of an overlay, of this thread or another: for a cluster that somebody
 * fills, for whoever writes the map, for a buffer. All of these are words, and nobody is told when
 * they change: a thread that has died could not be told safely. So who waits looks again, at once
 * when a request of its own thread has ended, else by a timer.
 */

import type { AioContext } from '../aio/context.ts';
import type { Timer } from '../aio/timer.ts';
import type { Core } from '../engine/core.ts';
import { errnoOf } from './error.ts';

/** First and longest time between two looks, in ns. */
const LOOK_NS = 50e3;
const LOOK_MAX_NS = 1e6;
/** After so long, in ms, whoever is waited for has died. */
const PATIENCE_MS = 60_000;
/** What a request ends with then. */
export const ETIMEDOUT = errnoOf('ETIMEDOUT');

interface Waiter {
  readonly condition: () => boolean;
  readonly go: (inTime: boolean) => void;
  readonly since: number;
}

export class OverlayWait {
  readonly #core: Core;
  /** A word that nobody changes, to sleep on. */
  readonly #pillow: number;
  readonly #context: AioContext | undefined;
  /** The disks settle at once, and so must the overlay: this thread waits in place. */
  readonly #inPlace: boolean;
  readonly #timer: Timer | null;
  #timeout: ReturnType<typeof setTimeout> | null = null;
  #waiters: Waiter[] = [];
  #interval = LOOK_NS;

  constructor(core: Core, pillow: number, context: AioContext | undefined, inPlace: boolean) {
    this.#core = core;
    this.#pillow = pillow;
    this.#context = context;
    this.#inPlace = inPlace;
    this.#timer = context?.timer('overlay waits', () => this.look()) ?? null;
  }

  /** Calls `go(true)` once `condition()` holds, perhaps at once; `go(false)` if it never does. */
  until(condition: () => boolean, go: (inTime: boolean) => void): void {
    const waiter = { condition, go, since: performance.now() };
    if (condition()) {
      go(true);
    } else if (this.#inPlace) {
      this.#waitInPlace(waiter);
    } else {
      this.#waiters.push(waiter);
      this.#interval = LOOK_NS;
      this.#arm();
    }
  }

  /** A request of this thread has ended: those that wait, in the order they came, look again. */
  look(): void {
    const waiters = this.#waiters;
    if (waiters.length === 0) return;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (waiter.condition()) waiter.go(true);
      else if (isVain(waiter)) waiter.go(false);
      else this.#waiters.push(waiter);
    }
    if (this.#waiters.length > 0) this.#arm();
  }

  close(): void {
    this.#timer?.del();
    if (this.#timeout !== null) clearTimeout(this.#timeout);
    for (const { go } of this.#waiters.splice(0)) go(false);
  }

  #waitInPlace(waiter: Waiter): void {
    while (!waiter.condition()) {
      if (isVain(waiter)) {
        waiter.go(false);
        return;
      }
      this.#nap();
    }
    waiter.go(true);
  }

  /** Gives the processor away for a moment, where that is allowed. */
  #nap(): void {
    try {
      Atomics.wait(this.#core.i32, this.#pillow >>> 2, 0, LOOK_NS / 1e6);
    } catch {
      // A page's main thread must not; it looks again at once.
    }
  }

  #arm(): void {
    const interval = this.#interval;
    this.#interval = Math.min(interval * 2, LOOK_MAX_NS);
    if (this.#timer && this.#context) {
      this.#timer.modAnticipate(this.#context.clock.now() + interval);
      return;
    }
    this.#timeout ??= setTimeout(() => {
      this.#timeout = null;
      this.look();
    }, interval / 1e6);
  }
}

function isVain({ since }: Waiter): boolean {
  return performance.now() - since > PATIENCE_MS;
}
