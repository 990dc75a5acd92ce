// Segment blocks: where scatter lists live. Each queue has its own, so its home thread takes them
// and gives them back without asking anybody.
//
//   queue.free -> | next | 15 x { address, length } | -> | next | ... | -> 0

import {
  BLOCK_FIRST, BLOCK_NEXT, BLOCK_SEGMENTS, BLOCK_SIZE, QUEUE_BLOCKS, QUEUE_BLOCK_COUNT, QUEUE_FREE,
  QUEUE_FREE_COUNT, RECORD_IN_COUNT, RECORD_OUT_COUNT, RECORD_SEGMENTS, SEGMENT_SIZE,
} from "../src/layout";

/** Links all blocks of the queue into its free list, in ascending order. */
export function linkBlocks(queue: u32): void {
  const count = load<u32>(queue, QUEUE_BLOCK_COUNT);
  let block = load<u32>(queue, QUEUE_BLOCKS);
  store<u32>(queue, count == 0 ? 0 : block, QUEUE_FREE);
  store<u32>(queue, count, QUEUE_FREE_COUNT);
  for (let left = count; left != 0; --left) {
    const next = block + BLOCK_SIZE;
    store<u32>(block, left == 1 ? 0 : next, BLOCK_NEXT);
    block = next;
  }
}

/** Puts a record's blocks, linked as they are, at the head of the free list. */
// @ts-ignore: decorator
@inline
export function giveBlocksBack(queue: u32, record: u32): void {
  const first = load<u32>(record, RECORD_SEGMENTS);
  if (load<u32>(first, BLOCK_NEXT) != 0) {
    giveManyBack(queue, record, first);
    return;
  }
  store<u32>(first, load<u32>(queue, QUEUE_FREE), BLOCK_NEXT);
  store<u32>(queue, first, QUEUE_FREE);
  store<u32>(queue, load<u32>(queue, QUEUE_FREE_COUNT) + 1, QUEUE_FREE_COUNT);
}

function giveManyBack(queue: u32, record: u32, first: u32): void {
  const segments = load<u32>(record, RECORD_OUT_COUNT) + load<u32>(record, RECORD_IN_COUNT);
  const last = blockOf(record, segments - 1);
  store<u32>(last, load<u32>(queue, QUEUE_FREE), BLOCK_NEXT);
  store<u32>(queue, first, QUEUE_FREE);
  const count = (segments + BLOCK_SEGMENTS - 1) / BLOCK_SEGMENTS;
  store<u32>(queue, load<u32>(queue, QUEUE_FREE_COUNT) + count, QUEUE_FREE_COUNT);
}

/** The block that holds segment `index` of a scatter list. */
export function blockOf(record: u32, index: u32): u32 {
  let block = load<u32>(record, RECORD_SEGMENTS);
  for (; index >= <u32>BLOCK_SEGMENTS; index -= BLOCK_SEGMENTS) {
    block = load<u32>(block, BLOCK_NEXT);
  }
  return block;
}

/** Address of a segment in its block; `place` is 0 to 14. */
// @ts-ignore: decorator
@inline
export function segmentIn(block: u32, place: u32): u32 {
  return block + BLOCK_FIRST + place * SEGMENT_SIZE;
}
