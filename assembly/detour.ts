// What chain.ts leaves out: indirect tables, buffers in other regions or in several, chains of more
// than one segment block, and why a descriptor is refused, in the contract's order.

import {
  BLOCK_FIRST, BLOCK_NEXT, BROKEN_ADDRESS, BROKEN_INDIRECT, BROKEN_INDIRECT_SIZE, BROKEN_LOOP,
  BROKEN_ORDER, BROKEN_TOO_LONG, BROKEN_ZERO_LENGTH, QUEUE_DESC, QUEUE_FEATURES, QUEUE_FREE,
  QUEUE_F_INDIRECT, QUEUE_NUM, QUEUE_REGIONS, QUEUE_WALK_ADDRESS, QUEUE_WALK_BEFORE,
  QUEUE_WALK_BLOCK, QUEUE_WALK_CURSOR, QUEUE_WALK_END, QUEUE_WALK_ENTRIES, QUEUE_WALK_LINK,
  QUEUE_WALK_REGION, QUEUE_WALK_REST, QUEUE_WALK_TABLE, QUEUE_WALK_TOTAL, REGION_GUEST_LO,
  REGION_OFFSET, REGION_SIZE_LO, SEGMENTS_MAX, SEGMENT_ADDRESS, SEGMENT_LENGTH, SEGMENT_SIZE,
} from "../src/layout";
import {
  VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE, VIRTQ_DESC_LEN,
  VIRTQ_DESC_SIZE_SHIFT,
} from "../src/spec";
import { LINK_NEXT_SHIFT, LINK_SHIFT, STOPPED_BEFORE, walk } from "./chain";
import { NOWHERE, regionOf, translate } from "./regions";
import { blockEnd, endReadable, finish, segmentsUpTo } from "./scatter";

/** Carries on where `walk` stopped and sends it on its way again, until the chain ends. */
export function walkOn(queue: u32, record: u32, stopped: u32, parse: bool): u32 {
  const block = load<u32>(queue, QUEUE_FREE);
  store<u32>(queue, block, QUEUE_WALK_BLOCK);
  store<u32>(queue, 0, QUEUE_WALK_BEFORE);
  store<u32>(queue, load<u32>(queue, QUEUE_DESC), QUEUE_WALK_TABLE);
  store<u32>(queue, load<u32>(queue, QUEUE_NUM), QUEUE_WALK_ENTRIES);
  let left = load<u32>(queue, QUEUE_NUM);
  let start = block + BLOCK_FIRST;
  let indirect = false;
  while (true) {
    left -= (load<u32>(queue, QUEUE_WALK_CURSOR) - start) / SEGMENT_SIZE;
    let link = load<u32>(queue, QUEUE_WALK_LINK);
    if (stopped == STOPPED_BEFORE) {
      if (left == 0) return BROKEN_LOOP;
      loadDescriptor(queue, link >> LINK_NEXT_SHIFT);
    }
    --left;
    const rest = load<u64>(queue, QUEUE_WALK_REST);
    const flags = <u32>(rest >> LINK_SHIFT);
    if (flags & VIRTQ_DESC_F_INDIRECT) {
      if (indirect) return BROKEN_INDIRECT;
      const reason = enterTable(queue, <u32>rest, flags);
      if (reason) return reason;
      left = load<u32>(queue, QUEUE_WALK_ENTRIES);
      indirect = true;
      link &= VIRTQ_DESC_F_WRITE; // next is the table's first
    } else {
      const reason = addBuffer(queue, record, link, <u32>rest, flags);
      if (reason) return reason;
      link = flags;
    }
    start = load<u32>(queue, QUEUE_WALK_CURSOR);
    const total = load<u64>(queue, QUEUE_WALK_TOTAL);
    if (!(flags & (VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT))) {
      return finish(queue, record, start, total, link, false, parse);
    }
    const end = min(blockEnd(queue), start + min<u32>(left, SEGMENTS_MAX) * SEGMENT_SIZE);
    store<u32>(queue, end, QUEUE_WALK_END);
    stopped = walk(queue, record, link, start, total, false, parse);
    if (stopped < STOPPED_BEFORE) return stopped;
  }
}

