/**
 * A lane that another thread serves, seen from main: it sets core memory aside, has the thread open
 * the disk for itself, and tells it when the gate is open. Figures and requests in flight stand in
 * the lane's words. The thread's side is `lane-service.ts`. All methods: main thread.
 */

import { scheduleRemote } from '../aio/bottom-half.ts';
import { allocatePool } from '../aio/pool-block.ts';
import { registerErrorClass, reviveError } from '../aio/thread-error.ts';
import type { Core } from '../engine/core.ts';
import { LANE_SIZE } from '../layout.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { BlockError, OptionError } from './error.ts';
import { type BackendStats, LaneFigures } from './lane-figures.ts';
import type { CloseLane, LaneClosed, LaneOpened, OpenLane, ResizeLane } from './lane-messages.ts';
import { BOUNCE_BYTES, BOUNCE_SLOTS, type LaneOptions } from './lane-options.ts';

registerErrorClass('BlockError', BlockError);
registerErrorClass('OptionError', OptionError);

/** What a lane needs of the thread that it is opened on: an `IOThread`. */
export interface LaneThread {
  readonly id: string;
  /** The core that it was started for. */
  readonly core: Core;
  /** Resolves when nothing of a thread that has died or stopped touches core memory any more. */
  readonly ended: Promise<unknown>;
  /** Has the thread do `service`; rejects with what it threw there. */
  call(service: string, payload: unknown): Promise<unknown>;
  /** While a user holds it, the thread does not stop. */
  ref(user: string): void;
  unref(user: string): void;
}

/** The backend that it is a lane of. */
export interface RemoteLaneOwner {
  readonly core: Core;
  readonly address: number;
  readonly driver: BlockDriver;
  /** The lane has closed; its words are about to be freed. */
  remoteClosed(lane: RemoteLane): void;
}

/** Words of the thread pools of other threads, one per thread, while lanes want one. */
const pools = new WeakMap<LaneThread, { address: number; lanes: number }>();

export class RemoteLane {
  /** For messages. */
  readonly id: string;
  /** Core address of the lane's words; the thread knows the lane by it (`laneAt`). */
  readonly address: number;
  readonly iothread: LaneThread;
  /** What the thread's driver does without. */
  warnings: readonly string[] = [];
  readonly #owner: RemoteLaneOwner;
  readonly #figures: LaneFigures;
  readonly #bounce: number;
  readonly #pool: number;
  #opened: LaneOpened['opened'] | null = null;
  #closing: Promise<void> | null = null;

  /** Sets memory aside; `open` does the rest. Throws what `core.allocate` throws. */
  constructor(owner: RemoteLaneOwner, thread: LaneThread, options: LaneOptions) {
    const { core, driver } = owner;
    this.iothread = thread;
    this.#owner = owner;
    const byWord = driver.settles === 'word';
    this.address = core.allocate(LANE_SIZE);
    let bounce = 0;
    try {
      if (byWord) bounce = core.allocate(bounceArea(options), 4096);
      this.#pool = byWord ? takePool(core, thread) : 0;
    } catch (thrown) {
      if (bounce) core.free(bounce);
      core.free(this.address);
      throw thrown;
    }
    this.#bounce = bounce;
    this.id = `lane ${this.address} of disk '${driver.driver}'`;
    this.#figures = new LaneFigures(core, this.address);
    thread.ref(this.id);
  }

  /** Has the thread open the disk. Rejects with its OptionError or BlockError; nothing is left. */
  async open(spec: DriverSpec, options: LaneOptions): Promise<void> {
    const { bounceBytes = BOUNCE_BYTES, bounceSlots = BOUNCE_SLOTS } = options;
    const message: OpenLane = {
      lane: this.address,
      backend: this.#owner.address,
      bounce: this.#bounce,
      pool: this.#pool,
      spec,
      options: { bounceBytes, bounceSlots },
    };
    let answer: LaneOpened;
    try {
      answer = (await this.iothread.call('open-lane', message)) as LaneOpened;
    } catch (thrown) {
      if (isGone(thrown)) await this.iothread.ended;
      this.#release();
      throw thrown;
    }
    this.#opened = answer.opened;
    this.warnings = answer.warnings;
    this.opened(); // the gate may have opened before we knew whom to tell
  }

  /** Requests inside the gate. */
  get inFlight(): number {
    return this.#owner.core.engine.gateInFlight(this.address);
  }

  /** Adds the lane's figures to a sum. */
  addStats(sum: BackendStats): void {
    this.#figures.addTo(sum, this.#owner.core.u32);
  }

  /** The gate is open again: the thread's `onOpen` listeners are told, from its own poll. */
  opened(): void {
    if (this.#opened) scheduleRemote(this.#owner.core, this.#opened);
  }

  /** The disk has another size; resolves when the thread's driver knows. In a drained section. */
  async resized(size: number): Promise<void> {
    const message: ResizeLane = { lane: this.address, size };
    try {
      await this.iothread.call('resize-lane', message);
    } catch (thrown) {
      if (!isGone(thrown)) throw thrown;
    }
  }

  /**
   * Closes the lane and the thread's driver. Rejects, and the lane stays, if a request is in
   * flight: close the gate and wait first. If only the driver fails, its error is told and the lane
   * is closed.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close().catch((thrown) => {
      this.#closing = null;
      throw thrown;
    });
    return this.#closing;
  }

  async #close(): Promise<void> {
    const message: CloseLane = { lane: this.address };
    let answer: LaneClosed = { failure: null };
    try {
      answer = (await this.iothread.call('close-lane', message)) as LaneClosed;
    } catch (thrown) {
      if (!isGone(thrown)) throw thrown;
      await this.iothread.ended; // a thread that has died has left its lanes
    }
    this.#release();
    if (answer.failure) throw reviveError(answer.failure);
  }

  #release(): void {
    const { core } = this.#owner;
    this.#opened = null;
    this.#owner.remoteClosed(this);
    if (this.#bounce) core.free(this.#bounce);
    if (this.#pool) givePool(core, this.iothread);
    core.free(this.address);
    this.iothread.unref(this.id);
  }
}

/** The thread has died or stopped. */
function isGone(thrown: unknown): boolean {
  const { code } = thrown as { code?: unknown };
  return code === 'EOWNERDEAD' || code === 'ESHUTDOWN';
}

function bounceArea({ bounceBytes, bounceSlots }: LaneOptions): number {
  return (bounceBytes ?? BOUNCE_BYTES) * (bounceSlots ?? BOUNCE_SLOTS);
}

/** A thread has one pool, whichever of its lanes use it (TP-1). */
function takePool(core: Core, thread: LaneThread): number {
  let pool = pools.get(thread);
  if (!pool) {
    pool = { address: allocatePool(core), lanes: 0 };
    pools.set(thread, pool);
  }
  pool.lanes += 1;
  return pool.address;
}

/** The thread has closed its pool with the last driver that used it. */
function givePool(core: Core, thread: LaneThread): void {
  const pool = pools.get(thread);
  if (!pool || --pool.lanes > 0) return;
  pools.delete(thread);
  core.free(pool.address);
}
