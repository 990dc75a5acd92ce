/**
 * v86 with its memory shared with Workers, so that an IOThread can serve its disks:
 *
 *     const emulator = new V86({ ...options, wasm_fn: sharedWasm(v86Wasm), autostart: false });
 *
 * in place of `wasm_path`. v86 itself is not modified: its module and each module that it
 * translates guest code to are rewritten on the way to the platform. Pages have to be cross-origin
 * isolated (headers COOP `same-origin` and COEP `require-corp`).
 *
 * Browsers refuse to read some things from shared memory. Pictures of a screen in graphics mode are
 * copied once a disk or a `V86Core` is attached; without either, v86 throws when the guest changes
 * to that mode. States compressed with zstd cannot be restored (TextDecoder), others can. As with
 * every `wasm_fn`, images that end in .zst cannot be loaded.
 * Checked with v86 0.5.462.
 */

import { PAGES_MAX } from '../engine/linear-memory.ts';
import { withSharedMemory } from './v86-module.ts';

export interface SharedWasmOptions {
  /**
   * Pages of 64 KiB to which the memory may grow: guest RAM, v86's own, and our disks' state.
   * Default: nearly 4 GiB, which takes addresses and no memory.
   */
  readonly maximumPages?: number;
}

/** The option `wasm_fn` of v86: instantiates its module and returns what that exports. */
export type WasmFunction = (imports: WebAssembly.Imports) => Promise<Record<string, unknown>>;

/** What v86's module exports and imports, as far as it is used here. */
interface V86Exports extends Record<string, unknown> {
  readonly memory: WebAssembly.Memory;
  codegen_finalize_finished(index: number, start: number, stateFlags: number): void;
}

interface FunctionTable {
  readonly length: number;
  set(index: number, value: unknown): void;
}

type Finalize = (
  index: number,
  start: number,
  stateFlags: number,
  code: number,
  length: number,
) => void;

/** Of v86's function table: its own functions, then translated guest code. */
const TRANSLATED_FIRST = 1024;
const TABLE_FUNCTIONS = TRANSLATED_FIRST + 900;

/**
 * For v86's option `wasm_fn`; `source`: the bytes of `v86.wasm`, or where to fetch them. The
 * promise that v86 gets rejects if memory cannot be shared here, or if the module is not as that of
 * the v86 we know; v86 then never gets ready.
 */
export function sharedWasm(
  source: ArrayBuffer | Uint8Array | string | URL,
  options: SharedWasmOptions = {},
): WasmFunction {
  const { maximumPages = PAGES_MAX } = options;
  return async (imports) => {
    if (typeof SharedArrayBuffer === 'undefined') {
      throw new Error(
        'memory cannot be shared here: in a browser the page must be cross-origin isolated',
      );
    }
    const module = await bytesOf(source);
    const env = imports['env'];
    const table = env?.['__indirect_function_table'] as FunctionTable | undefined;
    if (!env?.['codegen_finalize'] || table?.length !== TABLE_FUNCTIONS) {
      throw new Error('this version of v86 has another way to its translated code');
    }
    let finalize: Finalize;
    const codegen_finalize: Finalize = (...args) => finalize(...args);
    const shared = await WebAssembly.compile(withSharedMemory(module, maximumPages));
    const { exports } = await WebAssembly.instantiate(shared, {
      ...imports,
      env: { ...env, codegen_finalize },
    });
    finalize = finalizer(exports as V86Exports, table, maximumPages);
    return exports;
  };
}

/**
 * In place of v86's `codegen_finalize`: the module at `code`, in v86's memory, becomes the function
 * at `index`. It imports the memory, whose limits say how it is shared.
 */
function finalizer(exports: V86Exports, table: FunctionTable, maximumPages: number): Finalize {
  const { memory, codegen_finalize_finished: finished } = exports;
  if (!memory || !finished) {
    throw new Error('this version of v86 exports no memory, or no codegen_finalize_finished');
  }
  const imports = { e: { ...exports, m: memory } };
  return (index, start, stateFlags, code, length) => {
    const translated = new Uint8Array(memory.buffer, code >>> 0, length >>> 0);
    WebAssembly.compile(withSharedMemory(translated, maximumPages))
      .then((module) => WebAssembly.instantiate(module, imports))
      .then(({ exports: { f } }) => {
        table.set(TRANSLATED_FIRST + index, f);
        finished(index, start, stateFlags);
      });
  };
}

async function bytesOf(source: ArrayBuffer | Uint8Array | string | URL): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (typeof source !== 'string' && !(source instanceof URL)) return new Uint8Array(source);
  const response = await fetch(source);
  if (!response.ok) throw new Error(`${source} answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
