/**
 * The js engine, one atomic step at a time: its modules with `atomics.ts` swapped, bundled into one
 * and turned into generators. From build/, that is what ships; or, broken on purpose, from src/.
 */

import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import type { LinearMemory } from '#src/engine/engine';
import { toGenerators } from './generators.ts';
import { applyEdits, type SourceEdit } from './source-edit.ts';
import type { ExploredEngine, Operation, Piece, Step } from './step.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const STEP = 'atomicStep';

/** What each function of src/engine/atomics.ts is called, and what it takes after the view. */
const ATOMICS: Readonly<Record<string, readonly [operation: Operation, given: string]>> = {
  load: ['load32', 'address'],
  store: ['store32', 'address, value'],
  add: ['add32', 'address, value'],
  sub: ['sub32', 'address, value'],
  and: ['and32', 'address, value'],
  or: ['or32', 'address, value'],
  exchange: ['exchange32', 'address, value'],
  compareExchange: ['compareExchange32', 'address, expected, value'],
  load16: ['load16', 'address'],
  store16: ['store16', 'address, value'],
};

const SWAPPED = Object.entries(ATOMICS)
  .map(([name, [operation, given]]) => {
    const operands = ['value', 'expected'].map((one) => (given.includes(one) ? one : '0'));
    const step = `${STEP}('${operation}', address, ${operands.join(', ')})`;
    return `export function ${name}(view, ${given}) { return ${step}; }`;
  })
  .join('\n');

/** One module: the engine, and nothing imported. */
async function bundle(edits: readonly SourceEdit[]): Promise<string> {
  const [folder, extension] = edits.length > 0 ? ['src', 'ts'] : ['build', 'js'];
  const build = await rolldown({
    input: join(root, `${folder}/engine/js.${extension}`),
    treeshake: false,
    logLevel: 'silent',
    plugins: [
      {
        name: 'atomics-swapped',
        async load(id) {
          const file = relative(root, id);
          if (file === `${folder}/engine/atomics.${extension}`) return SWAPPED;
          return applyEdits(file, await readFile(id, 'utf8'), edits);
        },
      },
    ],
  });
  const { output } = await build.generate({ format: 'esm' });
  await build.close();
  return output[0].code;
}

type Create = (state: LinearMemory, ram: LinearMemory) => ExploredEngine;

function atomicStep(operation: Operation, address: number, value: number, expected: number): Step {
  return { operation, address: address >>> 0, value, expected };
}

/** Compiles the engine. `edits`: what to break in src/engine/. */
export async function compileJs(edits: readonly SourceEdit[] = []): Promise<Create> {
  const code = toGenerators(await bundle(edits), STEP);
  const body = code.replace(/\bexport \{([^}]*)\};?/, (_, names: string) => {
    return `return {${names}};`;
  });
  const { createJsEngine } = new Function(STEP, body)(atomicStep) as { createJsEngine: Create };
  return (state, ram) => allPieces(createJsEngine(state, ram));
}

/** Functions without a step are no generators yet. */
function allPieces(engine: ExploredEngine): ExploredEngine {
  const functions = engine as unknown as Record<string, (...args: number[]) => unknown>;
  const pieces = Object.entries(functions).map(([name, run]) => {
    if (typeof run !== 'function' || isGenerator(run)) return [name, run];
    return [
      name,
      function* (...args: number[]): Piece<unknown> {
        return run(...args);
      },
    ];
  });
  return Object.fromEntries(pieces) as ExploredEngine;
}

function isGenerator(run: object): boolean {
  return Object.prototype.toString.call(run) === '[object GeneratorFunction]';
}
