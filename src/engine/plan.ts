/**
 * From what a caller asks for to what a core is built of: which engine, which memories, how large.
 */

import type { Range } from './allocator.ts';
import { CoreError } from './core-error.ts';
import type { LinearMemory } from './engine.ts';
import { createMemory, PAGE_BYTES, PAGES_MAX, pagesFor } from './linear-memory.ts';
import { type EngineChoice, pickEngine } from './pick.ts';
import type { Region } from './regions.ts';
import type { CoreModule } from './wasm.ts';

export interface CoreOptions {
  /** Default `auto`: wasm where it can run. */
  engine?: 'auto' | 'wasm' | 'js';
  /** The core module, compiled or as bytes: core.wasm, or core.shared.wasm for shared memory. */
  module?: CoreModule | undefined;
  /** Memory to live in, an emulator's. Default: the core makes one. */
  memory?: LinearMemory | undefined;
  /** Guest RAM in a buffer of its own; js engine only. Default: it lies in the memory. */
  ram?: LinearMemory | undefined;
  /** Whether a memory that the core makes is shared. Default false. */
  shared?: boolean;
  /** Makes a guest RAM of this many bytes at guest address 0 (without `ram`: in the memory). */
  ramBytes?: number;
  /** Bytes to which the memory may grow. Default and limit: one page short of 4 GiB. */
  maxBytes?: number;
}

/** All that is decided before an engine exists. */
export interface Plan {
  choice: EngineChoice;
  memory: LinearMemory;
  ram: LinearMemory;
  /** Bytes to which the memory may grow. */
  maximum: number;
  /** The first arena, if the memory is ours. */
  arena?: Range;
  /** Guest RAM that was asked for. */
  region?: Region;
}

/** Throws CoreError as `Core.open` says. Makes or grows memory, nothing else. */
export function makePlan(options: CoreOptions): Plan {
  const choice = pickEngine(options.engine ?? 'auto', options);
  const maximum = Math.min(options.maxBytes ?? Number.POSITIVE_INFINITY, PAGES_MAX * PAGE_BYTES);
  const ramBytes = options.ramBytes ?? 0;
  if (!Number.isSafeInteger(ramBytes) || ramBytes < 0) {
    throw new CoreError('EINVAL', `guest RAM of ${ramBytes} bytes`);
  }
  if (options.memory) {
    const memory = options.memory;
    const ram = options.ram ?? memory;
    const region = ramBytes > 0 ? placeRam(ram, ramBytes, ram === memory, maximum) : undefined;
    return { choice, memory, ram, maximum, ...(region && { region }) };
  }
  const inside = options.ram ? 0 : ramBytes;
  const pages = 1 + pagesFor(inside);
  if (pages * PAGE_BYTES > maximum) {
    throw new CoreError('ENOMEM', `${inside} bytes of guest RAM do not fit into ${maximum} bytes`);
  }
  const memory = createMemory(pages, Math.floor(maximum / PAGE_BYTES), options.shared ?? false);
  const ram = options.ram ?? memory;
  const offset = options.ram ? 0 : PAGE_BYTES;
  const region = ramBytes > 0 ? { guest: 0, size: ramBytes, offset } : undefined;
  const arena = { start: 0, end: PAGE_BYTES };
  return { choice, memory, ram, maximum, arena, ...(region && { region }) };
}

/** Guest RAM at the end of an emulator's memory, or at the start of a buffer of its own. */
function placeRam(ram: LinearMemory, bytes: number, grow: boolean, maximum: number): Region {
  if (!grow) return { guest: 0, size: bytes, offset: 0 };
  const pages = pagesFor(bytes);
  if (ram.buffer.byteLength + pages * PAGE_BYTES > maximum) {
    throw new CoreError('ENOMEM', `${bytes} bytes of guest RAM do not fit into ${maximum} bytes`);
  }
  try {
    return { guest: 0, size: bytes, offset: ram.grow(pages) * PAGE_BYTES };
  } catch (cause) {
    throw new CoreError('ENOMEM', `the memory cannot grow by ${bytes} bytes`, cause);
  }
}
