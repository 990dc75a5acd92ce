/**
 * Reads or writes that need none of a lane request's machinery: one segment of guest RAM each, for
 * a driver that settles before it returns. The lane checks them, does them in a loop that does
 * little else (after a system call the caches are cold for all that comes between), and counts them
 * together. Tables instead of objects; nothing is allocated.
 */

/** Most members of a batch. */
export const DIRECT_MAX = 32;

/** A member's result: `BackendLane.submit` must be asked to do it, from its beginning. */
export const LONG_WAY = 1;

export class DirectBatch {
  count = 0;
  /** Per member: first byte on the disk, first byte in guest RAM's buffer, and bytes. */
  readonly offsets = new Float64Array(DIRECT_MAX);
  readonly starts = new Float64Array(DIRECT_MAX);
  readonly lengths = new Float64Array(DIRECT_MAX);
  /** For the owner: which of its requests this is. */
  readonly tags = new Uint32Array(DIRECT_MAX);
  /** 0: done. LONG_WAY. -EAGAIN: the gate was closed. Else the negative errno. */
  readonly results = new Float64Array(DIRECT_MAX);

  /** Adds a member; the owner made sure that there is room. */
  add(tag: number, offset: number, start: number, length: number): void {
    const at = this.count++;
    this.tags[at] = tag;
    this.offsets[at] = offset;
    this.starts[at] = start;
    this.lengths[at] = length;
  }
}
