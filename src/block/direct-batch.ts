/**
 * Reads or writes that need none of a lane request's machinery: one segment of guest RAM each, for
 * a driver that settles before it returns. The lane checks them, does them in a loop that does
 * little else (after a system call the caches are cold for all that comes between), and counts them
 * together. Tables instead of objects; nothing is allocated.
 */

import type { OP_READ, OP_WRITE, RequestTable } from './driver.ts';

/** A member's result: `BackendLane.submit` must be asked to do it, from its beginning. */
export const LONG_WAY = 1;

export class DirectBatch implements RequestTable {
  count = 0;
  /** The largest `offset + length` of all members. */
  end = 0;
  /** Per member: first byte on the disk, first byte in guest RAM's buffer, and bytes. */
  readonly offsets: Float64Array;
  readonly starts: Float64Array;
  readonly lengths: Float64Array;
  /** For the owner: which of its requests this is. */
  readonly tags: Uint32Array;
  /** By the lane. 0: done. LONG_WAY. -EAGAIN: the gate was closed. Else the negative errno. */
  readonly results: Float64Array;

  /** `capacity`: most members. */
  constructor(capacity: number) {
    // All in one piece: fewer pages to look up again after each system call.
    const buffer = new ArrayBuffer(capacity * 36);
    const column = (n: number) => new Float64Array(buffer, n * capacity * 8, capacity);
    this.offsets = column(0);
    this.starts = column(1);
    this.lengths = column(2);
    this.results = column(3);
    this.tags = new Uint32Array(buffer, capacity * 32, capacity);
  }

  /** Adds a member; the owner made sure that there is room. */
  add(tag: number, offset: number, start: number, length: number): void {
    const at = this.count++;
    this.tags[at] = tag;
    this.offsets[at] = offset;
    this.starts[at] = start;
    this.lengths[at] = length;
    if (offset + length > this.end) this.end = offset + length;
  }

  clear(): void {
    this.count = 0;
    this.end = 0;
  }
}

/** A table in core memory: `take` once more after what may have grown it. */
export interface RowTable extends RequestTable {
  take(count: number): RequestTable;
}

/** What is left to do after a lane's `transferRows`, in this order. */
export interface RowTransfer {
  /** `done` requests have succeeded, and the owner has counted them. */
  stopClock(op: typeof OP_READ | typeof OP_WRITE, done: number): void;
  /** What the owner is to make of an answer that is not the length: as `DirectBatch.results`. */
  resultOf(result: number): number;
}
