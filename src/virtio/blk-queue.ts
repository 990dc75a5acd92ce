/**
 * The data plane of one virtio-blk queue, in the context that serves it: pop, hand over, push, and
 * the question who must be told (design section 1, steps 4 and 10). Built from a plain
 * `QueueConfig`, on any thread. It meets the control plane in shared words (`queue-serving.ts`) and
 * in `BlkQueueEvents`. All methods: home thread. QEMU: `virtio_blk_handle_vq`.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import { deferCall, deferCallBegin, deferCallEnd } from '../aio/defer-call.ts';
import type { BackendLane } from '../block/lane.ts';
import type { LaneRequest } from '../block/lane-request.ts';
import type { Core } from '../engine/core.ts';
import { POP_STALLED, SERVE_INTERRUPT, SERVE_WAKE } from '../engine/engine.ts';
import {
  BACKEND_DISK,
  BACKEND_QUIESCE,
  BROKEN_ENGINE,
  CONTEXT_MAX_BATCH,
  QUEUE_BATCH,
  QUEUE_BROKEN,
  QUEUE_KICKS_HI,
  QUEUE_KICKS_LO,
  QUEUE_NOTIFICATION,
} from '../layout.ts';
import { BlkHandler } from './blk-handler.ts';
import type { GuestWriteListener } from './blk-options.ts';
import { BlkRecords } from './blk-records.ts';
import { BlkSubmitter } from './blk-submitter.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { QueueConfig } from './queue-config.ts';
import { QueueServing } from './queue-serving.ts';

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
  /** Of a queue with QUEUE_F_HELD: called after each push, before a reset can come in between. */
  readonly onPushed?: (() => void) | null;
}

/**
 * Chains that one call into the engine pops at most: as many as are merged, and half of a usual
 * depth, so that a driver on another thread refills one half while the other is served.
 */
const POP_MAX = 32;
/** Requests after which the context's others get their turn: a guest may publish without end. */
const SERVE_MAX = 2048;

