/**
 * What happens between the last look for work and the sleep, and what is found twice: the edges of
 * the steps in which a context polls, sleeps and is woken.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { scheduleRemote } from '#src/aio/bottom-half';
import { AioContext } from '#src/aio/context';
import type { EventNotifier } from '#src/aio/event-notifier';
import type { AioPoll } from '#src/aio/handlers';
import { nextPollNs } from '#src/aio/poll-params';
import { runLoop } from '#src/aio/run-loop';
import { wakeWord } from '#src/aio/wake';
import type { Core } from '#src/engine/core';
import {
  CONTEXT_POLL_READY,
  CONTEXT_POLLING,
  CONTEXT_TURNS,
  CONTEXT_VISITS,
  CONTEXT_WAKE,
  VISITS_CLOSED,
} from '#src/layout';
import {
  engines,
  hookContext,
  openCore,
  otherThread,
  SteppingClock,
  setPollNs,
  until,
  watchEngine,
  wordOf,
  worlds,
} from './contexts.ts';

describe.each(engines)('the last look before a sleep, %s engine', (engine) => {
  let core: Core;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);

  beforeEach(() => {
    core = openCore(engine, 'shared');
    ran = [];
  });

  it('NT-2 who counts the word up after the last look is not slept on', async () => {
    const context = new AioContext(core);
    const other = await otherThread(core);
    const bh = context.bottomHalf('bh', note('bh'));
    const bound = context.timer('bound', note('late'));
    bound.mod(context.clock.now() + 30_000_000);
    context.poll(true); // accepts what `mod` notified
    const { engine: real } = core;
    const waitEnter = (address: number): number => {
      const answer = real.waitEnter(address);
      scheduleRemote(other, bh.handle);
      return answer;
    };
    Object.defineProperty(core, 'engine', { value: { ...real, waitEnter } });
    try {
      expect(context.poll(true)).toBe(true);
    } finally {
      Object.defineProperty(core, 'engine', { value: real });
    }
    expect(ran).toEqual(['bh']);
    bound.del();
    bh.delete();
    context.poll();
    context.close();
  });

  it('NT-1 the word is counted up before anybody is told', () => {
    const context = hookContext(core);
    const before = wordOf(context, CONTEXT_WAKE);
    const seen: number[] = [];
    const notify = Atomics.notify;
    Atomics.notify = ((...args: Parameters<typeof notify>) => {
      seen.push(wordOf(context, CONTEXT_WAKE));
      return notify(...args);
    }) as typeof notify;
    try {
      wakeWord(core, context.address);
    } finally {
      Atomics.notify = notify;
    }
    expect(seen).toEqual([before + 1]);
    context.close();
  });

  it('GS-2 who wakes right after the last look is heard, though the last wait has settled', async () => {
    const other = await otherThread(core);
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    const bh = context.bottomHalf('bh', note('bh'));
    scheduleRemote(other, bh.handle);
    await until(() => wakes === 1); // what was outstanding has settled
    const stop = watchEngine(core, (name) => {
      if (name === 'handlerPending') scheduleRemote(other, bh.handle);
    });
    context.turn();
    stop();
    expect(ran).toEqual(['bh']);
    await until(() => wakes === 2);
    context.turn();
    expect(ran).toEqual(['bh', 'bh']);
    bh.delete();
    context.turn();
    context.close();
  });

  it('WT-4 what a callback resolves is done before a thread that serves sleeps', async () => {
    const context = new AioContext(core);
    let settle = () => {};
    const settled = new Promise<void>((resolve) => {
      settle = resolve;
    }).then(note('settled'));
    context.scheduleOneshot('callback', () => settle());
    const wait = Atomics.wait;
    Atomics.wait = ((...args: Parameters<typeof wait>) => {
      if (args[3] !== 0) ran.push('sleeps'); // 0: it asks whether it may
      return wait(args[0], args[1], args[2], 0);
    }) as typeof wait;
    try {
      await runLoop(
        context,
        () => ran.includes('sleeps'),
        () => false,
      );
    } finally {
      Atomics.wait = wait;
    }
    await settled;
    expect(ran).toEqual(['settled', 'sleeps']);
    context.close();
  });

  it('AP-7 a timer that comes due while it polls keeps poll mode on', () => {
    const context = new AioContext(core, { clock: new SteppingClock(1000) });
    const notifier = context.notifier('ring');
    const poll = { ready: () => {}, end: note('end') };
    context.setHandler(notifier, { read: () => {}, poll });
    context.setPollParams({ maxNs: 32_768 });
    notifier.set();
    context.poll(true);
    setPollNs(context, 0, 30_000);
    context.pollStep(true, false);
    expect(wordOf(context, CONTEXT_POLLING)).toBe(1);
    context.timer('due', note('due')).mod(context.clock.now() + 10_000);
    core.engine.accept(context.address);
    ran = [];
    context.poll(true);
    expect([ran, wordOf(context, CONTEXT_POLLING)]).toEqual([['due'], 1]);
    context.setHandler(notifier, null);
    context.close();
  });
});

describe.each(worlds)('turns and finds, $engine engine, $memory memory', ({ engine, memory }) => {
  let core: Core;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);

  beforeEach(() => {
    core = openCore(engine, memory);
    ran = [];
  });

  it('FD-5 a schedule that comes late leaves a closed context as it is', async () => {
    const other = await otherThread(core);
    const context = hookContext(core);
    const bh = context.bottomHalf('bh', note('bh'));
    bh.delete();
    context.poll();
    const { address } = context;
    context.close();
    expect(scheduleRemote(other, bh.handle)).toBe(false);
    expect(core.u32[(address + CONTEXT_VISITS) >>> 2]).toBe(VISITS_CLOSED);
  });

  it('GS-3 a turn inside a turn is a nested poll: one turn, and one sleep at its end', () => {
    let sleeps = 0;
    const context = hookContext(core, { onSleep: () => sleeps++ });
    context.turn();
    const turns = wordOf(context, CONTEXT_TURNS);
    sleeps = 0;
    context.scheduleOneshot('outer', () => {
      context.turn();
      expect(sleeps).toBe(0);
      ran.push('outer');
    });
    context.turn();
    expect([ran, sleeps, wordOf(context, CONTEXT_TURNS)]).toEqual([['outer'], 1, turns + 1]);
    context.close();
  });

  it('GS-1 an event whose notify was accepted brings a turn', () => {
    let wakes = 0;
    const context = hookContext(core, { onWake: () => wakes++ });
    const notifier = context.notifier('event');
    context.setHandler(notifier, note('read'));
    context.turn();
    notifier.set();
    context.leaveLoop(); // accepts
    wakes = 0;
    context.enterLoop();
    expect(wakes).toBe(1);
    context.turn();
    expect(ran).toEqual(['read']);
    context.setHandler(notifier, null);
  });

  /** A polled handler that finds what is in `work`, and will be looked at for `ns`. */
  function polled(context: AioContext, name: string, work: Set<string>, ready?: () => void) {
    const notifier = context.notifier(name);
    const poll: AioPoll = {
      test: () => work.has(name),
      ready: () => {
        work.delete(name);
        ran.push(`${name} ready`);
        ready?.();
      },
    };
    context.setHandler(notifier, { read: note(`${name} read`), poll });
    notifier.set();
    context.poll();
    ran = [];
    return notifier;
  }

  function spinning(): { context: AioContext; work: Set<string>; clock: SteppingClock } {
    const clock = new SteppingClock(1000);
    const context = hookContext(core, { clock });
    context.setPollParams({ maxNs: 32_768 });
    context.turn();
    return { context, work: new Set(), clock };
  }

  const drop = (context: AioContext, ...notifiers: EventNotifier[]) => {
    for (const notifier of notifiers) context.setHandler(notifier, null);
  };

  it('FD-4 what polling has found is served once, whoever serves it', () => {
    const { context, work } = spinning();
    const a = polled(context, 'a', work, () => context.poll());
    const b = polled(context, 'b', work);
    for (const place of [0, 1]) setPollNs(context, place, 5000);
    context.turn();
    work.add('a').add('b');
    context.pollStep(true, false);
    expect(ran).toEqual(['a ready', 'b ready']);
    expect(wordOf(context, CONTEXT_POLL_READY)).toBe(0);
    drop(context, a, b);
  });

  it('AP-1 an event that polling finds as well is served once, by read', () => {
    const { context, work } = spinning();
    const a = polled(context, 'a', work);
    setPollNs(context, 0, 5000);
    context.turn();
    context.pollStep(true, false);
    a.set();
    work.add('a');
    context.pollStep(true, false);
    expect(ran).toEqual(['a read']);
    drop(context, a);
  });

  it('AP-4 a limit that was lowered bounds the window, and the longest of all makes it', () => {
    const { context, clock, work } = spinning();
    const a = polled(context, 'a', work);
    const b = polled(context, 'b', work);
    const looks = (first: number, second: number, maxNs: number): number => {
      context.setPollParams({ maxNs });
      context.turn();
      setPollNs(context, 0, first);
      setPollNs(context, 1, second);
      const before = clock.time;
      context.pollStep(true, false);
      return (clock.time - before) / 1000;
    };
    const short = looks(1000, 1000, 32_768);
    expect(looks(9000, 1000, 32_768)).toBe(short + 8);
    expect(looks(1000, 9000, 32_768)).toBe(short + 8);
    expect(looks(9000, 9000, 1000)).toBe(short);
    drop(context, a, b);
  });
});

it('AP-5 an event that came within the time stays where it is', () => {
  const params = { maxNs: 32_768, grow: 0, shrink: 0, maxBatch: 0 };
  expect(nextPollNs(8000, 5000, params)).toBe(8000);
  expect(nextPollNs(8000, 8000, params)).toBe(8000);
  expect(nextPollNs(8000, 8001, params)).toBe(16_000);
});
