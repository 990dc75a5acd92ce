/** A chain that was found good goes into its record, and its segment blocks with it. */

import {
  BLOCK_NEXT,
  BLOCK_SEGMENTS,
  QUEUE_FREE,
  QUEUE_FREE_COUNT,
  RECORD_IN_BYTES,
  RECORD_IN_COUNT,
  RECORD_IN_FLIGHT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SEGMENTS,
  RECORD_STATE,
  RECORD_WRITTEN,
} from '../../layout.ts';

const FREE = QUEUE_FREE >>> 2;
const FREE_COUNT = QUEUE_FREE_COUNT >>> 2;
const NEXT = BLOCK_NEXT >>> 2;
const STATE = RECORD_STATE >>> 2;
const SEGMENTS = RECORD_SEGMENTS >>> 2;
const OUT_COUNT = RECORD_OUT_COUNT >>> 2;
const IN_COUNT = RECORD_IN_COUNT >>> 2;
const OUT_BYTES = RECORD_OUT_BYTES >>> 2;
const IN_BYTES = RECORD_IN_BYTES >>> 2;
const WRITTEN = RECORD_WRITTEN >>> 2;
const IN_FLIGHT = RECORD_IN_FLIGHT;
const ROOM = BLOCK_SEGMENTS;

/**
 * Puts `record` in flight: `count` segments, the first `outCount` of them readable, `total` bytes,
 * `outBytes` of them readable. The segments were written into the first free blocks, up to `block`
 * (a word index, as `q` and `record` are): these are taken from the free list.
 */
export function launch(
  u32: Uint32Array,
  q: number,
  record: number,
  block: number,
  count: number,
  outCount: number,
  total: number,
  outBytes: number,
): void {
  u32[record + STATE] = IN_FLIGHT;
  u32[record + SEGMENTS] = u32[q + FREE]!;
  u32[record + OUT_COUNT] = outCount;
  u32[record + IN_COUNT] = count - outCount;
  u32[record + OUT_BYTES] = outBytes;
  u32[record + IN_BYTES] = total - outBytes;
  u32[record + WRITTEN] = 0;
  u32[q + FREE] = u32[block + NEXT]!;
  u32[q + FREE_COUNT]! -= count <= ROOM ? 1 : Math.ceil(count / ROOM);
  u32[block + NEXT] = 0;
}
