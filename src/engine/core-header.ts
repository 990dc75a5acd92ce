/**
 * The core header (`layout.ts`): by which an instance knows that a memory is a core's, and of its
 * own version, and from which it gets its thread number.
 */

import {
  ABI_VERSION,
  CORE_HEADER_ABI,
  CORE_HEADER_LAYOUT,
  CORE_HEADER_MAGIC,
  CORE_HEADER_RANGES,
  CORE_HEADER_SIZE,
  CORE_HEADER_THREADS,
  CORE_MAGIC,
  LAYOUT_SUM,
} from '../layout.ts';
import { CoreError } from './core-error.ts';
import type { Engine, LinearMemory } from './engine.ts';

/** Throws EABI if the engine was compiled with another layout than this program. */
export function checkEngine(engine: Engine): void {
  if (engine.abi() !== ABI_VERSION) {
    const message = `the module is of ABI ${engine.abi()}, this program of ABI ${ABI_VERSION}`;
    throw new CoreError('EABI', message);
  }
  if (engine.layoutSum() !== LAYOUT_SUM) {
    const message = `the module's structures add up to ${engine.layoutSum()}, not ${LAYOUT_SUM}`;
    throw new CoreError('EABI', message);
  }
}

/** Fills the header of a new core. `ranges` is the address of an empty table of ranges. */
export function writeHeader(u32: Uint32Array, header: number, ranges: number): void {
  u32[(header + CORE_HEADER_MAGIC) >>> 2] = CORE_MAGIC;
  u32[(header + CORE_HEADER_ABI) >>> 2] = ABI_VERSION;
  u32[(header + CORE_HEADER_LAYOUT) >>> 2] = LAYOUT_SUM;
  u32[(header + CORE_HEADER_RANGES) >>> 2] = ranges;
}

/** Throws EINVAL if no header can be there, EABI if there is none or one of another version. */
export function checkHeader(memory: LinearMemory, header: number): void {
  if (header <= 0 || header % 4 !== 0 || header + CORE_HEADER_SIZE > memory.buffer.byteLength) {
    throw new CoreError('EINVAL', `no core header can be at ${header}`);
  }
  const u32 = new Uint32Array(memory.buffer, header, CORE_HEADER_SIZE / 4);
  const [magic, abi, sum] = [CORE_HEADER_MAGIC, CORE_HEADER_ABI, CORE_HEADER_LAYOUT].map(
    (at) => u32[at >>> 2] as number,
  ) as [number, number, number];
  if (magic !== CORE_MAGIC) {
    const message = `there is no core at ${header}: magic is 0x${magic.toString(16)}`;
    throw new CoreError('EABI', message);
  }
  if (abi !== ABI_VERSION) {
    const message = `the memory is of ABI ${abi}, this program of ABI ${ABI_VERSION}`;
    throw new CoreError('EABI', message);
  }
  if (sum !== LAYOUT_SUM) {
    const message = `the memory's structures add up to ${sum}, not ${LAYOUT_SUM}`;
    throw new CoreError('EABI', message);
  }
}

/** Counts one more instance over the memory; the count is its number, 1 for the first. */
export function takeThreadNumber(u32: Uint32Array, header: number): number {
  return Atomics.add(u32, (header + CORE_HEADER_THREADS) >>> 2, 1) + 1;
}
