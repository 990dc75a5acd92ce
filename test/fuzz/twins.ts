/**
 * Two engines on two memories that must stay equal: after each step the same answers, the same guest
 * bytes, the same records; and never a byte changed outside guest RAM and the structures.
 */

import type { Engine } from '#src/engine/engine';
import {
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_LO,
  BACKEND_DISK,
  BACKEND_SIZE,
  BLOCK_FIRST,
  BLOCK_SIZE,
  CLUSTER_BYTES,
  DISK_L1,
  LANE_SIZE,
  QUEUE_BATCH,
  QUEUE_BATCH_COUNT,
  QUEUE_BROKEN,
  QUEUE_CAPACITY,
  QUEUE_DONE,
  QUEUE_FREE,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_RECORDS,
  QUEUE_SHADOW_AVAIL,
  QUEUE_SIGNALLED_USED,
  QUEUE_SIZE,
  QUEUE_USED_IDX,
  RECORD_FREE,
  RECORD_SIZE,
  RECORD_STATE,
  RECORD_STATUS,
  RECORD_WRITTEN,
} from '#src/layout';
import { Disk } from '../engine/disk.ts';
import { type Contestant, Machine, RAM_AT, type Region } from '../engine/machine.ts';
import { CAPACITY, Generator, RAM_BYTES, regionMaps } from './generator.ts';
import { Random } from './random.ts';

const PAGE = 65536;
const GUARD = 0xa5;
/** Behind these words of a queue begins what an engine keeps for itself. */
const QUEUE_SHARED_BYTES = QUEUE_BATCH_COUNT + 4;
const DISK_BYTES = 8 * CLUSTER_BYTES;
const FRESH = 6;
const SCRATCH_BYTES = 8192;

/** One of the two. */
export class Twin {
  readonly machine: Machine;
  readonly engine: Engine;
  readonly queue: number;
  readonly backend: number;
  readonly lane: number;
  /** Room for copies. */
  readonly scratch: number;
  readonly disk: Disk;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly ram8: Uint8Array;
  /** Structures: from the region table to the end of the blocks, and where the disk's follow. */
  readonly structures: [number, number];
  readonly records: number;
  /** Words of the region table for each map of the generator. */
  readonly #tables: Uint32Array[];

  constructor(contestant: Contestant) {
    this.machine = new Machine(contestant, {
      ramBytes: PAGE,
      stateBytes: (FRESH + 2) * PAGE,
      guardBytes: PAGE,
    });
    const { machine } = this;
    this.engine = machine.engine;
    this.u8 = machine.u8;
    this.u32 = machine.u32;
    this.ram8 = machine.ram8;
    this.queue = machine.createQueue(CAPACITY);
    this.backend = machine.allocate(BACKEND_SIZE);
    this.lane = machine.allocate(LANE_SIZE);
    this.scratch = machine.allocate(SCRATCH_BYTES);
    this.disk = new Disk(machine, { size: DISK_BYTES, fresh: FRESH });
    this.structures = [machine.regions, machine.word(this.disk.address + DISK_L1) + 64];
    this.records = machine.word(this.queue + QUEUE_RECORDS);
    machine.setWord(this.backend + BACKEND_DISK, this.disk.address);
    machine.setWord(this.backend + BACKEND_BLOCK_SECTORS, 1);
    machine.setWide(this.backend + BACKEND_CAPACITY_LO, DISK_BYTES / 512);
    this.#tables = regionMaps(RAM_AT).map((map) => this.#tableOf(map));
    this.#fillGuards();
  }

  #tableOf(map: Region[]): Uint32Array {
    const { machine } = this;
    machine.setRegions(map);
    return this.u32.slice(machine.regions >>> 2, this.queue >>> 2);
  }

  mapRegions(map: number): void {
    this.u32.set(this.#tables[map]!, this.machine.regions >>> 2);
  }

  #guards(): [Uint8Array, number, number][] {
    const { machine, u8, ram8 } = this;
    const [ram, state] = [RAM_AT + RAM_BYTES, machine.stateAt];
    const list: [Uint8Array, number, number][] = [
      [ram8, 0, RAM_AT],
      [ram8, ram, state],
      [u8, machine.stateEnd, machine.stateEnd + PAGE],
    ];
    // What one buffer holds is nobody's in the other.
    if (u8.buffer !== ram8.buffer) list.push([ram8, state, ram8.length], [u8, 0, state]);
    return list;
  }

  #fillGuards(): void {
    for (const [bytes, start, end] of this.#guards()) bytes.fill(GUARD, start, end);
  }

  /** The first byte outside guest RAM and structures that was changed, or -1. */
  trespass(): number {
    for (const [bytes, start, end] of this.#guards()) {
      if (Buffer.compare(bytes.subarray(start, end), guardBytes.subarray(0, end - start)) !== 0) {
        return bytes.findIndex((byte, i) => i >= start && i < end && byte !== GUARD);
      }
    }
    return -1;
  }

  word(field: number): number {
    return this.u32[(this.queue + field) >>> 2]!;
  }

  inFlight(head: number): boolean {
    const record = (this.records + head * RECORD_SIZE) >>> 2;
    return this.u32[record + (RECORD_STATE >>> 2)] !== RECORD_FREE;
  }

  /**
   * Zeroes what the contract leaves open: records that are free, segments of free blocks. Needed
   * after a chain broke halfway.
   */
  scrub(): void {
    const { u32 } = this;
    for (let head = this.word(QUEUE_CAPACITY) - 1; head >= 0; head--) {
      if (this.inFlight(head)) continue;
      const record = (this.records + head * RECORD_SIZE) >>> 2;
      u32.fill(0, record, record + (RECORD_SIZE >>> 2));
    }
    for (let block = this.word(QUEUE_FREE); block !== 0; block = u32[block >>> 2]!) {
      u32.fill(0, (block + BLOCK_FIRST) >>> 2, (block + BLOCK_SIZE) >>> 2);
    }
  }
}

