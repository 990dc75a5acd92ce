/** A lane's bounce slots, and the transfers that wait for one, in the order in which they came. */

import type { BouncePool } from './bounce.ts';
import type { Transfer } from './transfer.ts';
import { TransferList } from './transfer-list.ts';

export class SlotQueue {
  readonly pool: BouncePool;
  readonly #waiting = new TransferList();

  constructor(pool: BouncePool) {
    this.pool = pool;
  }

  /** Nobody waits. */
  get empty(): boolean {
    return this.#waiting.empty;
  }

  /**
   * Gives a transfer its slot; false: it waits now, and comes out of `next`. Throws if there is no
   * memory for even one slot.
   */
  take(transfer: Transfer): boolean {
    // Those that wait already come first.
    transfer.slot = this.#waiting.empty ? this.pool.take() : null;
    if (transfer.slot) return true;
    transfer.state = 'waiting';
    this.#waiting.push(transfer);
    return false;
  }

  /** The first that waits, with a slot; null if nobody waits or none is free. */
  next(): Transfer | null {
    if (this.#waiting.empty) return null;
    let slot = null;
    try {
      slot = this.pool.take();
    } catch {
      // Without memory it goes on waiting for one that is in use.
    }
    if (!slot) return null;
    const transfer = this.#waiting.shift() as Transfer;
    transfer.slot = slot;
    return transfer;
  }

  /** Takes out one that waits. */
  remove(transfer: Transfer): void {
    this.#waiting.remove(transfer);
  }

  close(): void {
    this.pool.close();
  }
}
