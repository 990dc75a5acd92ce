import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '#src/aio/clock';
import { AioContext } from '#src/aio/context';
import type { Core } from '#src/engine/core';
import { CONTEXT_NOTIFIED, CONTEXT_NOTIFY_ME } from '#src/layout';
import { engines, hookContext, openCore } from './contexts.ts';

const macrotasks = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe.each(engines)('AioContext, %s engine', (engine) => {
  let core: Core;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);

  beforeEach(() => {
    core = openCore(engine);
    ran = [];
  });

  it('NT-1 GS-2 notify sets notified; the check of the next turn accepts it', () => {
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    const word = (offset: number) => core.u32[(context.address + offset) >>> 2];
    expect(word(CONTEXT_NOTIFY_ME)).toBe(1);
    context.notify();
    expect([word(CONTEXT_NOTIFIED), wakes]).toEqual([1, 1]);
    expect(context.turn()).toBe(false); // waking up is no progress (NT-7)
    expect([word(CONTEXT_NOTIFIED), word(CONTEXT_NOTIFY_ME)]).toEqual([0, 1]);
  });

  it('NT-9 an event notifier saturates, clears completely, and is dead after close', () => {
    const context = hookContext(core);
    const before = core.allocatedBytes;
    const notifier = context.notifier('n');
    for (let i = 0; i < 3; i++) notifier.set();
    expect(notifier.isSet).toBe(true);
    expect([notifier.testAndClear(), notifier.testAndClear()]).toEqual([true, false]);
    notifier.set();
    notifier.close();
    notifier.set();
    expect([notifier.testAndClear(), notifier.isSet]).toEqual([false, false]);
    notifier.close();
    expect(core.allocatedBytes).toBe(before);
  });

  it('NT-11 a handler added for an event that is set already is called', () => {
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    const notifier = context.notifier('early');
    notifier.set();
    expect(wakes).toBe(0);
    context.setHandler(notifier, note('early'));
    expect(wakes).toBe(1);
    expect(context.turn()).toBe(true);
    expect(ran).toEqual(['early']);
    expect(context.turn()).toBe(false);
  });

  it('FD-1 FD-2 a handler replaced or removed in the same dispatch is not called', () => {
    const context = hookContext(core);
    const [first, second, third] = ['1', '2', '3'].map((name) => context.notifier(name));
    context.setHandler(first!, () => {
      ran.push('first');
      context.setHandler(second!, note('new second'));
      context.setHandler(third!, null);
    });
    context.setHandler(second!, note('old second'));
    context.setHandler(third!, note('third'));
    for (const notifier of [first!, second!, third!]) notifier.set();
    context.turn();
    expect(ran).toEqual(['first']);
    context.turn();
    expect(ran).toEqual(['first', 'new second']);
    expect(context.handlers).toEqual(['1', '2']);
  });

  it('NT-8 order inside a poll: bottom halves, handlers, timers', () => {
    const clock = new ManualClock(1000);
    const context = hookContext(core, { clock });
    const notifier = context.notifier();
    context.setHandler(notifier, note('handler'));
    context.timer('t', note('timer')).mod(1000);
    notifier.set();
    context.scheduleOneshot('bh', note('bottom half'));
    expect(context.poll()).toBe(true);
    expect(ran).toEqual(['bottom half', 'handler', 'timer']);
  });

  it('NT-8 a handler that sets its own event is called again by the next poll only', () => {
    const context = hookContext(core);
    const notifier = context.notifier();
    context.setHandler(notifier, () => {
      ran.push('again');
      notifier.set();
    });
    notifier.set();
    for (let i = 0; i < 3; i++) context.turn();
    expect(ran).toHaveLength(3);
  });

  it('TM-1 timeout: 0 with work, 10 ms with idle work, else the first deadline, else for ever', () => {
    const clock = new ManualClock(100);
    const context = hookContext(core, { clock });
    expect(context.timeout()).toBe(-1);
    const idle = context.bottomHalf('idle', () => {});
    const timer = context.timer('t', () => {});
    timer.mod(50_000_100);
    expect(context.timeout()).toBe(50_000_000);
    idle.scheduleIdle();
    expect(context.timeout()).toBe(10_000_000);
    timer.mod(600);
    expect(context.timeout()).toBe(500);
    clock.advance(501);
    expect(context.timeout()).toBe(0);
    timer.del();
    idle.schedule();
    expect(context.timeout()).toBe(0);
  });

  it('TM-2 timers run by expiry, first in first out among equals; a new head notifies', () => {
    const clock = new ManualClock();
    let wakes = 0;
    const context = hookContext(core, { clock, onWake: () => wakes++ });
    const timers = ['a', 'b', 'c', 'd'].map((name) => context.timer(name, note(name)));
    timers[0]!.mod(500);
    expect(wakes).toBe(1);
    context.turn();
    timers[1]!.mod(900);
    expect(wakes).toBe(1); // not the head: nobody need know
    timers[2]!.mod(500);
    timers[3]!.mod(100);
    expect(wakes).toBe(2);
    clock.advance(899);
    context.turn();
    expect(ran).toEqual(['d', 'a', 'c']);
    clock.advance(1);
    context.turn();
    expect(ran).toEqual(['d', 'a', 'c', 'b']);
  });

  it('TM-3 TM-4 a callback may arm and disarm timers, itself too; a pass always ends', () => {
    const clock = new ManualClock(10);
    const context = hookContext(core, { clock });
    const victim = context.timer('victim', note('victim'));
    const again = context.timer('again', () => {
      ran.push('again');
      again.mod(0);
      victim.del();
      expect(again.pending).toBe(true);
    });
    again.mod(-5);
    expect(again.expire).toBe(0);
    victim.mod(10);
    expect(context.poll()).toBe(true);
    expect(ran).toEqual(['again']);
    expect(victim.expire).toBe(-1);
    context.poll();
    expect(ran).toEqual(['again', 'again']);
    expect(() => again.mod(Number.NaN)).toThrow(/'again'/);
  });

  it('lives in the JavaScript loop: schedules, kicks and timers bring turns, idleness none', async () => {
    const context = new AioContext(core);
    const notifier = context.notifier();
    context.setHandler(notifier, note('kick'));
    context.scheduleOneshot('bh', note('bh'));
    expect(ran).toEqual([]);
    await macrotasks(3);
    expect(ran).toEqual(['bh']);
    notifier.set();
    await macrotasks(3);
    expect(ran).toEqual(['bh', 'kick']);
    const fired = new Promise((resolve) => {
      context.timer('t', () => resolve(null)).mod(context.clock.now() + 2_000_000);
    });
    await fired;
    await macrotasks(5);
    const turns = context.turns;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(context.turns).toBe(turns);
    context.setHandler(notifier, null);
    notifier.close();
    context.close();
  });

  it('a callback that throws loses nothing that others have scheduled', () => {
    const context = hookContext(core);
    context.scheduleOneshot('bad', () => {
      throw new Error('bad callback');
    });
    context.scheduleOneshot('good', note('good'));
    expect(() => context.turn()).toThrow('bad callback');
    context.turn();
    expect(ran).toEqual(['good']);
  });
});
