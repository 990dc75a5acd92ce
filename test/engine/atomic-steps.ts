/**
 * The atomic steps of both engines, seen one by one: what must be in memory when a step is done,
 * and what happens if another thread acts right there. Needs no threads, hence finds every order.
 *
 * Only the two files `atomics.ts` are replaced. For wasm the module is compiled from assembly/ with
 * functions that call out in their place (stepped-module.mjs); for js a test mocks the module
 * (`vi.mock('#src/engine/atomics', ...)` with `watchedAtomics`).
 */

import type { Engine } from '#src/engine/engine';

/** Names as in assembly/atomics.ts. */
export type Operation =
  | 'load16'
  | 'store16'
  | 'load32'
  | 'store32'
  | 'add32'
  | 'sub32'
  | 'and32'
  | 'or32'
  | 'exchange32'
  | 'compareExchange32';

export interface Step {
  operation: Operation;
  address: number;
  /** What it is given besides the address, as u32: the value; expected and value. */
  operands: readonly number[];
}

/** Sees each step of the engine under test. One for all: a test begins with `watch`. */
class Witness {
  #before: ((step: Step) => void) | undefined;
  #steps: Step[] = [];
  #inside = false;

  /**
   * Runs `action` and returns its steps; `before` is called before each of them. What `before` does
   * with an engine is not watched: it is another thread.
   */
  watch(action: () => void, before?: (step: Step) => void): Step[] {
    this.#before = before;
    this.#steps = [];
    this.#inside = true;
    try {
      action();
    } finally {
      this.#inside = false;
    }
    return this.#steps;
  }

  see(operation: Operation, address: number, ...operands: number[]): void {
    if (!this.#inside) return;
    const step = { operation, address: address >>> 0, operands: operands.map((n) => n >>> 0) };
    this.#steps.push(step);
    this.#inside = false;
    this.#before?.(step);
    this.#inside = true;
  }
}

export const witness = new Witness();

/**
 * Runs `make()` anew for each step of its `action` and lets `interlope` act right before that step,
 * then once more with nobody interfering; `check` says whether the outcome is one that may be.
 */
export function atEachStep<T extends { action: () => void }>(
  make: () => T,
  interlope: (scene: T) => void,
  check: (scene: T, step: string) => void,
): void {
  for (let at = 0, reached = true; reached; at++) {
    const scene = make();
    let count = 0;
    let name = 'no step';
    reached = false;
    witness.watch(scene.action, (step) => {
      if (count++ !== at) return;
      reached = true;
      name = `before step ${at}, ${step.operation}`;
      interlope(scene);
    });
    check(scene, name);
  }
}

// ---- js: what stands in for src/engine/atomics.ts -------------------------------------------------

const OPERATION_OF: Record<string, Operation> = {
  load: 'load32',
  store: 'store32',
  add: 'add32',
  sub: 'sub32',
  and: 'and32',
  or: 'or32',
  exchange: 'exchange32',
  compareExchange: 'compareExchange32',
  load16: 'load16',
  store16: 'store16',
};

type AtomicFunction = (view: unknown, address: number, ...operands: number[]) => number;

/** The functions of the module, each telling the witness first. */
export function watchedAtomics(original: object): Record<string, AtomicFunction> {
  const entries = Object.entries(original as Record<string, AtomicFunction>);
  return Object.fromEntries(
    entries.map(([name, run]) => {
      const operation = OPERATION_OF[name];
      if (!operation) throw new Error(`no operation is called ${name}`);
      const watched: AtomicFunction = (view, address, ...operands) => {
        witness.see(operation, address, ...operands);
        return run(view, address, ...operands);
      };
      return [name, watched];
    }),
  );
}

// ---- wasm: a module that calls out for each step ---------------------------------------------------

/** The engine of `module` over `memory`. */
export function steppedEngine(module: WebAssembly.Module, memory: WebAssembly.Memory): Engine {
  const words = () => new Int32Array(memory.buffer);
  const halves = () => new Uint16Array(memory.buffer);
  type Run = (index: number, ...operands: number[]) => number;
  const step = (operation: Operation, shift: number, run: Run) => {
    return (base: number, offset: number, ...operands: number[]) => {
      const address = (base + offset) >>> 0;
      witness.see(operation, address, ...operands);
      return run(address >>> shift, ...operands);
    };
  };
  const atomics: Record<Operation, (base: number, offset: number, ...more: number[]) => number> = {
    load16: step('load16', 1, (at) => Atomics.load(halves(), at)),
    store16: step('store16', 1, (at, value) => Atomics.store(halves(), at, value!)),
    load32: step('load32', 2, (at) => Atomics.load(words(), at)),
    store32: step('store32', 2, (at, value) => Atomics.store(words(), at, value!)),
    add32: step('add32', 2, (at, value) => Atomics.add(words(), at, value!)),
    sub32: step('sub32', 2, (at, value) => Atomics.sub(words(), at, value!)),
    and32: step('and32', 2, (at, value) => Atomics.and(words(), at, value!)),
    or32: step('or32', 2, (at, value) => Atomics.or(words(), at, value!)),
    exchange32: step('exchange32', 2, (at, value) => Atomics.exchange(words(), at, value!)),
    compareExchange32: step('compareExchange32', 2, (at, expected, value) =>
      Atomics.compareExchange(words(), at, expected!, value!),
    ),
  };
  const { exports } = new WebAssembly.Instance(module, { env: { memory }, atomics });
  return { kind: 'wasm', ...exports } as unknown as Engine;
}
