/**
 * What rigs of saved machines have in common: a core, a machine, a device with its transport, and a
 * driver that keeps all it knows in guest memory or in plain numbers, so that it can go on
 * elsewhere.
 */

import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import type { BlockBackend } from '#src/block/backend';
import type { BlockDriver } from '#src/block/driver';
import type { Core } from '#src/engine/core';
import { QUEUE_INUSE, QUEUE_LAST_AVAIL } from '#src/layout';
import { Machine } from '#src/machine/machine';
import { StateError } from '#src/machine/state-error';
import type { VirtioBlk } from '#src/virtio/virtio-blk';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import { VirtioPci, type VirtioPciOptions } from '#src/virtio/virtio-pci';
import type { VirtioScsi } from '#src/virtio/virtio-scsi';
import { NearThread } from '../virtio/near-thread.ts';
import { ProbeDriver } from '../virtio/probe-driver.ts';

export type Transport = 'pci' | 'pci msi' | 'pci modern' | 'mmio' | 'mmio legacy' | 'none';

export const transports: readonly Transport[] = [
  'pci',
  'pci msi',
  'pci modern',
  'mmio',
  'mmio legacy',
  'none',
];
export const engines = ['js', 'wasm'] as const;
/** The engine that saves, and the one that loads. */
export const pairs = engines.flatMap((from) => engines.map((to) => [from, to] as const));

export interface SavedRigOptions {
  readonly engine?: 'js' | 'wasm';
  readonly transport?: Transport;
  readonly pci?: Partial<VirtioPciOptions>;
  /** Of each queue. */
  readonly num?: number;
  /** The queues go round so many threads (`NearThread`); 0: main serves them. */
  readonly threads?: number;
}

const RAM_BYTES = 1 << 18;

/** What a driver knows of one queue; its rings lie in guest memory, one behind the other. */
export interface Driver {
  published: number;
  /** Used elements it has seen. */
  seen: number;
}

/** A buffer of a chain. */
export interface Buffer {
  readonly at: number;
  readonly length: number;
  /** The device writes it. */
  readonly write: boolean;
}

export interface Around {
  readonly core: Core;
  readonly context: AioContext;
  readonly machine: Machine;
  readonly threads: readonly NearThread[];
}

export async function openAround(options: SavedRigOptions): Promise<Around> {
  const { engine = 'wasm', threads: count = 0 } = options;
  const core = await openCore({ engine, ramBytes: RAM_BYTES, shared: count > 0 });
  const threads: NearThread[] = [];
  for (let i = 0; i < count; i++) threads.push(await NearThread.open(core, `thread${i}`));
  const context = new AioContext(core, { sleeper: 'hook', slots: 64 });
  return { core, context, machine: new Machine(context), threads };
}

export abstract class SavedRig {
  readonly core: Core;
  readonly context: AioContext;
  readonly machine: Machine;
  readonly device: VirtioBlk | VirtioScsi;
  readonly pci: VirtioPci | null;
  readonly mmio: VirtioMmio | null;
  readonly threads: readonly NearThread[];
  readonly disks: BlockDriver[] = [];
  readonly backends: BlockBackend[] = [];
  /** Levels of the line and messages, in order. */
  readonly interrupts: string[] = [];
  /** By number of the queue; replaced by those of the machine that was saved. */
  drivers: Driver[];

  constructor(around: Around, device: VirtioBlk | VirtioScsi, options: SavedRigOptions) {
    const { transport = 'none' } = options;
    this.core = around.core;
    this.context = around.context;
    this.machine = around.machine;
    this.threads = around.threads;
    this.device = device;
    this.pci = transport.startsWith('pci') ? this.#plugPci(transport, options) : null;
    this.mmio = transport.startsWith('mmio') ? this.#plugMmio(transport) : null;
    this.drivers = device.queues.map(() => ({ published: 0, seen: 0 }));
  }