/** Loads descriptor `next` of the table, once, to where `walk` leaves one that it has loaded. */
function loadDescriptor(queue: u32, next: u32): void {
  const descriptor = load<u32>(queue, QUEUE_WALK_TABLE) + (next << VIRTQ_DESC_SIZE_SHIFT);
  store<u64>(queue, load<u64>(descriptor), QUEUE_WALK_ADDRESS);
  store<u64>(queue, load<u64>(descriptor, VIRTQ_DESC_LEN), QUEUE_WALK_REST);
}

/** The rest of the chain has a table of its own (2.7.5.3); WRITE means nothing here. */
function enterTable(queue: u32, length: u32, flags: u32): u32 {
  if (flags & VIRTQ_DESC_F_NEXT) return BROKEN_INDIRECT;
  if (!(load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_INDIRECT)) return BROKEN_INDIRECT;
  if (length == 0 || length & 15) return BROKEN_INDIRECT_SIZE;
  const address = load<u64>(queue, QUEUE_WALK_ADDRESS);
  const table = translate(load<u32>(queue, QUEUE_REGIONS), address, length);
  if (table == NOWHERE) return BROKEN_ADDRESS;
  store<u32>(queue, <u32>table, QUEUE_WALK_TABLE);
  store<u32>(queue, length >> VIRTQ_DESC_SIZE_SHIFT, QUEUE_WALK_ENTRIES);
  return 0;
}

/** Any one buffer, checked in the contract's order. 0 or BROKEN_*. */
function addBuffer(queue: u32, record: u32, link: u32, length: u32, flags: u32): u32 {
  if (length == 0) return BROKEN_ZERO_LENGTH;
  const before = load<u64>(queue, QUEUE_WALK_TOTAL);
  if ((flags ^ link) & VIRTQ_DESC_F_WRITE) {
    if (!(flags & VIRTQ_DESC_F_WRITE)) return BROKEN_ORDER;
    endReadable(queue, record, load<u32>(queue, QUEUE_WALK_CURSOR), before, false);
  }
  const total = before + length;
  if (total > <u64>u32.MAX_VALUE) return BROKEN_TOO_LONG;
  store<u64>(queue, total, QUEUE_WALK_TOTAL);
  return place(queue, load<u64>(queue, QUEUE_WALK_ADDRESS), length);
}

/** Adds a buffer in as many pieces as it has regions, in as many blocks as that takes. */
function place(queue: u32, address: u64, length: u32): u32 {
  const regions = load<u32>(queue, QUEUE_REGIONS);
  let cursor = load<u32>(queue, QUEUE_WALK_CURSOR);
  while (length != 0) {
    const region = regionOf(regions, address);
    if (region == 0) return BROKEN_ADDRESS;
    store<u32>(queue, region, QUEUE_WALK_REGION);
    if (cursor == blockEnd(queue)) {
      const before = segmentsUpTo(queue, cursor, false);
      if (before == SEGMENTS_MAX) return BROKEN_TOO_LONG;
      const block = load<u32>(load<u32>(queue, QUEUE_WALK_BLOCK), BLOCK_NEXT);
      store<u32>(queue, block, QUEUE_WALK_BLOCK);
      store<u32>(queue, before, QUEUE_WALK_BEFORE);
      cursor = block + BLOCK_FIRST;
    }
    const at = address - load<u64>(region, REGION_GUEST_LO);
    const piece = <u32>min(<u64>length, load<u64>(region, REGION_SIZE_LO) - at);
    store<u32>(cursor, <u32>at + load<u32>(region, REGION_OFFSET), SEGMENT_ADDRESS);
    store<u32>(cursor, piece, SEGMENT_LENGTH);
    cursor += SEGMENT_SIZE;
    length -= piece;
    address += piece;
    if (address == 0 && length != 0) return BROKEN_ADDRESS; // 2^64 is not 0
  }
  store<u32>(queue, cursor, QUEUE_WALK_CURSOR);
  return 0;
}
