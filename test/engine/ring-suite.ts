/** Popping, pushing and giving up (behaviour 3.11, 3.13). */

import { expect, it } from 'vitest';
import { POP_BROKEN, POP_STALLED } from '#src/engine/engine';
import {
  BROKEN_AVAIL_IDX,
  BROKEN_ENGINE,
  BROKEN_HEAD,
  BROKEN_HEAD_TWICE,
  BROKEN_INUSE,
  CHAIN_BLOCKS_MAX,
  QUEUE_BATCH_COUNT,
  QUEUE_BROKEN,
  QUEUE_EPOCH,
  QUEUE_FREE_COUNT,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_NOTIFICATION,
  QUEUE_POPPED_LO,
  QUEUE_READY,
  QUEUE_SHADOW_AVAIL,
  QUEUE_USED_IDX,
  RECORD_FREE,
  RECORD_IN_FLIGHT,
  RECORD_STATE,
  RECORD_STATUS_AT,
  RECORD_WRITTEN,
} from '#src/layout';
import type { Contestant } from './machine.ts';
import { RawRing } from './raw-ring.ts';
import { brokenBy, EVENT_IDX, expectIdle, queueWord, rig } from './rig.ts';

export function ringSuite(contestant: Contestant): void {
  /** A rig whose heads are all good one-buffer chains. */
  function filled(num: number, features = 0, blocks?: number) {
    const r = rig(contestant, { num, features, ...(blocks === undefined ? {} : { blocks }) });
    for (let head = 0; head < num; head++) {
      r.ring.describe(head, { at: r.room + head * 64, length: head + 1 });
    }
    return r;
  }

  it('VQ-1 a queue is empty until the driver publishes, and the shadow is asked first', () => {
    const { engine, queue, ring } = filled(4);
    expect(engine.queueEmpty(queue)).toBe(1);
    ring.offer(0, 1);
    expect(engine.queueEmpty(queue)).toBe(0);
    expect(engine.queuePop(queue, 1)).toBe(1);
    ring.publish(1); // takes the second back, but pop has seen it
    expect(engine.queueEmpty(queue)).toBe(0);
    expect(engine.queuePop(queue, 4)).toBe(1);
    expect(engine.queueEmpty(queue)).toBe(0); // idx is not `last`: something is there
    ring.publish(2);
    expect(engine.queueEmpty(queue)).toBe(1);
  });

  it('VQ-1 BG-14 a queue that is not ready or broken is empty and gives nothing', () => {
    const r = filled(4);
    r.ring.offer(0);
    r.engine.queueBreak(r.queue, BROKEN_ENGINE);
    expect(r.engine.queueEmpty(r.queue)).toBe(1);
    expect(r.engine.queuePop(r.queue, 4)).toBe(POP_BROKEN);
    expect(r.engine.queueSetNotification(r.queue, 1)).toBe(0);
    r.engine.queueReset(r.queue);
    expect(r.engine.queueEmpty(r.queue)).toBe(1);
    expect(r.engine.queuePop(r.queue, 4)).toBe(0);
    expect(r.engine.blkPop(r.queue, 4)).toBe(0);
    expect(r.engine.queueSetNotification(r.queue, 0)).toBe(0);
    expect(r.ring.usedFlags).toBe(0);
    expect(queueWord(r, QUEUE_NOTIFICATION)).toBe(0);
  });

  it('VQ-1 the first reason to be broken stays', () => {
    const r = filled(4);
    r.engine.queueBreak(r.queue, BROKEN_HEAD);
    r.engine.queueBreak(r.queue, BROKEN_ENGINE);
    expect(brokenBy(r)).toBe(BROKEN_HEAD);
  });

  for (const num of [2, 4, 256]) {
    it(`VQ-3 VQ-5 70,000 requests in order through a ring of ${num}`, () => {
      const r = filled(num, EVENT_IDX);
      const { engine, queue, ring } = r;
      let [offered, popped, wrong] = [0, 0, 0];
      const check = (is: number, shall: number) => {
        if (is !== shall) wrong++;
      };
      for (let seed = num; popped < 70_000; ) {
        seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
        const want = 1 + ((seed >>> 8) % num);
        for (let i = 0; i < want; i++) ring.setSlot(offered + i, (offered + i) % num);
        offered += want;
        ring.publish(offered);
        const max = 1 + ((seed >>> 16) % num);
        while (popped < offered) {
          const count = engine.queuePop(queue, max);
          check(count, Math.min(max, offered - popped));
          const heads = Array.from({ length: count }, (_, i) => ring.batch(i));
          for (let i = 0; i < count; i++) check(heads[i]!, (popped + i) % num);
          check(ring.availEvent, (popped + count) & 0xffff);
          engine.queuePush(queue, ring.done(...heads));
          check(ring.usedIdx, (popped + count) & 0xffff);
          for (let i = 0; i < count; i++) check(ring.usedElement(popped + i).id, heads[i]!);
          popped += count;
        }
      }
      expect(wrong).toBe(0);
      expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(offered & 0xffff);
      expect(queueWord(r, QUEUE_USED_IDX)).toBe(offered & 0xffff);
      expect(r.machine.wide(queue + QUEUE_POPPED_LO)).toBe(offered);
      expectIdle(r, num + CHAIN_BLOCKS_MAX);
    });
  }

  it('VQ-3 a batch ends at max, at what one look at avail.idx showed, or where it breaks', () => {
    const r = filled(8);
    const { engine, queue, ring } = r;
    ring.offer(0, 1, 2);
    expect(engine.queuePop(queue, 0)).toBe(0);
    expect(engine.queuePop(queue, 2)).toBe(2);
    ring.offer(3);
    expect(engine.queuePop(queue, 8)).toBe(1); // of the two, one was seen
    expect(engine.queuePop(queue, 8)).toBe(1);
    ring.offer(4, 8, 5);
    expect(engine.queuePop(queue, 8)).toBe(1);
    expect(ring.batch(0)).toBe(4);
    expect(brokenBy(r)).toBe(BROKEN_HEAD);
    expect(engine.queuePop(queue, 8)).toBe(POP_BROKEN);
    expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(5);
    expect(queueWord(r, QUEUE_INUSE)).toBe(5);
  });

  it('BG-1 head: num - 1 is popped, num breaks the queue', () => {
    const good = filled(4);
    good.ring.offer(3);
    expect(good.engine.queuePop(good.queue, 1)).toBe(1);
    const bad = filled(4);
    bad.ring.offer(4);
    expect(bad.engine.queuePop(bad.queue, 1)).toBe(POP_BROKEN);
    expect(brokenBy(bad)).toBe(BROKEN_HEAD);
    expectIdle(bad, 4 + CHAIN_BLOCKS_MAX);
  });

  for (const start of [0, 3, 0xfffe]) {
    it(`BG-4 avail.idx num ahead of ${start} is a full ring, num + 1 breaks the queue`, () => {
      for (const beyond of [0, 1]) {
        const r = filled(4);
        for (const field of [QUEUE_LAST_AVAIL, QUEUE_SHADOW_AVAIL]) {
          r.machine.setWord(r.queue + field, start);
        }
        for (let i = 0; i < 4; i++) r.ring.setSlot((start + i) & 0xffff, i);
        r.ring.publish(start + 4 + beyond);
        expect(r.engine.queueEmpty(r.queue)).toBe(0);
        expect(r.engine.queuePop(r.queue, 8)).toBe(beyond ? POP_BROKEN : 4);
        expect(brokenBy(r)).toBe(beyond ? BROKEN_AVAIL_IDX : 0);
        expect(queueWord(r, QUEUE_INUSE)).toBe(beyond ? 0 : 4);
      }
    });
  }

  it('BG-4 avail.idx that goes back is a jump ahead', () => {
    const r = filled(4);
    r.ring.offer(0, 1);
    expect(r.engine.queuePop(r.queue, 4)).toBe(2);
    r.ring.publish(1);
    expect(r.engine.queuePop(r.queue, 4)).toBe(POP_BROKEN);
    expect(brokenBy(r)).toBe(BROKEN_AVAIL_IDX);
  });

  it('BG-5 num requests may be outstanding, one more breaks the queue', () => {
    const r = filled(4);
    r.ring.offer(0, 1, 2, 3);
    expect(r.engine.queuePop(r.queue, 8)).toBe(4);
    expect(r.engine.queuePop(r.queue, 8)).toBe(0);
    expect(brokenBy(r)).toBe(0);
    r.ring.offer(0);
    expect(r.engine.queuePop(r.queue, 8)).toBe(POP_BROKEN);
    expect(brokenBy(r)).toBe(BROKEN_INUSE);
  });

  it('BG-5 a head in flight is refused, and welcome again once it is pushed', () => {
    const r = filled(4);
    r.ring.offer(2);
    expect(r.engine.queuePop(r.queue, 8)).toBe(1);
    r.ring.push(2);
    r.ring.offer(2, 2);
    expect(r.engine.queuePop(r.queue, 8)).toBe(1);
    expect(brokenBy(r)).toBe(BROKEN_HEAD_TWICE);
    expect(queueWord(r, QUEUE_INUSE)).toBe(1);
  });

  it('VQ-5 VQ-6 requests may end in any order, each with the bytes really written', () => {
    const { engine, queue, ring, machine, room } = filled(4);
    ring.offer(0, 1, 2);
    expect(engine.queuePop(queue, 8)).toBe(3);
    machine.setWord(ring.record(1) + RECORD_WRITTEN, 0xfffffff0);
    machine.setWord(ring.record(2) + RECORD_WRITTEN, 7);
    machine.setWord(ring.record(2) + RECORD_STATUS_AT, room);
    machine.ram8[room] = 0x77;
    expect(ring.push(2, 0)).toBe(1);
    expect(machine.ram8[room]).toBe(0x77); // a raw push writes no status
    expect(ring.usedIdx).toBe(2);
    expect(ring.usedElement(0)).toEqual({ id: 2, length: 7 });
    expect(ring.usedElement(1)).toEqual({ id: 0, length: 0 });
    expect(ring.push(1)).toBe(1);
    expect(ring.usedElement(2)).toEqual({ id: 1, length: 0xfffffff0 });
    expect(ring.push()).toBe(0);
    expect(ring.usedIdx).toBe(3);
  });

  it('VQ-5 a head that is not in flight is not pushed, and the caller is told', () => {
    const r = filled(4);
    r.ring.offer(1, 0);
    expect(r.engine.queuePop(r.queue, 8)).toBe(2);
    // Behind the last record lies the batch, whose first word looks like a record in flight.
    expect(r.ring.batch(0)).toBe(RECORD_IN_FLIGHT);
    expect(r.ring.push(0, 3, 4, 0xffffffff, 0, 1)).toBe(-1);
    expect(r.ring.usedIdx).toBe(2);
    expect([r.ring.usedElement(0).id, r.ring.usedElement(1).id]).toEqual([0, 1]);
    expect(r.ring.push(1)).toBe(-1);
    expect(r.ring.usedIdx).toBe(2);
    expectIdle(r, 4 + CHAIN_BLOCKS_MAX);
  });

  it('VQ-5 push on a broken queue only undoes the bookkeeping', () => {
    const r = filled(4);
    r.ring.offer(0, 1);
    expect(r.engine.queuePop(r.queue, 8)).toBe(2);
    r.engine.queueBreak(r.queue, BROKEN_ENGINE);
    const before = r.machine.guestBytes();
    expect(r.engine.blkPush(r.queue, r.ring.done(0, 1))).toBe(0);
    expect(Buffer.compare(r.machine.guestBytes(), before)).toBe(0);
    expectIdle(r, 4 + CHAIN_BLOCKS_MAX);
    expect(r.ring.field(0, RECORD_STATE)).toBe(RECORD_FREE);
  });

  it('VQ-4 a full chain always finds blocks: pop stalls at 68 free ones and goes on at 69', () => {
    const r = filled(4, 0, CHAIN_BLOCKS_MAX + 1);
    r.ring.offer(0, 1, 2);
    expect(r.engine.queuePop(r.queue, 8)).toBe(2);
    expect(queueWord(r, QUEUE_FREE_COUNT)).toBe(CHAIN_BLOCKS_MAX - 1);
    expect(r.engine.queuePop(r.queue, 8)).toBe(POP_STALLED);
    expect(brokenBy(r)).toBe(0);
    r.ring.push(0);
    expect(r.engine.queuePop(r.queue, 8)).toBe(1);
    expect(r.ring.batch(0)).toBe(2);
  });

  it('VQ-11 unpop gives the newest back, and they are popped again', () => {
    const r = filled(8);
    const { engine, queue, ring, machine } = r;
    ring.offer(0);
    expect(engine.queuePop(queue, 8)).toBe(1);
    ring.offer(5, 4, 3, 2);
    expect(engine.queuePop(queue, 8)).toBe(4);
    engine.queueUnpop(queue, 3);
    expect(queueWord(r, QUEUE_INUSE)).toBe(2);
    expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(2);
    expect(queueWord(r, QUEUE_BATCH_COUNT)).toBe(1);
    expect(machine.wide(queue + QUEUE_POPPED_LO)).toBe(2);
    expect([5, 4].map((head) => ring.field(head, RECORD_STATE))).toEqual([
      RECORD_IN_FLIGHT,
      RECORD_FREE,
    ]);
    expect(engine.queueEmpty(queue)).toBe(0);
    expect(engine.queuePop(queue, 8)).toBe(3);
    expect([0, 1, 2].map((i) => ring.batch(i))).toEqual([4, 3, 2]);
    engine.queueUnpop(queue, 99); // no more than the last batch
    expect(queueWord(r, QUEUE_INUSE)).toBe(2);
    expect(engine.queuePop(queue, 8)).toBe(3);
    expect(engine.queuePop(queue, 8)).toBe(0);
    engine.queueUnpop(queue, 1); // the last batch is empty
    expect(queueWord(r, QUEUE_INUSE)).toBe(5);
  });

  it('VQ-11 the count of popped requests goes over 2^32 and back', () => {
    const r = filled(4);
    r.machine.setWide(r.queue + QUEUE_POPPED_LO, 2 ** 32 - 2);
    r.ring.offer(0, 1, 2);
    expect(r.engine.queuePop(r.queue, 4)).toBe(3);
    expect(r.machine.wide(r.queue + QUEUE_POPPED_LO)).toBe(2 ** 32 + 1);
    r.engine.queueUnpop(r.queue, 2);
    expect(r.machine.wide(r.queue + QUEUE_POPPED_LO)).toBe(2 ** 32 - 1);
  });

  it('VQ-11 unpop across the wrap of the indices', () => {
    const r = filled(4);
    for (const field of [QUEUE_LAST_AVAIL, QUEUE_SHADOW_AVAIL]) {
      r.machine.setWord(r.queue + field, 0xffff);
    }
    r.ring.setSlot(0xffff, 1);
    r.ring.setSlot(0, 2);
    r.ring.publish(1);
    expect(r.engine.queuePop(r.queue, 4)).toBe(2);
    r.engine.queueUnpop(r.queue, 2);
    expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(0xffff);
    expect(r.engine.queuePop(r.queue, 4)).toBe(2);
  });

  it('VQ-11 detach drops a request without a word to the driver', () => {
    const r = filled(4);
    r.ring.offer(1, 0);
    expect(r.engine.queuePop(r.queue, 8)).toBe(2);
    for (const head of [1, 1, 3, 4, 0xffffffff]) r.engine.queueDetach(r.queue, head);
    expect(queueWord(r, QUEUE_INUSE)).toBe(1);
    expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(2);
    expect(r.ring.usedIdx).toBe(0);
    expect(r.ring.push(1)).toBe(-1);
    expect(r.ring.push(0)).toBe(1);
    expectIdle(r, 4 + CHAIN_BLOCKS_MAX);
  });

  it('VQ-11 reset with three in flight leaves nothing in use, and keeps epoch and counters', () => {
    const r = filled(4);
    r.machine.setWord(r.queue + QUEUE_EPOCH, 77);
    r.ring.offer(0, 1, 2);
    expect(r.engine.queuePop(r.queue, 8)).toBe(3);
    r.engine.queueBreak(r.queue, BROKEN_ENGINE);
    r.engine.queueReset(r.queue);
    expectIdle(r, 4 + CHAIN_BLOCKS_MAX);
    expect(queueWord(r, QUEUE_EPOCH)).toBe(77);
    expect(r.machine.wide(r.queue + QUEUE_POPPED_LO)).toBe(3);
    expect([QUEUE_READY, QUEUE_BROKEN, QUEUE_LAST_AVAIL].map((f) => queueWord(r, f))).toEqual([
      0, 0, 0,
    ]);
    expect(r.ring.push(0)).toBe(0); // a completion from before
    const fresh = new RawRing(r.machine, r.queue, 4, r.room + 4096);
    expect(fresh.enable()).toBe(0);
    fresh.describe(1, { at: r.room, length: 1 });
    fresh.offer(1);
    expect(r.engine.queuePop(r.queue, 8)).toBe(1);
  });
}
