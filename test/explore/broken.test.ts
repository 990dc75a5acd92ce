/**
 * Steps of the protocols, broken on purpose, one at a time: an exploration finds each. Where the
 * step is the engine's, a text of its source is replaced; where it is JavaScript's, the program is
 * another.
 */

import { describe, expect, it } from 'vitest';
import type { BrokenCase } from './broken/case.ts';
import { drainCases } from './broken/drain.ts';
import { loopCases } from './broken/loop.ts';
import { queueLifeCases } from './broken/queue-life.ts';
import { ringCases } from './broken/rings.ts';
import { workCases } from './broken/work.ts';
import { type EngineMaker, jsEngine, type Kind, makers, wasmEngine } from './explored.ts';
import { explore } from './explorer.ts';
import { sceneOf } from './world.ts';

const whole: Record<Kind, EngineMaker> = { wasm: await wasmEngine(), js: await jsEngine() };

async function engineOf(kind: Kind, { program, ...edits }: BrokenCase): Promise<EngineMaker> {
  const mine = edits[kind];
  return mine ? await makers[kind](mine, program.calls) : whole[kind];
}

const cases = [...loopCases, ...workCases, ...ringCases, ...drainCases, ...queueLifeCases];

/** Variants of the models that are of these protocols. */
const VARIANTS = [
  ...['M1a', 'M1b', 'M1c', 'M1e', 'M1g', 'M2a', 'M3a', 'M3b', 'M4a', 'M4b', 'M4c', 'M4d', 'M5a'],
  ...['M6a', 'M6b', 'M7a', 'M7b', 'M7d', 'M7e', 'M8a', 'M8b', 'M9a', 'M11'],
];

describe('the list of broken steps', () => {
  it('breaks an engine in both engines, or a program', () => {
    const lonely = cases.filter(({ wasm, js }) => Boolean(wasm) !== Boolean(js));
    expect(lonely.map(({ name }) => name)).toEqual([]);
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
  });

  it.each(VARIANTS)('has variant %s of the models', (variant) => {
    expect(cases.filter(({ name }) => name.startsWith(`${variant}:`))).not.toEqual([]);
  });
});

for (const kind of ['wasm', 'js'] as const) {
  describe(`${kind}: found when broken`, () => {
    it.each(cases.map((one) => [one.name, one] as const))('%s', async (_, broken) => {
      const { failure } = explore(sceneOf(broken.program, await engineOf(kind, broken)));
      expect(failure?.why).toMatch(broken.fails);
      expect(failure?.schedule.length).toBeGreaterThan(0);
    });
  });
}
