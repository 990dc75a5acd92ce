/**
 * What a backend stands on: the root of its graph, the words that say what disk that is, and the
 * part of BlockBackend that graphs talk to. Main thread. QEMU: `blk->root`, `blk_root_*`.
 */

import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import {
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_DIRTY,
  BACKEND_DISK,
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_F_SHARED,
  BACKEND_F_WRITE_CACHE,
  BACKEND_FLAGS,
  BACKEND_RANGES,
} from '../layout.ts';
import { SECTOR_SIZE } from '../spec.ts';
import { BackendGate } from './backend-gate.ts';
import type { BackendOptions } from './backend-options.ts';
import { logicalBlockSizeOption } from './block-size.ts';
import type { BlockDriver } from './driver.ts';
import { GraphError } from './error.ts';
import type { GraphUser } from './graph.ts';
import { noMedium } from './no-medium.ts';
import type { BlockNode } from './node.ts';
import { RangeLocks } from './range-locks.ts';
import type { LaneThread } from './remote-lane.ts';

/** Backends that were given no name. */
let drives = 0;

export abstract class BackendRoot extends BackendGate implements GraphUser {
  /** In events and errors. */
  readonly name: string;
  readonly logicalBlockSize: number;
  /** Locks of `readModifyWrite`. */
  readonly ranges: RangeLocks | null;
  /** Called when the size has changed. */
  readonly onResize = new Set<() => void>();
  /** Lets others change the context although a device is using the backend (BB-15). */
  allowContextChange = false;
  /**
   * Thread that the device means to work on; null: main. No more than a hint: it may be another
   * one by the time that somebody has read it, unless a request is in flight (BB-16).
   */
  ioThread: LaneThread | null = null;
  protected readonly options: BackendOptions;
  #root: BlockNode | null = null;

  /** Does not stand on `node` yet. Throws an OptionError or GraphError if it cannot. */
  protected constructor(
    core: Core,
    context: AioContext,
    node: BlockNode | null,
    options: BackendOptions,
  ) {
    const { writeCache = true, logicalBlockSize = SECTOR_SIZE } = options;
    checkRoot(node, options);
    super(core, context);
    this.name = options.name ?? `drive${drives++}`;
    this.logicalBlockSize = logicalBlockSize;
    this.options = options;
    this.ranges = options.readModifyWrite ? this.#makeRanges() : null;
    this.setWord(BACKEND_RANGES, this.ranges?.address ?? 0);
    this.setWord(BACKEND_FLAGS, writeCache ? BACKEND_F_WRITE_CACHE : 0);
    this.setWord(BACKEND_BLOCK_SECTORS, logicalBlockSize / SECTOR_SIZE);
  }

  #makeRanges(): RangeLocks {
    try {
      return new RangeLocks(this.core);
    } catch (thrown) {
      this.core.free(this.address);
      throw thrown;
    }
  }

  get driver(): BlockDriver {
    return this.#root?.driver ?? noMedium;
  }

  get root(): BlockNode | null {
    return this.#root;
  }

  get readOnly(): boolean {
    return (this.options.readOnly ?? false) || this.driver.readOnly;
  }

  /** Offsets and lengths of requests are multiples of this, in bytes. */
  get alignment(): number {
    return this.ranges ? 1 : this.driver.alignment;
  }

  /** Bytes of the disk, rounded down to whole sectors. */
  get size(): number {
    return this.driver.size - (this.driver.size % SECTOR_SIZE);
  }

  readonly parents = [];

  get threads(): ReadonlySet<LaneThread | null> {
    return this.lanes.threads;
  }

  get below(): readonly BlockNode[] {
    return this.#root ? [this.#root] : [];
  }

  /** For graphs. */
  refusesContext(thread: LaneThread | null): string | null {
    if (!this.devOps || this.allowContextChange || this.ioThread === thread) return null;
    return `Cannot change iothread of active block backend '${this.name}'`;
  }

  /** For graphs. */
  setShared(shared: boolean): void {
    if (shared === ((this.word(BACKEND_FLAGS) & BACKEND_F_SHARED) !== 0)) return;
    this.flag(BACKEND_F_SHARED, shared);
    this.setWord(BACKEND_DIRTY, 1); // the others may have written, or are about to
  }

  /** Throws an OptionError or GraphError unless the backend can stand on `node`. */
  checkRoot(node: BlockNode | null): void {
    checkRoot(node, this.options);
  }

  /** For graphs. */
  async prepareRoot(node: BlockNode | null): Promise<void> {
    this.checkRoot(node);
    await this.lanes.prepare(node, node?.driver ?? noMedium);
  }

  /** For graphs. */
  abortRoot(): Promise<void> {
    return this.lanes.abort();
  }

  /** For graphs. */
  async commitRoot(node: BlockNode | null, media: boolean): Promise<void> {
    const size = this.driver.size;
    this.stand(node);
    await this.lanes.commit(this.driver);
    if (media) this.devOps?.mediaChanged?.(node !== null);
    if (this.driver.size !== size) this.tellSize();
  }

  /** Goes over to `node`, in as many drained sections of it as the backend has begun. */
  protected stand(node: BlockNode | null): void {
    const old = this.#root;
    node?.addParent(this);
    for (let i = 0; i < this.drains; i++) node?.drainedBegin();
    this.#root = node;
    this.flag(BACKEND_F_READ_ONLY, this.readOnly);
    this.flag(BACKEND_F_NO_MEDIUM, node === null);
    this.setWord(BACKEND_DISK, this.ranges ? 0 : this.driver.clusterDisk);
    this.setWord(BACKEND_DIRTY, 1); // who had the disk before may not have flushed
    this.#publishSize();
    for (let i = 0; i < this.drains; i++) old?.drainedEnd();
    old?.removeParent(this);
  }

  /** Leaves the node for good; the getters still say what it was. The gate stays closed. */
  protected leave(): BlockNode | null {
    const root = this.#root;
    this.gone = true;
    for (let i = 0; i < this.drains; i++) root?.drainedEnd();
    root?.removeParent(this);
    return root;
  }

  /** For graphs: the disk has another size. */
  async resized(): Promise<void> {
    this.#publishSize();
    this.setWord(BACKEND_DIRTY, 1);
    await this.lanes.resized(this.driver.size);
  }

  /** For graphs: tells everybody. */
  tellSize(): void {
    this.devOps?.resized?.();
    for (const tell of [...this.onResize]) tell();
  }

  #publishSize(): void {
    const sectors = Math.floor(this.driver.size / SECTOR_SIZE);
    this.setWord(BACKEND_CAPACITY_LO, sectors >>> 0);
    this.setWord(BACKEND_CAPACITY_HI, Math.floor(sectors / 0x1_0000_0000));
  }

  protected flag(flag: number, on: boolean): void {
    const at = (this.address + BACKEND_FLAGS) >>> 2; // atomic: other threads switch the write cache
    if (on) Atomics.or(this.core.i32, at, flag);
    else Atomics.and(this.core.i32, at, ~flag);
  }
}

function checkRoot(node: BlockNode | null, options: BackendOptions): void {
  const { logicalBlockSize = SECTOR_SIZE, readModifyWrite = false } = options;
  logicalBlockSizeOption(logicalBlockSize, readModifyWrite ? 1 : (node?.driver.alignment ?? 1));
  if (!node?.owner) return;
  const why = `node '${node.name}' belongs to node '${node.owner.name}'`;
  throw new GraphError('EBUSY', node.owner.name, why);
}
