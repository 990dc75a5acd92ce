/**
 * The block requests of one queue between their checks and their end: in the lane, parked, failed
 * and kept, or done (design section 1, steps 7 to 10). Belongs to one `BlkHandler` and its home
 * thread.
 *
 * A request is in exactly one of the four, and leaves by `push` or by a reset. Nothing is
 * allocated per request. QEMU: `virtio_blk_rw_complete`, `virtio_blk_req_complete`.
 */

import type { DirectBatch } from '../block/direct-batch.ts';
import { type BlockOp, PENDING } from '../block/driver.ts';
import { errorAction, policyOf } from '../block/error-policy.ts';
import type { BackendLane } from '../block/lane.ts';
import type { LaneRequest, RequestGuard } from '../block/lane-request.ts';
import type { Core } from '../engine/core.ts';
import { QUEUE_CAPACITY, QUEUE_DONE } from '../layout.ts';
import {
  EAGAIN,
  SECTOR_SIZE,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_IN,
} from '../spec.ts';
import { finishPlain } from './blk-plain.ts';
import type { BlkRecords } from './blk-records.ts';
import type { GuestWriteListener } from './guest-write.ts';
import { describeFailure, type IoFailure } from './io-failure.ts';
import type { QueueConfig } from './queue-config.ts';
import { RequestList } from './request-list.ts';

export type Settled = (request: LaneRequest, result: number) => void;

export class BlkSubmitter {
  /** A push wanted an interrupt. The queue clears it when it has told the driver. */
  interrupt = false;
  /** Lane requests that have not settled, of whatever epoch. */
  submitted = 0;
  /** As `BlkQueueEvents.onPushed`. */
  onPushed: (() => void) | null = null;
  /** Told of each request that failed, once its fate is settled. Inside. */
  onFailure: ((failure: IoFailure) => void) | null = null;
  /** Popped before the gate closed. */
  readonly parked: RequestList;
  /** Kept by the error policy, until `restartFailed` (BL-16). */
  readonly failed: RequestList;

  readonly #core: Core;
  readonly #lane: BackendLane;
  readonly #config: QueueConfig;
  readonly #records: BlkRecords;
  readonly #settled: Settled;
  readonly #guard: RequestGuard;
  readonly #onGuestWrite: GuestWriteListener | null;
  /** Lane requests of this epoch that have not settled, by the head of their first member. */
  readonly #inFlight: (LaneRequest | undefined)[];
  /** Index of QUEUE_DONE's first word, and how many heads stand there. */
  readonly #done: number;
  #doneCount = 0;

  /** `settled` is called once for each lane request that was PENDING, and calls `settle`. */
  constructor(
    core: Core,
    lane: BackendLane,
    config: QueueConfig,
    records: BlkRecords,
    settled: Settled,
    guard: RequestGuard,
    onGuestWrite: GuestWriteListener | null = null,
  ) {
    this.#core = core;
    this.#lane = lane;
    this.#config = config;
    this.#records = records;
    this.#settled = settled;
    this.#guard = guard;
    this.#onGuestWrite = onGuestWrite;
    this.parked = new RequestList(records);
    this.failed = new RequestList(records);
    this.#done = records.u32[(config.queue + QUEUE_DONE) >>> 2]! >>> 2;
    const capacity = records.u32[(config.queue + QUEUE_CAPACITY) >>> 2]!;
    this.#inFlight = new Array<LaneRequest | undefined>(capacity).fill(undefined);
  }

  /** Is somebody told of what is written to guest memory, one segment after the other? */
  get tellsWrites(): boolean {
    return this.#onGuestWrite !== null;
  }

  // ---- Lane -----------------------------------------------------------------------------------

  /** Submits a request that moves no guest data. `sector` and `count` are in sectors. */
  submit(op: BlockOp, head: number, sector: number, count: number, flags: number): void {
    const request = this.#lane.request();
    request.op = op;
    request.offset = sector * SECTOR_SIZE;
    request.length = count * SECTOR_SIZE;
    request.flags = flags;
    this.#records.setNext(head, -1);
    this.start(request, head);
  }

  /** Submits a filled-in lane request on behalf of those linked from `first` on. */
  start(request: LaneRequest, first: number): void {
    request.tag = first;
    request.done = this.#settled;
    request.guard = this.#guard;
    const result = this.#lane.submit(request);
    this.#records.revalidate();
    if (result === PENDING) {
      this.submitted++;
      this.#inFlight[first] = request;
      return;
    }
    request.release();
    this.ended(first, result);
  }

  /** Those linked from `first` on have ended with `result`, or met a closed gate (-EAGAIN). */
  ended(first: number, result: number): void {
    if (result === -EAGAIN) this.parked.append(first);
    else this.#finish(first, result);
  }

