/** A ring that goes on where a saved one stood (behaviour VM-6, BL-19). */

import { expect, it } from 'vitest';
import { POP_BROKEN, POP_STALLED, RESTORE_REFUSED } from '#src/engine/engine';
import {
  BROKEN_ADDRESS,
  BROKEN_AVAIL_IDX,
  BROKEN_HEAD,
  BROKEN_HEAD_TWICE,
  BROKEN_HEADERS,
  BROKEN_INUSE,
  BROKEN_LOOP,
  CHAIN_BLOCKS_MAX,
  QUEUE_EPOCH,
  QUEUE_FREE,
  QUEUE_FREE_COUNT,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_NOTIFICATION,
  QUEUE_NUM,
  QUEUE_POPPED_LO,
  QUEUE_READY,
  QUEUE_SHADOW_AVAIL,
  QUEUE_SIGNALLED_USED,
  QUEUE_SIGNALLED_VALID,
  QUEUE_USED_IDX,
  RECORD_NEXT,
  RECORD_SIZE,
} from '#src/layout';
import { VIRTQ_DESC_F_INDIRECT } from '#src/spec';
import { type Contestant, RAM_AT } from './machine.ts';
import { type Buffer, NEXT, WRITE } from './raw-ring.ts';
import { brokenBy, EVENT_IDX, expectIdle, INDIRECT, queueWord, type Rig, rig } from './rig.ts';

const room = RAM_AT + 8192;
const header: Buffer = { at: room, length: 16 };
const data: Buffer = { at: room + 4096, length: 512, flags: WRITE };
const status: Buffer = { at: room + 64, length: 1, flags: WRITE };

