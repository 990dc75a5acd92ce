/**
 * Plain SCSI reads and writes, a batch at a time, through the plain table: commands for one logical
 * unit that ask for nothing but to move blocks, and whose data are one segment.
 */

import {
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BLOCK_FIRST,
  BLOCK_SEGMENTS,
  PLAIN_LENGTHS,
  PLAIN_RESULTS,
  PLAIN_ROWS,
  QUEUE_BATCH,
  QUEUE_DONE,
  QUEUE_PLAIN,
  QUEUE_RECORDS,
  RECORD_IN_BYTES,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  RECORD_WRITTEN,
  SCSI_REQUEST_CDB,
  SCSI_REQUEST_IN_BYTES,
  SCSI_REQUEST_OUT_BYTES,
  SCSI_RESPONSE_QUALIFIER,
} from '../../layout.ts';
import {
  SCSI_DPO,
  SCSI_READ_6,
  SCSI_READ_10,
  SCSI_READ_12,
  SCSI_READ_16,
  SCSI_WRITE_BIT,
  SECTOR_SIZE,
} from '../../spec.ts';
import { BYTES_MAX, clearBits, collected, countRows, putRow } from './plain.ts';
import { TWO_32 } from './regions.ts';
import { requestOf, responseOf } from './scsi.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const RECORD = RECORD_SIZE >>> 2;
const OUT_COUNT = RECORD_OUT_COUNT >>> 2;
const OUT_BYTES = RECORD_OUT_BYTES >>> 2;
const IN_BYTES = RECORD_IN_BYTES >>> 2;
const SEGMENTS = RECORD_SEGMENTS >>> 2;
const WRITTEN = RECORD_WRITTEN >>> 2;
const FIRST = BLOCK_FIRST >>> 2;
const CDB = SCSI_REQUEST_CDB;
const DATA_OUT = SCSI_REQUEST_OUT_BYTES >>> 2;
const DATA_IN = SCSI_REQUEST_IN_BYTES >>> 2;
const READ_6 = SCSI_READ_6;
const READ_10 = SCSI_READ_10;
const READ_12 = SCSI_READ_12;
const READ_16 = SCSI_READ_16;
const WRITES = SCSI_WRITE_BIT;
const CACHE_HINT = SCSI_DPO;
const LAST_PLACE = BLOCK_SEGMENTS - 1;
// In doubles, from the table's first.
const LENGTHS = PLAIN_LENGTHS >>> 3;
const RESULTS = PLAIN_RESULTS >>> 3;

export function scsiCollect(
  v: Views,
  queue: number,
  from: number,
  count: number,
  backend: number,
  block: number,
  lun: number,
): number {
  const { u8, u32 } = v;
  const most = Math.min(count, PLAIN_ROWS);
  if (most === 0) return 0;
  const heads = (u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2) + from;
  const records = u32[(queue + QUEUE_RECORDS) >>> 2]! >>> 2;
  const table = u32[(queue + QUEUE_PLAIN) >>> 2]!;
  const out = (u8[requestOf(u32, queue, u32[heads]!) + CDB]! & WRITES) !== 0;
  const refused = out ? BACKEND_F_NO_MEDIUM | BACKEND_F_READ_ONLY : BACKEND_F_NO_MEDIUM;
  if ((u32[(backend + BACKEND_FLAGS) >>> 2]! & refused) !== 0) return 0;
  const sectors =
    u32[(backend + BACKEND_CAPACITY_HI) >>> 2]! * TWO_32 +
    u32[(backend + BACKEND_CAPACITY_LO) >>> 2]!;
  const perBlock = block / SECTOR_SIZE;
  const capacity = Math.floor(sectors / perBlock);
  clearBits(v, table);
  let rows = 0;
  for (; rows < most; rows++) {
    const head = u32[heads + rows]!;
    const request = requestOf(u32, queue, head);
    if (u32[request >>> 2] !== lun >>> 0) break;
    const bytes = plainBytes(v, request, out);
    const blocks = plainBlocks(u8, request + CDB, out);
    if (blocks * block !== bytes || bytes === 0 || bytes > BYTES_MAX) break;
    const lba = blockAddress(u8, request + CDB);
    if (lba > capacity - blocks) break;
    const segment = dataSegment(u32, records + head * RECORD, bytes, out);
    if (segment === 0) break;
    putRow(v, table, rows, lba * perBlock, u32[segment]!, bytes);
  }
  return collected(v, table, rows, out);
}

