/**
 * What load generators for any device do: requests in slots with memory of their own, filled,
 * submitted with one publish and one doorbell, and taken back one by one. Allocates nothing per
 * request.
 */

import type { GuestChain } from './chain.ts';
import type { ChainOwner, GuestDevice } from './device.ts';

/** Memory for one request at a time. */
export interface BatchFrame {
  readonly chain: GuestChain;
  close(): void;
}

export abstract class GuestBatch<Frame extends BatchFrame> implements ChainOwner {
  readonly queue: number;
  readonly depth: number;
  /** The requests' memory, by slot. */
  readonly frames: readonly Frame[];
  /** Used length of each slot's last request, in bytes. */
  readonly written: Uint32Array;
  readonly #device: GuestDevice;
  readonly #slotOf: Uint16Array;
  /** Finished slots that were not taken: a circle of `depth`. */
  readonly #done: Uint16Array;
  #doneFrom = 0;
  #doneCount = 0;

  /** `depth`: requests at once, each with what `makeFrame` makes. */
  protected constructor(device: GuestDevice, queue: number, depth: number, makeFrame: () => Frame) {
    this.#device = device;
    this.queue = queue;
    this.depth = depth;
    this.frames = Array.from({ length: depth }, makeFrame);
    this.written = new Uint32Array(depth);
    this.#slotOf = new Uint16Array(device.rings[queue]!.size);
    this.#done = new Uint16Array(depth);
  }

  /** Adds the slot's frame, which was filled, to the ring; false if it has no room. */
  protected addFrame(slot: number, frame: Frame): boolean {
    const head = this.#device.add(this.queue, frame.chain, this);
    if (head < 0) return false;
    this.#slotOf[head] = slot;
    return true;
  }

  /** Publishes what was added, and rings the doorbell if the device wants it. */
  submit(): void {
    this.#device.submit(this.queue);
  }

  /** Polls the queues if need be; the next finished slot, or -1. */
  take(): number {
    if (this.#doneCount === 0) this.#device.poll();
    if (this.#doneCount === 0) return -1;
    const slot = this.#done[this.#doneFrom]!;
    this.#doneFrom = (this.#doneFrom + 1) % this.depth;
    this.#doneCount--;
    return slot;
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
