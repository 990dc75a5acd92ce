/**
 * Locks on ranges of a disk, for requests that read a block, change it and write it back: whoever
 * writes to the same block waits (BB-23). Words in core memory; any thread.
 *
 *   | visitors | locks, one per block modulo LOCKS | lanes: waiting, owner, context, slot, gen. |
 *
 * A range is locked as a whole or not at all, in ascending order of its words. So nobody who waits
 * holds anything, and there is no deadlock to avoid. Who finds one taken says that it waits and
 * tries once more; who unlocks looks afterwards who waits. One of both sees the other. A lock
 * holds the number of the lane that has it, or 0, so that main can free those of a dead thread.
 * QEMU: `bdrv_wait_serialising_requests_locked`, with a list and a mutex.
 */

import { type BottomHalf, scheduleRemote } from '../aio/bottom-half.ts';
import type { Core } from '../engine/core.ts';

/** Blocks whose numbers differ by a multiple of this share a lock. */
export const LOCKS = 64;
/** Lanes that may wait; one beyond asks again by itself. */
const SEATS = 32;

// In words.
const VISITORS = 0;
const FIRST_LOCK = 1;
const FIRST_SEAT = FIRST_LOCK + LOCKS;
const SEAT_WAITING = 0;
const SEAT_OWNER = 1;
const SEAT_CONTEXT = 2;
const SEAT_SLOT = 3;
const SEAT_GENERATION = 4;
const SEAT_WORDS = 5;

/** Who still visits after so many looks belongs to a thread that has died. */
const PATIENCE = 1e7;

/** Bytes of the table. */
const RANGE_LOCKS_SIZE = (FIRST_SEAT + SEATS * SEAT_WORDS) * 4;

/** Main's, who allocates the table and frees it. */
export class RangeLocks {
  readonly address: number;
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
    this.address = core.allocate(RANGE_LOCKS_SIZE);
    const first = this.address >>> 2;
    core.u32.fill(0, first, first + RANGE_LOCKS_SIZE / 4);
  }

  /**
   * The lane `owner` is gone, perhaps with its thread: what it has locked is free, and those who
   * wait for it are told.
   */
  abandon(owner: number): void {
    const { i32 } = this.#core;
    const at = this.address >>> 2;
    for (let seat = at + FIRST_SEAT; seat < at + RANGE_LOCKS_SIZE / 4; seat += SEAT_WORDS) {
      if (Atomics.load(i32, seat + SEAT_OWNER) !== (owner | 0)) continue;
      Atomics.store(i32, seat + SEAT_WAITING, 0);
      Atomics.store(i32, seat + SEAT_OWNER, 0);
    }
    let any = false;
    for (let lock = at + FIRST_LOCK; lock < at + FIRST_SEAT; lock++) {
      if (Atomics.compareExchange(i32, lock, owner | 0, 0) === (owner | 0)) any = true;
    }
    if (any) wakeWaiters(this.#core, at, 0);
  }

  close(): void {
    this.#core.free(this.address);
  }
}

/** One lane's hand on the table. Its home thread. */
export class RangeLocker {
  readonly #core: Core;
  /** Index of the table's first word. */
  readonly #at: number;
  readonly #owner: number;
  readonly #retry: BottomHalf;
  /** Index of the seat's first word, or 0. */
  #seat = 0;

  /**
   * `owner`: the lane's number, core address of its words. `retry` is scheduled when a lock has
   * come free while this one waited.
   */
  constructor(core: Core, address: number, owner: number, retry: BottomHalf) {
    this.#core = core;
    this.#at = address >>> 2;
    this.#owner = owner | 0;
    this.#retry = retry;
    this.#takeSeat();
  }

  #takeSeat(): void {
    const { i32 } = this.#core;
    for (let i = 0; i < SEATS; i++) {
      const seat = this.#at + FIRST_SEAT + i * SEAT_WORDS;
      if (Atomics.compareExchange(i32, seat + SEAT_OWNER, 0, this.#owner) !== 0) continue;
      const { context, slot, generation } = this.#retry.handle;
      Atomics.store(i32, seat + SEAT_CONTEXT, context);
      Atomics.store(i32, seat + SEAT_SLOT, slot);
      Atomics.store(i32, seat + SEAT_GENERATION, generation);
      this.#seat = seat;
      return;
    }
  }

  /**
   * Locks `count` blocks from `first` on; true if it could. False: `retry` will be scheduled, and
   * nothing is held.
   */
  lock(first: number, count: number): boolean {
    if (this.#take(first, count)) return true;
    const { i32 } = this.#core;
    // Said before the second look, which pairs with `unlock`: clear, then look who waits.
    if (this.#seat) Atomics.store(i32, this.#seat + SEAT_WAITING, 1);
    else this.#retry.schedule();
    return this.#take(first, count);
  }

  unlock(first: number, count: number): void {
    this.#clear(first, count, LOCKS);
    wakeWaiters(this.#core, this.#at, 0);
  }

  /** Gives the seat back: afterwards nobody schedules `retry`. Nothing is locked. */
  close(): void {
    if (!this.#seat) return;
    const { i32 } = this.#core;
    Atomics.store(i32, this.#seat + SEAT_WAITING, 0);
    // Who has seen us waiting is still on its way to our bottom half: a few instructions.
    for (let looks = 0; Atomics.load(i32, this.#at + VISITORS) > 0 && looks < PATIENCE; ) looks++;
    Atomics.store(i32, this.#seat + SEAT_OWNER, 0);
    this.#seat = 0;
  }

  #take(first: number, count: number): boolean {
    const { i32 } = this.#core;
    for (let word = 0; word < LOCKS; word++) {
      if (!covers(first, count, word)) continue;
      const lock = this.#at + FIRST_LOCK + word;
      if (Atomics.compareExchange(i32, lock, 0, this.#owner) === 0) continue;
      if (this.#clear(first, count, word)) wakeWaiters(this.#core, this.#at, this.#seat);
      return false;
    }
    return true;
  }

  /** Clears those of the range's words that lie before `end`; true if there were any. */
  #clear(first: number, count: number, end: number): boolean {
    const { i32 } = this.#core;
    let any = false;
    for (let word = 0; word < end; word++) {
      if (!covers(first, count, word)) continue;
      Atomics.store(i32, this.#at + FIRST_LOCK + word, 0);
      any = true;
    }
    return any;
  }
}

/**
 * All that wait at the table whose first word is `at`, but the one in the seat `except`: who has
 * just failed would only fail again.
 */
function wakeWaiters(core: Core, at: number, except: number): void {
  const { i32 } = core;
  Atomics.add(i32, at + VISITORS, 1);
  for (let i = 0; i < SEATS; i++) {
    const seat = at + FIRST_SEAT + i * SEAT_WORDS;
    if (seat === except || Atomics.exchange(i32, seat + SEAT_WAITING, 0) === 0) continue;
    scheduleRemote(core, {
      context: Atomics.load(i32, seat + SEAT_CONTEXT) >>> 0,
      slot: Atomics.load(i32, seat + SEAT_SLOT) >>> 0,
      generation: Atomics.load(i32, seat + SEAT_GENERATION) >>> 0,
    });
  }
  Atomics.sub(i32, at + VISITORS, 1);
}

/** Does a range of `count` blocks from `first` on have the lock `word`? */
function covers(first: number, count: number, word: number): boolean {
  return (word - (first % LOCKS) + LOCKS) % LOCKS < count;
}
