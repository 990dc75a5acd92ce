/** Bottom halves: schedule, cancel, delete and nested polls against the poll of their home. */

import {
  BH_DELETED,
  BH_ONESHOT,
  BH_PENDING,
  BH_SCHEDULED,
  CONTEXT_BH_LIST,
  CONTEXT_READY_HEAD,
  SLOT_FLAGS,
} from '#src/layout';
import { type Broken, HOME_CALLS, Home, schedule } from '../mirror.ts';
import { atomics, type Piece, repeat, until } from '../step.ts';
import type { Program, World } from '../world.ts';

/** What a slot must be when all is over: in no list, not to be run. */
function leftOver(world: World, context: number, slots: number): string | undefined {
  const { arena } = world;
  if (arena.word(context + CONTEXT_BH_LIST) !== 0) return 'the list is not empty';
  if (arena.word(context + CONTEXT_READY_HEAD) !== 0) return 'a slot is ready';
  for (let slot = 0; slot < slots; slot++) {
    const flags = arena.word(world.slotAt(context, slot) + SLOT_FLAGS);
    if (flags & (BH_PENDING | BH_SCHEDULED)) return `slot ${slot} counts as pending`;
  }
  return undefined;
}

interface ScheduleOptions {
  producers?: number;
  rounds?: number;
  /** Bottom halves that each round schedules, one after the other. */
  slots?: number;
  loop?: 'poll' | 'turn';
}

/** Each of `producers` threads counts a slot's data up and schedules it, `rounds` times. */
export function scheduleAgainstPoll(
  { producers = 2, rounds = 2, slots = 1, loop = 'poll' }: ScheduleOptions = {},
  broken: Broken = {},
): Program {
  const how = loop === 'poll' ? 'a blocking poll' : "a foreign loop's prepare and check";
  return {
    name: `schedule against ${how}: ${producers} x ${rounds} of ${slots}`,
    calls: loop === 'poll' ? HOME_CALLS : [...HOME_CALLS, 'prepare', 'check'],
    build(world) {
      const context = world.context('context', { slots });
      const data = Array.from({ length: slots }, (_, slot) => world.word(`data ${slot}`));
      const total = producers * rounds;
      return () => {
        const seen = data.map(() => 0);
        let runs = 0;
        const callbacks = data.map((word, slot) => {
          return function* (): Piece {
            runs += 1;
            seen[slot] = yield* atomics.load(word);
          };
        });
        function* produce(thread: number): Piece {
          const engine = world.engine(thread);
          let round = 0;
          yield* repeat(
            () => round === rounds,
            () => round,
            function* () {
              round += 1;
              for (const [slot, word] of data.entries()) {
                yield* atomics.add(word, 1);
                yield* schedule(engine, context, slot, { broken });
              }
            },
          );
        }
        const slotAt = (slot: number) => world.slotAt(context, slot);
        const home = new Home(world.engine(0), context, { callbacks, broken, slotAt });
        const done = () => seen.every((one) => one === total);
        const known = () => seen.reduce((sum, one) => sum * 16 + one, runs);
        const threads: Record<string, Piece> = {
          home: loop === 'poll' ? home.pollUntil(done, known) : home.turnUntil(done, known),
        };
        for (let n = 1; n <= producers; n++) threads[`producer ${n}`] = produce(n);
        const most = total * slots;
        return {
          threads,
          final: () => (runs > most ? `${runs} runs of ${most} schedules` : undefined),
        };
      };
    },
  };
}

/**
 * BH-6: home deletes a bottom half, polls until its slot is free and gives the slot to another one,
 * while a thread with the old handle schedules. The old one does not run once its slot is free, and
 * the new one runs as often as it was scheduled by its own handle.
 */
export function scheduleAgainstDelete(): Program {
  return {
    name: 'schedule against delete, and the slot used again',
    calls: HOME_CALLS,
    build(world) {
      const context = world.context('context');
      return () => {
        let [freed, newRuns, wrong] = [false, 0, ''];
        function* callback(): Piece {
          if (freed) newRuns += 1;
        }
        function* home(): Piece {
          const engine = world.engine(0);
          const self = new Home(engine, context, {
            callbacks: [callback],
            onTaken: (_, flags) => {
              if (!(flags & BH_DELETED)) return;
              if (freed) wrong = 'freed twice';
              freed = true;
            },
          });
          yield* schedule(engine, context, 0, { flags: BH_DELETED });
          yield* self.pollUntil(
            () => freed,
            () => Number(freed),
          );
          yield* schedule(engine, context, 0, { generation: 1 });
          yield* self.pollUntil(
            () => newRuns > 0,
            () => newRuns,
          );
          yield* self.poll(false);
        }
        function* other(): Piece {
          const engine = world.engine(1);
          yield* schedule(engine, context);
          yield* schedule(engine, context);
        }
        return {
          threads: { home: home(), other: other() },
          final() {
            if (wrong) return wrong;
            if (newRuns !== 1) return `the new bottom half ran ${newRuns} times`;
            return leftOver(world, context, 1);
          },
        };
      };
    },
  };
}

