/**
 * BlockBackend: what a device sees of a disk. It stands on a node of the graph and owns the lanes
 * that lead there, the gate in front of them and the policy that all lanes share. Main thread.
 * QEMU: `block/block-backend.c`, `block/io.c` (drained sections).
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import {
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_WRITE_CACHE,
  BACKEND_FLAGS,
  BACKEND_WAKE,
  BACKEND_WAKE_GENERATION,
  BACKEND_WAKE_SLOT,
} from '../layout.ts';
import type { Machine } from '../machine/machine.ts';
import { BackendErrors, type IoError, type Iostatus, readPolicies } from './backend-errors.ts';
import type { BackendOptions } from './backend-options.ts';
import { BackendRoot } from './backend-root.ts';
import './drivers.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { exclusive } from './exclusive.ts';
import { changeContext, countThreads, countUsers, resizeDisk, threadLeft } from './graph.ts';
import { HostIo } from './host-io.ts';
import type { BackendLane } from './lane.ts';
import type { BackendStats } from './lane-figures.ts';
import { LaneSet, type LaneSetOwner } from './lane-set.ts';
import {
  type Filter,
  insertFilter,
  insertMedium,
  removeFilter,
  removeMedium,
  replaceNode,
} from './medium.ts';
import { BlockNode } from './node.ts';
import { isOpenDriver, openDriver } from './registry.ts';
import type { LaneThread, RemoteLane } from './remote-lane.ts';

export type { BlockDevOps } from './backend-gate.ts';
export type { BackendOptions } from './backend-options.ts';
export type { BackendStats, OperationFigures } from './lane-figures.ts';
export type { LaneOptions } from './lane-options.ts';
export type { Filter } from './medium.ts';
export type { LaneThread, RemoteLane } from './remote-lane.ts';

export class BlockBackend extends BackendRoot implements LaneSetOwner {
  /** Stops when the error policy says so. */
  readonly machine: Machine | null;
  readonly #errors: BackendErrors;
  /** Takes the disk out of its machine. */
  readonly #leaveMachine: () => void;
  protected readonly lanes: LaneSet;
  /** Scheduled by other threads that leave a closed gate; made with the first of their lanes. */
  #woken: BottomHalf | null = null;
  #host: { lane: BackendLane; io: HostIo } | null = null;
  readonly #flushing = new Set<Promise<void>>();
  /** Lanes that are there for a flush. */
  #flushLanes = 0;
  #closed: Promise<void> | null = null;
  /** `close` has got so far that nothing more is asked of the disk. */
  #ending = false;

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
    const node = BlockNode.of(driver, { spec: disk });
    try {
      return BlockBackend.attach(core, context, node, options);
    } catch (thrown) {
      await node.close();
      throw thrown;
    }
  }

  /**
   * As `open`, at once, for a disk that is open already, or for a node that others may stand on as
   * well: its driver is closed with the last of them.
   */
  static attach(
    core: Core,
    context: AioContext,
    disk: BlockDriver | BlockNode,
    options: BackendOptions = {},
  ): BlockBackend {
    const node = disk instanceof BlockNode ? disk : BlockNode.of(disk);
    return new BlockBackend(core, context, node, options);
  }

  /** A drive without a disk in it: every request answers ENOMEDIUM. */
  static empty(core: Core, context: AioContext, options: BackendOptions = {}): BlockBackend {
    return new BlockBackend(core, context, null, options);
  }

  private constructor(
    core: Core,
    context: AioContext,
    node: BlockNode | null,
    options: BackendOptions,
  ) {
    const policies = readPolicies(options);
    super(core, context, node, options);
    this.setWord(BACKEND_WAKE, context.address);
    this.machine = options.machine ?? null;
    this.#errors = new BackendErrors(core, this.address, this.machine, policies);
    this.lanes = new LaneSet(core, this, options);
    try {
      this.stand(node);
    } catch (thrown) {
      this.#freeWords();
      throw thrown;
    }
    if (node && node.parents.size > 1) void countUsers(this);
    this.#leaveMachine = this.machine?.addDrain(this) ?? (() => {});
  }

  /** The write cache (BB-21). A change is for the writes that come after it. */
  get writeCache(): boolean {
    return (this.word(BACKEND_FLAGS) & BACKEND_F_WRITE_CACHE) !== 0;
  }

  set writeCache(on: boolean) {
    this.flag(BACKEND_F_WRITE_CACHE, on);
  }

  // ---- Lanes ----------------------------------------------------------------------------------

  /** A way in for what runs in `context`. The caller closes it. */
  openLane(context: AioContext): BackendLane {
    this.checkOpen();
    return this.lanes.open(context);
  }

  /**
   * A way in for queues that `iothread` serves; the thread opens the disk for itself. Rejects with
   * an OptionError if the disk cannot be opened twice, and with what the thread's driver throws.
   */
  async openLaneOn(iothread: LaneThread): Promise<RemoteLane> {
    this.checkOpen();
    return this.lanes.openOn(iothread);
  }

  /** Requests of the host itself, in the backend's context. */
  get io(): HostIo {
    if (!this.#host) {
      const lane = this.openLane(this.context);
      this.#host = { lane, io: new HostIo(lane) };
    }
    return this.#host.io;
  }

  /** For lanes. Throws an Error once `close` was called: the words may be gone. */
  checkOpen(): void {
    if (this.#closed) throw new Error('the backend is closed');
  }

  /** For lanes: where other threads find whom to wake. */
  listen(): void {
    if (this.#woken) return;
    this.#woken = this.context.bottomHalf('backend drained', () => this.wake());
    const { slot, generation } = this.#woken.handle;
    this.setWord(BACKEND_WAKE_SLOT, slot);
    this.setWord(BACKEND_WAKE_GENERATION, generation);
  }

  /** For lanes: something that a thread does without. */
  warn(message: string): void {
    if (this.options.onWarning) this.options.onWarning(message);
    else console.warn(`vblk: ${message}`);
  }

  /** For lanes: resolves when a disk that wants to know knows how many threads are inside. */
  threadsChanged(): Promise<void> | void {
    if (countThreads(this) > 1) return countUsers(this);
  }

  /** For lanes. */
  laneClosed(lane: BackendLane): void {
    this.lanes.closed(lane);
    this.#laneLeft();
  }

  /** For remote lanes. */
  remoteClosed(lane: RemoteLane): void {
    this.lanes.remoteClosed(lane);
    this.#laneLeft();
  }

  #laneLeft(): void {
    threadLeft(this);
    this.wake(); // the thread of a lane that closes may have died with requests in flight
  }

  // ---- Graph ----------------------------------------------------------------------------------

  /**
   * Puts a disk in, in place of the one that is there. Requests that wait for the drained section
   * to end go to it (BB-9, BB-18). Rejects, and nothing has changed, if it does not open or fit.
   */
  async insertMedium(disk: DriverSpec | BlockDriver): Promise<void> {
    this.checkOpen();
    return insertMedium(this, disk);
  }

  /** Flushes the disk and takes it out: requests answer ENOMEDIUM from then on. */
  async removeMedium(): Promise<void> {
    this.checkOpen();
    return removeMedium(this);
  }

  /** Puts another disk under all backends that stand on this one's, in its place. */
  async replaceNode(disk: DriverSpec | BlockDriver): Promise<void> {
    this.checkOpen();
    return replaceNode(this, disk);
  }

  /** Puts a filter above the disk, for all backends on it (see `Filter`). */
  async insertFilter(filter: Filter): Promise<BlockNode> {
    this.checkOpen();
    return insertFilter(this, filter);
  }

  /** Takes out the filter that was inserted last. */
  async removeFilter(): Promise<void> {
    this.checkOpen();
    return removeFilter(this);
  }

  /**
   * Has the whole graph under this backend belong to `thread` (null: main). Rejects with a
   * GraphError that names who refuses, and nothing has changed: a disk that serves main only, or a
   * backend that a device uses elsewhere (BB-14, BB-15).
   */
  async changeContext(thread: LaneThread | null): Promise<void> {
    this.checkOpen();
    return exclusive(this.core, () => changeContext(this, thread));
  }

  // ---- Errors of the guest's requests (BB-19, BB-20) ------------------------------------------

  /** For queues: a request of the guest's has failed. `path`: of the device that asked. */
  ioError(error: IoError, path: string): void {
    const { name } = this;
    this.#errors.happened(error, { device: name, 'node-name': name, 'qom-path': path });
  }

  /** For devices: the disk has an iostatus from now on. */
  enableIostatus(): void {
    this.#errors.enableStatus();
  }

  /** Null if no device or no policy provides for it. */
  get iostatus(): Iostatus | null {
    return this.#errors.status;
  }

  /** For the machine, which goes on. */
  resetIostatus(): void {
    this.#errors.resetStatus();
  }

  /** Makes durable what has been written. Rejects with a BlockError. */
  async flush(): Promise<void> {
    if (this.#ending) throw new Error('the backend is closed');
    if (this.word(BACKEND_FLAGS) & BACKEND_F_NO_MEDIUM) return;
    // A disk that is to be closed may have to wait for its turn: if the machine stops meanwhile
    // it is flushed as any other.
    const flushing: Promise<void> = this.#flush().finally(() => this.#flushing.delete(flushing));
    this.#flushing.add(flushing);
    await flushing;
  }

  async #flush(): Promise<void> {
    // Not by `io`, which takes nothing more from the call of `close` on.
    if (this.#host) return new HostIo(this.#host.lane).flush();
    // Not for good: a disk that threads serve need not share it with this one.
    const lane = this.lanes.open(this.context);
    this.#flushLanes += 1;
    try {
      await new HostIo(lane).flush();
    } finally {
      this.#flushLanes -= 1;
      lane.close();
    }
  }

  // ---- The rest -------------------------------------------------------------------------------

  /** Changes the size, in a drained section. Throws a BlockError if the disk cannot. */
  async resize(bytes: number): Promise<void> {
    this.checkOpen();
    return exclusive(this.core, () => resizeDisk(this, bytes));
  }

  /** Figures of all lanes since creation (BB-27). */
  stats(): BackendStats {
    return this.lanes.stats();
  }

  /**
   * Waits for what is in flight and closes the disk. All lanes are closed by then, but for those of
   * flushes: a machine that stops may be at it. The host's own requests come to their end first,
   * and no new ones are taken. Do not wait for this inside a drained section of the disk at whose
   * gate one of them waits.
   */
  async close(): Promise<void> {
    const others = this.lanes.size - (this.#host ? 1 : 0) - this.#flushLanes;
    if (others > 0) throw new Error(`the backend still has ${others} lanes`);
    this.#host?.io.end();
    this.#closed ??= this.#end();
    await this.#closed;
  }

  async #end(): Promise<void> {
    do {
      // Before its turn: the section that they wait for may need a turn itself.
      while (this.#asked) await Promise.allSettled([...this.#flushing, this.#host?.io.settled()]);
    } while (!(await exclusive(this.core, () => this.#close())));
  }

  /** Does the host wait for something? Not even a closed disk may keep it from its end. */
  get #asked(): boolean {
    return this.#flushing.size > 0 || (this.#host?.io.busy ?? false);
  }

  /** False, and nothing has happened: something was asked for while this waited for its turn. */
  async #close(): Promise<boolean> {
    if (this.#asked) return false;
    this.#leaveMachine();
    this.#ending = true;
    this.drainedBegin();
    await this.idle();
    this.setDevOps(null);
    this.#host?.lane.close();
    this.#woken?.delete();
    const root = this.leave();
    try {
      if (root?.parents.size === 0) await root.close();
      else if (root) await countUsers(root);
    } finally {
      this.#freeWords();
    }
    return true;
  }

  #freeWords(): void {
    this.ranges?.close();
    this.core.free(this.address);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
