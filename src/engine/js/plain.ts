/**
 * Plain reads and writes, a batch at a time: requests that break no rule and whose data lies in
 * one segment. Each is a row of the queue's plain table, through which a driver goes in a loop.
 */

import {
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BLOCK_FIRST,
  BLOCK_SEGMENTS,
  LANE_READ_BYTES,
  LANE_READ_OPS,
  LANE_WRITE_BYTES,
  LANE_WRITE_OPS,
  PLAIN_BITS,
  PLAIN_BITS_LOG2,
  PLAIN_LENGTHS,
  PLAIN_OFFSETS,
  PLAIN_RESULTS,
  PLAIN_ROWS,
  PLAIN_STARTS,
  QUEUE_BATCH,
  QUEUE_DONE,
  QUEUE_PLAIN,
  QUEUE_RECORDS,
  RECORD_IN_BYTES,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SECTOR_HI,
  RECORD_SECTOR_LO,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  RECORD_STATUS,
  RECORD_TYPE,
  RECORD_WRITTEN,
} from '../../layout.ts';
import {
  SECTOR_SHIFT,
  SECTOR_SIZE,
  VIRTIO_BLK_OUTHDR_SIZE,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_OUT,
} from '../../spec.ts';
import { PLAIN_NEIGHBOURS, PLAIN_WRITE } from '../engine.ts';
import { count as countUp } from './count.ts';
import { TWO_32 } from './regions.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const RECORD = RECORD_SIZE >>> 2;
const TYPE = RECORD_TYPE >>> 2;
const SECTOR_LO = RECORD_SECTOR_LO >>> 2;
const SECTOR_HI = RECORD_SECTOR_HI >>> 2;
const OUT_COUNT = RECORD_OUT_COUNT >>> 2;
const OUT_BYTES = RECORD_OUT_BYTES >>> 2;
const IN_BYTES = RECORD_IN_BYTES >>> 2;
const SEGMENTS = RECORD_SEGMENTS >>> 2;
const STATUS = RECORD_STATUS >>> 2;
const WRITTEN = RECORD_WRITTEN >>> 2;
const FIRST = BLOCK_FIRST >>> 2;
const HEADER = VIRTIO_BLK_OUTHDR_SIZE;
const OUT = VIRTIO_BLK_T_OUT;
const TYPE_MASK = ~VIRTIO_BLK_T_BARRIER;
const PLACES = BLOCK_SEGMENTS;
const PER_SECTOR = 1 / SECTOR_SIZE;
/** Bytes of the longest request: INT_MAX in whole sectors, as in QEMU. */
export const BYTES_MAX = (0x7fffffff >>> SECTOR_SHIFT) * SECTOR_SIZE;
// In doubles, from the table's first.
const OFFSETS = PLAIN_OFFSETS >>> 3;
const STARTS = PLAIN_STARTS >>> 3;
const LENGTHS = PLAIN_LENGTHS >>> 3;
const RESULTS = PLAIN_RESULTS >>> 3;
const BITS_LOG2 = PLAIN_BITS_LOG2;
const BIT_WORDS = (1 << BITS_LOG2) / 32;

export function blkCollect(
  v: Views,
  queue: number,
  from: number,
  count: number,
  backend: number,
  block: number,
): number {
  const { u32 } = v;
  const most = Math.min(count, PLAIN_ROWS);
  if (most === 0) return 0;
  const heads = (u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2) + from;
  const records = u32[(queue + QUEUE_RECORDS) >>> 2]! >>> 2;
  const table = u32[(queue + QUEUE_PLAIN) >>> 2]!;
  const out = (u32[records + u32[heads]! * RECORD + TYPE]! & OUT) !== 0;
  if (out && (u32[(backend + BACKEND_FLAGS) >>> 2]! & BACKEND_F_READ_ONLY) !== 0) return 0;
  const capacity =
    u32[(backend + BACKEND_CAPACITY_HI) >>> 2]! * TWO_32 +
    u32[(backend + BACKEND_CAPACITY_LO) >>> 2]!;
  clearBits(v, table);
  let rows = 0;
  for (; rows < most; rows++) {
    const record = records + u32[heads + rows]! * RECORD;
    const bytes = out ? u32[record + OUT_BYTES]! - HEADER : u32[record + IN_BYTES]! - 1;
    const segment = plainSegment(u32, record, out);
    if (segment === 0 || u32[segment + 1]! < bytes) break;
    if (!inRange(u32, record, bytes, capacity, block)) break;
    const sector = u32[record + SECTOR_HI]! * TWO_32 + u32[record + SECTOR_LO]!;
    putRow(v, table, rows, sector, u32[segment]!, bytes);
  }
  return collected(v, table, rows, out);
}

export function clearBits({ u32 }: Views, table: number): void {
  const bits = (table + PLAIN_BITS) >>> 2;
  for (let i = 0; i < BIT_WORDS; i++) u32[bits + i] = 0;
}

