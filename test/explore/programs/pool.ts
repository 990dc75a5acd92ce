/** The thread pool: an owner (src/aio/thread-pool.ts) and Workers (src/aio/pool-worker.ts). */

import {
  POOL_HEAD,
  POOL_IDLE,
  POOL_REQUESTS,
  POOL_STOP,
  POOL_TAIL,
  POOL_WAKE,
  WORK_RESULT,
  WORK_SIZE,
} from '#src/layout';
import { HOME_CALLS, Home, schedule, wakeContext } from '../mirror.ts';
import {
  atomics,
  type EngineCall,
  type ExploredEngine,
  type Piece,
  repeat,
  scope,
} from '../step.ts';
import type { Program, World } from '../world.ts';

const CALLS: readonly EngineCall[] = [
  ...HOME_CALLS,
  'bhCancel',
  'poolSubmit',
  'poolTake',
  'poolDone',
  'poolCancel',
  'poolReap',
];
const ECANCELED = -125;

export interface BrokenPool {
  /** The completion does not schedule itself before it calls back (MC M9a). */
  noReschedule?: boolean;
  /** A Worker looks for work before it counts itself idle. */
  idleLate?: boolean;
}

/** What owner and Workers of one execution share. */
class Pool {
  readonly #world: World;
  readonly #context: number;
  readonly #address: number;
  readonly #broken: BrokenPool;

  constructor(world: World, context: number, address: number, broken: BrokenPool) {
    this.#world = world;
    this.#context = context;
    this.#address = address;
    this.#broken = broken;
  }

