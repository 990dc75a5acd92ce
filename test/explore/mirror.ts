/**
 * The steps of the protocols that are JavaScript's, as src/aio takes them: who sleeps on the wake
 * word, who wakes, in which order a poll looks. Figures (turns, runs, wakes) are left out: nobody
 * decides anything by them.
 */

import {
  BH_DELETED,
  BH_IDLE,
  BH_PENDING,
  BH_SCHEDULED,
  CONTEXT_NOTIFIED,
  CONTEXT_WAKE,
  SLOT_FLAGS,
} from '#src/layout';
import {
  atomics,
  type EngineCall,
  type ExploredEngine,
  type Piece,
  repeat,
  scope,
} from './step.ts';

/** A step left out or in another place, on purpose. */
export interface Broken {
  /** The wake word is read after `waitEnter` instead of before. */
  wakeWordLate?: boolean;
  /** A waker leaves the wake word as it is. */
  wakeWithoutCount?: boolean;
  /** The foreign loop computes its timeout before `prepare` (MC M2a). */
  timeoutBeforePrepare?: boolean;
  /** A bottom half's flags are cleared after its callback (MC M3a); the engine leaves them. */
  clearAfterCallback?: boolean;
}

/** Wakes whoever sleeps on the context (src/aio/wake.ts). */
export function* wakeContext(context: number, broken: Broken = {}): Piece {
  if (!broken.wakeWithoutCount) yield* atomics.add(context + CONTEXT_WAKE, 1);
  yield* atomics.notify(context + CONTEXT_WAKE);
}

interface Schedule {
  generation?: number;
  flags?: number;
  broken?: Broken;
}

/** Schedules a bottom half from any thread and wakes its context if that is asleep (BH-1). */
export function schedule(
  engine: ExploredEngine,
  context: number,
  slot = 0,
  options: Schedule = {},
): Piece<number> {
  const { generation = 0, flags = BH_SCHEDULED, broken = {} } = options;
  function* piece(): Piece<number> {
    const answer = yield* engine.bhEnqueue(context, slot, generation, flags);
    if (answer === 1) yield* wakeContext(context, broken);
    return answer;
  }
  return scope(piece());
}

/** Sets a notifier, and wakes the context that watches it (src/aio/event-notifier.ts). */
export function kick(engine: ExploredEngine, notifier: number, context: number): Piece {
  function* piece(): Piece {
    if ((yield* engine.notifierSet(notifier)) === 1) yield* wakeContext(context);
  }
  return scope(piece());
}

export interface HomeOptions {
  /** The thread's number; default 1, the home of the contexts of a `World`. */
  thread?: number;
  /** By slot number. */
  callbacks?: readonly (() => Piece)[];
  /** By handler place. */
  handlers?: readonly (() => Piece)[];
  broken?: Broken;
  /** The end of poll mode: true if its last look found work (AP-7). */
  beforeSleep?: () => Piece<boolean>;
  /** Called with the slot number and old flags of each slot that the poll took. */
  onTaken?: (slot: number, flags: number) => void;
  /** Address of a slot's words; with `clearAfterCallback`. */
  slotAt?: (slot: number) => number;
}

/** What `Home` asks of the engine. */
export const HOME_CALLS: readonly EngineCall[] = [
  'bhEnqueue',
  'bhTake',
  'bhNext',
  'bhPending',
  'pollBegin',
  'pollEnd',
  'waitEnter',
  'waitLeave',
  'accept',
];

/** A context as its home thread polls it (src/aio/context.ts). */
export class Home {
  readonly #engine: ExploredEngine;
  readonly #context: number;
  readonly #options: HomeOptions;

  constructor(engine: ExploredEngine, context: number, options: HomeOptions = {}) {
    this.#engine = engine;
    this.#context = context;
    this.#options = options;
  }

