/**
 * Memory for the core: one of the platform's where it has WebAssembly, else one of ours.
 */

import { CoreError } from './core-error.ts';
import type { LinearMemory } from './engine.ts';

/** Bytes of a page, the unit of growth. Also the size and alignment of a cluster. */
export const PAGE_BYTES = 65536;
/** Largest memory in pages. One less than fits into 32 bits, so that no end address wraps to 0. */
export const PAGES_MAX = 65535;

/** True where WebAssembly exists; some isolates and hardened browsers have none. */
export function hasWebAssembly(): boolean {
  return typeof WebAssembly === 'object' && typeof WebAssembly.Memory === 'function';
}

/** A memory that a wasm module can import. Realms may differ, so `instanceof` is no test. */
export function isWasmMemory(memory: LinearMemory): memory is WebAssembly.Memory {
  return Object.prototype.toString.call(memory) === '[object WebAssembly.Memory]';
}

export function isShared(memory: LinearMemory): boolean {
  return (
    typeof SharedArrayBuffer !== 'undefined' &&
    Object.prototype.toString.call(memory.buffer) === '[object SharedArrayBuffer]'
  );
}

export function pagesFor(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES);
}

/** Memory without WebAssembly: a plain buffer, replaced by a longer copy whenever it grows. */
export class ArrayMemory implements LinearMemory {
  #buffer: ArrayBuffer;
  readonly #maximum: number;

  constructor(pages: number, maximum: number = PAGES_MAX) {
    this.#buffer = new ArrayBuffer(pages * PAGE_BYTES);
    this.#maximum = maximum;
  }

  get buffer(): ArrayBuffer {
    return this.#buffer;
  }

  grow(pages: number): number {
    const old = this.#buffer.byteLength / PAGE_BYTES;
    if (old + pages > this.#maximum) throw new RangeError('memory is at its maximum size');
    const longer = new ArrayBuffer((old + pages) * PAGE_BYTES);
    new Uint8Array(longer).set(new Uint8Array(this.#buffer));
    this.#buffer = longer;
    return old;
  }
}

/**
 * Makes a memory of `pages`, which may grow to `maximum` pages. Throws ENOTSUP if it shall be
 * shared and the platform cannot, ENOMEM if there is not that much.
 */
export function createMemory(pages: number, maximum: number, shared: boolean): LinearMemory {
  if (shared && (!hasWebAssembly() || typeof SharedArrayBuffer === 'undefined')) {
    throw new CoreError('ENOTSUP', 'shared memory needs WebAssembly and SharedArrayBuffer');
  }
  try {
    if (!hasWebAssembly()) return new ArrayMemory(pages, maximum);
    return new WebAssembly.Memory({ initial: pages, maximum, shared });
  } catch (cause) {
    throw new CoreError('ENOMEM', `cannot make a memory of ${pages * PAGE_BYTES} bytes`, cause);
  }
}
