import { describe, expect, it } from 'vitest';
import { OP_FLUSH, OP_WRITE, REQ_FUA } from '#src/block/driver';
import { ScriptDriver } from '../block/script-driver.ts';
import { be, type Rig, read10, rig, run, verdict, write10 } from './rig.ts';

const sense6 = (page: number, options = { dbd: 0x08, length: 255, sub: 0 }) => [
  0x1a,
  options.dbd,
  page,
  options.sub,
  options.length,
  0,
];
const sense10 = (page: number, dbd = 0x08) => [0x5a, dbd, page, 0, 0, 0, 0, ...be(512, 2), 0];
const select6 = (length: number, flags = 0x10) => [0x15, flags, 0, 0, length, 0];
const select10 = (length: number) => [0x55, 0x10, 0, 0, 0, 0, 0, ...be(length, 2), 0];
const caching = (wce: boolean) => [0x08, 0x12, wce ? 4 : 0, ...new Array(17).fill(0)];

/** The pages of an answer to MODE SENSE (6) without descriptors. */
function pagesOf(r: Rig, page: number): number[] {
  const { buffers, moved } = run(r, sense6(page), { in: 255 });
  expect(buffers.in[0]).toBe(moved - 1);
  expect(buffers.untouched(moved)).toBe(true);
  return [...buffers.in.subarray(4, moved)];
}

function select(r: Rig, list: number[], flags = 0x10): string {
  return verdict(run(r, select6(list.length, flags), { out: list }));
}

