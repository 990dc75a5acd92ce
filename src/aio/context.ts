/**
 * AioContext: the event loop of one thread's share of the data plane.
 *
 * It lives inside a foreign loop (the JavaScript loop, or an emulator's poll point) and obeys its
 * three phases: `prepare` before the thread goes away, `check` and `dispatch` when it is back
 * (GS-1 to GS-3). What is to run stands in shared memory, so any thread may schedule; callbacks,
 * handlers and timers belong to the home thread, the one that made the context.
 * QEMU: `util/async.c`, `util/aio-posix.c`.
 */

import type { Core } from '../engine/core.ts';
import {
  BH_DELETED,
  BH_GENERATION_SHIFT,
  BH_IDLE,
  BH_ONESHOT,
  BH_SCHEDULED,
  CONTEXT_RUNS,
  CONTEXT_SIZE,
  CONTEXT_SLOT_COUNT,
  CONTEXT_SLOTS,
  CONTEXT_TURNS,
  SLOT_FLAGS,
  SLOT_SIZE,
} from '../layout.ts';
import { BottomHalf, scheduleHandle } from './bottom-half.ts';
import { type Clock, realtimeClock } from './clock.ts';
import { EventNotifier } from './event-notifier.ts';
import { HookSleeper, LoopSleeper, type Sleeper } from './sleeper.ts';
import { Timer, TimerList } from './timer.ts';

export interface AioContextOptions {
  /** For messages; default `main`. */
  name?: string;
  /** `loop`: turns come from the JavaScript loop (default). `hook`: the owner calls `turn()`. */
  sleeper?: 'loop' | 'hook';
  /** With `hook`: a turn is wanted. */
  onWake?: () => void;
  /** With `hook`: no turn is wanted for `ns` nanoseconds (-1: for ever), unless `onWake` comes. */
  onSleep?: (ns: number) => void;
  /** How many bottom halves may exist at once; default 64, at most 65535. */
  slots?: number;
  /** Clock of the timers; default real time. */
  clock?: Clock;
}

const nothing = (): void => {};

interface Handler {
  readonly notifier: EventNotifier;
  readonly callback: () => void;
  /** Removed while a dispatch walks the list: never called again (FD-2, FD-3). */
  deleted: boolean;
}

interface Slot {
  readonly name: string;
  readonly callback: () => void;
}

/** An idle bottom half waits no longer than this (BH-12). */
const IDLE_NS = 10_000_000;
const SLOTS_MAX = 65_535;

export class AioContext {
  readonly core: Core;
  readonly name: string;
  /** Core address of the context's block. */
  readonly address: number;
  readonly #slots: number;
  readonly #callbacks: (Slot | undefined)[];
  /** Numbers of slots without a callback; the newest freed is used first. */
  readonly #freeSlots: number[] = [];
  readonly #handlers = new Map<EventNotifier, Handler>();
  #handlerList: Handler[] = [];
  readonly #timers: TimerList;
  readonly #sleeper: Sleeper;
  /** A turn is on its way: further wake-ups add nothing. */
  #awake = false;
  #dispatching = 0;
  #closed = false;

  constructor(core: Core, options: AioContextOptions = {}) {
    const slots = options.slots ?? 64;
    if (!Number.isInteger(slots) || slots < 1 || slots > SLOTS_MAX) {
      throw new RangeError(`slots: ${slots} is not allowed; allowed: 1 to ${SLOTS_MAX}`);
    }
    this.core = core;
    this.name = options.name ?? 'main';
    this.address = core.allocate(CONTEXT_SIZE);
    this.#slots = core.allocate(slots * SLOT_SIZE);
    core.u32[(this.address + CONTEXT_SLOTS) >>> 2] = this.#slots;
    core.u32[(this.address + CONTEXT_SLOT_COUNT) >>> 2] = slots;
    this.#callbacks = new Array(slots).fill(undefined);
    for (let slot = slots - 1; slot >= 0; slot--) this.#freeSlots.push(slot);
    this.#timers = new TimerList(options.clock ?? realtimeClock, () => this.notify());
    this.#sleeper =
      options.sleeper === 'hook'
        ? new HookSleeper(options.onWake ?? nothing, options.onSleep ?? nothing)
        : new LoopSleeper(() => this.turn());
    this.#prepare();
  }

