import { describe, expect, it } from 'vitest';
import {
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BLOCK_FIRST,
  BLOCK_SIZE,
  RECORD_IN_BYTES,
  RECORD_IN_COUNT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SECTOR_HI,
  RECORD_SECTOR_LO,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  RECORD_STATUS,
  RECORD_TYPE,
  RECORD_WRITTEN,
} from '#src/layout';
import { MERGE_REQUESTS_MAX, MergeBatch } from '#src/virtio/blk-merge';
import { collectPlain, finishPlain } from '#src/virtio/blk-plain';
import type { BlkRecords } from '#src/virtio/blk-records';
import type { QueueConfig } from '#src/virtio/queue-config';

const READ = 0;
const WRITE = 1;
const FLUSH = 4;
const BARRIER = 0x8000_0000;
/** Addresses in a memory of the test's own. */
const BACKEND = 64;
const RECORDS = 1024;
const BLOCKS = 65_536;
const HEADS = 131_072;

/** What a chain is; lengths are those of its segments, readable ones first. */
interface Chain {
  type?: number;
  sector?: number;
  out?: number[];
  in?: number[];
}

const read = (bytes: number, more: Chain = {}): Chain => ({ out: [16], in: [bytes, 1], ...more });
const write = (bytes: number, more: Chain = {}): Chain => ({
  type: WRITE,
  out: [16, bytes],
  in: [1],
  ...more,
});

class Bench {
  readonly u32 = new Uint32Array(65_536);
  readonly merge = new MergeBatch();
  readonly records = { u32: this.u32, first: RECORDS >>> 2 } as unknown as BlkRecords;
  config = { backend: BACKEND, logicalBlockSize: 512 } as unknown as QueueConfig;
  #count = 0;

  constructor(capacity = 1000) {
    this.#set(BACKEND, BACKEND_CAPACITY_LO, capacity);
    this.#set(BACKEND, BACKEND_CAPACITY_HI, Math.floor(capacity / 2 ** 32));
  }

  #set(base: number, field: number, value: number): void {
    this.u32[(base + field) >>> 2] = value;
  }

  readOnly(): this {
    this.#set(BACKEND, BACKEND_FLAGS, BACKEND_F_READ_ONLY);
    return this;
  }

  add(...chains: Chain[]): this {
    for (const { type = READ, sector = 0, out = [], in: into = [] } of chains) {
      const head = this.#count++;
      const record = RECORDS + head * RECORD_SIZE;
      const block = BLOCKS + head * BLOCK_SIZE;
      const sum = (list: number[]) => list.reduce((total, length) => total + length, 0);
      this.#set(record, RECORD_TYPE, type);
      this.#set(record, RECORD_SECTOR_LO, sector);
      this.#set(record, RECORD_SECTOR_HI, Math.floor(sector / 2 ** 32));
      this.#set(record, RECORD_SEGMENTS, block);
      this.#set(record, RECORD_OUT_COUNT, out.length);
      this.#set(record, RECORD_IN_COUNT, into.length);
      this.#set(record, RECORD_OUT_BYTES, sum(out));
      this.#set(record, RECORD_IN_BYTES, sum(into));
      [...out, ...into].slice(0, 15).forEach((length, place) => {
        this.#set(block, BLOCK_FIRST + place * 8, 4096 * (head + 1) + 256 * place);
        this.#set(block, BLOCK_FIRST + place * 8 + 4, length);
      });
      this.#set(HEADS, head * 4, head);
    }
    return this;
  }

  /** How many of those from the `from`th on were taken. */
  collect(from = 0): number {
    const first = (HEADS >>> 2) + from;
    const end = (HEADS >>> 2) + this.#count;
    return collectPlain(this.records, this.config, this.merge, first, end) - first;
  }

  record(head: number): number[] {
    const at = (RECORDS + head * RECORD_SIZE) >>> 2;
    return [this.u32[at + (RECORD_STATUS >>> 2)]!, this.u32[at + (RECORD_WRITTEN >>> 2)]!];
  }
}

/** Is a chain, alone, taken? */
const taken = (chain: Chain, bench = new Bench()) => bench.add(chain).collect() === 1;

