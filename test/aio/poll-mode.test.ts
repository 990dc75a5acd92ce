/** Adaptive polling: behaviour 3.6. The clock is the test's own, and so is each look at it. */
import { beforeEach, describe, expect, it } from 'vitest';
import { scheduleRemote } from '#src/aio/bottom-half';
import { AioContext } from '#src/aio/context';
import type { EventNotifier } from '#src/aio/event-notifier';
import type { AioPoll } from '#src/aio/handlers';
import { IOTHREAD_POLL_PARAMS, nextPollNs } from '#src/aio/poll-params';
import type { Core } from '#src/engine/core';
import {
  CONTEXT_POLL_DISABLE,
  CONTEXT_POLL_HITS,
  CONTEXT_POLL_READY,
  CONTEXT_POLLING,
} from '#src/layout';
import {
  engines,
  hookContext,
  openCore,
  otherThread,
  pollNs,
  SteppingClock,
  setPollNs,
  watchEngine,
  wordOf,
  worlds,
} from './contexts.ts';

const NO_LIMIT = { ...IOTHREAD_POLL_PARAMS, maxNs: 32768 };

describe('how long to poll', () => {
  it('AP-5 grows to the limit, and falls to nothing when the event came later', () => {
    const steps: number[] = [];
    for (const blocked of [1, 5000, 9000, 17_000, 32_500, 40_000]) {
      steps.push(nextPollNs(steps.at(-1) ?? 0, blocked, NO_LIMIT));
    }
    expect(steps).toEqual([4000, 8000, 16_000, 32_000, 32_768, 0]);
  });

  it.each([
    ['caught by polling: keep', 8000, 8000, {}, 8000],
    ['one ns later: grow', 8000, 8001, {}, 16_000],
    ['at the limit: grow', 8000, 32_768, {}, 16_000],
    ['beyond the limit: to nothing', 8000, 32_769, {}, 0],
    ['beyond it, with a divisor', 8001, 32_769, { shrink: 2 }, 4000],
    ['a factor of its own', 4000, 5000, { grow: 3 }, 12_000],
    ['never beyond the limit', 20_000, 25_000, { grow: 100 }, 32_768],
    ['the first step is bounded, too', 0, 50, { maxNs: 100 }, 100],
    ['above a limit that was lowered: shrink', 8000, 9000, { maxNs: 1000 }, 0],
  ])('AP-5 %s', (_, now, blocked, params, next) => {
    expect(nextPollNs(now, blocked, { ...NO_LIMIT, ...params })).toBe(next);
  });

  it('AP-6 defaults: an IOThread 32768 ns, doubled, to zero; any other context does not poll', () => {
    expect(IOTHREAD_POLL_PARAMS).toEqual({ maxNs: 32768, grow: 0, shrink: 0, maxBatch: 0 });
    const context = hookContext(openCore('js'));
    expect(context.pollParams).toEqual({ maxNs: 0, grow: 0, shrink: 0, maxBatch: 0 });
  });
});

