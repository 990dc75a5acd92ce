/** virtio-scsi command requests in any framing (VIRTIO 1.3, 5.6.6.1 and 2.7.4). */

import { expect, it } from 'vitest';
import { POP_BROKEN, POP_STALLED } from '#src/engine/engine';
import {
  BROKEN_HEAD,
  BROKEN_HEAD_TWICE,
  BROKEN_HEADERS,
  CHAIN_BLOCKS_MAX,
  QUEUE_EPOCH,
  QUEUE_F_PADDED,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_POPPED_LO,
  RECORD_EPOCH,
  RECORD_NEXT,
  RECORD_STATE,
  RECORD_WRITTEN,
  SCSI_REQUEST_CDB,
  SCSI_REQUEST_SENSE_SIZE,
  SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_QUALIFIER,
  SCSI_RESPONSE_RESIDUAL,
  SCSI_RESPONSE_SENSE_LENGTH,
} from '#src/layout';
import { VIRTIO_SCSI_S_FAILURE, VIRTQ_DESC_F_INDIRECT } from '#src/spec';
import type { Contestant } from './machine.ts';
import { type Buffer, WRITE } from './raw-ring.ts';
import { brokenBy, expectIdle, INDIRECT, queueWord, type Rig, rig } from './rig.ts';

import {
  answers,
  byte,
  CDB,
  data,
  expectHeader,
  header,
  pop,
  read,
  requestRow,
  response,
  responseRow,
  room,
  row,
  SENSE,
  write,
  writeHeader,
} from './scsi-rig.ts';

