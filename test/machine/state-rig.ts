/**
 * A machine that can be saved: a core, a disk, a virtio-blk device with its transport, and a driver
 * that keeps all it knows in guest memory or in plain numbers, so that it can go on elsewhere.
 */

import { onTestFinished } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import type { BlockDriver } from '#src/block/driver';
import { memoryDisks, memoryState } from '#src/block/memory-state';
import type { Core } from '#src/engine/core';
import { QUEUE_INUSE, QUEUE_LAST_AVAIL } from '#src/layout';
import { Machine } from '#src/machine/machine';
import { blkState } from '#src/virtio/blk-state';
import { VirtioBlk, type VirtioBlkOptions } from '#src/virtio/virtio-blk';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import { VirtioPci, type VirtioPciOptions } from '#src/virtio/virtio-pci';
import { settled } from '../virtio/blk-bench.ts';
import { NearThread } from '../virtio/near-thread.ts';
import { ProbeDriver } from '../virtio/probe-driver.ts';

export type Transport = 'pci' | 'pci msi' | 'pci modern' | 'mmio' | 'mmio legacy' | 'none';

export interface StateRigOptions {
  readonly engine?: 'js' | 'wasm';
  readonly transport?: Transport;
  readonly disk?: BlockDriver | ((core: Core) => BlockDriver);
  readonly backend?: BackendOptions;
  readonly blk?: VirtioBlkOptions;
  readonly pci?: Partial<VirtioPciOptions>;
  readonly num?: number;
  /** Sectors. */
  readonly capacity?: number;
  /** The queues go round so many threads (`NearThread`); 0: main serves them. */
  readonly threads?: number;
}

const RAM_BYTES = 1 << 18;
export const SECTORS = 64;

/** What a driver knows of one queue; its rings lie in guest memory, one behind the other. */
export interface Driver {
  published: number;
  /** Used elements it has seen. */
  seen: number;
}

export class StateRig {
  readonly core: Core;
  readonly context: AioContext;
  readonly machine: Machine;
  readonly disk: BlockDriver;
  readonly backend: BlockBackend;
  readonly blk: VirtioBlk;
  readonly pci: VirtioPci | null;
  readonly mmio: VirtioMmio | null;
  readonly threads: readonly NearThread[];
  /** Levels of the line and messages, in order. */
  readonly interrupts: string[] = [];
  /** By number of the queue; replaced by those of the machine that was saved. */
  drivers: Driver[];

  static async open(options: StateRigOptions = {}): Promise<StateRig> {
    const { engine = 'wasm', threads: count = 0 } = options;
    const core = await openCore({ engine, ramBytes: RAM_BYTES, shared: count > 0 });
    const threads: NearThread[] = [];
    for (let i = 0; i < count; i++) threads.push(await NearThread.open(core, `thread${i}`));
    const context = new AioContext(core, { sleeper: 'hook', slots: 64 });
    const machine = new Machine(context);
    const { disk, capacity = SECTORS } = options;
    const made = typeof disk === 'function' ? disk(core) : disk;
    const driver = made ?? new ProbeDriver(capacity * 512);
    const backend = BlockBackend.attach(core, context, driver, { machine, ...options.backend });
    const blkOptions = { machine, 'queue-size': options.num ?? 16, ...options.blk };
    const mapping = threads.map((iothread) => ({ iothread }));
    const placed = count === 0 ? {} : { 'iothread-vq-mapping': mapping };
    const blk =
      count === 0
        ? new VirtioBlk(core, context, backend, blkOptions)
        : await settled(
            VirtioBlk.realize(core, context, backend, { ...placed, ...blkOptions }),
            threads,
          );
    const rig = new StateRig(machine, driver, backend, blk, threads, options);
    onTestFinished(() => rig.close());
    return rig;
  }

  private constructor(
    machine: Machine,
    disk: BlockDriver,
    backend: BlockBackend,
    blk: VirtioBlk,
    threads: readonly NearThread[],
    options: StateRigOptions,
  ) {
    const { transport = 'none' } = options;
    this.core = blk.core;
    this.context = blk.context;
    this.machine = machine;
    this.disk = disk;
    this.backend = backend;
    this.blk = blk;
    this.threads = threads;
    this.pci = transport.startsWith('pci') ? this.#plugPci(transport, options) : null;
    this.mmio = transport.startsWith('mmio') ? this.#plugMmio(transport) : null;
    this.drivers = this.blk.queues.map(() => ({ published: 0, seen: 0 }));
    machine.addState('disk', blkState(this.blk, this.pci ?? this.mmio));
    memoryDisks(this.disk).forEach((one, i) => {
      machine.addState(`contents ${i}`, memoryState(this.core, one));
    });
  }

