/**
 * Lanes of a thread that is not main: the services `open-lane`, `close-lane`, `resize-lane`, and
 * `prepare-`, `commit-` and `abort-driver`, by which a lane gets another disk. Main's side is
 * `remote-lane.ts`. Importing this is enough; home thread of the context.
 */

import { type BottomHalf, scheduleRemote } from '../aio/bottom-half.ts';
import { setPoolLimits } from '../aio/context-pool.ts';
import { registerService, type ThreadHome } from '../aio/services.ts';
import { encodeError } from '../aio/thread-error.ts';
import { BACKEND_WAKE, BACKEND_WAKE_GENERATION, BACKEND_WAKE_SLOT } from '../layout.ts';
import './drivers.ts';
import type { BlockDriver } from './driver.ts';
import { BackendLane } from './lane.ts';
import {
  type CloseLane,
  DRAIN_EVENT,
  type DrainAsked,
  type Drained,
  type DriverChange,
  type LaneClosed,
  type LaneDisk,
  type LaneOpened,
  type OpenLane,
  type PrepareDriver,
  type ResizeLane,
} from './lane-messages.ts';
import type { LaneBackend } from './lane-options.ts';
import { NO_MEDIUM, noMedium } from './no-medium.ts';
import { beginDrain, endDrain } from './node.ts';
import { SerialisingDriver } from './read-modify-write.ts';
import { openDriver } from './registry.ts';
import { gateCloses } from './request-check.ts';

/** A backend, seen from a thread that is not main's. */
class BackendView implements LaneBackend {
  readonly address: number;
  readonly #thread: ThreadHome;
  readonly #lane: number;
  /** Drains that main was asked for: what resolves them, by number. */
  readonly drains = new Map<number, () => void>();
  #asked = 0;

  constructor(thread: ThreadHome, { backend, lane }: OpenLane) {
    this.#thread = thread;
    this.address = backend;
    this.#lane = lane;
  }

  /** Main looks whether all have left. */
  wake(): void {
    const { core } = this.#thread;
    const [context, slot, generation] = WAKE_WORDS.map(
      (field) => core.u32[(this.address + field) >>> 2] as number,
    ) as [number, number, number];
    scheduleRemote(core, { context, slot, generation });
  }

  /** Only main drains (BB-11); it answers with the service `drained`. */
  drainFor(_lane: { readonly address: number }, holding: number): Promise<void> {
    const asked: DrainAsked = { lane: this.#lane, number: this.#asked++, holding };
    return new Promise((resolve) => {
      this.drains.set(asked.number, resolve);
      this.#thread.post(DRAIN_EVENT, asked);
    });
  }

  laneClosed(): void {}
}

const WAKE_WORDS = [BACKEND_WAKE, BACKEND_WAKE_SLOT, BACKEND_WAKE_GENERATION];

/** A disk, opened on this thread, and what stands between it and the lane. */
class OpenedDisk {
  readonly disk: BlockDriver;
  readonly front: SerialisingDriver | null;
  #drained = false;

  constructor(disk: BlockDriver, front: SerialisingDriver | null) {
    this.disk = disk;
    this.front = front;
  }

  /** What the lane stands on. */
  get driver(): BlockDriver {
    return this.front ?? this.disk;
  }

  /** Tells the drivers what main has told its own, once for each time (BB-28). */
  tell(drained: boolean): void {
    if (drained === this.#drained) return;
    this.#drained = drained;
    if (drained) beginDrain(this.disk);
    else endDrain(this.disk);
  }

  async close(): Promise<LaneClosed> {
    try {
      this.front?.close();
      await this.disk.close();
      return { failure: null };
    } catch (thrown) {
      return { failure: encodeError(thrown) };
    }
  }
}

class OpenedLane {
  readonly lane: BackendLane;
  readonly view: BackendView;
  readonly options: OpenLane['options'];
  readonly gateMoved: BottomHalf;
  disk: OpenedDisk;
  next: OpenedDisk | null = null;
  /** Core address of the next disk's bounce slots. */
  bounce = 0;
  readonly #isClosed: () => boolean;

  constructor(
    { core, context }: ThreadHome,
    lane: BackendLane,
    view: BackendView,
    disk: OpenedDisk,
    { backend, options }: OpenLane,
  ) {
    this.lane = lane;
    this.view = view;
    this.disk = disk;
    this.options = options;
    this.#isClosed = () => gateCloses(core.u32, backend);
    this.gateMoved = context.bottomHalf('lane gate', () => this.look());
  }

  /** The gate has closed or opened since the last look, or both. */
  look(): void {
    const closed = this.#isClosed();
    this.disk.tell(closed);
    if (!closed) this.lane.opened();
  }

