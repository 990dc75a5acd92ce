/**
 * Which engine serves, and why. `auto` takes wasm where it can run and says what stood in its way
 * where it cannot.
 */

import { CoreError } from './core-error.ts';
import type { EngineKind, LinearMemory } from './engine.ts';
import { hasWebAssembly, isWasmMemory } from './linear-memory.ts';

export interface EngineChoice {
  readonly engine: EngineKind;
  /** One sentence for a person. */
  readonly reason: string;
}

export interface Circumstances {
  readonly module?: unknown;
  readonly memory?: LinearMemory | undefined;
  readonly ram?: LinearMemory | undefined;
}

/** Throws ENOTSUP if wasm is asked for and cannot run, EINVAL for a name that is no engine. */
export function pickEngine(wanted: string, circumstances: Circumstances): EngineChoice {
  if (wanted === 'js') return { engine: 'js', reason: 'asked for' };
  if (wanted !== 'auto' && wanted !== 'wasm') {
    throw new CoreError('EINVAL', `no engine is called ${wanted}: auto, wasm and js are`);
  }
  const obstacle = whyNoWasm(circumstances);
  if (wanted === 'auto') {
    if (obstacle) return { engine: 'js', reason: obstacle };
    return { engine: 'wasm', reason: 'a module was given and WebAssembly is there' };
  }
  if (obstacle) throw new CoreError('ENOTSUP', `the wasm engine cannot run: ${obstacle}`);
  return { engine: 'wasm', reason: 'asked for' };
}

function whyNoWasm({ module, memory, ram }: Circumstances): string {
  if (!hasWebAssembly()) return 'this platform has no WebAssembly';
  if (!module) return 'no module was given';
  if (memory && !isWasmMemory(memory)) return 'the memory is no WebAssembly.Memory';
  if (ram && ram !== memory) return 'guest memory is a buffer of its own';
  return '';
}
