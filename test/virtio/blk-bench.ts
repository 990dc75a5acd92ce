/**
 * A virtio-blk device on the test bench: no transport, a driver's half that writes rings by hand,
 * a disk that can be watched. Registers are called directly.
 */

import { onTestFinished } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import type { BlockDriver } from '#src/block/driver';
import type { Core } from '#src/engine/core';
import type { Engine } from '#src/engine/engine';
import { GuestChain } from '#src/guest/chain';
import { GuestRam } from '#src/guest/ram';
import { GuestRing } from '#src/guest/ring';
import { Machine } from '#src/machine/machine';
import { VirtioBlk, type VirtioBlkOptions } from '#src/virtio/virtio-blk';
import { NearThread } from './near-thread.ts';
import { ProbeDriver } from './probe-driver.ts';

export const engines = ['js', 'wasm'] as const;

export const IN = 0;
export const OUT = 1;
export const SCSI_CMD = 2;
export const FLUSH = 4;
export const GET_ID = 8;
export const DISCARD = 11;
export const WRITE_ZEROES = 13;
export const BARRIER = 0x8000_0000;

export const OK = 0;
export const IOERR = 1;
export const UNSUPP = 2;
/** What the status byte holds before the device has answered. */
export const UNANSWERED = 0xa5;

/** Feature bits of the low word. */
export const bit = (n: number) => (1 << n) >>> 0;
export const F = {
  INDIRECT: 28,
  FLUSH: 9,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
  EVENT_IDX: 29,
};

export interface BenchOptions {
  readonly engine?: 'js' | 'wasm';
  /** The disk; a function if it needs the core. */
  readonly driver?: BlockDriver | ((core: Core) => BlockDriver);
  readonly backend?: BackendOptions;
  /** Around the device: its error policies may stop it. */
  readonly machine?: boolean;
  readonly blk?: VirtioBlkOptions;
  /** Bytes of guest RAM. */
  readonly ram?: number;
  readonly slots?: number;
  /** Queues go round this many threads (`NearThread`); 0: main serves them. */
  readonly threads?: number;
  /** Replaces functions of the engine; the original is passed in. */
  readonly intercept?: (engine: Engine) => Partial<Engine>;
}

/** A request of the guest's. */
export interface Asked {
  readonly head: number;
  /** Guest addresses. */
  readonly header: number;
  readonly data: number;
  readonly statusAt: number;
  /** Used length; undefined until it is collected. */
  used: number | undefined;
}

/** How to lay out a request: appends to the chain. Default: header, data, status by themselves. */
export type Layout = (
  chain: GuestChain,
  at: { header: number; data: number; status: number },
) => void;

export class Bench {
  readonly core: Core;
  readonly context: AioContext;
  readonly backend: BlockBackend;
  readonly threads: readonly NearThread[];
  readonly blk: VirtioBlk;
  readonly machine: Machine | null;
  readonly ram: GuestRam;
  readonly rings: GuestRing[] = [];
  /** Queue numbers of interrupts. */
  readonly interrupts: number[] = [];
  configInterrupts = 0;
  resets = 0;
  readonly #asked = new Map<string, Asked>();

