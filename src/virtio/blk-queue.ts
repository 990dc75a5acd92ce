/**
 * The data plane of one virtio-blk queue, in the context that serves it: pop, hand over, push
 * (design section 1, steps 4 and 10). Around it is what all queues do (`RingQueue`). All methods:
 * home thread. QEMU: `virtio_blk_handle_vq`.
 */

import type { AioContext } from '../aio/context.ts';
import type { BackendLane } from '../block/lane.ts';
import type { LaneRequest } from '../block/lane-request.ts';
import type { Core } from '../engine/core.ts';
import { POP_STALLED, SERVE_INTERRUPT, SERVE_WAKE } from '../engine/engine.ts';
import { BACKEND_DISK, BACKEND_QUIESCE, QUEUE_BATCH } from '../layout.ts';
import { BlkHandler } from './blk-handler.ts';
import { BlkRecords } from './blk-records.ts';
import { BlkSubmitter } from './blk-submitter.ts';
import type { QueueEvents } from './data-plane.ts';
import type { GuestWriteListener } from './guest-write.ts';
import type { QueueConfig } from './queue-config.ts';
import { RingQueue } from './ring-queue.ts';

export class BlkQueue extends RingQueue {
  declare readonly config: QueueConfig;
  readonly #core: Core;
  readonly #lane: BackendLane;
  readonly #onGuestWrite: GuestWriteListener | null;
  readonly #records: BlkRecords;
  readonly #submitter: BlkSubmitter;
  readonly #handler: BlkHandler;

  /**
   * `asleep`: another one serves the queue until `take`. Throws a RangeError if the context has no
   * bottom half left; then nothing is left behind.
   */
  constructor(
    config: QueueConfig,
    core: Core,
    context: AioContext,
    lane: BackendLane,
    events: QueueEvents,
    asleep = false,
  ) {
    const records = new BlkRecords(core, config.queue);
    super(config, core, context, records, events, asleep);
    const tell = events.onGuestWrite ?? null;
    this.#core = core;
    this.#lane = lane;
    this.#records = records;
    this.#onGuestWrite = tell;
    const settled = this.#settled;
    const submitter = new BlkSubmitter(core, lane, config, records, settled, this.serving, tell);
    submitter.onPushed = events.onPushed ?? null;
    submitter.onFailure = (failure) => this.news.failed(failure);
    this.#submitter = submitter;
    this.#handler = new BlkHandler(core, lane, config, records, submitter);
    this.begun('blk-queue', submitter);
    lane.onOpen.add(this.serveLater); // the gate has opened: parked requests come first
  }

  protected override closing(): void {
    this.#lane.onOpen.delete(this.serveLater);
  }

  protected override dropAll(): void {
    this.#handler.forget();
    this.#submitter.forget();
  }

  /** If not, the lane comes back. */
  protected override mayServe(): boolean {
    return this.#gateIsOpen();
  }

  protected override serveRing(): boolean {
    const { engine } = this.#core;
    const submitter = this.#submitter;
    if (!submitter.parked.empty && !this.#handler.resume()) return false;
    submitter.push();
    const most = this.popMax();
    while (this.#gateIsOpen()) {
      const count = engine.blkPop(this.config.queue, most);
      this.stalled = count === POP_STALLED;
      if (count <= 0) return count === 0;
      this.#serveBatch(count);
      this.budget -= count;
      if (count < most || this.budget <= 0) return true; // `#handle` looks once more
    }
    return false;
  }

  /** Requests of a cluster disk are served by the engine; what it leaves goes the long way. */
  #serveBatch(count: number): void {
    const { engine } = this.#core;
    const { queue, backend } = this.config;
    const records = this.#records;
    if (records.u32[(backend + BACKEND_DISK) >>> 2] !== 0) {
      // Before the engine serves the batch: it pushes by itself.
      if (this.#onGuestWrite) records.tellBatch(queue, count, this.#onGuestWrite);
      const served = engine.clusterServe(queue, count, backend, this.#lane.address);
      count = served & 0xffff;
      if (served & SERVE_INTERRUPT) this.#submitter.pushed();
      if (served & SERVE_WAKE) this.#lane.wake();
    }
    if (count === 0) return;
    // One pass through the gate for what is left; pushed before it ends, so that a drain sees it.
    this.#lane.plug();
    try {
      this.#handleHeads(count);
      this.#submitter.push();
    } finally {
      this.#lane.unplug();
    }
  }

  /** Hands QUEUE_BATCH[0 .. count) over. */
  #handleHeads(count: number): void {
    const { queue } = this.config;
    const records = this.#records;
    const batch = records.u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2;
    const end = batch + count;
    for (let at = batch; at < end; at++) {
      at = this.#handler.collect(at, end);
      if (at === end || this.#handler.handle(records.u32[at]!)) continue;
      while (++at < end) this.#core.engine.queueDetach(queue, records.u32[at]!);
    }
    this.#handler.submitBatch();
  }

  /** A hint: what passes it and meets a closed gate in the lane is parked. */
  #gateIsOpen(): boolean {
    return Atomics.load(this.#records.u32, (this.config.backend + BACKEND_QUIESCE) >>> 2) === 0;
  }

  /** The lane: a request that was PENDING has settled, from a later poll (BB-1). Inside. */
  readonly #settled = (request: LaneRequest, result: number): void => {
    const submitter = this.#submitter;
    try {
      if (submitter.settle(request, result)) submitter.push();
    } catch (error) {
      this.threw(error);
    }
    this.afterSettled();
  };
}
