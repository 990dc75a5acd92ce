/**
 * Coroutines: code that waits in the middle and is carried on in its own context. They are
 * generators. An `async` function would not do: its continuations are microtasks of whatever turn
 * the thread is in, so that neither the context (CO-4) nor the order of wake-ups (CO-2, CO-3) would
 * be the coroutine's. Here a coroutine runs when it is entered, and nowhere else (CO-12).
 *
 * A coroutine, its generator and its locks stay on the thread that made it. Another thread may
 * schedule it by handle, as a bottom half. QEMU: `util/qemu-coroutine.c`, `util/async.c`.
 */

import type { Core } from '../engine/core.ts';
import {
  CONTEXT_COROUTINES,
  COROUTINE_BY_SCHEDULE,
  COROUTINE_BY_SLEEP,
  COROUTINE_IDLE,
  COROUTINE_SCHEDULED,
  COROUTINE_SIZE,
} from '../layout.ts';
import { type AioContext, currentContext } from './context.ts';
import { CoroutineError } from './coroutine-error.ts';
import { placesOf } from './coroutine-places.ts';
import { wakeContext } from './wake.ts';

export { CoroutineError, type CoroutineErrorCode } from './coroutine-error.ts';

/** What a coroutine's code is: `yield` gives the thread back until somebody wakes it. */
export type Yielding<T = void> = Generator<void, T, void>;

/** What another thread needs to schedule a coroutine that has not ended: plain data. */
export interface CoroutineHandle {
  /** Core address of the AioContext that it is in. */
  readonly context: number;
  readonly number: number;
}

/** The innermost coroutine that runs on this thread. */
let current: Coroutine | null = null;

/** The coroutine whose code is running now; null outside of any. */
export function currentCoroutine(): Coroutine | null {
  return current;
}

/** Gives the thread back to whoever entered the coroutine. The same as a bare `yield`, checked. */
export function* coYield(): Yielding {
  if (!current) throw new CoroutineError('ENOCALLER', 'a yield with no one to yield to');
  yield;
}

/** Schedules by handle, from any thread (CO-1). The coroutine must not have ended. */
export function scheduleCoroutine(core: Core, handle: CoroutineHandle): void {
  const { context, number } = handle;
  const { engine } = core;
  // A visit keeps the context there until it is notified (CO-7).
  if (engine.visitBegin(context) === 0) return;
  const answer = engine.coSchedule(context, number, COROUTINE_BY_SCHEDULE);
  if (answer === 1) wakeContext(core, context);
  engine.visitEnd(context);
  if (answer < 0) throw scheduledTwice(`coroutine ${number}`, stateOf(core, handle));
}

export class Coroutine {
  readonly name: string;
  /** Mutexes that it holds. For `CoMutex`. */
  locksHeld = 0;
  /** Those that it woke while it ran: they run when it gives the thread back. */
  #wakeups: Coroutine[] = [];
  readonly #generator: Yielding;
  #context: AioContext;
  /** Its place in its context's table. */
  #number: number;
  #running = false;
  #ended = false;

  /** Home thread of `context`. Nothing runs before it is entered or scheduled. */
  constructor(context: AioContext, name: string, body: (self: Coroutine) => Yielding) {
    this.name = name;
    this.#context = context;
    this.#number = placesOf(context).claim(this);
    this.#generator = body(this);
  }

