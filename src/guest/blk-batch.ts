/** Batches of virtio-blk requests for load generators. */

import { VIRTIO_BLK_T_OUT } from '../spec.ts';
import { GuestBatch } from './batch.ts';
import type { GuestBlk } from './blk.ts';
import { type Framing, RequestFrame } from './frame.ts';

export interface GuestBlkBatchOptions {
  readonly queue?: number;
  /** Requests at once. */
  readonly depth: number;
  /** Most data bytes of a request. */
  readonly bytes: number;
  readonly framing?: Framing;
}

export class GuestBlkBatch extends GuestBatch<RequestFrame> {
  readonly #framing: Framing;

  constructor(blk: GuestBlk, options: GuestBlkBatchOptions) {
    const { depth, bytes, queue = 0, framing = 'plain' } = options;
    super(blk, queue, depth, () => new RequestFrame(blk.ram, bytes));
    this.#framing = framing;
  }

  /** Adds the slot's request to the ring; false if it has no room. Sizes in bytes. */
  add(slot: number, type: number, sector: number, bytes: number): boolean {
    const frame = this.frames[slot]!;
    frame.prepare(type, sector, bytes, (type & VIRTIO_BLK_T_OUT) !== 0, this.#framing);
    return this.addFrame(slot, frame);
  }

  /** Status byte of the slot's last request. */
  status(slot: number): number {
    return this.frames[slot]!.status;
  }
}
