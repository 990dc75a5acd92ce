/** Steps of the protocol that no other test would miss: each was found by breaking it. */

import { expect, it } from 'vitest';
import { POP_BROKEN } from '#src/engine/engine';
import {
  BH_ONESHOT,
  BH_SCHEDULED,
  BLOCK_NEXT,
  BROKEN_AVAIL_IDX,
  BROKEN_ENGINE,
  BROKEN_INDIRECT,
  BROKEN_LOOP,
  BROKEN_NEXT,
  BROKEN_ORDER,
  BROKEN_TOO_LONG,
  CHAIN_BLOCKS_MAX,
  CONTEXT_BH_LIST,
  CONTEXT_NOTIFIED,
  CONTEXT_SIZE,
  CONTEXT_SLOTS,
  NOTIFIER_SIZE,
  QUEUE_BATCH_COUNT,
  QUEUE_FREE,
  QUEUE_FREE_COUNT,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_NOTIFICATION,
  QUEUE_SHADOW_AVAIL,
  RECORD_SEGMENTS,
  SLOT_NEXT,
  SLOT_SIZE,
} from '#src/layout';
import { VIRTQ_DESC_F_INDIRECT } from '#src/spec';
import { type Contestant, Machine, RAM_AT } from './machine.ts';
import { NEXT, type Buffer as Piece, WRITE } from './raw-ring.ts';
import {
  brokenBy,
  EVENT_IDX,
  expectIdle,
  INDIRECT,
  popOne,
  queueWord,
  type Rig,
  rig,
} from './rig.ts';

const TABLE = VIRTQ_DESC_F_INDIRECT;
const S = BH_SCHEDULED;

