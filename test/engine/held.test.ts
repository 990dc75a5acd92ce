/** Queues whose used index main publishes (QUEUE_F_HELD). */

import { describe, expect, it } from 'vitest';
import {
  BROKEN_ENGINE,
  QUEUE_F_HELD,
  QUEUE_INTERRUPTS_LO,
  QUEUE_SIGNALLED_USED,
  QUEUE_USED_IDX,
} from '#src/layout';
import { VIRTQ_AVAIL_F_NO_INTERRUPT } from '#src/spec';
import { contestants, jsShared } from './machine.ts';
import { EVENT_IDX, queueWord, type Rig, rig } from './rig.ts';

describe.each([...contestants, jsShared])('held queue, $name', (contestant) => {
  function filled(features: number): Rig {
    const r = rig(contestant, { num: 8, features: features | QUEUE_F_HELD });
    for (let head = 0; head < 8; head++) r.ring.describe(head, { at: r.room, length: 1 });
    return r;
  }

  /** Offers, pops and pushes chains. Returns what push returns. */
  function complete(r: Rig, ...heads: number[]): number {
    r.ring.offer(...heads);
    expect(r.engine.queuePop(r.queue, heads.length)).toBe(heads.length);
    return r.ring.push(...heads);
  }

  it('VQ-5 push writes elements and status, and leaves used.idx to main', () => {
    const r = filled(0);
    expect(complete(r, 3, 5)).toBe(1);
    expect(r.ring.usedIdx).toBe(0);
    expect(r.ring.usedElement(1).id).toBe(5);
    expect(queueWord(r, QUEUE_USED_IDX)).toBe(2);
    expect(queueWord(r, QUEUE_INTERRUPTS_LO)).toBe(0);
    expect(r.engine.queuePublish(r.queue, 2)).toBe(1);
    expect(r.ring.usedIdx).toBe(2);
    expect(queueWord(r, QUEUE_INTERRUPTS_LO)).toBe(1);
  });

  it('VQ-5 publishes what it is told, not what has been pushed since', () => {
    const r = filled(0);
    complete(r, 0);
    complete(r, 1, 2);
    r.engine.queuePublish(r.queue, 1);
    expect(r.ring.usedIdx).toBe(1);
    r.engine.queuePublish(r.queue, 3);
    expect(r.ring.usedIdx).toBe(3);
  });

  it('VQ-7 push returns 1 though the driver wants none: that is for main to decide', () => {
    const r = filled(0);
    r.ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
    expect(complete(r, 0)).toBe(1);
    expect(r.engine.queuePublish(r.queue, 1)).toBe(0);
    r.ring.availFlags = 0;
    expect(complete(r, 1)).toBe(1);
    expect(r.engine.queuePublish(r.queue, 2)).toBe(1);
  });

  it('VQ-8 the window of used_event reaches from publish to publish', () => {
    const r = filled(EVENT_IDX);
    complete(r, 0);
    expect(r.engine.queuePublish(r.queue, 1)).toBe(1); // the first one always
    r.ring.usedEvent = 2;
    complete(r, 1);
    expect(r.engine.queuePublish(r.queue, 2)).toBe(0);
    complete(r, 2);
    complete(r, 3);
    expect(queueWord(r, QUEUE_SIGNALLED_USED)).toBe(2);
    expect(r.engine.queuePublish(r.queue, 4)).toBe(1);
    expect(r.engine.queuePublish(r.queue, 4)).toBe(0);
  });

  it('publishes nothing on a queue that is broken, or was reset', () => {
    const r = filled(0);
    complete(r, 0);
    r.engine.queueBreak(r.queue, BROKEN_ENGINE);
    expect([r.engine.queuePublish(r.queue, 1), r.ring.usedIdx]).toEqual([0, 0]);
    r.engine.queueReset(r.queue);
    expect([r.engine.queuePublish(r.queue, 1), r.ring.usedIdx]).toEqual([0, 0]);
    expect(r.ring.enable(QUEUE_F_HELD)).toBe(0);
    expect([r.engine.queuePublish(r.queue, 0x1_0001), r.ring.usedIdx]).toEqual([1, 1]);
  });
});
