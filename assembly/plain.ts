// Plain reads and writes of virtio-blk, a batch at a time: requests that break no rule and whose
// data lies in one segment. Each is a row of the queue's plain table, through which a driver goes
// in a loop that does little else.

import {
  BACKEND_CAPACITY_LO, BACKEND_FLAGS, BACKEND_F_READ_ONLY, BLOCK_FIRST, BLOCK_SEGMENTS,
  LANE_READ_BYTES, LANE_READ_OPS, LANE_WRITE_BYTES, LANE_WRITE_OPS, PLAIN_BITS, PLAIN_BITS_LOG2,
  PLAIN_LENGTHS, PLAIN_OFFSETS, PLAIN_RESULTS, PLAIN_ROWS, PLAIN_STARTS, QUEUE_BATCH, QUEUE_DONE,
  QUEUE_PLAIN, RECORD_IN_BYTES, RECORD_OUT_BYTES, RECORD_OUT_COUNT, RECORD_SECTOR_LO,
  RECORD_SEGMENTS, RECORD_STATUS, RECORD_TYPE, RECORD_WRITTEN, SEGMENT_ADDRESS, SEGMENT_LENGTH,
  SEGMENT_SIZE,
} from "../src/layout";
import {
  SECTOR_SHIFT, VIRTIO_BLK_OUTHDR_SIZE, VIRTIO_BLK_S_OK, VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_OUT,
} from "../src/spec";
import { recordOf } from "./split";

const PLAIN_WRITE: u32 = 0x10000;
const PLAIN_NEIGHBOURS: u32 = 0x20000;
/** The longest request: INT_MAX bytes, in whole sectors (BL-4). */
const REQUEST_SECTORS_MAX: u32 = i32.MAX_VALUE >> SECTOR_SHIFT;
export const REQUEST_BYTES_MAX: u32 = REQUEST_SECTORS_MAX << SECTOR_SHIFT;
/** Fibonacci hashing: the upper bits of a product. */
const HASH: u32 = 0x9e3779b1;

/** See the contract. `block`: logical block in bytes, a power of two of sectors. */
export function blkCollect(queue: u32, from: u32, count: u32, backend: u32, block: u32): u32 {
  const table = load<u32>(queue, QUEUE_PLAIN);
  const heads = load<u32>(queue, QUEUE_BATCH) + (from << 2);
  const most = min(count, <u32>PLAIN_ROWS);
  if (most == 0) return 0;
  const out = load<u32>(recordOf(queue, load<u32>(heads)), RECORD_TYPE) & VIRTIO_BLK_T_OUT;
  if (out && load<u32>(backend, BACKEND_FLAGS) & BACKEND_F_READ_ONLY) return 0;
  clearBits(table);
  let rows: u32 = 0;
  for (; rows < most; ++rows) {
    const record = recordOf(queue, load<u32>(heads + (rows << 2)));
    const segment = plainSegment(record, out);
    if (segment == 0) break;
    if (!fillRow(record, segment, table, rows, backend, block, out)) break;
  }
  return collected(table, rows, out);
}

// @ts-ignore: decorator
@inline
export function clearBits(table: u32): void {
  memory.fill(table + PLAIN_BITS, 0, 1 << (PLAIN_BITS_LOG2 - 3));
}

/** What a collecting function answers of so many rows. */
// @ts-ignore: decorator
@inline
export function collected(table: u32, rows: u32, out: u32): u32 {
  let result = rows;
  if (out) result |= PLAIN_WRITE;
  if (hasNeighbours(table, rows)) result |= PLAIN_NEIGHBOURS;
  return result;
}

/** Address of the segment in which all data lies; 0 if the request is not so plain. */
// @ts-ignore: decorator
@inline
function plainSegment(record: u32, out: u32): u32 {
  const type = load<u32>(record, RECORD_TYPE) & ~(<u32>VIRTIO_BLK_T_BARRIER);
  const readable = load<u32>(record, RECORD_OUT_COUNT);
  if (type != out) return 0;
  if (readable >= <u32>BLOCK_SEGMENTS) return 0;
  const first = load<u32>(record, RECORD_SEGMENTS) + BLOCK_FIRST;
  if (!out) return first + readable * SEGMENT_SIZE;
  // A write's header is the whole of the first segment, or data would begin there.
  return load<u32>(first, SEGMENT_LENGTH) == VIRTIO_BLK_OUTHDR_SIZE ? first + SEGMENT_SIZE : 0;
}

