// Plain SCSI reads and writes, a batch at a time, through the plain table as those of virtio-blk:
// commands for one logical unit that ask for nothing but to move blocks, and whose data lie in one
// segment apart from header and response.

import {
  BACKEND_CAPACITY_LO, BACKEND_FLAGS, BACKEND_F_NO_MEDIUM, BACKEND_F_READ_ONLY, BLOCK_FIRST,
  BLOCK_SEGMENTS, PLAIN_LENGTHS, PLAIN_RESULTS, PLAIN_ROWS, QUEUE_BATCH, QUEUE_DONE, QUEUE_PLAIN,
  RECORD_IN_BYTES, RECORD_OUT_BYTES, RECORD_OUT_COUNT, RECORD_SEGMENTS, RECORD_WRITTEN,
  SCSI_REQUEST_CDB, SCSI_REQUEST_IN_BYTES, SCSI_REQUEST_OUT_BYTES, SCSI_RESPONSE_QUALIFIER,
  SEGMENT_ADDRESS, SEGMENT_LENGTH, SEGMENT_SIZE,
} from "../src/layout";
import {
  SCSI_DPO, SCSI_READ_10, SCSI_READ_12, SCSI_READ_16, SCSI_READ_6, SCSI_WRITE_BIT, SECTOR_SHIFT,
} from "../src/spec";
import { clearBits, collected, countRows, putRow, REQUEST_BYTES_MAX } from "./plain";
import { requestOf, responseOf } from "./scsi";
import { recordOf } from "./split";

/** See the contract. `block`: logical block in bytes, a power of two of sectors. */
export function scsiCollect(
  queue: u32, from: u32, count: u32, backend: u32, block: u32, lun: u32,
): u32 {
  const table = load<u32>(queue, QUEUE_PLAIN);
  const heads = load<u32>(queue, QUEUE_BATCH) + (from << 2);
  const most = min(count, <u32>PLAIN_ROWS);
  if (most == 0) return 0;
  const out = load<u8>(requestOf(queue, load<u32>(heads)), SCSI_REQUEST_CDB) & SCSI_WRITE_BIT;
  const refused = out ? BACKEND_F_NO_MEDIUM | BACKEND_F_READ_ONLY : BACKEND_F_NO_MEDIUM;
  if (load<u32>(backend, BACKEND_FLAGS) & refused) return 0;
  const shift = ctz(block);
  clearBits(table);
  let rows: u32 = 0;
  for (; rows < most; ++rows) {
    const head = load<u32>(heads + (rows << 2));
    if (!fillRow(queue, head, table, rows, backend, shift, out, lun)) break;
  }
  return collected(table, rows, out);
}

/** Blocks inside the disk, not none and not too many; as many bytes of data, in one segment. */
// @ts-ignore: decorator
@inline
function fillRow(
  queue: u32, head: u32, table: u32, index: u32, backend: u32, shift: u32, out: u32, lun: u32,
): bool {
  const request = requestOf(queue, head);
  if (load<u32>(request) != lun) return false;
  const cdb = request + SCSI_REQUEST_CDB;
  const code = <u32>load<u8>(cdb) ^ out;
  let lba: u64;
  let blocks: u64;
  // All that may not be set: protection, FUA, group and control; a cache hint is none of these.
  let odd = <u32>load<u8>(cdb, 1) & ~SCSI_DPO;
  if (code == SCSI_READ_10) {
    lba = bswap(load<u32>(cdb, 2));
    blocks = bswap(load<u16>(cdb, 7));
    odd |= load<u8>(cdb, 6) | load<u8>(cdb, 9);
  } else if (code == SCSI_READ_16) {
    lba = bswap(load<u64>(cdb, 2));
    blocks = bswap(load<u32>(cdb, 10));
    odd |= load<u16>(cdb, 14);
  } else if (code == SCSI_READ_6) {
    lba = bswap(load<u32>(cdb)) & 0x1fffff;
    const length = <u32>load<u8>(cdb, 4);
    blocks = length ? length : 256;
    odd = odd & 0xe0 | load<u8>(cdb, 5);
  } else if (code == SCSI_READ_12) {
    lba = bswap(load<u32>(cdb, 2));
    blocks = bswap(load<u32>(cdb, 6));
    odd |= load<u16>(cdb, 10);
  } else return false;
  const outBytes = load<u32>(request, SCSI_REQUEST_OUT_BYTES);
  const inBytes = load<u32>(request, SCSI_REQUEST_IN_BYTES);
  const bytes = out ? outBytes : inBytes;
  if (odd | (out ? inBytes : outBytes)) return false;
  if (blocks << shift != bytes) return false;
  if (bytes - 1 >= REQUEST_BYTES_MAX) return false;
  const capacity = load<u64>(backend, BACKEND_CAPACITY_LO) >> (shift - SECTOR_SHIFT);
  if (blocks > capacity) return false;
  if (lba > capacity - blocks) return false;
  const segment = dataSegment(recordOf(queue, head), bytes, out);
  if (segment == 0) return false;
  putRow(table, index, lba << (shift - SECTOR_SHIFT), load<u32>(segment, SEGMENT_ADDRESS), bytes);
  return true;
}

/** Address of the segment that is all of the data and nothing else; 0 if there is none. */
// @ts-ignore: decorator
@inline
function dataSegment(record: u32, bytes: u32, out: u32): u32 {
  const index: u32 = out ? 0 : load<u32>(record, RECORD_OUT_COUNT);
  if (index >= <u32>BLOCK_SEGMENTS - 1) return 0;
  const all = out ? load<u32>(record, RECORD_OUT_BYTES) : load<u32>(record, RECORD_IN_BYTES);
  const segment = load<u32>(record, RECORD_SEGMENTS) + BLOCK_FIRST + index * SEGMENT_SIZE;
  if (load<u32>(segment, SEGMENT_LENGTH) != all - bytes) return 0;
  return load<u32>(segment, SEGMENT_SIZE + SEGMENT_LENGTH) == bytes ? segment + SEGMENT_SIZE : 0;
}

/** See the contract. */
export function scsiFinish(queue: u32, from: u32, count: u32, lane: u32, done: u32): u32 {
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
    const request = requestOf(queue, head);
    const response = responseOf(queue, head);
    out = load<u32>(request, SCSI_REQUEST_OUT_BYTES);
    store<u64>(response, 0);
    store<u32>(response, 0, SCSI_RESPONSE_QUALIFIER); // OK and GOOD
    store<u32>(recordOf(queue, head), load<u32>(request, SCSI_REQUEST_IN_BYTES), RECORD_WRITTEN);
    store<u32>(list + (ended++ << 2), head);
    bytes += <u64>length;
  }
  countRows(lane, out, ended, bytes);
  return ended;
}
