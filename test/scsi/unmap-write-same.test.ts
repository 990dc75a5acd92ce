import { describe, expect, it } from 'vitest';
import { OP_DISCARD, OP_WRITE, OP_WRITE_ZEROES, REQ_MAY_UNMAP } from '#src/block/driver';
import { ScriptDriver } from '../block/script-driver.ts';
import { be, read10, rig, run, verdict } from './rig.ts';

const BLOCKS = 128; // of a ScriptDriver
const cdb = (length: number, flags = 0) => [0x42, flags, 0, 0, 0, 0, 0, ...be(length, 2), 0];
const range = (lba: number, blocks: number) => [...be(lba, 8), ...be(blocks, 4), 0, 0, 0, 0];
const list = (...ranges: number[][]) => {
  const bytes = ranges.flat();
  return [...be(bytes.length + 6, 2), ...be(bytes.length, 2), 0, 0, 0, 0, ...bytes];
};

describe('SD-5 UNMAP', () => {
  it('SD-5 discards range after range, in order', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    const out = list(range(8, 4), range(0, 1), range(BLOCKS - 1, 1));
    expect(verdict(run(r, cdb(out.length), { out }))).toBe('GOOD');
    expect(driver.asked.map(({ op, offset, length }) => [op, offset, length])).toEqual([
      [OP_DISCARD, 4096, 2048],
      [OP_DISCARD, 0, 512],
      [OP_DISCARD, (BLOCKS - 1) * 512, 512],
    ]);
  });

  it.each([
    ['ANCHOR', 1, list(range(0, 1)), '5/24/00'],
    ['no list', 0, [], 'GOOD'],
    ['a list without ranges', 0, list(), 'GOOD'],
    ['7 bytes', 0, list().slice(0, 7), '5/1a/00'],
    ['a data length beyond the list', 0, [0, 7, 0, 0, 0, 0, 0, 0], '5/1a/00'],
    ['ranges beyond the list', 0, [0, 6, 0, 16, 0, 0, 0, 0], '5/1a/00'],
    ['a range and a half', 0, [0, 30, 0, 24, 0, 0, 0, 0, ...new Array(24).fill(0)], '5/1a/00'],
    ['the last block', 0, list(range(BLOCKS - 1, 1)), 'GOOD'],
    ['one block too many', 0, list(range(BLOCKS - 1, 2)), '5/21/00'],
    ['a range that wraps', 0, list([...new Array(12).fill(255), 0, 0, 0, 0]), '5/21/00'],
    ['no blocks at the end', 0, list(range(BLOCKS, 0)), 'GOOD'],
    ['no blocks behind the end', 0, list(range(BLOCKS + 1, 0)), '5/21/00'],
  ])('SD-5 %s', async (_name, flags, out, expected) => {
    const r = await rig('hd', { driver: new ScriptDriver('inline') });
    expect(verdict(run(r, cdb(out.length, flags), { out }))).toBe(expected);
  });

  it('SD-5 what stands before a wrong range is done', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    const out = list(range(0, 1), range(BLOCKS, 1), range(1, 1));
    expect(verdict(run(r, cdb(out.length), { out }))).toBe('5/21/00');
    expect(driver.asked.map(({ offset }) => offset)).toEqual([0]);
  });

  it('SD-5 of a write-protected disk is 27/00, a wrong list 1A/00 all the same', async () => {
    const r = await rig('hd', { backend: { readOnly: true } });
    const out = list(range(0, 1));
    expect(verdict(run(r, cdb(out.length), { out }))).toBe('7/27/00');
    expect(verdict(run(r, cdb(7), { out: out.slice(0, 7) }))).toBe('5/1a/00');
  });

  it('SD-5 thousands of ranges take turns with others, and all are done', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    const out = list(...Array.from({ length: 4094 }, (_, i) => range(i % BLOCKS, 1)));
    expect(verdict(run(r, cdb(out.length), { out }))).toBe('GOOD');
    expect(driver.asked.length).toBe(4094);
  });
});

describe('SD-6 WRITE SAME', () => {
  const ten = (lba: number, blocks: number, flags = 0) => [
    ...[0x41, flags, ...be(lba, 4), 0, ...be(blocks, 2), 0],
  ];
  const sixteen = (lba: number, blocks: number, flags = 0) => [
    ...[0x93, flags, ...be(lba, 8), ...be(blocks, 4), 0, 0],
  ];
  const FORMS = [
    ['(10)', ten],
    ['(16)', sixteen],
  ] as const;
  const block = Uint8Array.from({ length: 512 }, (_, i) => i + 1);

  it.each(FORMS)('SD-6 %s writes the block to each place and to no other', async (_name, same) => {
    const r = await rig('hd');
    const answer = run(r, same(3, 3), { out: block });
    expect([verdict(answer), answer.moved, answer.residual]).toEqual(['GOOD', 512, 0]);
    const { buffers } = run(r, read10(2, 5), { in: 5 * 512 });
    const zero = new Array(512).fill(0);
    expect([...buffers.in]).toEqual([...zero, ...block, ...block, ...block, ...zero]);
  });

  it('SD-6 goes in chunks of 512 KiB', async () => {
    const driver = new ScriptDriver('inline', undefined, 2 * 1024 * 1024);
    const r = await rig('hd', { driver });
    expect(verdict(run(r, sixteen(0, 1025), { out: block }))).toBe('GOOD');
    expect(driver.asked.map(({ op, offset, length }) => [op, offset, length])).toEqual([
      [OP_WRITE, 0, 524_288],
      [OP_WRITE, 524_288, 512],
    ]);
  });

  it.each(FORMS)('SD-6 %s of zeroes, and with UNMAP', async (_name, same) => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    const out = new Uint8Array(512);
    run(r, same(1, 2), { out });
    run(r, same(1, 2, 8), { out });
    expect(
      driver.asked.map(({ op, flags, offset, length }) => [op, flags, offset, length]),
    ).toEqual([
      [OP_WRITE_ZEROES, 0, 512, 1024],
      [OP_WRITE_ZEROES, REQ_MAY_UNMAP, 512, 1024],
    ]);
  });

  it('SD-6 NDOB needs no data, in the 16-byte form alone', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    expect(verdict(run(r, sixteen(0, 1, 1)))).toBe('GOOD');
    expect(driver.asked.map(({ op }) => op)).toEqual([OP_WRITE_ZEROES]);
    expect(verdict(run(r, ten(0, 1, 1), { out: block }))).toBe('5/24/00');
    expect(verdict(run(r, sixteen(0, 1, 0)))).toBe('overrun');
  });

  it.each(FORMS)(
    'SD-6 %s refuses no blocks, data options, and what is out of range',
    async (_n, same) => {
      const r = await rig('hd', { driver: new ScriptDriver('inline') });
      const answer = (bytes: number[]) => verdict(run(r, bytes, { out: block }));
      expect(answer(same(0, 0))).toBe('5/24/00');
      for (const flags of [0x02, 0x04, 0x10, 0x20, 0x40, 0x80]) {
        expect([flags, answer(same(0, 1, flags))]).toEqual([flags, '5/24/00']);
      }
      expect(answer(same(BLOCKS - 1, 1))).toBe('GOOD');
      expect(answer(same(BLOCKS - 1, 2))).toBe('5/21/00');
      const fixed = await rig('hd', { backend: { readOnly: true } });
      expect(verdict(run(fixed, same(0, 1), { out: block }))).toBe('7/27/00');
    },
  );
});
