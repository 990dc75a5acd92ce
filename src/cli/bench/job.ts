/**
 * One contestant of `vblk bench`: a drive, an engine, a virtio-blk device on virtio-mmio, and the
 * guest side that keeps `iodepth` requests in its ring and takes interrupts.
 */

import { openCore } from '../../adapter/node.ts';
import { AioContext } from '../../aio/context.ts';
import { BlockBackend } from '../../block/backend.ts';
import type { DriverSpec } from '../../block/driver.ts';
import type { Core } from '../../engine/core.ts';
import { GuestBlk } from '../../guest/blk.ts';
import { GuestBlkBatch } from '../../guest/blk-batch.ts';
import { GuestMmio } from '../../guest/mmio.ts';
import { GuestRam } from '../../guest/ram.ts';
import { SECTOR_SIZE, VIRTIO_BLK_S_OK, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT } from '../../spec.ts';
import { VirtioBlk } from '../../virtio/virtio-blk.ts';
import { VirtioMmio } from '../../virtio/virtio-mmio.ts';
import type { Contents } from './contents.ts';
import { Histogram } from './histogram.ts';
import type { BenchOptions, EngineName } from './options.ts';
import { Random } from './random.ts';

/** Guest memory beside the requests' own: rings, headers, the allocator's rounding. */
const RING_ROOM = 1 << 20;
const QUEUE_SIZE_MIN = 256;
/** Header, data and status. */
const DESCRIPTORS = 3;

export interface JobOptions extends Pick<BenchOptions, 'rw' | 'bs' | 'iodepth'> {
  /** Bytes of the disk that are used. */
  readonly size: number;
}

export interface Figures {
  readonly requests: number;
  readonly seconds: number;
  /** From when the guest begins to write a batch until it has taken its requests back, ns. */
  readonly latency: Histogram;
  readonly kicks: number;
  readonly interrupts: number;
}

/** What was opened for a job, in the order in which it is closed. */
interface Machine {
  readonly guest: GuestBlk;
  readonly device: VirtioBlk;
  readonly backend: BlockBackend;
  readonly context: AioContext;
  readonly core: Core;
}

async function openMachine(
  disk: DriverSpec,
  engine: EngineName,
  { bs, iodepth }: JobOptions,
): Promise<Machine> {
  const ramBytes = Math.ceil((iodepth * (bs + SECTOR_SIZE) + RING_ROOM) / 65536) * 65536;
  const core = await openCore({ engine, ramBytes });
  const context = new AioContext(core, { name: 'bench' });
  const backend = await BlockBackend.open(core, context, disk);
  const least = 2 ** Math.ceil(Math.log2(iodepth * DESCRIPTORS));
  const device = new VirtioBlk(core, context, backend, {
    'queue-size': Math.max(QUEUE_SIZE_MIN, least),
  });
  const irq = (level: boolean) => {
    if (level) guest.interrupt();
  };
  const transport = GuestMmio.open(new VirtioMmio(device, { version: 2, irq }));
  const guest = new GuestBlk(transport, new GuestRam(core), { interrupts: true });
  await guest.start();
  return { guest, device, backend, context, core };
}

export class Job {
  readonly engine: EngineName;
  readonly #options: JobOptions;
  readonly #machine: Machine;
  readonly #contents: Contents;
  readonly #batch: GuestBlkBatch;
  readonly #random = new Random();
  readonly #latency = new Histogram();
  readonly #blocks: number;
  /** Blocks with a request in flight: two at once would have no order. */
  readonly #busy: Uint8Array;
  /** Per slot: block of its request, and when its batch was begun (ms). */
  readonly #blockOf: Float64Array;
  readonly #begunAt: Float64Array;
  /** Slots without a request. */
  readonly #free: number[];
  #nextBlock = 0;
  /** The clock as last read, ms: reading it is not free. */
  #now = 0;
  #requests = 0;
  #seconds = 0;
  #kicks = 0;
  #interrupts = 0;

  /** `contents` says what is written and checked, and is closed with the job. */
  static async open(
    disk: DriverSpec,
    engine: EngineName,
    options: JobOptions,
    contents: Contents,
  ): Promise<Job> {
    return new Job(await openMachine(disk, engine, options), engine, options, contents);
  }

  private constructor(
    machine: Machine,
    engine: EngineName,
    options: JobOptions,
    contents: Contents,
  ) {
    const { bs: bytes, iodepth: depth, size } = options;
    this.engine = engine;
    this.#machine = machine;
    this.#options = options;
    this.#contents = contents;
    this.#batch = new GuestBlkBatch(machine.guest, { depth, bytes });
    this.#blocks = Math.floor(size / bytes);
    this.#busy = new Uint8Array(this.#blocks);
    this.#blockOf = new Float64Array(depth);
    this.#begunAt = new Float64Array(depth);
    this.#free = Array.from({ length: depth }, (_, slot) => slot);
  }

  get figures(): Figures {
    return {
      requests: this.#requests,
      seconds: this.#seconds,
      latency: this.#latency,
      kicks: this.#kicks,
      interrupts: this.#interrupts,
    };
  }

