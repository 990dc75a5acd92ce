/** Rings, step by step: what the driver finds, and what it may do, between two atomic steps. */

import { expect, it } from 'vitest';
import {
  QUEUE_AVAIL,
  QUEUE_DESC,
  QUEUE_F_NOTIFY_ON_EMPTY,
  QUEUE_FEATURES,
  QUEUE_LAST_AVAIL,
  QUEUE_NUM,
  QUEUE_READY,
  QUEUE_SHADOW_AVAIL,
  QUEUE_USED,
  RECORD_STATUS,
} from '#src/layout';
import { VIRTQ_AVAIL_F_NO_INTERRUPT } from '#src/spec';
import { atEachStep, type Operation, type Step, witness } from './atomic-steps.ts';
import type { Contestant } from './machine.ts';
import { WRITE } from './raw-ring.ts';
import { brokenBy, EVENT_IDX, queueWord, type Rig, rig } from './rig.ts';

const UNTOUCHED = 0x77;

export function stepsRingSuite(contestant: Contestant): void {
  function filled(features: number): Rig {
    const r = rig(contestant, { features });
    for (let head = 0; head < 8; head++) {
      r.ring.describe(head, { at: r.room + head * 64, length: head + 1 });
    }
    return r;
  }

  /** Pops `heads`, which are pushed by the caller. */
  function popped(features: number, ...heads: number[]): Rig {
    const r = filled(features);
    r.ring.offer(...heads);
    expect(r.engine.queuePop(r.queue, 8)).toBe(heads.length);
    r.ring.done(...heads);
    return r;
  }

  /** Calls `act` before each step of that operation at that address; it must come. */
  function watch(action: () => number, operation: Operation, address: number, act: () => void) {
    let count = 0;
    let result = 0;
    const steps = witness.watch(
      () => {
        result = action();
      },
      (step: Step) => {
        if (step.operation !== operation || step.address !== address) return;
        count++;
        act();
      },
    );
    expect(count).toBeGreaterThan(0);
    return { result, count, steps };
  }

  const availIdxAt = (r: Rig) => r.ring.avail + 2;
  const usedIdxAt = (r: Rig) => r.ring.used + 2;
  const availEventAt = (r: Rig) => r.ring.used + 4 + r.ring.num * 8;

  it('VQ-1 who serves asks whether the ring is ready first, in an atomic step', () => {
    const r = popped(0, 0);
    r.ring.offer(1);
    const { engine, queue } = r;
    const calls: [act: () => unknown, whenNot: number][] = [
      [() => engine.queueEmpty(queue), 1],
      [() => engine.queuePop(queue, 1), 0],
      [() => engine.blkPop(queue, 1), 0],
      [() => engine.queuePush(queue, 1), 0],
      [() => engine.blkPush(queue, 1), 0],
      [() => engine.queueSetNotification(queue, 1), 0],
    ];
    for (const [act, whenNot] of calls) {
      r.machine.setWord(queue + QUEUE_READY, 1);
      const bytes = r.machine.guestBytes();
      let result: unknown;
      // Main clears it right before that step, and may let the ring's memory go then.
      const steps = witness.watch(
        () => {
          result = act();
        },
        () => r.machine.setWord(queue + QUEUE_READY, 0),
      );
      expect(steps[0]).toMatchObject({ operation: 'load32', address: queue + QUEUE_READY });
      expect(result).toBe(whenNot);
      expect(Buffer.compare(r.machine.guestBytes(), bytes)).toBe(0);
    }
  });

  it('VQ-2 ring and descriptors are read after avail.idx, which is read once', () => {
    const r = filled(0);
    const { result, count } = watch(
      () => r.engine.queuePop(r.queue, 8),
      'load16',
      availIdxAt(r),
      () => {
        // The driver publishes right now, in its own order.
        r.ring.describe(5, { at: r.room + 777, length: 33 });
        r.ring.offer(5);
      },
    );
    expect([result, count, r.ring.batch(0)]).toEqual([1, 1, 5]);
    expect(r.ring.segments(5)).toEqual([{ address: r.room + 777, length: 33 }]);
  });

  it('historic bug 23: an avail.idx that goes from 0x00ff to 0x0100 is never torn', () => {
    const make = () => {
      const r = filled(0);
      for (const field of [QUEUE_LAST_AVAIL, QUEUE_SHADOW_AVAIL]) {
        r.machine.setWord(r.queue + field, 0xff);
      }
      r.ring.publish(0xff);
      const scene = { r, result: -1, action: () => {} };
      scene.action = () => {
        scene.result = r.engine.queuePop(r.queue, 8);
      };
      return scene;
    };
    atEachStep(
      make,
      ({ r }) => {
        r.ring.setSlot(0xff, 3);
        r.ring.publish(0x100);
      },
      ({ r, result }, step) => {
        const idx = r.ring.availIdx;
        if (idx === 0xff) expect([step, result]).toEqual(['no step', 0]);
        const later = result === 0 ? r.engine.queuePop(r.queue, 8) : 0;
        expect([step, result + later, brokenBy(r)]).toEqual([step, idx - 0xff, 0]);
      },
    );
  });

  it('VQ-2 avail.idx is not read while the last look at it still has heads to give', () => {
    const r = filled(0);
    r.ring.offer(0, 1);
    r.engine.queuePop(r.queue, 1);
    const steps = witness.watch(() => void r.engine.queuePop(r.queue, 1));
    expect(steps.filter((step) => step.address === availIdxAt(r))).toEqual([]);
  });

  it('VQ-5 elements and status bytes stand in memory before used.idx counts them', () => {
    const r = rig(contestant);
    const statusAt = (head: number) => r.room + 32 + head;
    for (const head of [0, 2]) {
      r.ring.chain(head, [
        { at: r.room, length: 16 },
        { at: statusAt(head), length: 1, flags: WRITE },
      ]);
      r.machine.ram8[statusAt(head)] = UNTOUCHED;
    }
    r.ring.offer(0, 2);
    expect(r.engine.blkPop(r.queue, 8)).toBe(2);
    r.machine.setWord(r.ring.record(0) + RECORD_STATUS, 3);
    r.machine.setWord(r.ring.record(2) + RECORD_STATUS, 4);
    const count = r.ring.done(2, 0);
    const seen: number[][] = [];
    watch(
      () => r.engine.blkPush(r.queue, count),
      'store16',
      usedIdxAt(r),
      () => {
        const elements = [0, 1].map((i) => r.ring.usedElement(i).id);
        const bytes = [0, 2].map((head) => r.machine.ram8[statusAt(head)]!);
        seen.push([r.ring.usedIdx, ...elements, ...bytes]);
      },
    );
    expect(seen).toEqual([[0, 2, 0, 3, 4]]); // once, and everything before it
    expect(r.ring.usedIdx).toBe(2);
  });

  it('VQ-7 the flag and used_event are read after used.idx is stored: no interrupt is lost', () => {
    for (const features of [0, EVENT_IDX]) {
      const r = popped(features, 0, 1);
      r.engine.queuePush(r.queue, 1);
      r.ring.done(1);
      r.ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
      r.ring.usedEvent = 0x4000;
      const { result } = watch(
        () => r.engine.queuePush(r.queue, 1),
        'store16',
        usedIdxAt(r),
        () => {
          // The driver wants to be told, looks at used.idx, which is old, and sleeps.
          r.ring.availFlags = 0;
          r.ring.usedEvent = 1;
        },
      );
      expect(result).toBe(1);
    }
  });

  it('VQ-8 whether the ring is empty is asked after used.idx is stored', () => {
    const r = popped(QUEUE_F_NOTIFY_ON_EMPTY, 0);
    r.ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
    const { result } = watch(
      () => r.engine.queuePush(r.queue, 1),
      'store16',
      usedIdxAt(r),
      () => r.ring.offer(1),
    );
    expect(result).toBe(0);
  });

  it('VQ-9 VQ-10 who publishes before kicks are on is seen by the second look', () => {
    for (const features of [0, EVENT_IDX]) {
      const r = filled(features);
      r.engine.queueSetNotification(r.queue, 0);
      const { result, count } = watch(
        () => r.engine.queueSetNotification(r.queue, 1),
        'store16',
        features === 0 ? r.ring.used : availEventAt(r),
        () => r.ring.offer(0), // sees that no kick is wanted
      );
      expect([result, count]).toEqual([1, 1]);
    }
  });

  it('VQ-9 to turn kicks off takes one step at most, and none that reads', () => {
    for (const features of [0, EVENT_IDX]) {
      const r = filled(features);
      r.ring.offer(0);
      const steps = witness.watch(() => void r.engine.queueSetNotification(r.queue, 0));
      const onRing = steps.filter(({ address }) => address < r.room);
      expect(onRing.map(({ operation, address }) => [operation, address])).toEqual(
        features === 0 ? [['store16', r.ring.used]] : [],
      );
    }
  });

  it('VQ-14 a ring counts as ready after all of it is latched', () => {
    const r = filled(EVENT_IDX);
    r.engine.queueReset(r.queue);
    const fields = [QUEUE_DESC, QUEUE_AVAIL, QUEUE_USED, QUEUE_NUM, QUEUE_FEATURES];
    const seen: number[][] = [];
    watch(
      () => r.ring.enable(EVENT_IDX),
      'store32',
      r.queue + QUEUE_READY,
      () => void seen.push([QUEUE_READY, ...fields].map((field) => queueWord(r, field))),
    );
    expect(seen).toEqual([[0, r.ring.desc, r.ring.avail, r.ring.used, 8, EVENT_IDX]]);
    expect(queueWord(r, QUEUE_READY)).toBe(1);
  });

  it('VQ-1 who breaks a queue first is right, even if two do at once', () => {
    const r = filled(0);
    const broken = witness.watch(
      () => r.engine.queueBreak(r.queue, 5),
      () => r.engine.queueBreak(r.queue, 7),
    );
    expect(broken).toHaveLength(1);
    expect(brokenBy(r)).toBe(7);
  });
}
