/**
 * BlockBackend: what a device sees of a disk. It owns the driver, the lanes that lead to it, the
 * gate in front of them and the policy that all lanes share. Main thread.
 * QEMU: `block/block-backend.c`, `block/io.c` (drained sections).
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import {
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_DISK,
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_F_WRITE_CACHE,
  BACKEND_FLAGS,
  BACKEND_LANES,
  BACKEND_QUIESCE,
  BACKEND_SIZE,
  BACKEND_WAKE,
  BACKEND_WAKE_GENERATION,
  BACKEND_WAKE_SLOT,
  LANE_SIZE,
} from '../layout.ts';
import { SECTOR_SIZE } from '../spec.ts';
import { checkBlockSize } from './block-size.ts';
import './drivers.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { BlockError, codeOf, OptionError } from './error.ts';
import { HostIo } from './host-io.ts';
import { BackendLane } from './lane.ts';
import { type BackendStats, noStats } from './lane-figures.ts';
import type { LaneBackend, LaneOptions } from './lane-options.ts';
import { noMedium } from './no-medium.ts';
import { isOpenDriver, openDriver } from './registry.ts';
import { type LaneThread, RemoteLane } from './remote-lane.ts';

export type { BackendStats, OperationFigures } from './lane-figures.ts';
export type { LaneOptions } from './lane-options.ts';
export type { LaneThread, RemoteLane } from './remote-lane.ts';

export interface BackendOptions extends LaneOptions {
  /** Refuses writes although the driver would take them. */
  readOnly?: boolean;
  /** A volatile write cache: writes need a flush to be durable (default true). */
  writeCache?: boolean;
  /** Bytes of the smallest request a guest may make: a power of two from 512, default 512. */
  logicalBlockSize?: number;
  /** Told what a disk does without on another thread; default `console.warn`. */
  onWarning?: (message: string) => void;
}

export class BlockBackend implements LaneBackend {
  readonly core: Core;
  readonly context: AioContext;
  readonly driver: BlockDriver;
  /** Core address of the words that all lanes share (BACKEND_*). */
  readonly address: number;
  readonly readOnly: boolean;
  readonly logicalBlockSize: number;
  /** Called when the size has changed. */
  readonly onResize = new Set<() => void>();
  readonly #options: BackendOptions;
  readonly #lanes = new Set<BackendLane>();
  /** Lanes that other threads serve. */
  readonly #remotes = new Set<RemoteLane>();
  /** How the disk was opened, if by name. */
  #spec: DriverSpec | null = null;
  /** Scheduled by other threads that leave a closed gate; made with the first of their lanes. */
  #woken: BottomHalf | null = null;
  /** Figures of lanes that are closed. */
  readonly #closedLanes: BackendStats = noStats();
  /** Who waits until nothing is in flight. */
  #idleWaiters: (() => void)[] = [];
  #host: { lane: BackendLane; io: HostIo } | null = null;
  #closed = false;

  /**
   * Opens a disk by name, or takes an open one, which belongs to the backend from then on. Throws
   * an OptionError for options that do not fit, a BlockError if the disk does not open.
   */
  static async open(
    core: Core,
    context: AioContext,
    disk: DriverSpec | BlockDriver,
    options: BackendOptions = {},
  ): Promise<BlockBackend> {
    if (isOpenDriver(disk)) return BlockBackend.attach(core, context, disk, options);
    const driver = await openDriver(core, disk, { main: true, context });
    try {
      const backend = BlockBackend.attach(core, context, driver, options);
      backend.#spec = disk;
      return backend;
    } catch (thrown) {
      await driver.close();
      throw thrown;
    }
  }

  /** As `open`, at once, for a disk that is open already. */
  static attach(
    core: Core,
    context: AioContext,
    driver: BlockDriver,
    options: BackendOptions = {},
  ): BlockBackend {
    return new BlockBackend(core, context, driver, options, 0);
  }

  /** A drive without a disk in it: every request answers ENOMEDIUM. */
  static empty(core: Core, context: AioContext, options: BackendOptions = {}): BlockBackend {
    return new BlockBackend(core, context, noMedium, options, BACKEND_F_NO_MEDIUM);
  }

  private constructor(
    core: Core,
    context: AioContext,
    driver: BlockDriver,
    options: BackendOptions,
    flags: number,
  ) {
    const { readOnly = false, writeCache = true, logicalBlockSize = SECTOR_SIZE } = options;
    checkBlockSize(logicalBlockSize, driver);
    this.core = core;
    this.context = context;
    this.driver = driver;
    this.readOnly = readOnly || driver.readOnly;
    this.logicalBlockSize = logicalBlockSize;
    this.#options = options;
    this.address = core.allocate(BACKEND_SIZE);
    if (this.readOnly) flags |= BACKEND_F_READ_ONLY;
    if (writeCache) flags |= BACKEND_F_WRITE_CACHE;
    this.#set(BACKEND_FLAGS, flags);
    this.#set(BACKEND_BLOCK_SECTORS, logicalBlockSize / SECTOR_SIZE);
    this.#set(BACKEND_DISK, driver.clusterDisk);
    this.#set(BACKEND_WAKE, context.address);
    this.#publishSize();
  }

