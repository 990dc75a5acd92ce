/**
 * The home side of a context's bottom halves: which callback belongs to which slot, and running
 * what the engine takes from the list. All that is scheduled stands in the slots' words.
 */

import type { Core } from '../engine/core.ts';
import {
  BH_DELETED,
  BH_GENERATION_SHIFT,
  BH_IDLE,
  BH_ONESHOT,
  BH_SCHEDULED,
  CONTEXT_RUNS,
  CONTEXT_SLOT_COUNT,
  CONTEXT_SLOTS,
  SLOT_FLAGS,
  SLOT_SIZE,
} from '../layout.ts';
import type { BottomHalfHandle } from './bottom-half.ts';
import type { ContextWords } from './context-block.ts';
import type { ReentrancyGuard } from './reentrancy-guard.ts';

export interface BottomHalfOptions {
  /** Engaged around each run, so that the device's registers refuse what comes from it (BH-13). */
  guard?: ReentrancyGuard;
}

interface Slot {
  readonly name: string;
  readonly callback: () => void;
}

export class BottomHalfSlots {
  readonly #core: Core;
  readonly #words: ContextWords;
  readonly #name: string;
  /** Core address of the slots. */
  readonly #base: number;
  readonly #slots: (Slot | undefined)[];
  /** Numbers of slots without a callback; the newest freed is used first. */
  readonly #free: number[] = [];

  /** For the context of these words, whose name goes into errors. */
  constructor(core: Core, words: ContextWords, name: string) {
    this.#core = core;
    this.#words = words;
    this.#name = name;
    this.#base = words.get(CONTEXT_SLOTS);
    const count = words.get(CONTEXT_SLOT_COUNT);
    this.#slots = new Array(count).fill(undefined);
    for (let slot = count - 1; slot >= 0; slot--) this.#free.push(slot);
  }

  /** Slots in use. */
  get count(): number {
    return this.#slots.length - this.#free.length;
  }

  /** Names of the bottom halves that are not deleted. */
  get live(): string[] {
    return this.#slots.flatMap((entry, slot) =>
      entry && !(this.#flags(slot) & BH_DELETED) ? [entry.name] : [],
    );
  }

  claim(name: string, callback: () => void, options: BottomHalfOptions = {}): BottomHalfHandle {
    const slot = this.#free.pop();
    if (slot === undefined) {
      const limit = this.#slots.length;
      throw new RangeError(`context '${this.#name}' has all its ${limit} bottom halves in use`);
    }
    const { guard } = options;
    this.#slots[slot] = { name, callback: guard ? () => guard.run(callback) : callback };
    const generation = this.#flags(slot) >>> BH_GENERATION_SHIFT;
    return { context: this.#words.address, slot, generation };
  }

  /** Runs what was scheduled before this call. True if anything but an idle one ran (BH-11). */
  run(): boolean {
    const { engine } = this.#core;
    const { address } = this.#words;
    engine.bhTake(address);
    let progress = false;
    for (let taken = engine.bhNext(address); taken >= 0; taken = engine.bhNext(address)) {
      const flags = taken >>> 16;
      const slot = taken & 0xffff;
      // The callback may schedule, cancel or delete its own bottom half: nothing is read after it.
      const entry = this.#slots[slot];
      if (!entry) throw this.#strange(slot);
      if (flags & (BH_DELETED | BH_ONESHOT)) this.#release(slot);
      if ((flags & (BH_SCHEDULED | BH_DELETED)) !== BH_SCHEDULED) continue;
      if (!(flags & BH_IDLE)) progress = true;
      this.#words.add(CONTEXT_RUNS);
      entry.callback();
    }
    return progress;
  }

  #release(slot: number): void {
    this.#slots[slot] = undefined;
    this.#free.push(slot);
  }

  #strange(slot: number): Error {
    return new Error(`context '${this.#name}': nobody here made bottom half ${slot}`);
  }

  #flags(slot: number): number {
    return Atomics.load(this.#core.u32, (this.#base + slot * SLOT_SIZE + SLOT_FLAGS) >>> 2);
  }
}
