/**
 * The data plane of one virtio-blk queue, in the context that serves it: pop, hand over, push, and
 * the question who must be told (design section 1, steps 4 and 10). Built from a plain
 * `QueueConfig`. It meets the control plane in shared words, in `BlkQueueEvents` and in the calls
 * below that say so, which become messages once the queue lives on another thread. All the rest:
 * home thread. QEMU: `virtio_blk_handle_vq`.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import type { BackendLane } from '../block/lane.ts';
import type { LaneRequest } from '../block/lane-request.ts';
import type { Core } from '../engine/core.ts';
import { POP_STALLED, SERVE_INTERRUPT, SERVE_WAKE } from '../engine/engine.ts';
import {
  BACKEND_DISK,
  BACKEND_QUIESCE,
  BROKEN_ENGINE,
  QUEUE_BATCH,
  QUEUE_BROKEN,
  QUEUE_EPOCH,
  QUEUE_KICKS_HI,
  QUEUE_KICKS_LO,
  QUEUE_NOTIFICATION,
  QUEUE_READY,
  QUEUE_SERVING,
} from '../layout.ts';
import { BlkHandler } from './blk-handler.ts';
import type { GuestWriteListener } from './blk-options.ts';
import { BlkRecords } from './blk-records.ts';
import { BlkSubmitter } from './blk-submitter.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { QueueConfig } from './queue-config.ts';

/** What a queue tells the control plane. Called outside of the handler loop. */
export interface BlkQueueEvents {
  /** The driver wants an interrupt for used buffers. */
  interrupt(index: number): void;
  /**
   * The queue is broken until reset; once per reset. `reason`: BROKEN_*. With BROKEN_ENGINE,
   * `cause` is what the engine or a driver threw.
   */
  broken(index: number, reason: number, cause: unknown): void;
  /** As `VirtioBlkOptions.onGuestWrite`; from inside the handler loop. */
  readonly onGuestWrite?: GuestWriteListener | null;
}

/** Chains that one call into the engine pops at most. */
const POP_MAX = 64;

export class BlkQueue {
  readonly config: QueueConfig;
  readonly #core: Core;
  readonly #lane: BackendLane;
  readonly #events: BlkQueueEvents;
  readonly #onGuestWrite: GuestWriteListener | null;
  readonly #records: BlkRecords;
  readonly #submitter: BlkSubmitter;
  readonly #handler: BlkHandler;
  readonly #bottomHalf: BottomHalf;
  /** Control plane: may requests be taken? */
  #running = false;
  #serving = false;
  /** The bottom half is to serve, not only to tell. */
  #again = false;
  /** Pop waits until a push frees segment blocks. */
  #stalled = false;
  #brokenTold = false;
  #cause: unknown;
  #whenGone: (() => void)[] = [];

  /** Throws a RangeError if the context has no bottom half left; then nothing is left behind. */
  constructor(
    config: QueueConfig,
    core: Core,
    context: AioContext,
    lane: BackendLane,
    events: BlkQueueEvents,
  ) {
    this.config = config;
    this.#core = core;
    this.#lane = lane;
    this.#events = events;
    this.#onGuestWrite = events.onGuestWrite ?? null;
    this.#records = new BlkRecords(core, config.queue);
    this.#submitter = new BlkSubmitter(
      core,
      lane,
      config,
      this.#records,
      this.#settled,
      this.#onGuestWrite,
    );
    this.#handler = new BlkHandler(core, lane, config, this.#records, this.#submitter);
    this.#bottomHalf = context.bottomHalf(`blk-queue ${config.index}`, this.#deferred);
    lane.onOpen.add(this.#opened);
  }

  // ---- Control plane --------------------------------------------------------------------------

  /** Lets the queue take requests, or stops it from doing so; those in flight go on. */
  setRunning(running: boolean): void {
    this.#running = running;
  }

