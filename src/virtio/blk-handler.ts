/**
 * What becomes of one popped block request: it is checked, and answered, or collected for the lane
 * (design section 1, step 6). Belongs to one `BlkQueue` and its home thread; knows nothing of
 * notifications and loops. QEMU: `virtio_blk_handle_request` and what it calls.
 */

import { DirectBatch, LONG_WAY, type RowTransfer } from '../block/direct-batch.ts';
import {
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_MAY_UNMAP,
} from '../block/driver.ts';
import type { BackendLane } from '../block/lane.ts';
import type { Core } from '../engine/core.ts';
import { PLAIN_NEIGHBOURS, PLAIN_WRITE } from '../engine/engine.ts';
import {
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BROKEN_HEADERS,
  PLAIN_ROWS,
  QUEUE_BATCH,
} from '../layout.ts';
import {
  SECTOR_SHIFT,
  SECTOR_SIZE,
  VIRTIO_BLK_DISCARD_SEGMENT_SIZE,
  VIRTIO_BLK_ID_BYTES,
  VIRTIO_BLK_OUTHDR_SIZE,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_SCSI_CMD,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_F_UNMAP,
} from '../spec.ts';
import { MERGE_REQUESTS_MAX, MergeBatch } from './blk-merge.ts';
import { PlainTable } from './blk-plain.ts';
import type { BlkRecords } from './blk-records.ts';
import type { BlkSubmitter } from './blk-submitter.ts';
import {
  type QueueConfig,
  REQUEST_SECTORS_MAX,
  SCRATCH_SCSI_ERRORS,
  SCRATCH_SEGMENT,
  SCRATCH_SERIAL,
} from './queue-config.ts';

/** How many rows, in the result of `blkCollect`. */
const COUNT_MASK = 0xffff;
/** A type without direction and barrier (BL-2). */
const TYPE_MASK = ~VIRTIO_BLK_T_OUT & ~VIRTIO_BLK_T_BARRIER;
/** Sectors of a byte; exact, and cheaper than to divide. */
const PER_SECTOR = 1 / SECTOR_SIZE;
const DISCARD = VIRTIO_BLK_T_DISCARD & TYPE_MASK;
const WRITE_ZEROES = VIRTIO_BLK_T_WRITE_ZEROES & TYPE_MASK;
/** virtio_scsi_inhdr { errors, data_len, sense_len, residual: u32 } of old drivers. */
const SCSI_INHDR_SIZE = 16;
/** Anything but zero makes the ioctl fail in the guest. */
const SCSI_ERRORS = 255;

export class BlkHandler {
  readonly #core: Core;
  readonly #lane: BackendLane;
  readonly #config: QueueConfig;
  readonly #records: BlkRecords;
  readonly #submitter: BlkSubmitter;
  readonly #merge = new MergeBatch();
  /** Members of the merge batch that have no neighbour, while others have one. */
  readonly #direct = new DirectBatch(MERGE_REQUESTS_MAX);
  readonly #rows: PlainTable;
  /** Index of QUEUE_BATCH's first word. */
  readonly #batch: number;
  readonly #blockSectors: number;
  /** Bytes of the serial with its zero byte, if that has room in 20 bytes. */
  readonly #serialBytes: number;

  constructor(
    core: Core,
    lane: BackendLane,
    config: QueueConfig,
    records: BlkRecords,
    submitter: BlkSubmitter,
  ) {
    this.#core = core;
    this.#lane = lane;
    this.#config = config;
    this.#records = records;
    this.#submitter = submitter;
    this.#rows = new PlainTable(core, config.queue);
    this.#batch = core.u32[(config.queue + QUEUE_BATCH) >>> 2]! >>> 2;
    this.#blockSectors = config.logicalBlockSize >>> SECTOR_SHIFT;
    const serial = new TextEncoder().encode(config.serial).subarray(0, VIRTIO_BLK_ID_BYTES);
    const serialAt = config.scratch + SCRATCH_SERIAL;
    core.u8.fill(0, serialAt, serialAt + VIRTIO_BLK_ID_BYTES);
    core.u8.set(serial, serialAt);
    this.#serialBytes = Math.min(serial.length + 1, VIRTIO_BLK_ID_BYTES);
    core.u32[(config.scratch + SCRATCH_SCSI_ERRORS) >>> 2] = SCSI_ERRORS;
  }

