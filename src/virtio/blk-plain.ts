/**
 * The usual requests of a batch: reads or writes of one direction that break no rule and whose data
 * lies in one segment. The engine finds them (`blkCollect`) and ends them (`blkFinish`); between
 * the two a driver that answers at once goes through the rows of a table. What one request costs
 * here is what such a disk is slower than its host.
 */

import type { DirectBatch, RowTable, RowTransfer } from '../block/direct-batch.ts';
import type { Core } from '../engine/core.ts';
import {
  PLAIN_LENGTHS,
  PLAIN_OFFSETS,
  PLAIN_RESULTS,
  PLAIN_ROWS,
  PLAIN_STARTS,
  QUEUE_PLAIN,
  RECORD_IN_BYTES,
  RECORD_SIZE,
  RECORD_STATUS,
  RECORD_WRITTEN,
} from '../layout.ts';
import { VIRTIO_BLK_S_OK } from '../spec.ts';
import type { BlkRecords } from './blk-records.ts';

// All in words: fields of a record.
const RECORD = RECORD_SIZE >>> 2;
const IN_BYTES = RECORD_IN_BYTES >>> 2;
const STATUS = RECORD_STATUS >>> 2;
const WRITTEN = RECORD_WRITTEN >>> 2;

/** A queue's plain table in core memory (layout: plain table). Home thread of the queue. */
export class PlainTable implements RowTable {
  count = 0;
  offsets!: Float64Array;
  starts!: Float64Array;
  lengths!: Float64Array;
  results!: Float64Array;
  readonly #core: Core;
  readonly #address: number;

  constructor(core: Core, queue: number) {
    this.#core = core;
    this.#address = core.u32[(queue + QUEUE_PLAIN) >>> 2]!;
    this.#view();
  }

  /** The first `count` rows as they are now; good until the memory may grow. */
  take(count: number): this {
    this.count = count;
    // Views of a memory that has grown are detached; of one that is shared they stay good.
    if (this.offsets.length === 0 || !this.#core.viewsDetach) this.#view();
    return this;
  }

  /**
   * Adds those rows to `batch` whose result is not their length, with what is to be made of it. The
   * heads stand in `u32[at ..]`.
   */
  copyOdd(batch: DirectBatch, u32: Uint32Array, at: number, transfer: RowTransfer): void {
    const { count, offsets, starts, lengths, results } = this;
    for (let i = 0; i < count; i++) {
      if (results[i] === lengths[i]) continue;
      batch.results[batch.count] = transfer.resultOf(results[i]!);
      batch.add(u32[at + i]!, offsets[i]!, starts[i]!, lengths[i]!);
    }
  }

  #view(): void {
    const { buffer } = this.#core.u32;
    if (this.offsets?.buffer === buffer) return;
    const column = (at: number) => new Float64Array(buffer, this.#address + at, PLAIN_ROWS);
    this.offsets = column(PLAIN_OFFSETS);
    this.starts = column(PLAIN_STARTS);
    this.lengths = column(PLAIN_LENGTHS);
    this.results = column(PLAIN_RESULTS);
  }
}

/**
 * Writes into the records of a batch, tagged by head, how those have ended whose result is 0: as
 * `BlkRecords.finish` does with all of the data. Lists them at `u32[done ..]`, and says how many.
 */
export function finishPlain(
  records: BlkRecords,
  batch: DirectBatch,
  write: boolean,
  done: number,
): number {
  const { u32, first } = records;
  const { count, tags, results } = batch;
  let at = done;
  for (let i = 0; i < count; i++) {
    if (results[i] !== 0) continue;
    const head = tags[i]!;
    const record = first + head * RECORD;
    const inBytes = u32[record + IN_BYTES]!;
    u32[record + STATUS] = VIRTIO_BLK_S_OK;
    // Of a write only the status byte was written, which counts if nothing is before it.
    u32[record + WRITTEN] = write && inBytes > 1 ? 0 : inBytes;
    u32[at++] = head;
  }
  return at - done;
}
