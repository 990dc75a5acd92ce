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
import { BACKEND_F_WRITE_CACHE, BACKEND_FLAGS, LANE_IN_FLIGHT } from '../layout.ts';
import { EAGAIN, ECANCELED, ENOMEM } from '../spec.ts';
import { type BouncePool, bounceFor } from './bounce.ts';
import { type DirectBatch, LONG_WAY } from './direct-batch.ts';
import { DirectTransfer } from './direct-transfer.ts';
import {
  type BlockDriver,
  type OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
  REQ_FUA,
} from './driver.ts';
import { errnoOfThrown } from './error.ts';
import { type BackendStats, LaneFigures, TIMED_ONE_IN } from './lane-figures.ts';
import type { LaneBackend, LaneOptions, LanePlace } from './lane-options.ts';
import { type LaneRequest, RequestPool } from './lane-request.ts';
import { checkRequest, gateCloses, verdictOf } from './request-check.ts';
import { MORE, type Transfer, type TransferOwner } from './transfer.ts';
import { TransferList } from './transfer-list.ts';

export class BackendLane implements TransferOwner {
  /** Core address of the lane's words (LANE_*). */
  readonly address: number;
  readonly driver: BlockDriver;
  readonly context: AioContext;
  /** Called from a poll when a gate that had been closed is open again. */
  readonly onOpen = new Set<() => void>();
  readonly #core: Core;
  readonly #backend: LaneBackend;
  readonly #bottomHalf: BottomHalf;
  readonly #figures: LaneFigures;
  readonly #clock: Clock;
  readonly #bounce: BouncePool;
  readonly #pool: RequestPool;
  /** Parts that have settled; their requests go on in the bottom half. */
  readonly #settled = new TransferList();
  /** Requests that wait for a bounce slot. */
  readonly #waiting = new TransferList();
  #opened = false;
  #closed = false;
  #submitted = 0;
  readonly #directTransfer: DirectTransfer;
  /** Nested `plug` calls; and whether they hold the gate. */
  #plugged = 0;
  #holdsGate = false;
  /** A view of core memory; `#words` says when it is still good. */
  #u32: Uint32Array;
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
    this.#core = core;
    this.context = context;
    this.#backend = backend;
    this.driver = driver;
    this.#clock = options.clock ?? context.clock;
    this.#pool = new RequestPool(this);
    this.address = place.address;
    this.#figures = new LaneFigures(core, this.address);
    this.#bottomHalf = context.bottomHalf('lane', () => this.#dispatch());
    this.#bounce = bounceFor(core, driver, options, place);
    this.#ram = core.ramU8;
    this.#u32 = core.u32;
    const { address } = backend;
    // What settles through the JavaScript loop needs a thread that does not block it.
    if (driver.settles === 'loop') context.addLoopUser();
    this.#directTransfer = new DirectTransfer(core, address, driver, this.#figures, this.#clock);
  }

  /** Requests inside the gate. */
  get inFlight(): number {
    return this.#core.engine.gateInFlight(this.address);
  }

  /** Bounce slots made so far. */
  get bounceSlots(): number {
    return this.#bounce.made;
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
    const held = this.#holdsGate;
    if (held ? gateCloses(this.#words(), this.#backend.address) : !this.#enter()) return -EAGAIN;
    const verdict = verdictOf(request, this.#words(), this.#backend.address, this.driver.alignment);
    if (verdict <= 0) {
      if (verdict < 0) this.countInvalid();
      if (!held) this.#leave();
      return verdict;
    }
    const { transfer } = request;
    this.#begin(transfer);
    const result = this.#run(transfer);
    if (result !== PENDING) {
      this.#end(transfer, result);
      if (!held) this.#leave();
    } else if (held) {
      // It outlives the batch, so it is counted by itself.
      Atomics.add(this.#core.i32, (this.address + LANE_IN_FLIGHT) >>> 2, 1);
    }
    return result;
  }

  /**
   * Before a batch of `submit` calls: passes the gate once for all of them. Until the matching
   * `unplug`, which leaves it, nothing may be awaited. What the caller does with results before it
   * unplugs, a drain sees done (BB-2). Nests. If the gate is closed, each `submit` says so, from
   * the moment on at which it closes: a drain waits for one request, not for the batch.
   */
  plug(): void {
    if (this.#plugged++ === 0) this.#holdsGate = this.#enter();
  }

  unplug(): void {
    if (--this.#plugged > 0 || !this.#holdsGate) return;
    this.#holdsGate = false;
    this.#leave();
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
    if (this.#holdsGate) this.#directTransfer.run(op, batch);
    else batch.results.fill(LONG_WAY, 0, batch.count);
  }

  /** Tells a drain to look again: after SERVE_WAKE of the engine. */
  wake(): void {
    this.#backend.wake();
  }

  /** Counts a request that the caller refused before it came here: range, alignment (BL-4). */
  countInvalid(): void {
    this.#figures.invalid(this.#words());
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
    this.#bounce.close();
    this.onOpen.clear();
    this.#backend.laneClosed(this); // may free the words
  }

  /** For transfers: a part has settled. Never inside `submit`. */
  settled(transfer: Transfer): void {
    this.#settled.push(transfer);
    this.#bottomHalf.schedule();
  }

  // ---- One request ------------------------------------------------------------------------------

  #begin(transfer: Transfer): void {
    const { request } = transfer;
    const { bytes } = request.vector;
    if (bytes !== this.#ram) this.#ram = this.#core.ramU8;
    const later = this.driver.settles !== 'inline';
    const timed = later || this.#submitted++ % TIMED_ONE_IN === 0;
    transfer.started = timed ? this.#clock.now() : -1;
    transfer.begin(this.#flags(request), later || !this.#aligned(request), bytes === this.#ram);
  }

  /** With the write cache off every write is FUA (BB-21). */
  #flags(request: LaneRequest): number {
    const { op, flags } = request;
    if (op !== OP_WRITE && op !== OP_WRITE_ZEROES) return flags;
    const backend = this.#words()[(this.#backend.address + BACKEND_FLAGS) >>> 2] as number;
    return backend & BACKEND_F_WRITE_CACHE ? flags : flags | REQ_FUA;
  }

  /** May the driver be given the vector itself? Only a WebAssembly memory's addresses are known. */
  #aligned(request: LaneRequest): boolean {
    const { alignment } = this.driver;
    const { bytes, count, starts, lengths } = request.vector;
    if (alignment === 1) return true;
    if (bytes !== this.#ram || !this.#core.ramViewsDetach) return false;
    for (let i = 0; i < count; i++) {
      if (starts[i]! % alignment !== 0 || lengths[i]! % alignment !== 0) return false;
    }
    return true;
  }

  /** Does parts until the request has ended, or waits. */
  #run(transfer: Transfer): number {
    for (;;) {
      if (transfer.needsSlot && !transfer.slot) {
        const result = this.#takeSlot(transfer);
        if (result < 0) return result;
      }
      transfer.prepare(this.#bounce.slotBytes);
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
      // Those that wait already come first.
      transfer.slot = this.#waiting.empty ? this.#bounce.take() : null;
    } catch (thrown) {
      transfer.request.error = thrown;
      return -ENOMEM;
    }
    if (transfer.slot) return 0;
    transfer.state = 'waiting';
    this.#waiting.push(transfer);
    return PENDING;
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
      this.#bounce.give(slot);
      if (!this.#waiting.empty) this.#bottomHalf.schedule();
    }
    if (result === -ECANCELED && request.abandoned) return;
    if (result < 0) {
      this.#figures.failed(this.#words());
      return;
    }
    this.#figures.succeeded(this.#words(), request.op, request.length);
    if (transfer.started >= 0) {
      this.#figures.took(request.op, this.#clock.now() - transfer.started);
    }
  }

  /** False: the gate is closed. */
  #enter(): boolean {
    const { engine } = this.#core;
    if (engine.gateEnter(this.address, this.#backend.address, 1) === 1) return true;
    this.wake(); // the drain may have seen us inside for a moment
    return false;
  }

  #leave(): void {
    const { engine } = this.#core;
    if (engine.gateLeave(this.address, this.#backend.address, 1) === 1) this.wake();
  }

  /**
   * Core memory, for words that lie where the memory ended long ago. Asking for `memory.buffer`
   * costs more than all else here, so a view is kept for as long as it works: one on a wasm memory
   * that has grown is detached, or, if shared, still shows the same bytes.
   */
  #words(): Uint32Array {
    return (this.#u32 = this.#core.keepU32(this.#u32));
  }

  // ---- The bottom half --------------------------------------------------------------------------

  #dispatch(): void {
    for (;;) {
      if (this.#closed) return;
      if (this.#opened) this.#tellOpen();
      const transfer = this.#settled.shift() ?? this.#nextWaiting();
      if (!transfer) break;
      // A poll nested in `done` carries on with the others.
      if (!this.#settled.empty || !this.#waiting.empty) this.#bottomHalf.schedule();
      this.#carryOn(transfer);
    }
    if (!this.#opened) this.#bottomHalf.cancel();
  }

  /** The first that waits for a slot, with one. */
  #nextWaiting(): Transfer | null {
    if (this.#waiting.empty) return null;
    let slot = null;
    try {
      slot = this.#bounce.take();
    } catch {
      // Without memory it goes on waiting for one that is in use.
    }
    if (!slot) return null;
    const transfer = this.#waiting.shift() as Transfer;
    transfer.slot = slot;
    return transfer;
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
    if (result === MORE) result = this.#run(transfer);
    if (result === PENDING) return;
    this.#end(transfer, result);
    try {
      request.done(request, result);
    } finally {
      this.#leave(); // after the callback, so that a drain sees its effects (BB-2)
    }
  }

  #tellOpen(): void {
    this.#opened = false;
    if (gateCloses(this.#words(), this.#backend.address)) return; // we are told again
    for (const tell of [...this.onOpen]) tell();
  }
}