  /**
   * Collects popped requests, whose heads stand in `u32[from .. to)` of the records, for as long as
   * they are plain. Returns the index of the first that is not: it is for `handle`.
   */
  collect(from: number, to: number): number {
    const { queue, backend, logicalBlockSize: block, requestMerging } = this.#config;
    if (!requestMerging) return from;
    for (let at = from; ; ) {
      const place = at - this.#batch;
      const found = this.#core.engine.blkCollect(queue, place, to - at, backend, block);
      const count = found & COUNT_MASK;
      const write = (found & PLAIN_WRITE) !== 0;
      const alone = this.#merge.count === 0 && at + count === to && !(found & PLAIN_NEIGHBOURS);
      if (!alone || !this.#transferRows(at, count, write)) this.#mergeRows(at, count, write);
      at += count;
      if (at === to || count < PLAIN_ROWS) return at;
    }
  }

  /** The rows of the plain table are of the heads from `u32[at]` on: they join the merge batch. */
  #mergeRows(at: number, count: number, write: boolean): void {
    for (let i = 0; i < count; i++) {
      const { offsets, starts, lengths } = this.#rows.take(count);
      this.#join(this.#records.u32[at + i]!, write, offsets[i]!, starts[i]!, lengths[i]!);
    }
  }

  /** Does them at once, if the lane and its driver are made for it. */
  #transferRows(at: number, count: number, write: boolean): boolean {
    if (count === 0 || !this.#lane.direct || this.#submitter.tellsWrites) return false;
    const op = write ? OP_WRITE : OP_READ;
    const transfer = this.#lane.transferRows(op, this.#rows.take(count));
    this.#records.revalidate();
    if (!transfer) return false;
    const ended = this.#submitter.finishRows(at - this.#batch, count);
    transfer.stopClock(op, ended);
    if (ended < count) this.#finishOdd(at, transfer, write);
    return true;
  }

