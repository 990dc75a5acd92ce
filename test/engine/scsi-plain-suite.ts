/** Plain SCSI reads and writes: rows of a table out, and ends back in (SC-12, VQ-6, BB-27). */

import { expect, it } from 'vitest';
import { PLAIN_NEIGHBOURS, PLAIN_WRITE } from '#src/engine/engine';
import {
  BACKEND_CAPACITY_LO,
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BACKEND_SIZE,
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
  QUEUE_DONE,
  QUEUE_PLAIN,
  QUEUE_SCSI,
  RECORD_WRITTEN,
  SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_SIZE,
} from '#src/layout';
import { VIRTIO_SCSI_S_FAILURE } from '#src/spec';
import { type Contestant, RAM_AT } from './machine.ts';
import { WRITE } from './raw-ring.ts';
import { rig } from './rig.ts';

const [HEADERS, ANSWERS, DATA] = [0x8000, 0xa000, 0x10000].map((offset) => RAM_AT + offset) as [
  number,
  number,
  number,
];
/** Target 3, unit 5, as Linux writes it: its word. */
const LUN = 0x0540_0301;
const NUM = 128;

interface Command {
  cdb: number[];
  lun?: number;
  /** Lengths of the buffers of data. Those for data-out stand behind the header. */
  out?: number[];
  in?: number[];
  /** Bytes of the first readable and writable buffer beyond header and response. */
  more?: [number, number];
  /** The header in so many buffers. */
  pieces?: number;
  /** Lengths of the buffers of the response. */
  response?: number[];
}

const be = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * (bytes - 1 - i))) & 0xff);
const cdb6 = (code: number, lba: number, blocks: number) => {
  const [a, b, c] = be(lba, 3) as [number, number, number];
  return [code, a & 0x1f, b, c, blocks & 0xff, 0];
};
const cdb10 = (code: number, lba: number, blocks: number) => [
  code,
  0,
  ...be(lba, 4),
  0,
  ...be(blocks, 2),
  0,
];
const cdb12 = (code: number, lba: number, blocks: number) => [
  code,
  0,
  ...be(lba, 4),
  ...be(blocks, 4),
  0,
  0,
];
const cdb16 = (code: number, lba: number, blocks: number) => [
  code,
  0,
  ...be(lba, 8),
  ...be(blocks, 4),
  0,
  0,
];
const read = (lba = 0, blocks = 1, more: Partial<Command> = {}): Command => ({
  cdb: cdb10(0x28, lba, blocks),
  in: [blocks * 512],
  ...more,
});
const write = (lba = 0, blocks = 1, more: Partial<Command> = {}): Command => ({
  cdb: cdb10(0x2a, lba, blocks),
  out: [blocks * 512],
  ...more,
});
/** The same with byte `at` of the CDB set. */
const spoilt = (command: Command, at: number, value: number): Command => ({
  ...command,
  cdb: command.cdb.map((byte, i) => (i === at ? value : byte)),
});

