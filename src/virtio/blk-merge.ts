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
   * Sorts by sector; requests of the same sector keep their order. An insertion sort: short lists,
   * mostly sorted ones, and nothing is allocated.
   */
  sort(): void {
    const { heads, sectors, lengths, segments } = this;
    for (let i = 1; i < this.count; i++) {
      const sector = sectors[i]!;
      if (sectors[i - 1]! <= sector) continue;
      const head = heads[i]!;
      const length = lengths[i]!;
      const count = segments[i]!;
      let at = i;
      for (; at > 0 && sectors[at - 1]! > sector; at--) {
        heads[at] = heads[at - 1]!;
        sectors[at] = sectors[at - 1]!;
        lengths[at] = lengths[at - 1]!;
        segments[at] = segments[at - 1]!;
      }
      heads[at] = head;
      sectors[at] = sector;
      lengths[at] = length;
      segments[at] = count;
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