  get clock(): Clock {
    return this.#timers.clock;
  }

  /** Turns taken since creation: an idle context takes none. */
  get turns(): number {
    return this.core.u32[(this.address + CONTEXT_TURNS) >>> 2] as number;
  }

  /** Bottom halves that exist, oneshot ones included. */
  get bottomHalves(): number {
    return this.#callbacks.length - this.#freeSlots.length;
  }

  /** Names of the notifiers that have a handler here. */
  get handlers(): string[] {
    return [...this.#handlers.keys()].map((notifier) => notifier.name);
  }

  // ---- Bottom halves --------------------------------------------------------------------------

  /** A bottom half that may be scheduled any number of times until it is deleted. */
  bottomHalf(name: string, callback: () => void): BottomHalf {
    const handle = this.#claimSlot(name, callback);
    return new BottomHalf(name, handle, this.core.engine, this.#wake);
  }

  /** Runs `callback` once, on the next poll (BH-7). */
  scheduleOneshot(name: string, callback: () => void): void {
    const handle = this.#claimSlot(name, callback);
    const flags = BH_SCHEDULED | BH_ONESHOT;
    if (scheduleHandle(this.core.engine, handle, flags)) this.#wake();
  }

  #claimSlot(name: string, callback: () => void) {
    if (this.#closed) throw new Error(`context '${this.name}' is closed`);
    const slot = this.#freeSlots.pop();
    if (slot === undefined) {
      const limit = this.#callbacks.length;
      throw new RangeError(`context '${this.name}' has all its ${limit} bottom halves in use`);
    }
    this.#callbacks[slot] = { name, callback };
    const generation = Atomics.load(this.core.u32, this.#flagsAt(slot)) >>> BH_GENERATION_SHIFT;
    return { context: this.address, slot, generation };
  }

  // ---- Event notifiers ------------------------------------------------------------------------

  /**
   * Calls `handler` from a later poll whenever `notifier` was set; null removes the handler. A
   * replaced or removed handler is never called again, even if its event was found already (FD-1,
   * FD-2). An event that was set before is found at once (NT-11).
   */
  setHandler(notifier: EventNotifier, handler: (() => void) | null): void {
    const old = this.#handlers.get(notifier);
    if (old) {
      old.deleted = true;
      this.#handlers.delete(notifier);
    }
    if (handler) {
      this.#handlers.set(notifier, { notifier, callback: handler, deleted: false });
      notifier.watch(this.address, this.#wake);
    } else if (old) {
      notifier.watch(0, null);
    }
    this.#handlerList = [...this.#handlers.values()];
    this.notify();
  }

  /** A new notifier in this context's core. The caller closes it. */
  notifier(name?: string): EventNotifier {
    return new EventNotifier(this.core, name);
  }

  // ---- Timers ---------------------------------------------------------------------------------

  /** A timer on this context's clock, not armed. */
  timer(name: string, callback: () => void): Timer {
    return new Timer(name, callback, this.#timers);
  }

  // ---- Turns ----------------------------------------------------------------------------------

  /** Something changed that a sleeper would want to know (NT-11). */
  notify(): void {
    if (this.core.engine.notify(this.address) === 1) this.#wake();
  }

  /**
   * One turn without waiting: bottom halves, then handlers whose event is set, then timers (NT-8).
   * True if anything but an idle bottom half ran (BH-11, NT-7). May be called from inside a
   * callback; it then runs the rest of the outer poll's bottom halves first (BH-8).
   */
  poll(): boolean {
    this.#dispatching += 1;
    try {
      let progress = this.#runBottomHalves();
      if (this.#runHandlers()) progress = true;
      if (!this.#timers.empty && this.#timers.run()) progress = true;
      return progress;
    } finally {
      this.#dispatching -= 1;
    }
  }

  /**
   * The foreign loop's turn: check, dispatch, prepare. Called by the sleeper, or by the owner of a
   * `hook` context. A turn inside a turn is a nested poll.
   */
  turn(): boolean {
    if (this.#closed) return false;
    if (this.#dispatching > 0) return this.poll();
    this.#awake = false;
    this.core.u32[(this.address + CONTEXT_TURNS) >>> 2]! += 1;
    this.core.engine.check(this.address);
    try {
      return this.poll();
    } finally {
      if (!this.#closed) this.#prepare();
    }
  }

  /**
   * How long the thread may stay away, in ns: 0 if a bottom half is to run, else until the first
   * deadline, at most 10 ms with an idle bottom half, -1 for ever (TM-1).
   */
  timeout(): number {
    const pending = this.core.engine.bhPending(this.address);
    if (pending === 2) return 0;
    const deadline = this.#timers.deadline;
    const timers = deadline < 0 ? -1 : Math.max(0, deadline - this.#timers.clock.now());
    if (pending === 0) return timers;
    return timers < 0 ? IDLE_NS : Math.min(IDLE_NS, timers);
  }

  /**
   * Ends the context. A bottom half that is not deleted, or a handler, is an error that names it,
   * and the context stays as it was (BH-14).
   */
  close(): void {
    if (this.#closed) return;
    const left = [...this.#liveBottomHalves(), ...this.handlers];
    if (left.length > 0) {
      throw new Error(`context '${this.name}' still has: ${left.join(', ')}`);
    }
    this.#runBottomHalves(); // only frees: all that is left was deleted
    this.#closed = true;
    this.#sleeper.close();
    this.core.free(this.#slots);
    this.core.free(this.address);
  }

  #liveBottomHalves(): string[] {
    return this.#callbacks.flatMap((entry, slot) =>
      entry && !(Atomics.load(this.core.u32, this.#flagsAt(slot)) & BH_DELETED) ? [entry.name] : [],
    );
  }

  #flagsAt(slot: number): number {
    return (this.#slots + slot * SLOT_SIZE + SLOT_FLAGS) >>> 2;
  }

  /** Bit 0 first, then the timeout: a notify in between is seen by one of the two (MC M2). */
  #prepare(): void {
    this.core.engine.prepare(this.address);
    const timeout = this.timeout();
    if (timeout === 0 || this.#eventSet()) this.#wake();
    else this.#sleeper.sleep(timeout);
  }

  readonly #wake = (): void => {
    if (this.#awake || this.#closed) return;
    this.#awake = true;
    this.#sleeper.wake();
  };

  /** Was an event set whose wake-up went to nobody? True for one set before it had a watcher. */
  #eventSet(): boolean {
    const list = this.#handlerList;
    for (let i = 0; i < list.length; i++) if (list[i]!.notifier.isSet) return true;
    return false;
  }

  #runBottomHalves(): boolean {
    const engine = this.core.engine;
    engine.bhTake(this.address);
    let progress = false;
    for (let taken = engine.bhNext(this.address); taken >= 0; taken = engine.bhNext(this.address)) {
      const flags = taken >>> 16;
      const slot = taken & 0xffff;
      // The callback may schedule, cancel or delete its own bottom half: nothing is read after it.
      const { callback } = this.#callbacks[slot] as Slot;
      if (flags & (BH_DELETED | BH_ONESHOT)) this.#releaseSlot(slot);
      if ((flags & (BH_SCHEDULED | BH_DELETED)) !== BH_SCHEDULED) continue;
      if (!(flags & BH_IDLE)) progress = true;
      this.core.u32[(this.address + CONTEXT_RUNS) >>> 2]! += 1;
      callback();
    }
    return progress;
  }

  #releaseSlot(slot: number): void {
    this.#callbacks[slot] = undefined;
    this.#freeSlots.push(slot);
  }

  #runHandlers(): boolean {
    // The list is replaced, never changed: a walk sees the handlers there were when it began.
    const list = this.#handlerList;
    let progress = false;
    for (let i = 0; i < list.length; i++) {
      const handler = list[i] as Handler;
      if (handler.deleted || !handler.notifier.testAndClear()) continue;
      progress = true;
      handler.callback();
    }
    return progress;
  }
}