describe('SD-8 MODE SENSE', () => {
  it.each([
    ['hd', 'write', {}, 0x10],
    ['hd', 'read-only', { readOnly: true }, 0x90],
    ['cd', 'read-only', {}, 0x00],
  ] as const)('SD-8 header of %s, %s, in both forms', async (type, _name, backend, parameter) => {
    const r = await rig(type, { backend });
    const six = run(r, sense6(0x08), { in: 255 });
    expect([...six.buffers.in.subarray(0, 4)]).toEqual([23, 0, parameter, 0]);
    const ten = run(r, sense10(0x08), { in: 512 });
    expect([...ten.buffers.in.subarray(0, 8)]).toEqual([0, 26, 0, parameter, 0, 0, 0, 0]);
  });

  it('SD-8 the block descriptor, unless DBD says no, the unit is a CD, or has no blocks', async () => {
    const r = await rig('hd');
    const options = { dbd: 0, length: 255, sub: 0 };
    const six = run(r, sense6(0x08, options), { in: 255 }).buffers.in;
    expect([...six.subarray(0, 12)]).toEqual([31, 0, 0x10, 8, 0, ...be(2048, 3), 0, ...be(512, 3)]);
    const ten = run(r, sense10(0x08, 0), { in: 512 }).buffers.in;
    expect([...ten.subarray(0, 16)]).toEqual([
      ...[0, 34, 0, 0x10, 0, 0, 0, 8],
      ...[0, ...be(2048, 3), 0, ...be(512, 3)],
    ]);
    const cd = run(await rig('cd'), sense6(0x08, options), { in: 255 }).buffers.in;
    expect(cd[3]).toBe(0);
    const none = await rig('hd', { driver: new ScriptDriver('inline', undefined, 0) });
    expect(run(none, sense6(0x08, options), { in: 255 }).buffers.in[3]).toBe(0);
  });

  it.each([
    ['2^24 blocks', 2 ** 24, 0],
    ['2^24 blocks but one', 2 ** 24 - 1, 2 ** 24 - 1],
  ])('SD-8 a descriptor of %s', async (_name, blocks, told) => {
    const r = await rig('hd', { driver: new ScriptDriver('inline', undefined, blocks * 512) });
    const { buffers } = run(r, sense6(0x08, { dbd: 0, length: 255, sub: 0 }), { in: 255 });
    expect([...buffers.in.subarray(5, 8)]).toEqual(be(told, 3));
  });

  it('SD-8 caching: WCE as it is, and changeable', async () => {
    const r = await rig('hd');
    expect(pagesOf(r, 0x08)).toEqual(caching(true));
    expect(pagesOf(r, 0x48)).toEqual(caching(true));
    r.backend.writeCache = false;
    expect(pagesOf(r, 0x08)).toEqual(caching(false));
    expect(pagesOf(r, 0x48)).toEqual(caching(true));
  });

  it('SD-8 geometry of 1 MiB: pages 04 and 05', async () => {
    const r = await rig('hd');
    const rigid = pagesOf(r, 0x04);
    expect(rigid.slice(0, 2)).toEqual([0x04, 0x16]);
    expect(rigid.slice(2, 6)).toEqual([0, 0, 2, 16]);
    expect(rigid.slice(20, 22)).toEqual([0x15, 0x18]);
    const flexible = pagesOf(r, 0x05);
    expect(flexible.slice(0, 10)).toEqual([0x05, 0x1e, 0x13, 0x88, 16, 63, 2, 0, 0, 2]);
    expect(pagesOf(r, 0x44).slice(2)).toEqual(new Array(0x16).fill(0));
  });

  it('SD-8 error recovery and, of a CD, capabilities with its lock', async () => {
    const hd = await rig('hd');
    expect(pagesOf(hd, 0x01)).toEqual([0x01, 10, 0x80, 0, ...new Array(8).fill(0)]);
    const cd = await rig('cd');
    expect(pagesOf(cd, 0x01)).toEqual([0x01, 10, 0x80, 0x20, ...new Array(8).fill(0)]);
    expect(pagesOf(cd, 0x2a).slice(0, 8)).toEqual([0x2a, 0x14, 0x3b, 0, 0x7f, 0xff, 0x2d, 0]);
    run(cd, [0x1e, 0, 0, 0, 1]);
    expect(pagesOf(cd, 0x2a)[6]).toBe(0x2f);
  });

  it.each([
    ['hd', [0x01, 0x04, 0x05, 0x08]],
    ['cd', [0x01, 0x08, 0x0e, 0x2a]],
  ] as const)('SD-8 page 3F of %s is all of them', async (type, codes) => {
    const r = await rig(type);
    expect(pagesOf(r, 0x3f)).toEqual(codes.flatMap((code) => pagesOf(r, code)));
    const all = run(r, sense6(0x3f, { dbd: 8, length: 255, sub: 0xff }), { in: 255 });
    expect(verdict(all)).toBe('GOOD');
  });

  it.each([
    ['a page that is not there', sense6(0x0a), '5/24/00'],
    ['a page of CDs', sense6(0x2a), '5/24/00'],
    ['a subpage', sense6(0x08, { dbd: 8, length: 255, sub: 1 }), '5/24/00'],
    ['saved values', sense6(0xc8), '5/39/00'],
    ['saved values of a page that is not there', sense6(0xca), '5/39/00'],
    ['default values', sense6(0x88), 'GOOD'],
  ])('SD-8 %s', async (_name, cdb, expected) => {
    expect(verdict(run(await rig('hd'), cdb, { in: 255 }))).toBe(expected);
  });

  it('SD-8 a short allocation length cuts, the length field does not', async () => {
    const r = await rig('hd');
    const { buffers, moved } = run(r, sense6(0x08, { dbd: 8, length: 6, sub: 0 }), { in: 64 });
    expect([moved, buffers.in[0]]).toEqual([6, 23]);
    expect(buffers.untouched(6)).toBe(true);
  });
});

