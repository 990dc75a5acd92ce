/** Scheduled coroutines: from two threads, from inside, and while home walks what it has taken. */

import {
  CONTEXT_CO_LIST,
  CONTEXT_CO_READY,
  COROUTINE_BY_SCHEDULE,
  COROUTINE_BY_SLEEP,
} from '#src/layout';
import { HOME_CALLS, Home, wakeContext } from '../mirror.ts';
import {
  atomics,
  type EngineCall,
  type ExploredEngine,
  type Piece,
  scope,
  until,
} from '../step.ts';
import type { Program, World } from '../world.ts';

const CALLS: readonly EngineCall[] = [...HOME_CALLS, 'coSchedule', 'coTake', 'coNext'];

function coSchedule(
  engine: ExploredEngine,
  context: number,
  number: number,
  by: number = COROUTINE_BY_SCHEDULE,
): Piece<number> {
  function* piece(): Piece<number> {
    const answer = yield* engine.coSchedule(context, number, by);
    if (answer === 1) yield* wakeContext(context);
    return answer;
  }
  return scope(piece());
}

/** The bottom half that enters what is scheduled; `enter` is the coroutine's body. */
function entering(world: World, context: number, enter: (number: number) => Piece) {
  const engine = world.engine(0);
  return function* (): Piece {
    yield* engine.coTake(context);
    for (;;) {
      const number = yield* engine.coNext(context);
      if (number < 0) return;
      yield* enter(number);
    }
  };
}

/**
 * CO-13: coroutine 0 schedules itself once from inside, while another thread schedules coroutine
 * 1. Neither is refused, and none is lost.
 */
export function scheduleFromInside(): Program {
  return {
    name: 'coroutines scheduled from inside and during the walk',
    calls: CALLS,
    build(world) {
      const context = world.context('context', { coroutines: 2 });
      return () => {
        const entered = [0, 0];
        const known = () => (entered[0] as number) * 4 + (entered[1] as number);
        const callback = entering(world, context, function* (number) {
          entered[number] = (entered[number] as number) + 1;
          if (number !== 0 || entered[0] !== 1) return;
          const answer = yield* coSchedule(world.engine(0), context, 0);
          if (answer < 0) throw new Error('scheduled from inside: counts as scheduled already');
        });
        function* home(): Piece {
          const self = new Home(world.engine(0), context, { callbacks: [callback] });
          yield* coSchedule(world.engine(0), context, 0);
          yield* self.pollUntil(() => entered[0] === 2 && entered[1] === 1, known);
        }
        function* other(): Piece {
          if ((yield* coSchedule(world.engine(1), context, 1)) < 0) throw new Error('refused');
        }
        return {
          threads: { home: home(), other: other() },
          final() {
            const { arena } = world;
            const left =
              arena.word(context + CONTEXT_CO_LIST) | arena.word(context + CONTEXT_CO_READY);
            return left === 0 ? undefined : 'a coroutine is left';
          },
        };
      };
    },
  };
}

/** CO-1: two threads schedule the same coroutine at once: one of them is refused. */
export function scheduleTwice(): Program {
  return {
    name: 'one coroutine scheduled by two threads',
    calls: CALLS,
    build(world) {
      const context = world.context('context', { coroutines: 1 });
      const asked = world.word('asked');
      return () => {
        let [entered, accepted] = [0, 0];
        const callback = entering(world, context, function* () {
          entered += 1;
        });
        function* other(thread: number, by: number): Piece {
          const answer = yield* coSchedule(world.engine(thread), context, 0, by);
          if (answer >= 0) accepted += 1;
          yield* atomics.add(asked, 1);
        }
        function* home(): Piece {
          const self = new Home(world.engine(0), context, { callbacks: [callback] });
          yield* self.pollUntil(
            () => entered >= 1,
            () => entered,
          );
          yield* until(() => world.arena.word(asked) === 2);
          yield* self.poll(false);
        }
        return {
          threads: {
            home: home(),
            scheduler: other(1, COROUTINE_BY_SCHEDULE),
            sleeper: other(2, COROUTINE_BY_SLEEP),
          },
          final: () => {
            return entered === accepted ? undefined : `${accepted} accepted, ${entered} entered`;
          },
        };
      };
    },
  };
}

/** CO-13: while home walks two coroutines, another thread schedules the first of them again. */
export function scheduleDuringWalk(): Program {
  return {
    name: 'a coroutine scheduled again while home walks the list',
    calls: CALLS,
    build(world) {
      const context = world.context('context', { coroutines: 2 });
      const begun = world.word('begun');
      const asked = world.word('asked');
      return () => {
        const entered = [0, 0];
        let accepted = 1;
        const known = () => (entered[0] as number) * 4 + (entered[1] as number);
        const callback = entering(world, context, function* (number) {
          entered[number] = (entered[number] as number) + 1;
        });
        function* home(): Piece {
          const engine = world.engine(0);
          const self = new Home(engine, context, { callbacks: [callback] });
          for (const number of [0, 1]) yield* coSchedule(engine, context, number);
          yield* atomics.store(begun, 1);
          yield* self.pollUntil(() => entered[1] === 1, known);
          yield* until(() => world.arena.word(asked));
          yield* self.poll(false);
        }
        function* other(): Piece {
          yield* until(() => world.arena.word(begun));
          if ((yield* coSchedule(world.engine(1), context, 0)) >= 0) accepted += 1;
          yield* atomics.store(asked, 1);
        }
        return {
          threads: { home: home(), other: other() },
          final() {
            if (entered[0] === accepted && entered[1] === 1) return undefined;
            return `entered ${entered}, accepted ${accepted},1`;
          },
        };
      };
    },
  };
}
