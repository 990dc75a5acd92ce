/** Locks on ranges of a disk (src/block/range-locks.ts), step by step. */

import { HOME_CALLS, Home, schedule } from '../mirror.ts';
import {
  atomics,
  type EngineCall,
  type ExploredEngine,
  type Piece,
  repeat,
  until,
} from '../step.ts';
import type { Program, World } from '../world.ts';

const CALLS: readonly EngineCall[] = [...HOME_CALLS, 'visitBegin', 'visitEnd'];

export interface BrokenRanges {
  /** Who finds a lock taken says that it waits, and does not look again. */
  noSecondLook?: boolean;
  /** Who unlocks looks who waits, and then clears the lock. */
  wakesFirst?: boolean;
  /** A seat is given back while somebody may be about to schedule its bottom half. */
  closesBlindly?: boolean;
}

/** First and last lock of a range, in ascending order. */
export type Range = readonly [first: number, last: number];

/** The table: what `RangeLocks` allocates, with as many locks and seats as the program needs. */
export class RangeTable {
  readonly locks: readonly number[];
  readonly visitors: number;
  readonly seats: readonly Seat[];

  constructor(world: World, locks: number, seats: number) {
    this.visitors = world.word('visitors');
    this.locks = Array.from({ length: locks }, (_, n) => world.word(`lock ${n}`));
    this.seats = Array.from({ length: seats }, (_, n) => new Seat(world, n));
  }
}

class Seat {
  readonly waiting: number;
  readonly context: number;
  /** 1: the seat has been given back. */
  readonly closed: number;

  constructor(world: World, n: number) {
    this.waiting = world.word(`waiting ${n}`);
    this.context = world.context(`lane ${n}`);
    this.closed = world.word(`closed ${n}`);
  }
}

/** `RangeLocker`, with a seat. */
export class RangeLocker {
  readonly #engine: ExploredEngine;
  readonly #table: RangeTable;
  readonly #seat: number;
  readonly #broken: BrokenRanges;
  readonly #word: (address: number) => number;

  constructor(
    world: World,
    engine: ExploredEngine,
    table: RangeTable,
    seat: number,
    broken: BrokenRanges = {},
  ) {
    this.#word = (address) => world.arena.word(address);
    this.#engine = engine;
    this.#table = table;
    this.#seat = seat;
    this.#broken = broken;
  }

  *lock(range: Range): Piece<boolean> {
    if (yield* this.#take(range)) return true;
    yield* atomics.store(this.#table.seats[this.#seat]!.waiting, 1);
    return this.#broken.noSecondLook ? false : yield* this.#take(range);
  }

  *unlock([first, last]: Range): Piece {
    if (this.#broken.wakesFirst) yield* this.#wakeWaiters(-1);
    yield* this.#clear(first, last + 1);
    if (!this.#broken.wakesFirst) yield* this.#wakeWaiters(-1);
  }

  *close(): Piece {
    const { seats, visitors } = this.#table;
    yield* atomics.store(seats[this.#seat]!.waiting, 0);
    if (!this.#broken.closesBlindly) yield* until(() => this.#word(visitors) === 0);
  }

  *#take([first, last]: Range): Piece<boolean> {
    for (let lock = first; lock <= last; lock++) {
      if ((yield* atomics.compareExchange(this.#table.locks[lock]!, 0, this.#seat + 1)) === 0)
        continue;
      if (lock === first) return false;
      yield* this.#clear(first, lock);
      yield* this.#wakeWaiters(this.#seat);
      return false;
    }
    return true;
  }

  *#clear(first: number, end: number): Piece {
    for (let lock = first; lock < end; lock++) yield* atomics.store(this.#table.locks[lock]!, 0);
  }

  *#wakeWaiters(except: number): Piece {
    const { seats, visitors } = this.#table;
    yield* atomics.add(visitors, 1);
    for (const [n, { waiting, context, closed }] of seats.entries()) {
      if (n === except || (yield* atomics.exchange(waiting, 0)) === 0) continue;
      if ((yield* atomics.load(closed)) !== 0) throw new Error('schedules what has gone');
      yield* schedule(this.#engine, context);
    }
    yield* atomics.sub(visitors, 1);
  }
}

/**
 * BB-23: lanes of as many threads lock a range each, one or more times; who cannot sleeps until its
 * bottom half tries again (src/block/read-modify-write.ts). No two are inside of one lock.
 */
export function overlappingRanges(
  ranges: readonly Range[],
  { rounds = 1, closing = false } = {},
  broken: BrokenRanges = {},
): Program {
  return {
    name: `locks on ranges ${ranges.map((range) => range.join('-')).join(', ')}`,
    calls: CALLS,
    build(world) {
      const count = Math.max(...ranges.map(([, last]) => last)) + 1;
      const table = new RangeTable(world, count, ranges.length);
      const inside = table.locks.map((_, n) => world.word(`inside ${n}`));
      return () => {
        function* change([first, last]: Range): Piece {
          for (let n = first; n <= last; n++) {
            if ((yield* atomics.exchange(inside[n]!, 1)) !== 0) throw new Error('two are inside');
          }
          for (let n = first; n <= last; n++) yield* atomics.store(inside[n]!, 0);
        }
        function* lane(n: number, range: Range): Piece {
          const engine = world.engine(n);
          const locker = new RangeLocker(world, engine, table, n, broken);
          const { context, closed } = table.seats[n]!;
          let done = 0;
          let asked = false;
          function* tryAgain(): Piece {
            asked = yield* locker.lock(range);
          }
          const self = new Home(engine, context, { callbacks: [tryAgain] });
          yield* repeat(
            () => done === rounds,
            () => done,
            function* (): Piece {
              asked = yield* locker.lock(range);
              yield* self.pollUntil(
                () => asked,
                () => Number(asked),
              );
              yield* change(range);
              yield* locker.unlock(range);
              done += 1;
            },
          );
          if (!closing) return;
          yield* locker.close();
          yield* atomics.store(closed, 1);
        }
        const threads = ranges.map((range, n) => [`lane ${n}`, lane(n, range)] as const);
        return {
          threads: Object.fromEntries(threads),
          final() {
            const left = table.locks.filter((lock) => world.arena.word(lock) !== 0);
            return left.length === 0 ? undefined : `${left.length} locks are left`;
          },
        };
      };
    },
  };
}
