/** Who is told, who sleeps and who may poll: behaviour 3.2. */
import { beforeEach, describe, expect, it } from 'vitest';
import { scheduleRemote } from '#src/aio/bottom-half';
import { ManualClock } from '#src/aio/clock';
import { AioContext } from '#src/aio/context';
import { AioError } from '#src/aio/error';
import { notifyContext, wakeContext } from '#src/aio/wake';
import type { Core } from '#src/engine/core';
import {
  CONTEXT_DEPTH,
  CONTEXT_HOME,
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  CONTEXT_WAKE,
  CONTEXT_WAKES,
} from '#src/layout';
import {
  engines,
  hookContext,
  openCore,
  otherThread,
  until,
  watchEngine,
  wordOf,
  worlds,
} from './contexts.ts';

type Wait = (words: Int32Array, index: number, value: number, timeout?: number) => string;

describe.each(worlds)('notify and poll, $engine engine, $memory memory', ({ engine, memory }) => {
  let core: Core;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);

  beforeEach(() => {
    core = openCore(engine, memory);
    ran = [];
  });

  it('NT-3 historic bug 2: nobody takes a poll of another thread for being awake', async () => {
    // The loop sleeps in its prepare. Another thread polls; there a bottom half schedules itself,
    // and a worker schedules it once more. QEMU asked "is anybody dispatching?" and "is it scheduled
    // already?", and nobody woke the loop.
    let wakes = 0;
    const context = hookContext(core, { anyThreadMayPoll: true, onWake: () => wakes++ });
    const worker = await otherThread(core);
    const completion = context.bottomHalf('completion', () => {
      ran.push('completion');
      if (ran.length === 1) completion.schedule();
    });
    expect([wordOf(context, CONTEXT_NOTIFY_ME), wakes]).toEqual([1, 0]);
    completion.schedule();
    let woken = wordOf(context, CONTEXT_WAKES);
    expect(core.engine.pollBegin(context.address, worker.thread)).toBe(1); // the hook lets it in
    context.poll();
    core.engine.pollEnd(context.address);
    expect(ran).toEqual(['completion']);
    expect(wordOf(context, CONTEXT_WAKES)).toBe(woken + 1);
    woken = wordOf(context, CONTEXT_WAKES);
    expect(scheduleRemote(worker, completion.handle)).toBe(true);
    expect(wordOf(context, CONTEXT_WAKES)).toBe(woken + 1);
    await until(() => wakes > 0);
    context.turn();
    expect(ran).toEqual(['completion', 'completion']);
  });

  it('NT-4 polls that do not block wake nobody and leave notify_me alone', () => {
    const context = hookContext(core);
    const before = wordOf(context, CONTEXT_NOTIFY_ME);
    const touched: string[] = [];
    const stop = watchEngine(core, (name) => touched.push(name));
    for (let i = 0; i < 100; i++) expect(context.poll()).toBe(false);
    stop();
    expect(wordOf(context, CONTEXT_NOTIFY_ME)).toBe(before);
    expect([wordOf(context, CONTEXT_WAKES), wordOf(context, CONTEXT_WAKE)]).toEqual([0, 0]);
    const order = ['waitEnter', 'waitLeave', 'accept', 'check', 'prepare', 'notify'];
    expect(touched.filter((name) => order.includes(name))).toEqual([]);
  });

  it('NT-5 NT-12 a foreign poll is refused by name, and the hook lets it in', async () => {
    const other = await otherThread(core);
    const context = hookContext(core, { name: 'disk' });
    const home = wordOf(context, CONTEXT_HOME);
    expect(home).toBe(core.thread);
    expect(other.thread).not.toBe(core.thread);
    const message = `context 'disk' belongs to thread ${home}; thread ${other.thread} may not poll it`;
    expect(() => hookContext(other, { name: 'disk', block: context.address })).toThrow(message);
    // Its home is elsewhere now: neither poll nor turn touches a word.
    Atomics.store(core.u32, (context.address + CONTEXT_HOME) >>> 2, 77);
    context.notify();
    const stranger = `context 'disk' belongs to thread 77; thread ${core.thread} may not poll it`;
    expect(() => context.poll()).toThrow(AioError);
    expect(() => context.poll()).toThrow(stranger);
    expect(() => context.turn()).toThrow(stranger);
    expect([CONTEXT_NOTIFIED, CONTEXT_DEPTH].map((at) => wordOf(context, at))).toEqual([1, 0]);
    Atomics.store(core.u32, (context.address + CONTEXT_HOME) >>> 2, home);
    context.close();
    const open = hookContext(core, { anyThreadMayPoll: true });
    expect(wordOf(open, CONTEXT_HOME)).toBe(0);
    expect(core.engine.pollBegin(open.address, other.thread)).toBe(1);
    expect(core.engine.pollEnd(open.address)).toBe(0);
  });

  it('NT-7 waking up is no progress', () => {
    const context = hookContext(core);
    context.notify();
    expect(context.turn()).toBe(false);
    context.setPollParams({ maxNs: 1 });
    expect(context.turn()).toBe(false);
  });

  it('NT-10 WT-7 new limits notify; wrong ones change nothing', () => {
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    context.setPollParams({ maxNs: 0xffff_ffff, grow: 3, shrink: 4, maxBatch: 8 });
    expect(wakes).toBe(1);
    context.turn();
    for (const bad of [
      { maxNs: -1 },
      { grow: 0.5 },
      { shrink: Number.NaN },
      { maxBatch: 2 ** 32 },
    ]) {
      expect(() =>
        context.setPollParams({ maxNs: 5, grow: 6, shrink: 7, maxBatch: 9, ...bad }),
      ).toThrow(
        /(poll-max-ns|poll-grow|poll-shrink|aio-max-batch): .* is not allowed; allowed: int/,
      );
    }
    expect(context.pollParams).toEqual({ maxNs: 0xffff_ffff, grow: 3, shrink: 4, maxBatch: 8 });
    expect(wakes).toBe(1);
  });

  it('NT-11 historic bug 19: a handler added while the loop sleeps, its event long set', async () => {
    const context = hookContext(core);
    const notifier = context.notifier('early');
    notifier.set();
    let wakes = 0;
    const sleeping = hookContext(core, { onWake: () => wakes++ });
    sleeping.setHandler(notifier, note('served'));
    expect(wakes).toBe(1);
    sleeping.turn();
    expect(ran).toEqual(['served']);
  });

  it('NT-11 a timer that becomes the first and a clock that is enabled wake', () => {
    let wakes = 0;
    const context = hookContext(core, { clock: new ManualClock(), onWake: () => wakes++ });
    const timer = context.timer('t', note('t'), 'virtual');
    timer.mod(5);
    context.turn();
    wakes = 0;
    context.clocks.start();
    expect(wakes).toBe(1);
  });

  it('a context of another core of this thread is woken, too', async () => {
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    const other = await otherThread(core);
    notifyContext(other, context.address);
    await until(() => wakes === 1);
    expect(wordOf(context, CONTEXT_WAKES)).toBeGreaterThan(0);
    wakeContext(core, context.address);
    expect(wakes).toBe(1); // told already
  });
});

