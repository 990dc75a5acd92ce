/** Descriptor chains: what a good one looks like and where each rule ends (behaviour 3.13). */

import { expect, it } from 'vitest';
import { POP_BROKEN } from '#src/engine/engine';
import {
  BROKEN_ADDRESS,
  BROKEN_INDIRECT,
  BROKEN_INDIRECT_SIZE,
  BROKEN_LOOP,
  BROKEN_NEXT,
  BROKEN_ORDER,
  BROKEN_TOO_LONG,
  BROKEN_ZERO_LENGTH,
  CHAIN_BLOCKS_MAX,
  QUEUE_FREE_COUNT,
  QUEUE_LAST_AVAIL,
  RECORD_IN_BYTES,
  RECORD_IN_COUNT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_STATE,
  RECORD_WRITTEN,
  SEGMENTS_MAX,
} from '#src/layout';
import { VIRTQ_DESC_F_INDIRECT } from '#src/spec';
import { type Contestant, RAM_AT } from './machine.ts';
import { type Buffer, NEXT, RawRing, WRITE } from './raw-ring.ts';
import { brokenBy, expectIdle, INDIRECT, popOne, queueWord, type Rig, rig } from './rig.ts';

const TABLE = VIRTQ_DESC_F_INDIRECT;

export function chainSuite(contestant: Contestant): void {
  /** Pops one chain of `buffers`; 0 if it is good, else why the queue broke. */
  function verdict(buffers: readonly Buffer[], features = INDIRECT, num = 8): number {
    const r = rig(contestant, { num, features });
    return verdictOf(r, popOne(r, buffers));
  }

  function verdictOf(r: Rig, popped: number): number {
    const reason = brokenBy(r);
    expect(popped).toBe(reason === 0 ? 1 : POP_BROKEN);
    if (reason === 0) return 0;
    expectIdle(r, r.ring.num + CHAIN_BLOCKS_MAX);
    expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(0);
    expect(r.ring.field(0, RECORD_STATE)).toBe(0);
    return reason;
  }

  /** Puts a table of `buffers` at `at` and a chain of one descriptor that refers to it. */
  function throughTable(r: Rig, at: number, buffers: readonly Buffer[]): number {
    r.ring.chain(0, buffers, at);
    return popOne(r, [{ at, length: buffers.length * 16, flags: TABLE }]);
  }

  const room = RAM_AT + 8192;
  const one = { at: room, length: 8 };

  it('VQ-4 readable segments first, then writable ones, with their bytes', () => {
    const r = rig(contestant);
    const list = [
      { at: room, length: 16 },
      { at: room + 100, length: 3 },
      { at: room + 200, length: 512, flags: WRITE },
      { at: room + 900, length: 1, flags: WRITE },
    ];
    r.machine.setWord(r.ring.record(0) + RECORD_WRITTEN, 99);
    expect(popOne(r, list)).toBe(1);
    expect(r.ring.segments(0)).toEqual(list.map(({ at, length }) => ({ address: at, length })));
    const fields = [RECORD_OUT_COUNT, RECORD_IN_COUNT, RECORD_OUT_BYTES, RECORD_IN_BYTES];
    expect(fields.map((field) => r.ring.field(0, field))).toEqual([2, 2, 19, 513]);
    expect(r.ring.field(0, RECORD_WRITTEN)).toBe(0);
  });

  it('VQ-4 a chain of only readable or only writable buffers', () => {
    for (const flags of [0, WRITE]) {
      const r = rig(contestant);
      expect(
        popOne(r, [
          { ...one, flags },
          { ...one, flags },
        ]),
      ).toBe(1);
      const counts = [RECORD_OUT_COUNT, RECORD_IN_COUNT, RECORD_OUT_BYTES, RECORD_IN_BYTES];
      const seen = counts.map((field) => r.ring.field(0, field));
      expect(seen).toEqual(flags === 0 ? [2, 0, 16, 0] : [0, 2, 0, 16]);
    }
  });

  it('BG-2 next: num - 1 is followed, num breaks the queue', () => {
    for (const next of [7, 8, 0xffff]) {
      const r = rig(contestant, { num: 8 });
      r.ring.describe(7, one);
      const popped = popOne(r, [{ ...one, flags: NEXT, next }]);
      expect(verdictOf(r, popped)).toBe(next === 7 ? 0 : BROKEN_NEXT);
    }
  });

  it('BG-2 a good descriptor right behind the table is not part of it', () => {
    for (const next of [7, 8]) {
      const r = rig(contestant, { num: 16, capacity: 16 });
      const { machine, engine, queue, ring } = r;
      const half = new RawRing(machine, queue, 8, r.room + 4096);
      engine.queueReset(queue);
      const { avail, used } = half;
      expect(engine.queueEnable(queue, 8, 0, ring.desc, 0, avail, 0, used, 0)).toBe(0);
      for (let i = 0; i < 16; i++) ring.describe(i, one);
      ring.describe(0, { ...one, flags: NEXT, next });
      half.offer(0);
      expect(engine.queuePop(queue, 1)).toBe(next === 7 ? 1 : POP_BROKEN);
      expect(brokenBy(r)).toBe(next === 7 ? 0 : BROKEN_NEXT);
    }
  });

  it('BG-2 next in an indirect table is bounded by that table', () => {
    for (const next of [2, 3, 7]) {
      const r = rig(contestant, { num: 8, features: INDIRECT });
      const popped = throughTable(r, r.room, [{ ...one, flags: NEXT, next }, one, one]);
      expect(verdictOf(r, popped)).toBe(next === 2 ? 0 : BROKEN_NEXT);
    }
  });

  it('BG-2 a next without NEXT is not looked at', () => {
    expect(verdict([{ ...one, next: 0xffff }])).toBe(0);
  });

  it('BG-3 a chain may use each descriptor once: num of them, not one more', () => {
    expect(verdict(Array(8).fill(one))).toBe(0);
    expect(
      verdict(
        Array(8)
          .fill(one)
          .with(7, { ...one, flags: NEXT, next: 0 }),
      ),
    ).toBe(BROKEN_LOOP);
  });

  it('BG-3 a descriptor that follows itself, and two that follow each other', () => {
    expect(verdict([{ ...one, flags: NEXT, next: 0 }])).toBe(BROKEN_LOOP);
    expect(verdict([one, { ...one, flags: NEXT, next: 0 }])).toBe(BROKEN_LOOP);
  });

  it('BG-3 a loop in an indirect table, which has a count of its own', () => {
    for (const loops of [false, true]) {
      const r = rig(contestant, { num: 2, features: INDIRECT });
      const last = loops ? { ...one, flags: NEXT, next: 1 } : one;
      r.ring.chain(0, [one, one, one, one, last], r.room);
      const popped = popOne(r, [one, { at: r.room, length: 80, flags: TABLE }]);
      expect(verdictOf(r, popped)).toBe(loops ? BROKEN_LOOP : 0);
      if (!loops) expect(r.ring.segments(0)).toHaveLength(6);
    }
  });

  it('BG-6 a buffer of one byte is good, of none breaks the queue', () => {
    expect(verdict([one, { at: room, length: 1 }])).toBe(0);
    expect(verdict([one, { at: room, length: 0 }])).toBe(BROKEN_ZERO_LENGTH);
    expect(verdict([{ at: room, length: 0, flags: WRITE }])).toBe(BROKEN_ZERO_LENGTH);
  });

  it('BG-7 a readable buffer behind a writable one breaks the queue', () => {
    const writable = { ...one, flags: WRITE };
    expect(verdict([one, writable, writable])).toBe(0);
    expect(verdict([one, writable, one])).toBe(BROKEN_ORDER);
    expect(verdict([writable, one])).toBe(BROKEN_ORDER);
  });

  it('BG-7 the order holds across the border of an indirect table', () => {
    for (const flags of [0, WRITE]) {
      const r = rig(contestant, { features: INDIRECT });
      r.ring.chain(0, [{ ...one, flags }], r.room);
      const first = { ...one, flags: WRITE };
      const popped = popOne(r, [first, { at: r.room, length: 16, flags: TABLE }]);
      expect(verdictOf(r, popped)).toBe(flags === 0 ? BROKEN_ORDER : 0);
    }
  });

  it('BG-8 an indirect table is a multiple of 16 bytes and not empty', () => {
    const sizes = [16, 32, 0, 1, 8, 15, 17, 24, 40];
    const verdicts = sizes.map((length) => {
      const r = rig(contestant, { features: INDIRECT });
      r.ring.describe(0, one, r.room);
      return verdictOf(r, popOne(r, [{ at: r.room, length, flags: TABLE }]));
    });
    expect(verdicts).toEqual([0, 0, ...Array(7).fill(BROKEN_INDIRECT_SIZE)]);
  });

  it('BG-8 an indirect table may end where RAM ends, and lie at any address', () => {
    for (const beyond of [0, 1]) {
      const r = rig(contestant, { features: INDIRECT });
      const end = RAM_AT + r.machine.ramBytes;
      r.ring.describe(0, one, end - 32);
      r.ring.describe(1, one, end - 32);
      const at = end - 32 + beyond;
      const popped = popOne(r, [{ at, length: 32, flags: TABLE }]);
      expect(verdictOf(r, popped)).toBe(beyond ? BROKEN_ADDRESS : 0);
    }
    for (const off of [1, 2, 3, 5, 8]) {
      const r = rig(contestant, { features: INDIRECT });
      const list = [one, { at: room + 999, length: 77, flags: WRITE }];
      expect(verdictOf(r, throughTable(r, r.room + off, list))).toBe(0);
      expect(r.ring.segments(0)).toEqual(list.map((b) => ({ address: b.at, length: b.length })));
    }
  });

  it('BG-9 an indirect table that was not negotiated, has a NEXT or is inside another', () => {
    const refer = { at: room, length: 16, flags: TABLE };
    const inRing = (feature: number, flags: number) => {
      const r = rig(contestant, { features: feature });
      r.ring.describe(0, one, room);
      r.ring.describe(0, { ...refer, flags, next: 1 });
      r.ring.describe(1, one);
      r.ring.offer(0);
      return verdictOf(r, r.engine.queuePop(r.queue, 1));
    };
    expect(inRing(INDIRECT, TABLE)).toBe(0);
    expect(inRing(0, TABLE)).toBe(BROKEN_INDIRECT);
    expect(inRing(INDIRECT, TABLE | NEXT)).toBe(BROKEN_INDIRECT);
    const nested = rig(contestant, { features: INDIRECT });
    const popped = throughTable(nested, nested.room, [one, { ...refer, at: nested.room + 256 }]);
    expect(verdictOf(nested, popped)).toBe(BROKEN_INDIRECT);
  });

  it('VQ-12 an indirect table after normal descriptors; its WRITE flag means nothing', () => {
    const r = rig(contestant, { features: INDIRECT });
    const [header, data, status] = [
      { at: room, length: 16 },
      { at: room + 512, length: 512 },
      { at: room + 16, length: 1, flags: WRITE },
    ] as const;
    r.ring.chain(0, [data, status], r.room);
    const popped = popOne(r, [header, { at: r.room, length: 32, flags: TABLE | WRITE }]);
    expect(verdictOf(r, popped)).toBe(0);
    expect(r.ring.segments(0).map((s) => s.address)).toEqual([room, room + 512, room + 16]);
    expect(r.ring.field(0, RECORD_OUT_COUNT)).toBe(2);
  });

  it('BG-11 VQ-4 1024 segments are a chain, 1025 break the queue', () => {
    for (const beyond of [0, 1]) {
      const r = rig(contestant, { features: INDIRECT });
      const list = Array.from({ length: SEGMENTS_MAX + beyond }, (_, i) => ({
        at: room + i,
        length: 1 + (i % 3),
        flags: i < 500 ? 0 : WRITE,
      }));
      const popped = throughTable(r, room + 65536, list);
      expect(verdictOf(r, popped)).toBe(beyond ? BROKEN_TOO_LONG : 0);
      if (beyond) continue;
      expect(queueWord(r, QUEUE_FREE_COUNT)).toBe(8);
      expect(r.ring.segments(0)).toEqual(list.map((b) => ({ address: b.at, length: b.length })));
      expect([r.ring.field(0, RECORD_OUT_COUNT), r.ring.field(0, RECORD_IN_COUNT)]).toEqual([
        500, 524,
      ]);
      r.ring.push(0);
      expectIdle(r, 8 + CHAIN_BLOCKS_MAX);
    }
  });

  it('BG-11 1024 descriptors of the ring are a chain, 1025 break the queue', () => {
    for (const beyond of [0, 1]) {
      const r = rig(contestant, { num: 2048, stateBytes: 16 * 65536 });
      const list = Array.from({ length: SEGMENTS_MAX + beyond }, () => ({ at: r.room, length: 2 }));
      const popped = popOne(r, list);
      expect(verdictOf(r, popped)).toBe(beyond ? BROKEN_TOO_LONG : 0);
    }
  });

  it('BG-11 a block of 15 segments is full at 15, and a second one begins at 16', () => {
    for (const length of [14, 15, 16, 30, 31]) {
      const r = rig(contestant, { num: 64 });
      const list = Array.from({ length }, (_, i) => ({ at: room + i * 16, length: i + 1 }));
      expect(popOne(r, list)).toBe(1);
      const free = 64 + CHAIN_BLOCKS_MAX - Math.ceil(length / 15);
      expect(queueWord(r, QUEUE_FREE_COUNT)).toBe(free);
      expect(r.ring.segments(0)).toEqual(list.map((b) => ({ address: b.at, length: b.length })));
    }
  });

  it('BG-11 a chain is shorter than 4 GiB: 2^32 - 1 bytes are good, 2^32 break the queue', () => {
    for (const flags of [0, WRITE]) {
      for (const beyond of [0, 1]) {
        const r = rig(contestant, { features: INDIRECT, ramBytes: 64 * 65536 });
        // 1023 times the same 4 MiB, and once 4 MiB less one byte
        const most = r.machine.ramBytes;
        const list = Array.from({ length: 1024 }, (_, i) => ({
          at: RAM_AT,
          length: i === 1023 ? most - 1 + beyond : most,
          flags,
        }));
        const popped = throughTable(r, room + 65536, list);
        expect(verdictOf(r, popped)).toBe(beyond ? BROKEN_TOO_LONG : 0);
        const field = flags === 0 ? RECORD_OUT_BYTES : RECORD_IN_BYTES;
        if (!beyond) expect(r.ring.field(0, field)).toBe(0xffffffff);
      }
    }
  });

  it('BG-6 to BG-11 one descriptor that breaks two rules: the first in the contract counts', () => {
    const far = RAM_AT - 4096;
    const writable = { ...one, flags: WRITE };
    const table = { at: room, length: 16, flags: TABLE };
    expect(verdict([writable, { at: far, length: 0 }])).toBe(BROKEN_ZERO_LENGTH);
    expect(verdict([writable, { at: far, length: 8 }])).toBe(BROKEN_ORDER);
    expect(verdict([{ ...table, length: 8, flags: TABLE | NEXT }])).toBe(BROKEN_INDIRECT);
    expect(verdict([{ ...table, length: 0 }], 0)).toBe(BROKEN_INDIRECT);
    expect(verdict([{ ...table, at: far, length: 8 }])).toBe(BROKEN_INDIRECT_SIZE);
    expect(verdict([{ ...table, at: far }])).toBe(BROKEN_ADDRESS);
  });

  it('BG-11 2^32 - 1 and 2^32 bytes without a table', () => {
    const ramBytes = 256 * 65536;
    for (const flags of [0, WRITE]) {
      for (const length of [ramBytes - 1, ramBytes]) {
        const r = rig(contestant, { num: 512, ramBytes, stateBytes: 16 * 65536 });
        const huge = { at: RAM_AT, length: ramBytes, flags };
        const popped = popOne(r, [...Array(255).fill(huge), { ...huge, length }]);
        expect(verdictOf(r, popped)).toBe(length === ramBytes ? BROKEN_TOO_LONG : 0);
        const field = flags === 0 ? RECORD_OUT_BYTES : RECORD_IN_BYTES;
        if (popped === 1) expect(r.ring.field(0, field)).toBe(0xffffffff);
      }
    }
  });

  it('BG-11 a chain of 4 GiB is too long where it gets so long, whatever comes behind', () => {
    const ramBytes = 256 * 65536;
    const huge = { at: RAM_AT, length: ramBytes };
    const far = { at: RAM_AT - 4096, length: ramBytes };
    const less = { ...huge, length: ramBytes - 1 };
    /** Behind 255 buffers of 16 MiB, readable or writable. */
    const behind = (flags: number, ...last: Buffer[]) => {
      const r = rig(contestant, { features: INDIRECT, ramBytes });
      const list = [...Array(255).fill({ ...huge, flags }), ...last];
      return verdictOf(r, throughTable(r, room + 65536, list));
    };
    const outside = { ...one, flags: NEXT, next: 999 };
    const empty = { at: room, length: 0 };
    const nested = { at: room, length: 16, flags: TABLE };
    expect(behind(0, less)).toBe(0);
    for (const next of [empty, outside, far, nested, one]) {
      expect(behind(0, huge, next)).toBe(BROKEN_TOO_LONG);
    }
    expect(behind(WRITE, { ...huge, flags: WRITE }, one)).toBe(BROKEN_TOO_LONG);
    expect(behind(0, far)).toBe(BROKEN_TOO_LONG);
    expect(behind(WRITE, huge)).toBe(BROKEN_ORDER);
    expect(behind(0, nested)).toBe(BROKEN_INDIRECT);
    expect(behind(0, less, empty)).toBe(BROKEN_ZERO_LENGTH);
    expect(behind(0, less, nested)).toBe(BROKEN_INDIRECT);
    expect(behind(0, { ...less, flags: NEXT, next: 999 })).toBe(BROKEN_NEXT);
  });

  it('BG-15 descriptors rewritten after the pop change nothing', () => {
    const r = rig(contestant);
    expect(popOne(r, [one, { ...one, flags: WRITE }])).toBe(1);
    const before = r.ring.segments(0);
    r.ring.chain(0, [{ at: 0, length: 0xffffffff }]);
    expect(r.ring.segments(0)).toEqual(before);
    expect(r.engine.zeroChain(r.queue, 0, 0, 100)).toBe(8);
  });
}
