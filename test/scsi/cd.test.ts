import { describe, expect, it } from 'vitest';
import { ScriptDriver } from '../block/script-driver.ts';
import { be, type Rig, rig, run, verdict } from './rig.ts';

const SECTORS = 512; // of 2048 bytes: 1 MiB
const CD_SECTORS_MAX = 360_000;

const toc = (format: number, msf = 0, track = 0) => [0x43, msf, format, 0, 0, 0, track, 0, 255, 0];
const event = (polled = 1, classes = 0x10) => [0x4a, polled, 0, 0, classes, 0, 0, 0, 8, 0];
const dvd = (format: number, layer = 0, media = 0) => [
  ...[0xad, media, 0, 0, 0, 0, layer, format],
  ...be(2052, 2),
  0,
];
const eject = (r: Rig, options = 2) => verdict(run(r, [0x1b, 0, 0, 0, options]));
const disc = (sectors: number) => new ScriptDriver('inline', undefined, sectors * 2048);

/** The bytes of an answer, with nothing touched behind them. */
function data(r: Rig, cdb: number[], bytes = 255): number[] {
  const answer = run(r, cdb, { in: bytes });
  expect(verdict(answer)).toBe('GOOD');
  expect(answer.buffers.untouched(answer.moved)).toBe(true);
  return [...answer.buffers.in.subarray(0, answer.moved)];
}

