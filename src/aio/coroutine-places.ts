/** The coroutines of a context: their places in shared memory, and who enters what is scheduled. */

import { CONTEXT_CO_GENERATION, CONTEXT_CO_SLOT, CONTEXT_COROUTINE_COUNT } from '../layout.ts';
import type { BottomHalf } from './bottom-half.ts';
import type { AioContext } from './context.ts';
import { CoroutineError } from './coroutine-error.ts';

/** What is entered when its place comes up. */
export interface Enterable {
  enterIn(context: AioContext): void;
}

class CoroutinePlaces {
  readonly #context: AioContext;
  readonly #places: (Enterable | undefined)[];
  #used = 0;
  /** There while there are coroutines: a context without any may be closed. */
  #bottomHalf: BottomHalf | null = null;

  constructor(context: AioContext) {
    this.#context = context;
    const { core, address } = context;
    const count = core.u32[(address + CONTEXT_COROUTINE_COUNT) >>> 2] as number;
    this.#places = new Array(count).fill(undefined);
  }

  /** Gives `coroutine` a place and returns its number. */
  claim(coroutine: Enterable): number {
    const number = this.#places.indexOf(undefined);
    if (number < 0) {
      const message = `context '${this.#context.name}' has all its ${this.#used} coroutines in use`;
      throw new CoroutineError('ENOSPC', message);
    }
    if (this.#used === 0) this.#begin();
    this.#places[number] = coroutine;
    this.#used++;
    return number;
  }

  release(number: number): void {
    this.#places[number] = undefined;
    if (--this.#used > 0) return;
    this.#bottomHalf?.delete();
    this.#bottomHalf = null;
  }

  #begin(): void {
    const { core, address } = this.#context;
    this.#bottomHalf = this.#context.bottomHalf('coroutines', () => this.#enterScheduled());
    const { slot, generation } = this.#bottomHalf.handle;
    core.u32[(address + CONTEXT_CO_SLOT) >>> 2] = slot;
    core.u32[(address + CONTEXT_CO_GENERATION) >>> 2] = generation;
  }

  /**
   * Those that stood in the list when this began, oldest first (CO-5). Its own context is passed,
   * whichever the poller's is (CO-4). One that throws keeps none of the others from its turn.
   */
  #enterScheduled(): void {
    const { core, address } = this.#context;
    const { engine } = core;
    engine.coTake(address);
    let failed = false;
    let failure: unknown;
    for (let number = engine.coNext(address); number >= 0; number = engine.coNext(address)) {
      try {
        this.#places[number]?.enterIn(this.#context);
      } catch (error) {
        if (!failed) failure = error;
        failed = true;
      }
    }
    if (failed) throw failure;
  }
}

const tables = new WeakMap<AioContext, CoroutinePlaces>();

export function placesOf(context: AioContext): CoroutinePlaces {
  let table = tables.get(context);
  if (!table) {
    table = new CoroutinePlaces(context);
    tables.set(context, table);
  }
  return table;
}