  /** Writes every block once. Not timed. */
  async fill(): Promise<void> {
    await this.#pass(VIRTIO_BLK_T_OUT, () => {});
  }

  /** Reads every block back. Throws if one does not hold what it must. Not timed. */
  async verify(): Promise<void> {
    await this.#pass(VIRTIO_BLK_T_IN, (slot) => {
      const block = this.#blockOf[slot]!;
      const wrong = this.#contents.findWrong(this.#memory, this.#dataOf(slot), block);
      if (wrong >= 0) throw new Error(`verify: the data at byte ${wrong} of the disk is wrong`);
    });
  }

  /** Drives the workload for `milliseconds`, and counts. */
  async run(milliseconds: number): Promise<void> {
    const { guest } = this.#machine;
    const { kicks, interruptsTaken } = guest;
    const start = performance.now();
    const end = start + milliseconds;
    this.#now = start;
    while (this.#now < end || this.#inFlight > 0) {
      if (this.#now < end) this.#submitAll();
      const taken = this.#takeAll();
      this.#requests += taken;
      if (taken > 0) continue;
      await nextTurn();
      this.#now = performance.now();
    }
    this.#seconds += (this.#now - start) / 1000;
    this.#kicks += guest.kicks - kicks;
    this.#interrupts += guest.interruptsTaken - interruptsTaken;
  }

  async close(): Promise<void> {
    const { guest, device, backend, context } = this.#machine;
    await guest.reset();
    await device.close();
    await backend.close();
    context.close();
    this.#contents.close();
  }

  get #inFlight(): number {
    return this.#options.iodepth - this.#free.length;
  }

  /** Guest memory: the core's own, since the bench lets the core make it. */
  get #memory(): Uint32Array {
    return this.#machine.core.u32;
  }

  /** Byte of `#memory` at which the slot's data begins. */
  #dataOf(slot: number): number {
    const { data, bytes } = this.#batch.frames[slot]!;
    return this.#machine.guest.ram.offset(data, bytes);
  }

  #submitAll(): void {
    for (let slot = this.#free.pop(); slot !== undefined; slot = this.#free.pop()) {
      this.#add(slot, this.#chooseType(), this.#chooseBlock());
      this.#begunAt[slot] = this.#now;
    }
    this.#batch.submit();
  }

  /** Takes back what has finished. Those begun together count with one latency. */
  #takeAll(): number {
    let taken = 0;
    let begunAt = 0;
    let together = 0;
    for (let slot = this.#batch.take(); slot >= 0; slot = this.#batch.take()) {
      if (this.#begunAt[slot] !== begunAt) {
        this.#countLatency(begunAt, together);
        begunAt = this.#begunAt[slot]!;
        together = 0;
      }
      this.#finish(slot);
      together++;
      taken++;
    }
    this.#countLatency(begunAt, together);
    return taken;
  }

  #countLatency(begunAt: number, requests: number): void {
    if (requests === 0) return;
    this.#now = performance.now();
    this.#latency.add((this.#now - begunAt) * 1e6, requests);
  }

  #chooseType(): number {
    const { rw } = this.#options;
    const write = rw === 'randrw' ? (this.#random.next() & 0x100) !== 0 : rw.endsWith('write');
    return write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
  }

  /** There are at least as many blocks as slots, so one is not busy. */
  #chooseBlock(): number {
    const sequential = !this.#options.rw.startsWith('rand');
    const number = sequential ? this.#nextBlock++ : this.#random.next();
    let block = number % this.#blocks;
    while (this.#busy[block]) block = (block + 1) % this.#blocks;
    return block;
  }

  #add(slot: number, type: number, block: number): void {
    const { bs } = this.#options;
    if (type === VIRTIO_BLK_T_OUT) this.#contents.write(this.#memory, this.#dataOf(slot), block);
    this.#blockOf[slot] = block;
    this.#busy[block] = 1;
    const added = this.#batch.add(slot, type, (block * bs) / SECTOR_SIZE, bs);
    if (!added) throw new Error('the ring has no room for iodepth requests');
  }

  #finish(slot: number): void {
    const status = this.#batch.status(slot);
    const block = this.#blockOf[slot]!;
    if (status !== VIRTIO_BLK_S_OK) {
      throw new Error(`the request for block ${block} ended with status ${status}`);
    }
    this.#busy[block] = 0;
    this.#free.push(slot);
  }

  /** Every block once, in order, `iodepth` at a time. */
  async #pass(type: number, finished: (slot: number) => void): Promise<void> {
    for (let next = 0; next < this.#blocks || this.#inFlight > 0; ) {
      while (next < this.#blocks && this.#free.length > 0) {
        this.#add(this.#free.pop()!, type, next++);
      }
      this.#batch.submit();
      let taken = 0;
      for (let slot = this.#batch.take(); slot >= 0; slot = this.#batch.take(), taken++) {
        finished(slot);
        this.#finish(slot);
      }
      if (taken === 0) await nextTurn();
    }
  }
}

/** Lets a disk that settles later do so. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
