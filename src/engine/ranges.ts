/**
 * The ranges by which threads other than main have grown a shared memory (`layout.ts`). They are
 * the core's, and main must not take them for guest memory. All words are atomic.
 */

import { RANGES_COUNT, RANGES_FIRST, RANGES_MAX } from '../layout.ts';
import type { Range } from './allocator.ts';
import { PAGE_BYTES } from './linear-memory.ts';

/**
 * Notes pages `first` up to `end`: makes the range that ends at `first` longer, or adds one. False
 * if the table is full. Any thread. `u32` is a view of all memory.
 */
export function noteRange(u32: Uint32Array, table: number, first: number, end: number): boolean {
  const words = (table + RANGES_FIRST) >>> 2;
  const count = Math.min(Atomics.load(u32, (table + RANGES_COUNT) >>> 2), RANGES_MAX);
  for (let entry = 0; entry < count; entry++) {
    const old = Atomics.load(u32, words + entry);
    if (old >>> 16 !== first) continue;
    const longer = ((old & 0xffff) | (end << 16)) >>> 0;
    // Pages come once, so that nobody else makes this range longer.
    Atomics.store(u32, words + entry, longer);
    return true;
  }
  const entry = Atomics.add(u32, (table + RANGES_COUNT) >>> 2, 1);
  if (entry >= RANGES_MAX) return false;
  Atomics.store(u32, words + entry, (first | (end << 16)) >>> 0);
  return true;
}

/** The ranges noted so far, in bytes. An entry that is claimed but not filled is left out. */
export function readRanges(u32: Uint32Array, table: number): Range[] {
  const words = (table + RANGES_FIRST) >>> 2;
  const count = Math.min(Atomics.load(u32, (table + RANGES_COUNT) >>> 2), RANGES_MAX);
  return Array.from({ length: count }, (_, entry) => Atomics.load(u32, words + entry))
    .filter((word) => word !== 0)
    .map((word) => ({ start: (word & 0xffff) * PAGE_BYTES, end: (word >>> 16) * PAGE_BYTES }));
}