export function scsiPlainSuite(contestant: Contestant): void {
  function make(commands: Command[], { capacity = 1000, flags = 0, block = 512, sense = 96 } = {}) {
    const r = rig(contestant, { num: NUM });
    const { machine, engine, queue, ring } = r;
    const backend = machine.allocate(BACKEND_SIZE);
    const lane = machine.allocate(LANE_SIZE);
    machine.setWide(backend + BACKEND_CAPACITY_LO, capacity);
    machine.setWord(backend + BACKEND_FLAGS, flags);
    let next = 0;
    const heads = commands.map((command, index) => {
      const { cdb, lun = LUN, out = [], in: into = [], more = [0, 0], pieces = 1 } = command;
      const { response: answer = [12 + sense] } = command;
      const header = HEADERS + 64 * index;
      new DataView(machine.ram.buffer).setUint32(header, lun, true);
      machine.ram8.set(cdb, header + 19);
      const at = DATA + 4096 * index;
      const split = Array.from({ length: pieces }, (_, i) => ({
        at: header + i,
        length: i + 1 < pieces ? 1 : 51 + more[0] - i,
      }));
      const list = [
        ...split,
        ...out.map((length) => ({ at, length })),
        ...answer.map((length) => ({
          at: ANSWERS + 128 * index,
          length: length + more[1],
          flags: WRITE,
        })),
        ...into.map((length) => ({ at, length, flags: WRITE })),
      ];
      const head = next;
      ring.chain(head, list);
      next += list.length;
      return head;
    });
    ring.offer(...heads);
    expect(engine.scsiPop(queue, NUM, 32, sense)).toBe(commands.length);
    const at = (field: number) => machine.word(queue + field);
    const collect = (from = 0, count = commands.length - from, lun = LUN) =>
      engine.scsiCollect(queue, from, count, backend, block, lun);
    const column = (field: number) =>
      new Float64Array(machine.u8.buffer, at(QUEUE_PLAIN) + field, PLAIN_ROWS);
    const finish = (from: number, count: number, done: number) =>
      engine.scsiFinish(queue, from, count, lane, done);
    const response = (index: number) => {
      const row = at(QUEUE_SCSI) + NUM * SCSI_REQUEST_SIZE + heads[index]! * SCSI_RESPONSE_SIZE;
      return [0, 4, 8].map((field) => machine.word(row + field));
    };
    const written = (index: number) => ring.field(heads[index]!, RECORD_WRITTEN);
    const done = (index: number) => machine.word(at(QUEUE_DONE) + index * 4);
    const figures = () =>
      [LANE_READ_OPS, LANE_READ_BYTES, LANE_WRITE_OPS, LANE_WRITE_BYTES].map((field) =>
        machine.wide(lane + field),
      );
    return { r, lane, heads, collect, column, finish, response, written, done, figures };
  }
  type Options = Parameters<typeof make>[1];
  const taken = (command: Command, options?: Options, lun = LUN) =>
    (make([command], options).collect(0, 1, lun) & 0xffff) === 1;

  it('rows hold place on the disk, place in guest RAM and length', () => {
    const bench = make([read(7, 2), read(3, 1)]);
    expect(bench.collect()).toBe(2);
    const rows = [PLAIN_OFFSETS, PLAIN_STARTS, PLAIN_LENGTHS].map((field) =>
      [...bench.column(field)].slice(0, 2),
    );
    expect(rows).toEqual([
      [3584, 1536],
      [DATA, DATA + 4096],
      [1024, 512],
    ]);
    const writes = make([write(1)]);
    expect(writes.collect()).toBe(1 + PLAIN_WRITE);
    expect(writes.column(PLAIN_STARTS)[0]).toBe(DATA);
  });

  it('READ and WRITE of 6, 10, 12 and 16 bytes, and no other command', () => {
    const where = (command: Command, options?: Options) => {
      const bench = make([command], options);
      const rows = bench.collect();
      return (rows & 0xffff) === 0 ? null : [rows, bench.column(PLAIN_OFFSETS)[0]! / 512];
    };
    const huge = { capacity: 2 ** 40 };
    const [lba6, lba] = [0x12_3456, 0xf234_5678];
    const wide = 0x12_3456_789a;
    expect(where({ cdb: cdb6(0x08, lba6, 2), in: [1024] }, huge)).toEqual([1, lba6]);
    expect(where({ cdb: cdb10(0x28, lba, 2), in: [1024] }, huge)).toEqual([1, lba]);
    expect(where({ cdb: cdb12(0xa8, lba, 2), in: [1024] }, huge)).toEqual([1, lba]);
    expect(where({ cdb: cdb16(0x88, wide, 2), in: [1024] }, huge)).toEqual([1, wide]);
    const W = 1 + PLAIN_WRITE;
    expect(where({ cdb: cdb6(0x0a, lba6, 2), out: [1024] }, huge)).toEqual([W, lba6]);
    expect(where({ cdb: cdb10(0x2a, lba, 2), out: [1024] }, huge)).toEqual([W, lba]);
    expect(where({ cdb: cdb12(0xaa, lba, 2), out: [1024] }, huge)).toEqual([W, lba]);
    expect(where({ cdb: cdb16(0x8a, wide, 2), out: [1024] }, huge)).toEqual([W, wide]);
    for (const code of [0x00, 0x12, 0x2e, 0x2f, 0x25, 0x9e, 0xa0, 0x93, 0x7f, 0x35, 0xac]) {
      expect(where(spoilt(read(), 0, code))).toBe(null);
      expect(where(spoilt(write(), 0, code))).toBe(null);
    }
  });

  it('SD-1 a length of 0 is 256 blocks to READ (6), and none to the others', () => {
    expect(taken({ cdb: cdb6(0x08, 0, 0), in: [256 * 512] })).toBe(true);
    expect(taken({ cdb: cdb6(0x08, 0, 0), in: [] })).toBe(false);
    for (const cdb of [cdb10(0x28, 0, 0), cdb12(0xa8, 0, 0), cdb16(0x88, 0, 0)]) {
      expect(taken({ cdb, in: [] })).toBe(false);
      expect(taken({ cdb, in: [256 * 512] })).toBe(false);
    }
  });

  it('SD-1 protection, FUA, group and control are not plain, a cache hint is', () => {
    const big = { capacity: 2 ** 30 };
    expect(taken(spoilt(read(), 1, 0x10))).toBe(true);
    for (const bit of [1, 2, 4, 8, 0x20, 0x40, 0x80]) {
      for (const command of [read(), write(), { ...read(), cdb: cdb12(0xa8, 0, 1) }]) {
        expect(taken(spoilt(command, 1, bit))).toBe(false);
      }
      expect(taken(spoilt({ cdb: cdb16(0x88, 0, 1), in: [512] }, 1, bit))).toBe(false);
      const six = { cdb: cdb6(0x08, 0, 1), in: [512] };
      expect(taken(spoilt(six, 1, bit), big)).toBe(bit < 0x20);
    }
    const odd: [number[], number[]][] = [
      [cdb6(0x08, 0, 1), [5]],
      [cdb10(0x28, 0, 1), [6, 9]],
      [cdb12(0xa8, 0, 1), [10, 11]],
      [cdb16(0x88, 0, 1), [14, 15]],
    ];
    for (const [cdb, places] of odd) {
      expect(taken({ cdb, in: [512] })).toBe(true);
      for (const at of places) expect(taken(spoilt({ cdb, in: [512] }, at, 4))).toBe(false);
    }
  });

  it('rows end before another unit or direction, and begin behind it', () => {
    const other = LUN + 0x0100_0000;
    const list = [read(), read(), write(), read(0, 1, { lun: other }), write(9)];
    const bench = make(list);
    expect([0, 1, 2, 3, 4].map((from) => bench.collect(from) & 0xffff)).toEqual([2, 1, 1, 0, 1]);
    expect(bench.collect(3, 2, other)).toBe(1);
    expect([bench.collect(5), bench.collect(0, 1)]).toEqual([0, 1]);
    expect(taken(read(0, 1, { lun: 0x8540_0301 }), {}, 0x8540_0301)).toBe(true);
  });

  it('BL-6 as many rows as the table has, and whether one begins where another ends', () => {
    const bench = make(Array.from({ length: 40 }, () => read()));
    expect([bench.collect(), bench.collect(8), bench.collect(9)]).toEqual([32, 32, 31]);
    const near = (...lbas: number[]) =>
      (make(lbas.map((lba) => read(lba, 2))).collect() & PLAIN_NEIGHBOURS) !== 0;
    expect([near(4, 6), near(6, 4), near(4, 7), near(4, 5), near(4)]).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it('SD-1 only within the disk, in logical blocks', () => {
    expect([taken(read(998, 2)), taken(read(999, 2)), taken(read(2 ** 32 - 1))]).toEqual([
      true,
      false,
      false,
    ]);
    expect(taken(read(0, 2), { capacity: 1 })).toBe(false);
    const far = (hi: number) => ({ cdb: cdb16(0x88, hi, 1), in: [512] });
    expect([taken(far(2 ** 32)), taken(far(2 ** 63))]).toEqual([false, false]);
    const last = 2 ** 33;
    expect(taken(far(last - 1), { capacity: last })).toBe(true);
    expect(taken(far(last), { capacity: last })).toBe(false);
    const large = { block: 4096, capacity: 8 * 10 + 7 };
    const command = (lba: number) => ({ cdb: cdb10(0x28, lba, 1), in: [4096] });
    expect([taken(command(9), large), taken(command(10), large)]).toEqual([true, false]);
    const bench = make([command(9)], large);
    bench.collect();
    expect(bench.column(PLAIN_OFFSETS)[0]).toBe(9 * 4096);
    expect(taken(read(), large)).toBe(false);
  });

  it('SC-13 only as many bytes of data as the command moves', () => {
    expect(taken(read(0, 1, { in: [513] }))).toBe(false);
    expect(taken(read(0, 2, { in: [1023] }))).toBe(false);
    expect(taken(read(0, 1, { in: [] }))).toBe(false);
    expect(taken(write(0, 1, { out: [511] }))).toBe(false);
    expect(taken(write(0, 1, { out: [513] }))).toBe(false);
    expect(taken({ cdb: cdb16(0x88, 0, 2 ** 23 + 1), in: [512] }, { capacity: 2 ** 40 })).toBe(
      false,
    );
  });

  it('SC-12 no data for the other direction', () => {
    expect(taken(read(0, 1, { out: [512] }))).toBe(false);
    expect(taken(write(0, 1, { in: [512] }))).toBe(false);
    expect(taken(read(0, 1, { in: [], out: [512] }))).toBe(false);
  });

  it('only data that are a segment of their own', () => {
    expect(taken(read(0, 1, { in: [256, 256] }))).toBe(false);
    expect(taken(read(0, 1, { in: [511], more: [0, 1] }))).toBe(false);
    expect(taken(read(0, 1, { in: [], more: [0, 512] }))).toBe(false);
    expect(taken(write(0, 1, { out: [256, 256] }))).toBe(false);
    expect(taken(write(0, 1, { out: [511], more: [1, 0] }))).toBe(false);
    expect(taken(write(0, 1, { out: [], more: [512, 0] }))).toBe(false);
    // A part of the response that is as long as the data is not taken for them.
    const long = { sense: 88 + 512 };
    expect(taken(read(0, 1, { response: [100, 512] }), long)).toBe(false);
    expect(taken(read(0, 1, { response: [612] }), long)).toBe(true);
    expect(taken(write(0, 1, { pieces: 2 }))).toBe(false);
    expect(taken(read(0, 1, { pieces: 13 }))).toBe(true);
    expect(taken(read(0, 1, { pieces: 14 }))).toBe(false);
  });

  it('SD-10 nothing without medium, no writes to a read-only disk', () => {
    expect(taken(read(), { flags: BACKEND_F_READ_ONLY })).toBe(true);
    expect(taken(write(), { flags: BACKEND_F_READ_ONLY })).toBe(false);
    expect(taken(read(), { flags: BACKEND_F_NO_MEDIUM })).toBe(false);
    expect(taken(write(), { flags: BACKEND_F_NO_MEDIUM })).toBe(false);
  });

  it('SC-12 BB-27 rows that succeeded end with GOOD, the others are left alone', () => {
    const bench = make([read(), read(10), read(20, 2), read(30)]);
    const failure = (VIRTIO_SCSI_S_FAILURE << 24) >>> 0;
    expect(bench.collect(1)).toBe(3);
    bench.column(PLAIN_RESULTS).set([512, 512, 512]);
    expect(bench.finish(1, 3, 5)).toBe(2);
    expect([bench.done(5), bench.done(6)]).toEqual([bench.heads[1], bench.heads[3]]);
    expect([0, 1, 2, 3].map((index) => bench.response(index)[2])).toEqual([failure, 0, failure, 0]);
    expect([1, 2, 3].map(bench.written)).toEqual([512, 0, 512]);
    expect(bench.figures()).toEqual([2, 1024, 0, 0]);
    bench.column(PLAIN_RESULTS).set([-5, 0, Number.NEGATIVE_INFINITY]);
    expect([bench.finish(1, 3, 5), bench.figures()]).toEqual([0, [2, 1024, 0, 0]]);
  });

  it('VQ-6 BB-27 of a write nothing but the response was written', () => {
    const bench = make([write(), write(4)]);
    const { machine } = bench.r;
    machine.setWide(bench.lane + LANE_WRITE_BYTES, 2 ** 32 - 512);
    const row = machine.word(bench.r.queue + QUEUE_SCSI) + NUM * SCSI_REQUEST_SIZE;
    machine.setWord(row, 3); // a sense and a residual of earlier
    machine.setWord(row + 4, 7);
    expect(bench.collect()).toBe(2 + PLAIN_WRITE);
    bench.column(PLAIN_RESULTS).set([512, 512]);
    expect(bench.finish(0, 2, 0)).toBe(2);
    expect(bench.response(0)).toEqual([0, 0, 0]);
    expect([bench.written(0), bench.written(1)]).toEqual([0, 0]);
    expect(bench.figures()).toEqual([0, 0, 2, 2 ** 32 + 512]);
  });
}
