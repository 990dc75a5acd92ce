// virtio-scsi command requests (VIRTIO 1.3, 5.6.6.1): a header with the CDB in the first readable
// bytes and data-out behind it, a response in the first writable bytes and data-in behind it, in
// any framing (2.7.4).
//
// Chains are popped raw; then each header is copied into the queue's SCSI table, once: what the
// guest writes there later is not seen (BG-15).

import {
  BLOCK_FIRST, BLOCK_SEGMENTS, BROKEN_HEADERS, QUEUE_BATCH, QUEUE_CAPACITY, QUEUE_DONE, QUEUE_EPOCH,
  QUEUE_FEATURES, QUEUE_F_PADDED, QUEUE_SCSI, RECORD_EPOCH, RECORD_IN_BYTES, RECORD_OUT_BYTES,
  RECORD_OUT_COUNT, RECORD_SEGMENTS, RECORD_WRITTEN, SCSI_CDB_BYTES, SCSI_REQUEST_CDB,
  SCSI_REQUEST_IN_BYTES, SCSI_REQUEST_OUT_BYTES, SCSI_REQUEST_SENSE_SIZE, SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_QUALIFIER, SCSI_RESPONSE_RESIDUAL, SCSI_RESPONSE_SENSE_LENGTH, SCSI_RESPONSE_SIZE,
  SCSI_SENSE_BYTES, SEGMENT_ADDRESS, SEGMENT_LENGTH,
} from "../src/layout";
import {
  VIRTIO_SCSI_REQUEST_HEADER, VIRTIO_SCSI_RESPONSE_HEADER, VIRTIO_SCSI_S_FAILURE,
} from "../src/spec";
import { blockOf, segmentIn } from "./blocks";
import { copyFromChain, copyToChain } from "./copy";
import { usable } from "./notify";
import { queueBreak } from "./setup";
import { inFlight, queueUnpop, recordOf } from "./split";

const POP_BROKEN = -2;
/** Bytes of a header that are kept. */
const KEPT: u32 = SCSI_REQUEST_CDB + SCSI_CDB_BYTES;
/** Status, response and qualifier are one word. */
const FAILURE: u32 = VIRTIO_SCSI_S_FAILURE << 24;

// @ts-ignore: decorator
@inline
export function requestOf(queue: u32, head: u32): u32 {
  return load<u32>(queue, QUEUE_SCSI) + head * SCSI_REQUEST_SIZE;
}

// @ts-ignore: decorator
@inline
export function responseOf(queue: u32, head: u32): u32 {
  const requests = load<u32>(queue, QUEUE_CAPACITY) * SCSI_REQUEST_SIZE;
  return load<u32>(queue, QUEUE_SCSI) + requests + head * SCSI_RESPONSE_SIZE;
}

/** Reads the headers of a batch that was popped; gives back all from the first bad one on. */
export function readHeaders(queue: u32, popped: i32, cdbSize: u32, senseSize: u32): i32 {
  const batch = load<u32>(queue, QUEUE_BATCH);
  for (let n = 0; n < popped; ++n) {
    if (readHeader(queue, load<u32>(batch + (n << 2)), cdbSize, senseSize)) continue;
    queueUnpop(queue, popped - n);
    queueBreak(queue, BROKEN_HEADERS);
    return n ? n : POP_BROKEN;
  }
  return popped;
}

