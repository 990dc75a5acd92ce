/**
 * The device under a contestant of `vblk bench`, and how its guest makes requests: virtio-blk, or a
 * disk on virtio-scsi. What the rest of the bench sees of it is the same.
 */

import type { AioContext } from '../../aio/context.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { Core } from '../../engine/core.ts';
import { GuestBlk } from '../../guest/blk.ts';
import { GuestBlkBatch } from '../../guest/blk-batch.ts';
import type { GuestDevice } from '../../guest/device.ts';
import { GuestMmio } from '../../guest/mmio.ts';
import { GuestRam } from '../../guest/ram.ts';
import { GuestScsi, scsiLun } from '../../guest/scsi.ts';
import { GuestScsiBatch } from '../../guest/scsi-batch.ts';
import { SECTOR_SIZE, VIRTIO_BLK_S_OK, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT } from '../../spec.ts';
import type { VirtioDevice } from '../../virtio/device.ts';
import { VirtioBlk } from '../../virtio/virtio-blk.ts';
import { VirtioMmio } from '../../virtio/virtio-mmio.ts';
import { VirtioScsi } from '../../virtio/virtio-scsi.ts';
import type { VqMapping } from '../../virtio/vq-mapping.ts';

/** Requests of one stream of the guest's, by slot. Nothing is allocated per request. */
export interface BenchBatch {
  /** Guest address of the slot's data, which may be filled until `submit`. */
  dataOf(slot: number, write: boolean): number;
  /** False if the ring has no room. Sizes in bytes, and multiples of 512. */
  add(slot: number, write: boolean, offset: number, bytes: number): boolean;
  submit(): void;
  /** The next finished slot, or -1. */
  take(): number;
  succeeded(slot: number): boolean;
  /** How a request that did not succeed has ended, in words. */
  outcome(slot: number): string;
}

/** What a device is made of. */
export interface DeviceParts {
  readonly core: Core;
  readonly context: AioContext;
  readonly backend: BlockBackend;
  readonly queues: number;
  /** Descriptors of each. */
  readonly queueSize: number;
  /** Threads that serve the queues; none: main does. */
  readonly mapping: readonly VqMapping[];
}

/** A device that runs, with the driver of a guest on it that takes interrupts. */
export interface BenchDevice {
  readonly guest: GuestDevice;
  batch(queue: number, depth: number, bytes: number): BenchBatch;
  close(): Promise<void>;
}

export const DEVICES = ['virtio-blk', 'virtio-scsi'] as const;
export type DeviceName = (typeof DEVICES)[number];

export function openDevice(name: DeviceName, parts: DeviceParts): Promise<BenchDevice> {
  return name === 'virtio-blk' ? openBlk(parts) : openScsi(parts);
}

async function openBlk(parts: DeviceParts): Promise<BenchDevice> {
  const { core, context, backend, queues, queueSize, mapping } = parts;
  const device = await VirtioBlk.realize(core, context, backend, {
    'num-queues': queues,
    'queue-size': queueSize,
    ...(mapping.length > 0 && { 'iothread-vq-mapping': mapping }),
  });
  const guest: GuestBlk = new GuestBlk(
    transportOf(device, () => guest.interrupt()),
    new GuestRam(core),
    { interrupts: true, queues },
  );
  await guest.start();
  const batch = (queue: number, depth: number, bytes: number) => {
    return new BlkBatch(new GuestBlkBatch(guest, { queue, depth, bytes }));
  };
  return { guest, batch, close: () => device.close() };
}

/** The disk is LUN 0 of target 0. */
async function openScsi(parts: DeviceParts): Promise<BenchDevice> {
  const { core, context, backend, queues, queueSize, mapping } = parts;
  const device = await VirtioScsi.realize(core, context, {
    num_queues: queues,
    virtqueue_size: queueSize,
    ...(mapping.length > 0 && { 'iothread-vq-mapping': mapping }),
  });
  await device.plug('hd', backend, { 'scsi-id': 0, lun: 0 });
  const guest: GuestScsi = new GuestScsi(
    transportOf(device, () => guest.interrupt()),
    new GuestRam(core),
    { interrupts: true, commandQueues: queues },
  );
  await guest.start();
  const lun = scsiLun(0, 0);
  const testUnitReady = new Uint8Array(6);
  // The first command reports that the power has come on, and does nothing.
  while ((await guest.command(lun, testUnitReady)).status !== 0);
  const batch = (queue: number, depth: number, bytes: number) => {
    return new ScsiBatch(new GuestScsiBatch(guest, { queue, depth, bytes }), lun);
  };
  return { guest, batch, close: () => device.close() };
}

function transportOf(device: VirtioDevice, interrupt: () => void): GuestMmio {
  const irq = (level: boolean) => {
    if (level) interrupt();
  };
  return GuestMmio.open(new VirtioMmio(device, { version: 2, irq }));
}

class BlkBatch implements BenchBatch {
  readonly #batch: GuestBlkBatch;

  constructor(batch: GuestBlkBatch) {
    this.#batch = batch;
  }

  dataOf(slot: number): number {
    return this.#batch.frames[slot]!.data;
  }

  add(slot: number, write: boolean, offset: number, bytes: number): boolean {
    const type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
    return this.#batch.add(slot, type, offset / SECTOR_SIZE, bytes);
  }

  submit(): void {
    this.#batch.submit();
  }

  take(): number {
    return this.#batch.take();
  }

  succeeded(slot: number): boolean {
    return this.#batch.status(slot) === VIRTIO_BLK_S_OK;
  }

  outcome(slot: number): string {
    return `status ${this.#batch.status(slot)}`;
  }
}

class ScsiBatch implements BenchBatch {
  readonly #batch: GuestScsiBatch;
  readonly #lun: Uint8Array;

  constructor(batch: GuestScsiBatch, lun: Uint8Array) {
    this.#batch = batch;
    this.#lun = lun;
  }

  dataOf(slot: number, write: boolean): number {
    const { dataOut, dataIn } = this.#batch.frames[slot]!;
    return write ? dataOut : dataIn;
  }

  add(slot: number, write: boolean, offset: number, bytes: number): boolean {
    const lba = offset / SECTOR_SIZE;
    return this.#batch.transfer(slot, this.#lun, write, lba, bytes / SECTOR_SIZE);
  }

  submit(): void {
    this.#batch.submit();
  }

  take(): number {
    return this.#batch.take();
  }

  succeeded(slot: number): boolean {
    return this.#batch.succeeded(slot);
  }

  outcome(slot: number): string {
    const { code, status } = this.#batch.frames[slot]!;
    return `response ${code}, status ${status}`;
  }
}