/**
 * BH-5: one thread schedules twice, another cancels in between. Whatever ran, the slot is idle
 * afterwards, and a schedule after the cancel is not lost.
 */
export function scheduleAgainstCancel(): Program {
  return {
    name: 'schedule against cancel',
    calls: [...HOME_CALLS, 'bhCancel'],
    build(world) {
      const context = world.context('context');
      const over = world.word('over');
      return () => {
        let [runs, late] = [0, false];
        function* count(): Piece {
          runs += 1;
        }
        function* home(): Piece {
          const self = new Home(world.engine(0), context, { callbacks: [count] });
          const { arena } = world;
          let ended = false;
          yield* repeat(
            () => ended,
            () => runs,
            function* () {
              // It spins: what sleeps is explored elsewhere.
              const listed = () => arena.word(context + CONTEXT_BH_LIST) !== 0;
              ended = (yield* until(() => (listed() ? 1 : arena.word(over)))) === 2;
              if (!ended) yield* self.poll(false);
            },
          );
          yield* self.poll(false);
        }
        function* scheduler(): Piece {
          const engine = world.engine(1);
          yield* schedule(engine, context);
          late = (yield* atomics.load(over)) === 1;
          yield* schedule(engine, context);
          yield* atomics.add(over, 1);
        }
        function* canceller(): Piece {
          yield* world.engine(2).bhCancel(context, 0, 0);
          yield* atomics.add(over, 1);
        }
        return {
          threads: { home: home(), scheduler: scheduler(), canceller: canceller() },
          final() {
            if (runs > 2) return `${runs} runs of 2 schedules`;
            if (late && runs === 0) return 'a schedule after the cancel is lost';
            return leftOver(world, context, 1);
          },
        };
      };
    },
  };
}

/**
 * BH-8, BH-9: the callback of one bottom half polls, blocking, until another has run; a second
 * thread schedules both. The nested poll must see what the outer one has taken already.
 */
export function nestedPolls(): Program {
  return {
    name: 'nested polls: a callback waits for another bottom half',
    calls: HOME_CALLS,
    build(world) {
      const context = world.context('context', { slots: 2 });
      return () => {
        let [waited, ran] = [0, 0];
        const known = () => waited * 2 + ran;
        const callbacks: (() => Piece)[] = [];
        const self = new Home(world.engine(0), context, { callbacks });
        callbacks.push(function* () {
          yield* self.pollUntil(() => ran === 1, known);
          waited += 1;
        });
        callbacks.push(function* () {
          ran = 1;
        });
        function* other(): Piece {
          const engine = world.engine(1);
          yield* schedule(engine, context, 0);
          yield* schedule(engine, context, 1);
        }
        return {
          threads: { home: self.pollUntil(() => waited === 1, known), other: other() },
          final: () => leftOver(world, context, 2),
        };
      };
    },
  };
}

/**
 * BH-1: a oneshot bottom half frees its slot by running, perhaps before the thread that scheduled
 * it has notified; the slot is somebody else's by then.
 */
export function oneshotAgainstSchedule(): Program {
  return {
    name: 'a bottom half frees itself before the notify of its schedule',
    calls: HOME_CALLS,
    build(world) {
      const context = world.context('context');
      return () => {
        let [first, second] = [0, 0];
        const known = () => first * 2 + second;
        function* callback(): Piece {
          if (first === 0) first = 1;
          else second += 1;
        }
        function* home(): Piece {
          const engine = world.engine(0);
          const self = new Home(engine, context, { callbacks: [callback] });
          yield* self.pollUntil(() => first === 1, known);
          yield* schedule(engine, context, 0, { generation: 1 });
          yield* self.pollUntil(() => second === 1, known);
        }
        const flags = BH_SCHEDULED | BH_ONESHOT;
        return {
          threads: {
            home: home(),
            other: discard(schedule(world.engine(1), context, 0, { flags })),
          },
          final: () => leftOver(world, context, 1),
        };
      };
    },
  };
}

function* discard(piece: Piece<unknown>): Piece {
  yield* piece;
}
