/**
 * The block of a context in core memory: its words, and behind them its tables.
 *
 *   | context | slots of bottom halves | handler places | coroutine places |
 *
 * Main allocates it, since only main allocates; the thread that polls claims it (design section 7).
 */

import type { Core } from '../engine/core.ts';
import {
  CONTEXT_CO_LIST,
  CONTEXT_CO_READY,
  CONTEXT_COROUTINE_COUNT,
  CONTEXT_COROUTINES,
  CONTEXT_DEPTH,
  CONTEXT_HANDLER_COUNT,
  CONTEXT_HANDLERS,
  CONTEXT_HOME,
  CONTEXT_POLL_HITS,
  CONTEXT_RUNS,
  CONTEXT_SIZE,
  CONTEXT_SLEEPS,
  CONTEXT_SLOT_COUNT,
  CONTEXT_SLOTS,
  CONTEXT_TURNS,
  CONTEXT_VISITS,
  CONTEXT_WAKES,
  COROUTINE_SIZE,
  HANDLER_SIZE,
  SLOT_SIZE,
  VISITS_CLOSED,
} from '../layout.ts';
import { AioError } from './error.ts';

export interface ContextSizes {
  /** How many bottom halves may exist at once; default 64, at most 65535. */
  slots?: number;
  /** How many event notifiers may have a handler; default 64, at most 65535. */
  handlers?: number;
  /** How many coroutines may exist at once; default 16, at most 65535. */
  coroutines?: number;
}

const COUNT_MAX = 65_535;

function count(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= COUNT_MAX) return value;
  throw new RangeError(`${name}: ${value} is not allowed; allowed: 1 to ${COUNT_MAX}`);
}

/** Allocates a block that nobody has claimed, in one piece. Main only. */
export function allocateBlock(core: Core, sizes: ContextSizes = {}): number {
  const slots = count('slots', sizes.slots ?? 64);
  const handlers = count('handlers', sizes.handlers ?? 64);
  const coroutines = count('coroutines', sizes.coroutines ?? 16);
  const slotsAt = CONTEXT_SIZE;
  const handlersAt = slotsAt + slots * SLOT_SIZE;
  const coroutinesAt = handlersAt + handlers * HANDLER_SIZE;
  // Aligned to a cache line, so that two contexts do not slow each other down.
  const address = core.allocate(coroutinesAt + coroutines * COROUTINE_SIZE, 64);
  const set = (field: number, value: number): void => {
    core.u32[(address + field) >>> 2] = value;
  };
  set(CONTEXT_SLOTS, address + slotsAt);
  set(CONTEXT_SLOT_COUNT, slots);
  set(CONTEXT_HANDLERS, address + handlersAt);
  set(CONTEXT_HANDLER_COUNT, handlers);
  set(CONTEXT_COROUTINES, address + coroutinesAt);
  set(CONTEXT_COROUTINE_COUNT, coroutines);
  return address;
}

/** Makes this thread the home of a block. Throws AioError EPERM if it has had one (NT-5). */
export function claimBlock(core: Core, address: number, name: string): void {
  if (Atomics.load(core.u32, (address + CONTEXT_VISITS) >>> 2) >= VISITS_CLOSED) {
    throw new AioError('EPERM', `context '${name}': the block at ${address} was closed`);
  }
  const at = (address + CONTEXT_HOME) >>> 2;
  const home = Atomics.compareExchange(core.i32, at, 0, core.thread);
  if (home !== 0) throw foreignPoll(core, address, name);
}

/** Its context is closed: the block has no home, and main may release it. */
export function disownBlock(core: Core, address: number): void {
  Atomics.store(core.u32, (address + CONTEXT_HOME) >>> 2, 0);
}

/** What no context may be closed with, as its block tells: a poll, a coroutine (BH-15). */
export function leftovers(core: Core, address: number): string[] {
  const read = (field: number): number => Atomics.load(core.u32, (address + field) >>> 2);
  const polls = read(CONTEXT_DEPTH) === 0 ? [] : ['a poll going on'];
  const scheduled = read(CONTEXT_CO_LIST) !== 0 || read(CONTEXT_CO_READY) !== 0;
  return scheduled ? [...polls, 'a scheduled coroutine'] : polls;
}

/** The error of a poll from a thread that is not the context's home (NT-5, NT-12). */
export function foreignPoll(core: Core, address: number, name: string): AioError {
  const home = Atomics.load(core.i32, (address + CONTEXT_HOME) >>> 2);
  return new AioError(
    'EPERM',
    `context '${name}' belongs to thread ${home}; thread ${core.thread} may not poll it`,
  );
}

/** The words of one context, for its home thread. */
export class ContextWords {
  readonly address: number;
  readonly #core: Core;
  #u32: Uint32Array;

  constructor(core: Core, address: number) {
    this.#core = core;
    this.address = address;
    this.#u32 = core.u32;
  }

  /** A word of home's own. */
  get(field: number): number {
    return this.#view()[(this.address + field) >>> 2] as number;
  }

  set(field: number, value: number): void {
    this.#view()[(this.address + field) >>> 2] = value;
  }

  add(field: number, value = 1): void {
    this.#view()[(this.address + field) >>> 2]! += value;
  }

  /** A word that other threads change. */
  load(field: number): number {
    return Atomics.load(this.#view(), (this.address + field) >>> 2);
  }

  #view(): Uint32Array {
    this.#u32 = this.#core.keepU32(this.#u32);
    return this.#u32;
  }
}

/** What a context has done since it was made, as 32-bit counts. Any thread; a look, no cut. */
export interface ContextFigures {
  readonly turns: number;
  /** Bottom halves run. */
  readonly runs: number;
  /** Times it went to sleep. */
  readonly sleeps: number;
  /** Times busy polling found work before the sleep. */
  readonly pollHits: number;
  /** Times somebody had to wake it. */
  readonly wakes: number;
}

export function contextFigures(core: Core, address: number): ContextFigures {
  const read = (field: number): number => core.u32[(address + field) >>> 2] as number;
  return {
    turns: read(CONTEXT_TURNS),
    runs: read(CONTEXT_RUNS),
    sleeps: read(CONTEXT_SLEEPS),
    pollHits: read(CONTEXT_POLL_HITS),
    wakes: read(CONTEXT_WAKES),
  };
}
