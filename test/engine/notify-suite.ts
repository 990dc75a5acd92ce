/** Interrupts and kicks: who wants to be told of what (VIRTIO 1.3, 2.7.7 and 2.7.10). */

import { expect, it } from 'vitest';
import {
  BROKEN_ENGINE,
  QUEUE_F_NOTIFY_ON_EMPTY,
  QUEUE_INTERRUPTS_LO,
  QUEUE_NOTIFICATION,
  QUEUE_SIGNALLED_USED,
  QUEUE_SIGNALLED_VALID,
  QUEUE_USED_IDX,
} from '#src/layout';
import { VIRTQ_AVAIL_F_NO_INTERRUPT, VIRTQ_USED_F_NO_NOTIFY } from '#src/spec';
import type { Contestant } from './machine.ts';
import { EVENT_IDX, queueWord, type Rig, rig } from './rig.ts';

export function notifySuite(contestant: Contestant): void {
  function filled(num: number, features: number): Rig {
    const r = rig(contestant, { num, features });
    for (let head = 0; head < num; head++) r.ring.describe(head, { at: r.room, length: 1 });
    return r;
  }

  /** Offers, pops and pushes `count` chains at once. Returns what push returns. */
  function complete(r: Rig, count: number): number {
    const heads = Array.from({ length: count }, (_, i) => i);
    r.ring.offer(...heads);
    expect(r.engine.queuePop(r.queue, count)).toBe(count);
    return r.ring.push(...heads);
  }

  /** Does one of the entries old .. old + count - 1 have the number that the driver waits for? */
  function passes(event: number, old: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (((old + i) & 0xffff) === event) return true;
    return false;
  }

  /** Asks the engine: with used.idx at `old`, do `count` more pass `event`? */
  function asker(r: Rig) {
    const { engine, queue, ring, machine } = r;
    const [state, ram] = [machine.u32, machine.ram16];
    const [used, signalled] = [queue + QUEUE_USED_IDX, queue + QUEUE_SIGNALLED_USED];
    const event = (ring.avail + 4 + ring.num * 2) >>> 1;
    ring.done(0, 1, 2, 3, 4, 5, 6, 7);
    for (let i = 0; i < 8; i++) ring.setSlot(i, i);
    let last = 0;
    return (usedEvent: number, old: number, count: number): number => {
      // Slots follow `last`, and heads 0 .. count - 1 must come: begin at a multiple of num.
      last = (last + 8) & 0xfff8;
      state[(queue + 24) >>> 2] = last;
      state[(queue + 28) >>> 2] = last;
      ram[(ring.avail + 2) >>> 1] = last + count;
      if (engine.queuePop(queue, count) !== count) throw new Error('pop failed');
      state[used >>> 2] = old;
      state[signalled >>> 2] = old;
      ram[event] = usedEvent;
      return engine.queuePush(queue, count);
    };
  }

  it('VQ-7 used_event against the definition: every value of it, and around the wrap', () => {
    const ask = asker(filled(8, EVENT_IDX));
    let wrong = 0;
    ask(0, 0, 1); // makes signalled_used valid
    for (const old of [0, 1, 0x7fff, 0x8000, 0xfffd, 0xffff]) {
      for (let event = 0; event < 0x10000; event++) {
        if (ask(event, old, 3) !== Number(passes(event, old, 3))) wrong++;
      }
    }
    for (let old = 0; old < 0x10000; old += 11) {
      for (let count = 1; count <= 8; count++) {
        for (const offset of [-2, -1, 0, count - 1, count, count + 1]) {
          const event = (old + offset) & 0xffff;
          if (ask(event, old, count) !== Number(passes(event, old, count))) wrong++;
        }
      }
    }
    expect(wrong).toBe(0);
  });

  it('VQ-7 the first completion after a reset interrupts, whatever used_event says', () => {
    const r = filled(8, EVENT_IDX);
    r.ring.usedEvent = 0x4000;
    expect(complete(r, 1)).toBe(1);
    expect(complete(r, 1)).toBe(0);
    r.machine.setWord(r.queue + QUEUE_SIGNALLED_VALID, 0);
    expect(complete(r, 1)).toBe(1);
    expect(r.machine.wide(r.queue + QUEUE_INTERRUPTS_LO)).toBe(2);
  });

  it('VQ-7 signalled_used moves on every push, in every mode', () => {
    for (const features of [0, EVENT_IDX]) {
      const r = filled(8, features);
      r.ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
      r.ring.usedEvent = 0x8000;
      let used = 0;
      for (let i = 0; i < 40; i++) {
        complete(r, 1 + (i % 8));
        used += 1 + (i % 8);
        expect(queueWord(r, QUEUE_SIGNALLED_USED)).toBe(used);
        expect(queueWord(r, QUEUE_SIGNALLED_VALID)).toBe(1);
      }
    }
  });

  it('VQ-7 historic bug 24 an event that is never reached stays quiet over a whole lap of 65536', () => {
    const r = filled(8, EVENT_IDX);
    complete(r, 1);
    let interrupts = 0;
    for (let used = 1; used < 0x10000 + 0x100; used += 5) {
      r.ring.usedEvent = (used + 0x4000) & 0xffff;
      interrupts += complete(r, 5);
    }
    expect(interrupts).toBe(0);
  });

  it('VQ-7 without EVENT_IDX the flag decides, each time anew', () => {
    const r = filled(8, 0);
    r.ring.usedEvent = 0x4000; // not looked at
    expect(complete(r, 1)).toBe(1);
    r.ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
    expect(complete(r, 2)).toBe(0);
    r.ring.availFlags = 2; // another bit
    expect(complete(r, 1)).toBe(1);
    expect(r.machine.wide(r.queue + QUEUE_INTERRUPTS_LO)).toBe(2);
  });

  it('VQ-7 with EVENT_IDX the flag is not looked at', () => {
    const r = filled(8, EVENT_IDX);
    complete(r, 1);
    r.ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
    r.ring.usedEvent = 1;
    expect(complete(r, 1)).toBe(1);
  });

  it('VQ-8 NOTIFY_ON_EMPTY interrupts when the last request ends and nothing waits', () => {
    for (const feature of [0, EVENT_IDX]) {
      const r = filled(8, feature | QUEUE_F_NOTIFY_ON_EMPTY);
      r.ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
      r.machine.setWord(r.queue + QUEUE_SIGNALLED_VALID, 1);
      r.ring.usedEvent = 0x4000;
      r.ring.offer(0, 1);
      expect(r.engine.queuePop(r.queue, 8)).toBe(2);
      expect(r.ring.push(0)).toBe(0); // one is in use
      r.ring.offer(2);
      expect(r.ring.push(1)).toBe(0); // one waits
      expect(r.engine.queuePop(r.queue, 8)).toBe(1);
      expect(r.ring.push(2)).toBe(1);
    }
  });

  it('VQ-8 without NOTIFY_ON_EMPTY the last request is like any other', () => {
    const r = filled(8, 0);
    r.ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
    expect(complete(r, 1)).toBe(0);
  });

  it('VQ-9 kicks off and on by used.flags', () => {
    const r = filled(8, 0);
    expect(r.engine.queueSetNotification(r.queue, 0)).toBe(0);
    expect(r.ring.usedFlags).toBe(VIRTQ_USED_F_NO_NOTIFY);
    expect(queueWord(r, QUEUE_NOTIFICATION)).toBe(0);
    expect(r.engine.queueSetNotification(r.queue, 1)).toBe(0);
    expect(r.ring.usedFlags).toBe(0);
    expect(queueWord(r, QUEUE_NOTIFICATION)).toBe(1);
    complete(r, 2);
    expect(r.ring.availEvent).toBe(0); // no event field without EVENT_IDX: somebody else's bytes
  });

  it('VQ-9 kicks off and on by avail_event: written when on, left alone when off', () => {
    const r = filled(8, EVENT_IDX);
    expect(r.engine.queueSetNotification(r.queue, 0)).toBe(0);
    r.ring.offer(0, 1, 2);
    expect(r.engine.queuePop(r.queue, 2)).toBe(2);
    expect(r.ring.availEvent).toBe(0);
    expect(r.engine.queueSetNotification(r.queue, 1)).toBe(1);
    expect(r.ring.availEvent).toBe(3); // the driver's index, not how far we popped
    expect(r.engine.queuePop(r.queue, 8)).toBe(1);
    expect(r.ring.availEvent).toBe(3);
    expect(r.engine.queueSetNotification(r.queue, 1)).toBe(0);
    r.ring.offer(3);
    expect(r.engine.queueSetNotification(r.queue, 0)).toBe(0);
    expect(r.ring.availEvent).toBe(3); // as it was: 4 would ask for a kick
    expect(r.ring.usedFlags).toBe(0);
  });

  it('VQ-9 VQ-3 while kicks are on, each batch moves avail_event', () => {
    const r = filled(8, EVENT_IDX);
    r.ring.offer(0, 1, 2);
    expect(r.engine.queuePop(r.queue, 2)).toBe(2);
    expect(r.ring.availEvent).toBe(2);
    expect(r.engine.queuePop(r.queue, 2)).toBe(1);
    expect(r.ring.availEvent).toBe(3);
  });

  it('VQ-10 a request that comes between the last pop and kicks-on is not lost', () => {
    for (const features of [0, EVENT_IDX]) {
      const r = filled(8, features);
      r.engine.queueSetNotification(r.queue, 0);
      expect(complete(r, 2)).toBe(1);
      expect(r.engine.queuePop(r.queue, 8)).toBe(0);
      r.ring.offer(2); // and the driver sees that no kick is wanted
      expect(r.engine.queueSetNotification(r.queue, 1)).toBe(1);
      expect(r.engine.queuePop(r.queue, 8)).toBe(1);
    }
  });

  it('VQ-9 the ring of a broken or unready queue is not written', () => {
    const r = filled(8, EVENT_IDX);
    r.ring.offer(0, 1);
    r.engine.queueBreak(r.queue, BROKEN_ENGINE);
    const before = r.machine.guestBytes();
    for (const on of [0, 1]) expect(r.engine.queueSetNotification(r.queue, on)).toBe(0);
    r.engine.queueReset(r.queue);
    for (const on of [0, 1]) expect(r.engine.queueSetNotification(r.queue, on)).toBe(0);
    expect(Buffer.compare(r.machine.guestBytes(), before)).toBe(0);
  });
}
