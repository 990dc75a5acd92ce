/** Life inside a foreign loop, JavaScript's or an emulator's: behaviour 3.3. */
import { beforeEach, describe, expect, it } from 'vitest';
import { scheduleRemote } from '#src/aio/bottom-half';
import { ManualClock } from '#src/aio/clock';
import { AioContext } from '#src/aio/context';
import type { Core } from '#src/engine/core';
import { CONTEXT_NOTIFIED, CONTEXT_NOTIFY_ME, CONTEXT_WAKE, CONTEXT_WAKES } from '#src/layout';
import {
  engines,
  hookContext,
  macrotasks,
  openCore,
  otherThread,
  until,
  watchEngine,
  wordOf,
  worlds,
} from './contexts.ts';

describe.each(worlds)('a foreign loop, $engine engine, $memory memory', ({ engine, memory }) => {
  let core: Core;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);

  beforeEach(() => {
    core = openCore(engine, memory);
    ran = [];
  });

  it('GS-1 prepare: bit 0 before the timeout is read; milliseconds are rounded up', async () => {
    const sleeps: number[] = [];
    const clock = new ManualClock();
    const context = hookContext(core, { clock, onSleep: (ns) => void sleeps.push(ns) });
    context.timer('t', note('t')).mod(1_500_001);
    context.turn();
    const order: string[] = [];
    const stop = watchEngine(core, (name) => order.push(name));
    context.turn();
    stop();
    const asked = ['prepare', 'bhPending', 'handlerPending'];
    expect(order.filter((name) => asked.includes(name))).toEqual(asked);
    expect([wordOf(context, CONTEXT_NOTIFY_ME) & 1, sleeps.at(-1)]).toEqual([1, 1_500_001]);
    const asked2: number[] = [];
    const setTimeout = globalThis.setTimeout;
    globalThis.setTimeout = ((callback: () => void, ms: number) => {
      asked2.push(ms);
      return setTimeout(callback, 0);
    }) as typeof setTimeout;
    try {
      const loop = new AioContext(core, { clock, sleeper: 'loop' });
      const timer = loop.timer('t', note('t'));
      timer.mod(clock.now() + 1_000_001);
      loop.turn();
      expect(asked2.at(-1)).toBe(2);
      timer.mod(clock.now() + 1e18);
      loop.turn();
      expect(asked2.at(-1)).toBe(2 ** 31 - 1);
      timer.del();
      loop.close();
    } finally {
      globalThis.setTimeout = setTimeout;
    }
  });

  it('GS-2 historic bug 4: whoever schedules at any point of prepare and check is heard', async () => {
    const other = await otherThread(core);
    let points = 0;
    for (let point = 0; point <= points; point++) {
      let wakes = 0;
      const context = hookContext(core, { onWake: () => wakes++ });
      const bh = context.bottomHalf('bh', note('bh'));
      ran = [];
      let calls = 0;
      const stop = watchEngine(core, () => {
        if (++calls === point) scheduleRemote(other, bh.handle);
      });
      context.turn();
      stop();
      points = Math.max(points, calls);
      // Asleep already, or the turn had no such point.
      if (point === 0 || calls < point) scheduleRemote(other, bh.handle);
      await until(() => wakes > 0 || ran.length > 0);
      context.turn();
      expect([point, ran]).toEqual([point, ['bh']]);
      bh.delete();
      context.turn();
      context.close();
    }
    expect(points).toBeGreaterThan(8);
  });

  it('GS-3 a callback may turn the foreign loop: it is a nested poll, and others go on', async () => {
    const context = new AioContext(core);
    let others = 0;
    context.scheduleOneshot('outer', () => {
      context.scheduleOneshot('inner', note('inner'));
      setImmediate(() => others++);
      context.turn();
      ran.push('outer');
    });
    await until(() => ran.length === 2 && others === 1);
    expect(ran).toEqual(['inner', 'outer']);
    expect(wordOf(context, CONTEXT_NOTIFY_ME)).toBe(1);
    context.close();
  });

  it('GS-4 prepare without check: bit 0 is a bit, not a count', () => {
    const context = hookContext(core);
    for (let i = 0; i < 3; i++) context.enterLoop();
    expect(wordOf(context, CONTEXT_NOTIFY_ME)).toBe(1);
    context.leaveLoop();
    expect(wordOf(context, CONTEXT_NOTIFY_ME)).toBe(0);
    context.enterLoop();
  });

  it('GS-1 a notify while the thread saw to itself brings a turn when it is back', () => {
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    context.leaveLoop();
    context.notify();
    expect(wakes).toBe(0);
    context.enterLoop();
    expect(wakes).toBe(1);
    context.turn();
    expect(context.wanted).toBe(false);
  });

  it('GS-6 a nested poll of one context calls nothing of another on the thread', () => {
    const block = hookContext(core, { name: 'block' });
    const monitor = hookContext(core, { name: 'monitor' });
    const command = monitor.notifier('command');
    monitor.setHandler(command, note('command'));
    command.set();
    monitor.scheduleOneshot('reply', note('reply'));
    block.scheduleOneshot('flush', () => {
      for (let i = 0; i < 3; i++) block.poll();
      ran.push('flush');
    });
    block.poll();
    expect(ran).toEqual(['flush']);
    monitor.poll();
    expect(ran).toEqual(['flush', 'reply', 'command']);
  });

  it('GS-7 a completion at every point of a slice boundary reaches the guest within one slice', async () => {
    const other = await otherThread(core);
    const clock = new ManualClock();
    // The emulator: at its poll point it asks whether a turn is wanted, then runs a slice.
    const context = hookContext(core, { clock });
    const completion = context.bottomHalf('completion', note('irq'));
    const boundary = (act: (point: string) => void) => {
      act('before the question');
      const { wanted } = context;
      act('after the question');
      if (wanted) context.turn();
      act('before the slice');
      act('in the slice');
    };
    for (const point of [
      'before the question',
      'after the question',
      'before the slice',
      'in the slice',
    ]) {
      ran = [];
      boundary((at) => at === point && scheduleRemote(other, completion.handle));
      if (ran.length === 0) boundary(() => {});
      expect([point, ran]).toEqual([point, ['irq']]);
    }
    // And inside the turn itself, ahead of each call into the engine.
    for (let point = 1; point < 12; point++) {
      ran = [];
      let calls = 0;
      const stop = watchEngine(core, () => {
        if (++calls === point) scheduleRemote(other, completion.handle);
      });
      context.turn();
      stop();
      if (calls < point) scheduleRemote(other, completion.handle);
      if (ran.length === 0) boundary(() => {});
      expect([point, ran]).toEqual([point, ['irq']]);
    }
    boundary(() => {});
    expect(context.wanted).toBe(false);
  });

  it('GS-7 historic bug 28: a timer that comes due between the look and the slice', () => {
    const clock = new ManualClock();
    let sleep = 0;
    const context = hookContext(core, { clock, onSleep: (ns) => void (sleep = ns) });
    context.timer('t', note('t')).mod(100);
    context.turn();
    expect(sleep).toBe(100);
    expect(context.wanted).toBe(false); // the question is asked ...
    clock.advance(100); // ... the timer comes due, and the guest is entered for a slice
    expect(context.wanted).toBe(true);
    context.turn();
    expect(ran).toEqual(['t']);
    expect([context.wanted, sleep]).toEqual([false, -1]);
  });

  it('a hook is told once of any number of wakes between two turns', () => {
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    for (let i = 0; i < 5; i++) context.notify();
    expect([wakes, wordOf(context, CONTEXT_WAKES)]).toEqual([1, 5]);
    context.turn();
    context.notify();
    expect(wakes).toBe(2);
  });

  it('nextTurn resolves after the next turn, and when the context is closed', async () => {
    const context = hookContext(core);
    let turned = false;
    const next = context.nextTurn().then(() => {
      turned = true;
    });
    await macrotasks(2);
    expect(turned).toBe(false);
    context.turn();
    await next;
    const last = context.nextTurn();
    context.close();
    await last;
  });
});

