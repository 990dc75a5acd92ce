/**
 * The engine in WebAssembly: build/core.wasm or build/core.shared.wasm over a memory of its kind.
 */

import { instantiate, instantiateSync } from '@assemblyscript/loader';
import { CoreError } from './core-error.ts';
import type { Engine } from './engine.ts';
import { isShared } from './linear-memory.ts';

/** A module ready to run, or its bytes. */
export type CoreModule = WebAssembly.Module | Uint8Array | ArrayBuffer;

export interface WasmEngine {
  readonly engine: Engine;
  readonly module: WebAssembly.Module;
}

/** Instantiates the module over `memory`, which must be of its kind. Throws EMODULE. */
export async function createWasmEngine(
  module: CoreModule,
  memory: WebAssembly.Memory,
): Promise<WasmEngine> {
  // The loader's asynchronous way asks for `Response`, which Node needs 12 ms and 10 MB to load.
  if (module instanceof WebAssembly.Module) return createWasmEngineSync(module, memory);
  try {
    if (isForeignModule(module)) return fromForeign(module, memory);
    return rawExports(await instantiate(module as BufferSource, imports(memory)));
  } catch (cause) {
    throw refusal(cause, memory);
  }
}

/** As `createWasmEngine`, at once. Browsers refuse bytes of more than 4 KiB here, not modules. */
export function createWasmEngineSync(module: CoreModule, memory: WebAssembly.Memory): WasmEngine {
  try {
    if (isForeignModule(module)) return fromForeign(module, memory);
    return rawExports(instantiateSync(module as BufferSource, imports(memory)));
  } catch (cause) {
    throw refusal(cause, memory);
  }
}

type BufferSource = ArrayBuffer | ArrayBufferView<ArrayBuffer>;

/** The loader adds functions to the object it is given, so each instance gets a fresh one. */
function imports(memory: WebAssembly.Memory): { env: { memory: WebAssembly.Memory } } {
  return { env: { memory } };
}

/** The loader wraps what a module exports; the hot path calls the exports themselves. */
function rawExports(result: {
  instance: WebAssembly.Instance;
  module: WebAssembly.Module;
}): WasmEngine {
  const engine = { kind: 'wasm', ...result.instance.exports } as unknown as Engine;
  return { engine, module: result.module };
}

/**
 * A module of another realm, as edge-runtime hands them out: the loader, which asks `instanceof`,
 * would take it for bytes and compile.
 */
function isForeignModule(module: CoreModule): module is WebAssembly.Module {
  return (
    Object.prototype.toString.call(module) === '[object WebAssembly.Module]' &&
    !(module instanceof WebAssembly.Module)
  );
}

function fromForeign(module: WebAssembly.Module, memory: WebAssembly.Memory): WasmEngine {
  return rawExports({ module, instance: new WebAssembly.Instance(module, imports(memory)) });
}

function refusal(cause: unknown, memory: WebAssembly.Memory): CoreError {
  const shared = isShared(memory);
  const text = cause instanceof Error ? cause.message : String(cause);
  if (/shared/.test(text)) {
    const [is, needs, has] = shared
      ? ['shared', 'core.shared.wasm', 'core.wasm']
      : ['unshared', 'core.wasm', 'core.shared.wasm'];
    const message = `the memory is ${is} and needs ${needs}; the module given is ${has}`;
    return new CoreError('EMODULE', message, cause);
  }
  return new CoreError('EMODULE', `the module cannot be instantiated: ${text}`, cause);
}