  /**
   * Takes a lane request back that was PENDING, and ends its members. False if it is of an old
   * epoch: then its driver has taken the memory back and nothing of it is touched. The caller
   * pushes.
   */
  settle(request: LaneRequest, result: number): boolean {
    const { tag, abandoned } = request;
    request.release();
    this.submitted--;
    this.#records.refresh();
    // After `forget` another request may stand there.
    if (this.#inFlight[tag] === request) this.#inFlight[tag] = undefined;
    if (abandoned || this.#records.isStale(tag)) return false;
    this.#finish(tag, result);
    return true;
  }

  /** Each member of a merged request is completed, or fails, by itself (BL-15). */
  #finish(first: number, result: number): void {
    const records = this.#records;
    for (let head = first; head >= 0; ) {
      const next = records.next(head);
      if (result < 0) this.#fail(head, -result);
      else this.complete(head, VIRTIO_BLK_S_OK, this.#isRead(head) ? records.inBytes(head) : 0);
      head = next;
    }
  }

  #isRead(head: number): boolean {
    return (this.#records.type(head) & ~VIRTIO_BLK_T_BARRIER) === VIRTIO_BLK_T_IN;
  }

  /** What is kept stays popped. Of an ignored read nobody knows which bytes were written. */
  #fail(head: number, errno: number): void {
    const { u32 } = this.#records;
    const action = errorAction(policyOf(u32, this.#config.backend, this.#isRead(head)), errno);
    const failure = describeFailure(this.#records, this.#config.index, head, errno, action);
    if (action === 'stop') this.failed.appendOne(head);
    else this.complete(head, action === 'ignore' ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR, 0);
    this.onFailure?.(failure);
  }

  /**
   * Completes those members of a batch, tagged by head, whose result is 0: all of their bytes were
   * transferred. True if that was all of them.
   */
  succeeded(batch: DirectBatch, write: boolean): boolean {
    const records = this.#records;
    const at = this.#done + this.#doneCount;
    const ended = finishPlain(records, batch, write, at);
    const tell = this.#onGuestWrite;
    if (tell) for (let i = 0; i < ended; i++) records.tellWritable(records.u32[at + i]!, tell);
    this.#doneCount += ended;
    return ended === batch.count;
  }

  /** Completes the plain table's rows, of QUEUE_BATCH[from ..], that are done. How many. */
  finishRows(from: number, count: number): number {
    const { engine } = this.#core;
    const { queue } = this.#config;
    const ended = engine.blkFinish(queue, from, count, this.#lane.address, this.#doneCount);
    this.#doneCount += ended;
    return ended;
  }

  /** A request has ended: `status`, and data bytes written from the start of its buffer. */
  complete(head: number, status: number, filled: number): void {
    const records = this.#records;
    records.finish(head, status, filled);
    if (this.#onGuestWrite) records.tellWritable(head, this.#onGuestWrite);
    records.u32[this.#done + this.#doneCount++] = head;
  }

  /** Gives what is done back to the driver, in one call. */
  push(): void {
    const count = this.#doneCount;
    if (count === 0) return;
    this.#doneCount = 0;
    const wanted = this.#core.engine.blkPush(this.#config.queue, count);
    if (wanted < 0) throw new Error('blk: a request was completed twice');
    if (wanted === 1) this.pushed();
  }

  /** Somebody must be told of what was pushed. */
  pushed(): void {
    this.interrupt = true;
    this.onPushed?.();
  }

  // ---- Those that wait ------------------------------------------------------------------------

  /** What failed and was kept is to be tried again, before what was parked (BL-16). */
  restartFailed(): void {
    this.parked.prepend(this.failed);
  }

  /** Takes popped requests over that wait elsewhere; those that do here already come first. */
  adopt(parked: readonly number[], failed: readonly number[] = []): void {
    const waiting = new Set([...this.parked.heads(), ...this.failed.heads()]);
    for (const head of [...parked, ...failed]) {
      const isNew = this.#records.isInFlight(head) && !waiting.has(head) && !this.#inFlight[head];
      if (!isNew) throw new RangeError(`blk: request ${head} does not wait to be taken over`);
      waiting.add(head);
    }
    for (const head of parked) this.parked.appendOne(head);
    for (const head of failed) this.failed.appendOne(head);
  }

  /**
   * Reset: forgets all requests; their records are the engine's. Those in the lane still settle,
   * but the lane touches none of their bytes.
   */
  forget(): void {
    const inFlight = this.#inFlight;
    for (const request of inFlight) if (request) request.abandoned = true;
    inFlight.fill(undefined);
    this.#doneCount = 0;
    this.parked.takeAll();
    this.failed.takeAll();
    this.interrupt = false;
  }
}
