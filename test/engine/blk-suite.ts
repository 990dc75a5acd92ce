/** virtio-blk requests in any framing (VIRTIO 1.3, 5.2.6 and 2.7.4). */

import { expect, it } from 'vitest';
import { POP_BROKEN } from '#src/engine/engine';
import {
  BROKEN_HEADERS,
  CHAIN_BLOCKS_MAX,
  QUEUE_EPOCH,
  QUEUE_LAST_AVAIL,
  RECORD_EPOCH,
  RECORD_IN_BYTES,
  RECORD_NEXT,
  RECORD_OUT_BYTES,
  RECORD_SECTOR_HI,
  RECORD_SECTOR_LO,
  RECORD_STATE,
  RECORD_STATUS,
  RECORD_STATUS_AT,
  RECORD_TYPE,
  RECORD_WRITTEN,
} from '#src/layout';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTQ_DESC_F_INDIRECT } from '#src/spec';
import { type Contestant, RAM_AT } from './machine.ts';
import { type Buffer, WRITE } from './raw-ring.ts';
import { brokenBy, expectIdle, INDIRECT, queueWord, type Rig, rig } from './rig.ts';

const TYPE = 0x8000_0001;
const IOPRIO = 0x1111_2222;
const SECTOR_LO = 0x89ab_cdef;
const SECTOR_HI = 0x0923_4567;
const room = RAM_AT + 8192;