export function restoreSuite(contestant: Contestant): void {
  /** A ring as guest memory has it after `published` heads, of which `used` were given back. */
  function saved(published: number, used: number, options = {}): Rig {
    const r = rig(contestant, options);
    for (let head = 0; head + 2 < r.ring.num; head += 3) {
      r.ring.chain(head, [header, data, status]);
    }
    r.ring.publish(published);
    r.machine.ram16[(r.ring.used + 2) >>> 1] = used;
    return r;
  }

  const restore = (r: Rig, last: number) => r.engine.queueRestore(r.queue, last);
  const words = (r: Rig, ...fields: number[]) => fields.map((field) => queueWord(r, field));

  it('VM-6 a ring goes on at its place: k popped, m not yet seen', () => {
    const r = saved(7, 2);
    r.machine.setWord(r.queue + QUEUE_SIGNALLED_VALID, 1);
    r.machine.setWord(r.queue + QUEUE_SIGNALLED_USED, 5);
    r.machine.setWord(r.queue + QUEUE_NOTIFICATION, 0);
    expect(restore(r, 4)).toBe(2);
    const fields = [QUEUE_LAST_AVAIL, QUEUE_SHADOW_AVAIL, QUEUE_USED_IDX, QUEUE_INUSE];
    expect(words(r, ...fields)).toEqual([4, 7, 2, 0]);
    // The next completion interrupts, and the driver is to kick.
    expect(words(r, QUEUE_SIGNALLED_VALID, QUEUE_SIGNALLED_USED, QUEUE_NOTIFICATION)).toEqual([
      0, 0, 1,
    ]);
    expect(r.engine.queueEmpty(r.queue)).toBe(0);
    r.ring.setSlot(4, 0);
    r.ring.setSlot(5, 3);
    r.ring.setSlot(6, 6);
    r.ring.chain(6, [header, status]);
    expect(r.engine.blkPop(r.queue, 8)).toBe(3);
    expect([0, 1, 2].map((n) => r.ring.batch(n))).toEqual([0, 3, 6]);
    expect(r.engine.blkPush(r.queue, r.ring.done(3))).toBe(1);
    expect([r.ring.usedIdx, r.ring.usedElement(2).id]).toEqual([3, 3]);
  });

  it('VM-6 indices are of 16 bits: a place behind the turn of 65535', () => {
    const r = saved(3, 0xfffe);
    expect(restore(r, 1)).toBe(3);
    expect(words(r, QUEUE_LAST_AVAIL, QUEUE_SHADOW_AVAIL, QUEUE_USED_IDX)).toEqual([1, 3, 0xfffe]);
    expect(restore(r, 0x70001)).toBe(3);
    expect(words(r, QUEUE_LAST_AVAIL)).toEqual([1]);
  });

  it('VM-6 as many in flight as the ring has are taken, one more is refused and changes nothing', () => {
    const r = saved(12, 4);
    expect(restore(r, 12)).toBe(8);
    const before = r.machine.u8.slice(r.queue, r.queue + 192);
    expect(restore(r, 13)).toBe(RESTORE_REFUSED);
    expect(restore(r, 3)).toBe(RESTORE_REFUSED);
    expect(Buffer.compare(r.machine.u8.subarray(r.queue, r.queue + 192), before)).toBe(0);
    expect(brokenBy(r)).toBe(0);
  });

  it('VM-6 as many unseen as the ring has are taken, one more breaks the queue', () => {
    const well = saved(12, 4);
    expect([restore(well, 4), brokenBy(well)]).toEqual([0, 0]);
    const ill = saved(13, 4);
    expect([restore(ill, 4), brokenBy(ill)]).toEqual([POP_BROKEN, BROKEN_AVAIL_IDX]);
    expect(words(ill, QUEUE_LAST_AVAIL, QUEUE_SHADOW_AVAIL)).toEqual([4, 4]);
  });

  it('VM-6 a queue that is not ready, or broken, is not restored', () => {
    const r = saved(4, 0);
    r.engine.queueBreak(r.queue, BROKEN_LOOP);
    expect([restore(r, 2), r.engine.blkRestore(r.queue, 0)]).toEqual([POP_BROKEN, POP_BROKEN]);
    expect(brokenBy(r)).toBe(BROKEN_LOOP);
    r.engine.queueReset(r.queue);
    expect([restore(r, 2), r.engine.blkRestore(r.queue, 0)]).toEqual([POP_BROKEN, POP_BROKEN]);
    expect(words(r, QUEUE_READY, QUEUE_LAST_AVAIL)).toEqual([0, 0]);
  });

  it('BL-19 a restored request is what pop had made of it, byte for byte', () => {
    const options = { num: 32, features: INDIRECT };
    const lists: Buffer[][] = [
      [header, data, status],
      [{ at: room, length: 16 + 512 }, status],
      [{ at: room, length: 7 }, { at: room + 7, length: 9 }, status],
      Array.from({ length: 20 }, (_, i) => (i < 17 ? { at: room + i, length: 1 } : status)),
    ];
    for (const list of lists) {
      for (const indirect of [false, true]) {
        const make = () => {
          const r = rig(contestant, options);
          r.machine.setWord(r.queue + QUEUE_EPOCH, 9);
          r.machine.setWord(r.ring.record(2) + RECORD_NEXT, 0xabc);
          for (let i = 0; i < 16; i++) r.machine.ram8[room + i] = 0x10 + i;
          const table = r.room + 16384;
          if (indirect) {
            r.ring.chain(0, list, table);
            const flags = VIRTQ_DESC_F_INDIRECT;
            r.ring.describe(2, { at: table, length: list.length * 16, flags });
          } else r.ring.chain(2, list);
          r.ring.offer(2);
          return r;
        };
        const [popped, restored] = [make(), make()];
        expect(popped.engine.blkPop(popped.queue, 1)).toBe(1);
        expect(restore(restored, 1)).toBe(1);
        expect(restored.engine.blkRestore(restored.queue, 2)).toBe(0);
        const record = (r: Rig) => {
          const at = r.ring.record(2);
          return [...r.machine.u8.subarray(at, at + RECORD_SIZE)];
        };
        expect(record(restored)).toEqual(record(popped));
        expect(restored.ring.segments(2)).toEqual(popped.ring.segments(2));
        const same = [QUEUE_INUSE, QUEUE_FREE, QUEUE_FREE_COUNT, QUEUE_LAST_AVAIL, QUEUE_NUM];
        expect(words(restored, ...same)).toEqual(words(popped, ...same));
        expect(words(restored, QUEUE_POPPED_LO)).toEqual([0]);
        expect(restored.engine.blkPush(restored.queue, restored.ring.done(2))).toBe(1);
        expect(restored.ring.usedElement(0)).toEqual({ id: 2, length: 0 });
        expect(words(restored, QUEUE_INUSE)).toEqual([0]);
      }
    }
  });

  it('BL-19 a request in flight twice is refused, and breaks the queue', () => {
    const r = saved(2, 0);
    expect(restore(r, 2)).toBe(2);
    expect([r.engine.blkRestore(r.queue, 0), brokenBy(r)]).toEqual([0, 0]);
    expect(r.engine.blkRestore(r.queue, 0)).toBe(BROKEN_HEAD_TWICE);
    expect(brokenBy(r)).toBe(BROKEN_HEAD_TWICE);
    expect(words(r, QUEUE_INUSE, QUEUE_FREE_COUNT)).toEqual([1, 8 + CHAIN_BLOCKS_MAX - 1]);
  });

  it('BL-19 the last head of a ring is one, the next is not', () => {
    for (const head of [7, 8, 0xffff_ffff]) {
      const r = saved(1, 0);
      r.ring.describe(7, { ...header, flags: NEXT, next: 5 });
      r.ring.describe(5, status);
      restore(r, 1);
      const verdict = head === 7 ? 0 : BROKEN_HEAD;
      expect([r.engine.blkRestore(r.queue, head), brokenBy(r)]).toEqual([verdict, verdict]);
    }
  });

  it('BL-19 a restored chain is checked as a popped one, and leaves nothing when it is bad', () => {
    const bad: [Buffer[], number][] = [
      [[header, { ...data, at: RAM_AT - 8 }, status], BROKEN_ADDRESS],
      [[{ ...header, length: 15 }, status], BROKEN_HEADERS],
      [
        [
          { ...header, flags: NEXT, next: 1 },
          { ...data, flags: WRITE | NEXT, next: 1 },
        ],
        BROKEN_LOOP,
      ],
    ];
    for (const [list, verdict] of bad) {
      const r = rig(contestant);
      r.ring.chain(0, list);
      if (verdict === BROKEN_LOOP) r.ring.describe(1, { ...data, flags: WRITE | NEXT, next: 1 });
      r.ring.offer(0);
      expect(restore(r, 1)).toBe(1);
      expect(r.engine.blkRestore(r.queue, 0)).toBe(verdict);
      expect(brokenBy(r)).toBe(verdict);
      expectIdle(r, 8 + CHAIN_BLOCKS_MAX);
    }
  });

  it('BL-19 no more requests are restored than the ring holds', () => {
    const r = rig(contestant, { num: 4, capacity: 8 });
    for (let head = 0; head < 4; head++) {
      r.ring.describe(head, { at: r.room + 4096, length: 48, flags: VIRTQ_DESC_F_INDIRECT });
    }
    r.ring.chain(0, [header, data, status], r.room + 4096);
    r.engine.queueReset(r.queue);
    r.ring.enable(INDIRECT);
    r.machine.ram16[(r.ring.used + 2) >>> 1] = 0;
    r.ring.publish(4);
    expect(restore(r, 4)).toBe(4);
    expect([0, 1, 2, 3].map((head) => r.engine.blkRestore(r.queue, head))).toEqual([0, 0, 0, 0]);
    expect(r.engine.blkRestore(r.queue, 0)).toBe(BROKEN_INUSE);
  });

  it('BL-19 where a longest chain might not fit a request waits, and the queue stays well', () => {
    for (const blocks of [CHAIN_BLOCKS_MAX, CHAIN_BLOCKS_MAX - 1]) {
      const r = rig(contestant, { blocks });
      r.ring.chain(0, [header, status]);
      r.ring.offer(0);
      restore(r, 1);
      const verdict = blocks === CHAIN_BLOCKS_MAX ? 0 : POP_STALLED;
      expect([r.engine.blkRestore(r.queue, 0), brokenBy(r)]).toEqual([verdict, 0]);
    }
  });

  it('VM-6 a restored ring writes nothing to the guest', () => {
    const r = saved(4, 1, { features: EVENT_IDX });
    const before = r.machine.guestBytes();
    restore(r, 2);
    r.engine.blkRestore(r.queue, 0);
    expect(Buffer.compare(r.machine.guestBytes(), before)).toBe(0);
  });
}
