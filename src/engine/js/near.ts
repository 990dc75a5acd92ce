/**
 * The common chain, fast: its buffers, and its table if it has one, lie in the first region and
 * make less than 2 GiB. All numbers are small integers here, which the compiler likes. Whatever is
 * not like that, or not good, is chain.ts's: it begins anew and keeps nothing of this reading.
 */

import {
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SIZE,
  QUEUE_DESC,
  QUEUE_F_INDIRECT,
  QUEUE_FEATURES,
  QUEUE_FREE,
  QUEUE_NUM,
  QUEUE_REGIONS,
  REGION_GUEST_HI,
  REGION_GUEST_LO,
  REGION_OFFSET,
  REGION_SIZE_HI,
  REGION_SIZE_LO,
  REGIONS_FIRST,
  SEGMENTS_MAX,
} from '../../layout.ts';
import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE_SHIFT,
} from '../../spec.ts';
import { launch } from './record.ts';
import { TWO_32 } from './regions.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const DESC = QUEUE_DESC >>> 2;
const NUM = QUEUE_NUM >>> 2;
const FEATURES = QUEUE_FEATURES >>> 2;
const FREE = QUEUE_FREE >>> 2;
const LINK = BLOCK_NEXT >>> 2;
const SEGMENTS = BLOCK_FIRST >>> 2;
const BLOCK_WORDS = BLOCK_SIZE >>> 2;
const F_NEXT = VIRTQ_DESC_F_NEXT;
const F_WRITE = VIRTQ_DESC_F_WRITE;
const F_INDIRECT = VIRTQ_DESC_F_INDIRECT;
const DESC_SHIFT = VIRTQ_DESC_SIZE_SHIFT;
const F_TABLES = QUEUE_F_INDIRECT;
const MAX = SEGMENTS_MAX;

/**
 * Notes the first region in `v`, for the calls of `collectNear` in this batch. A region's part
 * behind 4 GiB, or behind its first 2 GiB, is not near. An empty table has size 0 here.
 */
export function prepareNear(v: Views, queue: number): void {
  const u32 = v.u32;
  const table = u32[(queue + QUEUE_REGIONS) >>> 2]!;
  const region = table + REGIONS_FIRST;
  const guestLo = u32[(region + REGION_GUEST_LO) >>> 2]!;
  const long = u32[(region + REGION_SIZE_HI) >>> 2] !== 0;
  const size = long ? 0xffffffff : u32[(region + REGION_SIZE_LO) >>> 2]!;
  v.nearLo = guestLo | 0;
  v.nearHi = u32[(region + REGION_GUEST_HI) >>> 2]! | 0;
  v.nearOffset = u32[(region + REGION_OFFSET) >>> 2]! | 0;
  v.nearBytes = Math.min(size, TWO_32 - guestLo, 0x7fffffff);
}

/**
 * As `collect`, for the common chain. False for any other: then nothing has happened, but segments
 * of free blocks were written.
 */
export function collectNear(v: Views, q: number, head: number, record: number): boolean {
  const u32 = v.u32;
  const ram32 = v.ram32;
  const { nearLo, nearHi, nearOffset, nearBytes } = v;
  let base = u32[q + DESC]! >>> 2;
  let entries = u32[q + NUM]! | 0;
  let left = entries;
  let tables = (u32[q + FEATURES]! & F_TABLES) !== 0;
  let next = head;
  let count = 0;
  let total = 0;
  let outCount = 0;
  let outBytes = 0;
  let writing = 0;
  let block = u32[q + FREE]! >>> 2;
  let place = block + SEGMENTS;
  for (;;) {
    if (next >= entries || left === 0 || count === MAX) return false;
    left--;
    const at = base + (next << 2);
    const tail = ram32[at + 3]! | 0; // flags below, next above
    const length = ram32[at + 2]! | 0;
    const distance = ((ram32[at]! | 0) - nearLo) | 0;
    if ((ram32[at + 1]! | 0) !== nearHi) return false;
    if (length <= 0 || distance < 0 || length > nearBytes - distance) return false;
    if ((tail & F_INDIRECT) !== 0) {
      const table = (nearOffset + distance) | 0;
      if (!tables || (tail & F_NEXT) !== 0 || ((table & 3) | (length & 15)) !== 0) return false;
      tables = false;
      base = table >>> 2;
      left = entries = length >>> DESC_SHIFT;
      next = 0;
      continue;
    }
    if ((tail & F_WRITE) !== writing) {
      if (writing !== 0) return false;
      writing = F_WRITE;
      outCount = count;
      outBytes = total;
    }
    total += length;
    if (total > 0x7fffffff) return false;
    if (place === block + BLOCK_WORDS) {
      block = u32[block + LINK]! >>> 2;
      place = block + SEGMENTS;
    }
    u32[place] = nearOffset + distance;
    u32[place + 1] = length;
    place += 2;
    count++;
    if ((tail & F_NEXT) === 0) break;
    next = tail >>> 16;
  }
  if (writing === 0) {
    outCount = count;
    outBytes = total;
  }
  v.block = block;
  v.at = place;
  launch(u32, q, record, block, count, outCount, total, outBytes);
  return true;
}
