/**
 * Adaptive polling: before a context sleeps it looks for work for as long as its handlers have
 * shown that work comes (AP-1 to AP-11). While poll mode is on nobody has to tell it of events.
 *
 *      off --spin--> on: begin() of each polled handler
 *      on --about to sleep, or inside a foreign loop--> off: end() of each, and one more look
 *
 * QEMU: `try_poll_mode`, `poll_set_started` in `util/aio-posix.c`. Home thread only.
 */

import type { Core } from '../engine/core.ts';
import { SPIN_NOTHING } from '../engine/engine.ts';
import {
  CONTEXT_POLL_DISABLE,
  CONTEXT_POLL_HITS,
  CONTEXT_POLL_MAX,
  CONTEXT_POLLING,
  HANDLER_F_BEGUN,
  HANDLER_F_POLLED,
  HANDLER_POLL_NS,
} from '../layout.ts';
import type { Clock } from './clock.ts';
import type { ContextWords } from './context-block.ts';
import type { AioPoll, DispatchEvents, HandlerEntry, HandlerTable } from './handlers.ts';
import { nextPollNs, pollParams } from './poll-params.ts';

/** Looks at every ring and flag between two looks at the clock, which costs as much as all. */
const ROUNDS = 32;
/** At least so many ns pass in ROUNDS rounds: a window ends even if the clock stands still. */
const ROUNDS_NS = 32;
/** A handler that had nothing to do for so long leaves the polled set (AP-9). */
const IDLE_NS = 7_000_000_000;

const hasTest = (entry: HandlerEntry | undefined): boolean => entry?.poll?.test !== undefined;

export class PollMode implements DispatchEvents {
  readonly #core: Core;
  readonly #words: ContextWords;
  readonly #table: HandlerTable;
  readonly #clock: Clock;
  /** When the context began to look for work; -1: it has found some. */
  #since = -1;
  /** How long it had to look, for the handlers of this dispatch; -1: it did not look. */
  #blocked = -1;

  constructor(core: Core, words: ContextWords, table: HandlerTable, clock: Clock) {
    this.#core = core;
    this.#words = words;
    this.#table = table;
    this.#clock = clock;
  }

  get on(): boolean {
    return this.#words.get(CONTEXT_POLLING) !== 0;
  }

  // ---- How long it took -----------------------------------------------------------------------

