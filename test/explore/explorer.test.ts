/** The explorer itself: it finds what there is, and leaves out only what adds nothing. */

import { describe, expect, it } from 'vitest';
import { Arena } from './arena.ts';
import { Execution, type Run } from './execution.ts';
import { jsEngine } from './explored.ts';
import { explore, randomFrom, type Scene, wanderFrom } from './explorer.ts';
import { small } from './programs/all.ts';
import { atomics, type Piece, repeat, scope, until } from './step.ts';
import { sceneOf } from './world.ts';

/** A program over a few words, which are called `word 0` and so on. */
function sceneWith(words: number, start: (at: (n: number) => number, arena: Arena) => Run): Scene {
  const arena = new Arena();
  const addresses = Array.from({ length: words }, (_, n) => arena.allocate(`word ${n}`, 4));
  arena.seal();
  return { arena, start: () => start((n) => addresses[n] as number, arena) };
}

const nothingWrong = () => undefined;

describe('an exploration', () => {
  function counting(increment: (word: number) => Piece): Scene {
    return sceneWith(1, (at, arena) => ({
      threads: { one: increment(at(0)), other: increment(at(0)) },
      final: () => (arena.word(at(0)) === 2 ? undefined : `counted ${arena.word(at(0))}`),
    }));
  }

  it('finds a lost update and shows the schedule', () => {
    const scene = counting(function* (word) {
      yield* atomics.store(word, (yield* atomics.load(word)) + 1);
    });
    const { failure } = explore(scene);
    expect(failure?.why).toBe('counted 1');
    expect(failure?.schedule).toEqual([
      'one: load32 word 0',
      'other: load32 word 0',
      'one: store32 word 0 1',
      'other: store32 word 0 1',
    ]);
  });

  it('finds none where the update is one step', () => {
    const scene = counting(function* (word) {
      yield* atomics.add(word, 1);
    });
    expect(explore(scene).failure).toBeUndefined();
  });

  it('finds a sleeper that nobody wakes, and lets one that may rest', () => {
    const scene = (rest: string[]) =>
      sceneWith(1, (at) => ({
        threads: { sleeper: ignore(atomics.wait(at(0), 0)), waker: ignore(atomics.notify(at(0))) },
        rest,
        final: nothingWrong,
      }));
    expect(explore(scene([])).failure?.why).toBe('asleep for ever: sleeper at wait word 0 0');
    expect(explore(scene(['sleeper'])).failure).toBeUndefined();
  });

  it('wakes all that sleep on a word, and does not put one to sleep that comes late', () => {
    const scene = sceneWith(1, (at) => {
      function* wake(): Piece {
        yield* atomics.store(at(0), 1);
        yield* atomics.notify(at(0));
      }
      const threads = {
        one: ignore(atomics.wait(at(0), 0)),
        other: ignore(atomics.wait(at(0), 0)),
        waker: wake(),
      };
      return { threads, final: nothingWrong };
    });
    expect(explore(scene).failure).toBeUndefined();
  });

  it('finds plain code that was torn, where plain code may be interrupted', () => {
    const scene = (fine: boolean): Scene => ({
      fine,
      ...sceneWith(2, (at, arena) => {
        function* writer(): Piece {
          yield* atomics.store(at(0), 1);
          arena.setWord(at(1), 1); // too late
        }
        function* reader(): Piece {
          if ((yield* atomics.load(at(0))) === 1 && arena.word(at(1)) === 0)
            throw new Error('torn');
        }
        return { threads: { writer: writer(), reader: reader() }, final: nothingWrong };
      }),
    });
    expect(explore(scene(false)).failure).toBeUndefined();
    expect(explore(scene(true)).failure?.why).toBe('torn');
  });

  it('gives up on what goes round for ever', () => {
    const scene = sceneWith(1, (at) => ({
      threads: {
        round: (function* (): Piece {
          for (;;) yield* atomics.add(at(0), 1);
        })(),
      },
      final: nothingWrong,
    }));
    expect(explore(scene).failure?.why).toBe('goes round for ever');
  });

  it('at random finds the same again with the same seed', () => {
    const scene = counting(function* (word) {
      yield* atomics.store(word, (yield* atomics.load(word)) + 1);
    });
    const [one, other] = [wanderFrom(scene, 7, 100), wanderFrom(scene, 7, 100)];
    expect(one.failure?.why).toBe('counted 1');
    expect(other).toEqual(one);
  });
});

