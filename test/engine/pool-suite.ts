/** The thread pool: requests, their states, and whose they are (behaviour 3.8). */

import { expect, it } from 'vitest';
import {
  BH_PENDING,
  BH_SCHEDULED,
  CONTEXT_NOTIFIED,
  POOL_GENERATION,
  POOL_HEAD,
  POOL_IDLE,
  POOL_TAIL,
  POOL_WAKE,
  WORK_ACTIVE,
  WORK_DONE,
  WORK_FREE,
  WORK_QUEUED,
} from '#src/layout';
import { POOL_BH_GENERATION, POOL_BH_SLOT, PoolRig } from './loop-rig.ts';
import type { Contestant } from './machine.ts';

export function poolSuite(contestant: Contestant): void {
  const make = (capacity?: number) => new PoolRig(contestant, capacity);

  it('TP-1 a worker takes the oldest request, and nothing where there is none', () => {
    const r = make();
    expect(r.take()).toBe(-1);
    r.submit(2, 0, 3);
    expect([r.state(2), r.state(1)]).toEqual([WORK_QUEUED, WORK_FREE]);
    expect([r.take(), r.state(2), r.state(0)]).toEqual([2, WORK_ACTIVE, WORK_QUEUED]);
    expect([r.take(), r.take(), r.take()]).toEqual([0, 3, -1]);
  });

  it('TP-1 a waiting worker is woken by a submission, and POOL_WAKE says there was one', () => {
    const r = make();
    expect(r.submit(0)).toEqual([0]);
    expect(r.poolWord(POOL_WAKE)).toBe(0);
    r.setPool(POOL_IDLE, 2);
    expect(r.submit(1, 2)).toEqual([1, 1]);
    expect(r.poolWord(POOL_WAKE)).toBe(2);
  });

  it('TP-1 the ring goes round, and its counts past 2^32', () => {
    for (const start of [0, 0xfffffffa]) {
      const r = make();
      r.setPool(POOL_HEAD, start);
      r.setPool(POOL_TAIL, start);
      for (let i = 0; i < 12; i++) {
        r.submit(i % 4, (i + 1) % 4);
        expect(r.takeAll()).toEqual([i % 4, (i + 1) % 4]);
        for (const number of [i % 4, (i + 1) % 4]) {
          r.done(number);
          expect(r.reap()).toBe(number);
        }
      }
      expect(r.poolWord(POOL_TAIL)).toBe((start + 24) >>> 0);
    }
  });

  it('TP-2 done: result and state, and the bottom half of the owner', () => {
    const r = make();
    r.submit(1, 2);
    r.takeAll();
    expect(r.done(1, -5)).toBe(0);
    expect([r.state(1), r.resultOf(1), r.state(2)]).toEqual([WORK_DONE, -5, WORK_ACTIVE]);
    expect(r.flags(POOL_BH_SLOT)).toBe(BH_PENDING | BH_SCHEDULED);
    expect(r.word(CONTEXT_NOTIFIED)).toBe(1);
    r.engine.accept(r.context);
    r.engine.waitEnter(r.context);
    expect(r.done(2, 4096)).toBe(1);
    expect(r.resultOf(2)).toBe(4096);
    r.engine.bhTake(r.context);
    expect(r.engine.bhNext(r.context) & 0xffff).toBe(POOL_BH_SLOT);
    expect(r.engine.bhNext(r.context)).toBe(-1);
  });

  it('TP-2 done where the bottom half is gone wakes nobody', () => {
    const r = make();
    r.submit(0);
    r.take();
    r.engine.waitEnter(r.context);
    r.setPool(POOL_GENERATION, POOL_BH_GENERATION + 1);
    expect(r.done(0, 1)).toBe(0);
    expect(r.state(0)).toBe(WORK_DONE);
  });

  it('TP-3 the owner reaps from where it likes, each once', () => {
    const r = make();
    r.submit(0, 1, 2, 3);
    r.takeAll();
    for (const number of [3, 1]) r.done(number);
    expect([r.reap(2), r.reap(2)]).toEqual([3, -1]);
    expect([r.state(3), r.state(1)]).toEqual([WORK_FREE, WORK_DONE]);
    expect([r.reap(0), r.reap(0), r.reap(4)]).toEqual([1, -1, -1]);
    expect([r.state(0), r.state(2)]).toEqual([WORK_ACTIVE, WORK_ACTIVE]);
  });

  it('TP-4 only a queued request is cancelled; no worker gets it then', () => {
    const r = make();
    r.submit(0, 1, 2);
    expect(r.take()).toBe(0);
    expect([r.cancel(0), r.cancel(1), r.cancel(1), r.cancel(3)]).toEqual([0, 1, 0, 0]);
    expect([r.state(0), r.state(1), r.resultOf(1)]).toEqual([WORK_ACTIVE, WORK_DONE, -125]);
    expect(r.takeAll()).toEqual([2]);
    expect(r.reap()).toBe(1);
    r.done(0, 7);
    expect([r.cancel(0), r.resultOf(0)]).toEqual([0, 7]);
    expect(r.flags(POOL_BH_SLOT)).toBe(BH_PENDING | BH_SCHEDULED); // from `done`
  });

  it('TP-4 a cancel leaves the bottom half to the owner', () => {
    const r = make();
    r.submit(0);
    expect(r.cancel(0)).toBe(1);
    expect([r.flags(POOL_BH_SLOT), r.word(CONTEXT_NOTIFIED)]).toEqual([0, 0]);
  });

  it('TP-4 requests cancelled and submitted again, over and over: none is lost', () => {
    const r = make();
    r.submit(0, 1, 2, 3);
    for (let i = 0; i < 20; i++) {
      const number = [2, 1, 3, 2][i % 4]!;
      expect(r.cancel(number)).toBe(1);
      expect(r.reap()).toBe(number);
      r.submit(number);
    }
    expect((r.poolWord(POOL_TAIL) - r.poolWord(POOL_HEAD)) >>> 0).toBe(4);
    expect(r.takeAll()).toEqual([0, 1, 2, 3]);
  });

  it('TP-4 a number that a worker has passed over is put into the ring again', () => {
    const r = make();
    r.submit(0, 1);
    r.cancel(1);
    expect([r.take(), r.take()]).toEqual([0, -1]);
    r.reap();
    r.submit(1);
    expect(r.takeAll()).toEqual([1]);
    // What WORK_ENTRY says of an older time is another request's place by now.
    r.done(0);
    r.done(1);
    for (const number of [0, 1]) expect(r.reap()).toBe(number);
    r.submit(3, 2, 1, 0);
    expect(r.takeAll()).toEqual([3, 2, 1, 0]);
  });

  it('TP-4 an entry that is old enough to look new is told by its number', () => {
    const r = make();
    r.submit(0); // its entry is 0
    r.takeAll();
    r.done(0);
    r.reap();
    r.setPool(POOL_HEAD, 0); // as after 2^32 submissions
    r.setPool(POOL_TAIL, 0);
    r.submit(2);
    r.submit(0);
    expect(r.takeAll()).toEqual([2, 0]);
  });
}
