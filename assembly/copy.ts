// Copies between a request's buffers and core memory. Lengths are bounded by the scatter list, each
// piece of which was checked when the chain was popped.

import {
  BLOCK_NEXT, BLOCK_SEGMENTS, RECORD_IN_COUNT, RECORD_OUT_COUNT, SEGMENT_ADDRESS, SEGMENT_LENGTH,
} from "../src/layout";
import { blockOf, segmentIn } from "./blocks";
import { inFlight, recordOf } from "./split";

// What `walk` does with each piece; constant at each call, so each gets a loop of its own.
const FROM_CHAIN = 0;
const TO_CHAIN = 1;
const ZERO_CHAIN = 2;

/**
 * Moves up to `length` bytes between `address` and the chain's bytes after `skip` of them: readable
 * ones for FROM_CHAIN, else writable ones. Returns how many it moved.
 */
// @ts-ignore: decorator
@inline
function walk(queue: u32, head: u32, skip: u32, address: u32, length: u32, what: i32): u32 {
  if (!inFlight(queue, head)) return 0;
  const record = recordOf(queue, head);
  const readable = load<u32>(record, RECORD_OUT_COUNT);
  let left = what == FROM_CHAIN ? readable : load<u32>(record, RECORD_IN_COUNT);
  const first: u32 = what == FROM_CHAIN ? 0 : readable;
  let block = blockOf(record, first);
  let place = first % BLOCK_SEGMENTS;
  let moved: u32 = 0;
  for (; left != 0 && moved < length; --left) {
    const segment = segmentIn(block, place);
    const bytes = load<u32>(segment, SEGMENT_LENGTH);
    if (skip >= bytes) skip -= bytes;
    else {
      const at = load<u32>(segment, SEGMENT_ADDRESS) + skip;
      const piece = min(bytes - skip, length - moved);
      if (what == FROM_CHAIN) memory.copy(address + moved, at, piece);
      else if (what == TO_CHAIN) memory.copy(at, address + moved, piece);
      else memory.fill(at, 0, piece);
      moved += piece;
      skip = 0;
    }
    if (++place == BLOCK_SEGMENTS) {
      place = 0;
      block = load<u32>(block, BLOCK_NEXT);
    }
  }
  return moved;
}

export function copyFromChain(queue: u32, head: u32, skip: u32, to: u32, length: u32): u32 {
  return walk(queue, head, skip, to, length, FROM_CHAIN);
}

export function copyToChain(queue: u32, head: u32, skip: u32, from: u32, length: u32): u32 {
  return walk(queue, head, skip, from, length, TO_CHAIN);
}

export function zeroChain(queue: u32, head: u32, skip: u32, length: u32): u32 {
  return walk(queue, head, skip, 0, length, ZERO_CHAIN);
}