  /** The context begins to look for work, or goes on to. */
  startClock(): void {
    if (this.#since < 0 && this.#words.load(CONTEXT_POLL_MAX) !== 0)
      this.#since = this.#clock.now();
  }

  /** The context stops looking: what is dispatched next had it wait so long (AP-5). */
  stopClock(): void {
    this.#blocked = this.#since < 0 ? -1 : this.#clock.now() - this.#since;
    this.#since = -1;
  }

  /** The context did something else than look for work. */
  resetClock(): void {
    this.#since = -1;
    this.#blocked = -1;
  }

  // ---- The window -----------------------------------------------------------------------------

  /**
   * Looks for work, for `timeout` ns (-1: any time) or as long as the handlers are worth it (AP-4).
   * True if there is some: a handler is ready, or somebody has notified (AP-10).
   */
  spin(timeout: number): boolean {
    const longest = this.#longest();
    const window = timeout < 0 ? longest : Math.min(timeout, longest);
    if (window === 0) return false;
    this.start();
    const found = this.#spin(window);
    if (found) this.#words.add(CONTEXT_POLL_HITS);
    return found;
  }

  #spin(window: number): boolean {
    const { engine } = this.#core;
    const tests = this.#table.entries.some(hasTest);
    const start = this.#clock.now();
    let idle = this.#dropIdle(start);
    for (let left = Math.ceil(window / ROUNDS_NS); left > 0; left--) {
      const place = engine.pollSpin(this.#words.address, ROUNDS);
      if (place !== SPIN_NOTHING || tests) idle = this.collect() || idle;
      if (idle || place !== SPIN_NOTHING) return true;
      // Zero ns may have passed: some clocks tick every 100 us. Then the count ends the window.
      if (this.#clock.now() - start >= window) return false;
    }
    return false;
  }

  #longest(): number {
    const max = this.#words.load(CONTEXT_POLL_MAX);
    if (max === 0 || this.#words.get(CONTEXT_POLL_DISABLE) !== 0) return 0;
    const { entries } = this.#table;
    let longest = 0;
    for (let place = 0; place < entries.length; place++) {
      const entry = entries[place];
      if (!entry || !this.#table.isPolled(entry)) continue;
      longest = Math.max(longest, this.#table.word(entry, HANDLER_POLL_NS));
    }
    return Math.min(longest, max);
  }

  /** Looks once at all polled handlers: none hides behind a busy one, or behind a notify. */
  collect(): boolean {
    const { entries } = this.#table;
    let found = false;
    for (let place = 0; place < entries.length; place++) {
      const entry = entries[place];
      if (entry && this.#table.isPolled(entry) && this.#look(entry)) found = true;
    }
    return found;
  }

  #look(entry: HandlerEntry): boolean {
    const { queue, test } = entry.poll as AioPoll;
    const found =
      (queue !== undefined && this.#core.engine.queueEmpty(queue) === 0) ||
      test?.call(entry.poll) ||
      entry.notifier.isSet;
    if (found) this.#table.markReady(entry);
    return found;
  }

  // ---- On and off -----------------------------------------------------------------------------

  start(): void {
    if (this.on) return;
    this.#words.set(CONTEXT_POLLING, 1);
    const { entries } = this.#table;
    for (let place = 0; place < entries.length; place++) {
      const entry = entries[place];
      if (entry && this.#table.isPolled(entry)) this.#begin(entry);
    }
  }

  /** True if one more look found work: then do not sleep (AP-7). It is kept for the next `run`. */
  stop(): boolean {
    if (!this.on) return false;
    this.#words.set(CONTEXT_POLLING, 0);
    const { entries } = this.#table;
    let found = false;
    for (let place = 0; place < entries.length; place++) {
      const entry = entries[place];
      if (!entry) continue;
      this.#end(entry);
      if (!entry.deleted && this.#table.isPolled(entry) && this.#look(entry)) found = true;
    }
    return found;
  }

  #begin(entry: HandlerEntry): void {
    this.#table.mark(entry, HANDLER_F_BEGUN);
    entry.poll?.begin?.();
  }

  #end(entry: HandlerEntry): void {
    if (!this.#table.has(entry, HANDLER_F_BEGUN)) return;
    this.#table.clear(entry, HANDLER_F_BEGUN);
    entry.poll?.end?.();
  }

  #dropIdle(now: number): boolean {
    const { entries } = this.#table;
    let found = false;
    for (let place = 0; place < entries.length; place++) {
      const entry = entries[place];
      if (!entry || !this.#table.isPolled(entry)) continue;
      if (entry.idleAt === 0) entry.idleAt = now + IDLE_NS;
      if (now < entry.idleAt) continue;
      this.#table.clear(entry, HANDLER_F_POLLED);
      this.#end(entry);
      if (!entry.deleted && this.#look(entry)) found = true;
    }
    return found;
  }

  // ---- Dispatch -------------------------------------------------------------------------------

  /** A handler is polled from its first activity on (AP-3). */
  active(entry: HandlerEntry): void {
    if (!entry.poll) return;
    entry.idleAt = 0;
    if (!this.#table.isPolled(entry)) this.#join(entry);
  }

  #join(entry: HandlerEntry): void {
    this.#table.mark(entry, HANDLER_F_POLLED);
    if (this.on && !this.#table.has(entry, HANDLER_F_BEGUN)) this.#begin(entry);
  }

  /** Out of the polled set meanwhile, so that a nested poll cannot enter it again (AP-8). */
  serve(entry: HandlerEntry): void {
    const begun = this.#table.has(entry, HANDLER_F_BEGUN);
    this.#table.clear(entry, HANDLER_F_POLLED);
    try {
      (entry.poll as AioPoll).ready();
    } finally {
      if (!entry.deleted) {
        this.#join(entry);
        // A nested poll has ended poll mode and could not take the last look: it is owed still.
        if (begun && !this.#table.has(entry, HANDLER_F_BEGUN)) this.#look(entry);
      }
    }
  }

  served(entry: HandlerEntry): void {
    if (this.#blocked < 0 || !entry.poll) return;
    const now = this.#table.word(entry, HANDLER_POLL_NS);
    const next = nextPollNs(now, this.#blocked, pollParams(this.#core, this.#words.address));
    if (next !== now) this.#table.setWord(entry, HANDLER_POLL_NS, next);
  }
}
