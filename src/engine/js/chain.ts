/**
 * Descriptor chains (VIRTIO 1.3, 2.7.4 to 2.7.5): from a head to the list of its buffers.
 *
 * Every byte of a ring belongs to the guest, which may change it while we read: each field is
 * loaded once, each loop is bounded, each range is checked before anything is written for it.
 */

import {
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SIZE,
  BROKEN_ADDRESS,
  BROKEN_INDIRECT,
  BROKEN_INDIRECT_SIZE,
  BROKEN_LOOP,
  BROKEN_NEXT,
  BROKEN_ORDER,
  BROKEN_TOO_LONG,
  BROKEN_ZERO_LENGTH,
  QUEUE_DESC,
  QUEUE_F_INDIRECT,
  QUEUE_FEATURES,
  QUEUE_FREE,
  QUEUE_NUM,
  QUEUE_REGIONS,
  RECORD_IN_BYTES,
  RECORD_IN_COUNT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_WRITTEN,
  REGION_GUEST_HI,
  REGION_GUEST_LO,
  REGION_OFFSET,
  REGION_SIZE_HI,
  REGION_SIZE_LO,
  REGIONS_COUNT,
  REGIONS_FIRST,
  SEGMENTS_MAX,
} from '../../layout.ts';
import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE_SHIFT,
} from '../../spec.ts';
import { addSegment } from './blocks.ts';
import { locate, offsetInRegion, regionBytes, regionOf, regionStart, TWO_32 } from './regions.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const DESC = QUEUE_DESC >>> 2;
const NUM = QUEUE_NUM >>> 2;
const FEATURES = QUEUE_FEATURES >>> 2;
const REGIONS = QUEUE_REGIONS >>> 2;
const OUT_COUNT = RECORD_OUT_COUNT >>> 2;
const IN_COUNT = RECORD_IN_COUNT >>> 2;
const OUT_BYTES = RECORD_OUT_BYTES >>> 2;
const IN_BYTES = RECORD_IN_BYTES >>> 2;
const WRITTEN = RECORD_WRITTEN >>> 2;
const COUNT = REGIONS_COUNT >>> 2;
const FIRST = REGIONS_FIRST >>> 2;
const GUEST_LO = FIRST + (REGION_GUEST_LO >>> 2);
const GUEST_HI = FIRST + (REGION_GUEST_HI >>> 2);
const SIZE_LO = FIRST + (REGION_SIZE_LO >>> 2);
const SIZE_HI = FIRST + (REGION_SIZE_HI >>> 2);
const OFFSET = FIRST + (REGION_OFFSET >>> 2);
const F_NEXT = VIRTQ_DESC_F_NEXT;
const F_WRITE = VIRTQ_DESC_F_WRITE;
const F_INDIRECT = VIRTQ_DESC_F_INDIRECT;
const FREE = QUEUE_FREE >>> 2;
const LINK = BLOCK_NEXT >>> 2;
const SEGMENTS = BLOCK_FIRST >>> 2;
const BLOCK_WORDS = BLOCK_SIZE >>> 2;
const MAX = SEGMENTS_MAX;

/**
 * Lists the buffers of the chain at `head` into free blocks and counts them in `record`.
 * Returns 0 or BROKEN_*; nothing is taken yet. `q` and `record` are word indexes; `head` is below the
 * queue's size; CHAIN_BLOCKS_MAX blocks are free. Afterwards `v.at` stands behind the last segment.
 */
