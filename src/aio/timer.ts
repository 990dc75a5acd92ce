/**
 * Timers of a context, kept sorted by expiry, first in first out among equals (TM-2).
 * Home thread only; from elsewhere schedule a bottom half that arms the timer.
 * QEMU: `util/qemu-timer.c`.
 */

import type { Clocks, ClockType, ClockUser, SwitchedClock } from './clock.ts';
import { AioError } from './error.ts';

/** Made by `AioContext.timer`. */
export class Timer {
  readonly name: string;
  readonly callback: () => void;
  /** When it is due, in ns of its clock; -1 while it is not armed. */
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

  /** As `mod`, but only to an earlier time than the timer is armed for (TM-6). */
  modAnticipate(expire: number): void {
    if (!this.pending || Math.max(0, expire) < this.expire) this.mod(expire);
  }

  /** Disarms it; nothing if it is not armed. */
  del(): void {
    this.#list.disarm(this);
  }

  /** Its owner goes: throws AioError EBUSY if it is still armed (TM-6). */
  deinit(): void {
    if (this.pending) throw new AioError('EBUSY', `timer '${this.name}' is still armed`);
  }
}

/** The timers of one context on one clock. */
export class TimerList implements ClockUser {
  readonly clock: SwitchedClock;
  readonly #timers: Timer[] = [];
  readonly #becameHead: () => void;
  #pass = 0;

  /** `becameHead` notifies the context: what its sleeper waits for has changed (NT-11). */
  constructor(clock: SwitchedClock, becameHead: () => void) {
    this.clock = clock;
    this.#becameHead = becameHead;
  }

  get timers(): readonly Timer[] {
    return this.#timers;
  }

  /** -1 also while the clock is disabled (TM-5). */
  get deadline(): number {
    return this.clock.enabled ? (this.#timers[0]?.expire ?? -1) : -1;
  }

  clockEnabled(): void {
    this.#becameHead();
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
    if (!this.clock.enabled || this.#timers.length === 0) return false;
    const now = this.clock.now();
    const pass = ++this.#pass;
    let progress = false;
    while (this.clock.enabled) {
      const timer = this.#timers.find((other) => other.armedIn < pass);
      if (!timer || timer.expire > now) break;
      this.disarm(timer);
      progress = true;
      this.clock.call(timer.callback);
    }
    return progress;
  }
}

/** The timers of one context, on all of its clocks (QEMU: QEMUTimerListGroup). */
export class TimerGroup {
  readonly #clocks: Clocks;
  readonly #becameHead: () => void;
  /** Lists of the clocks that were asked for: most contexts have one, or none. */
  readonly #lists: TimerList[] = [];

  constructor(clocks: Clocks, becameHead: () => void) {
    this.#clocks = clocks;
    this.#becameHead = becameHead;
  }

  /** The list of timers on the clock of that type. */
  on(type: ClockType): TimerList {
    const clock = this.#clocks[type];
    if (!clock) throw new RangeError(`there is no clock '${type}'`);
    let list = this.#lists.find((other) => other.clock === clock);
    if (!list) {
      list = new TimerList(clock, this.#becameHead);
      clock.add(list);
      this.#lists.push(list);
    }
    return list;
  }

  /** Nanoseconds until the first timer of any clock is due; -1: never (TM-1). */
  get timeout(): number {
    let soonest = -1;
    for (let i = 0; i < this.#lists.length; i++) {
      const { clock, deadline } = this.#lists[i] as TimerList;
      if (deadline < 0) continue;
      const left = Math.max(0, deadline - clock.now());
      if (soonest < 0 || left < soonest) soonest = left;
    }
    return soonest;
  }

  run(): boolean {
    let progress = false;
    for (let i = 0; i < this.#lists.length; i++) {
      if ((this.#lists[i] as TimerList).run()) progress = true;
    }
    return progress;
  }

  /** Names of the timers that are armed. */
  get armed(): string[] {
    return this.#lists.flatMap((list) => list.timers.map((timer) => timer.name));
  }

  close(): void {
    for (const list of this.#lists) list.clock.remove(list);
    this.#lists.length = 0;
  }
}