/** A thread of `length` steps on three words; what it does next may depend on what it has seen. */
function* randomThread(
  random: () => number,
  length: number,
  at: (n: number) => number,
  look: (n: number) => number,
): Piece {
  const plan = Array.from({ length }, () => [random() % 5, random() % 3, random() % 3] as const);
  let seen = 0;
  for (const [kind, n, value] of plan) {
    if (kind === 0) seen += yield* scope(atomics.load(at(n)));
    else if (kind === 1) yield* atomics.store(at(n), value + seen);
    else if (kind === 2) seen = yield* atomics.add(at(n), value + 1);
    else if (kind === 3 && value === 2) seen += yield* until(() => 1 + look(n));
    else if (kind === 3) seen += yield* atomics.compareExchange(at(n), value, seen + 1);
    else if (seen > 1) seen = yield* atomics.exchange(at(n), 0);
  }
  yield* atomics.add(at(2), seen);
}

describe('what an exploration leaves out', () => {
  /** The memories in which the executions of a scene end, all of them. */
  function endings(scene: Scene, words: number): Set<string> {
    const found = new Set<string>();
    const path: number[] = [];
    function walk(): void {
      scene.arena.reset();
      const execution = new Execution(scene.arena, scene.start(), false);
      for (const thread of path) execution.advance(thread);
      const enabled = execution.enabled();
      if (enabled === 0) {
        found.add(scene.arena.words.slice(16, 16 + 2 * words).join());
        return;
      }
      for (let thread = 0; thread < 3; thread++) {
        if (!(enabled & (1 << thread))) continue;
        path.push(thread);
        walk();
        path.pop();
      }
    }
    walk();
    return found;
  }

  /** The same, as far as the exploration goes. */
  function explored(scene: Scene, words: number): Set<string> {
    const found = new Set<string>();
    const watching: Scene = {
      ...scene,
      start() {
        const run = scene.start();
        const final = () => {
          found.add(scene.arena.words.slice(16, 16 + 2 * words).join());
          return run.final();
        };
        return { ...run, final };
      },
    };
    expect(explore(watching).failure).toBeUndefined();
    return found;
  }

  it('is no memory in which the threads of random programs can end', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const scene = sceneWith(3, (at, arena) => {
        const random = randomFrom(seed);
        const lengths = seed % 2 ? [4, 4] : [2, 2, 2];
        const threads = lengths.map((length, n) => [
          `thread ${n}`,
          randomThread(random, length, at, (word) => arena.word(at(word)) & 1),
        ]);
        return { threads: Object.fromEntries(threads), final: nothingWrong };
      });
      expect([...explored(scene, 3)].sort(), `seed ${seed}`).toEqual([...endings(scene, 3)].sort());
    }
  });

  it('is no state that only seems to be known: the same number, the same state', async () => {
    const engine = await jsEngine();
    for (const [, program] of small) {
      const scene = sceneOf(program, engine);
      const states = new Map<number, string>();
      const random = randomFrom(1);
      for (let n = 0; n < 8; n++) {
        scene.arena.reset();
        const execution = new Execution(scene.arena, scene.start(), false);
        for (let enabled = execution.enabled(); enabled; enabled = execution.enabled()) {
          const pending = execution.names.map((name, t) => {
            return execution.pending[t] ? `${name} ${execution.describe(t)}` : name;
          });
          const state = `${pending.join('\n')}\n${scene.arena.words.slice(0, 512).join()}`;
          const number = execution.state();
          const known = states.get(number);
          if (known !== undefined && known !== state) throw new Error(`${known}\nis not\n${state}`);
          states.set(number, state);
          const thread = random() % execution.names.length;
          if (enabled & (1 << thread)) execution.advance(thread);
        }
      }
    }
  });

  it('is what a thread has forgotten, if that is so', () => {
    const scene = (forget: boolean) =>
      sceneWith(2, (at, arena) => {
        function* spinner(): Piece {
          let tries = 0;
          let over = false;
          function* round(): Piece {
            over = (yield* atomics.load(at(0))) === 3;
            tries += 1;
            if (!over) yield* until(() => arena.word(at(0)));
          }
          yield* repeat(
            () => over || tries === 3,
            () => (forget ? Number(over) : tries),
            round,
          );
        }
        function* counter(): Piece {
          for (let n = 0; n < 3; n++) yield* atomics.add(at(0), 1);
        }
        return { threads: { spinner: spinner(), counter: counter() }, final: nothingWrong };
      });
    expect(explore(scene(true)).states).toBeLessThan(explore(scene(false)).states);
  });
});

function* ignore(piece: Piece<unknown>): Piece {
  yield* piece;
}
