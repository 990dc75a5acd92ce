/**
 * Two engines on two memories that must stay equal: after each step the same answers, the same guest
 * bytes, the same records; and never a byte changed outside guest RAM and the structures.
 */

import {
  PLAIN_LENGTHS,
  PLAIN_RESULTS,
  QUEUE_BATCH,
  QUEUE_BATCH_COUNT,
  QUEUE_BROKEN,
  QUEUE_DONE,
  QUEUE_F_PADDED,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_PLAIN,
  QUEUE_SCSI,
  QUEUE_SHADOW_AVAIL,
  QUEUE_SIGNALLED_USED,
  QUEUE_SIZE,
  QUEUE_USED_IDX,
  RECORD_SIZE,
  RECORD_STATUS,
  RECORD_WRITTEN,
  SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_SIZE,
} from '#src/layout';
import { type Contestant, RAM_AT } from '../engine/machine.ts';
import { CAPACITY, Generator, LUN, RAM_BYTES } from './generator.ts';
import { Random } from './random.ts';

import { DISK_BYTES, Twin } from './twin.ts';

/** Behind these words of a queue begins what an engine keeps for itself. */
const QUEUE_SHARED_BYTES = QUEUE_BATCH_COUNT + 4;

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
  /** SCSI commands popped, and those that were plain. */
  commands = 0;
  plain = 0;
  /** What this ring's chains are; raw ones have no status byte. */
  #kind: 'blk' | 'scsi' | 'raw' = 'blk';
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
    this.#kind = random.pick(['raw', 'blk', 'blk', 'blk', 'scsi'] as const);
    const sizes = { cdb: random.pick([32, 32, 16, 0, 255]), sense: random.pick([96, 18, 0]) };
    generator.scsi = this.#kind === 'scsi' ? sizes : null;
    if (generator.scsi && random.once(3)) ring.features |= QUEUE_F_PADDED;
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
    const kind = this.#kind;
    const { cdb, sense } = this.generator.scsi ?? { cdb: 0, sense: 0 };
    const popped = this.#both('pop', ({ engine, queue }) => {
      if (kind === 'scsi') return engine.scsiPop(queue, max, cdb, sense);
      return kind === 'blk' ? engine.blkPop(queue, max) : engine.queuePop(queue, max);
    });
    if (popped <= 0) return;
    this.popped += popped;
    if (kind === 'scsi') this.commands += popped;
    if (random.once(6)) {
      const count = random.below(popped + 2);
      for (const { engine, queue } of [this.a, this.b]) engine.queueUnpop(queue, count);
      return;
    }
    this.#copies(popped);
    if (kind === 'blk' && random.once(2)) this.#clusterServe(popped);
    if (kind === 'scsi') this.#plain(popped);
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

  /** Collects plain commands of the batch, and ends those of which it says so. */
  #plain(popped: number): void {
    const { random } = this;
    const from = random.below(popped);
    const block = random.pick([512, 512, 512, 1024]);
    const result = this.#both('collect', ({ engine, queue, backend }) =>
      engine.scsiCollect(queue, from, popped - from, backend, block, LUN),
    );
    const rows = result & 0xffff;
    this.plain += rows;
    const good = Array.from({ length: rows }, () => !random.once(4));
    this.#both('finish', (twin) => {
      const { engine, queue, lane } = twin;
      const table = twin.word(QUEUE_PLAIN) >>> 3;
      good.forEach((well, i) => {
        const length = twin.f64[table + (PLAIN_LENGTHS >>> 3) + i]!;
        twin.f64[table + (PLAIN_RESULTS >>> 3) + i] = well ? length : -5;
      });
      return engine.scsiFinish(queue, from, rows, lane, 0);
    });
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
    const kind = this.#kind;
    const [written, code] = [random.next(), random.below(256)];
    const answer = [
      random.pick([0, 0, 0, 18, 20, 21, random.next()]),
      random.next(),
      random.next(),
    ];
    this.#both('push', ({ engine, queue, u32, records }) => {
      const list = u32[(queue + QUEUE_DONE) >>> 2]! >>> 2;
      const table = u32[(queue + QUEUE_SCSI) >>> 2]!;
      const responses = (table + CAPACITY * SCSI_REQUEST_SIZE) >>> 2;
      heads.slice(0, CAPACITY).forEach((head, i) => {
        u32[list + i] = head;
        if (head >= CAPACITY) return;
        const record = (records + head * RECORD_SIZE) >>> 2;
        u32[record + (RECORD_WRITTEN >>> 2)] = written;
        if (kind === 'blk') u32[record + (RECORD_STATUS >>> 2)] = code;
        if (kind === 'scsi') u32.set(answer, responses + head * (SCSI_RESPONSE_SIZE >>> 2));
      });
      const count = Math.min(heads.length, CAPACITY);
      if (kind === 'scsi') return engine.scsiPush(queue, count);
      return kind === 'blk' ? engine.blkPush(queue, count) : engine.queuePush(queue, count);
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