  /** One poll (NT-2, NT-8). False if this thread may not poll the context (NT-5). */
  *poll(blocking = true): Piece<boolean> {
    const [engine, context] = [this.#engine, this.#context];
    if ((yield* engine.pollBegin(context, this.#options.thread ?? 1)) === 0) return false;
    if (blocking) yield* scope(this.#await());
    yield* this.#dispatch();
    yield* engine.pollEnd(context);
    return true;
  }

  /** Polls, sleeping in between, until `done()`; remembers only `known()` from poll to poll. */
  *pollUntil(done: () => boolean, known: () => number): Piece {
    const self = this;
    yield* repeat(done, known, function* () {
      if (!(yield* self.poll())) throw new Error('home may not poll its own context');
    });
  }

  /** A foreign loop's turn: prepare, wait, check, dispatch (GS-1 to GS-3). */
  *turn(): Piece {
    yield* this.sleepPrepared(true);
    yield* this.#engine.check(this.#context);
    yield* this.#dispatch();
  }

  /** Takes turns until `done()`; between two of them the thread remembers only `known()`. */
  *turnUntil(done: () => boolean, known: () => number): Piece {
    yield* repeat(done, known, () => this.turn());
  }

  /** The thread goes back to its foreign loop until that has a turn for the context. */
  sleepPrepared(prepare = false): Piece {
    return scope(this.#sleepPrepared(prepare));
  }

  *#sleepPrepared(prepare: boolean): Piece {
    const [engine, context] = [this.#engine, this.#context];
    const early = this.#options.broken?.timeoutBeforePrepare === true;
    const before = early && (yield* this.#isWanted());
    if (prepare) yield* engine.prepare(context);
    const seen = yield* atomics.load(context + CONTEXT_WAKE);
    const busy = early ? before : yield* this.#isWanted();
    if (!busy) yield* atomics.wait(context + CONTEXT_WAKE, seen);
  }

  /** Is there work, or has anybody notified? */
  *#isWanted(): Piece<boolean> {
    if (yield* this.#hasWork()) return true;
    return (yield* atomics.load(this.#context + CONTEXT_NOTIFIED)) !== 0;
  }

  *#hasWork(): Piece<boolean> {
    if ((yield* this.#engine.bhPending(this.#context)) === 2) return true;
    if (!this.#options.handlers) return false;
    return (yield* this.#engine.handlerPending(this.#context)) === 1;
  }

  /** src/aio/rest.ts: returns when there is something to do. */
  *#await(): Piece {
    const [engine, context] = [this.#engine, this.#context];
    const { broken, beforeSleep } = this.#options;
    let found = yield* this.#isWanted();
    if (!found && beforeSleep) found = yield* beforeSleep();
    if (found) {
      yield* engine.accept(context);
      return;
    }
    const late = broken?.wakeWordLate === true;
    let seen = late ? 0 : yield* atomics.load(context + CONTEXT_WAKE);
    if ((yield* engine.waitEnter(context)) === 1) {
      if (late) seen = yield* atomics.load(context + CONTEXT_WAKE);
      yield* atomics.wait(context + CONTEXT_WAKE, seen);
    }
    yield* engine.waitLeave(context);
  }

  *#dispatch(): Piece {
    const [engine, context] = [this.#engine, this.#context];
    yield* engine.bhTake(context);
    for (;;) {
      const taken = yield* engine.bhNext(context);
      if (taken < 0) break;
      yield* this.#run(taken & 0xffff, taken >>> 16);
    }
    const { handlers = [] } = this.#options;
    if (handlers.length === 0) return;
    let place = yield* engine.handlerReady(context, 0);
    for (; place >= 0; place = yield* engine.handlerReady(context, place + 1)) {
      const handler = handlers[place];
      if (handler) yield* handler();
    }
  }

  *#run(slot: number, flags: number): Piece {
    const { callbacks = [], onTaken, broken, slotAt } = this.#options;
    onTaken?.(slot, flags);
    const callback = callbacks[slot];
    const runs = (flags & (BH_SCHEDULED | BH_DELETED)) === BH_SCHEDULED;
    if (runs && callback) yield* callback();
    if (!broken?.clearAfterCallback || !slotAt) return;
    const old = yield* atomics.load(slotAt(slot) + SLOT_FLAGS);
    yield* atomics.store(slotAt(slot) + SLOT_FLAGS, old & ~(BH_PENDING | BH_SCHEDULED | BH_IDLE));
  }
}
