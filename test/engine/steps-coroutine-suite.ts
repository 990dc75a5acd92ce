/** Coroutines that are scheduled, with another thread, or home, acting before each step. */

import { expect, it } from 'vitest';
import {
  BH_SCHEDULED,
  CONTEXT_CO_LIST,
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  COROUTINE_BY_SCHEDULE,
  COROUTINE_BY_SLEEP,
} from '#src/layout';
import { atEachStep } from './atomic-steps.ts';
import { CO_SLOT, LoopRig } from './loop-rig.ts';
import type { Contestant } from './machine.ts';
import { orderOf, scenes } from './scene.ts';

export function stepsCoroutineSuite(contestant: Contestant): void {
  const scene = scenes(() => {
    const r = new LoopRig(contestant);
    const entered: number[] = [];
    const schedule = (number: number, by = COROUTINE_BY_SCHEDULE) =>
      r.engine.coSchedule(r.context, number, by);
    /** Home polls: if the bottom half is to run, it enters what is scheduled. */
    const poll = () => {
      r.engine.bhTake(r.context);
      for (let left = 5; left > 0; left--) {
        const next = r.engine.bhNext(r.context);
        if (next < 0) break;
        if ((next & 0xffff) === CO_SLOT) entered.push(...r.enterAll());
      }
      return entered;
    };
    return Object.assign(r, { schedule, poll, entered });
  });

  it('CO-1 two schedule one coroutine at once: one is refused, and it is entered once', () => {
    atEachStep(
      scene((s) => s.schedule(2)),
      (s) => {
        s.seen = s.schedule(2, COROUTINE_BY_SLEEP);
      },
      (s, step) => {
        if (step !== 'no step') expect([s.result, s.seen].sort(), step).toEqual([-1, 0]);
        expect(s.poll(), step).toEqual([2]);
        expect(s.poll(), step).toEqual([2]);
      },
    );
  });

  it('CO-1 two schedule one each: both are entered', () => {
    atEachStep(
      scene(
        (s) => s.schedule(2),
        (s) => void s.schedule(0),
      ),
      (s) => {
        s.seen = s.schedule(4);
      },
      (s, step) => {
        expect(s.poll().toSorted(), step).toEqual(s.seen < 0 ? [0, 2] : [0, 2, 4]);
      },
    );
  });

  it('CO-1 home that polls meanwhile enters it, now or in the next poll', () => {
    atEachStep(
      scene(
        (s) => s.schedule(2),
        (s) => void s.schedule(0),
      ),
      (s) => void s.poll(),
      (s, step) => {
        const scheduled = s.flags(CO_SLOT) & BH_SCHEDULED;
        if (!s.entered.includes(2)) expect(scheduled, step).toBe(BH_SCHEDULED);
        expect(s.poll().toSorted(), step).toEqual([0, 2]);
      },
    );
  });

  it('CO-1 it is in the list before the bottom half is scheduled and home is told', () => {
    const s = scene((s) => s.schedule(3))();
    const order = orderOf(s);
    const last = (address: number) => order.findLastIndex(([, at]) => at === address);
    const [place, list] = [last(s.coroutineAt(3)), last(s.context + CONTEXT_CO_LIST)];
    const [slot, told] = [last(s.slotAt(CO_SLOT)), last(s.context + CONTEXT_NOTIFIED)];
    expect([place, list, slot, told]).toEqual([place, list, slot, told].toSorted((a, b) => a - b));
    expect(order[0]).toEqual(['compareExchange32', s.coroutineAt(3)]);
    expect(order.at(-1)).toEqual(['load32', s.context + CONTEXT_NOTIFY_ME]);
  });

  it('CO-5 CO-13 one that is scheduled while the list is taken is in it or in the next', () => {
    atEachStep(
      scene(
        (s) => void s.engine.coTake(s.context),
        (s) => {
          for (const number of [1, 2]) s.schedule(number);
          s.engine.coTake(s.context);
          for (const number of [5, 6]) s.schedule(number);
        },
      ),
      (s) => {
        s.seen = s.schedule(7);
      },
      (s, step) => {
        const first = s.enterAll();
        expect(first, step).toEqual(s.seen < 0 ? [1, 2, 5, 6] : [1, 2, 5, 6, 7]);
      },
    );
  });

  it('CO-13 one leaves the ready list before it may be scheduled: the next one is not lost', () => {
    atEachStep(
      scene(
        (s) => s.engine.coNext(s.context),
        (s) => {
          for (const number of [1, 2]) s.schedule(number);
          s.engine.coTake(s.context);
        },
      ),
      (s) => {
        s.seen = s.schedule(1);
      },
      (s, step) => {
        expect(s.result, step).toBe(1);
        expect(s.enterAll(), step).toEqual(s.seen === 0 ? [2, 1] : [2]);
        expect(s.schedule(1), step).toBe(0);
      },
    );
  });
}
