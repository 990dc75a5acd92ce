/**
 * What is explored is what ships: the same sources, and the same sequence of atomic steps as the
 * engines take that test/engine watches.
 */

import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import type { Engine } from '#src/engine/engine';
import { type Step as SeenStep, steppedEngine, witness } from '../engine/atomic-steps.ts';
import { type Contestant, jsOneMemory } from '../engine/machine.ts';
import { sameStepsLoopSuite } from '../engine/same-steps-loop-suite.ts';
import { sameStepsSuite } from '../engine/same-steps-suite.ts';
import { compileStepped } from '../engine/stepped-module.mjs';
import { Arena } from './arena.ts';
import { type EngineMaker, jsEngine, wasmEngine } from './explored.ts';
import type { Piece, Step } from './step.ts';
import { compileWithImports } from './wasm-engine.ts';

vi.mock('#src/engine/atomics', async (original) => {
  const { watchedAtomics } = await import('../engine/atomic-steps.ts');
  return watchedAtomics((await original()) as object);
});

const root = fileURLToPath(new URL('../..', import.meta.url));
const stepped = await compileStepped(root);
const module = new WebAssembly.Module(stepped as Uint8Array<ArrayBuffer>);

const newMemory = (pages: number) => new WebAssembly.Memory({ initial: pages, maximum: 65536 });

const released: Record<'wasm' | 'js', Contestant> = {
  wasm: {
    name: 'wasm as released',
    kind: 'wasm',
    shared: false,
    make: (pages) => {
      const memory = newMemory(pages);
      return { engine: steppedEngine(module, memory), state: memory, ram: memory };
    },
  },
  js: { ...jsOneMemory, name: 'js as released' },
};

/** Operands as test/engine writes them down. */
function operandsOf({ operation, value, expected }: Step): number[] {
  if (operation === 'compareExchange32') return [expected, value];
  return operation.startsWith('load') ? [] : [value];
}

type Call = (...args: number[]) => Piece<number>;

/** An explored engine whose steps are done at once, and seen. */
function contestant(kind: 'wasm' | 'js', make: EngineMaker): Contestant {
  return {
    name: `${kind} as explored`,
    kind,
    shared: false,
    make: (pages) => {
      const memory = newMemory(pages);
      const arena = new Arena(memory);
      // Nothing uses the first 64 KiB of a machine.
      const engine = make(arena, 4096)(0) as unknown as Record<string, Call>;
      const calls = Object.entries(engine).map(([name, call]) => {
        const run = (...args: number[]) => {
          const piece = call(...args);
          let next = piece.next(0);
          while (!next.done) {
            const step = next.value;
            const operation = step.operation as SeenStep['operation'];
            witness.see(operation, step.address, ...operandsOf(step));
            next = piece.next(arena.perform(step));
          }
          return next.value;
        };
        return [name, typeof call === 'function' ? run : call];
      });
      return { engine: Object.fromEntries(calls) as Engine, state: memory, ram: memory };
    },
  };
}

describe('wasm: what is explored takes the steps of what ships', async () => {
  const explored = contestant('wasm', await wasmEngine());
  sameStepsSuite(explored, released.wasm);
  sameStepsLoopSuite(explored, released.wasm);

  it('is compiled from the same sources to the same bytes, then made interruptible', async () => {
    expect(Buffer.compare(await compileWithImports(), stepped)).toBe(0);
  });
});

describe('js: what is explored takes the steps of what ships', async () => {
  const explored = contestant('js', await jsEngine());
  sameStepsSuite(explored, released.js);
  sameStepsLoopSuite(explored, released.js);
});

describe('js: what is broken on purpose takes the same steps before it is broken', async () => {
  const text = 'export function notify(';
  const unbroken = await jsEngine([{ file: 'src/engine/js/notify.ts', text, replacement: text }]);
  sameStepsSuite(contestant('js', unbroken), released.js);
  sameStepsLoopSuite(contestant('js', unbroken), released.js);
});
