/**
 * Batches of virtio-blk requests for load generators: slots with memory of their own, filled,
 * submitted with one publish and one doorbell, and taken back one by one. Allocates nothing per
 * request.
 */

import { VIRTIO_BLK_T_OUT } from '../spec.ts';
import type { GuestBlk } from './blk.ts';
import type { ChainOwner } from './device.ts';
import { type Framing, RequestFrame } from './frame.ts';

export interface GuestBlkBatchOptions {
  readonly queue?: number;
  /** Requests at once. */
  readonly depth: number;
  /** Most data bytes of a request. */
  readonly bytes: number;
  readonly framing?: Framing;
}

export class GuestBlkBatch implements ChainOwner {
  readonly queue: number;
  readonly depth: number;
  /** The requests' memory, by slot. */
  readonly frames: readonly RequestFrame[];
  /** Used length of each slot's last request, in bytes. */
  readonly written: Uint32Array;
  readonly #blk: GuestBlk;
  readonly #framing: Framing;
  readonly #slotOf: Uint16Array;
  /** Finished slots that were not taken: a circle of `depth`. */
  readonly #done: Uint16Array;
  #doneFrom = 0;
  #doneCount = 0;

  constructor(blk: GuestBlk, options: GuestBlkBatchOptions) {
    this.#blk = blk;
    this.queue = options.queue ?? 0;
    this.depth = options.depth;
    this.#framing = options.framing ?? 'plain';
    this.frames = Array.from(
      { length: options.depth },
      () => new RequestFrame(blk.ram, options.bytes),
    );
    this.written = new Uint32Array(options.depth);
    this.#slotOf = new Uint16Array(blk.rings[this.queue]!.size);
    this.#done = new Uint16Array(options.depth);
  }

  /** Adds the slot's request to the ring; false if it has no room. Sizes in bytes. */
  add(slot: number, type: number, sector: number, bytes: number): boolean {
    const frame = this.frames[slot]!;
    frame.prepare(type, sector, bytes, (type & VIRTIO_BLK_T_OUT) !== 0, this.#framing);
    const head = this.#blk.add(this.queue, frame.chain, this);
    if (head < 0) return false;
    this.#slotOf[head] = slot;
    return true;
  }

  /** Publishes what was added, and rings the doorbell if the device wants it. */
  submit(): void {
    this.#blk.submit(this.queue);
  }

  /** Polls the queue if need be; the next finished slot, or -1. */
  take(): number {
    if (this.#doneCount === 0) this.#blk.poll();
    if (this.#doneCount === 0) return -1;
    const slot = this.#done[this.#doneFrom]!;
    this.#doneFrom = (this.#doneFrom + 1) % this.depth;
    this.#doneCount--;
    return slot;
  }

  /** Status byte of the slot's last request. */
  status(slot: number): number {
    return this.frames[slot]!.status;
  }

  finished(head: number, written: number): void {
    const slot = this.#slotOf[head]!;
    this.written[slot] = written;
    this.#done[(this.#doneFrom + this.#doneCount++) % this.depth] = slot;
  }

  dropped(): void {
    this.#doneCount = 0;
  }

  /** Gives the guest memory back; the device must not have any of the requests. */
  close(): void {
    for (const frame of this.frames) frame.close();
  }
}
