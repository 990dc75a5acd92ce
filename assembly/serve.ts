// Reads and writes of virtio-blk served in place from a cluster disk, a batch at a time, with the
// checks and figures that every disk has (backend lanes do the same in TypeScript).

import {
  BACKEND_BLOCK_SECTORS, BACKEND_CAPACITY_LO, BACKEND_DISK, BACKEND_FLAGS, BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY, BLOCK_NEXT, BLOCK_SEGMENTS, LANE_INVALID, LANE_READ_BYTES, LANE_READ_OPS,
  LANE_WRITE_BYTES, LANE_WRITE_OPS, QUEUE_BATCH, QUEUE_BATCH_COUNT, QUEUE_DONE, RECORD_IN_BYTES,
  RECORD_OUT_BYTES, RECORD_OUT_COUNT, RECORD_SECTOR_LO, RECORD_STATUS, RECORD_TYPE, RECORD_WRITTEN,
  SEGMENT_ADDRESS, SEGMENT_LENGTH,
} from "../src/layout";
import {
  SECTOR_SHIFT, SECTOR_SIZE, VIRTIO_BLK_OUTHDR_SIZE, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_BARRIER, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
} from "../src/spec";
import { blockOf, segmentIn } from "./blocks";
import { read, write } from "./cluster";
import { gateEnter, gateLeave } from "./gate";
import { push, recordOf } from "./split";

const SERVE_INTERRUPT: u32 = 0x10000;
const SERVE_WAKE: u32 = 0x20000;
/** Sectors of the longest request: INT_MAX bytes (BL-4). */
const REQUEST_SECTORS_MAX: u64 = i32.MAX_VALUE >> SECTOR_SHIFT;

/** See the contract. What is left stays popped and stands first in the batch. */
export function serve(queue: u32, count: u32, backend: u32, lane: u32): u32 {
  const disk = load<u32>(backend, BACKEND_DISK);
  const empty = load<u32>(backend, BACKEND_FLAGS) & BACKEND_F_NO_MEDIUM;
  if (count == 0 || disk == 0 || empty) return count;
  if (!gateEnter(lane, backend, count)) return count | SERVE_WAKE;
  const batch = load<u32>(queue, QUEUE_BATCH);
  const done = load<u32>(queue, QUEUE_DONE);
  let left: u32 = 0;
  let served: u32 = 0;
  for (let n: u32 = 0; n < count; ++n) {
    const head = load<u32>(batch + (n << 2));
    const ended = serveOne(recordOf(queue, head), disk, backend, lane);
    if (ended) store<u32>(done + (served++ << 2), head);
    else store<u32>(batch + (left++ << 2), head);
  }
  store<u32>(queue, left, QUEUE_BATCH_COUNT);
  let result = left;
  if (served && push(queue, served, true) == 1) result |= SERVE_INTERRUPT;
  if (gateLeave(lane, backend, count)) result |= SERVE_WAKE;
  return result;
}

/** False if the request is not for here: another type, or the arena is empty. */
function serveOne(record: u32, disk: u32, backend: u32, lane: u32): bool {
  const type = load<u32>(record, RECORD_TYPE) & ~(<u32>VIRTIO_BLK_T_BARRIER);
  const inBytes = load<u32>(record, RECORD_IN_BYTES);
  if (type == VIRTIO_BLK_T_IN) {
    if (!inRange(record, inBytes - 1, backend)) return refuse(record, inBytes, lane);
    readAll(record, disk, inBytes - 1);
    count(lane, LANE_READ_OPS, LANE_READ_BYTES, inBytes - 1);
    store<u32>(record, inBytes, RECORD_WRITTEN);
  } else if (type == VIRTIO_BLK_T_OUT) {
    const bytes = load<u32>(record, RECORD_OUT_BYTES) - VIRTIO_BLK_OUTHDR_SIZE;
    const readOnly = load<u32>(backend, BACKEND_FLAGS) & BACKEND_F_READ_ONLY;
    if (readOnly || !inRange(record, bytes, backend)) return refuse(record, inBytes, lane);
    if (!writeAll(record, disk)) return false;
    count(lane, LANE_WRITE_OPS, LANE_WRITE_BYTES, bytes);
    store<u32>(record, u32(inBytes == 1), RECORD_WRITTEN);
  } else return false;
  store<u32>(record, VIRTIO_BLK_S_OK, RECORD_STATUS);
  return true;
}

/** Whole logical blocks inside the disk, not too many (BL-4). */
function inRange(record: u32, bytes: u32, backend: u32): bool {
  const sector = load<u64>(record, RECORD_SECTOR_LO);
  const block = load<u32>(backend, BACKEND_BLOCK_SECTORS);
  const sectors = <u64>(bytes >> SECTOR_SHIFT);
  const capacity = load<u64>(backend, BACKEND_CAPACITY_LO);
  if (bytes & (SECTOR_SIZE - 1) || sectors > REQUEST_SECTORS_MAX) return false;
  if (block > 1 && (<u32>sectors % block != 0 || sector % block != 0)) return false;
  return sector <= capacity && sectors <= capacity - sector;
}

/** The guest's mistake: IOERR and a figure, no error policy (BL-4, BL-5). Used length: VQ-6. */
function refuse(record: u32, inBytes: u32, lane: u32): bool {
  store<u32>(record, VIRTIO_BLK_S_IOERR, RECORD_STATUS);
  store<u32>(record, u32(inBytes == 1), RECORD_WRITTEN);
  store<u64>(lane, load<u64>(lane, LANE_INVALID) + 1, LANE_INVALID);
  return true;
}

// @ts-ignore: decorator
@inline
function count(lane: u32, ops: u32, bytes: u32, length: u32): void {
  store<u64>(lane + ops, load<u64>(lane + ops) + 1);
  store<u64>(lane + bytes, load<u64>(lane + bytes) + length);
}

// @ts-ignore: decorator
@inline
function diskOffset(record: u32): u64 {
  return load<u64>(record, RECORD_SECTOR_LO) << SECTOR_SHIFT;
}

/** Fills the first `left` writable bytes. */
function readAll(record: u32, disk: u32, left: u32): void {
  const first = load<u32>(record, RECORD_OUT_COUNT);
  let block = blockOf(record, first);
  let place = first % BLOCK_SEGMENTS;
  let offset = diskOffset(record);
  while (left != 0) {
    const segment = segmentIn(block, place);
    const piece = min(load<u32>(segment, SEGMENT_LENGTH), left);
    read(disk, offset, load<u32>(segment, SEGMENT_ADDRESS), piece);
    offset += piece;
    left -= piece;
    if (++place == BLOCK_SEGMENTS) {
      place = 0;
      block = load<u32>(block, BLOCK_NEXT);
    }
  }
}

/** Writes the readable bytes after the header. False if the arena is empty. */
function writeAll(record: u32, disk: u32): bool {
  let block = blockOf(record, 0);
  let place: u32 = 0;
  let skip: u32 = VIRTIO_BLK_OUTHDR_SIZE;
  let offset = diskOffset(record);
  for (let left = load<u32>(record, RECORD_OUT_COUNT); left != 0; --left) {
    const segment = segmentIn(block, place);
    const length = load<u32>(segment, SEGMENT_LENGTH);
    const passed = min(skip, length);
    skip -= passed;
    const piece = length - passed;
    const from = load<u32>(segment, SEGMENT_ADDRESS) + passed;
    if (write(disk, offset, from, piece) != piece) return false;
    offset += piece;
    if (++place == BLOCK_SEGMENTS) {
      place = 0;
      block = load<u32>(block, BLOCK_NEXT);
    }
  }
  return true;
}