describe.each(engines)('blocking polls, %s engine', (engine) => {
  let core: Core;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);

  beforeEach(() => {
    core = openCore(engine, 'shared');
    ran = [];
  });

  it('NT-2 the order of a blocking poll: enter, sleep, leave, bottom halves, handlers, timers', () => {
    const clock = new ManualClock();
    const context = new AioContext(core, { clock });
    const steps: string[] = [];
    const notifier = context.notifier();
    context.setHandler(notifier, note('handler'));
    context.poll(true); // accepts what setHandler notified
    const timer = context.timer('t', note('timer'));
    timer.mod(1);
    context.poll(true);
    const wait = Atomics.wait as Wait;
    // Another thread acts while this one is asleep.
    const sleep = (...args: Parameters<Wait>) => {
      steps.push('wait');
      expect(wordOf(context, CONTEXT_NOTIFY_ME)).toBe(3);
      clock.advance(5);
      notifier.set();
      context.scheduleOneshot('bh', note('bh'));
      return wait(args[0], args[1], args[2] + 1, 0);
    };
    const stop = watchEngine(core, (name) => steps.push(name));
    Atomics.wait = sleep as typeof Atomics.wait;
    try {
      expect(context.poll(true)).toBe(true);
    } finally {
      Atomics.wait = wait as typeof Atomics.wait;
      stop();
    }
    const order = ['waitEnter', 'wait', 'waitLeave', 'bhTake', 'handlerReady'];
    expect(steps.filter((name, i) => order.includes(name) && steps.indexOf(name) === i)).toEqual(
      order,
    );
    expect(ran).toEqual(['bh', 'handler', 'timer']);
    context.setHandler(notifier, null);
    context.close();
  });

  it('NT-2 what is notified between the look and notify_me does not let it sleep', async () => {
    const context = new AioContext(core);
    const other = await otherThread(core);
    const bh = context.bottomHalf('bh', note('bh'));
    expect(context.mayBlock).toBe(true);
    const poll = (act: (call: number) => void): string[] => {
      const calls: string[] = [];
      const bound = context.timer('bound', note('late'));
      bound.mod(context.clock.now() + 20_000_000);
      context.poll(true); // accepts what `mod` notified
      ran = [];
      const stop = watchEngine(core, (name) => {
        calls.push(name);
        act(calls.length);
      });
      context.poll(true);
      stop();
      bound.del();
      return calls;
    };
    context.leaveLoop(); // no bit 0: who notifies too early wakes nobody
    const points = poll(() => {}).indexOf('waitEnter') + 1;
    expect([points > 3, ran]).toEqual([true, ['late']]);
    // At every call that a blocking poll makes before it sleeps, another thread schedules.
    for (let point = 1; point <= points; point++) {
      poll((call) => {
        if (call === point) scheduleRemote(other, bh.handle);
      });
      expect([point, ran]).toEqual([point, ['bh']]);
    }
    bh.delete();
    context.poll();
    context.close();
  });

  it('NT-3 nested blocking polls: the outer one is dispatching, so the counts do not add up', () => {
    const context = new AioContext(core);
    expect(context.mayBlock).toBe(true);
    const seen: number[] = [];
    const wait = Atomics.wait as Wait;
    Atomics.wait = ((...args: Parameters<Wait>) => {
      seen.push(wordOf(context, CONTEXT_NOTIFY_ME) & ~1);
      context.scheduleOneshot('inner', note('inner'));
      return wait(args[0], args[1], args[2] + 1, 0);
    }) as typeof Atomics.wait;
    try {
      context.scheduleOneshot('outer', () => {
        expect(context.poll(true)).toBe(true);
        ran.push('outer');
      });
      context.poll(true);
    } finally {
      Atomics.wait = wait as typeof Atomics.wait;
    }
    expect([seen, ran]).toEqual([[2], ['inner', 'outer']]);
    expect(wordOf(context, CONTEXT_NOTIFY_ME)).toBe(1);
    context.close();
  });

  it('NT-7 notify: a blocking poll returns false at once', () => {
    const context = new AioContext(core);
    context.notify();
    expect(context.poll(true)).toBe(false);
    context.close();
  });

  it('historic bug 3: a poll elsewhere does not take the wake of a sleeper', async () => {
    const context = new AioContext(core, { anyThreadMayPoll: true });
    const other = await otherThread(core);
    // The home thread is about to sleep; main notifies, then polls the context without blocking.
    const seen = wordOf(context, CONTEXT_WAKE);
    expect(core.engine.waitEnter(context.address)).toBe(1);
    notifyContext(other, context.address);
    expect(core.engine.pollBegin(context.address, other.thread)).toBe(1);
    context.poll();
    core.engine.pollEnd(context.address);
    expect(wordOf(context, CONTEXT_NOTIFIED)).toBe(1); // nothing accepted
    expect(Atomics.wait(core.i32, (context.address + CONTEXT_WAKE) >>> 2, seen, 0)).toBe(
      'not-equal',
    );
    core.engine.waitLeave(context.address);
    context.close();
    // And in an ordinary build it is not let in.
    const owned = new AioContext(core);
    expect(core.engine.pollBegin(owned.address, other.thread)).toBe(0);
    owned.close();
  });

  it('a poll may block only where there is a word to sleep on', () => {
    const unshared = openCore(engine);
    const loop = new AioContext(unshared, { name: 'loop' });
    expect(loop.mayBlock).toBe(false);
    expect(() => loop.poll(true)).toThrow(/'loop' cannot block/);
    expect(() => new AioContext(unshared, { sleeper: 'word' })).toThrow(/'word' needs a shared/);
    const hook = hookContext(core);
    expect(() => hook.poll(true)).toThrow(AioError);
    const wait = Atomics.wait as Wait;
    const word = new AioContext(core, { name: 'page' });
    Atomics.wait = (() => {
      throw new TypeError('Atomics.wait cannot be called in this context');
    }) as unknown as typeof Atomics.wait;
    try {
      expect(() => word.poll(true)).toThrow(/'page' cannot block/);
    } finally {
      Atomics.wait = wait as typeof Atomics.wait;
    }
    for (const context of [loop, hook, word]) context.close();
  });
});
