/** Clocks, in nanoseconds. QEMU: `util/qemu-timer.c`. */

export interface Clock {
  /** Nanoseconds since some fixed moment; never runs backwards. */
  now(): number;
}

/** QEMU_CLOCK_REALTIME: monotonic, runs always. */
export const realtimeClock: Clock = {
  now: () => Math.round(performance.now() * 1e6),
};

/** A clock that moves only when told to: for tests, and for embedders with a time of their own. */
export class ManualClock implements Clock {
  #now: number;

  constructor(now = 0) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  /** Moves the clock forward by `ns`. */
  advance(ns: number): void {
    if (!(ns >= 0)) throw new RangeError(`a clock cannot advance by ${ns} ns; allowed: 0 or more`);
    this.#now += ns;
  }
}
