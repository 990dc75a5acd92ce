/**
 * All lanes of a backend: those of contexts on main's thread, and those that other threads serve.
 * Main thread; the backend is its only user.
 */

import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import { BACKEND_LANES, LANE_SIZE } from '../layout.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { OptionError } from './error.ts';
import { changeUnderWay } from './exclusive.ts';
import { BackendLane } from './lane.ts';
import { type BackendStats, noStats } from './lane-figures.ts';
import type { LaneBackend, LaneOptions } from './lane-options.ts';
import type { BlockNode } from './node.ts';
import { SerialisingDriver } from './read-modify-write.ts';
import { type LaneThread, RemoteLane, type RemoteLaneOwner } from './remote-lane.ts';

/** What the lanes need of their backend. */
export interface LaneSetOwner extends LaneBackend, RemoteLaneOwner {
  readonly root: BlockNode | null;
  /** Throws an Error if the backend is closed. */
  checkOpen(): void;
  /** Makes the words by which other threads wake main. */
  listen(): void;
  warn(message: string): void;
  /** A thread may have come: resolves when the disk knows. */
  threadsChanged(): Promise<void> | void;
}

export class LaneSet {
  readonly #core: Core;
  readonly #owner: LaneSetOwner;
  readonly #options: LaneOptions;
  readonly #local = new Set<BackendLane>();
  readonly #remotes = new Set<RemoteLane>();
  /** What stands between a lane and the disk, if requests may be smaller than its blocks. */
  readonly #fronts = new Map<BackendLane, SerialisingDriver>();
  /** Figures of lanes that are closed. */
  readonly #closed: BackendStats = noStats();

  constructor(core: Core, owner: LaneSetOwner, options: LaneOptions) {
    this.#core = core;
    this.#owner = owner;
    this.#options = options;
  }

  get size(): number {
    return this.#local.size + this.#remotes.size;
  }

