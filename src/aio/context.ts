/**
 * AioContext: the event loop of one thread's share of the data plane.
 *
 * It lives inside a foreign loop (the JavaScript loop, or an emulator's poll point) and obeys its
 * three phases: `prepare` before the thread goes away, `check` and `dispatch` when it is back
 * (GS-1 to GS-3). A thread that may block can poll instead (NT-2). What is to run, who sleeps and
 * who polls stands in shared memory, so any thread may schedule; callbacks, handlers and timers
 * belong to the home thread, the one that made this object. QEMU: `util/async.c`,
 * `util/aio-posix.c`.
 */

import type { Core } from '../engine/core.ts';
import {
  BH_ONESHOT,
  BH_SCHEDULED,
  CONTEXT_DEPTH,
  CONTEXT_POLL_DISABLE,
  CONTEXT_TURNS,
  CONTEXT_WAKES,
} from '../layout.ts';
import { BottomHalf, scheduleHandle } from './bottom-half.ts';
import { type Clock, Clocks, type ClockType } from './clock.ts';
import {
  allocateBlock,
  type ContextFigures,
  type ContextSizes,
  ContextWords,
  claimBlock,
  contextFigures,
  disownBlock,
  foreignPoll,
  leftovers,
} from './context-block.ts';
import type { AioContextOptions } from './context-options.ts';
import { AioError } from './error.ts';
import { EventNotifier } from './event-notifier.ts';
import { type AioHandler, HandlerTable } from './handlers.ts';
import { LivelyProcess } from './lively-process.ts';
import { PollMode } from './poll-mode.ts';
import { type PollParams, pollParams, setPollParams } from './poll-params.ts';
import { Rest } from './rest.ts';
import type { Sleeper } from './sleeper.ts';
import { type BottomHalfOptions, BottomHalfSlots } from './slots.ts';
import { Timer, TimerGroup } from './timer.ts';
import { becomeMain, resignMain } from './wait.ts';
import { addHome, notifyContext, removeHome } from './wake.ts';
import { canBlock, canListen, makeSleeper, type SleeperKind } from './word-sleeper.ts';

export type { AioContextOptions } from './context-options.ts';

let current: AioContext | null = null;

/** The context whose callback runs on this thread now, or null (WT-3). */
export function currentContext(): AioContext | null {
  return current;
}

export class AioContext {
  readonly core: Core;
  readonly name: string;
  /** Core address of the context's block. */
  readonly address: number;
  readonly clocks: Clocks;
  readonly #words: ContextWords;
  readonly #ownsBlock: boolean;
  readonly #kind: SleeperKind;
  readonly #slots: BottomHalfSlots;
  readonly #handlers: HandlerTable;
  readonly #polling: PollMode;
  readonly #timers: TimerGroup;
  readonly #sleeper: Sleeper;
  readonly #rest: Rest;
  readonly #process = new LivelyProcess();
  #turnWaiters: (() => void)[] = [];
  #loopUsers = 0;
  #mayBlock: boolean | null = null;
  #closed = false;

  /** A block for a context whose home is another thread. Main only. */
  static allocate(core: Core, sizes: ContextSizes = {}): number {
    return allocateBlock(core, sizes);
  }

  /** Gives back such a block; its context is closed, or its thread gone. Main only. */
  static release(core: Core, address: number): void {
    core.free(address);
  }

