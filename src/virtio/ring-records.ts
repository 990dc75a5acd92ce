/**
 * The records of one queue as TypeScript reads them: the chains that are popped, addressed by head
 * (layout: record, segment block). What is in them is a subclass's to know. Home thread of the
 * queue.
 */

import type { SegmentVector } from '../block/io-vector.ts';
import type { Core } from '../engine/core.ts';
import {
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SEGMENTS,
  QUEUE_BATCH,
  QUEUE_CAPACITY,
  QUEUE_EPOCH,
  QUEUE_KICKS_HI,
  QUEUE_KICKS_LO,
  QUEUE_RECORDS,
  RECORD_EPOCH,
  RECORD_IN_COUNT,
  RECORD_IN_FLIGHT,
  RECORD_NEXT,
  RECORD_OUT_COUNT,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  RECORD_STATE,
  SEGMENT_LENGTH,
  SEGMENT_SIZE,
} from '../layout.ts';
import type { GuestWriteListener } from './guest-write.ts';

const RECORD_WORDS = RECORD_SIZE / 4;
const SEGMENT_WORDS = SEGMENT_SIZE / 4;

export class RingRecords {
  /** Core memory as of the last `refresh`: looking it up anew costs 20 ns. */
  u32!: Uint32Array;
  /** Index of the first record's first word. */
  readonly first: number;
  readonly #core: Core;
  /** Index of QUEUE_EPOCH. */
  readonly #epoch: number;
  readonly #capacity: number;

  constructor(core: Core, queue: number) {
    this.#core = core;
    this.refresh();
    this.first = this.u32[(queue + QUEUE_RECORDS) >>> 2]! >>> 2;
    this.#epoch = (queue + QUEUE_EPOCH) >>> 2;
    this.#capacity = this.u32[(queue + QUEUE_CAPACITY) >>> 2]!;
  }

  /** After anything that may have grown the memory: a driver's call, a turn of the loop. */
  refresh(): void {
    this.u32 = this.#core.u32;
  }

  /** As `refresh`, for less: on the way of each request. */
  revalidate(): void {
    this.u32 = this.#core.keepU32(this.u32);
  }

  /** Segments of one direction, header or status included. */
  segments(head: number, write: boolean): number {
    return this.get(head, write ? RECORD_OUT_COUNT : RECORD_IN_COUNT);
  }

  /** Was the queue reset since this request was popped? */
  isStale(head: number): boolean {
    return this.get(head, RECORD_EPOCH) !== Atomics.load(this.u32, this.#epoch);
  }

  /** Is there a popped request of this epoch at `head`? */
  isInFlight(head: number): boolean {
    if (!Number.isInteger(head) || head < 0 || head >= this.#capacity) return false;
    return this.get(head, RECORD_STATE) === RECORD_IN_FLIGHT && !this.isStale(head);
  }

  /** The next request in a list of this queue's, -1 at its end. */
  next(head: number): number {
    return this.get(head, RECORD_NEXT) - 1;
  }

  setNext(head: number, next: number): void {
    this.set(head, RECORD_NEXT, next + 1);
  }

  /**
   * Appends `length` bytes of one direction to a driver's vector, after `skip` of them. So many are
   * there.
   */
  append(vector: SegmentVector, head: number, write: boolean, skip: number, length: number): void {
    const { u32 } = this;
    let left = length;
    let slot = write ? 0 : this.get(head, RECORD_OUT_COUNT);
    let block = this.get(head, RECORD_SEGMENTS) >>> 2;
    for (; slot >= BLOCK_SEGMENTS; slot -= BLOCK_SEGMENTS) block = this.#nextBlock(block);
    while (left > 0) {
      if (slot === BLOCK_SEGMENTS) {
        slot = 0;
        block = this.#nextBlock(block);
      }
      const segment = block + (BLOCK_FIRST >>> 2) + slot++ * SEGMENT_WORDS;
      const bytes = u32[segment + (SEGMENT_LENGTH >>> 2)]!;
      if (skip >= bytes) {
        skip -= bytes;
        continue;
      }
      const part = Math.min(bytes - skip, left);
      vector.append(u32[segment]! + skip, part);
      left -= part;
      skip = 0;
    }
  }

  /** Length of segment `index` of the chain, readable ones first. */
  segmentLength(head: number, index: number): number {
    let block = this.get(head, RECORD_SEGMENTS) >>> 2;
    for (; index >= BLOCK_SEGMENTS; index -= BLOCK_SEGMENTS) block = this.#nextBlock(block);
    return this.u32[block + ((BLOCK_FIRST + SEGMENT_LENGTH) >>> 2) + index * SEGMENT_WORDS]!;
  }

  /**
   * Tells of each segment that the device may write to: all writable ones, status included.
   * `tell` is the emulator's, and may grow the memory.
   */
  tellWritable(head: number, tell: GuestWriteListener): void {
    let left = this.get(head, RECORD_IN_COUNT);
    let slot = this.get(head, RECORD_OUT_COUNT);
    let block = this.get(head, RECORD_SEGMENTS) >>> 2;
    for (; left > 0; left--, slot++) {
      for (; slot >= BLOCK_SEGMENTS; slot -= BLOCK_SEGMENTS) block = this.#nextBlock(block);
      const segment = block + (BLOCK_FIRST >>> 2) + slot * SEGMENT_WORDS;
      tell(this.u32[segment]!, this.u32[segment + (SEGMENT_LENGTH >>> 2)]!);
      this.revalidate();
    }
  }

  /** As `tellWritable`, of the first `count` of QUEUE_BATCH. */
  tellBatch(queue: number, count: number, tell: GuestWriteListener): void {
    const batch = this.u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2;
    for (let i = 0; i < count; i++) this.tellWritable(this.u32[batch + i]!, tell);
  }

  /** One more kick was served. */
  countKick(queue: number): void {
    const { u32 } = this;
    const at = (queue + QUEUE_KICKS_LO) >>> 2;
    u32[at]! += 1;
    if (u32[at] === 0) u32[at + (QUEUE_KICKS_HI - QUEUE_KICKS_LO) / 4]! += 1;
  }

  #nextBlock(block: number): number {
    return this.u32[block + (BLOCK_NEXT >>> 2)]! >>> 2;
  }

  protected get(head: number, field: number): number {
    return this.u32[this.first + head * RECORD_WORDS + (field >>> 2)]!;
  }

  protected set(head: number, field: number, value: number): void {
    this.u32[this.first + head * RECORD_WORDS + (field >>> 2)] = value;
  }
}
