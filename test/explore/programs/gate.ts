/** The drain gate: requests enter and leave while main drains (design section 7). */

import { BACKEND_QUIESCE, LANE_IN_FLIGHT } from '#src/layout';
import { HOME_CALLS, Home, schedule } from '../mirror.ts';
import {
  atomics,
  type EngineCall,
  type ExploredEngine,
  type Piece,
  repeat,
  until,
} from '../step.ts';
import type { Program } from '../world.ts';

const CALLS: readonly EngineCall[] = [
  ...HOME_CALLS,
  'gateEnter',
  'gateLeave',
  'gateClose',
  'gateOpen',
  'gateInFlight',
];

/**
 * `lanes` threads, each with `requests`, one after the other; main drains once and looks whether
 * anything runs. `sleeping`: main sleeps until a leave wakes it; else it spins.
 */
export function drain({ lanes = 2, requests = 1, sleeping = false } = {}): Program {
  return {
    name: `the drain gate: ${lanes} x ${requests} requests, main ${sleeping ? 'sleeps' : 'spins'}`,
    calls: CALLS,
    build(world) {
      const context = world.context('main');
      const backend = world.backend();
      const all = Array.from({ length: lanes }, (_, n) => world.lane(`lane ${n + 1}`));
      const inside = world.word('inside');
      return () => {
        function* main(): Piece {
          const engine = world.engine(0);
          const self = new Home(engine, context, { callbacks: [nothing] });
          yield* engine.gateClose(backend);
          for (const lane of all) {
            let left = 1;
            yield* repeat(
              () => left === 0,
              () => left,
              function* () {
                left = yield* engine.gateInFlight(lane);
                if (left === 0) return;
                if (sleeping) yield* self.poll();
                else yield* until(() => world.arena.word(lane + LANE_IN_FLIGHT) === 0);
              },
            );
          }
          if ((yield* atomics.load(inside)) !== 0)
            throw new Error('a request in a drained section');
          if ((yield* atomics.load(inside)) !== 0) throw new Error('a request has slipped in');
          yield* engine.gateOpen(backend);
        }
        function* tellMain(engine: ExploredEngine): Piece {
          if (sleeping) yield* schedule(engine, context);
        }
        function* serve(thread: number, lane: number): Piece {
          const engine = world.engine(thread);
          let done = 0;
          yield* repeat(
            () => done === requests,
            () => done,
            function* () {
              if ((yield* engine.gateEnter(lane, backend, 1)) === 0) {
                yield* tellMain(engine);
                yield* until(() => world.arena.word(backend + BACKEND_QUIESCE) === 0);
                return;
              }
              yield* atomics.add(inside, 1);
              yield* atomics.sub(inside, 1);
              if ((yield* engine.gateLeave(lane, backend, 1)) === 1) yield* tellMain(engine);
              done += 1;
            },
          );
        }
        const threads: Record<string, Piece> = { main: main() };
        all.forEach((lane, n) => {
          threads[`lane ${n + 1}`] = serve(n + 1, lane);
        });
        return { threads, final: () => undefined };
      };
    },
  };
}

function* nothing(): Piece {}
