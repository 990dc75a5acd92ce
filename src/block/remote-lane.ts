/**
 * A lane that another thread serves, seen from main: it sets core memory aside, has the thread open
 * the disk for itself, and tells it when the gate has moved. Figures and requests in flight stand
 * in the lane's words. The thread's side is `lane-service.ts`. All methods: main thread.
 */

import { scheduleRemote } from '../aio/bottom-half.ts';
import { registerErrorClass, reviveError } from '../aio/thread-error.ts';
import type { Core } from '../engine/core.ts';
import { LANE_SIZE } from '../layout.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { BlockError, OptionError } from './error.ts';
import { type BackendStats, LaneFigures } from './lane-figures.ts';
import {
  type CloseLane,
  DRAIN_EVENT,
  type DrainAsked,
  type Drained,
  type DriverChange,
  type LaneClosed,
  type LaneOpened,
  type OpenLane,
  type PrepareDriver,
  type ResizeLane,
} from './lane-messages.ts';
import { BOUNCE_BYTES, BOUNCE_SLOTS, type LaneOptions } from './lane-options.ts';
import { LanePlaces } from './lane-places.ts';
import type { RangeLocks } from './range-locks.ts';

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
  /** Calls `listener` with what the thread posts; returns what removes it. */
  on?<T>(event: string, listener: (payload: T) => void): () => void;
  /** While a user holds it, the thread does not stop. */
  ref(user: string): void;
  unref(user: string): void;
}

/** The backend that it is a lane of. */
export interface RemoteLaneOwner {
  readonly core: Core;
  readonly address: number;
  readonly driver: BlockDriver;
  readonly ranges: RangeLocks | null;
  /** A lane's thread wants a drain: resolves when all but `holding` requests have left. */
  drainFor(lane: { readonly address: number }, holding: number): Promise<void>;
  /** The lane has closed; its words are about to be freed. */
  remoteClosed(lane: RemoteLane): void;
  /** A lane's requests have gone without leaving the gate: whoever drains looks again. */
  wake(): void;
}

export class RemoteLane {
  /** For messages. */
  readonly id: string;
  /** Core address of the lane's words; the thread knows the lane by it (`laneAt`). */
  readonly address: number;
  readonly iothread: LaneThread;
  /** What the thread's driver does without. */
  warnings: readonly string[] = [];
  /** Settles when the thread has opened the disk, or has not. */
  ready: Promise<void> = Promise.resolve();
  /** The last step to another disk. Steps follow each other, and `close` follows them. */
  #changing: Promise<unknown> = Promise.resolve();
  readonly #owner: RemoteLaneOwner;
  readonly #options: LaneOptions;
  readonly #figures: LaneFigures;
  /** Set aside for the disk that the thread has open; and for the one that is prepared. */
  #place: LanePlaces;
  #next: LanePlaces | null = null;
  #gateMoved: LaneOpened['gateMoved'] | null = null;
  /** The thread has the lane, and has not been told to close it. */
  #opened = false;
  #closing: Promise<void> | null = null;
  /** The thread has died, and touches nothing any more: its requests are gone with it. */
  #dead = false;
  readonly #deaf: (() => void)[] = [];

  /** Sets memory aside; `open` does the rest. Throws what `core.allocate` throws. */
  constructor(owner: RemoteLaneOwner, thread: LaneThread, options: LaneOptions) {
    const { core, driver } = owner;
    this.iothread = thread;
    this.#owner = owner;
    this.#options = options;
    this.address = core.allocate(LANE_SIZE);
    try {
      this.#place = new LanePlaces(owner, driver, thread, options);
    } catch (thrown) {
      core.free(this.address);
      throw thrown;
    }
    this.id = `lane ${this.address} of disk '${driver.driver}'`;
    this.#figures = new LaneFigures(core, this.address);
    thread.ref(this.id);
  }

  /**
   * Has the thread open the disk, after `first`. Rejects with its OptionError or BlockError;
   * nothing is left then.
   */
  open(spec: DriverSpec, options: LaneOptions, first?: Promise<void> | void): Promise<void> {
    this.ready = this.#open(spec, options, first);
    return this.ready;
  }

