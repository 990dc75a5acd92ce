// Descriptor chains (VIRTIO 1.3, 2.7.4 and 2.7.5): from a head to the list of its buffers.
//
// Every byte read here is the guest's, who may change it meanwhile: each field is loaded once, each
// loop is bounded, each range is checked in u64 before it is believed.
//
// Here is the walk that nearly all chains take from end to end, detour.ts has the rest, scatter.ts
// the list that both fill.

import {
  BLOCK_FIRST, BROKEN_NEXT, BROKEN_ORDER, BROKEN_TOO_LONG, QUEUE_DESC, QUEUE_FREE, QUEUE_NUM,
  QUEUE_WALK_ADDRESS, QUEUE_WALK_CURSOR, QUEUE_WALK_END, QUEUE_WALK_ENTRIES, QUEUE_WALK_LINK,
  QUEUE_WALK_REGION, QUEUE_WALK_REST, QUEUE_WALK_TABLE, QUEUE_WALK_TOTAL, REGION_GUEST_LO,
  REGION_OFFSET, REGION_SIZE_LO, SEGMENT_SIZE,
} from "../src/layout";
import {
  VIRTQ_DESC_FLAGS, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE, VIRTQ_DESC_LEN,
  VIRTQ_DESC_SIZE_SHIFT,
} from "../src/spec";
import { walkOn } from "./detour";
import { endReadable, finish } from "./scatter";

// A descriptor's second half as one word: | len 32 | flags 16 | next 16 |. The upper half of that
// is called its link.
export const LINK_SHIFT = 32;
export const LINK_NEXT_SHIFT = 16;

// Results of `walk` besides 0 and BROKEN_*: it stopped before a descriptor that may not be next, or
// after it has loaded one that is not for it.
export const STOPPED_BEFORE: u32 = 0x100;
const STOPPED_AT: u32 = 0x101;

/**
 * Lists the buffers of the chain at `head` (checked, its record free) in segment blocks and fills
 * its record; with `parse`, also as a virtio-blk request. The caller has seen to it that
 * CHAIN_BLOCKS_MAX blocks are free. Returns 0, or why the queue is broken: then nothing is taken.
 */
// @ts-ignore: decorator
@inline
export function collect(queue: u32, record: u32, head: u32, span: u32, parse: bool): u32 {
  const start = load<u32>(queue, QUEUE_FREE) + BLOCK_FIRST;
  store<u32>(queue, start + span, QUEUE_WALK_END);
  const result = walk(queue, record, head << LINK_NEXT_SHIFT, start, 0, true, parse);
  return result < STOPPED_BEFORE ? result : walkOn(queue, record, result, parse);
}

/**
 * Walks the descriptors that are as most are: one buffer inside the region tried first, in a table
 * that the chain does not leave. `link` holds the next one's number and the last one's flags; it
 * may add segments from `cursor` up to `end`. With `first` it begins the chain, in the ring's table
 * and the first free block, else it goes on where QUEUE_WALK_* say. Small on purpose, and reading
 * again from memory what does not change: so the CPU's registers suffice, and that is half of the
 * speed.
 */
// @ts-ignore: decorator
@inline
export function walk(
  queue: u32, record: u32, link: u32, cursor: u32, total: u64, first: bool, parse: bool,
): u32 {
  const region = load<u32>(queue, QUEUE_WALK_REGION);
  while (true) {
    const next = link >> LINK_NEXT_SHIFT;
    const entries = first ? load<u32>(queue, QUEUE_NUM) : load<u32>(queue, QUEUE_WALK_ENTRIES);
    if (next >= entries) return orTooLong(total, BROKEN_NEXT);
    const end = load<u32>(queue, QUEUE_WALK_END);
    if (cursor == end) return stop(queue, link, cursor, total, STOPPED_BEFORE);
    const table = first ? load<u32>(queue, QUEUE_DESC) : load<u32>(queue, QUEUE_WALK_TABLE);
    const descriptor = table + (next << VIRTQ_DESC_SIZE_SHIFT);
    const length = <u64>load<u32>(descriptor, VIRTQ_DESC_LEN);
    const flags = load<u32>(descriptor, VIRTQ_DESC_FLAGS);
    const from = load<u64>(descriptor) - load<u64>(region, REGION_GUEST_LO);
    const to = from + length;
    // Odd: a length of 0 or a sum that wraps; a buffer that this region does not hold; a table.
    // Three tests, since `||` would compile to no jumps, which is slower.
    if (to <= from) return stopAt(queue, region, from, length, flags, link, cursor, total);
    const size = load<u64>(region, REGION_SIZE_LO);
    if (to > size) return stopAt(queue, region, from, length, flags, link, cursor, total);
    const isTable = flags & VIRTQ_DESC_F_INDIRECT;
    if (isTable) return stopAt(queue, region, from, length, flags, link, cursor, total);
    if ((flags ^ link) & VIRTQ_DESC_F_WRITE) {
      if (!(flags & VIRTQ_DESC_F_WRITE)) return orTooLong(total, BROKEN_ORDER);
      endReadable(queue, record, cursor, total, first);
    }
    total += length;
    store<u64>(cursor, <u64>(<u32>from + load<u32>(region, REGION_OFFSET)) | length << 32);
    cursor += SEGMENT_SIZE;
    link = flags;
    if (!(flags & VIRTQ_DESC_F_NEXT)) {
      if (total > <u64>u32.MAX_VALUE) return BROKEN_TOO_LONG;
      return finish(queue, record, cursor, total, link, first, parse);
    }
  }
}

/** The total is checked when a walk ends; if it was too large, that was before `reason`. */
// @ts-ignore: decorator
@inline
function orTooLong(total: u64, reason: u32): u32 {
  return total > <u64>u32.MAX_VALUE ? BROKEN_TOO_LONG : reason;
}

// @ts-ignore: decorator
@inline
function stop(queue: u32, link: u32, cursor: u32, total: u64, why: u32): u32 {
  store<u32>(queue, link, QUEUE_WALK_LINK);
  store<u32>(queue, cursor, QUEUE_WALK_CURSOR);
  store<u64>(queue, total, QUEUE_WALK_TOTAL);
  return orTooLong(total, why);
}

// @ts-ignore: decorator
@inline
function stopAt(
  queue: u32, region: u32, from: u64, length: u64, flags: u32, link: u32, cursor: u32, total: u64,
): u32 {
  store<u64>(queue, from + load<u64>(region, REGION_GUEST_LO), QUEUE_WALK_ADDRESS);
  store<u32>(queue, <u32>length, QUEUE_WALK_REST);
  store<u32>(queue, flags, QUEUE_WALK_REST + 4);
  return stop(queue, link, cursor, total, STOPPED_AT);
}
