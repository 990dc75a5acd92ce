/**
 * Reads or writes of one direction that wait to be submitted together (BL-6). What follows
 * another on the disk becomes one request of the driver; each member is still completed by itself.
 * QEMU: `virtio_blk_submit_multireq`.
 */

/** Most requests that are collected (QEMU: VIRTIO_BLK_MAX_MERGE_REQS). */
export const MERGE_REQUESTS_MAX = 32;

export class MergeBatch {
  /** How many requests wait. */
  count = 0;
  /** Their direction. */
  write = false;
  /** Per request: head, first sector, length in sectors, scatter list's length in segments. */
  readonly heads = new Uint32Array(MERGE_REQUESTS_MAX);
  readonly sectors = new Float64Array(MERGE_REQUESTS_MAX);
  readonly lengths = new Float64Array(MERGE_REQUESTS_MAX);
  readonly segments = new Uint32Array(MERGE_REQUESTS_MAX);

  readonly #keys = new Float64Array(MERGE_REQUESTS_MAX);
  readonly #old = {
    heads: new Uint32Array(MERGE_REQUESTS_MAX),
    lengths: new Float64Array(MERGE_REQUESTS_MAX),
    segments: new Uint32Array(MERGE_REQUESTS_MAX),
  };

  get full(): boolean {
    return this.count === MERGE_REQUESTS_MAX;
  }

  /** Adds a request; the caller made sure that there is room and that the direction is `write`. */
  add(head: number, sector: number, length: number, segments: number): void {
    const at = this.count++;
    this.heads[at] = head;
    this.sectors[at] = sector;
    this.lengths[at] = length;
    this.segments[at] = segments;
  }

  /**
   * Sorts by sector; requests of the same sector keep their order. An insertion sort of keys that
   * hold sector and place: short lists, and nothing is allocated.
   */
  sort(): void {
    const { count, sectors } = this;
    const keys = this.#keys;
    let sorted = true;
    for (let i = 0; i < count; i++) {
      const key = sectors[i]! * MERGE_REQUESTS_MAX + i;
      let at = i;
      for (; at > 0 && keys[at - 1]! > key; at--) keys[at] = keys[at - 1]!;
      keys[at] = key;
      if (at !== i) sorted = false;
    }
    if (!sorted) this.#arrange();
  }

  /** Brings the tables into the order of the keys. */
  #arrange(): void {
    const { count, heads, sectors, lengths, segments } = this;
    const keys = this.#keys;
    const old = this.#old;
    for (let i = 0; i < count; i++) {
      old.heads[i] = heads[i]!;
      old.lengths[i] = lengths[i]!;
      old.segments[i] = segments[i]!;
    }
    for (let i = 0; i < count; i++) {
      const sector = Math.floor(keys[i]! / MERGE_REQUESTS_MAX);
      const from = keys[i]! - sector * MERGE_REQUESTS_MAX;
      heads[i] = old.heads[from]!;
      sectors[i] = sector;
      lengths[i] = old.lengths[from]!;
      segments[i] = old.segments[from]!;
    }
  }

  /**
   * Where the run of neighbours that starts at `from` ends (exclusive): each member begins where
   * the one before it ended, and together they keep within both limits. At least one member.
   */
  runEnd(from: number, maxSegments: number, maxSectors: number): number {
    const { sectors, lengths, segments } = this;
    let end = sectors[from]! + lengths[from]!;
    let length = lengths[from]!;
    let count = segments[from]!;
    let to = from + 1;
    for (; to < this.count; to++) {
      length += lengths[to]!;
      count += segments[to]!;
      if (sectors[to] !== end || count > maxSegments || length > maxSectors) break;
      end += lengths[to]!;
    }
    return to;
  }
}