  /** The context that it was entered in last, or is in now (CO-4). */
  get context(): AioContext {
    return this.#context;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** For `scheduleCoroutine` on any thread. Good until it ends or moves to another context. */
  get handle(): CoroutineHandle {
    return { context: this.#context.address, number: this.#number };
  }

  /**
   * Runs it until it yields or ends, then those that it woke meanwhile, depth first (CO-3). Throws
   * what the code throws, after the others have run.
   */
  enter(): void {
    this.enterIn(this.#context);
  }

  /** As `enter`, in `context`, which becomes its own (CO-4). Home thread of both. */
  enterIn(context: AioContext): void {
    const pending: Coroutine[] = [this];
    let failed = false;
    let failure: unknown;
    for (let next = pending.shift(); next; next = pending.shift()) {
      try {
        next.#run(next === this ? context : next.#context);
      } catch (error) {
        if (!failed) failure = error;
        failed = true;
      }
      if (next.#wakeups.length > 0) pending.unshift(...next.#wakeups.splice(0));
    }
    if (failed) throw failure;
  }

  /** Runs it from a later poll of its context. Twice before that is an error (CO-1). */
  schedule(): void {
    this.#assertAlive();
    scheduleCoroutine(this.#context.core, this.handle);
  }

  /**
   * Runs it as soon as may be (CO-2): in its own context if that is another one, else after the
   * coroutine that runs now, else at once.
   */
  wake(): void {
    this.#assertAlive();
    if (currentContext() !== this.#context) this.schedule();
    else if (current) current.#wakeups.push(this);
    else this.enter();
  }

  // ---- From inside its own code -----------------------------------------------------------------

  /** Waits for `ns` nanoseconds of its context's clock. To enter it meanwhile is an error. */
  *sleep(ns: number): Yielding {
    const { core, clock } = this.#context;
    const words = core.i32;
    const at = this.#scheduledAt();
    const before = Atomics.compareExchange(words, at, COROUTINE_IDLE, COROUTINE_BY_SLEEP);
    if (before !== COROUTINE_IDLE) throw scheduledTwice(this.name, before);
    const timer = this.#context.timer(`sleep of ${this.name}`, () => {
      Atomics.store(core.i32, at, COROUTINE_IDLE);
      this.wake();
    });
    timer.mod(clock.now() + ns);
    yield* coYield();
  }

  /** Waits until `promise` has settled, and goes on in its own context (CO-12). */
  *wait<T>(promise: PromiseLike<T>): Yielding<T> {
    let outcome: { value: T } | { error: unknown } | undefined;
    const settle = (how: { value: T } | { error: unknown }) => {
      outcome = how;
      // Whoever has it scheduled already carries it on as well.
      const state = Atomics.load(this.#context.core.i32, this.#scheduledAt());
      if (state === COROUTINE_IDLE) this.schedule();
    };
    promise.then(
      (value) => settle({ value }),
      (error) => settle({ error }),
    );
    while (!outcome) yield* coYield(); // whoever else wakes it does not end the wait
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }

  /**
   * Goes on in `target`, another context of this thread. A bottom half of the old context schedules
   * it there, when it has yielded for sure (CO-6).
   */
  *moveTo(target: AioContext): Yielding {
    const from = this.#context;
    if (target === from) return;
    if (target.core.thread !== from.core.thread) {
      const message = `${this.name} cannot move to '${target.name}': that is another thread`;
      throw new CoroutineError('ETHREAD', message);
    }
    from.scheduleOneshot(`move of ${this.name}`, () => {
      const number = placesOf(target).claim(this);
      placesOf(from).release(this.#number);
      this.#context = target;
      this.#number = number;
      this.schedule();
    });
    while (this.#context !== target) yield* coYield();
  }

  // ---- Inside -----------------------------------------------------------------------------------

  #run(context: AioContext): void {
    this.#assertAlive();
    if (this.#running) {
      throw new CoroutineError('ERECURSIVE', `${this.name} was re-entered recursively`);
    }
    const state = Atomics.load(this.#context.core.i32, this.#scheduledAt());
    if (state !== COROUTINE_IDLE) throw scheduledTwice(this.name, state);
    this.#adopt(context);
    const caller = current;
    this.#running = true;
    current = this;
    try {
      if (this.#generator.next().done) this.#end();
    } catch (error) {
      if (!this.#ended) this.#end();
      throw error;
    } finally {
      current = caller;
      this.#running = false;
    }
  }

  /** Its place is in the table of the context that it is in. */
  #adopt(context: AioContext): void {
    if (context === this.#context) return;
    const number = placesOf(context).claim(this);
    placesOf(this.#context).release(this.#number);
    this.#context = context;
    this.#number = number;
  }

  #end(): void {
    this.#ended = true;
    placesOf(this.#context).release(this.#number);
    if (this.locksHeld === 0) return;
    throw new CoroutineError('ELOCKED', `${this.name} ended holding ${this.locksHeld} locks`);
  }

  #assertAlive(): void {
    if (this.#ended) throw new CoroutineError('EENDED', `${this.name} has ended`);
  }

  #scheduledAt(): number {
    const { core, address } = this.#context;
    const table = core.u32[(address + CONTEXT_COROUTINES) >>> 2] as number;
    return (table + this.#number * COROUTINE_SIZE + COROUTINE_SCHEDULED) >>> 2;
  }
}

function stateOf(core: Core, handle: CoroutineHandle): number {
  const table = core.u32[(handle.context + CONTEXT_COROUTINES) >>> 2] as number;
  const at = (table + handle.number * COROUTINE_SIZE + COROUTINE_SCHEDULED) >>> 2;
  return Atomics.load(core.i32, at);
}

function scheduledTwice(name: string, by: number): CoroutineError {
  const owner = by === COROUTINE_BY_SLEEP ? 'sleep' : 'schedule';
  return new CoroutineError('ESCHEDULED', `${name} was already scheduled in '${owner}'`);
}
