/** Latching a ring: sizes, alignment, places (behaviour 3.11, 3.13). */

import { expect, it } from 'vitest';
import {
  BROKEN_MISALIGNED,
  BROKEN_RING_ADDRESS,
  BROKEN_SIZE,
  QUEUE_BROKEN,
  QUEUE_LAST_AVAIL,
  QUEUE_READY,
} from '#src/layout';
import { type Contestant, Machine, RAM_AT } from './machine.ts';
import { RawRing, WRITE } from './raw-ring.ts';
import { EVENT_IDX } from './rig.ts';

export function enableSuite(contestant: Contestant): void {
  it('BG-17 ring size: a power of two up to the capacity, and nothing else', () => {
    const machine = new Machine(contestant);
    const queue = machine.createQueue(16);
    const sizes = [1, 2, 8, 16, 0, 3, 12, 15, 17, 32, 0x80000000, 0xffffffff];
    const verdicts = sizes.map((num) => {
      machine.engine.queueReset(queue);
      const verdict = machine.engine.queueEnable(queue, num, 0, RAM_AT, 0, RAM_AT, 0, RAM_AT, 0);
      expect(machine.word(queue + QUEUE_BROKEN)).toBe(verdict);
      expect(machine.word(queue + QUEUE_READY)).toBe(verdict === 0 ? 1 : 0);
      return verdict;
    });
    expect(verdicts).toEqual([0, 0, 0, 0, ...Array(8).fill(BROKEN_SIZE)]);
  });

  it('BG-17 rings must be aligned: table to 16, available to 2, used to 4', () => {
    const machine = new Machine(contestant);
    const queue = machine.createQueue(4);
    const { engine } = machine;
    const at = RAM_AT + 4096;
    const enable = (desc: number, avail: number, used: number) => {
      engine.queueReset(queue);
      return engine.queueEnable(queue, 4, 0, at + desc, 0, at + avail, 0, at + used, 0);
    };
    expect([enable(16, 2, 4), enable(0, 0, 0)]).toEqual([0, 0]);
    for (const off of [1, 2, 4, 8, 15]) expect(enable(off, 0, 0)).toBe(BROKEN_MISALIGNED);
    expect(enable(0, 1, 0)).toBe(BROKEN_MISALIGNED);
    for (const off of [1, 2, 3]) expect(enable(0, 0, off)).toBe(BROKEN_MISALIGNED);
  });

  it('VQ-14 BG-17 each part of a ring may end where RAM ends, event fields included', () => {
    const machine = new Machine(contestant);
    const queue = machine.createQueue(4);
    const { engine } = machine;
    const end = RAM_AT + machine.ramBytes;
    const sizes = { desc: 64, avail: 4 + 8, used: 4 + 32 };
    const enable = (features: number, desc: number, avail: number, used: number) => {
      engine.queueReset(queue);
      return engine.queueEnable(queue, 4, features, desc, 0, avail, 0, used, 0);
    };
    expect(enable(0, end - sizes.desc, end - sizes.avail, end - sizes.used)).toBe(0);
    expect(enable(0, end - sizes.desc + 16, RAM_AT, RAM_AT)).toBe(BROKEN_RING_ADDRESS);
    expect(enable(0, RAM_AT, end - sizes.avail + 2, RAM_AT)).toBe(BROKEN_RING_ADDRESS);
    expect(enable(0, RAM_AT, RAM_AT, end - sizes.used + 4)).toBe(BROKEN_RING_ADDRESS);
    // With EVENT_IDX two bytes more are read and written.
    expect(enable(EVENT_IDX, RAM_AT, end - sizes.avail, RAM_AT)).toBe(BROKEN_RING_ADDRESS);
    expect(enable(EVENT_IDX, RAM_AT, end - sizes.avail - 2, RAM_AT)).toBe(0);
    expect(enable(EVENT_IDX, RAM_AT, RAM_AT, end - sizes.used)).toBe(BROKEN_RING_ADDRESS);
    expect(enable(EVENT_IDX, RAM_AT, RAM_AT, end - sizes.used - 4)).toBe(0);
    expect(enable(0, RAM_AT - 16, RAM_AT, RAM_AT)).toBe(BROKEN_RING_ADDRESS);
  });

  it('BG-17 a ring address above 4 GiB is not cut to 32 bits', () => {
    const machine = new Machine(contestant);
    const queue = machine.createQueue(4);
    const enable = (desc: number, avail: number, used: number) => {
      machine.engine.queueReset(queue);
      return machine.engine.queueEnable(queue, 4, 0, RAM_AT, desc, RAM_AT, avail, RAM_AT, used);
    };
    expect(enable(0, 0, 0)).toBe(0);
    expect([enable(1, 0, 0), enable(0, 1, 0), enable(0, 0, 0x80000000)]).toEqual(
      Array(3).fill(BROKEN_RING_ADDRESS),
    );
  });

  it('VQ-13 the legacy layout: table, available ring behind it, used ring on the next page', () => {
    const machine = new Machine(contestant);
    const queue = machine.createQueue(256);
    const ring = new RawRing(machine, queue, 256, RAM_AT + 8192);
    const used = Math.ceil((ring.avail + 6 + 512) / 4096) * 4096;
    const { desc, avail } = ring;
    expect(machine.engine.queueEnable(queue, 256, 0, desc, 0, avail, 0, used, 0)).toBe(0);
    ring.describe(9, { at: RAM_AT, length: 4, flags: WRITE });
    ring.offer(9);
    expect(machine.engine.queuePop(queue, 1)).toBe(1);
    expect(ring.push(9)).toBe(1);
    expect(machine.ram16[(used + 2) >>> 1]).toBe(1);
    expect(machine.ram32[(used + 4) >>> 2]).toBe(9);
  });

  it('BG-16 an available ring that is the used ring harms only itself', () => {
    const machine = new Machine(contestant);
    const queue = machine.createQueue(8);
    const desc = RAM_AT + 256;
    const both = desc + 128;
    const ring = new RawRing(machine, queue, 8, desc);
    for (let i = 0; i < 8; i++) ring.describe(i, { at: RAM_AT + 4096, length: 8 });
    const before = machine.guestBytes();
    expect(machine.engine.queueEnable(queue, 8, EVENT_IDX, desc, 0, both, 0, both, 0)).toBe(0);
    let resets = 0;
    for (let i = 0; i < 64; i++) {
      machine.ram16[(both + 2) >>> 1] = machine.word(queue + QUEUE_LAST_AVAIL) + 1 + (i % 3);
      const popped = machine.engine.queuePop(queue, 8);
      for (let k = 0; k < popped; k++) ring.push(ring.batch(k));
      if (machine.word(queue + QUEUE_BROKEN) === 0) continue;
      resets++;
      machine.engine.queueReset(queue);
      machine.engine.queueEnable(queue, 8, EVENT_IDX, desc, 0, both, 0, both, 0);
    }
    expect(resets).toBeGreaterThan(0);
    const after = machine.guestBytes();
    const [start, end] = [both - RAM_AT, both - RAM_AT + 4 + 64 + 2];
    after.set(before.subarray(start, end), start);
    expect(Buffer.compare(after, before)).toBe(0);
  });
}
