/**
 * The order of atomic steps, in both engines: each protocol is run with another thread acting right
 * before each of its steps, and both engines take the same steps.
 */

import { fileURLToPath } from 'node:url';
import { describe, vi } from 'vitest';
import { steppedEngine } from './atomic-steps.ts';
import { type Contestant, jsOneMemory, jsShared } from './machine.ts';
import { sameStepsLoopSuite } from './same-steps-loop-suite.ts';
import { sameStepsSuite } from './same-steps-suite.ts';
import { steppedModule } from './stepped-module.mjs';
import { stepsClusterSuite } from './steps-cluster-suite.ts';
import { stepsCoroutineSuite } from './steps-coroutine-suite.ts';
import { stepsGrowthSuite } from './steps-growth-suite.ts';
import { stepsPoolSuite } from './steps-pool-suite.ts';
import { stepsRingSuite } from './steps-ring-suite.ts';
import { stepsWaitSuite } from './steps-wait-suite.ts';
import { stepsWordsSuite } from './steps-words-suite.ts';

vi.mock('#src/engine/atomics', async (original) => {
  const { watchedAtomics } = await import('./atomic-steps.ts');
  return watchedAtomics((await original()) as object);
});

const module = await steppedModule(fileURLToPath(new URL('../..', import.meta.url)));

const wasm: Contestant = {
  name: 'wasm, step by step',
  kind: 'wasm',
  shared: false,
  make: (pages) => {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536 });
    return { engine: steppedEngine(module, memory), state: memory, ram: memory };
  },
};
const js: Contestant = { ...jsOneMemory, name: 'js, step by step' };

for (const contestant of [wasm, js]) {
  describe(contestant.name, () => {
    describe('rings', () => stepsRingSuite(contestant));
    describe('cluster disks', () => stepsClusterSuite(contestant));
    describe('event-loop words and the gate', () => stepsWordsSuite(contestant));
    describe('who sleeps, polls and visits', () => stepsWaitSuite(contestant));
    describe('coroutines', () => stepsCoroutineSuite(contestant));
    describe('the thread pool', () => stepsPoolSuite(contestant));
  });
}

// What grows while another thread is in a call is shared memory; the stepped module, which is for
// unshared memory, sees as much.
for (const contestant of [wasm, { ...jsShared, name: 'js, shared, step by step' }]) {
  describe(contestant.name, () => {
    describe('a memory that grows', () => stepsGrowthSuite(contestant));
  });
}

describe('both engines take the same steps', () => {
  sameStepsSuite(wasm, js);
  sameStepsLoopSuite(wasm, js);
});