/** Fills row `index` of a plain table, and the bit of its first sector. */
export function putRow(
  { u32, f64 }: Views,
  table: number,
  index: number,
  sector: number,
  start: number,
  bytes: number,
): void {
  const row = (table >>> 3) + index;
  f64[row + OFFSETS] = sector * SECTOR_SIZE;
  f64[row + STARTS] = start;
  f64[row + LENGTHS] = bytes;
  const bit = bitOf(sector);
  u32[((table + PLAIN_BITS) >>> 2) + (bit >>> 5)]! |= 1 << (bit & 31);
}

/** What a collecting function answers of so many rows. */
export function collected(v: Views, table: number, rows: number, out: boolean): number {
  const neighbours = hasNeighbours(v, table >>> 3, rows, (table + PLAIN_BITS) >>> 2);
  return rows + (out ? PLAIN_WRITE : 0) + (neighbours ? PLAIN_NEIGHBOURS : 0);
}

/** Word index of the segment in which all data lies; 0 if the request is not so plain. */
function plainSegment(u32: Uint32Array, record: number, out: boolean): number {
  if ((u32[record + TYPE]! & TYPE_MASK) !== (out ? OUT : 0)) return 0;
  const readable = u32[record + OUT_COUNT]!;
  if (readable >= PLACES) return 0;
  const first = (u32[record + SEGMENTS]! >>> 2) + FIRST;
  if (!out) return first + readable * 2;
  // A write's header is the whole of the first segment, or data would begin there.
  return u32[first + 1] === HEADER ? first + 2 : 0;
}

/**
 * Whole logical blocks inside the disk, not none and not too many (BL-4). The low word alone tells
 * the alignment of a sector, whose block is a power of two of sectors.
 */
function inRange(
  u32: Uint32Array,
  record: number,
  bytes: number,
  capacity: number,
  block: number,
): boolean {
  const lo = u32[record + SECTOR_LO]!;
  const sector = u32[record + SECTOR_HI]! * TWO_32 + lo;
  if (((bytes | (lo << SECTOR_SHIFT)) & (block - 1)) !== 0) return false;
  if (bytes === 0 || bytes > BYTES_MAX) return false;
  return sector <= capacity - bytes * PER_SECTOR;
}

/** The number of a sector's bit, by its low word: the upper bits of a product. */
function bitOf(sector: number): number {
  return Math.imul(sector, 0x9e37_79b1) >>> (32 - BITS_LOG2);
}

/** Does a row begin where another ends? Bits say for nearly all that they do not. */
function hasNeighbours(v: Views, table: number, rows: number, bits: number): boolean {
  const { u32, f64 } = v;
  for (let i = 0; i < rows; i++) {
    const end = f64[table + OFFSETS + i]! + f64[table + LENGTHS + i]!;
    const bit = bitOf(end * PER_SECTOR);
    if (((u32[bits + (bit >>> 5)]! >>> (bit & 31)) & 1) === 0) continue;
    for (let n = 0; n < rows; n++) if (f64[table + OFFSETS + n] === end) return true;
  }
  return false;
}

export function blkFinish(
  v: Views,
  queue: number,
  from: number,
  count: number,
  lane: number,
  done: number,
): number {
  const { u32, f64 } = v;
  const heads = (u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2) + from;
  const list = (u32[(queue + QUEUE_DONE) >>> 2]! >>> 2) + done;
  const records = u32[(queue + QUEUE_RECORDS) >>> 2]! >>> 2;
  const table = u32[(queue + QUEUE_PLAIN) >>> 2]! >>> 3;
  let ended = 0;
  let bytes = 0;
  let out = false;
  for (let i = 0; i < count; i++) {
    const length = f64[table + LENGTHS + i]!;
    if (f64[table + RESULTS + i] !== length) continue;
    const head = u32[heads + i]!;
    const record = records + head * RECORD;
    const inBytes = u32[record + IN_BYTES]!;
    out = (u32[record + TYPE]! & OUT) !== 0;
    u32[record + STATUS] = VIRTIO_BLK_S_OK;
    // Of a write only the status byte was written, which counts if nothing is before it (VQ-6).
    u32[record + WRITTEN] = out && inBytes > 1 ? 0 : inBytes;
    u32[list + ended++] = head;
    bytes += length;
  }
  countRows(u32, lane, out, ended, bytes);
  return ended;
}

/** Counts rows that have succeeded in the lane's figures. */
export function countRows(
  u32: Uint32Array,
  lane: number,
  out: boolean,
  ended: number,
  bytes: number,
): void {
  const ops = (lane + (out ? LANE_WRITE_OPS : LANE_READ_OPS)) >>> 2;
  const sum = (lane + (out ? LANE_WRITE_BYTES : LANE_READ_BYTES)) >>> 2;
  countUp(u32, ops, ops + 1, ended);
  countUp(u32, sum, sum + 1, bytes % TWO_32);
  if (bytes >= TWO_32) u32[sum + 1]! += Math.floor(bytes / TWO_32);
}