export function edgeSuite(contestant: Contestant): void {
  /** A rig whose heads are all good one-buffer chains. */
  function filled(num: number, features = 0): Rig {
    const r = rig(contestant, { num, features });
    for (let head = 0; head < num; head++) {
      r.ring.describe(head, { at: r.room + head * 64, length: head + 1 });
    }
    return r;
  }

  it('VQ-1 not ready comes before broken', () => {
    const r = filled(4);
    r.ring.offer(0);
    r.engine.queueReset(r.queue);
    r.engine.queueBreak(r.queue, BROKEN_ENGINE);
    expect(r.engine.queuePop(r.queue, 4)).toBe(0);
    expect(r.engine.blkPop(r.queue, 4)).toBe(0);
    expect(r.engine.queueEmpty(r.queue)).toBe(1);
    expect(r.ring.push()).toBe(0);
  });

  it('BG-4 an index out of range is not kept', () => {
    const r = filled(4);
    r.ring.publish(5);
    expect(r.engine.queuePop(r.queue, 4)).toBe(POP_BROKEN);
    expect(brokenBy(r)).toBe(BROKEN_AVAIL_IDX);
    expect([QUEUE_SHADOW_AVAIL, QUEUE_LAST_AVAIL].map((f) => queueWord(r, f))).toEqual([0, 0]);
  });

  it('VQ-3 the available ring wraps: a second lap lies over the first', () => {
    const r = filled(4);
    for (const order of [
      [0, 1, 2, 3],
      [3, 0, 2, 1],
      [2, 3, 1, 0],
    ]) {
      r.ring.offer(...order);
      expect(r.engine.queuePop(r.queue, 4)).toBe(4);
      expect([0, 1, 2, 3].map((i) => r.ring.batch(i))).toEqual(order);
      r.ring.push(...order);
    }
  });

  it('VQ-3 indices wrap at 65536, in the middle of what one look has shown', () => {
    const r = filled(4);
    for (const field of [QUEUE_LAST_AVAIL, QUEUE_SHADOW_AVAIL]) {
      r.machine.setWord(r.queue + field, 0xfffd);
    }
    for (let i = 0; i < 4; i++) r.ring.setSlot((0xfffd + i) & 0xffff, i);
    r.ring.publish(1);
    expect(r.engine.queuePop(r.queue, 1)).toBe(1);
    expect(r.engine.queuePop(r.queue, 8)).toBe(3);
    expect([0, 1, 2].map((i) => r.ring.batch(i))).toEqual([1, 2, 3]);
    expect([brokenBy(r), queueWord(r, QUEUE_LAST_AVAIL)]).toEqual([0, 1]);
  });

  it('VQ-11 a pop that gives nothing leaves nothing to unpop', () => {
    const r = filled(4);
    r.ring.offer(0, 1);
    expect(r.engine.queuePop(r.queue, 4)).toBe(2);
    expect(r.engine.queuePop(r.queue, 4)).toBe(0);
    expect(queueWord(r, QUEUE_BATCH_COUNT)).toBe(0);
    r.engine.queueUnpop(r.queue, 2);
    expect(queueWord(r, QUEUE_INUSE)).toBe(2);
    r.ring.offer(2);
    expect(r.engine.queuePop(r.queue, 4)).toBe(1);
    r.engine.queueReset(r.queue);
    expect(queueWord(r, QUEUE_BATCH_COUNT)).toBe(0);
    r.engine.queueUnpop(r.queue, 1);
    expectIdle(r, 4 + CHAIN_BLOCKS_MAX);
    expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(0);
  });

  it('VQ-11 unpop never goes beyond the last batch', () => {
    const r = filled(8);
    r.ring.offer(5, 4, 3);
    expect(r.engine.queuePop(r.queue, 2)).toBe(2);
    expect(r.engine.queuePop(r.queue, 2)).toBe(1);
    // What lies before and behind the list looks like heads in flight.
    r.machine.setWord(r.ring.listAt + 4, 4);
    r.machine.setWord(r.ring.listAt - 4, 5);
    r.engine.queueUnpop(r.queue, 3);
    expect(queueWord(r, QUEUE_INUSE)).toBe(2);
    expect(queueWord(r, QUEUE_LAST_AVAIL)).toBe(2);
  });

  it('BG-2 what lies behind a table is no descriptor, however good it looks', () => {
    const r = rig(contestant, { num: 8 });
    // As a descriptor, the available ring behind the table is: address RAM_AT, length 8, no flags.
    r.ring.setSlot(2, 8);
    expect(popOne(r, [{ at: r.room, length: 8, flags: NEXT, next: 8 }])).toBe(POP_BROKEN);
    expect(brokenBy(r)).toBe(BROKEN_NEXT);
    const inTable = rig(contestant, { num: 8, features: INDIRECT });
    const at = inTable.room + 4096;
    inTable.ring.describe(0, { at: inTable.room, length: 8, flags: NEXT, next: 1 }, at);
    inTable.ring.describe(1, { at: inTable.room, length: 8 }, at);
    expect(popOne(inTable, [{ at, length: 16, flags: TABLE }])).toBe(POP_BROKEN);
    expect(brokenBy(inTable)).toBe(BROKEN_NEXT);
  });

  it('BG-3 a loop is noticed before a descriptor is read again', () => {
    // Read once more, the first would be a readable buffer behind a writable one.
    const r = rig(contestant, { num: 8, features: INDIRECT });
    const list: Piece[] = Array.from({ length: 8 }, (_, i) => ({
      at: r.room,
      length: 8,
      flags: i === 0 ? 0 : WRITE,
    }));
    list[7] = { ...list[7]!, flags: WRITE | NEXT, next: 0 };
    expect(popOne(r, list)).toBe(POP_BROKEN);
    expect(brokenBy(r)).toBe(BROKEN_LOOP);
    const inTable = rig(contestant, { num: 8, features: INDIRECT });
    inTable.ring.chain(0, list, inTable.room + 4096);
    popOne(inTable, [{ at: inTable.room + 4096, length: 8 * 16, flags: TABLE }]);
    expect(brokenBy(inTable)).toBe(BROKEN_LOOP);
  });

  it('BG-3 a table of its own length is no loop', () => {
    for (const length of [1, 2, 14, 15, 16, 17, 30, 31]) {
      const r = rig(contestant, { num: 32, features: INDIRECT });
      const list = Array.from({ length }, (_, i) => ({ at: r.room + i * 8, length: 8 }));
      r.ring.chain(0, list, r.room + 4096);
      expect(popOne(r, [{ at: r.room + 4096, length: length * 16, flags: TABLE }])).toBe(1);
      expect(r.ring.segments(0)).toHaveLength(length);
    }
    for (const num of [1, 2, 16, 32]) {
      const r = rig(contestant, { num });
      expect(popOne(r, Array(num).fill({ at: r.room, length: 8 }))).toBe(1);
    }
  });

  it('BG-7 the order holds in every region', () => {
    const places = [0x10_0000, 0x20_0000, 0x30_0000];
    for (const writable of places) {
      for (const readable of places) {
        const r = rig(contestant);
        r.machine.setRegions(
          places.map((guest, i) => ({ guest, size: 4096, offset: RAM_AT + 65536 + i * 4096 })),
        );
        const first = { at: writable, length: 8, flags: WRITE };
        expect(popOne(r, [first, { at: readable, length: 8 }])).toBe(POP_BROKEN);
        expect(brokenBy(r)).toBe(BROKEN_ORDER);
      }
    }
  });

  it('BG-8 a misaligned table is read where it lies, not at the word before', () => {
    const r = rig(contestant, { features: INDIRECT });
    r.machine.setRegions([{ guest: 0, size: 1 << 20, offset: RAM_AT }]);
    // Read two bytes too early, this is a good buffer, too: 65536 bytes at 0x20000.
    const table = r.room + 4096 + 2;
    r.ring.describe(0, { at: 2, length: 1 }, table);
    expect(popOne(r, [{ at: table - RAM_AT, length: 16, flags: TABLE }])).toBe(1);
    expect(r.ring.segments(0)).toEqual([{ address: RAM_AT + 2, length: 1 }]);
  });

  it('BG-9 a good table inside a good table', () => {
    const r = rig(contestant, { features: INDIRECT });
    const [outer, inner] = [r.room + 4096, r.room + 8192];
    r.ring.describe(0, { at: r.room, length: 8 }, inner);
    r.ring.describe(0, { at: inner, length: 16, flags: TABLE }, outer);
    expect(popOne(r, [{ at: outer, length: 16, flags: TABLE }])).toBe(POP_BROKEN);
    expect(brokenBy(r)).toBe(BROKEN_INDIRECT);
  });

  it('BG-11 too long is told before what is wrong behind it, in the middle of a block', () => {
    const ramBytes = 256 * 65536;
    const huge = { at: RAM_AT, length: ramBytes };
    const tiny = { at: RAM_AT, length: 1 };
    const behind = (last: Piece, flags = 0) => {
      const r = rig(contestant, { features: INDIRECT, ramBytes });
      const most = Array(255).fill({ ...huge, flags });
      const list = [tiny, tiny, ...most, { ...huge, length: ramBytes - 4, flags }, last];
      const at = r.room + 65536;
      r.ring.chain(0, list, at);
      popOne(r, [{ at, length: list.length * 16, flags: TABLE }]);
      return brokenBy(r);
    };
    expect(behind(tiny)).toBe(0); // 2^32 - 1
    const beyond = { ...tiny, length: 2, flags: NEXT };
    for (const flags of [0, WRITE]) {
      expect(behind({ ...beyond, flags: flags | NEXT, next: 0 }, flags)).toBe(BROKEN_TOO_LONG);
      expect(behind({ ...beyond, flags: flags | NEXT, next: 999 }, flags)).toBe(BROKEN_TOO_LONG);
    }
    expect(behind({ ...beyond, flags: NEXT, next: 258 })).toBe(BROKEN_TOO_LONG);
  });

  it('VQ-4 the last block of a chain links to none', () => {
    for (const [length, blocks] of [
      [1, 1],
      [15, 1],
      [16, 2],
      [31, 3],
    ] as const) {
      const r = rig(contestant, { num: 32 });
      expect(popOne(r, Array(length).fill({ at: r.room, length: 8 }))).toBe(1);
      let block = r.ring.field(0, RECORD_SEGMENTS);
      for (let i = 1; i < blocks; i++) block = r.machine.word(block + BLOCK_NEXT);
      expect(r.machine.word(block + BLOCK_NEXT)).toBe(0);
    }
  });

  it('VQ-4 two chains in flight share no block', () => {
    const r = filled(8);
    r.ring.offer(1, 6, 3);
    expect(r.engine.queuePop(r.queue, 8)).toBe(3);
    for (const head of [1, 6, 3]) {
      expect(r.ring.segments(head)).toEqual([{ address: r.room + head * 64, length: head + 1 }]);
    }
  });

  /** Blocks of the free list, counted by following it. */
  function freeBlocks(r: Rig): number {
    let count = 0;
    for (let block = queueWord(r, QUEUE_FREE); block !== 0 && count < 10_000; count++) {
      block = r.machine.word(block + BLOCK_NEXT);
    }
    return count;
  }

  it('VQ-4 blocks come back in front of those that are free', () => {
    for (const length of [1, 15, 16, 40]) {
      const r = rig(contestant, { num: 64 });
      expect(popOne(r, Array(length).fill({ at: r.room, length: 8 }))).toBe(1);
      const mine = r.ring.field(0, RECORD_SEGMENTS);
      expect(freeBlocks(r)).toBe(queueWord(r, QUEUE_FREE_COUNT));
      r.ring.push(0);
      expect(queueWord(r, QUEUE_FREE)).toBe(mine);
      expect(freeBlocks(r)).toBe(64 + CHAIN_BLOCKS_MAX);
    }
  });

  it('VQ-11 after a reset every block is free', () => {
    const r = filled(4);
    r.ring.offer(0, 1, 2);
    expect(r.engine.queuePop(r.queue, 4)).toBe(3);
    r.engine.queueReset(r.queue);
    expect(freeBlocks(r)).toBe(4 + CHAIN_BLOCKS_MAX);
  });

  it('VQ-5 a head beyond the records is refused, whatever lies there', () => {
    const r = filled(4);
    r.ring.offer(1, 0);
    expect(r.engine.queuePop(r.queue, 4)).toBe(2);
    r.machine.setWord(r.ring.record(4), r.machine.word(r.ring.record(1))); // looks in flight
    expect(r.ring.push(4)).toBe(-1);
    expect([r.ring.usedIdx, queueWord(r, QUEUE_INUSE)]).toEqual([0, 2]);
    r.engine.queueDetach(r.queue, 4);
    expect(queueWord(r, QUEUE_INUSE)).toBe(2);
  });

  it('VQ-5 the used ring wraps: elements of a second lap lie over those of the first', () => {
    const r = filled(4);
    for (const order of [
      [0, 1, 2, 3],
      [3, 0, 2, 1],
      [2, 3, 1, 0],
    ]) {
      r.ring.offer(0, 1, 2, 3);
      expect(r.engine.queuePop(r.queue, 4)).toBe(4);
      const behind = r.machine.ram8.slice(r.ring.end - 2, r.ring.end + 256);
      for (const head of order) r.ring.push(head);
      expect([0, 1, 2, 3].map((i) => r.ring.usedElement(i).id)).toEqual(order);
      expect(r.machine.ram8.slice(r.ring.end - 2, r.ring.end + 256)).toEqual(behind);
    }
  });

  it('VQ-6 a raw push writes no status byte', () => {
    const r = rig(contestant);
    const status = { at: r.room + 64, length: 1, flags: WRITE };
    r.ring.chain(0, [{ at: r.room, length: 16 }, status]);
    r.ring.offer(0);
    expect(r.engine.blkPop(r.queue, 1)).toBe(1);
    r.machine.ram8[status.at] = 0x77;
    expect(r.ring.push(0)).toBe(1);
    expect(r.machine.ram8[status.at]).toBe(0x77);
  });

  it('VQ-9 without EVENT_IDX no event field is written', () => {
    const r = filled(4, 0);
    r.ring.offer(0, 1);
    expect(r.engine.queuePop(r.queue, 4)).toBe(2);
    expect(r.ring.availEvent).toBe(0);
    expect(r.engine.queueSetNotification(r.queue, 1)).toBe(0);
    expect(r.ring.availEvent).toBe(0);
  });

  it('VQ-9 with EVENT_IDX used.flags stays 0', () => {
    const r = filled(4, EVENT_IDX);
    for (const on of [0, 1, 0]) {
      r.engine.queueSetNotification(r.queue, on);
      expect(r.ring.usedFlags).toBe(0);
    }
  });

  it('VQ-9 turning kicks off leaves avail_event alone, and turning on writes it', () => {
    const r = filled(4, EVENT_IDX);
    r.ring.offer(0, 1, 2);
    r.engine.queueSetNotification(r.queue, 0);
    expect(r.ring.availEvent).toBe(0);
    r.engine.queueSetNotification(r.queue, 1);
    expect(r.ring.availEvent).toBe(3);
  });

  it('VQ-9 turning kicks off is never told of buffers', () => {
    for (const features of [0, EVENT_IDX]) {
      const r = filled(4, features);
      r.ring.offer(0);
      expect(r.engine.queueSetNotification(r.queue, 0)).toBe(0);
      expect(r.engine.queueSetNotification(r.queue, 1)).toBe(1);
    }
  });

  it('VQ-9 after a reset kicks are on', () => {
    const r = filled(4, EVENT_IDX);
    r.engine.queueSetNotification(r.queue, 0);
    r.engine.queueReset(r.queue);
    expect(queueWord(r, QUEUE_NOTIFICATION)).toBe(1);
    expect(r.ring.enable(EVENT_IDX)).toBe(0);
    r.ring.offer(0);
    expect(r.engine.queuePop(r.queue, 1)).toBe(1);
    expect(r.ring.availEvent).toBe(1);
  });

  function makeContext() {
    const machine = new Machine(contestant);
    const context = machine.allocate(CONTEXT_SIZE);
    machine.setWord(context + CONTEXT_SLOTS, machine.allocate(8 * SLOT_SIZE));
    return { machine, engine: machine.engine, context };
  }

  it('NT-9 a notifier that nobody watches writes nothing else', () => {
    const { machine, engine } = makeContext();
    const notifier = machine.allocate(NOTIFIER_SIZE);
    expect(engine.notifierSet(notifier)).toBe(0);
    expect(machine.word(CONTEXT_NOTIFIED)).toBe(0); // address 0 is null, and no context
    machine.setWord(CONTEXT_NOTIFIED + 4, 1);
    expect(engine.notifierSet(notifier)).toBe(0);
  });

  it('BH-3 a slot that is pending is not linked a second time', () => {
    const { machine, engine, context } = makeContext();
    for (const slot of [3, 5, 3, 5]) engine.bhEnqueue(context, slot, 0, S);
    const slots = machine.word(context + CONTEXT_SLOTS);
    const links = [3, 5].map((slot) => machine.word(slots + slot * SLOT_SIZE + SLOT_NEXT));
    expect([machine.word(context + CONTEXT_BH_LIST), ...links]).toEqual([6, 0, 4]);
  });

  it('BH-6 BH-7 a generation is told from its 24 low bits', () => {
    const { engine, context } = makeContext();
    expect(engine.bhEnqueue(context, 1, 0x0100_0000, S)).toBe(0);
    engine.bhCancel(context, 1, 0x0500_0000);
    engine.bhTake(context);
    expect((engine.bhNext(context) >>> 16) & S).toBe(0);
    expect(engine.bhEnqueue(context, 1, 0xff00_0000, S | BH_ONESHOT)).toBe(0);
  });

  it('BH-10 oldest first, over three takes', () => {
    const { engine, context } = makeContext();
    for (const slots of [[5, 0], [7], [2, 1, 6]]) {
      for (const slot of slots) engine.bhEnqueue(context, slot, 0, S);
      engine.bhTake(context);
    }
    const order = Array.from({ length: 7 }, () => engine.bhNext(context));
    expect(order.map((next) => (next < 0 ? next : next & 0xffff))).toEqual([5, 0, 7, 2, 1, 6, -1]);
  });
}