describe.each(engines)('wakes from other threads, %s engine', (engine) => {
  const waitAsync = (Atomics as { waitAsync?: unknown }).waitAsync;
  const replace = (value: unknown) => Object.assign(Atomics, { waitAsync: value });

  it('at most one waitAsync is outstanding, and none is left behind', async () => {
    const core = openCore(engine, 'shared');
    const other = await otherThread(core);
    let made = 0;
    replace((...args: unknown[]) => {
      made += 1;
      return (waitAsync as (...args: unknown[]) => unknown)(...args);
    });
    try {
      const ran: string[] = [];
      const context = new AioContext(core);
      for (let i = 0; i < 50; i++) {
        context.scheduleOneshot('local', () => ran.push('local'));
        await until(() => ran.length === i + 1);
      }
      expect(made).toBe(1); // wakes of its own thread do not settle it
      const bh = context.bottomHalf('remote', () => ran.push('remote'));
      for (let i = 0; i < 20; i++) {
        scheduleRemote(other, bh.handle);
        await until(() => ran.length === 51 + i);
      }
      expect(made).toBeGreaterThan(1);
      expect(made).toBeLessThanOrEqual(21);
      bh.delete();
      await macrotasks(3);
      const at = (context.address + CONTEXT_WAKE) >>> 2;
      context.close();
      expect(Atomics.notify(core.i32, at)).toBe(0);
    } finally {
      replace(waitAsync);
    }
  });

  it('without waitAsync, the loop is the default, and a word is looked at', async () => {
    const core = openCore(engine, 'shared');
    const other = await otherThread(core);
    replace(undefined);
    try {
      const plain = new AioContext(core, { name: 'plain' });
      expect(plain.mayBlock).toBe(false);
      plain.close();
      const word = new AioContext(core, { name: 'word', sleeper: 'word' });
      expect(word.mayBlock).toBe(true);
      let ran = 0;
      const bh = word.bottomHalf('bh', () => ran++);
      for (let i = 1; i <= 3; i++) {
        await macrotasks(3);
        scheduleRemote(other, bh.handle);
        await until(() => ran === i);
      }
      bh.delete();
      await until(() => word.bottomHalves === 0);
      word.close();
    } finally {
      replace(waitAsync);
    }
  });

  it('a sleeping hook hears of another thread through the JavaScript loop', async () => {
    const core = openCore(engine, 'shared');
    const other = await otherThread(core);
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    const ran: number[] = [];
    const bh = context.bottomHalf('irq', () => ran.push(wakes));
    for (let i = 1; i <= 3; i++) {
      scheduleRemote(other, bh.handle);
      expect(wordOf(context, CONTEXT_NOTIFIED)).toBe(1);
      await until(() => wakes === i);
      context.turn();
    }
    expect(ran).toEqual([1, 2, 3]);
  });
});
