// Guest memory: from a guest address to the core's. The table (layout.ts) is sorted and disjoint,
// and main changes it only while no queue is served, so plain loads do.

import {
  REGIONS_COUNT, REGIONS_FIRST, REGION_GUEST_LO, REGION_OFFSET, REGION_SIZE, REGION_SIZE_LO,
} from "../src/layout";

/** `translate`: no region holds all of it. No core address is that large. */
export const NOWHERE: u64 = u64.MAX_VALUE;

/** The region that holds the byte at `guest`, as its address in the table; 0 if there is none. */
export function regionOf(table: u32, guest: u64): u32 {
  let region = table + REGIONS_FIRST;
  for (let left = load<u32>(table, REGIONS_COUNT); left != 0; --left) {
    // Below the region the difference wraps and is larger than any size.
    const at = guest - load<u64>(region, REGION_GUEST_LO);
    if (at < load<u64>(region, REGION_SIZE_LO)) return region;
    region += REGION_SIZE;
  }
  return 0;
}

/** Core address of `length` bytes at `guest`, if one region holds them all, else NOWHERE. */
export function translate(table: u32, guest: u64, length: u64): u64 {
  const region = regionOf(table, guest);
  if (region == 0) return NOWHERE;
  const at = guest - load<u64>(region, REGION_GUEST_LO);
  if (length > load<u64>(region, REGION_SIZE_LO) - at) return NOWHERE;
  return at + load<u32>(region, REGION_OFFSET);
}

/** The uppermost region. An empty table's words are zeroes, so nothing is found there. */
export function lastRegion(table: u32): u32 {
  return table + REGIONS_FIRST + (max<u32>(load<u32>(table, REGIONS_COUNT), 1) - 1) * REGION_SIZE;
}