  async #open(spec: DriverSpec, options: LaneOptions, first?: Promise<void> | void): Promise<void> {
    const { bounceBytes = BOUNCE_BYTES, bounceSlots = BOUNCE_SLOTS } = options;
    const message: OpenLane = {
      lane: this.address,
      backend: this.#owner.address,
      disk: this.#place.disk(spec),
      options: { bounceBytes, bounceSlots },
    };
    this.#listen();
    let answer: LaneOpened;
    try {
      if (first) await first;
      answer = (await this.iothread.call('open-lane', message)) as LaneOpened;
    } catch (thrown) {
      if (isGone(thrown)) await this.iothread.ended;
      this.#release();
      throw thrown;
    }
    this.#opened = true;
    this.#gateMoved = answer.gateMoved;
    this.warnings = answer.warnings;
    this.gateMoved(); // it may have moved before we knew whom to tell
  }

  /** Whoever works on the lane may ask for a drain (BB-11), and may die. */
  #listen(): void {
    const { iothread } = this;
    if (!iothread.on) return;
    this.#deaf.push(
      iothread.on<DrainAsked>(DRAIN_EVENT, async ({ lane, number, holding }) => {
        if (lane !== this.address) return;
        await this.#owner.drainFor(this, holding);
        // A thread that has gone meanwhile wants to know no more.
        await iothread.call('drained', { lane, number } satisfies Drained).catch(() => {});
      }),
      iothread.on<Error>('died', () => {
        void iothread.ended.then(() => this.#died());
      }),
    );
  }

  /** Whoever drains, or wants a block that it has locked, waits no more: nothing will settle. */
  #died(): void {
    this.#dead = true;
    this.#owner.ranges?.abandon(this.address);
    this.#owner.wake();
  }

  // ---- Another disk (BB-18), in a drained section -----------------------------------------------

  /**
   * Has the thread open another disk beside. Rejects with what it throws: nothing has changed. A
   * lane that closes has no use for one: nothing happens, now and in `commit`.
   */
  prepare(driver: BlockDriver, spec: DriverSpec): Promise<void> {
    if (this.#closing) return Promise.resolve();
    const prepared = this.#prepare(driver, spec);
    this.#changing = prepared;
    return prepared;
  }

  async #prepare(driver: BlockDriver, spec: DriverSpec): Promise<void> {
    const next = new LanePlaces(this.#owner, driver, this.iothread, this.#options);
    const message: PrepareDriver = { lane: this.address, disk: next.disk(spec) };
    try {
      await this.iothread.call('prepare-driver', message);
    } catch (thrown) {
      const gone = isGone(thrown);
      if (gone) await this.iothread.ended;
      next.free();
      if (!gone) throw thrown;
      return;
    }
    this.#next = next;
  }

  /**
   * The prepared disk takes over; resolves when the thread has closed the one before, to what went
   * wrong with that, if anything did.
   */
  commit(): Promise<unknown> {
    return this.#leavePrepared('commit-driver', (next) => {
      this.#place.free();
      this.#place = next;
    });
  }

  async abort(): Promise<void> {
    await this.#leavePrepared('abort-driver', (next) => next.free());
  }

  /** Does `service` if a disk is prepared, and then `ended`. */
  #leavePrepared(service: string, ended: (next: LanePlaces) => void): Promise<unknown> {
    const next = this.#next;
    if (!next) return Promise.resolve(null);
    this.#next = null;
    const changed = this.#change(service).then((failure) => {
      ended(next);
      return failure;
    });
    this.#changing = changed;
    return changed;
  }

  async #change(service: string): Promise<unknown> {
    const message: DriverChange = { lane: this.address };
    try {
      const { failure } = (await this.iothread.call(service, message)) as LaneClosed;
      return failure && reviveError(failure);
    } catch (thrown) {
      if (!isGone(thrown)) throw thrown;
      await this.iothread.ended;
      return null;
    }
  }

  /** Requests inside the gate. */
  get inFlight(): number {
    if (this.#dead) return 0;
    return this.#owner.core.engine.gateInFlight(this.address);
  }

  /** Adds the lane's figures to a sum. */
  addStats(sum: BackendStats): void {
    this.#figures.addTo(sum, this.#owner.core.u32);
  }

  /** The gate has closed or opened: the thread looks, and tells its driver or who waits there. */
  gateMoved(): void {
    if (this.#gateMoved) scheduleRemote(this.#owner.core, this.#gateMoved);
  }

  /**
   * The disk has another size; resolves when the thread's driver knows. In a drained section, or
   * before anybody uses the lane. Nothing while the thread has no lane.
   */
  async resized(size: number): Promise<void> {
    if (!this.#opened) return;
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
    await this.#changesEnded();
    this.#opened = false;
    try {
      answer = (await this.iothread.call('close-lane', message)) as LaneClosed;
    } catch (thrown) {
      if (!isGone(thrown)) {
        this.#opened = true;
        throw thrown;
      }
      await this.iothread.ended; // a thread that has died has left its lanes
    }
    this.#release();
    if (answer.failure) throw reviveError(answer.failure);
  }

  /** Nothing is prepared, and the thread knows. */
  async #changesEnded(): Promise<void> {
    for (let last: Promise<unknown> | null = null; last !== this.#changing; ) {
      last = this.#changing;
      await last.catch(() => {}); // told to whoever began it
      await this.abort();
    }
  }

  #release(): void {
    const { core } = this.#owner;
    this.#gateMoved = null;
    for (const remove of this.#deaf) remove();
    this.#owner.ranges?.abandon(this.address);
    this.#owner.remoteClosed(this);
    this.#place.free();
    this.#next?.free();
    core.free(this.address);
    this.iothread.unref(this.id);
  }
}

/** The thread has died or stopped. */
function isGone(thrown: unknown): boolean {
  const { code } = thrown as { code?: unknown };
  return code === 'EOWNERDEAD' || code === 'ESHUTDOWN';
}
