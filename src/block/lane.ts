/**
 * A lane: one thread's way into a backend (design section 6). Every request passes the gate, is
 * checked and counted, and goes to the driver in as many parts as it takes. What settles later
 * comes back by the bottom half of the lane's context.
 *
 * All methods: home thread of the context. QEMU: `block/block-backend.c`, `blk_aio_prwv` and below.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { Clock } from '../aio/clock.ts';
import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import { EAGAIN, ECANCELED, ENOMEM } from '../spec.ts';
import { bounceFor } from './bounce.ts';
import { type DirectBatch, LONG_WAY, type RowTable, type RowTransfer } from './direct-batch.ts';
import { DirectTransfer } from './direct-transfer.ts';
import { type BlockDriver, type BlockOp, OP_FLUSH, OP_READ, OP_WRITE, PENDING } from './driver.ts';
import { errnoOfThrown } from './error.ts';
import { flushBegins, flushEnded, isFlushed, noteWrite } from './flush-generation.ts';
import { type BackendStats, LaneFigures, NOT_TIMED, TIMED_ONE_IN } from './lane-figures.ts';
import { GatedLane } from './lane-gate.ts';
import type { LaneBackend, LaneOptions, LanePlace } from './lane-options.ts';
import { type LaneRequest, RequestPool } from './lane-request.ts';
import { checkRequest, flagsOf, isAligned, verdictOf } from './request-check.ts';
import { SlotQueue } from './slot-queue.ts';
import { MORE, type Transfer, type TransferOwner } from './transfer.ts';
import { TransferList } from './transfer-list.ts';

export class BackendLane extends GatedLane implements TransferOwner {
  driver: BlockDriver;
  readonly context: AioContext;
  /** Called from a poll when a gate that had been closed is open again. */
  readonly onOpen = new Set<() => void>();
  readonly #core: Core;
  readonly #bottomHalf: BottomHalf;
  readonly #figures: LaneFigures;
  readonly #clock: Clock;
  readonly #options: LaneOptions;
  #slots: SlotQueue;
  readonly #pool: RequestPool;
  /** Parts that have settled; their requests go on in the bottom half. */
  readonly #settled = new TransferList();
  #opened = false;
  #closed = false;
  #submitted = 0;
  #directTransfer: DirectTransfer;
  /** `core.ramU8` as last looked at: tells whether a vector lies in guest RAM. */
  #ram: Uint8Array;

  constructor(
    core: Core,
    context: AioContext,
    backend: LaneBackend,
    driver: BlockDriver,
    place: LanePlace,
    options: LaneOptions = {},
  ) {
    super(core, place.address, backend);
    this.#core = core;
    this.context = context;
    this.driver = driver;
    this.#options = options;
    this.#clock = options.clock ?? context.clock;
    this.#pool = new RequestPool(this);
    this.#figures = new LaneFigures(core, this.address);
    this.#bottomHalf = context.bottomHalf('lane', () => this.#dispatch());
    this.#slots = new SlotQueue(bounceFor(core, driver, options, place));
    this.#ram = core.ramU8;
    const { address } = backend;
    // What settles through the JavaScript loop needs a thread that does not block it.
    if (driver.settles === 'loop') context.addLoopUser();
    this.#directTransfer = new DirectTransfer(core, address, driver, this.#figures, this.#clock);
  }

  /** Bounce slots made so far. */
  get bounceSlots(): number {
    return this.#slots.pool.made;
  }

  /** A request to fill in and submit, from the pool. */
  request(): LaneRequest {
    return this.#pool.take();
  }

  /** For `LaneRequest.release`. */
  recycle(request: LaneRequest): void {
    this.#pool.give(request);
  }

  /**
   * Starts a request. Returns 0 if all of it is done, a negative errno, or PENDING: then
   * `request.done` is called once, from a later poll, before the request counts as out of the gate
   * (BB-1, BB-2). -EAGAIN: the gate is closed and nothing has happened; `onOpen` tells when to try
   * again.
   */
  submit(request: LaneRequest): number {
    checkRequest(request);
    const gate = this.gate;
    const held = gate.held && !request.part;
    if (request.part) gate.enterPart();
    else if (held ? gate.closes : !gate.enter()) return -EAGAIN;
    const verdict = this.#verdict(request);
    if (verdict <= 0) {
      if (verdict < 0) this.countInvalid();
      if (!held) gate.leave();
      return verdict;
    }
    const { transfer } = request;
    this.#begin(transfer);
    const result = this.#run(transfer);
    if (result !== PENDING) {
      this.#end(transfer, result);
      if (!held) gate.leave();
    } else if (held) gate.join(); // it outlives the batch, so it is counted by itself
    return result;
  }

  /** May `transfer` be used? Not if data may have to be bounced. */
  get direct(): boolean {
    const { settles, alignment } = this.driver;
    return settles === 'inline' && alignment === 1;
  }

  /**
   * Does all members of a batch, as `submit` would one by one. Inside `plug`, on a `direct` lane.
   */
  transfer(op: typeof OP_READ | typeof OP_WRITE, batch: DirectBatch): void {
    if (this.gate.held) this.#directTransfer.run(op, batch);
    else batch.results.fill(LONG_WAY, 0, batch.count);
    if (op === OP_WRITE) noteWrite(this.gate.words(), this.backend.address);
  }

  /** As `transfer`, for rows: see `DirectTransfer.runRows`. Null: not by this way. */
  transferRows(op: typeof OP_READ | typeof OP_WRITE, table: RowTable): RowTransfer | null {
    if (!this.gate.held || !this.#directTransfer.runRows(op, table)) return null;
    if (op === OP_WRITE) noteWrite(this.gate.words(), this.backend.address);
    return this.#directTransfer;
  }

  // ---- Cancel, another disk -------------------------------------------------------------------

  /** For `LaneRequest.cancel`. */
  cancel(request: LaneRequest): void {
    const { transfer } = request;
    if (!transfer.busy || request.canceled) return;
    request.canceled = true;
    if (transfer.state === 'pending') {
      this.driver.cancel?.(transfer);
    } else if (transfer.state === 'waiting') {
      this.#slots.remove(transfer);
      transfer.state = 'settled';
      transfer.result = -ECANCELED;
      this.settled(transfer);
    }
  }

  /**
   * Another disk: requests from now on go there (BB-9). The gate is closed and nothing in flight.
   * `bounce`: core memory for slots, as in LanePlace.
   */
  replaceDriver(driver: BlockDriver, bounce = 0): void {
    if (this.inFlight > 0) throw new Error(`driver replaced under ${this.inFlight} requests`);
    const core = this.#core;
    const place = { address: this.address, bounce };
    const slots = new SlotQueue(bounceFor(core, driver, this.#options, place));
    this.#slots.close();
    this.#slots = slots;
    if (driver.settles === 'loop') this.context.addLoopUser();
    if (this.driver.settles === 'loop') this.context.removeLoopUser();
    this.driver = driver;
    const { address } = this.backend;
    this.#directTransfer = new DirectTransfer(core, address, driver, this.#figures, this.#clock);
  }

  /** Tells a drain to look again: after SERVE_WAKE of the engine. */
  wake(): void {
    this.backend.wake();
  }

  /** Counts a request that the caller refused before it came here: range, alignment (BL-4). */
  countInvalid(): void {
    this.#figures.invalid(this.gate.words());
  }

  /** Counts requests that the caller saved by merging neighbours. */
  countMerged(requests: number): void {
    this.#figures.merged(this.gate.words(), requests);
  }

  /** The gate is open again: `onOpen` is told by the bottom half. */
  opened(): void {
    this.#opened = true;
    this.#bottomHalf.schedule();
  }

  /** Adds the lane's figures to a sum. */
  addStats(sum: BackendStats): void {
    this.#figures.addTo(sum, this.#core.u32);
  }

  /** Ends the lane. Nothing may be in flight: close the gate and wait first. */
  close(): void {
    if (this.#closed) return;
    if (this.inFlight > 0) throw new Error(`lane closed with ${this.inFlight} requests in flight`);
    this.#closed = true;
    this.#bottomHalf.delete();
    if (this.driver.settles === 'loop') this.context.removeLoopUser();
    this.#slots.close();
    this.onOpen.clear();
    this.backend.laneClosed(this); // may free the words
  }

  /** For transfers: a part has settled. Never inside `submit`. */
  settled(transfer: Transfer): void {
    this.#settled.push(transfer);
    this.#bottomHalf.schedule();
  }

  // ---- One request ----------------------------------------------------------------------------

  #begin(transfer: Transfer): void {
    const { request } = transfer;
    const { bytes } = request.vector;
    if (bytes !== this.#ram) this.#ram = this.#core.ramU8;
    const later = this.driver.settles !== 'inline';
    const timed = later || this.#submitted++ % TIMED_ONE_IN === 0;
    transfer.started = timed ? this.#clock.now() : NOT_TIMED;
    const backend = this.backend.address;
    if (request.op === OP_FLUSH) flushBegins(this.gate.words(), backend);
    const flags = flagsOf(request, this.gate.words(), backend);
    transfer.begin(flags, later || !this.#aligned(request), bytes === this.#ram);
  }

  /** May the driver be given the vector itself? Only a WebAssembly memory's addresses are known. */
  #aligned(request: LaneRequest): boolean {
    const { alignment } = this.driver;
    if (alignment === 1) return true;
    if (request.vector.bytes !== this.#ram || !this.#core.ramViewsDetach) return false;
    return isAligned(request, alignment);
  }

  /** Does parts until the request has ended, or waits. */
  #run(transfer: Transfer): number {
    for (;;) {
      if (transfer.needsSlot && !transfer.slot) {
        const result = this.#takeSlot(transfer);
        if (result < 0) return result;
      }
      transfer.prepare(this.#slots.pool.slotBytes);
      const result = this.#submitPart(transfer);
      if (result === PENDING) return PENDING;
      if (result !== transfer.length) this.#refresh(transfer);
      const end = transfer.absorb(result);
      if (end !== MORE) return end;
    }
  }

  #submitPart(transfer: Transfer): number {
    transfer.state = 'submitting';
    try {
      const result = this.driver.submit(transfer);
      if (result === PENDING) transfer.state = 'pending';
      return result;
    } catch (thrown) {
      transfer.request.error = thrown;
      return errnoOfThrown(thrown);
    }
  }

  /** 0, PENDING if the request now waits for a slot, or -ENOMEM. */
  #takeSlot(transfer: Transfer): number {
    try {
      return this.#slots.take(transfer) ? 0 : PENDING;
    } catch (thrown) {
      transfer.request.error = thrown;
      return -ENOMEM;
    }
  }

  /** A memory that has grown has a new buffer: what points into guest RAM must point there. */
  #refresh(transfer: Transfer): void {
    if (transfer.inRam) transfer.request.vector.bytes = this.#core.ramU8;
  }

  /** The request is the owner's again. */
  #end(transfer: Transfer, result: number): void {
    const { request, slot } = transfer;
    transfer.state = 'idle';
    if (slot) {
      transfer.slot = null;
      this.#slots.pool.give(slot);
      if (!this.#slots.empty) this.#bottomHalf.schedule();
    }
    if (request.op !== OP_READ) this.#noteEnd(request.op, result);
    if (result === -ECANCELED && (request.abandoned || request.canceled)) return;
    if (result < 0) {
      this.#figures.failed(this.gate.words());
      return;
    }
    this.#figures.succeeded(this.gate.words(), request.op, request.length);
    if (transfer.started >= 0) {
      this.#figures.took(request.op, this.#clock.now() - transfer.started);
    }
  }

  /** For flushes (BB-24): before the owner is told, and inside the gate. */
  #noteEnd(op: BlockOp, result: number): void {
    const backend = this.backend.address;
    if (op === OP_FLUSH) flushEnded(this.gate.words(), backend, result === 0);
    else noteWrite(this.gate.words(), backend);
  }

  /** As `verdictOf`; a flush that would change nothing has succeeded. */
  #verdict(request: LaneRequest): number {
    const backend = this.backend.address;
    const verdict = verdictOf(request, this.gate.words(), backend, this.driver.alignment);
    if (verdict <= 0 || request.op !== OP_FLUSH || !isFlushed(this.gate.words(), backend)) {
      return verdict;
    }
    this.#figures.succeeded(this.gate.words(), OP_FLUSH, 0);
    return 0;
  }

  // ---- The bottom half ------------------------------------------------------------------------

  #dispatch(): void {
    for (;;) {
      if (this.#closed) return;
      if (this.#opened) this.#tellOpen();
      const transfer = this.#settled.shift() ?? this.#slots.next();
      if (!transfer) break;
      // A poll nested in `done` carries on with the others.
      if (!this.#settled.empty || !this.#slots.empty) this.#bottomHalf.schedule();
      this.#carryOn(transfer);
    }
    if (!this.#opened) this.#bottomHalf.cancel();
  }

  #carryOn(transfer: Transfer): void {
    const { request } = transfer;
    const { guard } = request;
    if (guard && !guard.enter()) request.abandoned = true;
    try {
      this.#goOn(transfer);
    } finally {
      guard?.leave();
    }
  }

  #goOn(transfer: Transfer): void {
    const { request } = transfer;
    let result: number = MORE;
    if (request.abandoned) {
      result = -ECANCELED; // its bytes are not ours any more
    } else {
      this.#refresh(transfer);
      if (transfer.state === 'settled') result = transfer.absorb(transfer.result);
    }
    if (result === MORE && request.canceled) result = -ECANCELED;
    if (result === MORE) result = this.#run(transfer);
    if (result === PENDING) return;
    this.#end(transfer, result);
    try {
      request.done(request, result);
    } finally {
      this.gate.leave(); // after the callback, so that a drain sees its effects (BB-2)
    }
  }

  #tellOpen(): void {
    this.#opened = false;
    if (this.gate.closes) return; // we are told again
    for (const tell of [...this.onOpen]) tell();
  }
}