/** Fills the rows of a head in flight. False: its header is short, or the response's room is. */
export function readHeader(queue: u32, head: u32, cdbSize: u32, senseSize: u32): bool {
  const record = recordOf(queue, head);
  const readable = load<u32>(record, RECORD_OUT_BYTES);
  const writable = load<u32>(record, RECORD_IN_BYTES);
  let header: u32 = VIRTIO_SCSI_REQUEST_HEADER + cdbSize;
  let room: u32 = VIRTIO_SCSI_RESPONSE_HEADER + senseSize;
  if (readable < header || writable < room) return false;
  const row = requestOf(queue, head);
  const first = load<u32>(record, RECORD_SEGMENTS) + BLOCK_FIRST;
  if (cdbSize >= <u32>SCSI_CDB_BYTES && load<u32>(first, SEGMENT_LENGTH) >= KEPT) {
    copyHeader(row, load<u32>(first, SEGMENT_ADDRESS));
  } else {
    memory.fill(row, 0, KEPT);
    copyFromChain(queue, head, 0, row, min(header, KEPT));
  }
  if (load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_PADDED) {
    header = max(header, load<u32>(first, SEGMENT_LENGTH));
    room = max(room, load<u32>(firstWritable(record), SEGMENT_LENGTH));
  }
  store<u32>(row, readable - header, SCSI_REQUEST_OUT_BYTES);
  store<u32>(row, writable - room, SCSI_REQUEST_IN_BYTES);
  store<u32>(row, senseSize, SCSI_REQUEST_SENSE_SIZE);
  const response = responseOf(queue, head);
  store<u64>(response, 0, SCSI_RESPONSE_SENSE_LENGTH);
  store<u32>(response, FAILURE, SCSI_RESPONSE_QUALIFIER);
  store<u32>(record, load<u32>(queue, QUEUE_EPOCH), RECORD_EPOCH);
  return true;
}

/** KEPT bytes: six times eight, and four of which the first is copied twice. */
// @ts-ignore: decorator
@inline
function copyHeader(row: u32, header: u32): void {
  store<u64>(row, load<u64>(header));
  store<u64>(row, load<u64>(header, 8), 8);
  store<u64>(row, load<u64>(header, 16), 16);
  store<u64>(row, load<u64>(header, 24), 24);
  store<u64>(row, load<u64>(header, 32), 32);
  store<u64>(row, load<u64>(header, 40), 40);
  store<u32>(row, load<u32>(header, 47), 47);
}

/** Address of the segment in which a response begins; there is one. */
// @ts-ignore: decorator
@inline
export function firstWritable(record: u32): u32 {
  const index = load<u32>(record, RECORD_OUT_COUNT);
  return segmentIn(blockOf(record, index), index % BLOCK_SEGMENTS);
}

/** Writes the responses of QUEUE_DONE[0 .. count), and finds their used lengths (VQ-6). */
export function writeResponses(queue: u32, count: u32): void {
  if (!usable(queue)) return;
  const done = load<u32>(queue, QUEUE_DONE);
  for (let n: u32 = 0; n < count; ++n) {
    const head = load<u32>(done + (n << 2));
    if (inFlight(queue, head)) writeResponse(queue, head);
  }
}

// @ts-ignore: decorator
@inline
function writeResponse(queue: u32, head: u32): void {
  const record = recordOf(queue, head);
  const request = requestOf(queue, head);
  const response = responseOf(queue, head);
  const segment = firstWritable(record);
  const short = load<u32>(segment, SEGMENT_LENGTH) < <u32>VIRTIO_SCSI_RESPONSE_HEADER;
  let length: u32 = VIRTIO_SCSI_RESPONSE_HEADER;
  if (load<u32>(response, SCSI_RESPONSE_SENSE_LENGTH) || short) {
    length += clipSense(request, response);
    copyToChain(queue, head, 0, response, length);
  } else {
    const at = load<u32>(segment, SEGMENT_ADDRESS);
    store<u32>(at, 0);
    store<u32>(at, load<u32>(response, SCSI_RESPONSE_RESIDUAL), SCSI_RESPONSE_RESIDUAL);
    store<u32>(at, load<u32>(response, SCSI_RESPONSE_QUALIFIER), SCSI_RESPONSE_QUALIFIER);
  }
  const room = load<u32>(record, RECORD_IN_BYTES) - load<u32>(request, SCSI_REQUEST_IN_BYTES);
  // Data count only if nothing is left out before them.
  if (length == room) length += load<u32>(record, RECORD_WRITTEN);
  store<u32>(record, length, RECORD_WRITTEN);
}

/** As much sense as there is, and as the driver asked for. */
function clipSense(request: u32, response: u32): u32 {
  const most = min<u32>(load<u32>(request, SCSI_REQUEST_SENSE_SIZE), SCSI_SENSE_BYTES);
  const length = min(load<u32>(response, SCSI_RESPONSE_SENSE_LENGTH), most);
  store<u32>(response, length, SCSI_RESPONSE_SENSE_LENGTH);
  return length;
}
