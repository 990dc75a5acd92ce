/** Both engines for exploration: a program asks for one over its arena. */

import type { Arena } from './arena.ts';
import { compileJs } from './js-engine.ts';
import type { SourceEdit } from './source-edit.ts';
import { type EngineCall, type ExploredEngine, type Piece, scope } from './step.ts';
import { compileWasm, WasmThreads } from './wasm-engine.ts';

/**
 * Makes an engine over the memory of an arena; a thread asks for its own by number. `stacks`: see
 * `WasmThreads`.
 */
export type EngineMaker = (
  arena: Pick<Arena, 'memory'>,
  stacks?: number,
) => (thread: number) => ExploredEngine;

export async function jsEngine(edits: readonly SourceEdit[] = []): Promise<EngineMaker> {
  const create = await compileJs(edits);
  return ({ memory }) => {
    const engine = create(memory, memory);
    return () => engine;
  };
}

export async function wasmEngine(
  edits: readonly SourceEdit[] = [],
  calls: readonly EngineCall[] = [],
): Promise<EngineMaker> {
  const module = await compileWasm(edits, calls);
  return ({ memory }, stacks) => {
    const threads = new WasmThreads(module, memory, stacks);
    return (thread) => threads.engine(thread);
  };
}

export const makers = { wasm: wasmEngine, js: jsEngine };
export type Kind = keyof typeof makers;

/** An engine whose calls leave nothing behind in their thread but the result. */
export function forgetful(engine: ExploredEngine): ExploredEngine {
  const calls = Object.entries(engine).filter(([, run]) => typeof run === 'function');
  return Object.fromEntries(
    calls.map(([name, run]) => {
      const call = run as (...args: number[]) => Piece<number>;
      return [name, (...args: number[]) => scope(call(...args))];
    }),
  ) as ExploredEngine;
}

/** Runs a piece that nobody interrupts: set-up. */
export function settle<T>(arena: Arena, piece: Piece<T>): T {
  let next = piece.next(0);
  while (!next.done) next = piece.next(arena.perform(next.value));
  return next.value;
}