describe.each(worlds)('adaptive polling, $engine engine, $memory memory', ({ engine, memory }) => {
  let core: Core;
  let context: AioContext;
  let clock: SteppingClock;
  let log: string[];
  let work: Set<string>;
  const note = (name: string) => () => void log.push(name);

  beforeEach(() => {
    core = openCore(engine, memory);
    clock = new SteppingClock(1000);
    context = hookContext(core, { clock });
    context.setPollParams({ maxNs: 32_768 });
    context.turn();
    log = [];
    work = new Set();
  });

  /** A handler that finds its work by itself and logs what is asked of it. */
  const polled = (name: string, ready?: () => void): { notifier: EventNotifier; poll: AioPoll } => {
    const notifier = context.notifier(name);
    const poll: AioPoll = {
      test: () => {
        log.push(`${name}?`);
        return work.has(name);
      },
      ready:
        ready ??
        (() => {
          log.push(`${name} ready`);
          work.delete(name);
        }),
      begin: note(`${name} begin`),
      end: note(`${name} end`),
    };
    context.setHandler(notifier, { read: note(`${name} read`), poll });
    return { notifier, poll };
  };
  /** Its first event, and experience enough to poll for 5 us. */
  const warm = (name: string, place: number, ready?: () => void) => {
    const made = polled(name, ready);
    made.notifier.set();
    context.poll();
    setPollNs(context, place, 5000);
    context.turn();
    log = [];
    return made;
  };
  const spin = () => context.pollStep(true, false);
  const tests = () => log.filter((entry) => entry.endsWith('?')).length;

  it('AP-1 without ready it counts as no io_poll', () => {
    const notifier = context.notifier('half');
    const poll = { test: () => true } as unknown as AioPoll;
    context.setHandler(notifier, { read: note('read'), poll });
    expect(wordOf(context, CONTEXT_POLL_DISABLE)).toBe(1);
    notifier.set();
    context.turn();
    setPollNs(context, 0, 5000);
    expect(spin()).toBe(false);
    expect(log).toEqual(['read']);
  });

  it('AP-2 one handler without io_poll turns polling off for all, until it is gone', () => {
    warm('a', 0);
    const plain = context.notifier('plain');
    context.setHandler(plain, note('plain'));
    context.turn();
    spin();
    expect(log).toEqual([]);
    context.setHandler(plain, null);
    context.turn();
    spin();
    expect(tests()).toBeGreaterThan(1);
  });

  it('AP-2 the count of such handlers never drifts', () => {
    const list = Array.from({ length: 8 }, (_, i) => context.notifier(`n${i}`));
    const plain = new Set<number>();
    let seed = 7;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 16) % below;
    };
    for (let i = 0; i < 1000; i++) {
      const at = random(8);
      const kind = random(3);
      const poll = { ready: () => {} };
      if (kind === 0) context.setHandler(list[at]!, null);
      if (kind === 1) context.setHandler(list[at]!, () => {});
      if (kind === 2) context.setHandler(list[at]!, { read: () => {}, poll });
      plain.delete(at);
      if (kind === 1) plain.add(at);
      expect(wordOf(context, CONTEXT_POLL_DISABLE)).toBe(plain.size);
    }
  });

  it('AP-2 what settles through the JavaScript loop counts as one', () => {
    warm('a', 0);
    context.addLoopUser();
    context.turn();
    spin();
    expect([log, context.loopUsers]).toEqual([[], 1]);
    context.removeLoopUser();
    context.turn();
    spin();
    expect(tests()).toBeGreaterThan(1);
    expect(() => context.removeLoopUser()).toThrow(/has no loop user/);
  });

  it('AP-3 a handler is polled from its first activity on; begin runs if poll mode is on', () => {
    warm('a', 0);
    const b = polled('b');
    context.turn();
    spin();
    expect(log[0]).toBe('a begin');
    expect(log.some((entry) => entry.startsWith('b'))).toBe(false);
    log = [];
    b.notifier.set();
    spin();
    expect(log.filter((entry) => entry.startsWith('b'))).toEqual(['b begin', 'b read']);
    log = [];
    spin();
    expect(log.filter((entry) => entry === 'b?').length).toBeGreaterThan(1);
  });

  it('AP-4 no window, no look: limit 0, nobody worth it, or work that is there already', () => {
    warm('a', 0);
    context.setPollParams({ maxNs: 0 });
    context.turn();
    spin();
    context.setPollParams({ maxNs: 32_768 });
    context.turn();
    setPollNs(context, 0, 0);
    spin();
    setPollNs(context, 0, 5000);
    context.scheduleOneshot('bh', () => {});
    spin();
    expect([log, wordOf(context, CONTEXT_POLLING)]).toEqual([[], 0]);
    context.turn();
    spin();
    expect(tests()).toBe(5); // the clock steps by 1 us and 5 us end it
  });

  it('AP-4 the window is the longest of the polled handlers, and the next timer ends it', () => {
    warm('a', 0);
    warm('b', 1);
    setPollNs(context, 1, 9000);
    spin();
    expect(log.filter((entry) => entry === 'a?')).toHaveLength(9);
    context.turn();
    log = [];
    context.timer('t', note('t')).mod(clock.time + 5500);
    context.turn();
    spin();
    expect(log.filter((entry) => entry === 'a?').length).toBeLessThan(5);
  });

  it('AP-5 the time until the event counts, not the time of the handler', () => {
    const a = warm('a', 0, () => {
      clock.time += 1e9;
      work.delete('a');
    });
    setPollNs(context, 0, 1500);
    // Not found within 1.5 us; found by the next look, a little later.
    spin();
    expect(pollNs(context, 0)).toBe(1500);
    work.add('a');
    spin();
    expect(pollNs(context, 0)).toBe(3000);
    // Beyond the limit: not worth it.
    spin();
    clock.time += 40_000;
    a.notifier.set();
    spin();
    expect(pollNs(context, 0)).toBe(0);
  });

  it('AP-5 a turn of a foreign loop in between is no time of looking', () => {
    const a = warm('a', 0);
    spin();
    clock.time += 40_000;
    context.turn();
    a.notifier.set();
    spin();
    expect(pollNs(context, 0)).toBe(5000);
  });

  it('AP-8 historic bug 8: a handler that is found always, and nests a poll, is not entered again', () => {
    let depth = 0;
    let deepest = 0;
    const a = warm('a', 0, () => {
      depth += 1;
      deepest = Math.max(deepest, depth);
      if (depth < 50) spin();
      depth -= 1;
      log.push('served');
    });
    work.add('a');
    expect(spin()).toBe(true);
    expect([deepest, log.filter((entry) => entry === 'served').length]).toEqual([1, 1]);
    expect(spin()).toBe(true); // and is polled again afterwards
    expect(log.filter((entry) => entry === 'served')).toHaveLength(2);
    context.setHandler(a.notifier, null);
  });

  it('AP-8 a nested poll that ends poll mode: begun is ended once, and the last look is made', () => {
    let nested = false;
    warm('a', 0, () => {
      log.push('serving');
      if (nested) return void work.clear();
      nested = true;
      work.delete('a');
      context.enterLoop(); // as a nested foreign loop does: poll mode ends
      work.add('a'); // no kick came for it: they were off
    });
    work.add('a');
    spin();
    expect(log.filter((entry) => entry === 'a end')).toHaveLength(1);
    expect(wordOf(context, CONTEXT_POLL_READY)).toBe(1);
    expect(context.timeout()).toBe(0);
    expect(spin()).toBe(true);
    expect(log.filter((entry) => entry === 'serving')).toHaveLength(2);
  });

  it('AP-9 nothing for 7 s: it leaves the polled set, is ended, and comes back with its event', () => {
    const a = warm('a', 0);
    spin();
    clock.time += 6.9e9;
    spin();
    expect(tests()).toBeGreaterThan(4);
    clock.time += 0.2e9;
    log = [];
    spin();
    expect(log).toEqual(['a end', 'a?']);
    log = [];
    spin();
    expect(log).toEqual([]);
    a.notifier.set();
    spin();
    expect(log).toEqual(['a begin', 'a read']);
  });

  it('AP-9 an event begins the 7 s anew', () => {
    const a = warm('a', 0);
    spin();
    for (let i = 0; i < 3; i++) {
      clock.time += 6.9e9;
      a.notifier.set();
      spin();
      setPollNs(context, 0, 5000);
      spin();
    }
    expect(log).not.toContain('a end');
  });

  it('FD-2 one that is removed after polling has found it leaves nothing behind', () => {
    const a = warm('a', 0);
    const b = context.notifier('b');
    const remove = context.bottomHalf('remove', () => {
      context.setHandler(a.notifier, null);
      context.setHandler(b, { read: note('b read'), poll: { ready: note('b ready') } });
    });
    a.poll.test = () => {
      remove.schedule();
      return true;
    };
    spin();
    expect([log, wordOf(context, CONTEXT_POLL_READY)]).toEqual([['a begin'], 0]);
    remove.delete();
    context.turn();
    expect(context.timeout()).toBe(-1);
  });

  it('FD-2 one that removes itself while it serves does nothing to who takes its place', () => {
    const b = context.notifier('b');
    const a = warm('a', 0, () => {
      context.setHandler(a.notifier, null);
      context.setHandler(b, { read: note('b read'), poll: { ready: note('b ready') } });
    });
    work.add('a');
    spin();
    context.turn();
    setPollNs(context, 0, 5000);
    spin(); // b has had no event: nobody polls for it (AP-3)
    expect(wordOf(context, CONTEXT_POLLING)).toBe(0);
    expect(pollNs(context, 0)).toBe(5000);
  });

  it('AP-9 what lands between the last poll and the end is served', () => {
    const { poll } = warm('a', 0);
    spin();
    clock.time += 8e9;
    poll.end = () => void work.add('a');
    expect(spin()).toBe(true);
    expect(log.at(-1)).toBe('a ready');
  });

  it('AP-10 a notify ends the window with the look that finds it', async () => {
    const other = await otherThread(core);
    warm('a', 0);
    const bh = context.bottomHalf('bh', note('bh'));
    let looks = 0;
    const stop = watchEngine(core, (name) => {
      if (name === 'pollSpin' && ++looks === 2) scheduleRemote(other, bh.handle);
    });
    expect(spin()).toBe(true);
    stop();
    expect([looks, log.at(-1)]).toEqual([2, 'bh']);
    expect(wordOf(context, CONTEXT_POLL_HITS)).toBe(1);
  });

  it('AP-10 a context that is notified all the time still looks at its handlers', () => {
    warm('a', 0);
    const busy = context.bottomHalf('busy', () => busy.schedule());
    spin(); // poll mode is on: no kick comes for new work
    busy.schedule();
    work.add('a');
    context.poll();
    expect(log.at(-1)).toBe('a ready');
    work.add('a');
    spin(); // no window, for there is something to run
    expect(log.filter((entry) => entry === 'a ready')).toHaveLength(2);
    busy.delete();
  });

  it('AP-11 a handler attached without polling: a queue that is never empty costs nothing', () => {
    const notifier = context.notifier('events');
    let looks = 0;
    context.setHandler(notifier, note('events'));
    context.turn();
    notifier.set();
    context.poll();
    setPollNs(context, 0, 32_768);
    const stop = watchEngine(core, (name) => {
      if (name === 'pollSpin' || name === 'queueEmpty') looks++;
    });
    for (let i = 0; i < 100; i++) expect(spin()).toBe(false);
    stop();
    expect([looks, log]).toEqual([0, ['events']]);
  });

  it('a clock that stands still does not hold the window open', () => {
    const a = context.notifier('a');
    context.setHandler(a, { read: note('a'), poll: { ready: note('ready') } });
    a.set();
    context.poll();
    setPollNs(context, 0, 32_768);
    context.turn();
    clock.step = 0;
    let looks = 0;
    const stop = watchEngine(core, (name) => {
      if (name === 'pollSpin') looks++;
    });
    expect(spin()).toBe(false);
    stop();
    expect(looks).toBe(1024); // 32 rounds each
  });

  it('every handler that has work is served, not only the first', () => {
    warm('a', 0);
    warm('b', 1);
    work.add('a').add('b');
    spin();
    expect(log.filter((entry) => entry.endsWith('ready'))).toEqual(['a ready', 'b ready']);
  });

  it('historic bug 12: detached in poll mode and attached again, it is found without a kick', () => {
    const a = warm('a', 0);
    spin();
    expect(log[0]).toBe('a begin');
    log = [];
    context.setHandler(a.notifier, null); // a drained section begins: nothing is ended for it
    context.setHandler(a.notifier, { read: note('a read'), poll: a.poll });
    a.notifier.set(); // attach: notifications on, and a kick of its own (HN-8)
    expect(spin()).toBe(true);
    expect(log).toEqual(['a begin', 'a read']);
    log = [];
    context.turn();
    expect(log).toEqual(['a end', 'a?']);
  });

  it('GS-5 a foreign loop has no poll mode; what lands before its end is served without a kick', () => {
    const a = warm('a', 0);
    spin();
    expect(wordOf(context, CONTEXT_POLLING)).toBe(1);
    log = [];
    a.poll.end = () => {
      log.push('a end');
      work.add('a');
    };
    let wakes = 0;
    const sleepy = context as unknown as { turn(): boolean };
    sleepy.turn();
    expect(log).toEqual(['a end', 'a?']);
    expect([wordOf(context, CONTEXT_POLLING), context.timeout()]).toEqual([0, 0]);
    while (context.timeout() === 0 && wakes++ < 3) context.turn();
    expect(log).toEqual(['a end', 'a?', 'a ready']);
  });
});

