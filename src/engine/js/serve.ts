/**
 * Serves reads and writes of a batch from a cluster disk, inside the engine: the checks and figures
 * of any disk (BL-4, BL-5, BB-27), without a call per request.
 */

import {
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_DISK,
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SEGMENTS,
  LANE_INVALID,
  LANE_READ_BYTES,
  LANE_READ_OPS,
  LANE_WRITE_BYTES,
  LANE_WRITE_OPS,
  QUEUE_BATCH,
  QUEUE_BATCH_COUNT,
  QUEUE_DONE,
  QUEUE_RECORDS,
  RECORD_IN_BYTES,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SECTOR_HI,
  RECORD_SECTOR_LO,
  RECORD_SIZE,
  RECORD_STATUS,
  RECORD_TYPE,
  RECORD_WRITTEN,
} from '../../layout.ts';
import {
  SECTOR_SHIFT,
  SECTOR_SIZE,
  VIRTIO_BLK_OUTHDR_SIZE,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
} from '../../spec.ts';
import { load } from '../atomics.ts';
import { SERVE_INTERRUPT, SERVE_WAKE } from '../engine.ts';
import { blockOf } from './blocks.ts';
import { clusterRead, clusterWrite } from './cluster.ts';
import { count } from './count.ts';
import { gateEnter, gateLeave } from './gate.ts';
import { TWO_32 } from './regions.ts';
import { push } from './split.ts';
import type { Views } from './views.ts';

const TYPE_MASK = ~VIRTIO_BLK_T_BARRIER;
/** Longest request: INT_MAX bytes in whole sectors, as in QEMU. */
const SECTORS_MAX = 0x7fffffff >>> SECTOR_SHIFT;
const STATUS_BYTES = 1;

export function clusterServe(
  v: Views,
  queue: number,
  length: number,
  backend: number,
  lane: number,
): number {
  const u32 = v.u32;
  if (length === 0 || !hasDisk(v, backend)) return length;
  if (gateEnter(v.i32, lane, backend, length) === 0) return length + SERVE_WAKE;
  // Inside the gate: main changes flags and capacity only while nobody is.
  const readOnly = (load(v.i32, backend + BACKEND_FLAGS) & BACKEND_F_READ_ONLY) !== 0;
  const batch = u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2;
  const done = u32[(queue + QUEUE_DONE) >>> 2]! >>> 2;
  const records = u32[(queue + QUEUE_RECORDS) >>> 2]!;
  let served = 0;
  let left = 0;
  for (let i = 0; i < length; i++) {
    const head = u32[batch + i]!;
    const record = (records + head * RECORD_SIZE) >>> 2;
    if (serve(v, record, backend, lane, readOnly)) u32[done + served++] = head;
    else u32[batch + left++] = head;
  }
  u32[(queue + QUEUE_BATCH_COUNT) >>> 2] = left;
  let result = left;
  if (push(v, queue, served, true) === 1) result += SERVE_INTERRUPT;
  if (gateLeave(v.i32, lane, backend, length) === 1) result += SERVE_WAKE;
  return result;
}

function hasDisk(v: Views, backend: number): boolean {
  const flags = load(v.i32, backend + BACKEND_FLAGS);
  return v.u32[(backend + BACKEND_DISK) >>> 2] !== 0 && (flags & BACKEND_F_NO_MEDIUM) === 0;
}

