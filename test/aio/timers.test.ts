/** Timers and the four clocks: behaviour 3.4. */
import { beforeEach, describe, expect, it } from 'vitest';
import { scheduleRemote } from '#src/aio/bottom-half';
import { Clocks, hostClock, ManualClock, realtimeClock } from '#src/aio/clock';
import type { Core } from '#src/engine/core';
import { hookContext, openCore, otherThread, until, worlds } from './contexts.ts';

describe.each(worlds)('timers and clocks, $engine engine, $memory memory', ({ engine, memory }) => {
  let core: Core;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);

  beforeEach(() => {
    core = openCore(engine, memory);
    ran = [];
  });

  it('TM-1 the soonest of four clocks', () => {
    const [realtime, virtual, host, virtual_rt] = [0, 100, 200, 300].map(
      (at) => new ManualClock(at),
    );
    const clocks = new Clocks({ realtime, virtual, host, virtual_rt } as Record<
      string,
      ManualClock
    >);
    clocks.virtual.enable(true);
    const context = hookContext(core, { clocks });
    expect(context.timeout()).toBe(-1);
    context.timer('host', note('host'), 'host').mod(50_000_200);
    expect(context.timeout()).toBe(50_000_000);
    context.timer('rt', note('rt'), 'virtual_rt').mod(40_000_300);
    expect(context.timeout()).toBe(40_000_000);
    context.timer('virtual', note('virtual'), 'virtual').mod(30_000_100);
    expect(context.timeout()).toBe(30_000_000);
    context.timer('real', note('real')).mod(20_000_000);
    expect(context.timeout()).toBe(20_000_000);
    virtual!.advance(30_000_000);
    expect(context.timeout()).toBe(0);
    expect(context.poll()).toBe(true);
    expect(ran).toEqual(['virtual']);
    expect(() => context.timer('x', note('x'), 'moon' as 'host')).toThrow(/no clock 'moon'/);
  });

  it('TM-2 a timer armed from another thread, by a bottom half, wakes a loop that sleeps longer', async () => {
    const clock = new ManualClock();
    const sleeps: number[] = [];
    let wakes = 0;
    const hooks = { onWake: () => wakes++, onSleep: (ns: number) => void sleeps.push(ns) };
    const context = hookContext(core, { clock, ...hooks });
    const timer = context.timer('t', note('t'));
    timer.mod(100);
    context.turn();
    expect(sleeps.at(-1)).toBe(100);
    const arm = context.bottomHalf('arm', () => timer.mod(10));
    wakes = 0;
    scheduleRemote(await otherThread(core), arm.handle);
    await until(() => wakes === 1);
    context.turn();
    context.turn();
    expect(sleeps.at(-1)).toBe(10);
    clock.advance(10);
    expect(context.wanted).toBe(true);
    context.turn();
    expect(ran).toEqual(['t']);
  });

  it('TM-3 re-armed for later it runs once in a pass; nested passes lose nothing', () => {
    const clock = new ManualClock(5);
    const context = hookContext(core, { clock });
    const again = context.timer('again', () => {
      ran.push('again');
      again.mod(clock.now() + 10);
    });
    const late = context.timer('late', note('late'));
    const nests = context.timer('nests', () => {
      ran.push('nests');
      context.poll();
      ran.push('nested');
    });
    for (const timer of [nests, again, late]) timer.mod(5);
    expect(context.poll()).toBe(true);
    expect(ran).toEqual(['nests', 'again', 'late', 'nested']);
    clock.advance(9);
    expect(context.poll()).toBe(false);
    clock.advance(1);
    expect(context.poll()).toBe(true);
    expect(ran.at(-1)).toBe('again');
  });

  it('TM-4 armed for a time that is past, it waits for the next pass', () => {
    const context = hookContext(core, { clock: new ManualClock(10) });
    const again = context.timer('again', () => {
      ran.push('again');
      again.mod(0);
    });
    again.mod(0);
    for (let i = 1; i <= 3; i++) {
      expect(context.poll()).toBe(true);
      expect(ran).toHaveLength(i);
      expect(context.timeout()).toBe(0);
    }
  });

  it('TM-5 a stopped machine: virtual timers do not fire, realtime ones do', () => {
    const realtime = new ManualClock();
    const clocks = new Clocks({ realtime });
    let wakes = 0;
    const context = hookContext(core, { clocks, onWake: () => wakes++ });
    context.timer('virtual', note('virtual'), 'virtual').mod(10);
    context.timer('virtual_rt', note('virtual_rt'), 'virtual_rt').mod(10);
    context.timer('realtime', note('realtime')).mod(10);
    realtime.advance(100);
    context.poll();
    expect(ran).toEqual(['realtime']); // disabled, and standing still, at the start
    context.turn();
    wakes = 0;
    clocks.start();
    expect(wakes).toBe(1);
    realtime.advance(9);
    context.turn();
    expect(clocks.virtual.now()).toBe(9);
    clocks.stop();
    realtime.advance(1000);
    context.turn();
    expect([ran.length, clocks.virtual_rt.now(), context.timeout()]).toEqual([1, 9, 1]);
    clocks.start();
    clocks.start();
    realtime.advance(1);
    context.turn();
    expect(ran).toEqual(['realtime', 'virtual', 'virtual_rt']);
  });

  it('TM-5 a disabled clock has no deadline; from inside its own timer it is not disabled', () => {
    const clock = new ManualClock();
    const context = hookContext(core, { clock });
    const { realtime } = context.clocks;
    const timer = context.timer('t', () => {
      ran.push('t');
      expect(() => realtime.enable(false)).toThrow(/disabled from inside one of its timers/);
      expect(realtime.enabled).toBe(true);
    });
    timer.mod(0);
    realtime.enable(false);
    expect([context.timeout(), context.poll(), ran]).toEqual([-1, false, []]);
    realtime.enable(true);
    expect([context.timeout(), context.poll(), ran]).toEqual([0, true, ['t']]);
    realtime.enable(false);
    expect(realtime.enabled).toBe(false);
  });

  it('TM-5 realtime counts on and is no time of day; host is', () => {
    const before = realtimeClock.now();
    expect(realtimeClock.now()).toBeGreaterThanOrEqual(before);
    const day = 86_400e9;
    expect(Math.abs(hostClock.now() - Date.now() * 1e6)).toBeLessThan(day);
    expect(hostClock.now() - before).toBeGreaterThan(day);
  });

  it('TM-6 anticipate, delete, deinit, negative times', () => {
    const context = hookContext(core, { clock: new ManualClock() });
    const timer = context.timer('t', note('t'));
    timer.modAnticipate(100);
    expect(timer.expire).toBe(100);
    timer.modAnticipate(200);
    expect(timer.expire).toBe(100);
    timer.modAnticipate(50);
    expect(timer.expire).toBe(50);
    timer.mod(60);
    expect(timer.expire).toBe(60);
    expect(() => timer.deinit()).toThrow(/'t' is still armed/);
    timer.del();
    timer.del();
    expect([timer.pending, timer.expire]).toEqual([false, -1]);
    timer.deinit();
    timer.mod(-7);
    expect([timer.pending, timer.expire]).toEqual([true, 0]);
    timer.modAnticipate(-9);
    expect(timer.expire).toBe(0);
  });

  it('TM-7 the test clock stops at each deadline', () => {
    const clock = new ManualClock();
    const context = hookContext(core, { clock });
    const { realtime } = context.clocks;
    const at = (name: string) => () => void ran.push(`${name} at ${clock.now()}`);
    const [five, b, one, later] = ['5a', '5b', '1', '9'].map((name) =>
      context.timer(name, at(name)),
    );
    five!.mod(5);
    b!.mod(5);
    one!.mod(1);
    later!.mod(9);
    const chain = context.timer('chain', () => {
      at('chain')();
      if (clock.now() < 7) chain.mod(clock.now() + 3);
    });
    chain.mod(2);
    realtime.advance(8);
    const order = ['1 at 1', 'chain at 2', '5a at 5', '5b at 5', 'chain at 5', 'chain at 8'];
    expect(ran).toEqual(order);
    realtime.advance(1);
    expect(ran.at(-1)).toBe('9 at 9');
    const past = context.timer('past', () => {
      ran.push('past');
      past.mod(0);
    });
    past.mod(0);
    realtime.advance(5); // ends, although one is always due
    expect(clock.now()).toBe(14);
    expect(() => new Clocks().realtime.advance(1)).toThrow(/goes by itself/);
    expect(() => realtime.advance(-1)).toThrow(RangeError);
  });
});
