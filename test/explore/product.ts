/**
 * Functions of src/ over `Atomics`, one step at a time: a module that exports nothing but functions
 * is turned into generators as the js engine is. From build/, that is what ships; or, broken on
 * purpose, from src/.
 */

import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { toGenerators } from './generators.ts';
import { applyEdits, type SourceEdit } from './source-edit.ts';
import type { Operation, Piece, Step } from './step.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const STEP = 'atomicStep';

/** What each function of `Atomics` is called, and what it takes; indexes in words. */
const ATOMICS: Readonly<Record<string, readonly [operation: Operation, given: string]>> = {
  load: ['load32', 'index'],
  store: ['store32', 'index, value'],
  add: ['add32', 'index, value'],
};

const STEPPED = Object.entries(ATOMICS)
  .map(([name, [operation, given]]) => {
    const value = given.includes('value') ? 'value' : '0';
    const step = `${STEP}('${operation}', index, ${value})`;
    return `function ${name}Step(view, ${given}) { return ${step}; }`;
  })
  .join('\n');

function atomicStep(operation: Operation, index: number, value: number): Step {
  return { operation, address: index * 4, value, expected: 0 };
}

export type Pieces = Record<string, (words: Uint32Array, ...args: never[]) => Piece<unknown>>;

/** The functions of `module`, as `block/flush-generation`. `edits`: what to break in src/. */
export async function piecesOf<T extends Pieces>(
  module: string,
  edits: readonly SourceEdit[] = [],
): Promise<T> {
  const [folder, extension] = edits.length > 0 ? ['src', 'ts'] : ['build', 'js'];
  const load = async (id: string) =>
    applyEdits(relative(root, id), await readFile(id, 'utf8'), edits);
  const input = join(root, `${folder}/${module}.${extension}`);
  const build = await rolldown({ input, logLevel: 'silent', plugins: [{ name: 'edits', load }] });
  const { output } = await build.generate({ format: 'esm' });
  await build.close();
  const stepped = output[0].code.replace(/\bAtomics\.(load|store|add)\(/g, '$1Step(');
  if (/\bAtomics\b/.test(stepped)) throw new Error(`${module}: an operation without a step`);
  const code = toGenerators(`${STEPPED}\n${stepped}`, STEP);
  const body = code.replace(/\bexport \{([^}]*)\};?/, (_, names: string) => `return {${names}};`);
  return new Function(STEP, body)(atomicStep) as T;
}
