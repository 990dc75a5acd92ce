/** The four clocks, in nanoseconds. QEMU: `util/qemu-timer.c`. */

import { AioError } from './error.ts';

export interface Clock {
  /** Nanoseconds since some fixed moment; never runs backwards. */
  now(): number;
}

/** QEMU_CLOCK_REALTIME: monotonic, runs always. */
export const realtimeClock: Clock = {
  now: () => Math.round(performance.now() * 1e6),
};

/** QEMU_CLOCK_HOST: the time of day since 1970. Whoever sets it may set it back. */
export const hostClock: Clock = {
  now: () => Date.now() * 1e6,
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

/** A clock that runs only while the machine does; it stands still at first. */
export class MachineClock implements Clock {
  readonly #source: Clock;
  #passed = 0;
  #since = -1;

  constructor(source: Clock = realtimeClock) {
    this.#source = source;
  }

  now(): number {
    return this.#since < 0 ? this.#passed : this.#passed + this.#source.now() - this.#since;
  }

  start(): void {
    if (this.#since < 0) this.#since = this.#source.now();
  }

  stop(): void {
    this.#passed = this.now();
    this.#since = -1;
  }
}

export type ClockType = 'realtime' | 'virtual' | 'host' | 'virtual_rt';

/** Somebody's timers of one clock. */
export interface ClockUser {
  /** When the first timer is due, in ns of the clock; -1 if none is armed. */
  readonly deadline: number;
  /** Runs what is due; true if anything was. */
  run(): boolean;
  /** The clock was enabled: whoever sleeps has to look again (NT-11). */
  clockEnabled(): void;
}

/** A clock with a switch. While it is off no timer of it is due, whatever the time (TM-5). */
export class SwitchedClock implements Clock {
  readonly type: ClockType;
  readonly #source: Clock;
  readonly #users = new Set<ClockUser>();
  #enabled: boolean;
  #running = 0;

  constructor(type: ClockType, source: Clock, enabled: boolean) {
    this.type = type;
    this.#source = source;
    this.#enabled = enabled;
  }

  now(): number {
    return this.#source.now();
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /**
   * Enabling tells all who have timers of it. Disabling from inside a callback of such a timer
   * throws AioError EDEADLK: when it returns, no callback may be running.
   */
  enable(on: boolean): void {
    if (!on && this.#running > 0) {
      throw new AioError('EDEADLK', `clock '${this.type}' disabled from inside one of its timers`);
    }
    const changed = on && !this.#enabled;
    this.#enabled = on;
    if (changed) for (const user of this.#users) user.clockEnabled();
  }

  add(user: ClockUser): void {
    this.#users.add(user);
  }

  remove(user: ClockUser): void {
    this.#users.delete(user);
  }

  /** Runs a timer's callback. For `TimerList`. */
  call(callback: () => void): void {
    this.#running += 1;
    try {
      callback();
    } finally {
      this.#running -= 1;
    }
  }

  /**
   * Moves a ManualClock forward by `ns`, in steps to each deadline, where it runs what is due
   * (TM-7). A timer armed there for a time already past waits for the next step.
   */
  advance(ns: number): void {
    const clock = this.#source;
    if (!(clock instanceof ManualClock)) {
      throw new AioError('ENOTSUP', `clock '${this.type}' goes by itself`);
    }
    const end = clock.now() + ns;
    do {
      const deadlines = [...this.#users].map((user) => user.deadline);
      const later = deadlines.filter((at) => at > clock.now());
      clock.advance(Math.min(end, ...later) - clock.now());
      for (const user of this.#users) user.run();
    } while (clock.now() < end);
  }
}

/**
 * The clocks of one thread's contexts. `virtual` stands still and is disabled until `start`;
 * `virtual_rt` stands still, too, but its switch stays on.
 */
export class Clocks {
  readonly realtime: SwitchedClock;
  readonly virtual: SwitchedClock;
  readonly host: SwitchedClock;
  readonly virtual_rt: SwitchedClock;
  readonly #machine: MachineClock;

  /** `sources` replace where the time of a clock comes from. */
  constructor(sources: Partial<Record<ClockType, Clock>> = {}) {
    const realtime = sources.realtime ?? realtimeClock;
    this.#machine = new MachineClock(realtime);
    this.realtime = new SwitchedClock('realtime', realtime, true);
    this.virtual = new SwitchedClock('virtual', sources.virtual ?? this.#machine, false);
    this.host = new SwitchedClock('host', sources.host ?? hostClock, true);
    this.virtual_rt = new SwitchedClock('virtual_rt', sources.virtual_rt ?? this.#machine, true);
  }

  /** The machine runs. */
  start(): void {
    this.#machine.start();
    this.virtual.enable(true);
  }

  /** The machine is stopped. As `SwitchedClock.enable(false)`, not from a virtual timer. */
  stop(): void {
    this.virtual.enable(false);
    this.#machine.stop();
  }
}