/** Answers one request if that can be done here and now. */
function serve(
  v: Views,
  record: number,
  backend: number,
  lane: number,
  readOnly: boolean,
): boolean {
  const u32 = v.u32;
  const type = u32[record + (RECORD_TYPE >>> 2)]! & TYPE_MASK;
  if (type !== VIRTIO_BLK_T_IN && type !== VIRTIO_BLK_T_OUT) return false;

  const out = type === VIRTIO_BLK_T_OUT;
  const writable = u32[record + (RECORD_IN_BYTES >>> 2)]!;
  const bytes = out
    ? u32[record + (RECORD_OUT_BYTES >>> 2)]! - VIRTIO_BLK_OUTHDR_SIZE
    : writable - STATUS_BYTES;
  let status = VIRTIO_BLK_S_OK;
  if ((out && readOnly) || !inRange(u32, record, backend, bytes)) {
    status = VIRTIO_BLK_S_IOERR;
    countWords(u32, lane + LANE_INVALID, 1);
  } else {
    const disk = u32[(backend + BACKEND_DISK) >>> 2]!;
    if (!transferDisk(v, record, disk, bytes, out)) return false;
    countWords(u32, lane + (out ? LANE_WRITE_OPS : LANE_READ_OPS), 1);
    countWords(u32, lane + (out ? LANE_WRITE_BYTES : LANE_READ_BYTES), bytes);
  }
  u32[record + (RECORD_STATUS >>> 2)] = status;
  // Bytes written from the front of the buffer on: a status behind a gap does not count (VQ-6).
  const filled = !out && status === VIRTIO_BLK_S_OK;
  const written = filled ? writable : writable === STATUS_BYTES ? STATUS_BYTES : 0;
  u32[record + (RECORD_WRITTEN >>> 2)] = written;
  return true;
}

/** Counts a pair of words at `address` up. One writer: this thread. */
function countWords(u32: Uint32Array, address: number, by: number): void {
  count(u32, address >>> 2, (address >>> 2) + 1, by);
}

/** The range check of BL-4, exact: a sector that a double rounds is beyond any capacity. */
function inRange(u32: Uint32Array, record: number, backend: number, bytes: number): boolean {
  const block = u32[(backend + BACKEND_BLOCK_SECTORS) >>> 2]!;
  const sectorLo = u32[record + (RECORD_SECTOR_LO >>> 2)]!;
  const sector = u32[record + (RECORD_SECTOR_HI >>> 2)]! * TWO_32 + sectorLo;
  const capacity =
    u32[(backend + BACKEND_CAPACITY_HI) >>> 2]! * TWO_32 +
    u32[(backend + BACKEND_CAPACITY_LO) >>> 2]!;
  if ((bytes & (SECTOR_SIZE - 1)) !== 0) return false;
  const sectors = bytes >>> SECTOR_SHIFT;
  // A logical block is a power of two of sectors, so that the low word tells the alignment.
  if (block > 1 && (sectors % block !== 0 || sectorLo % block !== 0)) return false;
  return sectors <= SECTORS_MAX && sector <= capacity - sectors;
}

/**
 * Moves the payload between the disk and the chain: after the header if `out`, from the first
 * writable byte otherwise. False if the arena was empty: then a part may be written.
 */
function transferDisk(
  v: Views,
  record: number,
  disk: number,
  bytes: number,
  out: boolean,
): boolean {
  const u32 = v.u32;
  const start =
    (u32[record + (RECORD_SECTOR_HI >>> 2)]! * TWO_32 + u32[record + (RECORD_SECTOR_LO >>> 2)]!) *
    SECTOR_SIZE;
  const first = out ? 0 : u32[record + (RECORD_OUT_COUNT >>> 2)]!;
  let skip = out ? VIRTIO_BLK_OUTHDR_SIZE : 0;
  let block = blockOf(u32, record, first);
  let slot = first % BLOCK_SEGMENTS;
  for (let moved = 0; moved < bytes; ) {
    const segment = block + (BLOCK_FIRST >>> 2) + slot * 2;
    const length = u32[segment + 1]!;
    if (skip < length) {
      const piece = Math.min(length - skip, bytes - moved);
      const address = u32[segment]! + skip;
      const copied = out
        ? clusterWrite(v, disk, start + moved, address, piece, 1)
        : clusterRead(v, disk, start + moved, address, piece, 1);
      if (copied < piece) return false;
      moved += piece;
      skip = 0;
    } else {
      skip -= length;
    }
    if (++slot === BLOCK_SEGMENTS) {
      block = u32[block + (BLOCK_NEXT >>> 2)]! >>> 2;
      slot = 0;
    }
  }
  return true;
}
