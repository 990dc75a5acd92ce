import { describe, expect, it } from 'vitest';
import { LUN_HIDDEN, LUN_LEAVING, LUN_REALIZED } from '#src/layout';
import { ATTENTION_REPORTED_LUNS_CHANGED } from '#src/scsi/codes';
import { setBusAttention } from '#src/scsi/lun-words';
import { type Bus, be, openBus, plug, submitTo, verdict } from './rig.ts';

const INQUIRY = [0x12, 0, 0, 0, 36, 0];
const luns = (length: number, select = 0) => [0xa0, 0, select, 0, 0, 0, ...be(length, 4), 0, 0];

function ask(bus: Bus, target: number, lun: number, cdb: number[], bytes = 0) {
  const answer = submitTo(bus.units, target, lun, cdb, { in: bytes });
  expect(answer.answers).toHaveLength(1);
  return { ...answer, ...answer.answers[0]! };
}

describe('SC-8 SC-9 who answers', () => {
  it('SC-8 a LUN that is there, one that is not, a target that is not', async () => {
    const bus = await openBus();
    plug(bus, 'hd', { unit: { 'scsi-id': 3, lun: 2 } });
    expect(verdict(ask(bus, 3, 2, [0]))).toBe('GOOD');
    expect(verdict(ask(bus, 3, 1, [0]))).toBe('5/25/00');
    expect(verdict(ask(bus, 2, 2, [0]))).toBe('bad-target');
    expect(ask(bus, 2, 2, INQUIRY, 36).buffers.untouched(0)).toBe(true);
    expect(verdict(ask(bus, 3, 20_000, [0]))).toBe('5/25/00');
  });

  it('SC-8 INQUIRY of an absent LUN: qualifier 3; of LUN 0 that the target has others', async () => {
    const bus = await openBus();
    plug(bus, 'hd', { unit: { 'scsi-id': 3, lun: 2 } });
    const other = ask(bus, 3, 1, INQUIRY, 36).buffers.in;
    expect([other[0], other[2], other[4]]).toEqual([0x7f, 0, 31]);
    const zero = ask(bus, 3, 0, INQUIRY, 36).buffers.in;
    expect([...zero.subarray(0, 8)]).toEqual([0x3f, 0, 5, 0x12, 31, 0, 0, 0x12]);
    expect(verdict(ask(bus, 3, 0, [0x12, 2, 0, 0, 36, 0], 36))).toBe('5/24/00');
    expect(verdict(ask(bus, 3, 0, [0x12, 0, 1, 0, 36, 0], 36))).toBe('5/24/00');
    expect(verdict(ask(bus, 3, 0, [0x12, 1, 0x83, 0, 36, 0], 36))).toBe('5/24/00');
    const pages = ask(bus, 3, 1, [0x12, 1, 0, 0, 36, 0], 36);
    expect([...pages.buffers.in.subarray(0, pages.moved)]).toEqual([0x7f, 0, 0, 1, 0]);
  });

  it('SC-8 REQUEST SENSE of an absent LUN says that it is none, as data', async () => {
    const bus = await openBus();
    plug(bus, 'hd', { unit: { lun: 2 } });
    const answer = ask(bus, 0, 1, [0x03, 0, 0, 0, 18, 0], 18);
    expect(verdict(answer)).toBe('GOOD');
    const data = answer.buffers.in;
    expect([data[0], data[2], data[12], data[13]]).toEqual([0x70, 5, 0x25, 0]);
  });

  it('SC-8 an absent LUN checks CDB and buffers too', async () => {
    const bus = await openBus();
    plug(bus, 'hd', { unit: { lun: 2 } });
    expect(verdict(ask(bus, 0, 1, [0x7f]))).toBe('5/20/00');
    expect(verdict(ask(bus, 0, 1, INQUIRY, 35))).toBe('overrun');
    const both = submitTo(bus.units, 0, 1, INQUIRY, { in: 36, out: [1] });
    expect(verdict(both.answers[0]!)).toBe('failure');
    expect(verdict(ask(bus, 0, 1, luns(65_537), 65_537))).toBe('5/24/00');
  });

  it('SC-9 a unit that is not realized, or leaves, is not there; its address is taken', async () => {
    const bus = await openBus();
    const { words, config, lane } = plug(bus, 'hd', { unit: { lun: 1 } });
    plug(bus, 'hd', { unit: { lun: 4 } });
    for (const state of [LUN_HIDDEN, LUN_LEAVING]) {
      words.state = state;
      expect(verdict(ask(bus, 0, 1, [0]))).toBe('5/25/00');
      expect([...ask(bus, 0, 4, luns(64), 64).buffers.in.subarray(0, 4)]).toEqual([0, 0, 0, 16]);
      expect(() => bus.units.plug(config, lane)).toThrow('LUN 1 of target 0 is taken');
    }
    words.state = LUN_REALIZED;
    expect(verdict(ask(bus, 0, 1, [0]))).toBe('GOOD');
  });

  it('SC-9 a target whose only unit is hidden is none', async () => {
    const bus = await openBus();
    const { words } = plug(bus, 'hd');
    words.state = LUN_HIDDEN;
    expect(verdict(ask(bus, 0, 0, INQUIRY, 36))).toBe('bad-target');
  });

  it('SC-8 an unplugged unit is gone, and its address is free', async () => {
    const bus = await openBus();
    const { config, lane, backend } = plug(bus, 'hd');
    bus.units.unplug(0, 0);
    expect(verdict(ask(bus, 0, 0, [0]))).toBe('bad-target');
    expect(() => bus.units.unplug(0, 0)).toThrow('no LUN 0');
    bus.units.plug(config, lane);
    expect(verdict(ask(bus, 0, 0, [0]))).toBe('GOOD');
    bus.units.unplug(0, 0);
    lane.close();
    await backend.close();
  });
});

