/** Copies between a chain and core memory, and within memory. */

import {
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SEGMENTS,
  QUEUE_CAPACITY,
  QUEUE_RECORDS,
  RECORD_IN_COUNT,
  RECORD_IN_FLIGHT,
  RECORD_OUT_COUNT,
  RECORD_SIZE,
  RECORD_STATE,
} from '../../layout.ts';
import { blockOf } from './blocks.ts';
import type { Views } from './views.ts';

const IN_COUNT = RECORD_IN_COUNT >>> 2;
const OUT_COUNT = RECORD_OUT_COUNT >>> 2;
const FIRST = BLOCK_FIRST >>> 2;
const NEXT = BLOCK_NEXT >>> 2;

/** Copies from guest memory to state. A short copy by hand is cheaper than a view of its own. */
export function ramToState(v: Views, to: number, from: number, length: number): void {
  if (v.single) v.u8.copyWithin(to, from, from + length);
  else if (length < 64) for (let i = 0; i < length; i++) v.u8[to + i] = v.ram8[from + i]!;
  else v.u8.set(v.ram8.subarray(from, from + length), to);
}

export function stateToRam(v: Views, to: number, from: number, length: number): void {
  if (v.single) v.u8.copyWithin(to, from, from + length);
  else if (length < 64) for (let i = 0; i < length; i++) v.ram8[to + i] = v.u8[from + i]!;
  else v.ram8.set(v.u8.subarray(from, from + length), to);
}

/** What `transfer` does with each piece. */
export const FROM_CHAIN = 0;
export const TO_CHAIN = 1;
export const ZERO_CHAIN = 2;

/**
 * Moves `length` bytes between core memory at `address` and the bytes of `head` after `skip`: its
 * readable bytes for FROM_CHAIN, its writable bytes otherwise. Returns bytes moved; 0 for a head
 * that is not in flight.
 */
export function transfer(
  v: Views,
  queue: number,
  head: number,
  skip: number,
  address: number,
  length: number,
  how: number,
): number {
  const u32 = v.u32;
  if (head >= u32[(queue + QUEUE_CAPACITY) >>> 2]!) return 0;
  const record = (u32[(queue + QUEUE_RECORDS) >>> 2]! + head * RECORD_SIZE) >>> 2;
  if (u32[record + (RECORD_STATE >>> 2)] !== RECORD_IN_FLIGHT) return 0;
  const outCount = u32[record + OUT_COUNT]!;
  let index = how === FROM_CHAIN ? 0 : outCount;
  const end = how === FROM_CHAIN ? outCount : outCount + u32[record + IN_COUNT]!;
  let block = blockOf(u32, record, index);
  let slot = index % BLOCK_SEGMENTS;
  let moved = 0;
  for (; index < end && moved < length; index++) {
    const segment = block + FIRST + slot * 2;
    const bytes = u32[segment + 1]!;
    if (skip < bytes) {
      const piece = Math.min(bytes - skip, length - moved);
      move(v, u32[segment]! + skip, address + moved, piece, how);
      moved += piece;
      skip = 0;
    } else {
      skip -= bytes;
    }
    if (++slot === BLOCK_SEGMENTS) {
      block = u32[block + NEXT]! >>> 2;
      slot = 0;
    }
  }
  return moved;
}

function move(v: Views, segment: number, address: number, length: number, how: number): void {
  if (how === FROM_CHAIN) ramToState(v, address, segment, length);
  else if (how === TO_CHAIN) stateToRam(v, segment, address, length);
  else v.ram8.fill(0, segment, segment + length);
}