  static async open(options: BenchOptions = {}): Promise<Bench> {
    const { engine = 'wasm', ram = 1 << 20, slots = 64 } = options;
    const count = options.threads ?? 0;
    const core = await openCore({ engine, ramBytes: ram, shared: count > 0 });
    const threads: NearThread[] = [];
    for (let i = 0; i < count; i++) threads.push(await NearThread.open(core, `thread${i}`));
    if (options.intercept) {
      for (const place of [core, ...threads.map((thread) => thread.core)]) {
        const engine = Object.assign(Object.create(place.engine), options.intercept(place.engine));
        Object.defineProperty(place, 'engine', { value: engine });
      }
    }
    const context = new AioContext(core, { sleeper: 'hook', slots });
    const { driver: disk = new ProbeDriver(1 << 20) } = options;
    const driver = typeof disk === 'function' ? disk(core) : disk;
    const machine = options.machine ? new Machine(context) : null;
    const own = { ...options.backend, ...(machine && { machine }) };
    const backend = BlockBackend.attach(core, context, driver, own);
    const blk = await makeDevice(core, context, backend, threads, options.blk);
    const bench = new Bench(core, context, backend, threads, blk, machine);
    onTestFinished(() => bench.#close(driver));
    return bench;
  }

  private constructor(
    core: Core,
    context: AioContext,
    backend: BlockBackend,
    threads: readonly NearThread[],
    blk: VirtioBlk,
    machine: Machine | null,
  ) {
    this.core = core;
    this.context = context;
    this.backend = backend;
    this.threads = threads;
    this.blk = blk;
    this.machine = machine;
    this.ram = new GuestRam(core);
    this.blk.transport = {
      interruptQueue: (index) => this.interrupts.push(index),
      interruptConfig: () => this.configInterrupts++,
      deviceReset: () => this.resets++,
    };
  }

  /** What is in flight ends, so that the device can be taken away. */
  async #close(driver: BlockDriver): Promise<void> {
    while (this.backend.quiesced) this.backend.drainedEnd();
    const closed = this.blk.close();
    while (driver instanceof ProbeDriver && driver.held.length > 0) {
      driver.settleAll();
      this.turns();
    }
    await settled(closed, [this.context, ...this.threads]);
  }

  // ---- Driver's registers -----------------------------------------------------------------------

  /** Handshake up to FEATURES_OK; accepts what is offered of `lo`. */
  negotiate(lo = 0xffff_ffff & ~bit(F.EVENT_IDX)): void {
    this.blk.writeStatus(1);
    this.blk.writeStatus(3);
    this.blk.writeDriverFeatures(0, lo >>> 0);
    this.blk.writeDriverFeatures(1, 1);
    this.blk.writeStatus(11);
  }

  /** Sets up queue `index` with a ring of `size`. */
  addRing(index = 0, size = this.blk.queues[index]!.maxSize, legacy = false): GuestRing {
    const eventIdx = this.blk.negotiated(F.EVENT_IDX);
    const ring = new GuestRing(this.ram, { size, eventIdx, layout: legacy ? 'legacy' : 'modern' });
    const registers = this.blk.queues[index]!;
    registers.size = size;
    for (const part of ['desc', 'avail', 'used'] as const) registers[part].lo = ring[part];
    this.rings[index] = ring;
    this.blk.enableQueue(index);
    return ring;
  }

  /** Handshake, one ring on each queue, DRIVER_OK. */
  start(lo?: number, size?: number): this {
    this.negotiate(lo);
    for (let i = 0; i < this.blk.queues.length; i++) this.addRing(i, size);
    this.blk.writeStatus(15);
    return this;
  }

  // ---- Requests ---------------------------------------------------------------------------------

  /**
   * Adds a request to a ring; the device does not see it before `kick`. `out`: bytes that the
   * device reads after the header; `into`: how many it may write before the status.
   */
  ask(
    type: number,
    sector: number,
    what: { out?: Uint8Array; into?: number; layout?: Layout; queue?: number } = {},
  ): Asked {
    const { out = new Uint8Array(0), into = 0, layout, queue = 0 } = what;
    const header = this.ram.allocate(16, 16);
    const data = this.ram.allocate(Math.max(out.length, into, 1), 16);
    const status = this.ram.allocate(16, 16);
    this.ram.setU32(header, type >>> 0);
    this.ram.setU32(header + 4, 0);
    this.ram.setU64(header + 8, sector);
    this.ram.write(data, out);
    if (into > out.length) this.ram.fill(data + out.length, into - out.length, 0xee);
    this.ram.setU8(status, UNANSWERED);
    const chain = new GuestChain();
    if (layout) layout(chain, { header, data, status });
    else {
      chain.out(header, 16);
      if (out.length > 0) chain.out(data, out.length);
      if (into > 0) chain.in(data, into);
      chain.in(status, 1);
    }
    const head = this.rings[queue]!.add(chain);
    if (head < 0) throw new Error('the ring is full');
    const asked: Asked = { head, header, data, statusAt: status, used: undefined };
    this.#asked.set(`${queue}/${head}`, asked);
    return asked;
  }

