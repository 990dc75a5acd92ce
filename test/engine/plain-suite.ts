/** Plain reads and writes: rows of a table out (BL-2, BL-4 to BL-6), and ends back in (VQ-6). */

import { expect, it } from 'vitest';
import { PLAIN_NEIGHBOURS, PLAIN_WRITE } from '#src/engine/engine';
import {
  BACKEND_CAPACITY_LO,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BACKEND_SIZE,
  BLOCK_FIRST,
  BLOCK_SIZE,
  LANE_READ_BYTES,
  LANE_READ_OPS,
  LANE_SIZE,
  LANE_WRITE_BYTES,
  LANE_WRITE_OPS,
  PLAIN_LENGTHS,
  PLAIN_OFFSETS,
  PLAIN_RESULTS,
  PLAIN_ROWS,
  PLAIN_STARTS,
  QUEUE_BATCH,
  QUEUE_BLOCKS,
  QUEUE_DONE,
  QUEUE_PLAIN,
  QUEUE_RECORDS,
  RECORD_IN_BYTES,
  RECORD_IN_COUNT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SECTOR_LO,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  RECORD_STATUS,
  RECORD_TYPE,
  RECORD_WRITTEN,
} from '#src/layout';
import { type Contestant, Machine } from './machine.ts';

const READ = 0;
const WRITE = 1;
const FLUSH = 4;
const BARRIER = 0x8000_0000;
const CAPACITY = 64;

/** What a popped chain is; lengths are those of its segments, readable ones first. */
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

