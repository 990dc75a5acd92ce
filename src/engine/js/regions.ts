/**
 * From guest addresses to places in RAM, over the table of regions (design section 3). A guest
 * address is a full u64 in two words. No BigInt: the distance to a region's start is computed
 * exactly as two words and then compared as a double; a distance that a double rounds is beyond
 * 2^53 and stays there, far beyond any region.
 */

import {
  REGION_GUEST_HI,
  REGION_GUEST_LO,
  REGION_OFFSET,
  REGION_SIZE,
  REGION_SIZE_HI,
  REGION_SIZE_LO,
  REGIONS_COUNT,
  REGIONS_FIRST,
} from '../../layout.ts';

export const TWO_32 = 4294967296;

/** Bytes from the region's start to the guest address lo/hi, or -1 if that is not inside it. */
export function offsetInRegion(u32: Uint32Array, region: number, lo: number, hi: number): number {
  const guestLo = u32[(region + REGION_GUEST_LO) >>> 2]!;
  const borrow = lo < guestLo ? 1 : 0;
  const high = (hi - u32[(region + REGION_GUEST_HI) >>> 2]! - borrow) >>> 0;
  const offset = high * TWO_32 + ((lo - guestLo) >>> 0);
  return offset < regionBytes(u32, region) ? offset : -1;
}

export function regionBytes(u32: Uint32Array, region: number): number {
  return u32[(region + REGION_SIZE_HI) >>> 2]! * TWO_32 + u32[(region + REGION_SIZE_LO) >>> 2]!;
}

/** Address in RAM of a region's first byte. */
export function regionStart(u32: Uint32Array, region: number): number {
  return u32[(region + REGION_OFFSET) >>> 2]!;
}

/** The region that holds the guest address lo/hi, as an address; 0 if none does. */
export function regionOf(u32: Uint32Array, table: number, lo: number, hi: number): number {
  const count = u32[(table + REGIONS_COUNT) >>> 2]!;
  let region = table + REGIONS_FIRST;
  for (let i = 0; i < count; i++, region += REGION_SIZE) {
    if (offsetInRegion(u32, region, lo, hi) >= 0) return region;
  }
  return 0;
}

/** Address in RAM of `bytes` bytes at a guest address, or -1 unless one region holds them all. */
export function locate(
  u32: Uint32Array,
  table: number,
  lo: number,
  hi: number,
  bytes: number,
): number {
  const region = regionOf(u32, table, lo, hi);
  if (region === 0) return -1;
  const offset = offsetInRegion(u32, region, lo, hi);
  if (bytes > regionBytes(u32, region) - offset) return -1;
  return regionStart(u32, region) + offset;
}