  /** Bytes of the disk, rounded down to whole sectors. */
  get size(): number {
    return this.driver.size - (this.driver.size % SECTOR_SIZE);
  }

  /** The write cache (BB-21). A change is for the writes that come after it. */
  get writeCache(): boolean {
    return (this.#get(BACKEND_FLAGS) & BACKEND_F_WRITE_CACHE) !== 0;
  }

  set writeCache(on: boolean) {
    const flags = this.#get(BACKEND_FLAGS) & ~BACKEND_F_WRITE_CACHE;
    this.#set(BACKEND_FLAGS, on ? flags | BACKEND_F_WRITE_CACHE : flags);
  }

  /** A way in for what runs in `context`. The caller closes it. */
  openLane(context: AioContext): BackendLane {
    if (this.#closed) throw new Error('the backend is closed');
    const lane = this.#makeLane(context);
    const first = this.#lanes.size === 0;
    this.#lanes.add(lane);
    this.#countLanes();
    // The gate is closed before anybody can use the lane, and opens when the driver knows.
    if (first && this.#remotes.size > 0) void this.#tellThreads();
    return lane;
  }

  #makeLane(context: AioContext): BackendLane {
    const { core, driver } = this;
    const address = core.allocate(LANE_SIZE);
    try {
      return new BackendLane(core, context, this, driver, { address, bounce: 0 }, this.#options);
    } catch (thrown) {
      core.free(address);
      throw thrown;
    }
  }

  /**
   * A way in for queues that `iothread` serves; the thread opens the disk for itself. Rejects with
   * an OptionError if the disk cannot be opened twice, and with what the thread's driver throws.
   */
  async openLaneOn(iothread: LaneThread): Promise<RemoteLane> {
    if (this.#closed) throw new Error('the backend is closed');
    const spec = this.#specFor(iothread);
    this.#listen();
    const lane = new RemoteLane(this, iothread, this.#options);
    this.#remotes.add(lane);
    this.#countLanes();
    if (this.#threads > 1) await this.#tellThreads();
    await lane.open(spec, this.#options);
    for (const warning of lane.warnings) this.#warn(`iothread '${iothread.id}': ${warning}`);
    return lane;
  }

  #specFor(iothread: LaneThread): DriverSpec {
    const { driver } = this;
    const { memory, header } = iothread.core;
    if (memory !== this.core.memory || header !== this.core.header) {
      throw new OptionError('iothread', iothread.id, 'iothreads that were started for this core');
    }
    if (!this.core.shared) {
      throw new OptionError('iothread', iothread.id, 'none: the memory of the core is not shared');
    }
    const spec = driver.share ?? (driver.threads === 'any' ? this.#spec : null);
    if (spec) return spec;
    const why = `the disk is an open '${driver.driver}' driver, which serves its own thread only`;
    throw new OptionError('iothread', iothread.id, `none: ${why}`);
  }

  /** Where other threads find whom to wake. */
  #listen(): void {
    if (this.#woken) return;
    this.#woken = this.context.bottomHalf('backend drained', () => this.wake());
    const { slot, generation } = this.#woken.handle;
    this.#set(BACKEND_WAKE_SLOT, slot);
    this.#set(BACKEND_WAKE_GENERATION, generation);
  }

  #warn(message: string): void {
    if (this.#options.onWarning) this.#options.onWarning(message);
    else console.warn(`vblk: ${message}`);
  }

  /** Threads that have lanes. All contexts of lanes that are not remote live on this one. */
  get #threads(): number {
    const others = new Set([...this.#remotes].map((lane) => lane.iothread));
    return others.size + (this.#lanes.size > 0 ? 1 : 0);
  }

  /** Tells the driver, in a drained section, how many threads will be inside. */
  async #tellThreads(): Promise<void> {
    if (!this.driver.several) return;
    this.quiesce();
    try {
      if (this.inFlight > 0) await this.idle();
      this.driver.several(this.#threads > 1);
    } finally {
      this.unquiesce();
    }
  }

  #countLanes(): void {
    this.#set(BACKEND_LANES, this.#lanes.size + this.#remotes.size);
  }

  /** Requests of the host itself, in the backend's context. */
  get io(): HostIo {
    if (!this.#host) {
      const lane = this.openLane(this.context);
      this.#host = { lane, io: new HostIo(lane) };
    }
    return this.#host.io;
  }

  // ---- Drain (design section 7) -----------------------------------------------------------------

  /** Closes the gate: the first half of drained_begin. Nests; `idle` is the second half. */
  quiesce(): void {
    this.core.engine.gateClose(this.address);
  }

  /** Opens the gate again if this is the outermost pair: drained_end. Never waits. */
  unquiesce(): void {
    if (!this.quiesced) throw new Error('unquiesce without quiesce');
    if (this.core.engine.gateOpen(this.address) > 0) return;
    for (const lane of this.#lanes) lane.opened();
    for (const lane of this.#remotes) lane.opened();
  }

  get quiesced(): boolean {
    return this.#get(BACKEND_QUIESCE) > 0;
  }

  /** Requests inside the gate, of all lanes. */
  get inFlight(): number {
    let sum = 0;
    for (const lane of this.#lanes) sum += lane.inFlight;
    for (const lane of this.#remotes) sum += lane.inFlight;
    return sum;
  }

  /**
   * Resolves when nothing is in flight and all callbacks have run (BB-2). Holds the gate closed
   * while it waits, so that without `quiesce` around it this is QEMU's blk_drain (BB-12).
   */
  async idle(): Promise<void> {
    this.quiesce();
    try {
      if (this.inFlight > 0) await new Promise<void>((resolve) => this.#whenLeft(resolve));
    } finally {
      this.unquiesce();
    }
  }

  /** A process lives until then: what another thread does would not keep it. */
  #whenLeft(resolve: () => void): void {
    this.context.ref();
    this.#idleWaiters.push(() => {
      this.context.unref();
      resolve();
    });
  }

  /** For lanes: something left while the gate was closed. */
  wake(): void {
    if (this.#idleWaiters.length === 0 || this.inFlight > 0) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** For lanes. */
  laneClosed(lane: BackendLane): void {
    if (!this.#lanes.delete(lane)) return;
    this.#laneLeft(lane);
    this.core.free(lane.address);
  }

  /** For remote lanes. */
  remoteClosed(lane: RemoteLane): void {
    if (this.#remotes.delete(lane)) this.#laneLeft(lane);
  }

  #laneLeft(lane: BackendLane | RemoteLane): void {
    lane.addStats(this.#closedLanes);
    this.#countLanes();
    if (this.#threads <= 1) this.driver.several?.(false); // who has left is not inside
    this.wake(); // the thread of a lane that closes may have died with requests in flight
  }

  // ---- The rest ---------------------------------------------------------------------------------

  /** Changes the size, in a drained section. Throws a BlockError if the disk cannot. */
  async resize(bytes: number): Promise<void> {
    if (this.readOnly) throw new BlockError('EPERM', 'truncate', { length: bytes });
    if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes % SECTOR_SIZE !== 0) {
      throw new OptionError('size', bytes, `bytes, a multiple of ${SECTOR_SIZE}`);
    }
    this.quiesce();
    try {
      await this.idle();
      const result = this.driver.truncate(bytes);
      if (result < 0) throw new BlockError(codeOf(result), 'truncate', { length: bytes });
      this.#publishSize();
      await Promise.all([...this.#remotes].map((lane) => lane.resized(bytes)));
    } finally {
      this.unquiesce();
    }
    for (const tell of [...this.onResize]) tell();
  }

  /** Figures of all lanes since creation (BB-27). */
  stats(): BackendStats {
    const sum = structuredClone(this.#closedLanes);
    for (const lane of this.#lanes) lane.addStats(sum);
    for (const lane of this.#remotes) lane.addStats(sum);
    return sum;
  }

  /** Waits for what is in flight and closes the disk. All lanes are closed by then. */
  async close(): Promise<void> {
    if (this.#closed) return;
    const others = this.#lanes.size + this.#remotes.size - (this.#host ? 1 : 0);
    if (others > 0) throw new Error(`the backend still has ${others} lanes`);
    this.#closed = true;
    this.quiesce();
    await this.idle();
    this.#host?.lane.close();
    this.#woken?.delete();
    await this.driver.close();
    this.core.free(this.address);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #publishSize(): void {
    const sectors = Math.floor(this.driver.size / SECTOR_SIZE);
    this.#set(BACKEND_CAPACITY_LO, sectors >>> 0);
    this.#set(BACKEND_CAPACITY_HI, Math.floor(sectors / 0x1_0000_0000));
  }

  #get(field: number): number {
    return Atomics.load(this.core.i32, (this.address + field) >>> 2) >>> 0;
  }

  #set(field: number, value: number): void {
    Atomics.store(this.core.i32, (this.address + field) >>> 2, value | 0);
  }
}