describe('SC-10 REPORT LUNS', () => {
  it('SC-10 LUN 0 first, whether it is there or not; then the others in order', async () => {
    const bus = await openBus();
    for (const lun of [300, 255, 256, 1]) plug(bus, 'hd', { unit: { lun } });
    plug(bus, 'hd', { unit: { 'scsi-id': 1, lun: 9 } });
    const { buffers, moved } = ask(bus, 0, 1, luns(256), 256);
    const flat = [
      [0, 0],
      [0, 1],
      [0, 255],
      [0x41, 0],
      [0x41, 44],
    ];
    expect(moved).toBe(48);
    expect([...buffers.in.subarray(0, 48)]).toEqual([
      ...[0, 0, 0, 40, 0, 0, 0, 0],
      ...flat.flatMap((head) => [...head, 0, 0, 0, 0, 0, 0]),
    ]);
    expect(ask(bus, 0, 7, luns(256), 256).buffers.in).toEqual(buffers.in); // absent LUNs say the same
  });

  it.each([
    [16, 16],
    [23, 16],
    [24, 24],
    [31, 24],
  ])(
    'SC-10 an allocation length of %i gives %i bytes; the length field counts all',
    async (length, bytes) => {
      const bus = await openBus();
      for (const lun of [0, 1, 2, 3]) plug(bus, 'hd', { unit: { lun } });
      const { buffers, moved } = ask(bus, 0, 0, luns(length), 64);
      expect(moved).toBe(bytes);
      expect([...buffers.in.subarray(0, 4)]).toEqual([0, 0, 0, 32]);
      expect(buffers.untouched(bytes)).toBe(true);
    },
  );

  it.each([
    ['15 bytes', luns(15), '5/24/00'],
    ['16 bytes', luns(16), 'GOOD'],
    ['SELECT REPORT 2', luns(16, 2), 'GOOD'],
    ['SELECT REPORT 3', luns(16, 3), '5/24/00'],
  ])('SC-10 %s', async (_name, cdb, expected) => {
    const bus = await openBus();
    plug(bus, 'hd');
    expect(verdict(ask(bus, 0, 0, cdb, 64))).toBe(expected);
    expect(verdict(ask(bus, 0, 1, cdb, 64))).toBe(expected);
  });

  it.each([
    ['that is there', 0],
    ['that is absent', 1],
  ])('SC-10 of a LUN %s clears REPORTED LUNS CHANGED of bus and unit', async (_name, lun) => {
    const bus = await openBus();
    const { words } = plug(bus, 'hd');
    const change = () => {
      words.setAttention(ATTENTION_REPORTED_LUNS_CHANGED);
      setBusAttention(bus.core, bus.bus, ATTENTION_REPORTED_LUNS_CHANGED);
    };
    change();
    expect(verdict(ask(bus, 0, lun, luns(16), 16))).toBe('GOOD');
    expect(words.hasAttention).toBe(false);
    change();
    expect(verdict(ask(bus, 0, lun, luns(15), 16))).toBe('5/24/00');
    expect(words.hasAttention).toBe(true);
  });
});
