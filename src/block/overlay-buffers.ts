/**
 * Buffers of a cluster's size, for what an overlay copies. Where another thread serves one of its
 * disks they lie in core memory, and all threads share those that main has set aside; else each
 * thread has its own.
 */

import type { Core } from '../engine/core.ts';
import { BouncePool, BounceSlot } from './bounce.ts';
import type { Settles } from './driver.ts';
import type { OverlayMap } from './overlay-map.ts';
import type { OverlayWait } from './overlay-wait.ts';

/** More at once wait for one: copies for want of memory would not be faster. */
const OWN_SLOTS = 64;

export class CopyBuffers {
  readonly #core: Core;
  readonly #map: OverlayMap;
  readonly #wait: OverlayWait;
  readonly #own: BouncePool | null;

  constructor(core: Core, map: OverlayMap, wait: OverlayWait, settles: Settles) {
    this.#core = core;
    this.#map = map;
    this.#wait = wait;
    const options = { slotBytes: map.clusterSize, slots: OWN_SLOTS, inCore: false };
    this.#own = settles === 'word' ? null : new BouncePool(core, options);
  }

  /** Calls `use` with a buffer once there is one; with null if there is no memory for any. */
  take(use: (buffer: BounceSlot | null) => void): void {
    let buffer: BounceSlot | null = null;
    const looked = (): boolean => {
      try {
        buffer = this.#take();
        return buffer !== null;
      } catch {
        return true; // nobody has one that might come back
      }
    };
    this.#wait.until(looked, () => use(buffer));
  }

  give(buffer: BounceSlot): void {
    if (this.#own) this.#own.give(buffer);
    else this.#map.giveBuffer(buffer.address);
    this.#wait.look();
  }

  #take(): BounceSlot | null {
    if (this.#own) return this.#own.take();
    const address = this.#map.takeBuffer();
    return address ? new BounceSlot(this.#core, null, address) : null;
  }
}
