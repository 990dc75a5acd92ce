/** Responses to SCSI commands in any framing (VIRTIO 1.3, 5.6.6.1), and their used lengths. */

import { expect, it } from 'vitest';
import {
  CHAIN_BLOCKS_MAX,
  QUEUE_F_PADDED,
  RECORD_WRITTEN,
  SCSI_RESPONSE_CODE,
  SCSI_RESPONSE_QUALIFIER,
  SCSI_RESPONSE_RESIDUAL,
  SCSI_RESPONSE_SENSE,
  SCSI_RESPONSE_SENSE_LENGTH,
  SCSI_RESPONSE_STATUS,
} from '#src/layout';
import type { Contestant } from './machine.ts';
import { WRITE } from './raw-ring.ts';
import { expectIdle, type Rig, rig } from './rig.ts';

import {
  answers,
  CDB,
  expectHeader,
  header,
  pop,
  read,
  response,
  responseRow,
  room,
  writeHeader,
} from './scsi-rig.ts';

export function scsiResponseSuite(contestant: Contestant): void {
  const make = (options = {}) => rig(contestant, { num: 16, ...options });

  // ---- Responses ------------------------------------------------------------------------------

  /** Fills the row of responses of `head`. */
  function answer(
    r: Rig,
    { sense = 0, residual = 0, qualifier = 0, status = 0, code = 0, head = 0 },
  ) {
    const at = responseRow(r, head);
    r.machine.setWord(at + SCSI_RESPONSE_SENSE_LENGTH, sense);
    r.machine.setWord(at + SCSI_RESPONSE_RESIDUAL, residual);
    r.machine.u8[at + SCSI_RESPONSE_QUALIFIER] = qualifier & 0xff;
    r.machine.u8[at + SCSI_RESPONSE_QUALIFIER + 1] = qualifier >>> 8;
    r.machine.u8[at + SCSI_RESPONSE_STATUS] = status;
    r.machine.u8[at + SCSI_RESPONSE_CODE] = code;
    for (let i = 0; i < 20; i++) r.machine.u8[at + SCSI_RESPONSE_SENSE + i] = 0xa0 + i;
  }

  const guest = (r: Rig, at: number, length: number) => [
    ...r.machine.ram8.subarray(at, at + length),
  ];

  it('SC-12 a response in one descriptor, and nothing behind what was decided', () => {
    for (const at of [answers, answers + 1]) {
      const r = make();
      expect(pop(r, [header, { ...response, at }, read])).toBe(1);
      answer(r, { residual: 0x12345678, qualifier: 0x9abc, status: 0xde, code: 0xf0 });
      r.machine.ram8.fill(0x77, at, at + 108);
      expect(r.engine.scsiPush(r.queue, r.ring.done(0))).toBe(1);
      const want = [0, 0, 0, 0, 0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xde, 0xf0];
      expect(guest(r, at, 13)).toEqual([...want, 0x77]);
      expect(r.ring.usedElement(0)).toEqual({ id: 0, length: 12 });
      expectIdle(r, 16 + CHAIN_BLOCKS_MAX);
    }
  });

  it('2.7.4 a response split in two at every place, with sense and without', () => {
    for (let first = 1; first < 108; first += first < 31 ? 1 : 19) {
      for (const length of [18, 0]) {
        const r = make();
        const pieces = [
          { at: answers, length: first, flags: WRITE },
          { at: answers + 300, length: 108 - first, flags: WRITE },
        ];
        expect(pop(r, [header, ...pieces, read])).toBe(1);
        answer(r, { sense: length, residual: 3, status: 2 });
        r.machine.ram8.fill(0x77, answers, answers + 512);
        expect(r.engine.scsiPush(r.queue, r.ring.done(0))).toBe(1);
        const seen = [...guest(r, answers, first), ...guest(r, answers + 300, 108 - first)];
        const sense = Array.from({ length }, (_, i) => 0xa0 + i);
        expect(seen.slice(0, 12)).toEqual([length, 0, 0, 0, 3, 0, 0, 0, 0, 0, 2, 0]);
        expect(seen.slice(12)).toEqual([...sense, ...new Array(96 - length).fill(0x77)]);
        expect(guest(r, answers + first, 1)).toEqual([0x77]);
        expect(r.ring.usedElement(0)).toEqual({ id: 0, length: 12 + length });
      }
    }
  });

  it('2.7.4 a response of single bytes behind a header of single bytes', () => {
    const r = make({ num: 128 });
    writeHeader(r, room);
    const out = Array.from({ length: 51 }, (_, i) => ({ at: room + i, length: 1 }));
    const into = Array.from({ length: 13 }, (_, i) => ({
      at: answers + 2 * i,
      length: 1,
      flags: WRITE,
    }));
    expect(pop(r, [...out, ...into], CDB, 1)).toBe(1);
    expectHeader(r);
    answer(r, { residual: 0x04030201, qualifier: 0x0605, status: 7, code: 8, sense: 1 });
    r.engine.scsiPush(r.queue, r.ring.done(0));
    const seen = into.map(({ at }) => r.machine.ram8[at]);
    expect(seen).toEqual([1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xa0]);
  });

  it('SC-12 sense is cut to what the driver has room for, and to 20 bytes', () => {
    for (const [size, length, want] of [
      [96, 20, 20],
      [96, 21, 20],
      [18, 18, 18],
      [18, 19, 18],
      [4, 18, 4],
      [0, 18, 0],
      [96, 0xffff_ffff, 20],
    ] as const) {
      const r = make();
      expect(pop(r, [header, { ...response, length: 12 + size }], CDB, size)).toBe(1);
      answer(r, { sense: length, status: 2 });
      r.machine.ram8.fill(0x77, answers, answers + 64);
      r.engine.scsiPush(r.queue, r.ring.done(0));
      expect(guest(r, answers, 4)).toEqual([want, 0, 0, 0]);
      const sense = Array.from({ length: want }, (_, i) => 0xa0 + i);
      expect(guest(r, answers + 12, want + 1)).toEqual([...sense, 0x77]);
      expect(r.ring.usedElement(0).length).toBe(12 + want);
    }
  });

  it('VQ-6 data-in count as used only if the sense before them is full', () => {
    const used = (size: number, sense: number, written: number, features = 0, pad = 0) => {
      const r = make({ features });
      const first = { ...response, length: 12 + size + pad };
      expect(pop(r, [header, first, read], CDB, size)).toBe(1);
      answer(r, { sense, status: sense ? 2 : 0 });
      r.machine.setWord(r.ring.record(0) + RECORD_WRITTEN, written);
      r.engine.scsiPush(r.queue, r.ring.done(0));
      return r.ring.usedElement(0).length;
    };
    expect([used(96, 0, 1024), used(0, 0, 1024), used(0, 0, 0)]).toEqual([12, 1036, 12]);
    expect([used(18, 18, 100), used(18, 17, 100)]).toEqual([130, 29]);
    expect([used(0, 0, 7, QUEUE_F_PADDED), used(0, 0, 7, QUEUE_F_PADDED, 1)]).toEqual([19, 12]);
  });

  it('BG-18 a response is as its request was popped, whatever the sizes are by now', () => {
    const r = make();
    r.ring.chain(0, [header, { ...response, length: 12 + 4 }, read]);
    r.ring.chain(4, [
      { ...header, length: 19 + 16 },
      { ...response, at: answers + 256 },
    ]);
    r.ring.offer(0);
    expect(r.engine.scsiPop(r.queue, 8, CDB, 4)).toBe(1);
    r.ring.offer(4);
    expect(r.engine.scsiPop(r.queue, 8, 16, 96)).toBe(1);
    for (const head of [0, 4]) answer(r, { sense: 18, status: 2, head });
    r.machine.ram8.fill(0x77, answers, answers + 512);
    expect(r.engine.scsiPush(r.queue, r.ring.done(4, 0))).toBe(1);
    expect([r.ring.usedElement(0), r.ring.usedElement(1)]).toEqual([
      { id: 4, length: 30 },
      { id: 0, length: 16 },
    ]);
    expect(guest(r, answers + 15, 2)).toEqual([0xa3, 0x77]);
  });

  it('VQ-5 a head that is not in flight gets no response, and is told', () => {
    const r = make();
    expect(pop(r, [header, response])).toBe(1);
    answer(r, {});
    expect(r.engine.scsiPush(r.queue, r.ring.done(0))).toBe(1);
    r.machine.ram8.fill(0x77, answers, answers + 12);
    expect(r.engine.scsiPush(r.queue, r.ring.done(0, 16, 0xffff_ffff))).toBe(-1);
    expect(guest(r, answers, 12)).toEqual(new Array(12).fill(0x77));
    expect(r.ring.usedIdx).toBe(1);
  });
}