export function collect(v: Views, q: number, head: number, record: number): number {
  const u32 = v.u32;
  const ram32 = v.ram32;
  const regions = u32[q + REGIONS]! >>> 2;
  // Most buffers lie in the first region, and are placed here; for all others there is `span`.
  const guestLo = u32[regions + GUEST_LO]!;
  const guestHi = u32[regions + GUEST_HI]!;
  const offset = u32[regions + OFFSET]!;
  const bytes = nearBytes(u32, regions);
  let base = u32[q + DESC]! >>> 2;
  let skew = 0;
  let entries = u32[q + NUM]!;
  let direct = true;
  let next = head;
  let steps = 0;
  let count = 0;
  let total = 0;
  let outCount = 0;
  let outBytes = 0;
  let block = u32[q + FREE]! >>> 2;
  let place = block + SEGMENTS;
  for (;;) {
    if (next >= entries) return BROKEN_NEXT;
    if (++steps > entries) return BROKEN_LOOP;
    let words = ram32;
    let at = base + (next << 2);
    if (skew !== 0) {
      words = unaligned(v, at * 4 + skew);
      at = 0;
    }
    const lo = words[at]!;
    const hi = words[at + 1]!;
    const length = words[at + 2]!;
    const tail = words[at + 3]!; // flags below, next above

    if ((tail & F_INDIRECT) !== 0) {
      if (!direct) return BROKEN_INDIRECT;
      const reason = indirectTable(v, q, lo, hi, length, tail);
      if (reason !== 0) return reason;
      base = v.base;
      skew = v.skew;
      entries = length >>> VIRTQ_DESC_SIZE_SHIFT;
      next = steps = 0;
      direct = false;
      continue;
    }
    if (length === 0) return BROKEN_ZERO_LENGTH;
    const readable = (tail & F_WRITE) === 0;
    if (readable && outCount !== count) return BROKEN_ORDER;
    total = (total + length) >>> 0;
    if (total < length) return BROKEN_TOO_LONG; // it passed 2^32
    const distance = (lo - guestLo) >>> 0;
    if (hi === guestHi && distance < bytes && length <= (bytes - distance) >>> 0) {
      if (count === MAX) return BROKEN_TOO_LONG;
      if (place === block + BLOCK_WORDS) {
        block = u32[block + LINK]! >>> 2;
        place = block + SEGMENTS;
      }
      u32[place] = offset + distance;
      u32[place + 1] = length;
      place += 2;
      count++;
    } else {
      v.block = block;
      v.at = place;
      count = span(v, q, lo, hi, length, count);
      if (count < 0) return -count;
      block = v.block;
      place = v.at;
    }
    if (readable) {
      outCount = count;
      outBytes = total;
    }
    if ((tail & F_NEXT) === 0) break;
    next = tail >>> 16;
  }
  v.block = block;
  v.at = place;
  fill(u32, record, count, outCount, total, outBytes);
  return 0;
}

/** Bytes of the first region whose addresses have the same high word as its start. */
function nearBytes(u32: Uint32Array, regions: number): number {
  if (u32[regions + COUNT] === 0) return 0;
  const before = 0xffffffff - u32[regions + GUEST_LO]!;
  return u32[regions + SIZE_HI] === 0 ? Math.min(u32[regions + SIZE_LO]!, before) : before;
}

function fill(
  u32: Uint32Array,
  record: number,
  count: number,
  outCount: number,
  total: number,
  outBytes: number,
): void {
  u32[record + OUT_COUNT] = outCount;
  u32[record + IN_COUNT] = count - outCount;
  u32[record + OUT_BYTES] = outBytes;
  u32[record + IN_BYTES] = total - outBytes;
  u32[record + WRITTEN] = 0;
}

/**
 * Finds the table that the rest of a chain has for itself: leaves its word index in `v.base` and the
 * bytes by which it is not aligned in `v.skew`. Returns 0 or BROKEN_*. The WRITE flag of its
 * descriptor means nothing (2.7.5.3.2).
 */
function indirectTable(
  v: Views,
  q: number,
  lo: number,
  hi: number,
  length: number,
  tail: number,
): number {
  const u32 = v.u32;
  if ((u32[q + FEATURES]! & QUEUE_F_INDIRECT) === 0) return BROKEN_INDIRECT;
  if ((tail & F_NEXT) !== 0) return BROKEN_INDIRECT;
  if (length === 0 || (length & 15) !== 0) return BROKEN_INDIRECT_SIZE;
  const place = locate(u32, u32[q + REGIONS]!, lo, hi, length);
  if (place < 0) return BROKEN_ADDRESS;
  v.base = place >>> 2;
  v.skew = place & 3;
  return 0;
}

/** An indirect table may lie at any address: copies the descriptor at `address` into scratch. */
function unaligned(v: Views, address: number): Uint32Array {
  for (let i = 0; i < 16; i++) v.scratch8[i] = v.ram8[address + i]!;
  return v.scratch;
}

/**
 * Adds a buffer that is not wholly in the first region: one segment per region it lies in. Returns
 * the new count of segments, or -BROKEN_*.
 */
function span(v: Views, q: number, lo: number, hi: number, length: number, count: number): number {
  const u32 = v.u32;
  const table = u32[q + REGIONS]!;
  for (let left = length; ; ) {
    const region = regionOf(u32, table, lo, hi);
    if (region === 0) return -BROKEN_ADDRESS;
    if (count === MAX) return -BROKEN_TOO_LONG;
    const offset = offsetInRegion(u32, region, lo, hi);
    const piece = Math.min(left, regionBytes(u32, region) - offset);
    addSegment(v, regionStart(u32, region) + offset, piece);
    count++;
    left -= piece;
    if (left === 0) return count;
    lo += piece;
    if (lo < TWO_32) continue;
    lo -= TWO_32;
    hi = (hi + 1) >>> 0;
    if (hi === 0) return -BROKEN_ADDRESS; // wraps
  }
}