export function scsiSuite(contestant: Contestant): void {
  const make = (options = {}) => rig(contestant, { num: 16, ...options });

  it('SC-12 header, response and data in three descriptors', () => {
    const r = make();
    r.machine.setWord(r.queue + QUEUE_EPOCH, 5);
    r.machine.setWord(r.ring.record(0) + RECORD_NEXT, 0xabc);
    writeHeader(r, room, 64);
    expect(pop(r, [header, response, read])).toBe(1);
    expectHeader(r);
    expect(data(r)).toEqual([0, 1024]);
    expect(r.machine.word(requestRow(r) + SCSI_REQUEST_SENSE_SIZE)).toBe(SENSE);
    expect(r.ring.field(0, RECORD_EPOCH)).toBe(5);
    expect(r.ring.field(0, RECORD_WRITTEN)).toBe(0);
    expect(r.ring.field(0, RECORD_NEXT)).toBe(0xabc); // home's own
    const answer = responseRow(r);
    const word = (field: number) => r.machine.word(answer + field);
    expect([word(SCSI_RESPONSE_SENSE_LENGTH), word(SCSI_RESPONSE_RESIDUAL)]).toEqual([0, 0]);
    expect(word(SCSI_RESPONSE_QUALIFIER)).toBe((VIRTIO_SCSI_S_FAILURE << 24) >>> 0);
  });

  it('SC-12 data-out behind the header, data of both directions, and none', () => {
    const lists: [Buffer[], number[]][] = [
      [
        [header, write, response],
        [512, 0],
      ],
      [
        [header, write, { ...write, length: 1 }, response, read, read],
        [513, 2048],
      ],
      [
        [
          { ...header, length: 19 + CDB + 7 },
          { ...response, length: 12 + SENSE + 9 },
        ],
        [7, 9],
      ],
      [
        [header, response],
        [0, 0],
      ],
    ];
    for (const [list, want] of lists) {
      const r = make();
      writeHeader(r, room);
      expect(pop(r, list)).toBe(1);
      expectHeader(r);
      expect(data(r)).toEqual(want);
    }
  });

  it('2.7.4 a header split in two at every place', () => {
    for (let first = 1; first < 19 + CDB; first++) {
      const r = make();
      writeHeader(r, room);
      r.machine.ram8.copyWithin(room + 301, room + first, room + 19 + CDB);
      r.machine.ram8.fill(0x77, room + first, room + 19 + CDB);
      const pieces = [
        { at: room, length: first },
        { at: room + 301, length: 19 + CDB - first + (first % 3) },
      ];
      expect(pop(r, [...pieces, response])).toBe(1);
      expectHeader(r);
      expect(data(r)).toEqual([first % 3, 0]);
    }
  });

  it('2.7.4 a header of single bytes, over four blocks of segments', () => {
    const r = make({ num: 64 });
    writeHeader(r, room);
    const list = Array.from({ length: 19 + CDB }, (_, i) => ({
      at: room + 100 + 3 * i,
      length: 1,
    }));
    for (const [i, { at }] of list.entries()) r.machine.ram8[at] = byte(i);
    expect(pop(r, [...list, response, read])).toBe(1);
    expectHeader(r);
    expect(data(r)).toEqual([0, 1024]);
  });

  it('2.7.4 a header at any address, with data in its descriptor', () => {
    for (let off = 0; off < 8; off++) {
      const r = make();
      writeHeader(r, room + off, 80);
      expect(pop(r, [{ at: room + off, length: 19 + CDB + 512 }, response])).toBe(1);
      expectHeader(r);
      expect(data(r)).toEqual([512, 0]);
    }
  });

  it('2.7.4 a request inside an indirect table, and several in one batch', () => {
    const r = make({ features: INDIRECT });
    writeHeader(r, room);
    writeHeader(r, room + 0x100);
    r.ring.chain(0, [header, response, read], r.room + 0x3008);
    r.ring.describe(3, { at: r.room + 0x3008, length: 48, flags: VIRTQ_DESC_F_INDIRECT });
    r.ring.chain(5, [{ ...header, at: room + 0x100 }, write, response]);
    r.ring.offer(3, 5);
    expect(r.engine.scsiPop(r.queue, 8, CDB, SENSE)).toBe(2);
    expect([r.ring.batch(0), r.ring.batch(1)]).toEqual([3, 5]);
    for (const head of [3, 5]) expectHeader(r, CDB, head);
    expect([data(r, 3), data(r, 5)]).toEqual([
      [0, 1024],
      [512, 0],
    ]);
  });

  it('SC-21 the CDB has the size that the configuration says', () => {
    for (const cdb of [255, 33, 32, 31, 16, 6, 0]) {
      const r = make();
      // What an earlier request left in the row is gone.
      r.machine.u8.fill(0xee, requestRow(r) + SCSI_REQUEST_CDB, requestRow(r) + 51);
      writeHeader(r, room, 300);
      expect(pop(r, [{ at: room, length: 19 + cdb + 5 }, response], cdb)).toBe(1);
      expectHeader(r, cdb);
      expect(data(r)).toEqual([5, 0]);
    }
  });

  it('historic bug 25 BG-18 a CDB that is longer than its row, in pieces, stays in it', () => {
    const r = make();
    writeHeader(r, room, 300);
    r.machine.u8.fill(0xee, requestRow(r, 1), requestRow(r, 8));
    const pieces = [
      { at: room, length: 10 },
      { at: room + 10, length: 19 + 255 - 10 },
    ];
    expect(pop(r, [...pieces, response], 255)).toBe(1);
    expectHeader(r, 255);
    expect(data(r)).toEqual([0, 0]);
    expect(row(r, 0, 7 * SCSI_REQUEST_SIZE, 1).every((byte) => byte === 0xee)).toBe(true);
  });

  it('SC-21 data-in begins behind the sense that the configuration says', () => {
    for (const sense of [0, 1, 18, 252, 65_535]) {
      const r = make();
      expect(pop(r, [header, { ...response, length: 12 + sense + 3 }], CDB, sense)).toBe(1);
      expect(data(r)).toEqual([0, 3]);
      expect(r.machine.word(requestRow(r) + SCSI_REQUEST_SENSE_SIZE)).toBe(sense);
    }
  });

  it('BG-13 a whole header is one, a byte less breaks the queue', () => {
    for (const cdb of [32, 255, 0]) {
      for (const short of [0, 1]) {
        for (const split of [false, true]) {
          const r = make();
          const length = 19 + cdb - short;
          const one = [{ at: room, length }];
          const two = [
            { at: room, length: length - 1 },
            { at: room + length - 1, length: 1 },
          ];
          expect(pop(r, [...(split ? two : one), response], cdb)).toBe(short ? POP_BROKEN : 1);
          expect(brokenBy(r)).toBe(short ? BROKEN_HEADERS : 0);
          if (!short) continue;
          expectIdle(r, 16 + CHAIN_BLOCKS_MAX);
          expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(0);
          expect(queueWord(r, QUEUE_POPPED_LO)).toBe(0);
          expect(r.ring.field(0, RECORD_STATE)).toBe(0);
        }
      }
    }
  });

  it('BG-13 a response has room, or with a byte less breaks the queue', () => {
    for (const sense of [96, 0, 252]) {
      for (const short of [0, 1]) {
        const r = make();
        const length = 12 + sense - short;
        const two = [
          { at: answers, length: length - 1, flags: WRITE },
          { at: answers + 500, length: 1, flags: WRITE },
        ];
        expect(pop(r, [header, ...two], CDB, sense)).toBe(short ? POP_BROKEN : 1);
        expect(brokenBy(r)).toBe(short ? BROKEN_HEADERS : 0);
        if (short) expectIdle(r, 16 + CHAIN_BLOCKS_MAX);
      }
    }
  });

  it('BG-13 a request without a readable or without a writable part breaks the queue', () => {
    for (const list of [[{ ...header, length: 4096 }], [{ ...response, length: 4096 }]]) {
      const r = make();
      expect(pop(r, list)).toBe(POP_BROKEN);
      expect(brokenBy(r)).toBe(BROKEN_HEADERS);
      expectIdle(r, 16 + CHAIN_BLOCKS_MAX);
    }
  });

  it('BG-13 three good and a bad one in a batch: the good are served, the others unpopped', () => {
    const r = make();
    writeHeader(r, room);
    const bad = [{ ...header, length: 50 }, response];
    for (const head of [0, 2, 4, 8]) r.ring.chain(head, [header, response]);
    r.ring.chain(6, bad);
    r.ring.offer(0, 2, 4, 6, 8);
    expect(r.engine.scsiPop(r.queue, 8, CDB, SENSE)).toBe(3);
    expect(brokenBy(r)).toBe(BROKEN_HEADERS);
    const words = [QUEUE_INUSE, QUEUE_LAST_AVAIL, QUEUE_POPPED_LO].map((f) => queueWord(r, f));
    expect(words).toEqual([3, 3, 3]);
    expect([0, 2, 4, 6, 8].map((head) => r.ring.field(head, RECORD_STATE))).toEqual([
      1, 1, 1, 0, 0,
    ]);
    expect(r.engine.scsiPop(r.queue, 8, CDB, SENSE)).toBe(POP_BROKEN);
    // Nobody hears of the three any more, and nothing of them stays behind.
    r.machine.ram8.fill(0x77, answers, answers + 12);
    expect(r.engine.scsiPush(r.queue, r.ring.done(2, 0, 4))).toBe(0);
    expectIdle(r, 16 + CHAIN_BLOCKS_MAX);
    expect(r.ring.usedIdx).toBe(0);
    expect([...r.machine.ram8.subarray(answers, answers + 12)]).toEqual(new Array(12).fill(0x77));
  });

  it('BG-13 a ring that is broken behind good requests returns them', () => {
    const r = make();
    writeHeader(r, room);
    r.ring.chain(0, [header, response]);
    r.ring.offer(0, 16);
    expect(r.engine.scsiPop(r.queue, 8, CDB, SENSE)).toBe(1);
    expect(brokenBy(r)).toBe(BROKEN_HEAD);
    expectHeader(r);
  });

  it('BG-15 a header rewritten after the pop is not seen', () => {
    const r = make();
    writeHeader(r, room);
    expect(pop(r, [header, response, read])).toBe(1);
    r.machine.ram8.fill(0xff, room, room + 51);
    expectHeader(r);
  });

  it('SC-20 padded: data begin with the second descriptor, if the first one is whole', () => {
    const lists: [Buffer[], number[]][] = [
      [
        [{ ...header, length: 60 }, write, { ...response, length: 120 }, read],
        [512, 1024],
      ],
      [
        [
          { ...header, length: 60 },
          { ...response, length: 120 },
        ],
        [0, 0],
      ],
      [
        [header, write, response, read],
        [512, 1024],
      ],
      // No padding where the descriptor is shorter than what belongs there.
      [
        [{ ...header, length: 50 }, { ...write, length: 11 }, { ...response, length: 100 }, read],
        [10, 1016],
      ],
    ];
    for (const features of [0, QUEUE_F_PADDED]) {
      for (const [list, padded] of lists) {
        const r = make({ features });
        expect(pop(r, list)).toBe(1);
        const sum = (write: boolean) =>
          list.reduce((n, { flags, length }) => n + (!flags === !write ? length : 0), 0);
        const joined = [sum(false) - 51, sum(true) - 108];
        expect(data(r)).toEqual(features ? padded : joined);
      }
    }
  });

  it('VM-9 a restored request is what pop had made of it', () => {
    const make2 = () => {
      const r = make();
      r.machine.setWord(r.queue + QUEUE_EPOCH, 9);
      writeHeader(r, room);
      r.ring.chain(2, [header, response, read]);
      r.ring.offer(2);
      return r;
    };
    const [popped, restored] = [make2(), make2()];
    expect(popped.engine.scsiPop(popped.queue, 1, CDB, SENSE)).toBe(1);
    expect(restored.engine.queueRestore(restored.queue, 1)).toBe(1);
    expect(restored.engine.scsiRestore(restored.queue, 2, CDB, SENSE)).toBe(0);
    expectHeader(restored, CDB, 2);
    const all = (r: Rig) => row(r, 0, SCSI_REQUEST_SIZE, 2);
    expect(all(restored)).toEqual(all(popped));
    expect(restored.ring.segments(2)).toEqual(popped.ring.segments(2));
    expect(restored.ring.field(2, RECORD_EPOCH)).toBe(9);
    const again = restored.engine.scsiRestore(restored.queue, 2, CDB, SENSE);
    expect([again, brokenBy(restored)]).toEqual([BROKEN_HEAD_TWICE, BROKEN_HEAD_TWICE]);
    expect(restored.engine.scsiRestore(restored.queue, 0, CDB, SENSE)).toBe(POP_BROKEN);
  });

  it('VM-9 BG-13 a restored request with a short header leaves nothing, one waits for room', () => {
    const bad = make();
    bad.ring.chain(0, [{ ...header, length: 50 }, response]);
    bad.ring.offer(0);
    expect(bad.engine.queueRestore(bad.queue, 1)).toBe(1);
    expect(bad.engine.scsiRestore(bad.queue, 0, CDB, SENSE)).toBe(BROKEN_HEADERS);
    expect(brokenBy(bad)).toBe(BROKEN_HEADERS);
    expectIdle(bad, 16 + CHAIN_BLOCKS_MAX);
    const full = make({ blocks: CHAIN_BLOCKS_MAX - 1 });
    full.ring.chain(0, [header, response]);
    full.ring.offer(0);
    full.engine.queueRestore(full.queue, 1);
    const stalled = full.engine.scsiRestore(full.queue, 0, CDB, SENSE);
    expect([stalled, brokenBy(full)]).toEqual([POP_STALLED, 0]);
  });
}