const guardBytes = Buffer.alloc((FRESH + 8) * PAGE, GUARD);

function same(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  return Buffer.compare(a.subarray(start, end), b.subarray(start, end)) === 0;
}

/** Found a difference, or a byte that must not change. */
export class Disagreement extends Error {}

export class Twins {
  readonly a: Twin;
  readonly b: Twin;
  readonly random: Random;
  readonly generator: Generator;
  readonly seed: number;
  /** Rings so far, and how each of them ended: by BROKEN_*, 0 for those that stayed well. */
  rings = 0;
  readonly verdicts = new Float64Array(32);
  popped = 0;
  pushed = 0;
  served = 0;
  /** This ring's chains are virtio-blk requests; raw ones have no status byte. */
  #blk = true;
  #scrubbed = false;

  constructor(a: Contestant, b: Contestant, seed: number) {
    this.a = new Twin(a);
    this.b = new Twin(b);
    this.seed = seed;
    this.random = new Random(seed);
    const ram = this.a.machine.ram.buffer;
    this.generator = new Generator(this.random, ram, RAM_AT, (head) => this.a.inFlight(head));
  }

  /** Runs so many rings. Throws Disagreement. */
  run(rings: number): void {
    for (let i = 0; i < rings; i++) {
      this.#ring();
      this.rings++;
      if (this.rings % 256 === 0) this.checkAll();
    }
    this.checkAll();
  }

  /** Compares the disks' clusters and looks for trespassers. */
  checkAll(): void {
    const { a, b } = this;
    const [start, end] = [a.structures[1], a.machine.stateEnd];
    if (!same(a.u8, b.u8, start, end)) this.#fail('clusters differ');
    for (const twin of [a, b]) {
      const byte = twin.trespass();
      if (byte >= 0) this.#fail(`${twin.engine.kind} wrote byte ${byte}, which is not the guest's`);
    }
  }

