/** The thread pool, with the owner or another worker acting before each step. */

import { expect, it } from 'vitest';
import {
  BH_SCHEDULED,
  POOL_HEAD,
  POOL_IDLE,
  POOL_TAIL,
  POOL_WAKE,
  WORK_ACTIVE,
  WORK_DONE,
} from '#src/layout';
import { atEachStep, witness } from './atomic-steps.ts';
import { POOL_BH_SLOT, PoolRig } from './loop-rig.ts';
import type { Contestant } from './machine.ts';
import { orderOf, scenes } from './scene.ts';

export function stepsPoolSuite(contestant: Contestant): void {
  const scene = scenes(() => Object.assign(new PoolRig(contestant), { others: [] as number[] }));
  /** All numbers that were taken, by anybody, each as often as it was. */
  const taken = (s: { result: number; others: number[]; takeAll(): number[] }) =>
    [s.result, ...s.others, ...s.takeAll()].filter((number) => number >= 0).toSorted();

  it('TP-1 two workers: each request is taken once, whatever the order', () => {
    for (const numbers of [[0], [0, 1], [0, 1, 2]]) {
      atEachStep(
        scene(
          (s) => s.take(),
          (s) => void s.submit(...numbers),
        ),
        (s) => void s.others.push(s.take(), s.take()),
        (s, step) => expect(taken(s), step).toEqual(numbers),
      );
    }
  });

  it('TP-1 the head never goes back, whoever takes', () => {
    // If it did, a third one with an old head could jump over what the owner left in the ring.
    const make = scene(
      (s) => s.take(),
      (s) => void s.submit(0, 1, 2),
    );
    for (let at = 0, reached = true; reached; at++) {
      const s = make();
      let [count, highest] = [0, 0];
      reached = false;
      witness.watch(s.action, () => {
        if (count++ === at) {
          reached = true;
          s.others.push(s.take(), s.take());
        }
        expect(s.poolWord(POOL_HEAD), `before step ${at}`).toBeGreaterThanOrEqual(highest);
        highest = s.poolWord(POOL_HEAD);
      });
      expect(taken(s)).toEqual([0, 1, 2]);
    }
  });

  it('TP-1 a worker that sees an old head, or an old tail, takes nothing that is not there', () => {
    atEachStep(
      scene(
        (s) => s.take(),
        (s) => void s.submit(0),
      ),
      (s) => {
        s.others.push(s.take());
        s.submit(1);
        s.others.push(s.take());
      },
      (s, step) => {
        expect(taken(s), step).toEqual(s.others.length > 0 ? [0, 1] : [0]);
        expect(s.poolWord(POOL_HEAD), step).toBe(s.poolWord(POOL_TAIL));
      },
    );
  });

  it('TP-1 a request is whole before a worker can see it, and is taken once', () => {
    atEachStep(
      scene(
        (s) => {
          s.submit(3);
          return -1;
        },
        (s) => void s.submit(1),
      ),
      (s) => void s.others.push(...s.takeAll()),
      (s, step) => {
        expect(taken(s), step).toEqual([1, 3]);
        expect(s.state(3), step).toBe(WORK_ACTIVE);
      },
    );
  });

  it('TP-1 a worker that finds nothing and waits is woken', () => {
    const wakes = new WeakMap<object, number>();
    atEachStep(
      scene((s) => s.submit(2)[0]),
      (s) => {
        s.setPool(POOL_IDLE, 1);
        wakes.set(s, s.poolWord(POOL_WAKE));
        s.seen = s.take();
        if (s.seen >= 0) s.others.push(s.seen);
      },
      (s, step) => {
        if (step === 'no step') return;
        if (s.seen < 0) {
          expect(s.result, step).toBe(1);
          expect(s.poolWord(POOL_WAKE), step).not.toBe(wakes.get(s));
        }
        expect([...s.others, ...s.takeAll()], step).toEqual([2]);
      },
    );
  });

  it('TP-2 whoever sees a request done sees its result', () => {
    atEachStep(
      scene(
        (s) => s.done(1, 77),
        (s) => {
          s.submit(1);
          s.take();
        },
      ),
      (s) => {
        s.seen = s.reap() === 1 ? s.resultOf(1) : -1;
      },
      (s, step) => {
        if (s.seen !== -1) expect(s.seen, step).toBe(77);
        else expect([s.state(1), s.resultOf(1)], step).toEqual([WORK_DONE, 77]);
      },
    );
  });

  it('TP-2 TP-3 the owner that polls meanwhile finds it done, now or in the next poll', () => {
    atEachStep(
      scene(
        (s) => s.done(1, 77),
        (s) => {
          s.submit(1);
          s.take();
        },
      ),
      (s) => {
        s.engine.bhTake(s.context);
        if (s.engine.bhNext(s.context) >= 0) s.seen = s.reap();
      },
      (s, step) => {
        if (s.seen < 0) expect(s.flags(POOL_BH_SLOT) & BH_SCHEDULED, step).toBe(BH_SCHEDULED);
      },
    );
  });

  it('TP-4 a request is the owner’s or a worker’s, never both’s', () => {
    for (const act of ['cancel', 'take'] as const) {
      atEachStep(
        scene(
          (s) => (act === 'cancel' ? s.cancel(0) : Number(s.take() === 0)),
          (s) => void s.submit(0),
        ),
        (s) => {
          s.seen = act === 'cancel' ? Number(s.take() === 0) : s.cancel(0);
        },
        (s, step) => {
          if (s.seen >= 0) expect(s.result + s.seen, step).toBe(1);
          const cancelled = act === 'cancel' ? s.result : Math.max(s.seen, 0);
          expect(s.state(0), step).toBe(cancelled ? WORK_DONE : WORK_ACTIVE);
        },
      );
    }
  });

  it('TP-4 one that is cancelled and submitted again while it is taken is taken once', () => {
    atEachStep(
      scene(
        (s) => s.take(),
        (s) => void s.submit(0, 1),
      ),
      (s) => {
        if (s.cancel(0) !== 1) return;
        s.reap();
        s.submit(0);
      },
      (s, step) => {
        expect(taken(s), step).toEqual([0, 1]);
        expect(s.poolWord(POOL_TAIL), step).toBeLessThanOrEqual(3);
      },
    );
  });

  it('TP-4 one whose number is still in the ring is taken once, whoever comes across it', () => {
    atEachStep(
      scene(
        (s) => {
          s.submit(0);
          return -1;
        },
        (s) => {
          s.submit(0, 1);
          s.cancel(0);
          s.reap();
        },
      ),
      (s) => void s.others.push(s.take()),
      (s, step) => {
        expect(taken(s), step).toEqual([0, 1]);
        expect(s.poolWord(POOL_TAIL) - s.poolWord(POOL_HEAD), step).toBe(0);
      },
    );
  });

  it('TP-1 head before tail, entry before tail, state first', () => {
    const take = scene((s) => s.take())();
    expect(orderOf(take)).toEqual([
      ['load32', take.pool + POOL_HEAD],
      ['load32', take.pool + POOL_TAIL],
    ]);
    const submit = scene((s) => s.submit(0)[0])();
    const order = orderOf(submit);
    expect(order[0]).toEqual(['store32', submit.requests]);
    expect(order.at(-2)).toEqual(['store32', submit.pool + POOL_TAIL]);
    expect(order.at(-1)).toEqual(['load32', submit.pool + POOL_IDLE]);
  });
}