  /** A Worker: serves until the pool stops. `perform` is told each number and gives the result. */
  *worker(thread: number, perform: (number: number) => number): Piece {
    const engine = this.#world.engine(thread);
    const pool = this.#address;
    let stopped = false;
    yield* repeat(
      () => stopped,
      () => 0,
      () => serve.call(this),
    );
    function* serve(this: Pool): Piece {
      const number = yield* engine.poolTake(pool);
      if (number < 0) {
        stopped = (yield* atomics.load(pool + POOL_STOP)) !== 0;
        if (!stopped) yield* scope(this.#sleep());
        return;
      }
      const told = yield* engine.poolDone(pool, number, perform(number));
      if (told === 1) yield* wakeContext(this.#context);
    }
  }

  *#sleep(): Piece {
    const pool = this.#address;
    const late = this.#broken.idleLate === true;
    const seen = yield* atomics.load(pool + POOL_WAKE);
    if (!late) yield* atomics.add(pool + POOL_IDLE, 1);
    const nothing =
      (yield* atomics.load(pool + POOL_HEAD)) === (yield* atomics.load(pool + POOL_TAIL)) &&
      (yield* atomics.load(pool + POOL_STOP)) === 0;
    if (late) yield* atomics.add(pool + POOL_IDLE, 1);
    if (nothing) yield* atomics.wait(pool + POOL_WAKE, seen);
    yield* atomics.sub(pool + POOL_IDLE, 1);
  }

  submit(engine: ExploredEngine, number: number): Piece {
    const pool = this.#address;
    function* piece(): Piece {
      const asleep = yield* engine.poolSubmit(pool, number);
      if (asleep === 1) yield* atomics.notify(pool + POOL_WAKE);
    }
    return scope(piece());
  }

  /** The completion (TP-3): calls back for each request that is done. */
  *complete(engine: ExploredEngine, ended: (number: number, result: number) => Piece): Piece {
    const pool = this.#address;
    for (;;) {
      const number = yield* engine.poolReap(pool, 0);
      if (number < 0) return;
      const requests = this.#world.arena.word(pool + POOL_REQUESTS);
      const result = yield* atomics.load(requests + number * WORK_SIZE + WORK_RESULT);
      if (!this.#broken.noReschedule) yield* schedule(engine, this.#context);
      yield* ended(number, result);
      if (!this.#broken.noReschedule) yield* engine.bhCancel(this.#context, 0, 0);
    }
  }

  *stop(): Piece {
    const pool = this.#address;
    yield* atomics.store(pool + POOL_STOP, 1);
    yield* atomics.add(pool + POOL_WAKE, 1);
    yield* atomics.notify(pool + POOL_WAKE);
  }
}

/**
 * TP-2, TP-3: two requests; the callback of the first waits, in a nested poll, for the other's. A
 * result is there when its request is done (MC M9).
 */
export function completion(broken: BrokenPool = {}): Program {
  return {
    name: 'two requests, of which one callback waits for the other',
    calls: CALLS,
    build(world) {
      const context = world.context('context');
      const address = world.pool(context, 2);
      return () => {
        const pool = new Pool(world, context, address, broken);
        const engine = world.engine(0);
        const results = [0, 0];
        let [begun, over] = [0, 0];
        const known = () =>
          begun * 8 + over * 4 + Number(results[0] !== 0) * 2 + Number(results[1] !== 0);
        const home: Home = new Home(engine, context, {
          callbacks: [() => pool.complete(engine, ended)],
        });
        function* ended(number: number, result: number): Piece {
          if (results[number] !== 0) throw new Error(`request ${number} ended twice`);
          if (result !== number + 10) throw new Error(`result ${result} of request ${number}`);
          results[number] = result;
          begun += 1;
          if (begun === 1) yield* home.pollUntil(() => results.every((one) => one !== 0), known);
          over += 1;
        }
        function* owner(): Piece {
          yield* pool.submit(engine, 0);
          yield* pool.submit(engine, 1);
          yield* home.pollUntil(() => over === 2, known);
          yield* pool.stop();
        }
        return {
          threads: { owner: owner(), worker: pool.worker(1, (number) => number + 10) },
          final: () => undefined,
        };
      };
    },
  };
}

/** Each of two submitted requests is taken by one of the Workers, whichever it is. */
export function twoWorkers(): Program {
  return {
    name: 'two Workers that take two requests',
    calls: CALLS,
    build(world) {
      const context = world.context('context');
      const address = world.pool(context, 2);
      const performed = world.arena.allocate('performed', 8);
      for (const number of [0, 1]) world.settle(world.engine(0).poolSubmit(address, number));
      return () => {
        function* worker(thread: number): Piece {
          const engine = world.engine(thread);
          for (;;) {
            const number = yield* engine.poolTake(address);
            if (number < 0) return;
            yield* atomics.add(performed + 4 * number, 1);
            yield* engine.poolDone(address, number, 0);
          }
        }
        return {
          threads: { 'worker 1': worker(1), 'worker 2': worker(2) },
          final() {
            const times = [0, 4].map((at) => world.arena.word(performed + at));
            return times.every((n) => n === 1) ? undefined : `performed ${times} times`;
          },
        };
      };
    },
  };
}

/**
 * TP-4: a request is submitted, cancelled, and submitted again under the same number while a Worker
 * takes requests. Each submission ends exactly once, cancelled or performed.
 */
export function cancelAgainstTake(): Program {
  return {
    name: 'cancel of a request against the Worker that takes it',
    calls: CALLS,
    build(world) {
      const context = world.context('context');
      const address = world.pool(context, 1);
      return () => {
        const pool = new Pool(world, context, address, {});
        const engine = world.engine(0);
        let [performed, cancelled, ended] = [0, 0, 0];
        const known = () => ended * 4 + cancelled;
        const home = new Home(engine, context, {
          callbacks: [
            () =>
              pool.complete(engine, function* (_, result) {
                ended += 1;
                if (result !== 10 && result !== ECANCELED) throw new Error(`result ${result}`);
              }),
          ],
        });
        function* once(cancel: boolean): Piece {
          yield* pool.submit(engine, 0);
          if (cancel && (yield* engine.poolCancel(address, 0, ECANCELED)) === 1) {
            cancelled += 1;
            yield* schedule(engine, context);
          }
          const before = ended;
          yield* home.pollUntil(() => ended > before, known);
        }
        function* owner(): Piece {
          yield* once(true);
          yield* once(false);
          yield* pool.stop();
        }
        const perform = () => {
          performed += 1;
          return 10;
        };
        return {
          threads: { owner: owner(), worker: pool.worker(1, perform) },
          final() {
            if (ended !== 2) return `${ended} callbacks of 2 submissions`;
            if (performed + cancelled === 2) return undefined;
            return `performed ${performed}, cancelled ${cancelled} of 2`;
          },
        };
      };
    },
  };
}