describe.each(engines)('the end of poll mode before a sleep, %s engine', (engine) => {
  const wait = Atomics.wait;

  it('AP-7 the end, then one more look: what landed in between is served and not slept on', () => {
    const core = openCore(engine, 'shared');
    const clock = new SteppingClock(1000);
    const context = new AioContext(core, { clock });
    const log: string[] = [];
    let work = false;
    const notifier = context.notifier('ring');
    const poll: AioPoll = {
      test: () => work,
      begin: () => void log.push('begin'),
      end: () => {
        log.push('end');
        work = true; // the driver adds a buffer and sees that nobody wants to be told
      },
      ready: () => {
        log.push('ready');
        work = false;
      },
    };
    context.setHandler(notifier, { read: () => void log.push('read'), poll });
    context.setPollParams({ maxNs: 32_768 });
    notifier.set();
    context.poll(true);
    setPollNs(context, 0, 3000);
    log.length = 0;
    Atomics.wait = (() => {
      throw new Error('fell asleep');
    }) as unknown as typeof wait;
    try {
      expect(context.poll(true)).toBe(true);
    } finally {
      Atomics.wait = wait;
    }
    expect(log).toEqual(['begin', 'end', 'ready']);
    context.setHandler(notifier, null);
    context.close();
  });

  it('AP-7 with a timer due there is no sleep, and poll mode stays on', () => {
    const core = openCore(engine, 'shared');
    const context = new AioContext(core, { clock: new SteppingClock(1000) });
    const log: string[] = [];
    const notifier = context.notifier('ring');
    const poll = { ready: () => {}, end: () => void log.push('end') };
    context.setHandler(notifier, { read: () => {}, poll });
    context.setPollParams({ maxNs: 32_768 });
    notifier.set();
    context.poll(true);
    setPollNs(context, 0, 3000);
    context.pollStep(true, false);
    expect(wordOf(context, CONTEXT_POLLING)).toBe(1);
    log.length = 0;
    context.timer('due', () => void log.push('due')).mod(0);
    context.poll(true);
    expect([log, wordOf(context, CONTEXT_POLLING)]).toEqual([['due'], 1]);
    context.setHandler(notifier, null);
    context.close();
  });
});
