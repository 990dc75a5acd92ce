import { beforeEach, describe, expect, it } from 'vitest';
import { scheduleHandle } from '#src/aio/bottom-half';
import { ManualClock } from '#src/aio/clock';
import type { AioContext } from '#src/aio/context';
import { ReentrancyGuard } from '#src/aio/reentrancy-guard';
import type { Core } from '#src/engine/core';
import { BH_SCHEDULED, SLOT_FLAGS } from '#src/layout';
import { hookContext, openCore, worlds } from './contexts.ts';

describe.each(worlds)('bottom halves, $engine engine, $memory memory', ({ engine, memory }) => {
  let core: Core;
  let context: AioContext;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);

  beforeEach(() => {
    core = openCore(engine, memory);
    context = hookContext(core);
    ran = [];
  });

  it('BH-1 schedule publishes the work, then notifies: the sleeper is woken once', () => {
    let wakes = 0;
    const sleepy = hookContext(core, { onWake: () => wakes++ });
    const bh = sleepy.bottomHalf('a', note('a'));
    bh.schedule();
    bh.schedule();
    expect(wakes).toBe(1);
    expect(sleepy.turn()).toBe(true);
    bh.schedule();
    expect(wakes).toBe(2);
  });

  it('BH-1 a callback may delete its own bottom half: the scheduler reads nothing after the push', () => {
    const bh = context.bottomHalf('a', () => {
      ran.push('a');
      bh.delete();
    });
    bh.schedule();
    context.poll();
    context.poll();
    expect(ran).toEqual(['a']);
    expect(context.bottomHalves).toBe(0);
    // The handle is stale now: it must not reach whoever has the slot next.
    context.bottomHalf('b', note('b'));
    expect(scheduleHandle(core.engine, bh.handle, BH_SCHEDULED)).toBe(false);
    bh.schedule();
    bh.cancel();
    expect(context.poll()).toBe(false);
    expect(ran).toEqual(['a']);
  });

  it('BH-2 flags are cleared before the callback: scheduling from inside is a new run', () => {
    const bh = context.bottomHalf('self', () => {
      ran.push('self');
      const flags = core.u32[(bh.handle.slot * 8 + slots() + SLOT_FLAGS) >>> 2]!;
      expect(flags & 0xff).toBe(0);
      if (ran.length === 1) bh.schedule();
    });
    const slots = () => core.u32[(context.address + 24) >>> 2]!;
    bh.schedule();
    expect([context.poll(), context.poll(), context.poll()]).toEqual([true, true, false]);
    expect(ran).toEqual(['self', 'self']);
  });

  it('BH-3 schedules before a run coalesce into one', () => {
    const bh = context.bottomHalf('a', note('a'));
    for (let i = 0; i < 10; i++) bh.schedule();
    expect(context.poll()).toBe(true);
    expect(context.poll()).toBe(false);
    expect(ran).toEqual(['a']);
  });

  it('BH-4 what a callback schedules runs in the next poll', () => {
    const second = context.bottomHalf('second', note('second'));
    const first = context.bottomHalf('first', () => {
      ran.push('first');
      second.schedule();
    });
    first.schedule();
    context.poll();
    expect(ran).toEqual(['first']);
    context.poll();
    expect(ran).toEqual(['first', 'second']);
  });

  it('BH-4 a bottom half that schedules itself for ever does not keep a poll from ending', () => {
    let n = 0;
    const bh = context.bottomHalf('again', () => {
      n += 1;
      bh.schedule();
    });
    bh.schedule();
    for (let i = 0; i < 10; i++) context.poll();
    expect(n).toBe(10);
  });

  it('BH-5 cancel forgets the run but not the place: it may be scheduled again at once', () => {
    const bh = context.bottomHalf('a', note('a'));
    bh.schedule();
    bh.cancel();
    expect(context.poll()).toBe(false);
    expect(ran).toEqual([]);
    bh.schedule();
    bh.cancel();
    bh.schedule();
    expect(context.poll()).toBe(true);
    expect(ran).toEqual(['a']);
  });

  it('BH-6 a deleted bottom half does not run, even if it was scheduled', () => {
    const bh = context.bottomHalf('a', note('a'));
    bh.schedule();
    bh.delete();
    expect(context.poll()).toBe(false);
    expect(ran).toEqual([]);
    expect(context.bottomHalves).toBe(0);
    expect(() => bh.delete()).toThrow(/'a' was deleted already/);
  });

  it('BH-6 historic bug 6: one bottom half deletes the next, and a nested poll frees it', () => {
    const y = context.bottomHalf('y', note('y'));
    const z = context.bottomHalf('z', note('z'));
    const x = context.bottomHalf('x', () => {
      y.delete();
      context.poll();
      ran.push('x');
    });
    x.schedule();
    y.schedule();
    z.schedule();
    context.poll();
    expect(ran).toEqual(['z', 'x']);
    expect(context.bottomHalves).toBe(2);
  });

  it('BH-7 a oneshot runs once and leaves nothing', () => {
    context.scheduleOneshot('once', note('once'));
    expect(context.bottomHalves).toBe(1);
    expect(context.poll()).toBe(true);
    expect(context.poll()).toBe(false);
    expect(ran).toEqual(['once']);
    expect(context.bottomHalves).toBe(0);
  });

  it('BH-8 a nested poll finishes the rest of the outer poll', () => {
    let flag = false;
    const setter = context.bottomHalf('setter', () => {
      flag = true;
    });
    const waiter = context.bottomHalf('waiter', () => {
      let polls = 0;
      while (!flag && polls++ < 5) context.poll();
      ran.push(flag ? 'seen' : 'lost');
    });
    waiter.schedule();
    setter.schedule();
    context.poll();
    expect(ran).toEqual(['seen']);
  });

  it('BH-9 the rest of the outer poll counts for the timeout of a nested one', () => {
    const b = context.bottomHalf('b', note('b'));
    let inside = -2;
    const a = context.bottomHalf('a', () => {
      inside = context.timeout();
    });
    a.schedule();
    b.schedule();
    context.poll();
    expect(inside).toBe(0);
    expect(context.timeout()).toBe(-1);
  });

  it('BH-10 runs first in, first out', () => {
    const names = ['a', 'b', 'c', 'd'];
    const list = names.map((name) => context.bottomHalf(name, note(name)));
    for (const bh of list) bh.schedule();
    context.poll();
    expect(ran).toEqual(names);
    list[2]!.schedule();
    list[0]!.schedule();
    context.poll();
    expect(ran.slice(4)).toEqual(['c', 'a']);
  });

  it('BH-11 an idle bottom half runs and is no progress; a normal schedule makes it one', () => {
    const bh = context.bottomHalf('idle', note('idle'));
    bh.scheduleIdle();
    expect(context.timeout()).toBe(10_000_000);
    expect(context.poll()).toBe(false);
    expect(ran).toEqual(['idle']);
    bh.schedule();
    expect(context.poll()).toBe(true);
  });

  it('BH-12 an idle one that is scheduled normally runs at once and is progress', () => {
    let wakes = 0;
    const sleepy = hookContext(core, { onWake: () => wakes++ });
    const bh = sleepy.bottomHalf('idle', note('idle'));
    bh.scheduleIdle();
    expect(sleepy.timeout()).toBe(10_000_000);
    sleepy.turn();
    bh.scheduleIdle();
    bh.schedule();
    expect(sleepy.timeout()).toBe(0);
    expect(sleepy.turn()).toBe(true);
    expect(ran).toEqual(['idle', 'idle']);
    expect(wakes).toBe(2);
  });

  it('BH-12 an idle one waits 10 ms at most, even behind a later timer', () => {
    const clock = new ManualClock();
    const sleeps: number[] = [];
    const sleepy = hookContext(core, { clock, onSleep: (ns) => void sleeps.push(ns) });
    const timer = sleepy.timer('t', note('t'));
    const bh = sleepy.bottomHalf('idle', note('idle'));
    sleepy.scheduleOneshot('x', () => {
      bh.scheduleIdle();
      timer.mod(10_000_001);
    });
    sleepy.turn();
    expect(sleepy.timeout()).toBe(10_000_000);
    timer.mod(9_999_999);
    expect(sleepy.timeout()).toBe(9_999_999);
  });

  it('BH-13 a callback that touches its own device is refused, and the guard is restored', () => {
    const refused: string[] = [];
    const guard = new ReentrancyGuard((what) => refused.push(what));
    let register = 0;
    const write = (value: number) =>
      guard.access('register', () => {
        register = value;
      });
    const bh = context.bottomHalf(
      'dma',
      () => {
        ran.push('dma');
        expect(write(2)).toBe(false);
        bh.delete(); // the guard is looked up before the callback frees its owner
      },
      { guard },
    );
    expect(write(1)).toBe(true);
    bh.schedule();
    context.poll();
    expect([ran, refused, register, guard.engaged]).toEqual([['dma'], ['register'], 1, false]);
    expect(write(3)).toBe(true);
    expect(register).toBe(3);
  });

  it('BH-13 one inside another of the same device runs, and leaves the guard as it was', () => {
    const guard = new ReentrancyGuard();
    const states: boolean[] = [];
    const look = () => void states.push(guard.engaged);
    const outer = () => {
      context.poll();
      look();
    };
    context.scheduleOneshot('outer', outer, { guard });
    context.scheduleOneshot('inner', look, { guard });
    context.poll();
    look();
    expect(states).toEqual([true, true, false]);
    const fail = () => {
      throw new Error('bad device');
    };
    context.scheduleOneshot('throws', fail, { guard });
    expect(() => context.poll()).toThrow('bad device');
    expect(guard.engaged).toBe(false);
  });

  it('refuses more bottom halves than it has slots, and closes only when all are deleted', () => {
    const small = hookContext(core, { name: 'small', slots: 2 });
    const before = core.allocatedBytes;
    const a = small.bottomHalf('a', note('a'));
    const b = small.bottomHalf('b', note('b'));
    expect(() => small.bottomHalf('c', note('c'))).toThrow(/'small' has all its 2 bottom halves/);
    a.schedule();
    b.delete();
    expect(() => small.close()).toThrow(/'small' still has: a/);
    a.delete();
    small.close();
    expect(ran).toEqual([]);
    expect(core.allocatedBytes).toBeLessThan(before);
    expect(() => hookContext(core, { slots: 0 })).toThrow(/slots: 0 .* 1 to 65535/);
    expect(() => hookContext(core, { slots: 65_536 })).toThrow(/slots: 65536 .* 1 to 65535/);
  });
});
