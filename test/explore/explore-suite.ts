/**
 * The engines' own code, two or three threads of it, in every order that its atomic steps can come
 * in. The number of states is printed; so is the seed of what is too large for all its orders:
 *
 *     VBLK_EXPLORE_SEED=12345 npx vitest run test/explore/explore-js.test.ts
 */

import { describe, expect, it } from 'vitest';
import { jsEngine, type Kind, wasmEngine } from './explored.ts';
import { explore, type Report, wanderFrom } from './explorer.ts';
import { large, small } from './programs/all.ts';
import { foreignPoll } from './programs/waking.ts';
import { sceneOf } from './world.ts';

const makers = { wasm: wasmEngine, js: jsEngine };
const seed = Number(process.env['VBLK_EXPLORE_SEED'] ?? Date.now() & 0x7fffffff);
const RANDOM_EXECUTIONS = 200;
/** Seconds on a machine with nothing else to do. */
const TIMEOUT_MS = 120_000;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Fails with the schedule that shows what is wrong. */
function expectNone({ failure }: Report): void {
  if (failure) throw new Error(`${failure.why}\n  ${failure.schedule.join('\n  ')}`);
}

export async function exploreSuite(kind: Kind): Promise<void> {
  const engine = await makers[kind]();

  describe(`${kind}: in every order`, () => {
    it.each(small)(
      '%s',
      (title, program) => {
        const report = explore(sceneOf(program, engine));
        const { states, executions, steps } = report;
        print(`${kind} ${title}: ${states} states, ${executions} executions, ${steps} steps`);
        expectNone(report);
        expect(states).toBeGreaterThan(10);
      },
      TIMEOUT_MS,
    );

    it.each([
      ['M1e', false],
      ['M1g', true],
    ])('NT-12 historic bug 3 appears with the hook: %s', (_, blocking) => {
      const { failure } = explore(sceneOf(foreignPoll({ home: 0, blocking }), engine));
      expect(failure?.why).toMatch(/asleep for ever/);
    });
  });

  describe(`${kind}: in random orders, seed ${seed}`, () => {
    it.each(large)(
      '%s',
      (title, program) => {
        const report = wanderFrom(sceneOf(program, engine), seed, RANDOM_EXECUTIONS);
        print(`${kind} ${title}: ${report.executions} executions, ${report.steps} steps`);
        expectNone(report);
      },
      TIMEOUT_MS,
    );
  });
}