describe('SD-9 MODE SELECT', () => {
  it('SD-9 switches the write cache off, flushes, and on again', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    const ops = () => driver.asked.splice(0).map(({ op, flags }) => [op, flags]);
    run(r, write10(0, 1), { out: new Uint8Array(512) });
    expect(select(r, [0, 0, 0, 0, ...caching(false)])).toBe('GOOD');
    expect(r.backend.writeCache).toBe(false);
    run(r, write10(0, 1), { out: new Uint8Array(512) });
    expect(ops()).toEqual([
      [OP_WRITE, 0],
      [OP_FLUSH, 0],
      [OP_WRITE, REQ_FUA],
    ]);
    expect(select(r, [0, 0, 0, 0, ...caching(true)])).toBe('GOOD');
    expect(r.backend.writeCache).toBe(true);
    expect(ops()).toEqual([]);
  });

  it('SD-9 MODE SELECT (10), and a page with a long header', async () => {
    const r = await rig('hd');
    const long = [0x48, 0, 0, 0x12, ...caching(false).slice(2)];
    const list = [...new Array(8).fill(0), ...long];
    expect(verdict(run(r, select10(list.length), { out: list }))).toBe('GOOD');
    expect(r.backend.writeCache).toBe(false);
  });

  it.each([
    ['PF = 0', 0x00, '5/24/00'],
    ['SP = 1', 0x11, '5/24/00'],
  ])('SD-9 %s is refused', async (_name, flags, expected) => {
    const r = await rig('hd');
    expect(select(r, [0, 0, 0, 0, ...caching(false)], flags)).toBe(expected);
    expect(r.backend.writeCache).toBe(true);
  });

  it.each([
    ['no list at all', [], 'GOOD'],
    ['a header only', [0, 0, 0, 0], 'GOOD'],
    ['less than a header', [0, 0, 0], '5/1a/00'],
    ['a descriptor of 7 bytes', [0, 0, 0, 7, ...new Array(8).fill(0)], '5/26/00'],
    ['a descriptor that is cut off', [0, 0, 0, 8, ...new Array(7).fill(0)], '5/1a/00'],
    ['a descriptor alone', [0, 0, 0, 8, ...new Array(8).fill(0)], 'GOOD'],
    ['half a page header', [0, 0, 0, 0, 0x08], '5/1a/00'],
    ['half a long page header', [0, 0, 0, 0, 0x48, 0, 0], '5/1a/00'],
    ['a page that is cut off', [0, 0, 0, 0, ...caching(false).slice(0, 19)], '5/1a/00'],
    ['a page that is too short', [0, 0, 0, 0, 0x08, 0x11, ...new Array(17).fill(0)], '5/26/00'],
    ['a page that is too long', [0, 0, 0, 0, 0x08, 0x13, ...new Array(19).fill(0)], '5/26/00'],
    ['a page that is not there', [0, 0, 0, 0, 0x0a, 0x0a, ...new Array(10).fill(0)], '5/26/00'],
    ['a subpage', [0, 0, 0, 0, 0x48, 1, 0, 0], '5/26/00'],
    [
      'a bit that does not change',
      [0, 0, 0, 0, 0x08, 0x12, 1, ...new Array(17).fill(0)],
      '5/26/00',
    ],
  ])('SD-9 %s', async (_name, list, expected) => {
    expect(select(await rig('hd'), list)).toBe(expected);
  });

  it('SD-9 nothing changes if anything is wrong, the block size neither', async () => {
    const r = await rig('hd');
    const descriptor = [0, 0, 0, 0, 0, ...be(1024, 3)];
    const list = [0, 0, 0, 8, ...descriptor, ...caching(false), 0x0a, 0];
    expect(select(r, list)).toBe('5/26/00');
    expect(r.backend.writeCache).toBe(true);
    expect(r.words.blockSize).toBe(512);
  });

  it.each([
    ['512', 512, 'GOOD'],
    ['1024', 1024, 'GOOD'],
    ['1536', 1536, 'GOOD'],
    ['65024', 0xfe00, 'GOOD'],
    ['65536', 0x10000, '5/26/00'],
    ['520', 520, '5/26/00'],
    ['256', 256, '5/26/00'],
  ])('SD-9 a block size of %s', async (_name, size, expected) => {
    const r = await rig('hd');
    expect(select(r, [0, 0, 0, 8, 0, 0, 0, 0, 0, ...be(size, 3)])).toBe(expected);
    if (expected !== 'GOOD') return;
    const capacity = run(r, [0x25], { in: 8 }).buffers.in;
    const blocks = Math.floor((1024 * 1024) / size);
    expect([...capacity]).toEqual([...be(blocks - 1, 4), ...be(size, 4)]);
    expect(verdict(run(r, read10(blocks - 1, 1), { in: size }))).toBe('GOOD');
  });
});