  /** Requests inside the gate. */
  get inFlight(): number {
    let sum = 0;
    for (const lane of this.#local) sum += lane.inFlight;
    for (const lane of this.#remotes) sum += lane.inFlight;
    return sum;
  }

  /** Threads that have lanes; null is main, where all contexts of local lanes live. */
  get threads(): Set<LaneThread | null> {
    const threads = new Set<LaneThread | null>([...this.#remotes].map((lane) => lane.iothread));
    if (this.#local.size > 0) threads.add(null);
    return threads;
  }

  stats(): BackendStats {
    const sum = structuredClone(this.#closed);
    for (const lane of this.#local) lane.addStats(sum);
    for (const lane of this.#remotes) lane.addStats(sum);
    return sum;
  }

  // ---- Open and close -------------------------------------------------------------------------

  /** Throws what `core.allocate` and the context throw. */
  open(context: AioContext): BackendLane {
    const lane = this.#make(context);
    const first = this.#local.size === 0;
    this.#local.add(lane);
    this.#count();
    // The gate is closed before anybody can use the lane, and opens when the driver knows.
    if (first) void this.#owner.threadsChanged();
    return lane;
  }

  #make(context: AioContext): BackendLane {
    const core = this.#core;
    const address = core.allocate(LANE_SIZE);
    let front: SerialisingDriver | null = null;
    try {
      front = this.#frontFor({ address, context }, this.#owner.driver);
      const driver = front ?? this.#owner.driver;
      const place = { address, bounce: 0 };
      const lane = new BackendLane(core, context, this.#owner, driver, place, this.#options);
      if (front) this.#fronts.set(lane, front);
      return lane;
    } catch (thrown) {
      front?.close();
      core.free(address);
      throw thrown;
    }
  }

  #frontFor(
    { address, context }: Pick<BackendLane, 'address' | 'context'>,
    disk: BlockDriver,
  ): SerialisingDriver | null {
    const { ranges } = this.#owner;
    if (!ranges) return null;
    const locks = { ranges: ranges.address, lane: address };
    return new SerialisingDriver(this.#core, context, disk, locks, this.#options);
  }

  /** Rejects with what the thread's driver throws, or an OptionError; nothing is left then. */
  async openOn(iothread: LaneThread): Promise<RemoteLane> {
    this.#specFor(iothread, this.#owner.root);
    const core = this.#core;
    for (let last = changeUnderWay(core); last; last = changeUnderWay(core)) await last;
    this.#owner.checkOpen();
    const spec = this.#specFor(iothread, this.#owner.root);
    const { size } = this.#owner.driver;
    this.#owner.listen();
    const lane = new RemoteLane(this.#owner, iothread, this.#options);
    this.#remotes.add(lane);
    this.#count();
    await lane.open(spec, this.#options, this.#owner.threadsChanged());
    if (this.#owner.driver.size !== size) await lane.resized(this.#owner.driver.size);
    for (const warning of lane.warnings) this.#owner.warn(`iothread '${iothread.id}': ${warning}`);
    return lane;
  }

  #specFor(
    iothread: LaneThread,
    node: BlockNode | null,
    driver: BlockDriver = this.#owner.driver,
  ): DriverSpec {
    const { core } = this.#owner;
    const { memory, header } = iothread.core;
    if (memory !== core.memory || header !== core.header) {
      throw new OptionError('iothread', iothread.id, 'iothreads that were started for this core');
    }
    if (!core.shared) {
      throw new OptionError('iothread', iothread.id, 'none: the memory of the core is not shared');
    }
    const spec = node ? node.share : driver.share;
    if (spec) return spec;
    const why = `the disk is an open '${driver.driver}' driver, which serves its own thread only`;
    throw new OptionError('iothread', iothread.id, `none: ${why}`);
  }

  /** Is the lane one of these, and not closed? */
  has(lane: object): boolean {
    return this.#local.has(lane as BackendLane) || this.#remotes.has(lane as RemoteLane);
  }

  /** A lane of main's has closed. */
  closed(lane: BackendLane): void {
    if (!this.#local.delete(lane)) return;
    this.#fronts.get(lane)?.close();
    this.#fronts.delete(lane);
    this.#left(lane);
    this.#core.free(lane.address);
  }

  remoteClosed(lane: RemoteLane): void {
    if (this.#remotes.delete(lane)) this.#left(lane);
  }

  #left(lane: BackendLane | RemoteLane): void {
    lane.addStats(this.#closed);
    this.#count();
  }

  #count(): void {
    const { core, address } = this.#owner;
    Atomics.store(core.i32, (address + BACKEND_LANES) >>> 2, this.size);
  }

  // ---- Drain and changes ----------------------------------------------------------------------

  /** The gate has closed: threads tell their drivers, which may hold requests (BB-28). */
  gateClosed(): void {
    for (const lane of this.#remotes) lane.gateMoved();
  }

  /** The gate is open: parked requests come back. */
  gateOpened(): void {
    for (const lane of this.#local) lane.opened();
    for (const lane of this.#remotes) lane.gateMoved();
  }

  async resized(size: number): Promise<void> {
    await Promise.all([...this.#remotes].map((lane) => lane.resized(size)));
  }

  /**
   * Has every thread open the disk of `node` beside the one it has. If one cannot, the others close
   * it again, and this rejects: nothing has changed. In a drained section of the backend.
   */
  async prepare(node: BlockNode | null, driver: BlockDriver): Promise<void> {
    // No others come: they wait for the change to end.
    await Promise.allSettled([...this.#remotes].map((lane) => lane.ready));
    const remotes = [...this.#remotes];
    const specs = remotes.map(({ iothread }) => {
      return this.#specFor(iothread, node, driver);
    });
    const made = await Promise.allSettled(
      remotes.map((lane, i) => lane.prepare(driver, specs[i]!)),
    );
    const failed = made.find((one) => one.status === 'rejected');
    if (!failed) return;
    await this.abort();
    throw failed.reason;
  }

  /** Instead of `commit`. */
  async abort(): Promise<void> {
    await Promise.all([...this.#remotes].map((lane) => lane.abort()));
  }

  /** After `prepare`: all lanes go over. Resolves when every thread has closed what it had. */
  async commit(driver: BlockDriver): Promise<void> {
    for (const lane of this.#local) {
      const front = this.#frontFor(lane, driver);
      lane.replaceDriver(front ?? driver);
      this.#fronts.get(lane)?.close();
      if (front) this.#fronts.set(lane, front);
      else this.#fronts.delete(lane);
    }
    const failures = await Promise.all([...this.#remotes].map((lane) => lane.commit()));
    for (const failure of failures) if (failure) this.#owner.warn(`closing the disk: ${failure}`);
  }
}