  /** Those of the rows that are not done, by the general way, which may grow the memory. */
  #finishOdd(at: number, transfer: RowTransfer, write: boolean): void {
    this.#rows.copyOdd(this.#direct, this.#records.u32, at, transfer);
    this.#merge.write = write;
    this.#endOdd(this.#direct);
    this.forget();
  }

  /**
   * Takes a popped request. False: it broke the queue and is detached, and so is every request
   * that the caller still has to hand over.
   */
  handle(head: number): boolean {
    const type = this.#records.type(head);
    switch (type & TYPE_MASK) {
      case VIRTIO_BLK_T_IN:
        this.#transfer(head, (type & VIRTIO_BLK_T_OUT) !== 0);
        return true;
      case VIRTIO_BLK_T_FLUSH:
        // Writes of this batch come first (BL-7).
        if (this.#merge.write) this.submitBatch();
        this.#submitter.submit(OP_FLUSH, head, 0, 0, 0);
        return true;
      case VIRTIO_BLK_T_GET_ID:
        this.#getId(head);
        return true;
      case VIRTIO_BLK_T_SCSI_CMD:
        this.#scsiCommand(head);
        return true;
      case DISCARD:
      case WRITE_ZEROES:
        return this.#discardOrWriteZeroes(head, type);
      default:
        this.#submitter.complete(head, VIRTIO_BLK_S_UNSUPP, 0);
        return true;
    }
  }

  // ---- Reads and writes -----------------------------------------------------------------------

  #transfer(head: number, write: boolean): void {
    const records = this.#records;
    const bytes = write ? records.outBytes(head) : records.inBytes(head);
    const sector = records.sector(head);
    if (!this.#inRange(sector, records.sectorLo(head), bytes) || (write && this.#readOnly())) {
      this.#refuse(head);
      return;
    }
    if (bytes === 0) {
      this.#submitter.complete(head, VIRTIO_BLK_S_OK, 0);
      return;
    }
    const start = records.dataStart(head, write, bytes);
    this.#join(head, write, sector * SECTOR_SIZE, start, bytes);
    if (!this.#config.requestMerging) this.submitBatch();
  }

  #join(head: number, write: boolean, offset: number, start: number, bytes: number): void {
    const merge = this.#merge;
    if (merge.count > 0 && (merge.full || merge.write !== write)) this.submitBatch();
    merge.write = write;
    merge.collect(head, offset, start, bytes, this.#records.segments(head, write));
  }

  /**
   * Submits what was collected, neighbours as one (BL-6). The lane's short way is for what lies
   * in one segment.
   */
  submitBatch(): void {
    const merge = this.#merge;
    if (merge.count === 0) return;
    if (merge.scattered > 0 || !this.#lane.direct || merge.hasNeighbours()) this.#submitRuns();
    else this.#transferDirect(merge);
    merge.clear();
  }

  #submitRuns(): void {
    const merge = this.#merge;
    const direct = this.#direct;
    const { tags, offsets, starts, lengths } = merge;
    const { mergeSegments, mergeBytes } = this.#config;
    merge.sort();
    for (let from = 0; from < merge.count; ) {
      const to = merge.runEnd(from, mergeSegments, mergeBytes);
      if (to - from === 1 && starts[from]! >= 0 && this.#lane.direct) {
        direct.add(tags[from]!, offsets[from]!, starts[from]!, lengths[from]!);
      } else {
        this.#transferDirect(direct);
        this.#submitRun(merge, from, to);
      }
      from = to;
    }
    this.#transferDirect(direct);
  }

  /** Empties `batch`, which is of the merge batch's direction. */
  #transferDirect(batch: DirectBatch): void {
    const { write } = this.#merge;
    if (batch.count === 0) return;
    this.#lane.transfer(write ? OP_WRITE : OP_READ, batch);
    this.#records.revalidate();
    if (!this.#submitter.succeeded(batch, write)) this.#endOdd(batch);
    batch.clear();
  }

  /** Those members of a batch that have not succeeded: the long way, or the end. */
  #endOdd(batch: DirectBatch): void {
    const { count, tags, results } = batch;
    for (let i = 0; i < count; i++) {
      if (results[i] === 0) continue;
      if (results[i] === LONG_WAY) this.#submitRun(batch, i, i + 1);
      else {
        this.#records.setNext(tags[i]!, -1);
        this.#submitter.ended(tags[i]!, results[i]!);
      }
    }
  }

  /** Submits members `from` to `to` (exclusive) of a batch as one request. */
  #submitRun(batch: DirectBatch, from: number, to: number): void {
    const { tags, offsets } = batch;
    const { write } = this.#merge;
    const records = this.#records;
    const first = tags[from]!;
    const request = this.#lane.request();
    request.vector.reset(this.#core.ramU8);
    for (let i = from; i < to; i++) {
      records.appendData(request.vector, tags[i]!, write);
      records.setNext(tags[i]!, i + 1 < to ? tags[i + 1]! : -1);
    }
    if (to - from > 1) this.#lane.countMerged(to - from - 1);
    request.op = write ? OP_WRITE : OP_READ;
    request.offset = offsets[from]!;
    request.length = request.vector.total;
    request.flags = 0;
    this.#submitter.start(request, first);
  }

  // ---- The other types ------------------------------------------------------------------------

  /** BL-8: exactly one segment { sector, num_sectors, flags }. */
  #discardOrWriteZeroes(head: number, type: number): boolean {
    const records = this.#records;
    const { queue, scratch, maxDiscardSectors, maxWriteZeroesSectors } = this.#config;
    const zeroes = (type & TYPE_MASK) === WRITE_ZEROES;
    const most = zeroes ? maxWriteZeroesSectors : maxDiscardSectors;
    const size = records.outBytes(head);
    const isOut = (type & VIRTIO_BLK_T_OUT) !== 0;
    if (!isOut || most === 0 || size > VIRTIO_BLK_DISCARD_SEGMENT_SIZE) {
      this.#submitter.complete(head, VIRTIO_BLK_S_UNSUPP, 0);
      return true;
    }
    if (size < VIRTIO_BLK_DISCARD_SEGMENT_SIZE) {
      this.#break(head);
      return false;
    }
    const segment = scratch + SCRATCH_SEGMENT;
    this.#core.engine.copyFromChain(queue, head, VIRTIO_BLK_OUTHDR_SIZE, segment, size);
    const sectorLo = records.u32[segment >>> 2]!;
    const sector = records.u32[(segment >>> 2) + 1]! * 0x1_0000_0000 + sectorLo;
    const count = records.u32[(segment >>> 2) + 2]!;
    const flags = records.u32[(segment >>> 2) + 3]!;
    if (count > most || !this.#inRange(sector, sectorLo, count * SECTOR_SIZE)) this.#refuse(head);
    else if (this.#readOnly()) this.#refuse(head);
    else if (flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_F_UNMAP : 0)) {
      this.#submitter.complete(head, VIRTIO_BLK_S_UNSUPP, 0);
    } else {
      const op = zeroes ? OP_WRITE_ZEROES : OP_DISCARD;
      this.#submitter.submit(op, head, sector, count, flags === 0 ? 0 : REQ_MAY_UNMAP);
    }
    return true;
  }

  /** BL-9: the serial and its zero byte, as much of it as fits into buffer and 20 bytes. */
  #getId(head: number): void {
    const { queue, scratch } = this.#config;
    const length = Math.min(this.#serialBytes, this.#records.inBytes(head));
    this.#core.engine.copyToChain(queue, head, 0, scratch + SCRATCH_SERIAL, length);
    this.#submitter.complete(head, VIRTIO_BLK_S_OK, length);
  }

  /** BL-10: not supported, and said so where old drivers look: the segment before the status's. */
  #scsiCommand(head: number): void {
    const records = this.#records;
    const { queue, scratch } = this.#config;
    const last = records.segments(head, true) + records.segments(head, false) - 1;
    let filled = 0;
    if (records.segments(head, false) >= 2) {
      const size = records.segmentLength(head, last - 1);
      if (size >= SCSI_INHDR_SIZE) {
        const before = records.inBytes(head) + 1 - records.segmentLength(head, last) - size;
        this.#core.engine.copyToChain(queue, head, before, scratch + SCRATCH_SCSI_ERRORS, 4);
        if (before === 0) filled = 4;
      }
    }
    this.#submitter.complete(head, VIRTIO_BLK_S_UNSUPP, filled);
  }

  // ---- Checks ---------------------------------------------------------------------------------

  /**
   * BL-4. The low word alone tells the alignment of a sector, whose block size is a power of two;
   * a sector that a double rounds lies beyond any disk.
   */
  #inRange(sector: number, sectorLo: number, bytes: number): boolean {
    const { u32 } = this.#records;
    const { backend, logicalBlockSize } = this.#config;
    const capacity =
      u32[(backend + BACKEND_CAPACITY_HI) >>> 2]! * 0x1_0000_0000 +
      u32[(backend + BACKEND_CAPACITY_LO) >>> 2]!;
    const sectors = bytes * PER_SECTOR;
    if (bytes & (logicalBlockSize - 1) || sectorLo & (this.#blockSectors - 1)) return false;
    return sectors <= REQUEST_SECTORS_MAX && sectors <= capacity && sector <= capacity - sectors;
  }

  #readOnly(): boolean {
    const flags = this.#records.u32[(this.#config.backend + BACKEND_FLAGS) >>> 2]!;
    return (flags & BACKEND_F_READ_ONLY) !== 0;
  }

  /** The guest's fault: no error policy is asked, no driver sees it (BL-4, BL-5). */
  #refuse(head: number): void {
    this.#lane.countInvalid();
    this.#submitter.complete(head, VIRTIO_BLK_S_IOERR, 0);
  }

  /** What came before is answered while the queue still can; then the queue breaks. */
  #break(head: number): void {
    const { queue } = this.#config;
    this.submitBatch();
    this.#submitter.push();
    this.#core.engine.queueDetach(queue, head);
    this.#core.engine.queueBreak(queue, BROKEN_HEADERS);
  }

  /**
   * Handles all parked requests again, oldest first; they may park anew. As `handle`, and submits
   * what was collected.
   */
  resume(): boolean {
    const records = this.#records;
    let head = this.#submitter.parked.takeAll();
    while (head >= 0) {
      const next = records.next(head);
      if (!this.handle(head)) {
        for (let rest = next; rest >= 0; rest = records.next(rest)) {
          this.#core.engine.queueDetach(this.#config.queue, rest);
        }
        return false;
      }
      head = next;
    }
    this.submitBatch();
    return true;
  }

  /** Forgets what was collected: it was reset, or is done. */
  forget(): void {
    this.#merge.clear();
    this.#direct.clear();
  }
}
