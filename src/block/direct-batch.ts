/**
 * Reads or writes that need none of a lane request's machinery: one segment of guest RAM each, for
 * a driver that settles before it returns. The lane checks them, does them in a loop that does
 * little else (after a system call the caches are cold for all that comes between), and counts them
 * together. Tables instead of objects; nothing is allocated.
 */

/** A member's result: `BackendLane.submit` must be asked to do it, from its beginning. */
export const LONG_WAY = 1;

export class DirectBatch {
  count = 0;
  /** Per member: first byte on the disk, first byte in guest RAM's buffer, and bytes. */
  readonly offsets: Float64Array;
  readonly starts: Float64Array;
  readonly lengths: Float64Array;
  /** For the owner: which of its requests this is. */
  readonly tags: Uint32Array;
  /** 0: done. LONG_WAY. -EAGAIN: the gate was closed. Else the negative errno. */
  readonly results: Float64Array;

  /** `capacity`: most members. */
  constructor(capacity: number) {
    this.offsets = new Float64Array(capacity);
    this.starts = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
    this.tags = new Uint32Array(capacity);
    this.results = new Float64Array(capacity);
  }

  /** Adds a member; the owner made sure that there is room. */
  add(tag: number, offset: number, start: number, length: number): void {
    const at = this.count++;
    this.tags[at] = tag;
    this.offsets[at] = offset;
    this.starts[at] = start;
    this.lengths[at] = length;
  }
}