export function plainSuite(contestant: Contestant): void {
  /** Records as a pop would have left them, of heads that count down. */
  function make(chains: Chain[], { capacity = 1000, flags = 0, block = 512 } = {}) {
    const machine = new Machine(contestant, { stateBytes: 4 * 65536 });
    const queue = machine.createQueue(CAPACITY);
    const backend = machine.allocate(BACKEND_SIZE);
    const lane = machine.allocate(LANE_SIZE);
    machine.setWide(backend + BACKEND_CAPACITY_LO, capacity);
    machine.setWord(backend + BACKEND_FLAGS, flags);
    const at = (field: number) => machine.word(queue + field);
    const recordOf = (head: number) => at(QUEUE_RECORDS) + head * RECORD_SIZE;
    const headOf = (index: number) => CAPACITY - 1 - index;
    const sum = (list: number[]) => list.reduce((total, length) => total + length, 0);
    chains.forEach(({ type = READ, sector = 0, out = [], in: into = [] }, index) => {
      const record = recordOf(headOf(index));
      const segments = at(QUEUE_BLOCKS) + headOf(index) * BLOCK_SIZE;
      machine.setWord(record + RECORD_TYPE, type);
      machine.setWide(record + RECORD_SECTOR_LO, sector);
      machine.setWord(record + RECORD_SEGMENTS, segments);
      machine.setWord(record + RECORD_OUT_COUNT, out.length);
      machine.setWord(record + RECORD_IN_COUNT, into.length);
      machine.setWord(record + RECORD_OUT_BYTES, sum(out));
      machine.setWord(record + RECORD_IN_BYTES, sum(into));
      [...out, ...into].slice(0, 15).forEach((length, place) => {
        const segment = segments + BLOCK_FIRST + place * 8;
        machine.setWord(segment, 4096 * (index + 1) + 256 * place);
        machine.setWord(segment + 4, length);
      });
      machine.setWord(at(QUEUE_BATCH) + index * 4, headOf(index));
    });
    const collect = (from = 0, count = chains.length - from) =>
      machine.engine.blkCollect(queue, from, count, backend, block);
    const column = (field: number) =>
      new Float64Array(machine.u8.buffer, at(QUEUE_PLAIN) + field, PLAIN_ROWS);
    const finish = (from: number, count: number, done: number) =>
      machine.engine.blkFinish(queue, from, count, lane, done);
    const ended = (index: number) =>
      [RECORD_STATUS, RECORD_WRITTEN].map((field) => machine.word(recordOf(headOf(index)) + field));
    const done = (index: number) => machine.word(at(QUEUE_DONE) + index * 4);
    const figures = () =>
      [LANE_READ_OPS, LANE_READ_BYTES, LANE_WRITE_OPS, LANE_WRITE_BYTES].map((field) =>
        machine.wide(lane + field),
      );
    return { machine, lane, headOf, recordOf, collect, column, finish, ended, done, figures };
  }
  type Options = Parameters<typeof make>[1];
  const taken = (chain: Chain, options?: Options) =>
    (make([chain], options).collect() & 0xffff) === 1;

  it('rows hold place on the disk, place in guest RAM and length', () => {
    const bench = make([read(1024, { sector: 7 }), read(512, { out: [10, 6], sector: 3 })]);
    expect(bench.collect()).toBe(2);
    const rows = [PLAIN_OFFSETS, PLAIN_STARTS, PLAIN_LENGTHS].map((field) =>
      [...bench.column(field)].slice(0, 2),
    );
    expect(rows).toEqual([
      [3584, 1536],
      [4096 + 256, 8192 + 512],
      [1024, 512],
    ]);
    const writes = make([write(512, { sector: 1 })]);
    expect(writes.collect()).toBe(1 + PLAIN_WRITE);
    expect(writes.column(PLAIN_STARTS)[0]).toBe(4096 + 256);
  });

  it('BL-2 a barrier is no difference, another type is', () => {
    expect(taken(read(512, { type: BARRIER }))).toBe(true);
    expect(taken(write(512, { type: BARRIER + WRITE }))).toBe(true);
    for (const type of [2, 3, FLUSH, 8, 11, 13]) expect(taken(read(512, { type }))).toBe(false);
  });

  it('rows end before another type or direction, and begin behind it', () => {
    const far = { sector: 9 };
    const bench = make([read(512), read(512), write(512), { type: FLUSH }, write(512, far)]);
    const counts = [0, 1, 2, 3, 4].map((from) => bench.collect(from) & 0xffff);
    expect(counts).toEqual([2, 1, 1, 0, 1]);
    expect([bench.collect(5), bench.collect(0, 1)]).toEqual([0, 1]);
    expect(bench.column(PLAIN_OFFSETS)[0]).toBe(0);
  });

  it('BL-6 as many rows as the table has', () => {
    const bench = make(Array.from({ length: 40 }, () => read(512)));
    expect([bench.collect(), bench.collect(8), bench.collect(9)]).toEqual([32, 32, 31]);
  });

  it('BL-6 says whether one begins where another ends', () => {
    const at = (...sectors: number[]) =>
      (make(sectors.map((sector) => read(1024, { sector }))).collect() & PLAIN_NEIGHBOURS) !== 0;
    expect([at(4, 6), at(6, 4), at(4, 7), at(4, 5), at(4, 4), at(4)]).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    let state = 12345;
    for (let round = 0; round < 200; round++) {
      const sectors = Array.from({ length: 20 }, () => {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        return (state >>> 8) % 998;
      });
      expect(at(...sectors)).toBe(sectors.some((sector) => sectors.includes(sector + 2)));
    }
  });

  it('BL-4 only within the disk, and in whole blocks', () => {
    const far = 2 ** 32 + 10;
    expect(taken(read(1024, { sector: 998 }))).toBe(true);
    expect(taken(read(1024, { sector: 999 }))).toBe(false);
    expect(taken(read(512, { sector: 2 ** 32 }))).toBe(false);
    expect(taken(read(512, { sector: far - 1 }), { capacity: far })).toBe(true);
    expect(taken(read(512, { sector: far }), { capacity: far })).toBe(false);
    expect(taken(read(1024), { capacity: 1 })).toBe(false);
    expect(taken(read(512, { sector: 0xffff_ffff * 2 ** 32 }))).toBe(false);
    expect([taken(read(512)), taken(read(511)), taken(read(513))]).toEqual([true, false, false]);
    const large = { block: 4096 };
    expect(taken(read(4096, { sector: 8 }), large)).toBe(true);
    expect(taken(read(4096, { sector: 9 }), large)).toBe(false);
    expect(taken(read(2048, { sector: 8 }), large)).toBe(false);
  });

  it('BL-4 up to INT_MAX bytes, in whole sectors', () => {
    expect(taken(read(2 ** 31 - 512), { capacity: 2 ** 30 })).toBe(true);
    expect(taken(read(2 ** 31), { capacity: 2 ** 30 })).toBe(false);
  });

  it('BL-5 no writes to a read-only disk', () => {
    expect(taken(write(512), { flags: BACKEND_F_READ_ONLY })).toBe(false);
    expect(taken(read(512), { flags: BACKEND_F_READ_ONLY })).toBe(true);
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

  it('VQ-6 rows that succeeded end with OK and what was written without a gap', () => {
    const bench = make([{ type: FLUSH }, read(512), read(1024), read(512)]);
    const { machine, recordOf, headOf } = bench;
    for (let i = 0; i < 4; i++) machine.setWord(recordOf(headOf(i)) + RECORD_STATUS, 9);
    expect(bench.collect(1)).toBe(3);
    bench.column(PLAIN_RESULTS).set([512, 512, 512]);
    expect(bench.finish(1, 3, 5)).toBe(2);
    expect([bench.done(5), bench.done(6)]).toEqual([headOf(1), headOf(3)]);
    expect([0, 1, 2, 3].map(bench.ended)).toEqual([
      [9, 0],
      [0, 513],
      [9, 0],
      [0, 513],
    ]);
    expect(bench.figures()).toEqual([2, 1024, 0, 0]);
    bench.column(PLAIN_RESULTS).set([-5, 0, Number.NEGATIVE_INFINITY]);
    expect([bench.finish(1, 3, 5), bench.figures()]).toEqual([0, [2, 1024, 0, 0]]);
  });

  it('VQ-6 BB-27 of a write only the status byte was written', () => {
    const bench = make([write(512), write(512, { in: [3] })]);
    bench.machine.setWide(bench.lane + LANE_WRITE_BYTES, 2 ** 32 - 512);
    expect(bench.collect()).toBe(2 + PLAIN_WRITE);
    bench.column(PLAIN_RESULTS).set([512, 512]);
    expect(bench.finish(0, 2, 0)).toBe(2);
    expect([bench.ended(0), bench.ended(1)]).toEqual([
      [0, 1],
      [0, 0],
    ]);
    expect(bench.figures()).toEqual([0, 0, 2, 2 ** 32 + 512]);
  });
}
