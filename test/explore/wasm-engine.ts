/**
 * The wasm engine, one atomic step at a time: compiled from assembly/ with imported functions in
 * the place of atomics.ts, then made interruptible by Binaryen's asyncify. Each thread calls it
 * from a stack of its own; a step unwinds that stack to the scheduler and winds it up again.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import binaryen from 'binaryen';
import { ARENA_BYTES } from './arena.ts';
import { applyEdits, type SourceEdit } from './source-edit.ts';
import type { EngineCall, ExploredEngine, Operation, Piece, Step } from './step.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const ATOMICS = 'assembly/atomics.ts';
const WHOLE = 'assembly/index.ts';
const PART = 'assembly/explored.ts';
const STACK_BYTES = 4096;
/** Where an asyncify stack says how far it is filled, and where it ends; the stack is behind. */
const STACK_HEAD = 8;

/** The file with the body of each function gone, and the function imported instead. */
function withoutBodies(source: string): string {
  return source
    .replaceAll('\n@inline', '')
    .replace(/export function (\w+)(\([^)]*\): \w+) \{[^}]*\}/g, (_, name, signature) => {
      return `@external("atomics", "${name}")\nexport declare function ${name}${signature};`;
    });
}

/**
 * An entry that exports those functions alone, which compiles five times as fast; the whole entry
 * if one of them is its own.
 */
async function entryFor(calls: readonly EngineCall[]): Promise<string | undefined> {
  const whole = await readFile(join(root, WHOLE), 'utf8');
  const exported = [...whole.matchAll(/export \{([^}]*)\} from ("[^"]*");/g)];
  // Without a plain load or store the compiler would leave the memory out: one call has some.
  const lines = [...calls, 'pollBegin'].map((call) => {
    const from = exported.find(([, names]) => names?.split(/[\s,]+/).includes(call));
    return from && `export { ${call} } from ${from[2]};`;
  });
  return calls.length > 0 && lines.every((line) => line)
    ? [...new Set(lines)].join('\n')
    : undefined;
}

/** The module with imported atomics, for unshared memory, optimised as a release is. */
export async function compileWithImports(
  edits: readonly SourceEdit[] = [],
  calls: readonly EngineCall[] = [],
): Promise<Uint8Array> {
  const part = await entryFor(calls);
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main([part ? PART : WHOLE, '--target', 'release'], {
    readFile: async (name) => {
      if (name === PART) return part ?? null;
      const text = await readFile(join(root, name), 'utf8').catch(() => null);
      if (text === null) return null;
      const edited = applyEdits(name, text, edits);
      return name === ATOMICS ? withoutBodies(edited) : edited;
    },
    writeFile: (name, contents) => {
      if (name.endsWith('.wasm')) binary = contents as Uint8Array;
    },
    listFiles: () => null as unknown as string[],
  });
  if (error || !binary) throw new Error(`asc: ${error?.message}\n${stderr}`);
  return new Uint8Array(binary);
}

function interruptible(binary: Uint8Array): Uint8Array {
  const module = binaryen.readBinary(binary);
  try {
    module.setFeatures(binaryen.Features.All);
    binaryen.setPassArgument('asyncify-imports', 'atomics.*');
    module.runPasses(['asyncify']);
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

/** Compiles the engine. `edits`: what to break in assembly/; `calls`: what is needed, or all. */
export async function compileWasm(
  edits: readonly SourceEdit[] = [],
  calls: readonly EngineCall[] = [],
): Promise<WebAssembly.Module> {
  const binary = interruptible(await compileWithImports(edits, calls));
  return new WebAssembly.Module(binary as Uint8Array<ArrayBuffer>);
}

interface Asyncify {
  asyncify_start_unwind(stack: number): void;
  asyncify_stop_unwind(): void;
  asyncify_start_rewind(stack: number): void;
  asyncify_stop_rewind(): void;
}

const OPERATIONS: readonly Operation[] = [
  'load16',
  'store16',
  'load32',
  'store32',
  'add32',
  'sub32',
  'and32',
  'or32',
  'exchange32',
  'compareExchange32',
];

/** One instance, and a stack for each thread. */
export class WasmThreads {
  readonly #functions: Record<string, (...args: number[]) => number>;
  readonly #asyncify: Asyncify;
  readonly #memory: WebAssembly.Memory;
  readonly #stacks: number;
  /** The step that the call in hand has stopped at. */
  #step: Step | undefined;
  #result = 0;
  #rewinding = false;
  #stack = 0;

  /** `stacks`: address of memory that nothing else uses, 4 KiB for each thread. */
  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory, stacks = ARENA_BYTES) {
    const steps = OPERATIONS.map((operation) => [operation, this.#stop(operation)]);
    const imports = { env: { memory }, atomics: Object.fromEntries(steps) };
    const { exports } = new WebAssembly.Instance(module, imports);
    this.#functions = exports as unknown as Record<string, (...args: number[]) => number>;
    this.#asyncify = exports as unknown as Asyncify;
    this.#memory = memory;
    this.#stacks = stacks;
  }

  /** The engine as thread `number` calls it. */
  engine(number: number): ExploredEngine {
    const stack = this.#stacks + number * STACK_BYTES;
    const calls = Object.keys(this.#functions)
      .filter((name) => !name.startsWith('asyncify_'))
      .map((name) => [name, (...args: number[]) => this.#call(stack, name, args)]);
    return Object.fromEntries(calls) as ExploredEngine;
  }

  *#call(stack: number, name: string, args: readonly number[]): Piece<number> {
    const run = this.#functions[name] as (...args: number[]) => number;
    const words = new Int32Array(this.#memory.buffer, stack, 2);
    words[0] = stack + STACK_HEAD;
    words[1] = stack + STACK_BYTES;
    this.#stack = stack;
    let value = run(...args);
    for (let step = this.#step; step; step = this.#step) {
      this.#asyncify.asyncify_stop_unwind();
      this.#step = undefined;
      const result = yield step;
      // Other threads were here meanwhile.
      this.#stack = stack;
      this.#result = result;
      this.#rewinding = true;
      this.#asyncify.asyncify_start_rewind(stack);
      value = run(...args);
    }
    return value;
  }

  #stop(operation: Operation) {
    const exchange = operation === 'compareExchange32';
    return (base: number, offset: number, one = 0, two = 0): number => {
      if (this.#rewinding) {
        this.#rewinding = false;
        this.#asyncify.asyncify_stop_rewind();
        return this.#result;
      }
      const [value, expected] = exchange ? [two, one] : [one, 0];
      this.#step = { operation, address: (base + offset) >>> 0, value, expected };
      this.#asyncify.asyncify_start_unwind(this.#stack);
      return 0;
    };
  }
}