/** Whole logical blocks inside the disk, not none and not too many, all in the segment (BL-4). */
// @ts-ignore: decorator
@inline
function fillRow(
  record: u32, segment: u32, table: u32, index: u32, backend: u32, block: u32, out: u32,
): bool {
  const bytes = out
    ? load<u32>(record, RECORD_OUT_BYTES) - VIRTIO_BLK_OUTHDR_SIZE
    : load<u32>(record, RECORD_IN_BYTES) - 1;
  const sector = load<u64>(record, RECORD_SECTOR_LO);
  const sectors = <u64>(bytes >> SECTOR_SHIFT);
  const capacity = load<u64>(backend, BACKEND_CAPACITY_LO);
  if ((bytes | <u32>sector << SECTOR_SHIFT) & (block - 1)) return false;
  if (sectors - 1 >= <u64>REQUEST_SECTORS_MAX) return false;
  if (sectors > capacity) return false;
  if (sector > capacity - sectors) return false;
  if (load<u32>(segment, SEGMENT_LENGTH) < bytes) return false;
  putRow(table, index, sector, load<u32>(segment, SEGMENT_ADDRESS), bytes);
  return true;
}

/** Fills row `index` of a plain table, and the bit of its first sector. */
// @ts-ignore: decorator
@inline
export function putRow(table: u32, index: u32, sector: u64, start: u32, bytes: u32): void {
  const row = table + (index << 3);
  store<f64>(row, <f64>(sector << SECTOR_SHIFT), PLAIN_OFFSETS);
  store<f64>(row, <f64>start, PLAIN_STARTS);
  store<f64>(row, <f64>bytes, PLAIN_LENGTHS);
  const bit = bitOf(<u32>sector);
  const word = table + (bit >> 5 << 2);
  store<u32>(word, load<u32>(word, PLAIN_BITS) | 1 << (bit & 31), PLAIN_BITS);
}

/** The number of a sector's bit in PLAIN_BITS, by its low word. */
// @ts-ignore: decorator
@inline
function bitOf(sector: u32): u32 {
  return sector * HASH >> (32 - PLAIN_BITS_LOG2);
}

/** Does a row begin where another ends? Bits say for nearly all that they do not. */
function hasNeighbours(table: u32, rows: u32): bool {
  for (let n: u32 = 0; n < rows; ++n) {
    const row = table + (n << 3);
    const end = load<f64>(row, PLAIN_OFFSETS) + load<f64>(row, PLAIN_LENGTHS);
    const bit = bitOf(<u32>(<u64>end >> SECTOR_SHIFT));
    const bits = load<u32>(table + (bit >> 5 << 2), PLAIN_BITS);
    if (bits >> (bit & 31) & 1 && beginsAt(table, rows, end)) return true;
  }
  return false;
}

function beginsAt(table: u32, rows: u32, offset: f64): bool {
  for (let n: u32 = 0; n < rows; ++n) {
    if (load<f64>(table + (n << 3), PLAIN_OFFSETS) == offset) return true;
  }
  return false;
}

/** See the contract. */
export function blkFinish(queue: u32, from: u32, count: u32, lane: u32, done: u32): u32 {
  const table = load<u32>(queue, QUEUE_PLAIN);
  const heads = load<u32>(queue, QUEUE_BATCH) + (from << 2);
  const list = load<u32>(queue, QUEUE_DONE) + (done << 2);
  let ended: u32 = 0;
  let bytes: u64 = 0;
  let out: u32 = 0;
  for (let n: u32 = 0; n < count; ++n) {
    const row = table + (n << 3);
    const length = load<f64>(row, PLAIN_LENGTHS);
    if (load<f64>(row, PLAIN_RESULTS) != length) continue;
    const head = load<u32>(heads + (n << 2));
    const record = recordOf(queue, head);
    const inBytes = load<u32>(record, RECORD_IN_BYTES);
    out = load<u32>(record, RECORD_TYPE) & VIRTIO_BLK_T_OUT;
    store<u32>(record, VIRTIO_BLK_S_OK, RECORD_STATUS);
    // Of a write only the status byte was written, which counts if nothing is before it (VQ-6).
    store<u32>(record, out ? u32(inBytes == 1) : inBytes, RECORD_WRITTEN);
    store<u32>(list + (ended++ << 2), head);
    bytes += <u64>length;
  }
  countRows(lane, out, ended, bytes);
  return ended;
}

/** Counts rows that have succeeded in the lane's figures. */
// @ts-ignore: decorator
@inline
export function countRows(lane: u32, out: u32, ended: u32, bytes: u64): void {
  const ops = lane + (out ? LANE_WRITE_OPS : LANE_READ_OPS);
  const sum = lane + (out ? LANE_WRITE_BYTES : LANE_READ_BYTES);
  store<u64>(ops, load<u64>(ops) + ended);
  store<u64>(sum, load<u64>(sum) + bytes);
}
