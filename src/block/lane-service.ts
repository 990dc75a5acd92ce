/**
 * Lanes of a thread that is not main: the services `open-lane`, `close-lane` and `resize-lane`.
 * Main's side is `remote-lane.ts`. Importing this is enough; home thread of the context.
 */

import { type BottomHalf, scheduleRemote } from '../aio/bottom-half.ts';
import { setPoolLimits } from '../aio/context-pool.ts';
import { registerService, type ThreadHome } from '../aio/services.ts';
import { encodeError } from '../aio/thread-error.ts';
import type { Core } from '../engine/core.ts';
import { BACKEND_WAKE, BACKEND_WAKE_GENERATION, BACKEND_WAKE_SLOT } from '../layout.ts';
import './drivers.ts';
import type { BlockDriver } from './driver.ts';
import { BackendLane } from './lane.ts';
import type { CloseLane, LaneClosed, LaneOpened, OpenLane, ResizeLane } from './lane-messages.ts';
import type { LaneBackend } from './lane-options.ts';
import { NO_MEDIUM, noMedium } from './no-medium.ts';
import { openDriver } from './registry.ts';

/** A backend, seen from a thread that is not main's. */
class BackendView implements LaneBackend {
  readonly address: number;
  readonly #core: Core;

  constructor(core: Core, address: number) {
    this.#core = core;
    this.address = address;
  }

  /** Main looks whether all have left. */
  wake(): void {
    const { u32 } = this.#core;
    const [context, slot, generation] = WAKE_WORDS.map(
      (field) => u32[(this.address + field) >>> 2] as number,
    ) as [number, number, number];
    scheduleRemote(this.#core, { context, slot, generation });
  }

  laneClosed(): void {}
}

const WAKE_WORDS = [BACKEND_WAKE, BACKEND_WAKE_SLOT, BACKEND_WAKE_GENERATION];

interface OpenedLane {
  readonly lane: BackendLane;
  readonly driver: BlockDriver;
  readonly opened: BottomHalf;
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

async function openLane(thread: ThreadHome, message: OpenLane): Promise<LaneOpened> {
  const lanes = lanesOf(thread);
  const { core, context } = thread;
  const warnings: string[] = [];
  const driver =
    message.spec.driver === NO_MEDIUM
      ? noMedium
      : await openDriver(core, message.spec, {
          main: false,
          context,
          warn: (warning) => warnings.push(warning),
          ...(message.pool && { pool: message.pool }),
        });
  try {
    const backend = new BackendView(core, message.backend);
    const place = { address: message.lane, bounce: message.bounce };
    const lane = new BackendLane(core, context, backend, driver, place, message.options);
    const opened = context.bottomHalf('lane opened', () => lane.opened());
    lanes.set(message.lane, { lane, driver, opened });
    return { opened: opened.handle, warnings };
  } catch (thrown) {
    await driver.close();
    throw thrown;
  }
}

async function closeLane(thread: ThreadHome, message: CloseLane): Promise<LaneClosed> {
  const { lane, driver, opened } = find(thread, message.lane);
  lane.close();
  lanesOf(thread).delete(message.lane);
  opened.delete();
  try {
    await driver.close();
    return { failure: null };
  } catch (thrown) {
    return { failure: encodeError(thrown) };
  }
}

function resizeLane(thread: ThreadHome, message: ResizeLane): void {
  find(thread, message.lane).driver.resized?.(message.size);
}

registerService('open-lane', openLane);
registerService('close-lane', closeLane);
registerService('resize-lane', resizeLane);
