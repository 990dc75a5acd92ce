/** Which flushes may be skipped (src/block/flush-generation.ts, the code itself). */

import type { piecesOf } from '../product.ts';
import { atomics, type EngineCall, type Piece } from '../step.ts';
import type { Program } from '../world.ts';

type Flow<A extends readonly unknown[], T> = (words: Uint32Array, ...args: A) => Piece<T>;

/** What is explored: the module's functions as pieces of a thread. */
export type FlushPieces = {
  noteWrite: Flow<[backend: number], void>;
  isFlushed: Flow<[backend: number], boolean>;
  flushBegins: Flow<[backend: number], void>;
  flushEnded: Flow<[backend: number, covered: boolean], void>;
};

export const flushModule: Parameters<typeof piecesOf>[0] = 'block/flush-generation';

/** The disk needs no engine. */
const CALLS: readonly EngineCall[] = ['gateInFlight'];

export interface Flushing {
  /** Which flushes the disk fails, of each thread that flushes alone. */
  failing?: readonly boolean[];
  /** Writes that one thread does, each with a flush behind it. */
  writes?: number;
}

export interface BrokenFlush {
  /** A write is told of before it is noted. */
  toldFirst?: boolean;
}

/**
 * BB-24: one thread writes and flushes, others flush. A flush that succeeds, skipped or not, has
 * brought to stable storage what had ended when it was asked for.
 */
export function flushesAgainstWrites(
  pieces: FlushPieces,
  { failing = [false], writes = 2 }: Flushing = {},
  broken: BrokenFlush = {},
): Program {
  return {
    name: 'flushes against writes',
    calls: CALLS,
    build(world) {
      const { arena } = world;
      const words = new Uint32Array(arena.memory.buffer);
      const backend = world.backend();
      /** Writes in the disk's cache, on stable storage by each thread, and whose owner knows. */
      const cached = world.word('cached');
      const stable = [0, ...failing].map(() => world.word('stable'));
      const told = world.word('told');
      return () => {
        function* write(): Piece {
          const number = yield* atomics.add(cached, 1);
          if (broken.toldFirst) yield* atomics.store(told, number + 1);
          yield* pieces.noteWrite(words, backend);
          yield* atomics.store(told, number + 1);
        }
        function* flushDisk(by: number): Piece {
          const covered = yield* atomics.load(cached);
          yield* atomics.store(stable[by]!, covered);
        }
        function* isStable(number: number): Piece<boolean> {
          for (const word of stable) if ((yield* atomics.load(word)) >= number) return true;
          return false;
        }
        function* flush(by: number, fails: boolean): Piece {
          const needed = yield* atomics.load(told);
          if (!(yield* pieces.isFlushed(words, backend))) {
            yield* pieces.flushBegins(words, backend);
            if (!fails) yield* flushDisk(by);
            yield* pieces.flushEnded(words, backend, !fails);
            if (fails) return;
          }
          if (!(yield* isStable(needed))) throw new Error('a write is not stable');
        }
        function* writer(): Piece {
          for (let n = 0; n < writes; n++) {
            yield* write();
            yield* flush(0, false);
          }
        }
        const others = failing.map(
          (fails, n) => [`flusher ${n + 1}`, flush(n + 1, fails)] as const,
        );
        return {
          threads: { writer: writer(), ...Object.fromEntries(others) },
          final: () => undefined,
        };
      };
    },
  };
}