  /** Another disk takes over. Nothing is in flight. */
  replace(next: OpenedDisk): OpenedDisk {
    const { disk } = this;
    this.lane.replaceDriver(next.driver, this.bounce);
    this.disk = next;
    disk.tell(false);
    next.tell(this.#isClosed());
    return disk;
  }
}

const STATE = 'block/lanes';

function lanesOf(thread: ThreadHome): Map<number, OpenedLane> {
  let lanes = thread.state.get(STATE) as Map<number, OpenedLane> | undefined;
  if (lanes) return lanes;
  lanes = new Map();
  thread.state.set(STATE, lanes);
  setPoolLimits(thread.context, thread.poolLimits);
  thread.onPoolLimits((limits) => setPoolLimits(thread.context, limits));
  return lanes;
}

/** The lane whose words lie at `address`. Throws if this thread has none there. */
export function laneAt(thread: ThreadHome, address: number): BackendLane {
  return find(thread, address).lane;
}

function find(thread: ThreadHome, address: number): OpenedLane {
  const found = lanesOf(thread).get(address);
  if (!found) throw new Error(`thread '${thread.id}' has no lane at ${address}`);
  return found;
}

async function openDisk(
  thread: ThreadHome,
  lane: number,
  { spec, pool, ranges, blocks }: LaneDisk,
  options: OpenLane['options'],
  warnings: string[],
): Promise<OpenedDisk> {
  const { core, context } = thread;
  const none = spec.driver === NO_MEDIUM;
  const words = { main: false, context, warn: (warning: string) => void warnings.push(warning) };
  const disk = none ? noMedium : await openDriver(core, spec, { ...words, ...(pool && { pool }) });
  try {
    const front = ranges
      ? new SerialisingDriver(core, context, disk, { ranges, lane }, options, blocks)
      : null;
    return new OpenedDisk(disk, front);
  } catch (thrown) {
    await disk.close();
    throw thrown;
  }
}

async function openLane(thread: ThreadHome, message: OpenLane): Promise<LaneOpened> {
  const lanes = lanesOf(thread);
  const { core, context } = thread;
  const warnings: string[] = [];
  const disk = await openDisk(thread, message.lane, message.disk, message.options, warnings);
  try {
    const backend = new BackendView(thread, message);
    const place = { address: message.lane, bounce: message.disk.bounce };
    const lane = new BackendLane(core, context, backend, disk.driver, place, message.options);
    const opened = new OpenedLane(thread, lane, backend, disk, message);
    lanes.set(message.lane, opened);
    return { gateMoved: opened.gateMoved.handle, warnings };
  } catch (thrown) {
    await disk.close();
    throw thrown;
  }
}

/**
 * A bottom half of the context, as every service: what was scheduled there before has run, such as
 * the lane's own and whatever its last completions have left behind (BB-17).
 */
async function closeLane(thread: ThreadHome, message: CloseLane): Promise<LaneClosed> {
  const { lane, disk, gateMoved } = find(thread, message.lane);
  lane.close();
  lanesOf(thread).delete(message.lane);
  gateMoved.delete();
  disk.tell(false);
  return disk.close();
}

function resizeLane(thread: ThreadHome, message: ResizeLane): void {
  find(thread, message.lane).disk.disk.resized?.(message.size);
}

async function prepareDriver(thread: ThreadHome, { lane, disk }: PrepareDriver): Promise<void> {
  const opened = find(thread, lane);
  opened.next = await openDisk(thread, lane, disk, opened.options, []);
  opened.bounce = disk.bounce;
}

async function commitDriver(thread: ThreadHome, { lane }: DriverChange): Promise<LaneClosed> {
  const opened = find(thread, lane);
  const { next } = opened;
  if (!next) throw new Error('no driver was prepared');
  opened.next = null;
  return opened.replace(next).close();
}

async function abortDriver(thread: ThreadHome, { lane }: DriverChange): Promise<LaneClosed> {
  const opened = find(thread, lane);
  const { next } = opened;
  opened.next = null;
  return next ? next.close() : { failure: null };
}

function drained(thread: ThreadHome, { lane, number }: Drained): void {
  const waits = lanesOf(thread).get(lane)?.view.drains;
  waits?.get(number)?.();
  waits?.delete(number);
}

registerService('open-lane', openLane);
registerService('close-lane', closeLane);
registerService('resize-lane', resizeLane);
registerService('prepare-driver', prepareDriver);
registerService('commit-driver', commitDriver);
registerService('abort-driver', abortDriver);
registerService('drained', drained);