/** Bytes of data; -1 if there are some for the other direction. */
function plainBytes({ u32 }: Views, request: number, out: boolean): number {
  const outBytes = u32[(request >>> 2) + DATA_OUT]!;
  const inBytes = u32[(request >>> 2) + DATA_IN]!;
  if (out) return inBytes === 0 ? outBytes : -1;
  return outBytes === 0 ? inBytes : -1;
}

/**
 * Blocks of a read or write, -1 for any other command, and for one with protection, FUA, group or
 * control; a cache hint is none of these.
 */
function plainBlocks(u8: Uint8Array, cdb: number, out: boolean): number {
  const code = u8[cdb]! ^ (out ? WRITES : 0);
  const flags = u8[cdb + 1]!;
  if (code === READ_6) return ((flags & 0xe0) | u8[cdb + 5]!) !== 0 ? -1 : u8[cdb + 4]! || 256;
  if ((flags & ~CACHE_HINT) !== 0) return -1;
  if (code === READ_10) {
    if ((u8[cdb + 6]! | u8[cdb + 9]!) !== 0) return -1;
    return (u8[cdb + 7]! << 8) | u8[cdb + 8]!;
  }
  if (code === READ_16) return (u8[cdb + 14]! | u8[cdb + 15]!) !== 0 ? -1 : wordAt(u8, cdb + 10);
  if (code === READ_12) return (u8[cdb + 10]! | u8[cdb + 11]!) !== 0 ? -1 : wordAt(u8, cdb + 6);
  return -1;
}

/** The logical block where a read or write begins. */
function blockAddress(u8: Uint8Array, cdb: number): number {
  const code = u8[cdb]! & ~WRITES;
  if (code === READ_6) return wordAt(u8, cdb) & 0x1f_ffff;
  if (code === READ_16) return wordAt(u8, cdb + 2) * TWO_32 + wordAt(u8, cdb + 6);
  return wordAt(u8, cdb + 2);
}

/** Four bytes, the highest first, as SCSI has them. */
function wordAt(u8: Uint8Array, at: number): number {
  return ((u8[at]! << 24) | (u8[at + 1]! << 16) | (u8[at + 2]! << 8) | u8[at + 3]!) >>> 0;
}

/** Word index of the segment that is all of the data and nothing else; 0 if there is none. */
function dataSegment(u32: Uint32Array, record: number, bytes: number, out: boolean): number {
  const index = out ? 0 : u32[record + OUT_COUNT]!;
  if (index >= LAST_PLACE) return 0;
  const all = out ? u32[record + OUT_BYTES]! : u32[record + IN_BYTES]!;
  const segment = (u32[record + SEGMENTS]! >>> 2) + FIRST + index * 2;
  if (u32[segment + 1] !== all - bytes) return 0;
  return u32[segment + 3] === bytes ? segment + 2 : 0;
}

export function scsiFinish(
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
    const request = requestOf(u32, queue, head) >>> 2;
    const response = responseOf(u32, queue, head) >>> 2;
    out = u32[request + DATA_OUT] !== 0;
    u32[response] = 0;
    u32[response + 1] = 0;
    u32[response + (SCSI_RESPONSE_QUALIFIER >>> 2)] = 0; // OK and GOOD
    u32[records + head * RECORD + WRITTEN] = u32[request + DATA_IN]!;
    u32[list + ended++] = head;
    bytes += length;
  }
  countRows(u32, lane, out, ended, bytes);
  return ended;
}