export class BlkQueue {
  readonly config: QueueConfig;
  /** Told after each serving: whether requests may be there that wait for something else. */
  onServed: ((blocked: boolean) => void) | null = null;
  readonly #core: Core;
  readonly #context: AioContext;
  readonly #lane: BackendLane;
  readonly #events: BlkQueueEvents;
  readonly #onGuestWrite: GuestWriteListener | null;
  readonly #records: BlkRecords;
  readonly #submitter: BlkSubmitter;
  readonly #handler: BlkHandler;
  readonly #bottomHalf: BottomHalf;
  /** Around all that touches guest memory. */
  readonly #inside: QueueServing;
  #serving = false;
  /** The bottom half is to serve, not only to tell. */
  #again = false;
  /** Pop waits until a push frees segment blocks. */
  #stalled = false;
  /** Requests that this serving may still take. */
  #budget = 0;
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
    this.#context = context;
    this.#lane = lane;
    this.#events = events;
    this.#onGuestWrite = events.onGuestWrite ?? null;
    this.#records = new BlkRecords(core, config.queue);
    this.#inside = new QueueServing(core, config.queue);
    this.#submitter = new BlkSubmitter(
      core,
      lane,
      config,
      this.#records,
      this.#settled,
      this.#inside,
      this.#onGuestWrite,
    );
    this.#submitter.onPushed = events.onPushed ?? null;
    this.#handler = new BlkHandler(core, lane, config, this.#records, this.#submitter);
    this.#bottomHalf = context.bottomHalf(`blk-queue ${config.index}`, this.#deferred);
    lane.onOpen.add(this.#opened);
  }

  // ---- Life -----------------------------------------------------------------------------------

  /** Is this thread inside a call that touches guest memory? Then the queue cannot be quiesced. */
  get inside(): boolean {
    return this.#inside.inside;
  }

  /**
   * Second half of a stop, after `quiesceQueues`: forgets what was popped. Returns nothing if no
   * request is in flight; the queue is as new then. Otherwise a promise that resolves when it is.
   */
  forget(): MaybeLater {
    this.#drop();
    if (this.#submitter.submitted === 0) {
      this.#clear();
      return;
    }
    return new Promise((resolve) => this.#whenGone.push(resolve));
  }

  #drop(): void {
    this.#handler.forget();
    this.#submitter.forget();
    this.#again = false;
  }

  /**
   * Nothing of an old epoch is in flight: records and blocks are free again. Inside, so that main
   * does not make the queue new at the same time, nor hand it to the driver before we are done.
   */
  #clear(): void {
    this.#inside.enter();
    this.#core.engine.queueReset(this.config.queue);
    this.#inside.leave();
    this.#begin();
    const waiting = this.#whenGone;
    this.#whenGone = [];
    for (const resolve of waiting) resolve();
  }

  #begin(): void {
    this.#inside.begin();
    this.#stalled = false;
    this.#brokenTold = false;
    this.#cause = undefined;
  }

  /** Tells the driver now what it was to be told in the context's next turn (DP-13). */
  flush(): void {
    this.#records.refresh();
    this.#tell();
  }

  /** After `forget`, when nothing is in flight. The memory may be freed then. */
  close(): void {
    this.flush();
    this.#lane.onOpen.delete(this.#opened);
    this.#bottomHalf.delete();
  }

  // ---- Serving --------------------------------------------------------------------------------

  /** The doorbell was rung. */
  kick(): void {
    this.#records.revalidate();
    const { u32 } = this.#records;
    const at = (this.config.queue + QUEUE_KICKS_LO) >>> 2;
    u32[at]! += 1;
    if (u32[at] === 0) u32[at + (QUEUE_KICKS_HI - QUEUE_KICKS_LO) / 4]! += 1;
    this.serve();
  }

  /**
   * Serves whatever the driver has published, then tells it. A call from inside a driver's
   * `submit` only leaves word. What drivers defer is done once for all requests (TP-6).
   */
  serve(): void {
    if (this.#serving) {
      this.#serveLater();
      return;
    }
    const current = this.#inside.enter();
    let blocked = true;
    this.#serving = true;
    try {
      this.#records.revalidate();
      deferCallBegin();
      try {
        blocked = !this.#isRunning(current) || !this.#handle();
      } finally {
        deferCallEnd();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#serving = false;
      this.#inside.leave();
    }
    this.#tell();
    this.onServed?.(blocked);
  }

  /**
   * Asks the driver to kick, or not to: begin and end of busy polling, and attach (HN-8, HN-9).
   * Who turns it on looks at the ring once more.
   */
  setNotification(on: boolean): void {
    const current = this.#inside.enter();
    try {
      this.#records.refresh();
      if (!this.#isRunning(current)) return;
      this.#core.engine.queueSetNotification(this.config.queue, on ? 1 : 0);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#inside.leave();
    }
  }

  /** Inside. A new epoch begins here once main has seen that nothing of the old one is left. */
  #isRunning(current: boolean): boolean {
    if (!current) {
      this.#drop();
      if (this.#submitter.submitted > 0) return false; // main waits for them
      this.#begin();
    }
    return this.#inside.running;
  }

  /**
   * VQ-10: notifications off, serve, on, and look once more, for the driver may have published
   * without a kick in between. Notifications that were off at entry are somebody else's. False if
   * it had to stop before the ring was empty.
   */
  #handle(): boolean {
    const { engine } = this.#core;
    const { queue } = this.config;
    if (!this.#gateIsOpen()) return false; // `#opened` comes back
    const ours = this.#records.u32[(queue + QUEUE_NOTIFICATION) >>> 2] === 1;
    this.#budget = SERVE_MAX;
    for (;;) {
      if (ours) engine.queueSetNotification(queue, 0);
      const emptied = this.#serveRing();
      const more = ours ? engine.queueSetNotification(queue, 1) : 1 - engine.queueEmpty(queue);
      if (!emptied || more === 0) return emptied;
      if (this.#budget > 0) continue;
      this.#serveLater();
      return true;
    }
  }

  /** Serves parked and new requests. False if it has to wait for something. */
  #serveRing(): boolean {
    const { engine } = this.#core;
    const submitter = this.#submitter;
    if (submitter.parked && !this.#handler.resume()) return false;
    submitter.push();
    const most = this.#popMax();
    while (this.#gateIsOpen()) {
      const count = engine.blkPop(this.config.queue, most);
      this.#stalled = count === POP_STALLED;
      if (count <= 0) return count === 0;
      this.#serveBatch(count);
      this.#budget -= count;
      if (count < most || this.#budget <= 0) return true; // `#handle` looks once more
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

  /** aio-max-batch of the context; 0: our own choice. */
  #popMax(): number {
    const most = this.#records.u32[(this.#context.address + CONTEXT_MAX_BATCH) >>> 2]!;
    return most > 0 && most < POP_MAX ? most : POP_MAX;
  }

  // ---- Later ----------------------------------------------------------------------------------

  /** The lane: a request that was PENDING has settled, from a later poll (BB-1). Inside. */
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
      deferCall(this.#interrupt, index); // several queues in one section: once each at its end
    }
    if (broken === 0 || this.#brokenTold) return;
    this.#brokenTold = true;
    this.#events.broken(index, broken, this.#cause);
  }

  readonly #interrupt = (index: number): void => this.#events.interrupt(index);

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