  #plugPci(transport: Transport, { pci }: StateRigOptions): VirtioPci {
    const msi = (address: number, data: number) =>
      void this.interrupts.push(`msi ${address} ${data}`);
    return new VirtioPci(this.blk, {
      mode: transport === 'pci modern' ? 'modern' : 'transitional',
      intx: (level) => this.interrupts.push(level ? 'high' : 'low'),
      ...(transport === 'pci msi' && { msi }),
      ...pci,
    });
  }

  #plugMmio(transport: Transport): VirtioMmio {
    return new VirtioMmio(this.blk, {
      version: transport === 'mmio' ? 2 : 1,
      irq: (level) => this.interrupts.push(level ? 'high' : 'low'),
    });
  }

  async close(): Promise<void> {
    while (this.backend.quiesced) this.backend.drainedEnd();
    const closed = this.blk.close();
    if (this.disk instanceof ProbeDriver) this.disk.settleAll();
    let over = false;
    void closed.finally(() => {
      over = true;
    });
    while (!over) await this.turns();
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

  /** Takes over guest memory and the driver of `other`, and what its disk holds. */
  takeGuest(other: StateRig): void {
    this.ram.set(other.ram);
    this.drivers = other.drivers.map((driver) => ({ ...driver }));
    if (this.disk instanceof ProbeDriver && other.disk instanceof ProbeDriver) {
      this.disk.bytes.set(other.disk.bytes);
    }
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
    return this.blk.queues[0]!.maxSize;
  }

  ring(queue: number): { desc: number; avail: number; used: number } {
    const desc = 0x1000 + queue * 0x4000;
    return { desc, avail: desc + 0x1000, used: desc + 0x2000 };
  }

  /** Grants bus mastering and agrees on all features; one ring on each queue; DRIVER_OK. */
  start(low = 0xffff_ffff): this {
    const { blk, pci } = this;
    pci?.configWrite(4, 2, 7);
    if (blk.legacy) blk.useLegacy(true);
    blk.writeStatus(1);
    blk.writeStatus(3);
    blk.writeDriverFeatures(0, low);
    blk.writeDriverFeatures(1, 0xffff_ffff);
    if (this.mmio) this.mmio.write(0x20, 4, low); // latched; agreed by hand below
    blk.writeStatus(11);
    blk.queues.forEach((queue, index) => {
      const ring = this.ring(index);
      queue.desc.lo = ring.desc;
      queue.avail.lo = ring.avail;
      queue.used.lo = ring.used;
      blk.enableQueue(index);
    });
    blk.writeStatus(15);
    return this;
  }

  /** Publishes a request at `head`, which takes three descriptors; no kick. */
  ask(head: number, type: number, sector: number, fill = 0, queue = 0): void {
    const { words } = this;
    const { desc, avail } = this.ring(queue);
    const place = this.place(head, queue);
    words.setUint32(place, type, true);
    words.setUint32(place + 4, 0, true);
    words.setBigUint64(place + 8, BigInt(sector), true);
    this.ram.fill(fill, place + 512, place + 1024);
    words.setUint8(place + 16, 0xa5);
    const write = type === 1 ? 0 : 2;
    const describe = (index: number, at: number, length: number, flags: number, next: number) => {
      words.setBigUint64(desc + index * 16, BigInt(at), true);
      words.setUint32(desc + index * 16 + 8, length, true);
      words.setUint16(desc + index * 16 + 12, flags, true);
      words.setUint16(desc + index * 16 + 14, next, true);
    };
    describe(head, place, 16, 1, head + 1);
    describe(head + 1, place + 512, 512, 1 | write, head + 2);
    describe(head + 2, place + 16, 1, 2, 0);
    const driver = this.drivers[queue]!;
    words.setUint16(avail + 4 + (driver.published % this.num) * 2, head, true);
    words.setUint16(avail + 2, ++driver.published, true);
  }

  place(head: number, queue = 0): number {
    return 0x20000 + queue * 0x8000 + head * 1024;
  }

  kick(queue = 0): void {
    this.blk.kick(queue);
    this.turn();
  }

  status(head: number, queue = 0): number {
    return this.ram[this.place(head, queue) + 16]!;
  }

  data(head: number, queue = 0): Uint8Array {
    const at = this.place(head, queue) + 512;
    return this.ram.slice(at, at + 512);
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
    return this.core.u32[(this.blk.queueConfigs[queue]!.queue + field) >>> 2]!;
  }

  /** Popped, and given back or not; and still in flight. */
  get place0(): [lastAvail: number, inUse: number] {
    return [this.queueWord(QUEUE_LAST_AVAIL), this.queueWord(QUEUE_INUSE)];
  }
}