  /**
   * First half of a stop: when this returns, nothing touches the ring or a buffer, whatever still
   * completes. Returns nothing if no request is in flight; the queue is as new then. Otherwise a
   * promise that resolves when it is.
   */
  detach(): MaybeLater {
    if (this.#serving) throw new Error('blk: a queue cannot be detached by its own driver');
    const { queue } = this.config;
    const { i32 } = this.#core;
    Atomics.add(i32, (queue + QUEUE_EPOCH) >>> 2, 1);
    Atomics.store(i32, (queue + QUEUE_READY) >>> 2, 0);
    this.#handler.forget();
    this.#submitter.forget();
    this.#again = false;
    if (this.#submitter.submitted === 0) {
      this.#clear();
      return;
    }
    return new Promise((resolve) => this.#whenGone.push(resolve));
  }

  /** Nothing of an old epoch is in flight: records and blocks are free again. */
  #clear(): void {
    this.#core.engine.queueReset(this.config.queue);
    this.#stalled = false;
    this.#brokenTold = false;
    this.#cause = undefined;
    const waiting = this.#whenGone;
    this.#whenGone = [];
    for (const resolve of waiting) resolve();
  }

  /** After `detach`, when nothing is in flight. The memory may be freed then. */
  close(): void {
    this.#lane.onOpen.delete(this.#opened);
    this.#bottomHalf.delete();
  }

  // ---- Serving --------------------------------------------------------------------------------

  /** The doorbell was rung. */
  kick(): void {
    const { u32 } = this.#core;
    const at = (this.config.queue + QUEUE_KICKS_LO) >>> 2;
    u32[at]! += 1;
    if (u32[at] === 0) u32[at + (QUEUE_KICKS_HI - QUEUE_KICKS_LO) / 4]! += 1;
    this.serve();
  }

  /**
   * Serves whatever the driver has published, then tells it. A call from inside a driver's
   * `submit` only leaves word.
   */
  serve(): void {
    if (this.#serving) {
      this.#serveLater();
      return;
    }
    this.#records.refresh();
    this.#setServing(true);
    try {
      if (this.#running) this.#handle();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#setServing(false);
    }
    this.#tell();
  }

  /**
   * VQ-10: notifications off, serve, on, and look once more, for the driver may have published
   * without a kick in between. Notifications that were off at entry are somebody else's.
   */
  #handle(): void {
    const { engine } = this.#core;
    const { queue } = this.config;
    if (!this.#gateIsOpen()) return; // `#opened` comes back
    const ours = this.#records.u32[(queue + QUEUE_NOTIFICATION) >>> 2] === 1;
    for (;;) {
      if (ours) engine.queueSetNotification(queue, 0);
      const emptied = this.#serveRing();
      const more = ours ? engine.queueSetNotification(queue, 1) : 1 - engine.queueEmpty(queue);
      if (!emptied || more === 0) return;
    }
  }

  /** Serves parked and new requests. True if the ring was empty; false if it had to stop before. */
  #serveRing(): boolean {
    const { engine } = this.#core;
    const submitter = this.#submitter;
    if (submitter.parked && !this.#handler.resume()) return false;
    submitter.push();
    while (this.#gateIsOpen()) {
      const count = engine.blkPop(this.config.queue, POP_MAX);
      this.#stalled = count === POP_STALLED;
      if (count <= 0) return count === 0;
      this.#serveBatch(count);
      if (count < POP_MAX) return true; // all that was seen; `#handle` looks once more
    }
    return false;
  }

  /** Requests of a cluster disk are served by the engine; what it leaves goes the long way. */
  #serveBatch(count: number): void {
    const { engine } = this.#core;
    const { queue, backend } = this.config;
    const records = this.#records;
    if (records.u32[(backend + BACKEND_DISK) >>> 2] !== 0) {
      if (this.#onGuestWrite) this.#tellWritable(count, this.#onGuestWrite);
      const served = engine.clusterServe(queue, count, backend, this.#lane.address);
      count = served & 0xffff;
      if (served & SERVE_INTERRUPT) this.#submitter.interrupt = true;
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
    for (let i = 0; i < count; i++) {
      if (this.#handler.handle(records.u32[batch + i]!)) continue;
      while (++i < count) this.#core.engine.queueDetach(queue, records.u32[batch + i]!);
    }
    this.#handler.submitBatch();
  }

  /** Before the engine serves the batch: it pushes by itself. */
  #tellWritable(count: number, tell: GuestWriteListener): void {
    const records = this.#records;
    const batch = records.u32[(this.config.queue + QUEUE_BATCH) >>> 2]! >>> 2;
    for (let i = 0; i < count; i++) records.tellWritable(records.u32[batch + i]!, tell);
  }

  /** A hint: what passes it and meets a closed gate in the lane is parked. */
  #gateIsOpen(): boolean {
    return Atomics.load(this.#records.u32, (this.config.backend + BACKEND_QUIESCE) >>> 2) === 0;
  }

  #setServing(on: boolean): void {
    this.#serving = on;
    Atomics.store(this.#records.u32, (this.config.queue + QUEUE_SERVING) >>> 2, on ? 1 : 0);
  }

  // ---- Later ----------------------------------------------------------------------------------

  /** The lane: a request that was PENDING has settled, from a later poll (BB-1). */
  readonly #settled = (request: LaneRequest, result: number): void => {
    const submitter = this.#submitter;
    try {
      if (submitter.settle(request, result)) submitter.push();
    } catch (error) {
      this.#fail(error);
    }
    if (submitter.submitted === 0 && this.#whenGone.length > 0) this.#clear();
    // Interrupts of one turn become one; a push has freed blocks that pop may wait for.
    if (this.#stalled) this.#serveLater();
    else if (submitter.interrupt || this.#cause !== undefined) this.#bottomHalf.schedule();
  };

  /** The gate has opened: parked requests come first. */
  readonly #opened = (): void => this.#serveLater();

  #serveLater(): void {
    this.#again = true;
    this.#bottomHalf.schedule();
  }

  readonly #deferred = (): void => {
    if (!this.#again) {
      this.#records.refresh();
      this.#tell();
      return;
    }
    this.#again = false;
    this.serve();
  };

  // ---- Telling --------------------------------------------------------------------------------

  /** The records' view is fresh; what is called here may grow the memory. */
  #tell(): void {
    const { index, queue } = this.config;
    const broken = Atomics.load(this.#records.u32, (queue + QUEUE_BROKEN) >>> 2);
    if (this.#submitter.interrupt) {
      this.#submitter.interrupt = false;
      this.#events.interrupt(index);
    }
    if (broken === 0 || this.#brokenTold) return;
    this.#brokenTold = true;
    this.#events.broken(index, broken, this.#cause);
  }

  /**
   * The engine itself failed, or a driver threw: this queue is dead until reset, and nothing
   * else. Not through the engine, which may be what is broken.
   */
  #fail(error: unknown): void {
    this.#cause ??= error ?? new Error('blk: something threw nothing');
    this.#records.refresh();
    const at = (this.config.queue + QUEUE_BROKEN) >>> 2;
    Atomics.compareExchange(this.#records.u32, at, 0, BROKEN_ENGINE);
  }
}
