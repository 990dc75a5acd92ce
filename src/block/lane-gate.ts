/**
 * A lane's hand on its backend's gate (design section 7): requests in flight, batches that pass it
 * once, and requests in several parts that hold it open. Home thread of the lane.
 */

import type { Core } from '../engine/core.ts';
import { LANE_IN_FLIGHT } from '../layout.ts';
import type { LaneBackend } from './lane-options.ts';
import { gateCloses } from './request-check.ts';

export class LaneGate {
  readonly #core: Core;
  /** Core addresses of the LANE_* and BACKEND_* words. */
  readonly #lane: number;
  readonly #backend: number;
  readonly #wake: () => void;
  /** Nested `plug` calls; and whether they hold the gate. */
  #plugged = 0;
  #held = false;
  #started = 0;
  #u32: Uint32Array;

  /** `wake` tells a drain to look again. */
  constructor(core: Core, lane: number, backend: number, wake: () => void) {
    this.#core = core;
    this.#lane = lane;
    this.#backend = backend;
    this.#wake = wake;
    this.#u32 = core.u32;
  }

  /** Requests inside. */
  get inFlight(): number {
    return this.#core.engine.gateInFlight(this.#lane);
  }

  /** A batch has passed. */
  get held(): boolean {
    return this.#held;
  }

  /** Has somebody begun to drain? */
  get closes(): boolean {
    return gateCloses(this.words(), this.#backend);
  }

  /** False: the gate is closed. */
  enter(): boolean {
    const { engine } = this.#core;
    if (engine.gateEnter(this.#lane, this.#backend, 1) === 1) return true;
    this.#wake(); // the drain may have seen us inside for a moment
    return false;
  }

  /** Counts one in that is inside by way of another: of a batch, or of a request in parts. */
  join(): void {
    Atomics.add(this.#core.i32, (this.#lane + LANE_IN_FLIGHT) >>> 2, 1);
  }

  /** Whoever leaves a closed gate wakes main: L9. */
  leave(): void {
    const { engine } = this.#core;
    if (engine.gateLeave(this.#lane, this.#backend, 1) === 1) this.#wake();
  }

  plug(): void {
    if (this.#plugged++ === 0) this.#held = this.enter();
  }

  unplug(): void {
    if (--this.#plugged > 0 || !this.#held) return;
    this.#held = false;
    this.leave();
  }

  /** `start` calls that have not ended. */
  get started(): number {
    return this.#started;
  }

  start(): boolean {
    if (!this.enter()) return false;
    this.#started += 1;
    return true;
  }

  end(): void {
    if (this.#started === 0) throw new Error('endRequest without startRequest');
    this.#started -= 1;
    this.leave();
  }

  /** As `enter`, for a part of what was started. */
  enterPart(): void {
    if (this.#started === 0) throw new Error('a part of a request that was not started');
    this.join();
  }

  /**
   * Core memory, for words that lie where the memory ended long ago. Asking for `memory.buffer`
   * costs more than all else here, so a view is kept for as long as it works: one on a wasm memory
   * that has grown is detached, or, if shared, still shows the same bytes.
   */
  words(): Uint32Array {
    return (this.#u32 = this.#core.keepU32(this.#u32));
  }
}

/** The half of a lane that has to do with the gate. */
export abstract class GatedLane {
  /** Core address of the lane's words (LANE_*). */
  readonly address: number;
  protected readonly backend: LaneBackend;
  protected readonly gate: LaneGate;

  protected constructor(core: Core, address: number, backend: LaneBackend) {
    this.address = address;
    this.backend = backend;
    this.gate = new LaneGate(core, address, backend.address, () => backend.wake());
  }

  /** Requests inside the gate. */
  get inFlight(): number {
    return this.gate.inFlight;
  }

  /**
   * Before a batch of `submit` calls: passes the gate once for all of them. Until the matching
   * `unplug`, which leaves it, nothing may be awaited. What the caller does with results before it
   * unplugs, a drain sees done (BB-2). Nests. If the gate is closed, each `submit` says so, from
   * the moment on at which it closes: a drain waits for one request, not for the batch.
   */
  plug(): void {
    this.gate.plug();
  }

  unplug(): void {
    this.gate.unplug();
  }

  /**
   * Begins something that takes several requests, one after the other: until the matching
   * `endRequest` a drain waits, and requests with `part` set pass the gate though it is closed, so
   * that what the drain waits for can end (BB-10). False: the gate is closed already.
   */
  startRequest(): boolean {
    return this.gate.start();
  }

  endRequest(): void {
    this.gate.end();
  }

  /**
   * Has main drain the backend, from whatever thread: resolves when all that was in flight has
   * ended. `holding`: of the `startRequest` calls that have not ended, how many are the caller's,
   * who would wait for itself (BB-11).
   */
  drain(holding = 0): Promise<void> {
    const { started } = this.gate;
    if (holding > started) throw new Error(`${started} requests are held, no more`);
    return this.backend.drainFor(this, holding);
  }
}