  #fail(what: string): never {
    throw new Disagreement(`${what} (seed ${this.seed}, ring ${this.rings})`);
  }

  #compare(after: string): void {
    const { a, b } = this;
    if (a.word(QUEUE_BROKEN) !== 0 && !this.#scrubbed) {
      this.#scrubbed = true; // nothing is popped from here on
      a.scrub();
      b.scrub();
    }
    if (!same(a.ram8, b.ram8, RAM_AT, RAM_AT + RAM_BYTES)) this.#fail(`RAM differs after ${after}`);
    const [start, end] = a.structures;
    const { queue } = a;
    if (
      !same(a.u8, b.u8, start, queue + QUEUE_SHARED_BYTES) ||
      !same(a.u8, b.u8, queue + QUEUE_SIZE, end)
    ) {
      this.#fail(`structures differ after ${after}`);
    }
  }

  /** Both must give the same answer. */
  #both(what: string, call: (twin: Twin) => number): number {
    const [one, other] = [call(this.a) | 0, call(this.b) | 0];
    if (one !== other) this.#fail(`${what}: ${one} and ${other}`);
    return one;
  }

  #ring(): void {
    const { a, b, generator, random } = this;
    generator.begin();
    const { ring, map } = generator;
    this.#blk = !random.once(4);
    this.#scrubbed = false;
    for (const twin of [a, b]) {
      twin.engine.queueReset(twin.queue);
      twin.mapRegions(map);
    }
    const reason = this.#both('enable', ({ engine, queue }) =>
      engine.queueEnable(
        queue,
        ring.num,
        ring.features,
        ...split(ring.desc),
        ...split(ring.avail),
        ...split(ring.used),
      ),
    );
    if (reason === 0 && random.once(4)) this.#startAt(random.pick([0xfffd, 0x7ffe, 65535]));
    for (let step = 1 + random.below(5); step > 0; step--) {
      const ahead = this.#ahead();
      generator.publish(ring.num - ahead - a.word(QUEUE_INUSE), ahead);
      b.ram8.set(a.ram8.subarray(RAM_AT, RAM_AT + RAM_BYTES), RAM_AT);
      this.#serve();
    }
    this.verdicts[a.word(QUEUE_BROKEN)]!++;
  }

  /** As if so many requests had gone before. */
  #startAt(idx: number): void {
    this.generator.startAt(idx);
    for (const { u32, queue } of [this.a, this.b]) {
      for (const field of [
        QUEUE_LAST_AVAIL,
        QUEUE_SHADOW_AVAIL,
        QUEUE_USED_IDX,
        QUEUE_SIGNALLED_USED,
      ]) {
        u32[(queue + field) >>> 2] = idx;
      }
    }
  }

  /** Chains that are offered and not yet popped. */
  #ahead(): number {
    return (this.generator.idx - this.a.word(QUEUE_LAST_AVAIL)) & 0xffff;
  }

  /** The device's turn: some of what it may do, in some order. */
  #serve(): void {
    const { random } = this;
    for (let i = 1 + random.below(4); i > 0; i--) {
      const what = random.below(10);
      if (what < 5) this.#popAndFinish();
      else if (what < 7) this.#push();
      else if (what === 7) this.#notification();
      else if (what === 8) this.#both('empty', ({ engine, queue }) => engine.queueEmpty(queue));
      else this.#detach();
      this.#compare(`step ${what}`);
    }
  }

  #popAndFinish(): void {
    const { random } = this;
    const max = random.pick([0, 1, 2, 16, 64]);
    const blk = this.#blk;
    const popped = this.#both('pop', ({ engine, queue }) =>
      blk ? engine.blkPop(queue, max) : engine.queuePop(queue, max),
    );
    if (popped <= 0) return;
    this.popped += popped;
    if (random.once(6)) {
      const count = random.below(popped + 2);
      for (const { engine, queue } of [this.a, this.b]) engine.queueUnpop(queue, count);
      return;
    }
    this.#copies(popped);
    if (blk && random.once(2)) this.#clusterServe(popped);
  }

  /** Copies to and from the first request of the batch. */
  #copies(popped: number): void {
    const { a, random } = this;
    const head = a.u32[(a.word(QUEUE_BATCH) >>> 2) + random.below(popped)]!;
    const [skip, length] = [random.pick([0, 0, 1, 16, 4000]), random.pick([1, 20, 512, 5000])];
    const how = random.below(4);
    if (how > 2) return;
    this.#both('copy', ({ engine, queue, scratch }) => {
      if (how === 0) return engine.copyToChain(queue, head, skip, scratch, length);
      if (how === 1) return engine.zeroChain(queue, head, skip, length);
      return engine.copyFromChain(queue, head, skip, scratch, length);
    });
  }

  #clusterServe(popped: number): void {
    const { random } = this;
    const gate = random.once(16);
    if (random.once(64)) this.#recycle();
    const left = this.#both('serve', ({ engine, queue, backend, lane }) => {
      if (gate) engine.gateClose(backend);
      const result = engine.clusterServe(queue, popped, backend, lane);
      if (gate) engine.gateOpen(backend);
      return result;
    });
    this.served += popped - (left & 0xffff);
  }

  /** Frees a part of the disk, or the arena would be empty for ever. */
  #recycle(): void {
    const offset = this.random.below(16) * 32768;
    const length = this.random.pick([512, 65536, DISK_BYTES]);
    const end = Math.min(offset + length, DISK_BYTES);
    for (const { disk } of [this.a, this.b]) disk.zero(offset, end - offset, 1);
  }

  /** Pushes some of what is in flight, in a random order, now and then a stray. */
  #push(): void {
    const { a, random } = this;
    const heads: number[] = [];
    for (let head = 0; head < CAPACITY; head++) {
      if (!a.inFlight(head) || random.once(3)) continue;
      heads.splice(random.below(heads.length + 1), 0, head);
    }
    if (random.once(50)) heads.push(random.pick([CAPACITY, 0xffffffff, random.below(CAPACITY)]));
    const status = this.#blk;
    const [written, code] = [random.next(), random.below(256)];
    this.#both('push', ({ engine, queue, u32, records }) => {
      const list = u32[(queue + QUEUE_DONE) >>> 2]! >>> 2;
      heads.slice(0, CAPACITY).forEach((head, i) => {
        u32[list + i] = head;
        if (head >= CAPACITY) return;
        const record = (records + head * RECORD_SIZE) >>> 2;
        u32[record + (RECORD_WRITTEN >>> 2)] = written;
        if (status) u32[record + (RECORD_STATUS >>> 2)] = code;
      });
      const count = Math.min(heads.length, CAPACITY);
      return status ? engine.blkPush(queue, count) : engine.queuePush(queue, count);
    });
    this.pushed += heads.length;
  }

  #notification(): void {
    const on = this.random.below(2);
    this.#both('notification', ({ engine, queue }) => engine.queueSetNotification(queue, on));
  }

  #detach(): void {
    const head = this.random.below(CAPACITY + 1);
    for (const { engine, queue } of [this.a, this.b]) engine.queueDetach(queue, head);
  }
}

function split(address: number): [number, number] {
  return [((address % 2 ** 32) + 2 ** 32) % 2 ** 32, Math.max(0, Math.floor(address / 2 ** 32))];
}
