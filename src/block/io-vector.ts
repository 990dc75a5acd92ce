/** Scatter-gather lists on the host's side: which bytes of the caller a request is about. */

import type { IoVector } from './driver.ts';

const FIRST_CAPACITY = 16;

/**
 * A vector that is filled again and again. Its tables grow to the longest list it ever held, so
 * that a steady stream of requests allocates nothing.
 */
export class SegmentVector implements IoVector {
  bytes: Uint8Array;
  count = 0;
  /** Offsets into `bytes`. */
  starts = new Float64Array(FIRST_CAPACITY);
  lengths = new Float64Array(FIRST_CAPACITY);
  /** Bytes of all segments. */
  total = 0;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.bytes = bytes;
  }

  /** Empties the vector; what is appended next lies in `bytes`. */
  reset(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.count = 0;
    this.total = 0;
  }

  /** Adds `bytes[start .. start + length)`. A segment that follows the last one extends it. */
  append(start: number, length: number): void {
    const last = this.count - 1;
    this.total += length;
    if (last >= 0 && this.starts[last]! + this.lengths[last]! === start) {
      this.lengths[last]! += length;
      return;
    }
    if (this.count === this.starts.length) this.#grow();
    this.starts[this.count] = start;
    this.lengths[this.count] = length;
    this.count += 1;
  }

  /** Makes this `length` bytes of `from`, after `skip` of them. The tables are copied. */
  slice(from: IoVector, skip: number, length: number): void {
    this.reset(from.bytes);
    for (let i = 0; i < from.count && length > 0; i++) {
      const size = from.lengths[i] as number;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const part = Math.min(size - skip, length);
      this.append((from.starts[i] as number) + skip, part);
      skip = 0;
      length -= part;
    }
  }

  #grow(): void {
    const { starts, lengths } = this;
    this.starts = new Float64Array(starts.length * 2);
    this.lengths = new Float64Array(starts.length * 2);
    this.starts.set(starts);
    this.lengths.set(lengths);
  }
}

/** Bytes of all segments. */
export function vectorLength(vector: IoVector): number {
  let total = 0;
  for (let i = 0; i < vector.count; i++) total += vector.lengths[i] as number;
  return total;
}

/** Copies up to `length` bytes of `vector`, after `skip` of them, to `to[at ..]`. */
export function gather(
  vector: IoVector,
  skip: number,
  to: Uint8Array,
  at: number,
  length: number,
): void {
  for (let i = 0; i < vector.count && length > 0; i++) {
    const size = vector.lengths[i] as number;
    if (skip >= size) {
      skip -= size;
      continue;
    }
    const start = (vector.starts[i] as number) + skip;
    const part = Math.min(size - skip, length);
    to.set(vector.bytes.subarray(start, start + part), at);
    skip = 0;
    at += part;
    length -= part;
  }
}

/** Copies up to `length` bytes from `from[at ..]` to `vector`, after `skip` bytes of it. */
export function scatter(
  vector: IoVector,
  skip: number,
  from: Uint8Array,
  at: number,
  length: number,
): void {
  for (let i = 0; i < vector.count && length > 0; i++) {
    const size = vector.lengths[i] as number;
    if (skip >= size) {
      skip -= size;
      continue;
    }
    const part = Math.min(size - skip, length);
    vector.bytes.set(from.subarray(at, at + part), (vector.starts[i] as number) + skip);
    skip = 0;
    at += part;
    length -= part;
  }
}

/** Zeroes up to `length` bytes of `vector`, after `skip` of them. */
export function zeroVector(vector: IoVector, skip: number, length: number): void {
  for (let i = 0; i < vector.count && length > 0; i++) {
    const size = vector.lengths[i] as number;
    if (skip >= size) {
      skip -= size;
      continue;
    }
    const start = (vector.starts[i] as number) + skip;
    const part = Math.min(size - skip, length);
    vector.bytes.fill(0, start, start + part);
    skip = 0;
    length -= part;
  }
}
