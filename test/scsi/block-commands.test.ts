import { describe, expect, it } from 'vitest';
import { OP_FLUSH, OP_READ, OP_WRITE, REQ_FUA } from '#src/block/driver';
import { ScriptDriver } from '../block/script-driver.ts';
import { be, read10, rig, run, verdict, write10 } from './rig.ts';

const BLOCKS = 2048;

/** Reads and writes of `blocks` at `lba`, by their operation code. */
const six = (opcode: number) => (lba: number, blocks: number) => [
  opcode,
  ...be(lba, 3),
  blocks & 0xff,
  0,
];
const ten =
  (opcode: number) =>
  (lba: number, blocks: number, flags = 0) => [
    opcode,
    flags,
    ...be(lba, 4),
    0,
    ...be(blocks, 2),
    0,
  ];
const twelve =
  (opcode: number) =>
  (lba: number, blocks: number, flags = 0) => [
    opcode,
    flags,
    ...be(lba, 4),
    ...be(blocks, 4),
    0,
    0,
  ];
const sixteen =
  (opcode: number) =>
  (lba: number, blocks: number, flags = 0) => [
    opcode,
    flags,
    ...be(lba, 8),
    ...be(blocks, 4),
    0,
    0,
  ];

const READS = [
  ['READ (6)', six(0x08)],
  ['READ (10)', ten(0x28)],
  ['READ (12)', twelve(0xa8)],
  ['READ (16)', sixteen(0x88)],
] as const;
const WRITES = [
  ['WRITE (6)', six(0x0a)],
  ['WRITE (10)', ten(0x2a)],
  ['WRITE (12)', twelve(0xaa)],
  ['WRITE (16)', sixteen(0x8a)],
  ['WRITE AND VERIFY (10)', ten(0x2e)],
  ['WRITE AND VERIFY (12)', twelve(0xae)],
  ['WRITE AND VERIFY (16)', sixteen(0x8e)],
] as const;
const VERIFIES = [
  ['VERIFY (10)', ten(0x2f)],
  ['VERIFY (12)', twelve(0xaf)],
  ['VERIFY (16)', sixteen(0x8f)],
] as const;

