/**
 * One contestant of `vblk bench`: an engine in a machine, and what its guest does. Each of
 * `numjobs` streams keeps `iodepth` requests in its queue, and has an order of blocks of its own.
 */

import type { DriverSpec } from '../../block/driver.ts';
import type { Contents } from './contents.ts';
import type { BenchBatch } from './device.ts';
import { Histogram } from './histogram.ts';
import { BenchMachine, type MachineOptions } from './machine.ts';
import type { BenchOptions, EngineName } from './options.ts';
import { Random } from './random.ts';

export interface JobOptions extends MachineOptions, Pick<BenchOptions, 'rw'> {
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

/** One of the jobs that a guest runs at once. */
class Stream {
  readonly batch: BenchBatch;
  readonly random: Random;
  /** Block that comes next in order. */
  nextBlock: number;

  constructor(batch: BenchBatch, number: number, nextBlock: number) {
    this.batch = batch;
    this.random = new Random(number);
    this.nextBlock = nextBlock;
  }
}

export class Job {
  readonly engine: EngineName;
  readonly #options: JobOptions;
  readonly #machine: BenchMachine;
  readonly #contents: Contents;
  readonly #streams: readonly Stream[];
  readonly #latency = new Histogram();
  readonly #blocks: number;
  /** Blocks with a request in flight: two at once would have no order. */
  readonly #busy: Uint8Array;
  /** Slots: `iodepth` of each stream. Block of a slot's request, and when it was begun (ms). */
  readonly #blockOf: Float64Array;
  readonly #begunAt: Float64Array;
  /** Slots without a request. */
  readonly #free: number[];
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
    return new Job(await BenchMachine.open(disk, engine, options), engine, options, contents);
  }

  private constructor(
    machine: BenchMachine,
    engine: EngineName,
    options: JobOptions,
    contents: Contents,
  ) {
    const { bs: bytes, iodepth: depth, size, numjobs, numQueues } = options;
    this.engine = engine;
    this.#machine = machine;
    this.#options = options;
    this.#contents = contents;
    this.#blocks = Math.floor(size / bytes);
    this.#streams = Array.from({ length: numjobs }, (_, i) => {
      const batch = machine.batch(i % numQueues, depth, bytes);
      return new Stream(batch, i, Math.floor((i * this.#blocks) / numjobs));
    });
    const slots = numjobs * depth;
    this.#busy = new Uint8Array(this.#blocks);
    this.#blockOf = new Float64Array(slots);
    this.#begunAt = new Float64Array(slots);
    this.#free = Array.from({ length: slots }, (_, slot) => slot);
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
    await this.#pass(true, () => {});
  }

  /** Reads every block back. Throws if one does not hold what it must. Not timed. */
  async verify(): Promise<void> {
    await this.#pass(false, (slot) => {
      const block = this.#blockOf[slot]!;
      const wrong = this.#contents.findWrong(this.#memory, this.#dataOf(slot, false), block);
      if (wrong >= 0) throw new Error(`verify: the data at byte ${wrong} of the disk is wrong`);
    });
  }

  /** Drives the workload for `milliseconds`, and counts. */
  async run(milliseconds: number): Promise<void> {
    const { guest } = this.#machine;
    const { kicks, interruptsTaken } = guest;
    this.#machine.poll(true);
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
    this.#machine.poll(false);
  }

  async close(): Promise<void> {
    await this.#machine.close();
    this.#contents.close();
  }

  get #inFlight(): number {
    return this.#begunAt.length - this.#free.length;
  }

  /** Guest memory: the core's own, since the bench lets the core make it. */
  get #memory(): Uint32Array {
    return this.#machine.core.u32;
  }

  /** Byte of `#memory` at which the slot's data begins. */
  #dataOf(slot: number, write: boolean): number {
    const { iodepth, bs } = this.#options;
    const data = this.#streamOf(slot).batch.dataOf(slot % iodepth, write);
    return this.#machine.guest.ram.offset(data, bs);
  }

  #streamOf(slot: number): Stream {
    return this.#streams[Math.floor(slot / this.#options.iodepth)]!;
  }

  #submitAll(): void {
    for (let slot = this.#free.pop(); slot !== undefined; slot = this.#free.pop()) {
      const stream = this.#streamOf(slot);
      this.#add(slot, this.#chooseWrite(stream), this.#chooseBlock(stream));
      this.#begunAt[slot] = this.#now;
    }
    this.#submit();
  }

  #submit(): void {
    for (const { batch } of this.#streams) batch.submit();
  }

  /** The next finished slot of stream `number`, or -1. */
  #take(number: number): number {
    const slot = this.#streams[number]!.batch.take();
    return slot < 0 ? slot : number * this.#options.iodepth + slot;
  }

  /** Takes back what has finished. Those begun together count with one latency. */
  #takeAll(): number {
    let taken = 0;
    let begunAt = 0;
    let together = 0;
    for (let i = 0; i < this.#streams.length; i++) {
      for (let slot = this.#take(i); slot >= 0; slot = this.#take(i)) {
        if (this.#begunAt[slot] !== begunAt) {
          this.#countLatency(begunAt, together);
          begunAt = this.#begunAt[slot]!;
          together = 0;
        }
        this.#finish(slot);
        together++;
        taken++;
      }
    }
    this.#countLatency(begunAt, together);
    return taken;
  }

  #countLatency(begunAt: number, requests: number): void {
    if (requests === 0) return;
    this.#now = performance.now();
    this.#latency.add((this.#now - begunAt) * 1e6, requests);
  }

  #chooseWrite({ random }: Stream): boolean {
    const { rw } = this.#options;
    return rw === 'randrw' ? (random.next() & 0x100) !== 0 : rw.endsWith('write');
  }

  /** There are at least as many blocks as slots, so one is not busy. */
  #chooseBlock(stream: Stream): number {
    const sequential = !this.#options.rw.startsWith('rand');
    const number = sequential ? stream.nextBlock++ : stream.random.next();
    let block = number % this.#blocks;
    while (this.#busy[block]) block = (block + 1) % this.#blocks;
    return block;
  }

  #add(slot: number, write: boolean, block: number): void {
    const { bs, iodepth } = this.#options;
    this.#blockOf[slot] = block;
    this.#busy[block] = 1;
    const { batch } = this.#streamOf(slot);
    const added = batch.add(slot % iodepth, write, block * bs, bs);
    if (!added) throw new Error('the ring has no room for iodepth requests');
    if (write) this.#contents.write(this.#memory, this.#dataOf(slot, true), block);
  }

  #finish(slot: number): void {
    const { batch } = this.#streamOf(slot);
    const own = slot % this.#options.iodepth;
    const block = this.#blockOf[slot]!;
    if (!batch.succeeded(own)) {
      throw new Error(`the request for block ${block} ended with ${batch.outcome(own)}`);
    }
    this.#busy[block] = 0;
    this.#free.push(slot);
  }

  /** Every block once, in order, as many at a time as there are slots. */
  async #pass(write: boolean, finished: (slot: number) => void): Promise<void> {
    for (let next = 0; next < this.#blocks || this.#inFlight > 0; ) {
      while (next < this.#blocks && this.#free.length > 0) {
        this.#add(this.#free.pop()!, write, next++);
      }
      this.#submit();
      let taken = 0;
      for (let i = 0; i < this.#streams.length; i++) {
        for (let slot = this.#take(i); slot >= 0; slot = this.#take(i), taken++) {
          finished(slot);
          this.#finish(slot);
        }
      }
      if (taken === 0) await nextTurn();
    }
  }
}

/** Lets a disk that settles later do so. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