  #plugPci(transport: Transport, { pci }: SavedRigOptions): VirtioPci {
    const msi = (address: number, data: number) =>
      void this.interrupts.push(`msi ${address} ${data}`);
    return new VirtioPci(this.device, {
      mode: transport === 'pci modern' ? 'modern' : 'transitional',
      intx: (level) => this.interrupts.push(level ? 'high' : 'low'),
      ...(transport === 'pci msi' && { msi }),
      ...pci,
    });
  }

  #plugMmio(transport: Transport): VirtioMmio {
    return new VirtioMmio(this.device, {
      version: transport === 'mmio' ? 2 : 1,
      irq: (level) => this.interrupts.push(level ? 'high' : 'low'),
    });
  }

  /** What is in flight settles, and the device is gone. */
  async close(): Promise<void> {
    for (const backend of this.backends) while (backend.quiesced) backend.drainedEnd();
    const closed = this.device.close();
    let over = false;
    const end = () => {
      over = true;
    };
    closed.then(end, end);
    while (!over) {
      for (const disk of this.disks) if (disk instanceof ProbeDriver) disk.settleAll();
      await this.turns();
    }
    await closed;
  }

  async turns(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      this.turn();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  turn(): void {
    for (let i = 0; i < 100; i++) {
      let progress = this.context.poll();
      for (const thread of this.threads) progress = thread.turn() || progress;
      if (!progress) return;
    }
  }

  /** Has turns taken until `promise` has settled. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const end = () => {
      over = true;
    };
    promise.then(end, end);
    while (!over) await this.turns();
    return promise;
  }

  stop(): Promise<void> {
    return this.settle(this.machine.stop());
  }

  cont(): Promise<void> {
    return this.settle(this.machine.cont());
  }

  save(): Promise<Uint8Array> {
    return this.settle(this.machine.save());
  }

  load(bytes: Uint8Array): Promise<void> {
    return this.settle(this.machine.load(bytes));
  }

  /** Takes over guest memory and the driver of `other`, and what its disks hold. */
  takeGuest(other: SavedRig): void {
    this.ram.set(other.ram);
    this.drivers = other.drivers.map((driver) => ({ ...driver }));
    this.disks.forEach((disk, i) => {
      const held = other.disks[i];
      if (disk instanceof ProbeDriver && held instanceof ProbeDriver) disk.bytes.set(held.bytes);
    });
  }

  // ---- The driver -------------------------------------------------------------------------------

  /** Guest RAM from guest address 0 on. */
  get ram(): Uint8Array {
    const { offset, size } = this.core.regionList[0]!;
    return this.core.ramU8.subarray(offset, offset + size);
  }

  get words(): DataView {
    const { ram } = this;
    return new DataView(ram.buffer, ram.byteOffset, ram.length);
  }

  get num(): number {
    return this.device.queues[0]!.maxSize;
  }

  ring(queue: number): { desc: number; avail: number; used: number } {
    const desc = 0x1000 + queue * 0x4000;
    return { desc, avail: desc + 0x1000, used: desc + 0x2000 };
  }

  /** Grants bus mastering and agrees on all features; one ring on each queue; DRIVER_OK. */
  start(low = 0xffff_ffff): this {
    const { device, pci } = this;
    pci?.configWrite(4, 2, 7);
    if (device.legacy) device.useLegacy(true);
    device.writeStatus(1);
    device.writeStatus(3);
    device.writeDriverFeatures(0, low);
    device.writeDriverFeatures(1, 0xffff_ffff);
    if (this.mmio) this.mmio.write(0x20, 4, low); // latched; agreed by hand below
    device.writeStatus(11);
    device.queues.forEach((queue, index) => {
      const ring = this.ring(index);
      queue.desc.lo = ring.desc;
      queue.avail.lo = ring.avail;
      queue.used.lo = ring.used;
      device.enableQueue(index);
    });
    device.writeStatus(15);
    return this;
  }

  /** Publishes a chain whose head is `head`, in descriptors one behind the other; no kick. */
  publish(queue: number, head: number, buffers: readonly Buffer[]): void {
    const { words } = this;
    const { desc, avail } = this.ring(queue);
    buffers.forEach(({ at, length, write }, i) => {
      const more = i + 1 < buffers.length;
      const index = head + i;
      words.setBigUint64(desc + index * 16, BigInt(at), true);
      words.setUint32(desc + index * 16 + 8, length, true);
      words.setUint16(desc + index * 16 + 12, (more ? 1 : 0) | (write ? 2 : 0), true);
      words.setUint16(desc + index * 16 + 14, more ? index + 1 : 0, true);
    });
    const driver = this.drivers[queue]!;
    words.setUint16(avail + 4 + (driver.published % this.num) * 2, head, true);
    words.setUint16(avail + 2, ++driver.published, true);
  }

  kick(queue = 0): void {
    this.device.kick(queue);
    this.turn();
  }

  /** Heads that the device has given back since the last call, in its order. */
  collect(queue = 0): number[] {
    const { words } = this;
    const { used } = this.ring(queue);
    const driver = this.drivers[queue]!;
    const heads: number[] = [];
    while (driver.seen !== words.getUint16(used + 2, true)) {
      heads.push(words.getUint32(used + 4 + (driver.seen % this.num) * 8, true));
      driver.seen = (driver.seen + 1) & 0xffff;
    }
    return heads;
  }

  queueWord(field: number, queue = 0): number {
    return this.core.u32[(this.device.queueConfigs[queue]!.queue + field) >>> 2]!;
  }

  /** Popped, and given back or not; and still in flight. */
  get place0(): [lastAvail: number, inUse: number] {
    return [this.queueWord(QUEUE_LAST_AVAIL), this.queueWord(QUEUE_INUSE)];
  }
}

/** Another machine of the same parts as `rig`: stopped, with the guest's memory. */
export async function twinOf<R extends SavedRig>(rig: R, opened: Promise<R>): Promise<R> {
  const other = await opened;
  await other.stop();
  other.takeGuest(rig);
  return other;
}

/** Why it was refused. Throws if it was not. */
export async function refusal(promise: Promise<unknown>): Promise<StateError> {
  const error = await promise.then(
    () => new Error('it was taken'),
    (error) => error,
  );
  if (error instanceof StateError) return error;
  throw error;
}
