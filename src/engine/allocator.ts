/**
 * Who owns which bytes of the core's arenas. First fit over a sorted list of free ranges, which are
 * joined again when they touch. The bookkeeping lies outside the memory it keeps, so nothing that
 * overruns a structure can damage it. Main thread only.
 */

import { CoreError } from './core-error.ts';

/** Bytes `start` up to `end`, which does not belong to it. */
export interface Range {
  start: number;
  end: number;
}

/** Every block is a multiple of this, and at least so aligned. */
const GRAIN = 8;

export class Allocator {
  /** Sorted, disjoint, no two adjacent. */
  readonly #free: Range[] = [];
  /** Address to bytes of each block in use. */
  readonly #used = new Map<number, number>();
  readonly #grow: (bytes: number) => Range;
  #bytes = 0;

  /** `grow` makes at least `bytes` more and returns their range, or throws CoreError ENOMEM. */
  constructor(grow: (bytes: number) => Range) {
    this.#grow = grow;
  }

  /** Bytes in use, each block rounded up to 8. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes `bytes` at a multiple of `align`, a power of two. What they hold is anybody's guess. */
  take(bytes: number, align: number): number {
    if (!Number.isSafeInteger(bytes) || bytes <= 0) {
      throw new CoreError('EINVAL', `cannot allocate ${bytes} bytes`);
    }
    if (align < 1 || align > 65536 || (align & (align - 1)) !== 0) {
      throw new CoreError('EINVAL', `alignment ${align} is no power of two up to 65536`);
    }
    const size = Math.ceil(bytes / GRAIN) * GRAIN;
    const step = Math.max(align, GRAIN);
    let address = this.#fit(size, step);
    if (address < 0) {
      this.give(this.#grow(size + step - GRAIN));
      address = this.#fit(size, step);
    }
    this.#used.set(address, size);
    this.#bytes += size;
    return address;
  }

  /** Gives a block back. Throws EINVAL for an address that `take` did not return, or twice. */
  release(address: number): void {
    const size = this.#used.get(address);
    if (size === undefined) throw new CoreError('EINVAL', `no block begins at ${address}`);
    this.#used.delete(address);
    this.#bytes -= size;
    this.give({ start: address, end: address + size });
  }

  /** Bytes of the block at `address`. */
  sizeOf(address: number): number {
    return this.#used.get(address) ?? 0;
  }

  /** Adds a free range: new memory, or a block given back. */
  give(range: Range): void {
    const free = this.#free;
    let low = 0;
    for (let high = free.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (free[middle]!.start < range.start) low = middle + 1;
      else high = middle;
    }
    const before = free[low - 1];
    const after = free[low];
    const joinsAfter = after !== undefined && after.start === range.end;
    if (before !== undefined && before.end === range.start) {
      before.end = joinsAfter ? after.end : range.end;
      if (joinsAfter) free.splice(low, 1);
    } else if (joinsAfter) after.start = range.start;
    else free.splice(low, 0, { start: range.start, end: range.end });
  }

  #fit(size: number, align: number): number {
    for (const [index, range] of this.#free.entries()) {
      const address = Math.ceil(range.start / align) * align;
      const end = address + size;
      if (end > range.end) continue;
      const rest: Range[] = [];
      if (address > range.start) rest.push({ start: range.start, end: address });
      if (end < range.end) rest.push({ start: end, end: range.end });
      this.#free.splice(index, 1, ...rest);
      return address;
    }
    return -1;
  }
}
