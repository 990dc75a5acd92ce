import { describe, expect, it, vi } from 'vitest';
import { LUN_ATTENTION } from '#src/layout';
import {
  ATTENTION_BUS_RESET,
  ATTENTION_CAPACITY_CHANGED,
  ATTENTION_CLEARED_BY_POWER_LOSS,
  ATTENTION_DEVICE_RESET,
  ATTENTION_INTERNAL_RESET,
  ATTENTION_MEDIUM_CHANGED,
  ATTENTION_MICROCODE_CHANGED,
  ATTENTION_NEXUS_LOSS,
  ATTENTION_NO_MEDIUM,
  ATTENTION_POWER_ON,
  ATTENTION_REPORTED_LUNS_CHANGED,
  ATTENTION_RESET,
} from '#src/scsi/codes';
import { attentionPrecedence, setBusAttention } from '#src/scsi/lun-words';
import { ScsiUnits } from '#src/scsi/units';
import { be, read10, rig, run, submit, submitTo, verdict } from './rig.ts';

describe('SC-11 unit attentions', () => {
  it('SC-11 two commands and one attention: exactly one reports it', async () => {
    const r = await rig('hd');
    r.words.setAttention(ATTENTION_CAPACITY_CHANGED);
    const answers = [submit(r, [0]), submit(r, [0])].map(({ answers: [first] }) => verdict(first!));
    expect(answers).toEqual(['6/2a/09', 'GOOD']);
  });

  it('SC-11 two threads and one attention: exactly one reports it', async () => {
    const r = await rig('hd');
    const other = new ScsiUnits(r.core);
    const lane = r.backend.openLane(r.context);
    other.plug(r.config, lane);
    for (const first of [r.units, other]) {
      r.words.setAttention(ATTENTION_RESET);
      const second = first === other ? r.units : other;
      const answers = [first, second].map((units) => submitTo(units, 0, 0, [0]).answers[0]!);
      expect(answers.map(verdict)).toEqual(['6/29/00', 'GOOD']);
    }
  });

  it('SC-11 it is fetched when the command is made, before the command waits', async () => {
    const r = await rig('hd');
    r.backend.drainedBegin();
    r.words.setAttention(ATTENTION_RESET);
    const answer = submit(r, [0x35]);
    expect(answer.answers.map(verdict)).toEqual(['6/29/00']);
    expect(r.words.hasAttention).toBe(false);
    r.backend.drainedEnd();
  });

  it.each([
    ['INQUIRY', [0x12, 0, 0, 0, 36], 36],
    ['REPORT LUNS', [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16], 16],
    ['GET CONFIGURATION', [0x46, 0, 0, 0, 0, 0, 0, 0, 40], 40],
    ['GET EVENT STATUS NOTIFICATION', [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8], 8],
  ])('SC-11 %s neither reports nor clears it', async (_name, cdb, bytes) => {
    const r = await rig('cd');
    r.words.setAttention(ATTENTION_MEDIUM_CHANGED);
    expect(verdict(run(r, cdb, { in: bytes }))).toBe('GOOD');
    expect(verdict(run(r, [0]))).toBe('6/28/00');
  });

  it.each([
    ['a read', read10(0, 1), 512],
    ['MODE SENSE', [0x1a, 0, 0x3f, 0, 255], 255],
    ['a command that there is not', [0x5e], 0],
  ])('SC-11 %s reports it', async (_name, cdb, bytes) => {
    const r = await rig('hd');
    r.words.setAttention(ATTENTION_POWER_ON);
    expect(verdict(run(r, cdb, { in: bytes }))).toBe('6/29/01');
    expect(r.backend.stats().read.operations).toBe(0);
  });

  it('SC-11 REQUEST SENSE returns it as data, once', async () => {
    const r = await rig('hd');
    r.words.setAttention(ATTENTION_CAPACITY_CHANGED);
    const sense = [0x03, 0, 0, 0, 18];
    const first = run(r, sense, { in: 18 });
    expect(verdict(first)).toBe('GOOD');
    expect([first.buffers.in[2], first.buffers.in[12], first.buffers.in[13]]).toEqual([6, 0x2a, 9]);
    expect([...run(r, sense, { in: 18 }).buffers.in.subarray(2, 3)]).toEqual([0]);
  });

  it.each([
    ['an overrun', read10(0, 1), {}],
    ['data both ways', [0], { in: 1, out: [1] }],
    ['a CDB that is cut off', [0x28], { cdbBytes: 9 }],
  ])('SC-11 SC-12 %s does not take it', async (_name, cdb, data) => {
    const r = await rig('hd');
    r.words.setAttention(ATTENTION_RESET);
    run(r, cdb, data);
    expect(verdict(run(r, [0]))).toBe('6/29/00');
  });

  it('SC-11 the unit reports its own before that of the bus, one per command', async () => {
    const r = await rig('hd');
    setBusAttention(r.core, r.bus, ATTENTION_REPORTED_LUNS_CHANGED);
    r.words.setAttention(ATTENTION_CAPACITY_CHANGED);
    expect([run(r, [0]), run(r, [0]), run(r, [0])].map(verdict)).toEqual([
      '6/2a/09',
      '6/3f/0e',
      'GOOD',
    ]);
  });

  it('SC-11 precedence: resets in their order, then all others by number', () => {
    const order = [
      [ATTENTION_RESET],
      [ATTENTION_POWER_ON, ATTENTION_INTERNAL_RESET],
      [ATTENTION_BUS_RESET, ATTENTION_MICROCODE_CHANGED],
      [ATTENTION_DEVICE_RESET],
      [ATTENTION_NEXUS_LOSS],
      [ATTENTION_CLEARED_BY_POWER_LOSS],
      [ATTENTION_MEDIUM_CHANGED],
      [0x2905],
      [0x2906],
      [ATTENTION_CAPACITY_CHANGED],
      [ATTENTION_NO_MEDIUM],
      [ATTENTION_REPORTED_LUNS_CHANGED],
      [0],
    ];
    const ranks = order.map((same) => new Set(same.map(attentionPrecedence)));
    expect(ranks.every((rank) => rank.size === 1)).toBe(true);
    const flat = ranks.map(([rank]) => rank!);
    expect([...flat].sort((a, b) => a - b)).toEqual(flat);
    expect(new Set(flat).size).toBe(flat.length);
  });

  it('SC-11 the most important one stays, whichever came first', async () => {
    const r = await rig('hd');
    for (const order of [
      [ATTENTION_RESET, ATTENTION_CAPACITY_CHANGED],
      [ATTENTION_CAPACITY_CHANGED, ATTENTION_RESET],
    ]) {
      for (const attention of order) r.words.setAttention(attention);
      expect([run(r, [0]), run(r, [0])].map(verdict)).toEqual(['6/29/00', 'GOOD']);
    }
  });

  it('SC-11 one that another thread sets in between is not lost to a lesser one', async () => {
    const r = await rig('hd');
    const at = (r.config.words + LUN_ATTENTION) >>> 2;
    const real = Atomics.compareExchange as (...given: unknown[]) => unknown;
    const spy = vi.spyOn(Atomics, 'compareExchange');
    spy.mockImplementationOnce(((...given: unknown[]) => {
      Atomics.store(r.core.u32, at, ATTENTION_RESET);
      return real(...given);
    }) as never);
    r.words.setAttention(ATTENTION_CAPACITY_CHANGED);
    spy.mockRestore();
    expect(verdict(run(r, [0]))).toBe('6/29/00');
  });

  it('SC-11 a reset of the unit closes and unlocks the tray, and is told', async () => {
    const r = await rig('cd');
    run(r, [0x1b, 0, 0, 0, 2]);
    run(r, [0x1e, 0, 0, 0, 1]);
    r.words.resetUnit();
    expect([run(r, [0]), run(r, [0])].map(verdict)).toEqual(['6/29/00', 'GOOD']);
    expect(verdict(run(r, [0x1b, 0, 0, 0, 2]))).toBe('GOOD');
  });

  it('SD-16 a new size is told by 2A/09, and READ CAPACITY says it', async () => {
    const r = await rig('hd');
    await r.backend.resize(2 * 1024 * 1024);
    r.words.capacityChanged();
    expect(verdict(run(r, read10(4095, 1), { in: 512 }))).toBe('6/2a/09');
    expect([...run(r, [0x25], { in: 8 }).buffers.in.subarray(0, 4)]).toEqual(be(4095, 4));
  });
});
