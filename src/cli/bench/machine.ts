/**
 * The machine under a contestant of `vblk bench`: a drive, a device on virtio-mmio, the IOThreads
 * that serve its queues, if any, and the driver of a guest, which takes interrupts.
 */

import { openCore, startIOThread } from '../../adapter/node.ts';
import { AioContext } from '../../aio/context.ts';
import type { IOThread } from '../../aio/io-thread.ts';
import { BlockBackend } from '../../block/backend.ts';
import type { DriverSpec } from '../../block/driver.ts';
import type { Core } from '../../engine/core.ts';
import type { GuestDevice } from '../../guest/device.ts';
import { SECTOR_SIZE } from '../../spec.ts';
import { type BenchBatch, type BenchDevice, openDevice } from './device.ts';
import { type BenchOptions, DESCRIPTORS, type EngineName } from './options.ts';

export type MachineOptions = Pick<
  BenchOptions,
  'device' | 'bs' | 'iodepth' | 'iothreads' | 'numQueues' | 'numjobs' | 'pollMaxNs'
>;

/** Guest memory beside the requests' own: rings, headers, the allocator's rounding. */
const RING_ROOM = 1 << 20;
const QUEUE_SIZE_MIN = 256;

export class BenchMachine {
  readonly core: Core;
  readonly #context: AioContext;
  readonly #backend: BlockBackend;
  readonly #device: BenchDevice;
  readonly #iothreads: readonly IOThread[];
  readonly #pollMaxNs: number;

  static async open(
    disk: DriverSpec,
    engine: EngineName,
    options: MachineOptions,
  ): Promise<BenchMachine> {
    const { iothreads: count } = options;
    const core = await openCore({ engine, shared: count > 0, ramBytes: ramBytes(options) });
    const context = new AioContext(core, { name: 'bench', handlers: options.numQueues + 16 });
    const backend = await BlockBackend.open(core, context, disk);
    const handlers = options.numQueues + 16;
    const slots = 4 * options.numQueues + 64;
    const start = (_: unknown, i: number) =>
      startIOThread(core, { id: `iothread${i}`, handlers, slots, 'poll-max-ns': 0 });
    const iothreads = await Promise.all(Array.from({ length: count }, start));
    const device = await openDevice(options.device, {
      core,
      context,
      backend,
      queues: options.numQueues,
      queueSize: queueSize(options),
      mapping: iothreads.map((iothread) => ({ iothread })),
    });
    return new BenchMachine(core, context, backend, device, iothreads, options.pollMaxNs);
  }

  private constructor(
    core: Core,
    context: AioContext,
    backend: BlockBackend,
    device: BenchDevice,
    iothreads: readonly IOThread[],
    pollMaxNs: number,
  ) {
    this.core = core;
    this.#context = context;
    this.#backend = backend;
    this.#device = device;
    this.#iothreads = iothreads;
    this.#pollMaxNs = pollMaxNs;
  }

  get guest(): GuestDevice {
    return this.#device.guest;
  }

  /** The requests of a stream of the guest's. */
  batch(queue: number, depth: number, bytes: number): BenchBatch {
    return this.#device.batch(queue, depth, bytes);
  }

  /** The threads may busy-poll, or not: those of the contestants whose turn it is not must not. */
  poll(on: boolean): void {
    for (const thread of this.#iothreads) thread.set({ 'poll-max-ns': on ? this.#pollMaxNs : 0 });
  }

  async close(): Promise<void> {
    await this.guest.reset();
    await this.#device.close();
    for (const thread of this.#iothreads) await thread.stop();
    await this.#backend.close();
    this.#context.close();
  }
}

function ramBytes({ bs, iodepth, numQueues, numjobs }: MachineOptions): number {
  const bytes = numjobs * iodepth * (bs + SECTOR_SIZE) + numQueues * RING_ROOM;
  return Math.ceil(bytes / 65536) * 65536;
}

/** Room for the requests of all jobs that share a queue. */
function queueSize({ iodepth, numQueues, numjobs }: MachineOptions): number {
  const requests = Math.ceil(numjobs / numQueues) * iodepth;
  return Math.max(QUEUE_SIZE_MIN, 2 ** Math.ceil(Math.log2(requests * DESCRIPTORS)));
}
