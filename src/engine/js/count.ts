/** Counters of 64 bits in two words. One writer each: plain loads and stores. */

const CARRY = 4294967296;

/** Counts up by `by`, which is below 2^32. `lo` and `hi` are word indexes. */
export function count(u32: Uint32Array, lo: number, hi: number, by: number): void {
  const sum = u32[lo]! + by;
  u32[lo] = sum;
  if (sum >= CARRY) u32[hi]! += 1;
}

export function countDown(u32: Uint32Array, lo: number, hi: number, by: number): void {
  const difference = u32[lo]! - by;
  u32[lo] = difference;
  if (difference < 0) u32[hi]! -= 1;
}
