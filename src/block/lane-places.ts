/** Core memory that main sets aside for disks on other threads, which cannot allocate. Main. */

import { allocatePool } from '../aio/pool-block.ts';
import { Undo } from '../aio/undo.ts';
import type { Core } from '../engine/core.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import type { LaneDisk } from './lane-messages.ts';
import { BOUNCE_BYTES, BOUNCE_SLOTS, type LaneOptions } from './lane-options.ts';
import type { RangeLocks } from './range-locks.ts';
import type { LaneThread } from './remote-lane.ts';

/** Words of the thread pools of other threads, one per thread, while lanes want one. */
const pools = new WeakMap<LaneThread, { address: number; lanes: number }>();

/** That of one lane for one disk. */
export class LanePlaces {
  readonly #core: Core;
  readonly #thread: LaneThread;
  readonly #ranges: number;
  readonly #undo = new Undo();
  #bounce = 0;
  #blocks = 0;
  #pool = 0;

  constructor(
    { core, ranges }: { readonly core: Core; readonly ranges: RangeLocks | null },
    driver: BlockDriver,
    thread: LaneThread,
    { bounceBytes = BOUNCE_BYTES, bounceSlots = BOUNCE_SLOTS }: LaneOptions,
  ) {
    this.#core = core;
    this.#thread = thread;
    this.#ranges = ranges?.address ?? 0;
    const area = () => this.#allocate(bounceBytes * bounceSlots);
    const byWord = driver.settles === 'word';
    try {
      if (byWord || ranges) this.#bounce = area();
      if (byWord && ranges) this.#blocks = area();
      if (byWord) this.#pool = this.#takePool();
    } catch (thrown) {
      this.free();
      throw thrown;
    }
  }

  #allocate(bytes: number): number {
    const address = this.#core.allocate(bytes, 4096);
    this.#undo.add(() => this.#core.free(address));
    return address;
  }

  #takePool(): number {
    const address = takePool(this.#core, this.#thread);
    this.#undo.add(() => givePool(this.#core, this.#thread));
    return address;
  }

  disk(spec: DriverSpec): LaneDisk {
    const [bounce, blocks, pool] = [this.#bounce, this.#blocks, this.#pool];
    return { spec, bounce, blocks, ranges: this.#ranges, pool };
  }

  free(): void {
    this.#undo.now();
  }
}

/** A thread has one pool, whichever of its lanes use it (TP-1). */
function takePool(core: Core, thread: LaneThread): number {
  let pool = pools.get(thread);
  if (!pool) {
    pool = { address: allocatePool(core), lanes: 0 };
    pools.set(thread, pool);
  }
  pool.lanes += 1;
  return pool.address;
}

/** The thread has closed its pool with the last driver that used it. */
function givePool(core: Core, thread: LaneThread): void {
  const pool = pools.get(thread);
  if (!pool || --pool.lanes > 0) return;
  pools.delete(thread);
  core.free(pool.address);
}
