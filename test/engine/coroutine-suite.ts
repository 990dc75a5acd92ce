/** Coroutines that are to be entered: who has scheduled which, and the order (behaviour 3.7). */

import { expect, it } from 'vitest';
import {
  BH_PENDING,
  BH_SCHEDULED,
  CONTEXT_CO_GENERATION,
  CONTEXT_CO_LIST,
  CONTEXT_CO_READY,
  CONTEXT_NOTIFIED,
  COROUTINE_BY_SCHEDULE,
  COROUTINE_BY_SLEEP,
} from '#src/layout';
import { CO_GENERATION, CO_SLOT, LoopRig } from './loop-rig.ts';
import type { Contestant } from './machine.ts';

export function coroutineSuite(contestant: Contestant): void {
  function make() {
    const r = new LoopRig(contestant);
    const schedule = (number: number, by = COROUTINE_BY_SCHEDULE) =>
      r.engine.coSchedule(r.context, number, by);
    return { r, schedule };
  }

  it('CO-1 one that is scheduled is refused, whoever it was, and nothing else happens', () => {
    const { r, schedule } = make();
    expect(schedule(2, COROUTINE_BY_SLEEP)).toBe(0);
    expect(r.machine.word(r.coroutineAt(2))).toBe(COROUTINE_BY_SLEEP);
    r.engine.accept(r.context);
    expect([schedule(2), schedule(2, COROUTINE_BY_SLEEP)]).toEqual([-1, -1]);
    expect(r.machine.word(r.coroutineAt(2))).toBe(COROUTINE_BY_SLEEP);
    expect(r.word(CONTEXT_NOTIFIED)).toBe(0);
    expect(r.enterAll()).toEqual([2]);
    expect(r.machine.word(r.coroutineAt(2))).toBe(0);
  });

  it('CO-1 scheduling one schedules the bottom half that enters it, and wakes a sleeper', () => {
    const { r, schedule } = make();
    expect(r.engine.waitEnter(r.context)).toBe(1);
    expect(schedule(0)).toBe(1);
    expect(r.flags(CO_SLOT)).toBe(BH_PENDING | BH_SCHEDULED);
    expect(r.word(CONTEXT_CO_LIST)).toBe(1);
    expect(r.told).toEqual([1, 2]);
    r.engine.waitLeave(r.context);
    expect(schedule(1)).toBe(0);
    r.engine.bhTake(r.context);
    expect(r.engine.bhNext(r.context)).toBe(CO_SLOT + ((BH_PENDING | BH_SCHEDULED) << 16));
    expect(r.engine.bhNext(r.context)).toBe(-1);
    expect(r.enterAll()).toEqual([0, 1]);
  });

  it('CO-1 a stale bottom half is no refusal', () => {
    const { r, schedule } = make();
    r.set(CONTEXT_CO_GENERATION, CO_GENERATION + 1);
    expect(schedule(4)).toBe(0);
    expect([r.flags(CO_SLOT), r.word(CONTEXT_CO_LIST)]).toEqual([0, 5]);
  });

  it('CO-5 first scheduled, first entered', () => {
    const { r, schedule } = make();
    for (const number of [3, 1, 7, 0]) schedule(number);
    expect(r.enterAll()).toEqual([3, 1, 7, 0]);
    expect(r.enterAll()).toEqual([]);
    expect([r.word(CONTEXT_CO_LIST), r.word(CONTEXT_CO_READY)]).toEqual([0, 0]);
  });

  it('CO-5 what is taken while others are ready comes behind them', () => {
    const { r, schedule } = make();
    for (const number of [5, 6]) schedule(number);
    r.engine.coTake(r.context);
    for (const number of [2, 1]) schedule(number);
    expect(r.engine.coNext(r.context)).toBe(5);
    r.engine.coTake(r.context); // a nested poll
    schedule(4);
    r.engine.coTake(r.context);
    expect(r.enterAll()).toEqual([6, 2, 1, 4]);
  });

  it('CO-13 it may be scheduled again from inside, for the next run', () => {
    const { r, schedule } = make();
    for (const number of [1, 2]) schedule(number);
    r.engine.coTake(r.context);
    expect(r.engine.coNext(r.context)).toBe(1);
    expect(schedule(1)).toBe(0); // 1 is running, and schedules itself
    expect(schedule(2)).toBe(-1); // 2 is ready, not yet entered
    expect(r.engine.coNext(r.context)).toBe(2);
    expect(r.engine.coNext(r.context)).toBe(-1);
    expect(r.enterAll()).toEqual([1]);
  });
}