describe('SD-1 reads and writes', () => {
  it.each(WRITES)('SD-1 %s writes what READ (10) reads back', async (_name, cdb) => {
    const r = await rig('hd');
    const out = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
    expect(run(r, cdb(5, 2), { out })).toMatchObject({ status: 0, residual: 0, moved: 1024 });
    const { buffers } = run(r, read10(5, 2), { in: 1024 });
    expect(buffers.in).toEqual(out);
    expect(run(r, read10(4, 1), { in: 512 }).buffers.in.every((byte) => byte === 0)).toBe(true);
    expect(run(r, read10(7, 1), { in: 512 }).buffers.in.every((byte) => byte === 0)).toBe(true);
  });

  it.each(READS)('SD-1 %s reads what WRITE (10) has written', async (_name, cdb) => {
    const r = await rig('hd');
    const out = Uint8Array.from({ length: 512 }, (_, i) => i * 3);
    run(r, write10(9, 1), { out });
    const { buffers, residual } = run(r, cdb(9, 1), { in: 512 });
    expect(buffers.in).toEqual(out);
    expect(residual).toBe(0);
  });

  it.each([
    ['READ (6)', six(0x08), { in: 256 * 512 }],
    ['WRITE (6)', six(0x0a), { out: new Uint8Array(256 * 512) }],
  ] as const)('SD-1 %s of length 0 is 256 blocks', async (_name, cdb, data) => {
    const r = await rig('hd');
    expect(run(r, cdb(0, 0), data)).toMatchObject({ status: 0, moved: 256 * 512, residual: 0 });
  });

  it.each([...READS, ...WRITES])(
    'SD-1 %s ends at the last block, or is 21/00',
    async (_name, cdb) => {
      const r = await rig('hd');
      const isRead = READS.some(([name]) => name === _name);
      const data = (blocks: number) =>
        isRead ? { in: blocks * 512 } : { out: new Uint8Array(blocks * 512) };
      expect(verdict(run(r, cdb(BLOCKS - 2, 2), data(2)))).toBe('GOOD');
      expect(verdict(run(r, cdb(BLOCKS - 1, 2), data(2)))).toBe('5/21/00');
      expect(verdict(run(r, cdb(BLOCKS, 1), data(1)))).toBe('5/21/00');
    },
  );

  it.each([
    ['READ (10)', ten(0x28)],
    ['WRITE (12)', twelve(0xaa)],
    ['READ (16)', sixteen(0x88)],
  ] as const)('SD-1 %s of no blocks may begin at the end, not behind it', async (_n, cdb) => {
    const r = await rig('hd');
    expect(verdict(run(r, cdb(BLOCKS, 0)))).toBe('GOOD');
    expect(verdict(run(r, cdb(BLOCKS + 1, 0)))).toBe('5/21/00');
  });

  it('SD-1 an address near 2^64 does not wrap', async () => {
    const r = await rig('hd');
    const cdb = [0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1, 0, 0];
    expect(verdict(run(r, cdb, { in: 512 }))).toBe('5/21/00');
    const wide = [0x88, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]; // 2^32
    expect(verdict(run(r, wide, { in: 512 }))).toBe('5/21/00');
  });

  it.each([
    ['0x20', 0x20],
    ['0x40', 0x40],
    ['0x80', 0x80],
  ])('SD-1 protection %s is 24/00', async (_name, bit) => {
    const r = await rig('hd');
    expect(verdict(run(r, read10(0, 1, bit), { in: 512 }))).toBe('5/24/00');
    expect(verdict(run(r, write10(0, 1, bit), { out: new Uint8Array(512) }))).toBe('5/24/00');
    expect(verdict(run(r, read10(0, 1, 0x10), { in: 512 }))).toBe('GOOD'); // DPO is a hint
  });

  it.each(WRITES)('SD-1 %s to a write-protected disk is 27/00', async (_name, cdb) => {
    const r = await rig('hd', { backend: { readOnly: true } });
    expect(verdict(run(r, cdb(0, 1), { out: new Uint8Array(512) }))).toBe('7/27/00');
    expect(r.backend.stats().write.operations).toBe(0);
  });

  it('SD-1 FUA: a read flushes first, a write asks the disk for it', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    const ops = () => driver.asked.splice(0).map(({ op, flags }) => [op, flags]);
    run(r, write10(0, 1, 0x08), { out: new Uint8Array(512) });
    expect(ops()).toEqual([[OP_WRITE, REQ_FUA]]);
    run(r, write10(0, 1), { out: new Uint8Array(512) });
    expect(ops()).toEqual([[OP_WRITE, 0]]);
    run(r, read10(0, 1, 0x08), { in: 512 });
    expect(ops()).toEqual([
      [OP_FLUSH, 0],
      [OP_READ, 0],
    ]);
    run(r, read10(0, 1), { in: 512 });
    expect(ops()).toEqual([[OP_READ, 0]]);
    run(r, six(0x08)(0x0800, 1), { in: 512 }); // byte 1 of READ (6) has no FUA
    run(r, ten(0x2e)(0, 1), { out: new Uint8Array(512) });
    expect(driver.asked.map(({ flags }) => flags)).toEqual([REQ_FUA]);
  });

  it('SD-1 blocks of 4096 bytes are counted as such', async () => {
    const r = await rig('hd', { unit: { logical_block_size: 4096 } });
    const out = new Uint8Array(4096).fill(3);
    expect(verdict(run(r, write10(255, 1), { out }))).toBe('GOOD');
    expect(verdict(run(r, read10(256, 1), { in: 4096 }))).toBe('5/21/00');
    const bytes = new Uint8Array(4096);
    await r.backend.io.read(255 * 4096, bytes);
    expect(bytes).toEqual(out);
  });
});

describe('SD-4 SD-7 SD-10 commands without data', () => {
  it.each([
    ['(10)', [0x35]],
    ['(16)', [0x91]],
  ])('SD-4 SYNCHRONIZE CACHE %s flushes the whole disk', async (_name, cdb) => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    run(r, write10(0, 1), { out: new Uint8Array(512) });
    expect(verdict(run(r, cdb))).toBe('GOOD');
    expect(driver.asked.map(({ op }) => op)).toEqual([OP_WRITE, OP_FLUSH]);
  });

  it.each(VERIFIES)('SD-7 %s compares nothing, and no data', async (_name, cdb) => {
    const r = await rig('hd');
    expect(verdict(run(r, cdb(0, 1)))).toBe('GOOD');
    for (const bytchk of [2, 4, 6]) expect(verdict(run(r, cdb(0, 1, bytchk)))).toBe('5/24/00');
    expect(verdict(run(r, cdb(BLOCKS - 1, 1)))).toBe('GOOD');
    expect(verdict(run(r, cdb(BLOCKS, 1)))).toBe('5/21/00');
  });

  it('SD-10 SEEK (10) to the last block, and not behind it', async () => {
    const r = await rig('hd');
    expect(verdict(run(r, [0x2b, 0, ...be(BLOCKS - 1, 4), 0, 0, 0, 0]))).toBe('GOOD');
    expect(verdict(run(r, [0x2b, 0, ...be(BLOCKS, 4), 0, 0, 0, 0]))).toBe('5/21/00');
  });
});
