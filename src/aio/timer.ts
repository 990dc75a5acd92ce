/**
 * Timers of a context, kept sorted by expiry, first in first out among equals (TM-2).
 * Home thread only; from elsewhere schedule a bottom half that arms the timer.
 * QEMU: `util/qemu-timer.c`.
 */

import type { Clock } from './clock.ts';

/** Made by `AioContext.timer`. */
export class Timer {
  readonly name: string;
  readonly callback: () => void;
  /** When it is due, in ns of its context's clock; -1 while it is not armed. */
  expire = -1;
  /** The pass of the list in which it was armed: see `TimerList.run`. */
  armedIn = 0;
  readonly #list: TimerList;

  constructor(name: string, callback: () => void, list: TimerList) {
    this.name = name;
    this.callback = callback;
    this.#list = list;
  }

  get pending(): boolean {
    return this.expire >= 0;
  }

  /** Arms the timer for `expire` ns, or moves it there. Negative times count as 0 (TM-6). */
  mod(expire: number): void {
    if (Number.isNaN(expire)) throw new TypeError(`timer '${this.name}': expire is not a number`);
    this.#list.arm(this, Math.max(0, expire));
  }

  /** Disarms it; nothing if it is not armed. */
  del(): void {
    this.#list.disarm(this);
  }
}

export class TimerList {
  readonly clock: Clock;
  readonly #timers: Timer[] = [];
  readonly #becameHead: () => void;
  #pass = 0;

  /** `becameHead` notifies the context: what its sleeper waits for has changed (NT-11). */
  constructor(clock: Clock, becameHead: () => void) {
    this.clock = clock;
    this.#becameHead = becameHead;
  }

  get empty(): boolean {
    return this.#timers.length === 0;
  }

  /** When the first timer is due, in ns of the clock; -1 if none is armed. */
  get deadline(): number {
    return this.#timers[0]?.expire ?? -1;
  }

  arm(timer: Timer, expire: number): void {
    this.disarm(timer);
    timer.expire = expire;
    timer.armedIn = this.#pass;
    const at = this.#timers.findIndex((other) => other.expire > expire);
    if (at === -1) this.#timers.push(timer);
    else this.#timers.splice(at, 0, timer);
    if (this.#timers[0] === timer) this.#becameHead();
  }

  disarm(timer: Timer): void {
    if (timer.expire < 0) return;
    this.#timers.splice(this.#timers.indexOf(timer), 1);
    timer.expire = -1;
  }

  /**
   * Runs what is due; the clock is read once (TM-3). A callback may arm and disarm any timer. One
   * that it arms for a time already past waits for the next pass, so a pass always ends (TM-4).
   */
  run(): boolean {
    const now = this.clock.now();
    this.#pass += 1;
    let progress = false;
    for (;;) {
      const timer = this.#timers.find((other) => other.armedIn !== this.#pass);
      if (!timer || timer.expire > now) return progress;
      this.disarm(timer);
      progress = true;
      timer.callback();
    }
  }
}
