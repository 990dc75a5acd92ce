/**
 * Reads or writes of one direction that wait to be submitted together (BL-6). What follows
 * another on the disk becomes one request of the driver; each member is still completed by itself.
 * QEMU: `virtio_blk_submit_multireq`.
 *
 * Its tables are those of a direct batch, tagged by head: if no two members are neighbours and each
 * lies in one segment, the lane is given it as it is.
 */

import { DirectBatch } from '../block/direct-batch.ts';
import { SECTOR_SIZE } from '../spec.ts';

/** Most requests that are collected (QEMU: VIRTIO_BLK_MAX_MERGE_REQS). */
export const MERGE_REQUESTS_MAX = 32;
/** From an offset to a key with room for a place in the batch. Exact: offsets are whole sectors. */
const KEY_SCALE = MERGE_REQUESTS_MAX / SECTOR_SIZE;
const PER_SECTOR = 1 / SECTOR_SIZE;
/** Bits by which `hasNeighbours` knows sectors: 2^12, far more than members. */
const BITS_SHIFT = 12;

export class MergeBatch extends DirectBatch {
  /** The direction of all members. */
  write = false;
  /** Members that do not lie in one segment: their `starts` are -1. */
  scattered = 0;
  /** Per member: its scatter list's length in segments. */
  readonly segments = new Uint32Array(MERGE_REQUESTS_MAX);

  /** Offset and place of each member; ascending once sorted. */
  readonly #keys = new Float64Array(MERGE_REQUESTS_MAX);
  readonly #old = new DirectBatch(MERGE_REQUESTS_MAX);
  readonly #oldSegments = new Uint32Array(MERGE_REQUESTS_MAX);

  /** By `bitOf` of a sector: may a member begin there? */
  readonly #startBits = new Int32Array((1 << BITS_SHIFT) / 32);

  constructor() {
    super(MERGE_REQUESTS_MAX);
  }

  get full(): boolean {
    return this.count === MERGE_REQUESTS_MAX;
  }

  /** Adds a request; the caller made sure that there is room and that the direction is `write`. */
  collect(head: number, offset: number, start: number, length: number, segments: number): void {
    this.segments[this.count] = segments;
    if (start < 0) this.scattered++;
    this.add(head, offset, start, length);
  }

  override clear(): void {
    super.clear();
    this.write = false;
    this.scattered = 0;
  }

  /**
   * Does a member begin where another ends? Where none does nothing can be merged, and there is
   * nothing to sort for. Bits stand for sectors, so that few members are compared with all others.
   */
  hasNeighbours(): boolean {
    const { count, offsets, lengths } = this;
    const bits = this.#startBits;
    if (count < 2) return false;
    bits.fill(0);
    for (let i = 0; i < count; i++) {
      const bit = bitOf(offsets[i]!);
      bits[bit >>> 5]! |= 1 << (bit & 31);
    }
    for (let i = 0; i < count; i++) {
      const end = offsets[i]! + lengths[i]!;
      const bit = bitOf(end);
      if ((bits[bit >>> 5]! >>> (bit & 31)) & 1 && this.#beginsAt(end)) return true;
    }
    return false;
  }

  #beginsAt(offset: number): boolean {
    for (let i = 0; i < this.count; i++) if (this.offsets[i] === offset) return true;
    return false;
  }

  /**
   * Sorts by offset; requests of the same offset keep their order. An insertion sort of keys that
   * hold offset and place: short lists, and nothing is allocated.
   */
  sort(): void {
    const { count, offsets } = this;
    const keys = this.#keys;
    for (let i = 0; i < count; i++) {
      const key = offsets[i]! * KEY_SCALE + i;
      let at = i;
      for (; at > 0 && keys[at - 1]! > key; at--) keys[at] = keys[at - 1]!;
      keys[at] = key;
    }
    this.#arrange();
  }

  /** Brings the tables into the order of the keys. */
  #arrange(): void {
    const { count, tags, offsets, starts, lengths, segments } = this;
    const keys = this.#keys;
    const old = this.#old;
    old.clear();
    for (let i = 0; i < count; i++) {
      this.#oldSegments[i] = segments[i]!;
      old.add(tags[i]!, offsets[i]!, starts[i]!, lengths[i]!);
    }
    for (let i = 0; i < count; i++) {
      const from = keys[i]! % MERGE_REQUESTS_MAX;
      tags[i] = old.tags[from]!;
      offsets[i] = old.offsets[from]!;
      starts[i] = old.starts[from]!;
      lengths[i] = old.lengths[from]!;
      segments[i] = this.#oldSegments[from]!;
    }
  }

  /**
   * Where the run of neighbours that starts at `from` ends (exclusive): each member begins where
   * the one before it ended, and together they keep within both limits. At least one member.
   */
  runEnd(from: number, maxSegments: number, maxBytes: number): number {
    const { offsets, lengths, segments } = this;
    let end = offsets[from]! + lengths[from]!;
    let length = lengths[from]!;
    let count = segments[from]!;
    let to = from + 1;
    for (; to < this.count; to++) {
      length += lengths[to]!;
      count += segments[to]!;
      if (offsets[to] !== end || count > maxSegments || length > maxBytes) break;
      end += lengths[to]!;
    }
    return to;
  }
}

/** A bit's number for a sector's: the upper bits of a product (Fibonacci hashing). */
function bitOf(offset: number): number {
  return Math.imul(offset * PER_SECTOR, 0x9e37_79b1) >>> (32 - BITS_SHIFT);
}
