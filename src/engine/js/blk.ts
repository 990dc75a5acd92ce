/** virtio-blk requests in any framing (5.2.6, BL-1): header in front, status byte behind. */

import {
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SEGMENTS,
  BROKEN_HEADERS,
  QUEUE_EPOCH,
  RECORD_EPOCH,
  RECORD_IN_COUNT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SECTOR_HI,
  RECORD_SECTOR_LO,
  RECORD_SEGMENTS,
  RECORD_STATUS,
  RECORD_STATUS_AT,
  RECORD_TYPE,
} from '../../layout.ts';
import { VIRTIO_BLK_OUTHDR_SIZE, VIRTIO_BLK_S_IOERR } from '../../spec.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const SEGMENTS = RECORD_SEGMENTS >>> 2;
const OUT_COUNT = RECORD_OUT_COUNT >>> 2;
const IN_COUNT = RECORD_IN_COUNT >>> 2;
const OUT_BYTES = RECORD_OUT_BYTES >>> 2;
const TYPE = RECORD_TYPE >>> 2;
const SECTOR_LO = RECORD_SECTOR_LO >>> 2;
const SECTOR_HI = RECORD_SECTOR_HI >>> 2;
const STATUS_AT = RECORD_STATUS_AT >>> 2;
const STATUS = RECORD_STATUS >>> 2;
const OF_EPOCH = RECORD_EPOCH >>> 2;
const EPOCH = QUEUE_EPOCH >>> 2;
const FIRST = BLOCK_FIRST >>> 2;
const NEXT = BLOCK_NEXT >>> 2;
const HEADER = VIRTIO_BLK_OUTHDR_SIZE;
const IOERR = VIRTIO_BLK_S_IOERR;

/**
 * Fills the request fields of a record that `collect` has just filled. Returns 0 or BROKEN_HEADERS.
 * The header is read once, here (BG-15).
 */
export function parse(v: Views, q: number, record: number): number {
  const u32 = v.u32;
  const noHeader = u32[record + OUT_COUNT] === 0 || u32[record + OUT_BYTES]! < HEADER;
  if (noHeader || u32[record + IN_COUNT] === 0) return BROKEN_HEADERS;

  const first = (u32[record + SEGMENTS]! >>> 2) + FIRST;
  const address = u32[first]!;
  if ((address & 3) === 0 && u32[first + 1]! >= HEADER) {
    take(u32, record, v.ram32, address >>> 2);
  } else {
    take(u32, record, gather(v, record), 0);
  }
  const last = v.at - 2;
  u32[record + STATUS_AT] = u32[last]! + u32[last + 1]! - 1;
  u32[record + STATUS] = IOERR;
  u32[record + OF_EPOCH] = u32[q + EPOCH]!;
  return 0;
}

/** Takes the fields of a header whose first word is `words[at]`. */
function take(u32: Uint32Array, record: number, words: Uint32Array, at: number): void {
  u32[record + TYPE] = words[at]!;
  u32[record + SECTOR_LO] = words[at + 2]!;
  u32[record + SECTOR_HI] = words[at + 3]!;
}

/** Copies a header that is split over segments, or not aligned, into scratch. */
function gather(v: Views, record: number): Uint32Array {
  const u32 = v.u32;
  let block = u32[record + SEGMENTS]! >>> 2;
  let copied = 0;
  for (let i = 0; copied < HEADER; i++) {
    if (i === BLOCK_SEGMENTS) {
      block = u32[block + NEXT]! >>> 2;
      i = 0;
    }
    const segment = block + FIRST + i * 2;
    const address = u32[segment]!;
    const length = Math.min(u32[segment + 1]!, HEADER - copied);
    for (let k = 0; k < length; k++) v.scratch8[copied++] = v.ram8[address + k]!;
  }
  return v.scratch;
}
