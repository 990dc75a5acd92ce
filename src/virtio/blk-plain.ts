/**
 * The usual requests of a batch, in two loops that do little else: reads or writes of one
 * direction that break no rule and whose data lies in one segment. Whatever is not obviously so is
 * left to `BlkHandler.handle`, which decides. What one request costs here is what a disk that
 * answers at once is slower than its host.
 */

import type { DirectBatch } from '../block/direct-batch.ts';
import {
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BLOCK_FIRST,
  BLOCK_SEGMENTS,
  RECORD_IN_BYTES,
  RECORD_IN_COUNT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SECTOR_HI,
  RECORD_SECTOR_LO,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  RECORD_STATUS,
  RECORD_TYPE,
  RECORD_WRITTEN,
  SEGMENT_LENGTH,
  SEGMENT_SIZE,
} from '../layout.ts';
import {
  SECTOR_SHIFT,
  SECTOR_SIZE,
  VIRTIO_BLK_OUTHDR_SIZE,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
} from '../spec.ts';
import { MERGE_REQUESTS_MAX, type MergeBatch } from './blk-merge.ts';
import type { BlkRecords } from './blk-records.ts';
import { type QueueConfig, REQUEST_SECTORS_MAX } from './queue-config.ts';

const WORD = 0x1_0000_0000;
const PER_SECTOR = 1 / SECTOR_SIZE;
const REQUEST_BYTES_MAX = REQUEST_SECTORS_MAX * SECTOR_SIZE;

// All in words: fields of a record, of a segment block and of a segment.
const RECORD = RECORD_SIZE >>> 2;
const TYPE = RECORD_TYPE >>> 2;
const SECTOR_LO = RECORD_SECTOR_LO >>> 2;
const SECTOR_HI = RECORD_SECTOR_HI >>> 2;
const OUT_COUNT = RECORD_OUT_COUNT >>> 2;
const IN_COUNT = RECORD_IN_COUNT >>> 2;
const OUT_BYTES = RECORD_OUT_BYTES >>> 2;
const IN_BYTES = RECORD_IN_BYTES >>> 2;
const SEGMENTS = RECORD_SEGMENTS >>> 2;
const STATUS = RECORD_STATUS >>> 2;
const WRITTEN = RECORD_WRITTEN >>> 2;
const FIRST = BLOCK_FIRST >>> 2;
const SEGMENT = SEGMENT_SIZE >>> 2;
const LENGTH = SEGMENT_LENGTH >>> 2;

/**
 * Collects the popped requests whose heads stand in `u32[from .. to)`, up to the first that is not
 * plain, not of the batch's direction, or has no room. Returns its index.
 */
export function collectPlain(
  records: BlkRecords,
  config: QueueConfig,
  merge: MergeBatch,
  from: number,
  to: number,
): number {
  const { u32, first } = records;
  const { tags, offsets, starts, lengths, segments } = merge;
  const { backend, logicalBlockSize } = config;
  const capacity =
    u32[(backend + BACKEND_CAPACITY_HI) >>> 2]! * WORD +
    u32[(backend + BACKEND_CAPACITY_LO) >>> 2]!;
  const blockMask = logicalBlockSize - 1;
  const sectorMask = (logicalBlockSize >>> SECTOR_SHIFT) - 1;
  const last = Math.min(to, from + MERGE_REQUESTS_MAX - merge.count);
  if (from === last) return from;
  const opening = u32[first + u32[from]! * RECORD + TYPE]!;
  const write = merge.count > 0 ? merge.write : (opening & VIRTIO_BLK_T_OUT) !== 0;
  const type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
  if (write && u32[(backend + BACKEND_FLAGS) >>> 2]! & BACKEND_F_READ_ONLY) return from;

  let row = merge.count;
  let end = merge.end;
  let at = from;
  for (; at < last; at++) {
    const head = u32[at]!;
    const record = first + head * RECORD;
    const sectorLo = u32[record + SECTOR_LO]!;
    const sector = u32[record + SECTOR_HI]! * WORD + sectorLo;
    const outCount = u32[record + OUT_COUNT]!;
    const bytes = write
      ? u32[record + OUT_BYTES]! - VIRTIO_BLK_OUTHDR_SIZE
      : u32[record + IN_BYTES]! - 1;
    if ((u32[record + TYPE]! & ~VIRTIO_BLK_T_BARRIER) !== type) break;
    if (bytes & blockMask || sectorLo & sectorMask || bytes > REQUEST_BYTES_MAX) break;
    if (bytes === 0 || sector > capacity - bytes * PER_SECTOR) break;
    // A write's header is the whole of the first segment, or data would begin there.
    const block = (u32[record + SEGMENTS]! >>> 2) + FIRST;
    const data = block + (write ? 1 : outCount) * SEGMENT;
    if (write && u32[block + LENGTH] !== VIRTIO_BLK_OUTHDR_SIZE) break;
    if (outCount >= BLOCK_SEGMENTS || u32[data + LENGTH]! < bytes) break;
    tags[row] = head;
    offsets[row] = sector * SECTOR_SIZE;
    starts[row] = u32[data]!;
    lengths[row] = bytes;
    segments[row] = write ? outCount : u32[record + IN_COUNT]!;
    end = Math.max(end, sector * SECTOR_SIZE + bytes);
    row += 1;
  }
  if (row > merge.count) merge.write = write;
  merge.count = row;
  merge.end = end;
  return at;
}

/**
 * Writes into the records of a batch, tagged by head, how those have ended whose result is 0: as
 * `BlkRecords.finish` does with all of the data. Lists them at `u32[done ..]`, and says how many.
 */
export function finishPlain(
  records: BlkRecords,
  batch: DirectBatch,
  write: boolean,
  done: number,
): number {
  const { u32, first } = records;
  const { count, tags, results } = batch;
  let at = done;
  for (let i = 0; i < count; i++) {
    if (results[i] !== 0) continue;
    const head = tags[i]!;
    const record = first + head * RECORD;
    const inBytes = u32[record + IN_BYTES]!;
    u32[record + STATUS] = VIRTIO_BLK_S_OK;
    // Of a write only the status byte was written, which counts if nothing is before it.
    u32[record + WRITTEN] = write && inBytes > 1 ? 0 : inBytes;
    u32[at++] = head;
  }
  return at - done;
}
