/**
 * The records of one block queue as TypeScript reads them: what the engine's `blkPop` found in
 * each chain, addressed by head (layout: record, segment block). Home thread of the queue.
 */

import type { SegmentVector } from '../block/io-vector.ts';
import type { Core } from '../engine/core.ts';
import {
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SEGMENTS,
  QUEUE_EPOCH,
  QUEUE_RECORDS,
  RECORD_EPOCH,
  RECORD_IN_BYTES,
  RECORD_IN_COUNT,
  RECORD_NEXT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SECTOR_HI,
  RECORD_SECTOR_LO,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  RECORD_STATUS,
  RECORD_TYPE,
  RECORD_WRITTEN,
  SEGMENT_LENGTH,
  SEGMENT_SIZE,
} from '../layout.ts';
import { VIRTIO_BLK_OUTHDR_SIZE } from '../spec.ts';
import type { GuestWriteListener } from './blk-options.ts';

const RECORD_WORDS = RECORD_SIZE / 4;
const SEGMENT_WORDS = SEGMENT_SIZE / 4;

export class BlkRecords {
  /** Core memory as of the last `refresh`: looking it up anew costs 20 ns. */
  u32!: Uint32Array;
  /** Index of the first record's first word. */
  readonly first: number;
  readonly #core: Core;
  /** Index of QUEUE_EPOCH. */
  readonly #epoch: number;

  constructor(core: Core, queue: number) {
    this.#core = core;
    this.refresh();
    this.first = this.u32[(queue + QUEUE_RECORDS) >>> 2]! >>> 2;
    this.#epoch = (queue + QUEUE_EPOCH) >>> 2;
  }

  /** After anything that may have grown the memory: a driver's call, a turn of the loop. */
  refresh(): void {
    this.u32 = this.#core.u32;
  }

  /** As `refresh`, for less: on the way of each request. */
  revalidate(): void {
    this.u32 = this.#core.keepU32(this.u32);
  }

  /** Type as the driver wrote it. */
  type(head: number): number {
    return this.#get(head, RECORD_TYPE);
  }

  sectorLo(head: number): number {
    return this.#get(head, RECORD_SECTOR_LO);
  }

  /** First sector; exact up to 2^53, and far beyond any disk above. */
  sector(head: number): number {
    return this.#get(head, RECORD_SECTOR_HI) * 0x1_0000_0000 + this.#get(head, RECORD_SECTOR_LO);
  }

  /** Device-readable bytes after the header. */
  outBytes(head: number): number {
    return this.#get(head, RECORD_OUT_BYTES) - VIRTIO_BLK_OUTHDR_SIZE;
  }

  /** Device-writable bytes before the status byte. */
  inBytes(head: number): number {
    return this.#get(head, RECORD_IN_BYTES) - 1;
  }

  /** Segments of one direction, header or status included. */
  segments(head: number, write: boolean): number {
    return this.#get(head, write ? RECORD_OUT_COUNT : RECORD_IN_COUNT);
  }

  /** Was the queue reset since this request was popped? */
  isStale(head: number): boolean {
    return this.#get(head, RECORD_EPOCH) !== Atomics.load(this.u32, this.#epoch);
  }

  /** The next request in a list of this queue's, -1 at its end. */
  next(head: number): number {
    return this.#get(head, RECORD_NEXT) - 1;
  }

  setNext(head: number, next: number): void {
    this.#set(head, RECORD_NEXT, next + 1);
  }

  /**
   * Says how the request ended. `filled`: bytes written from the start of the writable part, data
   * only. The used length counts bytes from the start without a gap, so the status byte is part of
   * it only if all before it was written (VQ-6; 2.7.8.2: an overestimate is forbidden).
   */
  finish(head: number, status: number, filled: number): void {
    const data = this.inBytes(head);
    this.#set(head, RECORD_STATUS, status);
    this.#set(head, RECORD_WRITTEN, filled >= data ? data + 1 : filled);
  }

  /**
   * Appends the data of a read or write to a driver's vector: all readable bytes after the header,
   * or all writable ones before the status byte. Header and status may share segments with data.
   */
  appendData(vector: SegmentVector, head: number, write: boolean): void {
    const { u32 } = this;
    let left = write ? this.outBytes(head) : this.inBytes(head);
    let skip = write ? VIRTIO_BLK_OUTHDR_SIZE : 0;
    let slot = write ? 0 : this.#get(head, RECORD_OUT_COUNT);
    let block = this.#get(head, RECORD_SEGMENTS) >>> 2;
    for (; slot >= BLOCK_SEGMENTS; slot -= BLOCK_SEGMENTS) block = this.#nextBlock(block);
    while (left > 0) {
      if (slot === BLOCK_SEGMENTS) {
        slot = 0;
        block = this.#nextBlock(block);
      }
      const segment = block + (BLOCK_FIRST >>> 2) + slot++ * SEGMENT_WORDS;
      const length = u32[segment + (SEGMENT_LENGTH >>> 2)]!;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const part = Math.min(length - skip, left);
      vector.append(u32[segment]! + skip, part);
      left -= part;
      skip = 0;
    }
  }

  /**
   * Where the data of a read or write begins in guest RAM's buffer if it lies in one segment, as
   * `appendData` would append it; else -1.
   */
  dataStart(head: number, write: boolean, bytes: number): number {
    const slot = write ? 1 : this.#get(head, RECORD_OUT_COUNT);
    if (slot >= BLOCK_SEGMENTS) return -1;
    const segment =
      (this.#get(head, RECORD_SEGMENTS) >>> 2) + (BLOCK_FIRST >>> 2) + slot * SEGMENT_WORDS;
    // To the disk the header must be the whole of the first segment, and data all of the second.
    if (write && this.segmentLength(head, 0) !== VIRTIO_BLK_OUTHDR_SIZE) return -1;
    if (this.u32[segment + (SEGMENT_LENGTH >>> 2)]! < bytes) return -1;
    return this.u32[segment]!;
  }

  /** Length of segment `index` of the chain, readable ones first. */
  segmentLength(head: number, index: number): number {
    let block = this.#get(head, RECORD_SEGMENTS) >>> 2;
    for (; index >= BLOCK_SEGMENTS; index -= BLOCK_SEGMENTS) block = this.#nextBlock(block);
    return this.u32[block + ((BLOCK_FIRST + SEGMENT_LENGTH) >>> 2) + index * SEGMENT_WORDS]!;
  }

  /**
   * Tells of each segment that the device may write to: all writable ones, status included.
   * `tell` is the emulator's, and may grow the memory.
   */
  tellWritable(head: number, tell: GuestWriteListener): void {
    let left = this.#get(head, RECORD_IN_COUNT);
    let slot = this.#get(head, RECORD_OUT_COUNT);
    let block = this.#get(head, RECORD_SEGMENTS) >>> 2;
    for (; left > 0; left--, slot++) {
      for (; slot >= BLOCK_SEGMENTS; slot -= BLOCK_SEGMENTS) block = this.#nextBlock(block);
      const segment = block + (BLOCK_FIRST >>> 2) + slot * SEGMENT_WORDS;
      tell(this.u32[segment]!, this.u32[segment + (SEGMENT_LENGTH >>> 2)]!);
      this.revalidate();
    }
  }

  #nextBlock(block: number): number {
    return this.u32[block + (BLOCK_NEXT >>> 2)]! >>> 2;
  }

  #get(head: number, field: number): number {
    return this.u32[this.first + head * RECORD_WORDS + (field >>> 2)]!;
  }

  #set(head: number, field: number, value: number): void {
    this.u32[this.first + head * RECORD_WORDS + (field >>> 2)] = value;
  }
}