export function blkSuite(contestant: Contestant): void {
  /** Writes a header at `at`, any alignment. */
  function header(r: Rig, at: number): void {
    const view = new DataView(r.machine.ram.buffer, at, 16);
    [TYPE, IOPRIO, SECTOR_LO, SECTOR_HI].forEach((word, i) => {
      view.setUint32(i * 4, word, true);
    });
  }

  function pop(r: Rig, buffers: readonly Buffer[]): number {
    r.ring.chain(0, buffers);
    r.ring.offer(0);
    return r.engine.blkPop(r.queue, 8);
  }

  function expectRequest(r: Rig, statusAt: number): void {
    const fields = [RECORD_TYPE, RECORD_SECTOR_LO, RECORD_SECTOR_HI, RECORD_STATUS_AT];
    const seen = fields.map((field) => r.ring.field(0, field));
    expect(seen).toEqual([TYPE, SECTOR_LO, SECTOR_HI, statusAt]);
    expect(r.ring.field(0, RECORD_STATUS)).toBe(VIRTIO_BLK_S_IOERR);
    expect(r.ring.field(0, RECORD_WRITTEN)).toBe(0);
  }

  const data = { at: room + 4096, length: 1024, flags: WRITE };
  const status = { at: room + 64, length: 1, flags: WRITE };

  it('BL-1 header, data and status in three descriptors', () => {
    const r = rig(contestant);
    r.machine.setWord(r.queue + QUEUE_EPOCH, 5);
    r.machine.setWord(r.ring.record(0) + RECORD_NEXT, 0xabc);
    header(r, room);
    expect(pop(r, [{ at: room, length: 16 }, data, status])).toBe(1);
    expectRequest(r, status.at);
    expect([RECORD_OUT_BYTES, RECORD_IN_BYTES].map((f) => r.ring.field(0, f))).toEqual([16, 1025]);
    expect(r.ring.field(0, RECORD_EPOCH)).toBe(5);
    expect(r.ring.field(0, RECORD_NEXT)).toBe(0xabc); // home's own
  });

  it('BL-1 a header split in two at every place', () => {
    for (let first = 1; first < 16; first++) {
      const r = rig(contestant);
      header(r, room);
      r.machine.ram8.copyWithin(room + 301, room + first, room + 16);
      r.machine.ram8.fill(0x77, room + first, room + 16);
      const pieces = [
        { at: room, length: first },
        { at: room + 301, length: 16 - first },
      ];
      expect(pop(r, [...pieces, data, status])).toBe(1);
      expectRequest(r, status.at);
    }
  });

  it('BL-1 a header of sixteen descriptors reaches a second block of segments', () => {
    const r = rig(contestant, { num: 32 });
    header(r, room);
    const bytes = Array.from({ length: 16 }, (_, i) => ({ at: room + 100 + 3 * i, length: 1 }));
    bytes.forEach(({ at }, i) => {
      r.machine.ram8[at] = r.machine.ram8[room + i]!;
    });
    r.machine.ram8.fill(0x77, room, room + 16);
    expect(pop(r, [...bytes, data, status])).toBe(1);
    expectRequest(r, status.at);
  });

  it('BL-1 header and data in one descriptor, and a header at any address', () => {
    for (let off = 0; off < 8; off++) {
      const r = rig(contestant);
      header(r, room + off);
      expect(pop(r, [{ at: room + off, length: 16 + 512 }, status])).toBe(1);
      expectRequest(r, status.at);
      expect(r.ring.field(0, RECORD_OUT_BYTES)).toBe(528);
    }
  });

  it('BL-1 the status in the last byte of a data descriptor', () => {
    const r = rig(contestant);
    header(r, room);
    expect(
      pop(r, [{ at: room, length: 16 }, data, { ...data, at: room + 9000, length: 513 }]),
    ).toBe(1);
    expectRequest(r, room + 9000 + 512);
  });

  it('BL-1 the status of a request whose segments end with a block', () => {
    for (const buffers of [14, 15, 16, 30]) {
      const r = rig(contestant, { num: 64 });
      header(r, room);
      const list = Array.from({ length: buffers - 1 }, (_, i) => ({
        ...data,
        at: room + 4096 + i,
      }));
      expect(pop(r, [{ at: room, length: 16 }, ...list])).toBe(1);
      expectRequest(r, room + 4096 + buffers - 2 + 1023);
    }
  });

  it('BL-1 a request inside an indirect table', () => {
    const r = rig(contestant, { features: INDIRECT });
    header(r, room);
    r.ring.chain(0, [{ at: room, length: 16 }, data, status], r.room + 8);
    r.ring.describe(0, { at: r.room + 8, length: 48, flags: VIRTQ_DESC_F_INDIRECT });
    header(r, room);
    r.ring.offer(0);
    expect(r.engine.blkPop(r.queue, 1)).toBe(1);
    expectRequest(r, status.at);
  });

  it('BG-12 16 readable bytes are a header, 15 break the queue', () => {
    for (const length of [16, 15, 1]) {
      for (const split of [false, true]) {
        const r = rig(contestant);
        header(r, room);
        const one = [{ at: room, length }];
        const two = [
          { at: room, length: length - 1 || 1 },
          { at: room + length - 1, length: 1 },
        ];
        const popped = pop(r, [...(split && length > 1 ? two : one), status]);
        expect(popped).toBe(length === 16 ? 1 : POP_BROKEN);
        expect(brokenBy(r)).toBe(length === 16 ? 0 : BROKEN_HEADERS);
        if (length === 16) continue;
        expectIdle(r, 8 + CHAIN_BLOCKS_MAX);
        expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(0);
        expect(r.ring.field(0, RECORD_STATE)).toBe(0);
      }
    }
  });

  it('BG-12 a request without a readable or without a writable part breaks the queue', () => {
    for (const list of [[{ at: room, length: 64 }], [data, status]]) {
      const r = rig(contestant);
      expect(pop(r, list)).toBe(POP_BROKEN);
      expect(brokenBy(r)).toBe(BROKEN_HEADERS);
      expectIdle(r, 8 + CHAIN_BLOCKS_MAX);
    }
  });

  it('BG-12 the good requests of a batch come before the bad one', () => {
    const r = rig(contestant);
    header(r, room);
    r.ring.chain(0, [{ at: room, length: 16 }, status]);
    r.ring.chain(2, [{ at: room, length: 16 }]);
    r.ring.offer(0, 2);
    expect(r.engine.blkPop(r.queue, 8)).toBe(1);
    expect(brokenBy(r)).toBe(BROKEN_HEADERS);
    expect(r.engine.blkPop(r.queue, 8)).toBe(POP_BROKEN);
  });

  it('BG-12 a raw pop does not ask for headers', () => {
    const r = rig(contestant);
    r.ring.chain(0, [{ at: room, length: 1 }]);
    r.ring.offer(0);
    expect(r.engine.queuePop(r.queue, 8)).toBe(1);
  });

  it('BG-15 a header rewritten after the pop is not seen, nor is a status moved', () => {
    const r = rig(contestant);
    header(r, room);
    expect(pop(r, [{ at: room, length: 16 }, data, status])).toBe(1);
    r.machine.ram8.fill(0xff, room, room + 16);
    r.ring.chain(0, [{ at: room, length: 16 }, data, { ...status, at: room + 65 }]);
    expectRequest(r, status.at);
    r.machine.setWord(r.ring.record(0) + RECORD_STATUS, VIRTIO_BLK_S_OK);
    r.machine.ram8.fill(0x77, room + 64, room + 66);
    expect(r.engine.blkPush(r.queue, r.ring.done(0))).toBe(1);
    expect([...r.machine.ram8.subarray(room + 64, room + 66)]).toEqual([VIRTIO_BLK_S_OK, 0x77]);
  });

  it('VQ-6 blkPush writes each status byte, and only those that were set', () => {
    const r = rig(contestant);
    header(r, room);
    r.ring.chain(0, [{ at: room, length: 16 }, status]);
    r.ring.chain(2, [
      { at: room, length: 16 },
      { ...status, at: status.at + 1 },
    ]);
    r.ring.offer(0, 2);
    expect(r.engine.blkPop(r.queue, 8)).toBe(2);
    r.machine.setWord(r.ring.record(0) + RECORD_STATUS, 0x1ff02);
    r.machine.setWord(r.ring.record(0) + RECORD_WRITTEN, 1);
    r.machine.ram8.fill(0x77, room + 64, room + 67);
    expect(r.engine.blkPush(r.queue, r.ring.done(2, 0))).toBe(1);
    expect([...r.machine.ram8.subarray(room + 64, room + 67)]).toEqual([2, 1, 0x77]);
    expect(r.ring.usedElement(0)).toEqual({ id: 2, length: 0 });
    expect(r.ring.usedElement(1)).toEqual({ id: 0, length: 1 });
  });
}
