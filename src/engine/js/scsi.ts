/**
 * virtio-scsi command requests in any framing (5.6.6.1): header with CDB in front, data-out behind
 * it; response in front, data-in behind it. Chains are popped raw, then their headers are read.
 */

import {
  BLOCK_FIRST,
  BLOCK_SEGMENTS,
  BROKEN_HEADERS,
  QUEUE_BATCH,
  QUEUE_CAPACITY,
  QUEUE_DONE,
  QUEUE_EPOCH,
  QUEUE_F_PADDED,
  QUEUE_FEATURES,
  QUEUE_RECORDS,
  QUEUE_SCSI,
  RECORD_EPOCH,
  RECORD_IN_BYTES,
  RECORD_IN_FLIGHT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  RECORD_STATE,
  RECORD_WRITTEN,
  SCSI_CDB_BYTES,
  SCSI_REQUEST_CDB,
  SCSI_REQUEST_IN_BYTES,
  SCSI_REQUEST_OUT_BYTES,
  SCSI_REQUEST_SENSE_SIZE,
  SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_QUALIFIER,
  SCSI_RESPONSE_RESIDUAL,
  SCSI_RESPONSE_SIZE,
  SCSI_SENSE_BYTES,
} from '../../layout.ts';
import {
  VIRTIO_SCSI_REQUEST_HEADER,
  VIRTIO_SCSI_RESPONSE_HEADER,
  VIRTIO_SCSI_S_FAILURE,
} from '../../spec.ts';
import { POP_BROKEN } from '../engine.ts';
import { blockOf } from './blocks.ts';
import { FROM_CHAIN, TO_CHAIN, transfer } from './copy.ts';
import { isUsable, queueBreak, queueDetach, queueUnpop } from './queue.ts';
import { restoreHead } from './restore.ts';
import { pop, push } from './split.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const STATE = RECORD_STATE >>> 2;
const SEGMENTS = RECORD_SEGMENTS >>> 2;
const OUT_COUNT = RECORD_OUT_COUNT >>> 2;
const OUT_BYTES = RECORD_OUT_BYTES >>> 2;
const IN_BYTES = RECORD_IN_BYTES >>> 2;
const WRITTEN = RECORD_WRITTEN >>> 2;
const OF_EPOCH = RECORD_EPOCH >>> 2;
const EPOCH = QUEUE_EPOCH >>> 2;
const FEATURES = QUEUE_FEATURES >>> 2;
const RECORD = RECORD_SIZE >>> 2;
const FIRST = BLOCK_FIRST >>> 2;
const DATA_OUT = SCSI_REQUEST_OUT_BYTES >>> 2;
const DATA_IN = SCSI_REQUEST_IN_BYTES >>> 2;
const SENSE_SIZE = SCSI_REQUEST_SENSE_SIZE >>> 2;
const RESIDUAL = SCSI_RESPONSE_RESIDUAL >>> 2;
const QUALIFIER = SCSI_RESPONSE_QUALIFIER >>> 2;
const IN_FLIGHT = RECORD_IN_FLIGHT;
const PADDED = QUEUE_F_PADDED;
const CDB_BYTES = SCSI_CDB_BYTES;
const REQUEST_HEADER = VIRTIO_SCSI_REQUEST_HEADER;
const RESPONSE_HEADER = VIRTIO_SCSI_RESPONSE_HEADER;
/** Bytes of a header that are kept. */
const KEPT = SCSI_REQUEST_CDB + SCSI_CDB_BYTES;
/** Status, response and qualifier are one word. */
const FAILURE = VIRTIO_SCSI_S_FAILURE << 24;

/** Address of the row of `head` in the table of requests. */
export function requestOf(u32: Uint32Array, queue: number, head: number): number {
  return u32[(queue + QUEUE_SCSI) >>> 2]! + head * SCSI_REQUEST_SIZE;
}

/** And in the table of responses. */
export function responseOf(u32: Uint32Array, queue: number, head: number): number {
  const requests = u32[(queue + QUEUE_CAPACITY) >>> 2]! * SCSI_REQUEST_SIZE;
  return u32[(queue + QUEUE_SCSI) >>> 2]! + requests + head * SCSI_RESPONSE_SIZE;
}

/** Gives back all of the batch from the first bad header on. */
export function scsiPop(
  v: Views,
  queue: number,
  max: number,
  cdbSize: number,
  senseSize: number,
): number {
  const popped = pop(v, queue, max, false);
  const batch = v.u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2;
  for (let n = 0; n < popped; n++) {
    if (readHeader(v, queue, v.u32[batch + n]!, cdbSize, senseSize)) continue;
    queueUnpop(v, queue, popped - n);
    queueBreak(v, queue, BROKEN_HEADERS);
    return n === 0 ? POP_BROKEN : n;
  }
  return popped;
}

