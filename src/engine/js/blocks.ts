/**
 * Segment blocks: the scatter lists of the chains in flight, 15 segments each, and the free list
 * of a queue. Only the queue's home thread touches them.
 */

import {
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SEGMENTS,
  BLOCK_SIZE,
  QUEUE_FREE,
  QUEUE_FREE_COUNT,
  RECORD_SEGMENTS,
} from '../../layout.ts';
import type { Views } from './views.ts';

const FREE = QUEUE_FREE >>> 2;
const FREE_COUNT = QUEUE_FREE_COUNT >>> 2;
const SEGMENTS = RECORD_SEGMENTS >>> 2;
const NEXT = BLOCK_NEXT >>> 2;
const FIRST = BLOCK_FIRST >>> 2;
const WORDS = BLOCK_SIZE >>> 2;

/**
 * Appends a segment to the scatter list at hand: `v.block` is its last block, `v.at` where the next
 * segment goes. A block is full where the next one would begin.
 */
export function addSegment(v: Views, address: number, length: number): void {
  const u32 = v.u32;
  if (v.at === v.block + WORDS) {
    v.block = u32[v.block + NEXT]! >>> 2;
    v.at = v.block + FIRST;
  }
  u32[v.at] = address;
  u32[v.at + 1] = length;
  v.at += 2;
}

/** Gives the blocks of `record` back, in order, to the front of the free list. */
export function freeBlocks(u32: Uint32Array, q: number, record: number): void {
  const first = u32[record + SEGMENTS]!;
  let blocks = 1;
  let last = first >>> 2;
  for (let next = u32[last + NEXT]!; next !== 0; next = u32[last + NEXT]!) {
    last = next >>> 2;
    blocks++;
  }
  u32[last + NEXT] = u32[q + FREE]!;
  u32[q + FREE] = first;
  u32[q + FREE_COUNT]! += blocks;
}

/** Word index of the block that holds segment `index` of a record. */
export function blockOf(u32: Uint32Array, record: number, index: number): number {
  let block = u32[record + SEGMENTS]! >>> 2;
  for (let i = index; i >= BLOCK_SEGMENTS; i -= BLOCK_SEGMENTS) block = u32[block + NEXT]! >>> 2;
  return block;
}