  read(sector: number, bytes: number, queue = 0): Asked {
    return this.ask(IN, sector, { into: bytes, queue });
  }

  write(sector: number, out: Uint8Array, queue = 0): Asked {
    return this.ask(OUT, sector, { out, queue });
  }

  /** Publishes what was added and rings the doorbell if the device wants that. */
  kick(queue = 0): void {
    const ring = this.rings[queue]!;
    ring.publish();
    if (!ring.needsKick()) return;
    this.blk.kick(queue);
    if (this.threads.length > 0) this.turns(); // what a thread does by itself
  }

  /** Takes back what the device has finished: how many. */
  collect(queue = 0): number {
    const ring = this.rings[queue]!;
    let count = 0;
    for (let head = ring.collect(); head >= 0; head = ring.collect()) {
      const asked = this.#asked.get(`${queue}/${head}`)!;
      if (asked.used !== undefined) throw new Error(`head ${head} came back twice`);
      asked.used = ring.written;
      this.#asked.delete(`${queue}/${head}`);
      count++;
    }
    return count;
  }

  /** Adds nothing more: kick, let the context run, collect. */
  run(queue = 0): number {
    this.kick(queue);
    this.turns();
    return this.collect(queue);
  }

  /** Lets the contexts run until they have nothing to do. */
  turns(): void {
    for (let i = 0; i < 100; i++) {
      let progress = this.context.poll();
      for (const thread of this.threads) progress = thread.turn() || progress;
      if (!progress) return;
    }
  }

  /** Has turns taken until `promise` has settled: what a thread answers comes by promises. */
  settle<T>(promise: Promise<T>): Promise<T> {
    return settled(promise, [this]);
  }

  turn(): void {
    this.turns();
  }

  status(asked: Asked): number {
    return this.ram.getU8(asked.statusAt);
  }

  data(asked: Asked, length: number): Uint8Array {
    return this.ram.read(asked.data, length);
  }

  /** Word of the queue's shared state. */
  queueWord(field: number, index = 0): number {
    return this.core.u32[(this.queueAddress(index) + field) >>> 2]!;
  }

  queueAddress(index = 0): number {
    return this.blk.queueConfigs[index]!.queue;
  }
}

async function makeDevice(
  core: Core,
  context: AioContext,
  backend: BlockBackend,
  threads: readonly NearThread[],
  options: VirtioBlkOptions = {},
): Promise<VirtioBlk> {
  if (threads.length === 0) return new VirtioBlk(core, context, backend, options);
  const mapping = threads.map((iothread) => ({ iothread }));
  const made = VirtioBlk.realize(core, context, backend, {
    'iothread-vq-mapping': mapping,
    ...options,
  });
  return settled(made, threads);
}

/** Lets near threads and contexts have their turns until `promise` has settled. */
export async function settled<T>(
  promise: Promise<T>,
  who: readonly { turn(): unknown }[],
): Promise<T> {
  let over = false;
  const end = () => {
    over = true;
  };
  promise.then(end, end);
  while (!over) {
    for (const one of who) one.turn();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return promise;
}

/** `length` bytes that differ from place to place and from `seed` to `seed`. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed * 31) & 0xff);
}

/** A DISCARD or WRITE_ZEROES segment. */
export function segment(sector: number, sectors: number, flags = 0): Uint8Array {
  const words = new Uint32Array([sector, Math.floor(sector / 2 ** 32), sectors, flags]);
  return new Uint8Array(words.buffer);
}
