/**
 * Descriptor chains (VIRTIO 1.3, 2.7.4 to 2.7.5): from a head to the list of its buffers.
 *
 * Every byte of a ring belongs to the guest, which may change it while we read: each field is
 * loaded once, each loop is bounded, each range is checked before anything is written for it.
 */

import {
  BLOCK_FIRST,
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
  SEGMENTS_MAX,
} from '../../layout.ts';
import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE_SHIFT,
} from '../../spec.ts';
import { addSegment } from './blocks.ts';
import { launch } from './record.ts';
import { locate, offsetInRegion, regionBytes, regionOf, regionStart, TWO_32 } from './regions.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const DESC = QUEUE_DESC >>> 2;
const NUM = QUEUE_NUM >>> 2;
const FEATURES = QUEUE_FEATURES >>> 2;
const REGIONS = QUEUE_REGIONS >>> 2;
const F_NEXT = VIRTQ_DESC_F_NEXT;
const F_WRITE = VIRTQ_DESC_F_WRITE;
const F_INDIRECT = VIRTQ_DESC_F_INDIRECT;
const FREE = QUEUE_FREE >>> 2;
const SEGMENTS = BLOCK_FIRST >>> 2;
const MAX = SEGMENTS_MAX;

/**
 * Lists the buffers of the chain at `head` in segment blocks and puts `record` in flight. Returns 0
 * or BROKEN_*: then nothing has happened, but segments of free blocks were written. `q` and
 * `record` are word indexes; `head` is below the queue's size; CHAIN_BLOCKS_MAX blocks are free.
 * Afterwards `v.at` stands behind the last segment.
 */
export function collect(v: Views, q: number, head: number, record: number): number {
  const u32 = v.u32;
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
  v.block = u32[q + FREE]! >>> 2;
  v.at = v.block + SEGMENTS;
  for (;;) {
    if (next >= entries) return BROKEN_NEXT;
    if (++steps > entries) return BROKEN_LOOP;
    let words = v.ram32;
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
    total += length;
    if (total >= TWO_32) return BROKEN_TOO_LONG;
    count = addBuffer(v, q, lo, hi, length, count);
    if (count < 0) return -count;
    if (readable) {
      outCount = count;
      outBytes = total;
    }
    if ((tail & F_NEXT) === 0) break;
    next = tail >>> 16;
  }
  launch(u32, q, record, v.block, count, outCount, total, outBytes);
  return 0;
}

/**
 * Finds the table that the rest of a chain has for itself: leaves its word index in `v.base` and
 * the bytes by which it is not aligned in `v.skew`. Returns 0 or BROKEN_*. The WRITE flag of its
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

/** Adds a buffer: one segment per region it lies in. Returns the new count, or -BROKEN_*. */
function addBuffer(
  v: Views,
  q: number,
  lo: number,
  hi: number,
  length: number,
  count: number,
): number {
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
