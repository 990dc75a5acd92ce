import { describe, expect, it } from 'vitest';
import { HD_COMMANDS } from '#src/scsi/commands';
import { ScriptDriver } from '../block/script-driver.ts';
import { be, rig, run, verdict } from './rig.ts';

describe('SD-2 TEST UNIT READY, REQUEST SENSE', () => {
  it('SD-2 TEST UNIT READY of a disk, of an empty drive, of an open tray', async () => {
    expect(verdict(run(await rig('hd'), [0]))).toBe('GOOD');
    expect(verdict(run(await rig('cd', { driver: null }), [0]))).toBe('2/3a/00');
    const r = await rig('cd');
    expect(verdict(run(r, [0x1b, 0, 0, 0, 2]))).toBe('GOOD');
    expect(verdict(run(r, [0]))).toBe('2/3a/00');
  });

  it('SD-2 REQUEST SENSE has no sense, in fixed and in descriptor format', async () => {
    const r = await rig('hd');
    const fixed = run(r, [0x03, 0, 0, 0, 252], { in: 252 });
    expect(fixed.moved).toBe(18);
    expect([...fixed.buffers.in.subarray(0, 18)]).toEqual([
      0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    const descriptor = run(r, [0x03, 1, 0, 0, 252], { in: 252 });
    expect(descriptor.moved).toBe(8);
    expect([...descriptor.buffers.in.subarray(0, 8)]).toEqual([0x72, 0, 0, 0, 0, 0, 0, 0]);
  });
});

describe('SD-3 READ CAPACITY', () => {
  const ten = (lba = 0, pmi = 0) => [0x25, 0, ...be(lba, 4), 0, 0, pmi, 0];
  const sixteen = (lba = 0, pmi = 0, length = 32) => [
    ...[0x9e, 0x10, ...be(lba, 8)],
    ...[...be(length, 4), pmi, 0],
  ];

  it('SD-3 last block and block size; physical blocks and provisioning in 16', async () => {
    const r = await rig('hd', { unit: { physical_block_size: 4096 } });
    expect([...run(r, ten(), { in: 8 }).buffers.in]).toEqual([...be(2047, 4), ...be(512, 4)]);
    const { buffers, moved } = run(r, sixteen(), { in: 32 });
    expect(moved).toBe(32);
    expect([...buffers.in.subarray(0, 16)]).toEqual([
      ...be(2047, 8),
      ...be(512, 4),
      ...[0, 3, 0x80, 0],
    ]);
    const thick = await rig('hd', { unit: { discard_granularity: 0 } });
    expect([...run(thick, sixteen(), { in: 32 }).buffers.in.subarray(12, 16)]).toEqual([
      0, 0, 0, 0,
    ]);
  });

  it.each([
    ['2^32 blocks', 2 ** 32, 0xffff_ffff],
    ['2^32 blocks and one', 2 ** 32 + 1, 0xffff_ffff],
    ['2^32 blocks but one', 2 ** 32 - 1, 0xffff_fffe],
  ])('SD-3 (10) of %s is clipped to FFFFFFFF, (16) is not', async (_name, blocks, last) => {
    const driver = new ScriptDriver('inline', undefined, blocks * 512);
    const r = await rig('hd', { driver });
    expect([...run(r, ten(), { in: 8 }).buffers.in.subarray(0, 4)]).toEqual(be(last, 4));
    const { buffers } = run(r, sixteen(), { in: 32 });
    expect([...buffers.in.subarray(0, 8)]).toEqual(be(blocks - 1, 8));
  });

  it.each([
    ['(10)', ten, 8],
    ['(16)', sixteen, 32],
  ])('SD-3 %s with an address needs PMI, and an empty disk is 04/03', async (_name, cdb, bytes) => {
    const r = await rig('hd');
    expect(verdict(run(r, cdb(1, 0), { in: bytes }))).toBe('5/24/00');
    expect(verdict(run(r, cdb(1, 1), { in: bytes }))).toBe('GOOD');
    const empty = await rig('hd', { driver: new ScriptDriver('inline', undefined, 0) });
    expect(verdict(run(empty, cdb(), { in: bytes }))).toBe('2/04/03');
  });

  it('SD-3 sees a new size, and so do reads', async () => {
    const r = await rig('hd');
    await r.backend.resize(2 * 1024 * 1024);
    expect([...run(r, ten(), { in: 8 }).buffers.in.subarray(0, 4)]).toEqual(be(4095, 4));
    expect(verdict(run(r, [0x28, 0, ...be(4095, 4), 0, 0, 1, 0], { in: 512 }))).toBe('GOOD');
  });

  it('SD-3 another service action is 24/00', async () => {
    const r = await rig('hd');
    expect(verdict(run(r, [0x9e, 0x12, ...be(0, 8), ...be(32, 4)], { in: 32 }))).toBe('5/24/00');
  });
});

describe('SD-10 commands that do little', () => {
  it.each([
    ['RESERVE (6)', [0x16]],
    ['RELEASE (6)', [0x17]],
    ['RESERVE (10)', [0x56]],
    ['RELEASE (10)', [0x57]],
    ['FORMAT UNIT', [0x04]],
    ['ALLOW MEDIUM REMOVAL', [0x1e]],
    ['START', [0x1b, 0, 0, 0, 1]],
    ['STOP', [0x1b, 0, 0, 0, 0]],
  ])('SD-10 %s succeeds and does nothing to a disk', async (_name, cdb) => {
    const r = await rig('hd');
    expect(verdict(run(r, cdb))).toBe('GOOD');
    expect(r.backend.stats().write.operations).toBe(0);
    expect(verdict(run(r, [0]))).toBe('GOOD');
  });

  it.each([
    ['RESERVE (6) of an extent', [0x16, 1]],
    ['RELEASE (6) of an extent', [0x17, 1]],
    ['RESERVE (10) with a long id', [0x56, 2]],
    ['RELEASE (10) of an extent', [0x57, 1]],
  ])('SD-10 %s is 24/00', async (_name, cdb) => {
    expect(verdict(run(await rig('hd'), cdb))).toBe('5/24/00');
  });

  it.each([
    ['hd', 0x10, 4],
    ['hd', 0x30, 8],
    ['cd', 0x10, 12],
  ] as const)(
    'SD-10 FORMAT UNIT of %s with byte 1 %i has a list of %i',
    async (type, flags, bytes) => {
      const r = await rig(type);
      expect(verdict(run(r, [0x04, flags], { out: new Uint8Array(bytes) }))).toBe('GOOD');
      expect(verdict(run(r, [0x04, flags], { out: new Uint8Array(bytes - 1) }))).toBe('overrun');
    },
  );

  it('SD-10 a fixed disk keeps its tray closed', async () => {
    const r = await rig('hd');
    expect(verdict(run(r, [0x1b, 0, 0, 0, 2]))).toBe('GOOD');
    expect(verdict(run(r, [0]))).toBe('GOOD');
  });
});

describe('SD-12 SD-13 SD-15 what is no command', () => {
  it.each([
    ['PERSISTENT RESERVE IN', [0x5e]],
    ['PERSISTENT RESERVE OUT', [0x5f]],
    ['READ TOC of a disk', [0x43]],
    ['group 3', [0x7f]],
    ['group 6', [0xc0]],
    ['group 7', [0xff]],
  ])('SD-12 SD-15 %s is 20/00', async (_name, cdb) => {
    expect(verdict(run(await rig('hd'), cdb))).toBe('5/20/00');
  });

  it('SD-15 every known command needs all of its CDB', async () => {
    const r = await rig('hd');
    const lengths = [6, 10, 10, 0, 16, 12, 0, 0];
    for (let opcode = 0; opcode < 256; opcode++) {
      if (!HD_COMMANDS[opcode]) continue;
      const needed = lengths[opcode >>> 5]!;
      const short = run(r, [opcode], { cdbBytes: needed - 1 });
      expect([opcode, verdict(short)]).toEqual([opcode, '5/20/00']);
      expect(verdict(run(r, [opcode], { cdbBytes: needed }))).not.toBe('5/20/00');
    }
  });

  it.each([
    ['REPORT LUNS', (length: number) => [0xa0, 0, 0, 0, 0, 0, ...be(length, 4)]],
    ['READ CAPACITY (16)', (length: number) => [0x9e, 0x10, ...be(0, 8), ...be(length, 4)]],
  ])('SD-13 %s takes 65536 bytes of allocation length and not one more', async (_name, cdb) => {
    const r = await rig('hd');
    expect(verdict(run(r, cdb(65_536), { in: 65_537 }))).toBe('GOOD');
    expect(verdict(run(r, cdb(65_537), { in: 65_537 }))).toBe('5/24/00');
  });
});
