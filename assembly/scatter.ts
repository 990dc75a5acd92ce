// The scatter list of the chain that is being walked: segments in blocks at the head of the queue's
// free list, which become the record's when the chain has proved good.
//
// `first` says that the chain is still in its first block, which then is the free list's; otherwise
// QUEUE_WALK_BLOCK and QUEUE_WALK_BEFORE say where it is. It is constant at each call.

import {
  BLOCK_FIRST, BLOCK_NEXT, BLOCK_SEGMENTS, QUEUE_FREE, QUEUE_FREE_COUNT, QUEUE_WALK_BEFORE,
  QUEUE_WALK_BLOCK, RECORD_IN_BYTES, RECORD_IN_COUNT, RECORD_IN_FLIGHT, RECORD_OUT_BYTES,
  RECORD_OUT_COUNT, RECORD_SEGMENTS, RECORD_STATE, RECORD_WRITTEN, SEGMENTS_MAX, SEGMENT_SIZE,
} from "../src/layout";
import { VIRTQ_DESC_F_WRITE } from "../src/spec";
import { parseRequest } from "./blk";

/** The chain is whole and good: parses it, takes its blocks off the free list, fills its record. */
// @ts-ignore: decorator
@inline
export function finish(
  queue: u32, record: u32, cursor: u32, total: u64, link: u32, first: bool, parse: bool,
): u32 {
  const writable = link & VIRTQ_DESC_F_WRITE;
  if (!writable) endReadable(queue, record, cursor, total, first);
  if (parse) {
    const reason = parseRequest(queue, record, cursor - SEGMENT_SIZE, writable);
    if (reason) return reason;
  }
  const count = segmentsUpTo(queue, cursor, first);
  const blocks: u32 = first ? 1 : load<u32>(queue, QUEUE_WALK_BEFORE) / BLOCK_SEGMENTS + 1;
  const head = load<u32>(queue, QUEUE_FREE);
  const last = first ? head : load<u32>(queue, QUEUE_WALK_BLOCK);
  store<u32>(queue, load<u32>(last, BLOCK_NEXT), QUEUE_FREE);
  store<u32>(queue, load<u32>(queue, QUEUE_FREE_COUNT) - blocks, QUEUE_FREE_COUNT);
  store<u32>(last, 0, BLOCK_NEXT);
  store<u32>(record, RECORD_IN_FLIGHT, RECORD_STATE);
  store<u32>(record, head, RECORD_SEGMENTS);
  store<u32>(record, count - load<u32>(record, RECORD_OUT_COUNT), RECORD_IN_COUNT);
  store<u32>(record, <u32>total - load<u32>(record, RECORD_OUT_BYTES), RECORD_IN_BYTES);
  store<u32>(record, 0, RECORD_WRITTEN);
  return 0;
}

/** The buffers so far are the readable ones; from here on only writable ones may come. */
// @ts-ignore: decorator
@inline
export function endReadable(queue: u32, record: u32, cursor: u32, total: u64, first: bool): void {
  store<u32>(record, segmentsUpTo(queue, cursor, first), RECORD_OUT_COUNT);
  store<u32>(record, <u32>total, RECORD_OUT_BYTES);
}

/** Segments of the chain whose last one ends at `cursor`; `first`: it is in its first block. */
// @ts-ignore: decorator
@inline
export function segmentsUpTo(queue: u32, cursor: u32, first: bool): u32 {
  const block = first ? load<u32>(queue, QUEUE_FREE) : load<u32>(queue, QUEUE_WALK_BLOCK);
  const before: u32 = first ? 0 : load<u32>(queue, QUEUE_WALK_BEFORE);
  return before + (cursor - block - BLOCK_FIRST) / SEGMENT_SIZE;
}

/** Where the segments that the chain may have in the block it has reached end. */
export function blockEnd(queue: u32): u32 {
  const room = min<u32>(SEGMENTS_MAX - load<u32>(queue, QUEUE_WALK_BEFORE), BLOCK_SEGMENTS);
  return load<u32>(queue, QUEUE_WALK_BLOCK) + BLOCK_FIRST + room * SEGMENT_SIZE;
}
