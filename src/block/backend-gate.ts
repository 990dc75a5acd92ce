/**
 * The gate of a backend, and who is told when it moves: the half of BlockBackend that drains
 * (design section 7). Main thread. QEMU: `blk_root_drained_begin` and its like.
 */

import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import { BACKEND_QUIESCE, BACKEND_SIZE, LANE_IN_FLIGHT } from '../layout.ts';
import { type Drainable, drainAllBegin, drainAllEnd, lookAgain, untilQuiet } from './drain.ts';
import type { LaneSet } from './lane-set.ts';
import type { BlockNode } from './node.ts';

/** What a device does about drained sections and its medium. QEMU: `BlockDevOps`. */
export interface BlockDevOps {
  /** The outermost section begins: submit nothing more. Never waits. */
  drainedBegin?(): void;
  /** It has ended; what waits at the gate comes back after this. */
  drainedEnd?(): void;
  /** Is the device still busy of its own accord? It calls `backend.wake` when it no longer is. */
  drainedPoll?(): boolean;
  resized?(): void;
  /** There is another disk, or none. In a drained section. */
  mediaChanged?(loaded: boolean): void;
}

export abstract class BackendGate implements Drainable {
  readonly core: Core;
  readonly context: AioContext;
  /** Core address of the words that all lanes share (BACKEND_*). */
  readonly address: number;
  protected abstract readonly lanes: LaneSet;
  /** The node that the backend stands on; null: no medium. */
  abstract readonly root: BlockNode | null;
  #devOps: BlockDevOps | null = null;
  /** Sections that were begun here, not at the node. */
  #drains = 0;
  /**
   * The backend has left its node for good, and its words may be free. Who began a section before
   * that, such as the machine or a graph that counts, may end it: nothing happens.
   */
  protected gone = false;

  /** Throws what `core.allocate` throws. */
  protected constructor(core: Core, context: AioContext) {
    this.core = core;
    this.context = context;
    this.address = core.allocate(BACKEND_SIZE);
  }

  /** Who has the backend as its disk, if a device has. */
  get devOps(): BlockDevOps | null {
    return this.#devOps;
  }

  /** Sections that were begun here, not at the node. */
  protected get drains(): number {
    return this.#drains;
  }

  /**
   * Says whom to ask in drained sections. In a section that has begun already the new one is told
   * at once, and so is the old one of its end (BB-7).
   */
  setDevOps(ops: BlockDevOps | null): void {
    if (ops === this.#devOps) return;
    if (this.quiesced) this.#devOps?.drainedEnd?.();
    this.#devOps = ops;
    if (this.quiesced) ops?.drainedBegin?.();
  }

  /**
   * Begins a drained section: the first half of QEMU's drained_begin, which never waits; `idle` is
   * the second. First the gates of all backends on the node close and their devices are told, then
   * the drivers (BB-5). Nests.
   */
  drainedBegin(): void {
    if (this.gone) return;
    this.#drains += 1;
    this.childDrainedBegin();
    this.root?.drainedBegin();
  }

  /** Ends the section, the drivers first (BB-6). Never waits. */
  drainedEnd(): void {
    if (this.gone) return;
    if (this.#drains === 0) throw new Error('drainedEnd without drainedBegin');
    this.#drains -= 1;
    this.root?.drainedEnd();
    this.childDrainedEnd();
  }

  /** For nodes. */
  childDrainedBegin(): void {
    if (this.core.engine.gateClose(this.address) > 1) return;
    this.#devOps?.drainedBegin?.();
    this.lanes.gateClosed();
  }

  /** For nodes. */
  childDrainedEnd(): void {
    if (this.core.engine.gateOpen(this.address) > 0) return;
    this.#devOps?.drainedEnd?.();
    this.lanes.gateOpened();
  }

  get quiesced(): boolean {
    return this.gone || this.word(BACKEND_QUIESCE) > 0;
  }

  /** Requests inside the gate, of all lanes. */
  get inFlight(): number {
    return this.lanes.inFlight;
  }

  /** For nodes: the backend itself is not at rest. */
  get busy(): boolean {
    return this.inFlight > 0 || (this.#devOps?.drainedPoll?.() ?? false);
  }

  /** Is anything on the node, or the device, still busy? */
  drainedPoll(): boolean {
    return !this.gone && (this.busy || (this.root?.busy ?? false));
  }

  /**
   * Resolves when nothing is in flight and all callbacks have run (BB-2). Holds the gate closed
   * while it waits, so that without `drainedBegin` around it this is QEMU's blk_drain (BB-12).
   */
  async idle(): Promise<void> {
    this.drainedBegin();
    try {
      await untilQuiet(this.context, () => this.drainedPoll());
    } finally {
      this.drainedEnd();
    }
  }

  /** QEMU's blk_drain: all that is in flight has ended when it resolves. */
  drain(): Promise<void> {
    return this.idle();
  }

  /** Runs `step` while nothing is in flight. */
  async drained<T>(step: () => T | Promise<T>): Promise<T> {
    this.drainedBegin();
    try {
      await this.idle();
      return await step();
    } finally {
      this.drainedEnd();
    }
  }

  /** Drains several: all gates close before anybody is waited for (BB-13). */
  static async drainAll(backends: Iterable<BackendGate>): Promise<void> {
    const all = [...backends];
    try {
      await drainAllBegin(all);
    } finally {
      drainAllEnd(all);
    }
  }

  /**
   * For lanes: whoever works on `lane` wants a drain, and holds `holding` requests of its own open
   * (BB-11). Those count until the gate is closed, so that the disk cannot vanish on the way here;
   * then they are left out, and are back before the gate opens: unless the lane has closed
   * meanwhile, as main closes that of a thread that has died, and the words are others' now.
   */
  async drainFor(lane: { readonly address: number }, holding: number): Promise<void> {
    const at = (lane.address + LANE_IN_FLIGHT) >>> 2;
    this.drainedBegin();
    Atomics.sub(this.core.i32, at, holding);
    try {
      await this.idle();
    } finally {
      if (this.lanes.has(lane)) Atomics.add(this.core.i32, at, holding);
      this.drainedEnd();
    }
  }

  /** Something has left, or the device has come to rest: whoever drains looks again. */
  wake(): void {
    lookAgain();
  }

  // ---- Words ----------------------------------------------------------------------------------

  protected word(field: number): number {
    return Atomics.load(this.core.i32, (this.address + field) >>> 2) >>> 0;
  }

  protected setWord(field: number, value: number): void {
    Atomics.store(this.core.i32, (this.address + field) >>> 2, value | 0);
  }
}