describe('SD-11 a CD', () => {
  it('SD-11 has blocks of 2048 bytes and takes no writes, whatever its disk takes', async () => {
    const r = await rig('cd');
    expect(data(r, [0x25], 8)).toEqual([...be(SECTORS - 1, 4), ...be(2048, 4)]);
    const bytes = Uint8Array.from({ length: 2048 }, (_, i) => i);
    await r.backend.io.write(5 * 2048, bytes);
    const read = run(r, [0x28, 0, ...be(5, 4), 0, 0, 1, 0], { in: 2048 });
    expect(read.buffers.in).toEqual(bytes);
    const writes = [
      [0x0a, 0, 0, 0, 1],
      [0x2a, 0, 0, 0, 0, 0, 0, 0, 1],
      [0x41, 0, 0, 0, 0, 0, 0, 0, 1],
    ];
    for (const cdb of writes) {
      expect(verdict(run(r, cdb, { out: bytes }))).toBe('7/27/00');
    }
    const unmap = [0x42, 0, 0, 0, 0, 0, 0, 0, 8];
    expect(verdict(run(r, unmap, { out: [0, 6, 0, 0, 0, 0, 0, 0] }))).toBe('7/27/00');
  });

  it('SD-11 READ TOC: one track and the lead-out, as sectors and as minutes', async () => {
    const r = await rig('cd');
    expect(data(r, toc(0))).toEqual([
      ...[0, 18, 1, 1],
      ...[0, 0x14, 1, 0, 0, 0, 0, 0],
      ...[0, 0x16, 0xaa, 0, 0, 0, 2, 0],
    ]);
    expect(data(r, toc(0, 2)).slice(4)).toEqual([
      ...[0, 0x14, 1, 0, 0, 0, 2, 0],
      ...[0, 0x16, 0xaa, 0, 0, 0, 8, 62], // 512 + 150 frames
    ]);
    expect(data(r, toc(0, 0, 1)).length).toBe(20);
    expect(data(r, toc(0, 0, 0xaa))).toEqual([0, 10, 1, 1, 0, 0x16, 0xaa, 0, 0, 0, 2, 0]);
    expect(verdict(run(r, toc(0, 0, 2), { in: 255 }))).toBe('5/24/00');
    expect(verdict(run(r, toc(3), { in: 255 }))).toBe('5/24/00');
  });

  it('SD-11 READ TOC: sessions and the raw form', async () => {
    const r = await rig('cd');
    expect(data(r, toc(1))).toEqual([0, 10, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    const point = (number: number, ...rest: number[]) => [1, 0x14, 0, number, 0, 0, 0, ...rest];
    expect(data(r, toc(2))).toEqual([
      ...[0, 46, 1, 1],
      ...point(0xa0, 0, 1, 0, 0),
      ...point(0xa1, 0, 1, 0, 0),
      ...point(0xa2, 0, 0, 2, 0),
      ...point(1, 0, 0, 0, 0),
    ]);
    expect(data(r, toc(2, 2)).slice(26)).toEqual([
      ...point(0xa2, 0, 0, 8, 62),
      ...point(1, 0, 0, 2, 0),
    ]);
  });

  it.each([
    ['CD', CD_SECTORS_MAX, 0x08, 0, 1],
    ['DVD', CD_SECTORS_MAX + 1, 0x10, 1, 0],
  ])('SD-11 GET CONFIGURATION of a %s', async (_name, sectors, profile, isDvd, isCd) => {
    const r = await rig('cd', { driver: disc(sectors) });
    expect(data(r, [0x46, 0, 0, 0, 0, 0, 0, 0, 255])).toEqual([
      ...[0, 0, 0, 36, 0, 0, 0, profile],
      ...[0, 0, 3, 8, 0, 0x10, isDvd, 0, 0, 0x08, isCd, 0],
      ...[0, 1, 0x0b, 8, 0, 0, 0, 1, 1, 0, 0, 0],
      ...[0, 3, 0x0b, 4, 0x39, 0, 0, 0],
    ]);
  });

  it('SD-11 GET CONFIGURATION of an empty drive has no profile', async () => {
    const r = await rig('cd', { driver: null });
    const answer = data(r, [0x46, 0, 0, 0, 0, 0, 0, 0, 255]);
    expect([answer[7], answer[14], answer[18]]).toEqual([0, 0, 0]);
  });

  it('SD-11 MECHANISM STATUS, READ DISC INFORMATION', async () => {
    const r = await rig('cd');
    expect(data(r, [0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8])).toEqual([0, 0, 0, 0, 0, 1, 0, 0]);
    const information = data(r, [0x51, 0, 0, 0, 0, 0, 0, 0, 255]);
    expect(information.length).toBe(34);
    expect(information.slice(0, 9)).toEqual([0, 32, 0x0e, 1, 1, 1, 1, 0x20, 0]);
    expect(verdict(run(r, [0x51, 1, 0, 0, 0, 0, 0, 0, 255], { in: 255 }))).toBe('5/24/00');
  });

  it('SD-11 READ DVD STRUCTURE', async () => {
    const r = await rig('cd', { driver: disc(CD_SECTORS_MAX + 1) });
    const physical = data(r, dvd(0), 2052);
    expect(physical.slice(0, 20)).toEqual([
      ...[0x08, 0x02, 0, 0, 1, 0x0f, 1, 0],
      ...[0, 0, 0, 0, ...be(CD_SECTORS_MAX, 4), ...be(CD_SECTORS_MAX, 4)],
    ]);
    expect(data(r, dvd(1), 2052)).toEqual([0, 6, 0, 0, 0, 0, 0, 0]);
    expect(data(r, dvd(4), 2052).length).toBe(2052);
    expect(data(r, dvd(0xff), 2052)).toEqual([
      ...[0, 18, 0, 0],
      ...[0, 0x40, 0x08, 0x04, 1, 0x40, 0, 8, 3, 0x40, 0, 192, 4, 0x40, 0x08, 0x04],
    ]);
    for (const cdb of [dvd(2), dvd(3), dvd(5), dvd(0, 1), dvd(0, 0, 1)]) {
      expect(verdict(run(r, cdb, { in: 2052 }))).toBe('5/24/00');
    }
    expect(verdict(run(await rig('cd'), dvd(0), { in: 2052 }))).toBe('5/30/00');
    const empty = await rig('cd', { driver: null });
    expect(verdict(run(empty, dvd(0), { in: 2052 }))).toBe('2/3a/00');
    expect(data(empty, dvd(0xff), 2052).length).toBe(20);
  });
});

describe('SD-11 tray and medium', () => {
  it.each([
    ['READ (10)', [0x28, 0, 0, 0, 0, 0, 0, 0, 1], 2048],
    ['READ CAPACITY', [0x25], 8],
    ['READ TOC', toc(0), 255],
    ['READ DISC INFORMATION', [0x51, 0, 0, 0, 0, 0, 0, 0, 255], 255],
    ['SYNCHRONIZE CACHE', [0x35], 0],
  ])('SD-1 SD-11 %s without a medium is 3A/00', async (_name, cdb, bytes) => {
    const empty = await rig('cd', { driver: null });
    expect(verdict(run(empty, cdb, { in: bytes }))).toBe('2/3a/00');
    const r = await rig('cd');
    expect(eject(r)).toBe('GOOD');
    expect(verdict(run(r, cdb, { in: bytes }))).toBe('2/3a/00');
    expect(eject(r, 3)).toBe('GOOD');
    expect(verdict(run(r, cdb, { in: bytes }))).toBe('GOOD');
  });

  it('SD-11 a locked tray stays closed; an open one may be closed; power conditions do nothing', async () => {
    const r = await rig('cd');
    run(r, [0x1e, 0, 0, 0, 1]);
    expect(eject(r)).toBe('5/53/02');
    expect(verdict(run(r, [0]))).toBe('GOOD');
    run(r, [0x1e, 0, 0, 0, 0]);
    expect(eject(r, 0x12)).toBe('GOOD');
    expect(verdict(run(r, [0]))).toBe('GOOD');
    expect(eject(r, 0)).toBe('GOOD'); // stop, without eject
    expect(verdict(run(r, [0]))).toBe('GOOD');
    expect(eject(r)).toBe('GOOD');
    run(r, [0x1e, 0, 0, 0, 1]);
    expect(eject(r)).toBe('GOOD'); // it is open already
    expect(eject(r, 3)).toBe('GOOD');
    const empty = await rig('cd', { driver: null });
    run(empty, [0x1e, 0, 0, 0, 1]);
    expect(eject(empty)).toBe('2/53/02');
  });

  it('SD-11 a removable disk ejects as a CD does', async () => {
    const r = await rig('hd', { unit: { removable: true } });
    expect(eject(r)).toBe('GOOD');
    expect(verdict(run(r, [0]))).toBe('2/3a/00');
  });

  it('SD-11 a new medium: no medium first, then medium changed, each told once', async () => {
    const r = await rig('cd', { driver: null });
    await r.backend.insertMedium(disc(100));
    r.words.mediumChanged(true);
    expect(verdict(run(r, [0]))).toBe('6/3a/00');
    expect(verdict(run(r, [0]))).toBe('6/28/00');
    expect(verdict(run(r, [0]))).toBe('GOOD');
    await r.backend.removeMedium();
    r.words.mediumChanged(false);
    expect(verdict(run(r, [0]))).toBe('6/3a/00');
    expect(verdict(run(r, [0]))).toBe('2/3a/00');
  });

  it('SD-11 GET EVENT STATUS NOTIFICATION tells each event once', async () => {
    const r = await rig('cd');
    const media = (code: number, status: number) => [0, 4, 4, 0x10, code, status, 0, 0];
    expect(data(r, event(), 8)).toEqual(media(0, 2));
    r.words.mediumChanged(false);
    expect(data(r, event(), 8)).toEqual(media(3, 3));
    r.words.mediumChanged(true);
    expect(data(r, event(), 8)).toEqual(media(2, 2));
    expect(data(r, event(), 8)).toEqual(media(0, 2));
    r.words.requestEject(false);
    expect(data(r, event(), 8)).toEqual(media(1, 2));
    expect(data(r, event(), 8)).toEqual(media(0, 2));
    expect(data(r, event(1, 0x08), 8)).toEqual([0, 0, 0x80, 0x10]);
    expect(verdict(run(r, event(0), { in: 8 }))).toBe('5/24/00');
  });

  it('SD-11 an eject by force takes the lock away', async () => {
    const r = await rig('cd');
    run(r, [0x1e, 0, 0, 0, 1]);
    r.words.requestEject(false);
    expect(eject(r)).toBe('5/53/02');
    r.words.requestEject(true);
    expect(eject(r)).toBe('GOOD');
  });
});