  /**
   * This thread becomes the home. If anything fails, everything is undone (BH-15). Throws a
   * RangeError for sizes, CoreError ENOMEM, AioError EPERM if the block has a home, ENOTSUP for
   * `word` in a memory that is not shared, and what the hooks throw.
   */
  constructor(core: Core, options: AioContextOptions = {}) {
    const { block, name = 'main', clock } = options;
    this.core = core;
    this.name = name;
    this.clocks = options.clocks ?? new Clocks(clock ? { realtime: clock } : {});
    this.#kind = options.sleeper ?? (canListen(core) ? 'word' : 'loop');
    if (this.#kind === 'word' && !core.shared) {
      throw new AioError('ENOTSUP', `context '${name}': sleeper 'word' needs a shared memory`);
    }
    this.#ownsBlock = block === undefined;
    this.address = block ?? allocateBlock(core, options);
    this.#words = new ContextWords(core, this.address);
    this.#timers = new TimerGroup(this.clocks, () => this.notify());
    const hooks = { turn: () => this.turn(), woken: this.#wake, ...options };
    this.#sleeper = makeSleeper(this.#kind, core, this.address, hooks);
    let mine = false;
    try {
      if (!options.anyThreadMayPoll) claimBlock(core, this.address, name);
      mine = true;
      this.#slots = new BottomHalfSlots(core, this.#words, name);
      this.#handlers = new HandlerTable(core, this.#words, name);
      const { realtime } = this.clocks;
      this.#polling = new PollMode(core, this.#words, this.#handlers, realtime);
      this.#rest = new Rest(core, this.#words, this.#timers, this.#polling, this.#sleeper);
      addHome(core, this.address, this.#wake);
      if (this.#ownsBlock) becomeMain(this);
      this.#rest.prepare(this.#wake);
    } catch (error) {
      if (mine) this.#vanish(); // else the block is somebody else's
      throw error;
    }
  }

  get clock(): Clock {
    return this.clocks.realtime;
  }

  /** Turns taken since creation: an idle context takes none. */
  get turns(): number {
    return this.#words.get(CONTEXT_TURNS);
  }

  get figures(): ContextFigures {
    return contextFigures(this.core, this.address);
  }

  /** Bottom halves that exist, oneshot ones included. */
  get bottomHalves(): number {
    return this.#slots.count;
  }

  /** Names of the notifiers that have a handler here. */
  get handlers(): string[] {
    return this.#handlers.names;
  }

  // ---- Bottom halves --------------------------------------------------------------------------

  /** A bottom half that may be scheduled any number of times until it is deleted. */
  bottomHalf(name: string, callback: () => void, options?: BottomHalfOptions): BottomHalf {
    this.#assertOpen();
    const handle = this.#slots.claim(name, callback, options);
    return new BottomHalf(name, handle, this.core.engine, this.#wake);
  }

  /** Runs `callback` once, on the next poll (BH-7). */
  scheduleOneshot(name: string, callback: () => void, options?: BottomHalfOptions): void {
    this.#assertOpen();
    const handle = this.#slots.claim(name, callback, options);
    const flags = BH_SCHEDULED | BH_ONESHOT;
    if (scheduleHandle(this.core.engine, handle, flags)) this.#wake();
  }

  // ---- Event notifiers, timers ----------------------------------------------------------------

  /**
   * Calls `handler` from a later poll whenever `notifier` was set; null removes the handler. A
   * replaced or removed handler is never called again, even if its event was found already (FD-1,
   * FD-2). An event that was set before is found at once (NT-11). Throws a RangeError if all
   * handlers of the context are in use.
   */
  setHandler(notifier: EventNotifier, handler: (() => void) | AioHandler | null): void {
    this.#assertOpen();
    const full = typeof handler === 'function' ? { read: handler } : handler;
    this.#handlers.set(notifier, full, () => this.setHandler(notifier, null));
    this.notify();
  }

  /** A new notifier in this context's core, on main. The caller closes it. */
  notifier(name?: string): EventNotifier {
    return new EventNotifier(this.core, name);
  }

  /** A timer on one of the context's clocks, not armed. */
  timer(name: string, callback: () => void, clock: ClockType = 'realtime'): Timer {
    return new Timer(name, callback, this.#timers.on(clock));
  }

  // ---- Polls ----------------------------------------------------------------------------------

  /** May `poll(true)` be called? A word that other threads count up, and a thread that may wait. */
  get mayBlock(): boolean {
    this.#mayBlock ??= this.#kind === 'word' && canBlock(this.core, this.address);
    return this.#mayBlock;
  }

  /**
   * Bottom halves, then handlers whose event is set, then timers (NT-8). True if anything but an
   * idle bottom half ran (BH-11, NT-7). May be called from inside a callback; it then runs the rest
   * of the outer poll's bottom halves first (BH-8). `blocking`: waits for something to do first,
   * and returns false if somebody has merely notified; throws AioError ENOTSUP where `mayBlock` is
   * false. A thread that is not the context's home gets AioError EPERM (NT-5).
   */
  poll(blocking = false): boolean {
    if (blocking && !this.mayBlock) {
      const message = `context '${this.name}' cannot block: no shared memory, or no thread for it`;
      throw new AioError('ENOTSUP', message);
    }
    return this.pollStep(blocking, blocking);
  }

  /** For `runLoop`: a poll that busy-polls first, or sleeps until there is something to do. */
  pollStep(spin: boolean, sleep: boolean): boolean {
    this.#begin();
    try {
      if (spin || sleep) this.#rest.await(spin, sleep);
      else if (this.#polling.on) this.#polling.collect();
      return this.#dispatch();
    } finally {
      this.core.engine.pollEnd(this.address);
    }
  }

  /**
   * The foreign loop's turn: check, dispatch, prepare. Called by the sleeper, or by the owner of a
   * `hook` context. A turn inside a turn is a nested poll.
   */
  turn(): boolean {
    if (this.#closed) return false;
    if (this.#words.get(CONTEXT_DEPTH) > 0) return this.poll();
    this.#begin();
    try {
      this.#sleeper.begin();
      this.#words.add(CONTEXT_TURNS);
      this.core.engine.check(this.address);
      return this.#dispatch();
    } finally {
      this.core.engine.pollEnd(this.address);
      if (!this.#closed) this.#rest.prepare(this.#wake);
      this.#turned();
    }
  }

  /** Has anybody notified since the last turn, or is a timer due? For a `hook` owner (GS-7). */
  get wanted(): boolean {
    return this.#rest.notified || this.timeout() === 0;
  }

  /** Resolves after the next turn. */
  nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#turnWaiters.push(resolve));
  }

  /**
   * How long the thread may stay away, in ns: 0 if a bottom half or a handler found by polling is
   * to run, else until the first deadline, at most 10 ms with an idle bottom half, -1 for ever
   * (TM-1).
   */
  timeout(): number {
    return this.#rest.timeout();
  }

  /** Something changed that a sleeper would want to know (NT-11). */
  notify(): void {
    notifyContext(this.core, this.address);
  }

  /** Sets the numbers of adaptive polling; see `setPollParams`. */
  setPollParams(params: Partial<PollParams>): void {
    setPollParams(this.core, this.address, params);
  }

  get pollParams(): PollParams {
    return pollParams(this.core, this.address);
  }

  // ---- The JavaScript loop --------------------------------------------------------------------

  /** Back in the foreign loop, after `leaveLoop`: turns come from there again. For `runLoop`. */
  enterLoop(): void {
    this.#rest.prepare(this.#wake);
  }

  /** The thread polls by itself from here on. For `runLoop`. */
  leaveLoop(): void {
    this.#sleeper.rest();
    this.core.engine.check(this.address);
  }

  /**
   * Something on this thread will settle through the JavaScript loop: until as many have gone, the
   * thread neither blocks nor busy-polls (AP-2: a handler without io_poll).
   */
  addLoopUser(): void {
    this.#loopUsers += 1;
    this.#words.add(CONTEXT_POLL_DISABLE);
    this.notify();
  }

  removeLoopUser(): void {
    if (this.#loopUsers === 0) throw new Error(`context '${this.name}' has no loop user`);
    this.#loopUsers -= 1;
    this.#words.add(CONTEXT_POLL_DISABLE, -1);
    this.notify();
  }

  get loopUsers(): number {
    return this.#loopUsers;
  }

  /** The process does not end before as many `unref` (Node, Deno, Bun). */
  ref(): void {
    this.#process.ref();
  }

  unref(): void {
    this.#process.unref();
  }

  // ---- Teardown -------------------------------------------------------------------------------

  /**
   * Ends the context. What it still has is an AioError EBUSY that names it, and the context stays
   * as it was: scheduled coroutines, bottom halves not deleted (BH-14), handlers, armed timers, a
   * poll going on, another thread inside a call (BH-15).
   */
  close(): void {
    if (this.#closed) return;
    const left = [
      ...leftovers(this.core, this.address),
      ...this.#slots.live,
      ...this.handlers,
      ...this.#timers.armed,
    ];
    if (left.length > 0) throw this.#busy(`still has: ${left.join(', ')}`);
    if (this.core.engine.visitClose(this.address) === 0) throw this.#busy('has a visitor inside');
    this.#slots.run(); // only frees: all that is left was deleted
    this.#vanish();
    this.#turned();
  }

  #vanish(): void {
    this.#closed = true;
    this.#sleeper.close();
    this.#timers.close();
    this.#process.close();
    removeHome(this.core, this.address);
    resignMain(this);
    if (this.#ownsBlock) this.core.free(this.address);
    else disownBlock(this.core, this.address);
  }

  #busy(what: string): AioError {
    return new AioError('EBUSY', `context '${this.name}' ${what}`);
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error(`context '${this.name}' is closed`);
  }

  // ---- Inside ---------------------------------------------------------------------------------

  #begin(): void {
    this.#assertOpen();
    const { core, address } = this;
    if (core.engine.pollBegin(address, core.thread) === 0) {
      throw foreignPoll(core, address, this.name);
    }
  }

  #dispatch(): boolean {
    const outer = current;
    current = this;
    try {
      let progress = this.#slots.run();
      if (this.#handlers.run(this.#polling)) progress = true;
      if (this.#timers.run()) progress = true;
      return progress;
    } finally {
      current = outer;
    }
  }

  readonly #wake = (): void => {
    if (this.#closed) return;
    Atomics.add(this.core.u32, (this.address + CONTEXT_WAKES) >>> 2, 1);
    this.#sleeper.wake();
  };

  #turned(): void {
    if (this.#turnWaiters.length === 0) return;
    const waiters = this.#turnWaiters;
    this.#turnWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