export function scsiRestore(
  v: Views,
  queue: number,
  head: number,
  cdbSize: number,
  senseSize: number,
): number {
  const result = restoreHead(v, queue, head, false);
  if (result !== 0 || readHeader(v, queue, head, cdbSize, senseSize)) return result;
  queueDetach(v, queue, head);
  queueBreak(v, queue, BROKEN_HEADERS);
  return BROKEN_HEADERS;
}

/** Fills the rows of a head in flight. False: its header is short, or the response's room is. */
function readHeader(
  v: Views,
  queue: number,
  head: number,
  cdbSize: number,
  senseSize: number,
): boolean {
  const u32 = v.u32;
  const q = queue >>> 2;
  const record = (u32[(queue + QUEUE_RECORDS) >>> 2]! >>> 2) + head * RECORD;
  const readable = u32[record + OUT_BYTES]!;
  const writable = u32[record + IN_BYTES]!;
  let header = REQUEST_HEADER + cdbSize;
  let room = RESPONSE_HEADER + senseSize;
  if (readable < header || writable < room) return false;
  const at = requestOf(u32, queue, head);
  const first = (u32[record + SEGMENTS]! >>> 2) + FIRST;
  const address = u32[first]!;
  if (cdbSize >= CDB_BYTES && u32[first + 1]! >= KEPT && (address & 3) === 0) {
    copyHeader(u32, at >>> 2, v.ram32, address >>> 2);
  } else {
    v.u8.fill(0, at, at + KEPT);
    transfer(v, queue, head, 0, at, Math.min(header, KEPT), FROM_CHAIN);
  }
  if ((u32[q + FEATURES]! & PADDED) !== 0) {
    header = Math.max(header, u32[first + 1]!);
    room = Math.max(room, u32[firstWritable(u32, record) + 1]!);
  }
  const row = at >>> 2;
  u32[row + DATA_OUT] = readable - header;
  u32[row + DATA_IN] = writable - room;
  u32[row + SENSE_SIZE] = senseSize;
  const response = responseOf(u32, queue, head) >>> 2;
  u32[response] = 0;
  u32[response + RESIDUAL] = 0;
  u32[response + QUALIFIER] = FAILURE;
  u32[record + OF_EPOCH] = u32[q + EPOCH]!;
  return true;
}

/** KEPT bytes, in words: of the last one the fourth byte is somebody else's. */
function copyHeader(u32: Uint32Array, row: number, words: Uint32Array, at: number): void {
  for (let i = 0; i < KEPT >>> 2; i++) u32[row + i] = words[at + i]!;
  u32[row + (KEPT >>> 2)] = words[at + (KEPT >>> 2)]! & 0xff_ffff;
}

/** Word index of the segment in which a response begins; there is one. */
function firstWritable(u32: Uint32Array, record: number): number {
  const index = u32[record + OUT_COUNT]!;
  return blockOf(u32, record, index) + FIRST + (index % BLOCK_SEGMENTS) * 2;
}

export function scsiPush(v: Views, queue: number, count: number): number {
  if (isUsable(v, queue)) {
    const u32 = v.u32;
    const capacity = u32[(queue + QUEUE_CAPACITY) >>> 2]!;
    const done = u32[(queue + QUEUE_DONE) >>> 2]! >>> 2;
    const records = u32[(queue + QUEUE_RECORDS) >>> 2]! >>> 2;
    for (let n = 0; n < count; n++) {
      const head = u32[done + n]!;
      const record = records + head * RECORD;
      if (head >= capacity || u32[record + STATE] !== IN_FLIGHT) continue;
      writeResponse(v, queue, head, record);
    }
  }
  return push(v, queue, count, false);
}

function writeResponse(v: Views, queue: number, head: number, record: number): void {
  const u32 = v.u32;
  const request = requestOf(u32, queue, head) >>> 2;
  const response = responseOf(u32, queue, head) >>> 2;
  const segment = firstWritable(u32, record);
  const address = u32[segment]!;
  let length = RESPONSE_HEADER;
  if (u32[response] !== 0 || u32[segment + 1]! < RESPONSE_HEADER || (address & 3) !== 0) {
    length += clipSense(u32, request, response);
    transfer(v, queue, head, 0, response << 2, length, TO_CHAIN);
  } else {
    const at = address >>> 2;
    v.ram32[at] = 0;
    v.ram32[at + 1] = u32[response + RESIDUAL]!;
    v.ram32[at + 2] = u32[response + QUALIFIER]!;
  }
  const room = u32[record + IN_BYTES]! - u32[request + DATA_IN]!;
  // Data count only if nothing is left out before them.
  u32[record + WRITTEN] = length === room ? length + u32[record + WRITTEN]! : length;
}

/** As much sense as there is, and as the driver asked for. */
function clipSense(u32: Uint32Array, request: number, response: number): number {
  const length = Math.min(u32[response]!, u32[request + SENSE_SIZE]!, SCSI_SENSE_BYTES);
  u32[response] = length;
  return length;
}
