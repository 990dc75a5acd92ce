/** Buffers in the event queue of virtio-scsi (VIRTIO 1.3, 5.6.6.3), and what is put there. */

import {
  VIRTIO_SCSI_EVENT_QUEUE,
  VIRTIO_SCSI_EVENT_SIZE,
  VIRTIO_SCSI_T_EVENTS_MISSED,
} from '../spec.ts';
import { GuestChain } from './chain.ts';
import type { ChainOwner, GuestDevice } from './device.ts';

export interface ScsiEvent {
  /** VIRTIO_SCSI_T_*, without EVENTS_MISSED. */
  readonly event: number;
  /** The device had events before this one and no buffer for them. */
  readonly missed: boolean;
  readonly lun: Uint8Array;
  /** VIRTIO_SCSI_EVT_RESET_*, or additional sense code and qualifier of a changed parameter. */
  readonly reason: number;
  /** Used length, in bytes. */
  readonly written: number;
}

/** Some event buffers of a device that runs. Each goes back into the ring when it was read. */
export class ScsiEventBuffers implements ChainOwner {
  readonly #device: GuestDevice;
  readonly #listener: (event: ScsiEvent) => void;
  readonly #chain = new GuestChain();
  /** Guest address of the buffer whose chain has this head. */
  readonly #at = new Map<number, number>();
  #memory: number;
  /** Buffers are put back as they come. Off: the device runs out of them. */
  refill = true;

  constructor(device: GuestDevice, count: number, listener: (event: ScsiEvent) => void) {
    this.#device = device;
    this.#listener = listener;
    this.#memory = device.ram.allocate(Math.max(1, count) * VIRTIO_SCSI_EVENT_SIZE, 16);
    for (let i = 0; i < count; i++) this.#add(this.#memory + i * VIRTIO_SCSI_EVENT_SIZE);
    if (count > 0) device.submit(VIRTIO_SCSI_EVENT_QUEUE);
  }

  finished(head: number, written: number): void {
    const at = this.#at.get(head)!;
    this.#at.delete(head);
    const { ram } = this.#device;
    const event = ram.getU32(at);
    const seen: ScsiEvent = {
      event: (event & ~VIRTIO_SCSI_T_EVENTS_MISSED) >>> 0,
      missed: (event & VIRTIO_SCSI_T_EVENTS_MISSED) !== 0,
      lun: ram.read(at + 4, 8),
      reason: ram.getU32(at + 12),
      written,
    };
    if (this.refill) {
      this.#add(at);
      this.#device.submit(VIRTIO_SCSI_EVENT_QUEUE);
    }
    this.#listener(seen);
  }

  /** The device was reset: the memory is ours again. */
  dropped(): void {
    if (this.#memory !== 0) this.#device.ram.free(this.#memory);
    this.#memory = 0;
    this.#at.clear();
  }

  #add(at: number): void {
    this.#device.ram.fill(at, VIRTIO_SCSI_EVENT_SIZE, 0);
    this.#chain.clear().in(at, VIRTIO_SCSI_EVENT_SIZE);
    const head = this.#device.add(VIRTIO_SCSI_EVENT_QUEUE, this.#chain, this);
    if (head >= 0) this.#at.set(head, at);
  }
}