describe('plain requests', () => {
  it('rows hold place on the disk, place in guest RAM, length and segments', () => {
    const bench = new Bench().add(
      read(1024, { sector: 7 }),
      read(512, { out: [10, 6], sector: 3 }),
    );
    expect(bench.collect()).toBe(2);
    const { merge } = bench;
    const rows = [merge.tags, merge.offsets, merge.starts, merge.lengths, merge.segments].map(
      (table) => [...table.subarray(0, 2)],
    );
    expect(rows).toEqual([
      [0, 1],
      [3584, 1536],
      [4096 + 256, 8192 + 512],
      [1024, 512],
      [2, 2],
    ]);
    expect([merge.count, merge.end, merge.write, merge.scattered]).toEqual([2, 4608, false, 0]);
    const writes = new Bench().add(write(512, { sector: 1 }));
    expect([writes.collect(), writes.merge.write, writes.merge.starts[0]]).toEqual([1, true, 4352]);
  });

  it('BL-2 a barrier is no difference, another type is', () => {
    expect(taken(read(512, { type: BARRIER }))).toBe(true);
    expect(taken(write(512, { type: BARRIER + WRITE }))).toBe(true);
    for (const type of [2, 3, FLUSH, 8, 11, 13]) expect(taken(read(512, { type }))).toBe(false);
  });

  it('ends before another type or direction, and goes on behind it', () => {
    const bench = new Bench().add(read(512), read(512), write(512), { type: FLUSH }, write(512));
    expect([bench.collect(), bench.collect(2)]).toEqual([2, 0]);
    bench.merge.clear();
    expect([bench.collect(2), bench.collect(3), bench.collect(4)]).toEqual([1, 0, 1]);
    expect([bench.merge.count, bench.merge.write]).toEqual([2, true]);
  });

  it('BL-6 takes what has room', () => {
    const bench = new Bench().add(...Array.from({ length: 40 }, () => read(512)));
    expect([bench.collect(), bench.merge.count]).toEqual([MERGE_REQUESTS_MAX, MERGE_REQUESTS_MAX]);
    expect(bench.collect(32)).toBe(0);
    bench.merge.clear();
    expect(bench.collect(32)).toBe(8);
    expect(bench.collect(40)).toBe(0);
  });

  it('BL-4 only within the disk, and in whole blocks', () => {
    const far = 2 ** 32 + 10;
    expect(taken(read(1024, { sector: 998 }))).toBe(true);
    expect(taken(read(1024, { sector: 999 }))).toBe(false);
    expect(taken(read(512, { sector: 2 ** 32 }))).toBe(false);
    expect(taken(read(512, { sector: far - 1 }), new Bench(far))).toBe(true);
    expect(taken(read(512, { sector: far }), new Bench(far))).toBe(false);
    expect(taken(read(1024), new Bench(1))).toBe(false);
    expect([taken(read(512)), taken(read(511)), taken(read(513))]).toEqual([true, false, false]);
    const large = () => {
      const bench = new Bench();
      bench.config = { ...bench.config, logicalBlockSize: 4096 };
      return bench;
    };
    expect(taken(read(4096, { sector: 8 }), large())).toBe(true);
    expect(taken(read(4096, { sector: 9 }), large())).toBe(false);
    expect(taken(read(2048, { sector: 8 }), large())).toBe(false);
  });

  it('BL-4 up to INT_MAX bytes, in whole sectors', () => {
    const disk = () => new Bench(2 ** 30);
    expect(taken(read(2 ** 31 - 512), disk())).toBe(true);
    expect(taken(read(2 ** 31), disk())).toBe(false);
  });

  it('BL-4 no writes to a read-only disk', () => {
    expect(taken(write(512), new Bench().readOnly())).toBe(false);
    expect(taken(read(512), new Bench().readOnly())).toBe(true);
  });

  it('only data that lies in one segment', () => {
    expect(taken(read(0, { in: [1] }))).toBe(false);
    expect(taken(read(0, { in: [513] }))).toBe(true);
    expect(taken(read(0, { in: [512, 513] }))).toBe(false);
    expect(taken(read(0, { in: [511, 2] }))).toBe(false);
    expect(taken(write(0, { out: [16] }))).toBe(false);
    expect(taken(write(0, { out: [16, 512, 512] }))).toBe(false);
    expect(taken(write(0, { out: [8, 8 + 512] }))).toBe(false);
    expect(taken(write(0, { out: [16 + 512] }))).toBe(false);
    expect(taken(write(0, { out: [17, 511] }))).toBe(false);
    expect(taken(read(512, { out: new Array<number>(14).fill(2) }))).toBe(true);
    expect(taken(read(512, { out: new Array<number>(15).fill(2) }))).toBe(false);
  });

  it('VQ-6 those that succeeded end with OK and what was written without a gap', () => {
    const bench = new Bench().add(read(512), read(1024), read(512));
    bench.collect();
    bench.u32.fill(9, (RECORDS + RECORD_STATUS) >>> 2, ((RECORDS + RECORD_STATUS) >>> 2) + 1);
    bench.merge.results.set([0, -5, 0]);
    expect(finishPlain(bench.records, bench.merge, false, 5000)).toBe(2);
    expect([...bench.u32.subarray(5000, 5003)]).toEqual([0, 2, 0]);
    expect([bench.record(0), bench.record(1), bench.record(2)]).toEqual([
      [0, 513],
      [0, 0],
      [0, 513],
    ]);
    const writes = new Bench().add(write(512), write(512, { in: [3] }));
    writes.collect();
    writes.merge.results.fill(0);
    expect(finishPlain(writes.records, writes.merge, true, 5000)).toBe(2);
    expect([writes.record(0), writes.record(1)]).toEqual([
      [0, 1],
      [0, 0],
    ]);
  });
});
