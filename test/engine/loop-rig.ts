/** A context with slots, handler places, coroutine places and a thread pool, ready for a test. */

import type { Engine } from '#src/engine/engine';
import {
  BH_FLAGS_MASK,
  CONTEXT_CO_GENERATION,
  CONTEXT_CO_SLOT,
  CONTEXT_COROUTINE_COUNT,
  CONTEXT_COROUTINES,
  CONTEXT_HANDLER_COUNT,
  CONTEXT_HANDLER_END,
  CONTEXT_HANDLERS,
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  CONTEXT_SIZE,
  CONTEXT_SLOT_COUNT,
  CONTEXT_SLOTS,
  COROUTINE_SCHEDULED,
  COROUTINE_SIZE,
  HANDLER_F_POLLED,
  HANDLER_FLAGS,
  HANDLER_NOTIFIER,
  HANDLER_QUEUE,
  HANDLER_SIZE,
  NOTIFIER_SIZE,
  POOL_CAPACITY,
  POOL_CONTEXT,
  POOL_GENERATION,
  POOL_REQUESTS,
  POOL_RING,
  POOL_SIZE,
  POOL_SLOT,
  SLOT_FLAGS,
  SLOT_SIZE,
  WORK_RESULT,
  WORK_SIZE,
  WORK_STATE,
} from '#src/layout';
import { type Contestant, Machine } from './machine.ts';

const SLOTS = 8;
const PLACES = 8;

/** Slot and generation of the bottom half that enters coroutines, and of a pool's. */
export const CO_SLOT = 5;
export const CO_GENERATION = 3;
export const POOL_BH_SLOT = 6;
export const POOL_BH_GENERATION = 9;

export class LoopRig {
  readonly machine: Machine;
  readonly engine: Engine;
  readonly context: number;
  readonly #slots: number;
  readonly #handlers: number;
  readonly #coroutines: number;

  constructor(contestant: Contestant) {
    this.machine = new Machine(contestant);
    const { machine } = this;
    this.engine = machine.engine;
    this.context = machine.allocate(CONTEXT_SIZE);
    this.#slots = machine.allocate(SLOTS * SLOT_SIZE);
    this.#handlers = machine.allocate(PLACES * HANDLER_SIZE);
    this.#coroutines = machine.allocate(PLACES * COROUTINE_SIZE);
    this.set(CONTEXT_SLOTS, this.#slots);
    this.set(CONTEXT_SLOT_COUNT, SLOTS);
    this.set(CONTEXT_HANDLERS, this.#handlers);
    this.set(CONTEXT_HANDLER_COUNT, PLACES);
    this.set(CONTEXT_COROUTINES, this.#coroutines);
    this.set(CONTEXT_COROUTINE_COUNT, PLACES);
    this.set(CONTEXT_CO_SLOT, CO_SLOT);
    this.set(CONTEXT_CO_GENERATION, CO_GENERATION);
    machine.setWord(this.slotAt(CO_SLOT), CO_GENERATION << 8);
    machine.setWord(this.slotAt(POOL_BH_SLOT), POOL_BH_GENERATION << 8);
  }

  /** A word of the context. */
  word(field: number): number {
    return this.machine.word(this.context + field);
  }

  set(field: number, value: number): void {
    this.machine.setWord(this.context + field, value);
  }

  /** [notified, notify_me] */
  get told(): [number, number] {
    return [this.word(CONTEXT_NOTIFIED), this.word(CONTEXT_NOTIFY_ME)];
  }

  slotAt(slot: number): number {
    return this.#slots + slot * SLOT_SIZE + SLOT_FLAGS;
  }

  flags(slot: number): number {
    return this.machine.word(this.slotAt(slot)) & BH_FLAGS_MASK;
  }

  /** Takes `place` with a notifier of its own, which it returns. Polled unless told otherwise. */
  handle(place: number, { queue = 0, flags = HANDLER_F_POLLED } = {}): number {
    const { machine } = this;
    const notifier = machine.allocate(NOTIFIER_SIZE);
    const at = this.#handlers + place * HANDLER_SIZE;
    machine.setWord(at + HANDLER_NOTIFIER, notifier);
    machine.setWord(at + HANDLER_QUEUE, queue);
    machine.setWord(at + HANDLER_FLAGS, flags);
    this.set(CONTEXT_HANDLER_END, Math.max(this.word(CONTEXT_HANDLER_END), place + 1));
    return notifier;
  }

  /** Frees `place`. Its other words stay: nobody may look at them. */
  drop(place: number): void {
    this.machine.setWord(this.#handlers + place * HANDLER_SIZE + HANDLER_NOTIFIER, 0);
  }

  coroutineAt(number: number): number {
    return this.#coroutines + number * COROUTINE_SIZE + COROUTINE_SCHEDULED;
  }

  /** Takes and enters as the bottom half does: numbers in order. Ends even on a broken list. */
  enterAll(): number[] {
    this.engine.coTake(this.context);
    const entered: number[] = [];
    while (entered.length < 20) {
      const number = this.engine.coNext(this.context);
      if (number < 0) break;
      entered.push(number);
    }
    return entered;
  }
}

/** A pool of `capacity` requests whose owner is the rig's context. */
export class PoolRig extends LoopRig {
  readonly pool: number;
  readonly requests: number;

  constructor(contestant: Contestant, capacity = 4) {
    super(contestant);
    const { machine } = this;
    this.pool = machine.allocate(POOL_SIZE);
    this.requests = machine.allocate(capacity * WORK_SIZE);
    const ring = machine.allocate(capacity * 4);
    // What nobody wrote must not be taken for a request.
    for (let i = 0; i < capacity; i++) machine.setWord(ring + i * 4, 0xdead);
    this.setPool(POOL_CAPACITY, capacity);
    this.setPool(POOL_RING, ring);
    this.setPool(POOL_REQUESTS, this.requests);
    this.setPool(POOL_CONTEXT, this.context);
    this.setPool(POOL_SLOT, POOL_BH_SLOT);
    this.setPool(POOL_GENERATION, POOL_BH_GENERATION);
  }

  poolWord(field: number): number {
    return this.machine.word(this.pool + field);
  }

  setPool(field: number, value: number): void {
    this.machine.setWord(this.pool + field, value);
  }

  state(number: number): number {
    return this.machine.word(this.requests + number * WORK_SIZE + WORK_STATE);
  }

  resultOf(number: number): number {
    return this.machine.word(this.requests + number * WORK_SIZE + WORK_RESULT) | 0;
  }

  submit(...numbers: number[]): number[] {
    return numbers.map((number) => this.engine.poolSubmit(this.pool, number));
  }

  take(): number {
    return this.engine.poolTake(this.pool);
  }

  /** All that a worker can take, at most 20. */
  takeAll(): number[] {
    const taken: number[] = [];
    while (taken.length < 20) {
      const number = this.take();
      if (number < 0) break;
      taken.push(number);
    }
    return taken;
  }

  done(number: number, result = 0): number {
    return this.engine.poolDone(this.pool, number, result);
  }

  cancel(number: number, result = -125): number {
    return this.engine.poolCancel(this.pool, number, result);
  }

  reap(from = 0): number {
    return this.engine.poolReap(this.pool, from);
  }
}
