/** Handlers that are replaced and removed while they run: behaviour 3.5. */
import { beforeEach, describe, expect, it } from 'vitest';
import { scheduleRemote } from '#src/aio/bottom-half';
import type { AioContext } from '#src/aio/context';
import { EventNotifier } from '#src/aio/event-notifier';
import type { Core } from '#src/engine/core';
import {
  CONTEXT_HANDLER_END,
  CONTEXT_HANDLERS,
  CONTEXT_VISITS,
  HANDLER_SIZE,
  VISITS_CLOSED,
} from '#src/layout';
import {
  hookContext,
  openCore,
  otherThread,
  setPollNs,
  watchEngine,
  wordOf,
  worlds,
} from './contexts.ts';

describe.each(worlds)('handlers, $engine engine, $memory memory', ({ engine, memory }) => {
  let core: Core;
  let context: AioContext;
  let ran: string[];
  const note = (name: string) => () => void ran.push(name);
  const notifiers = (...names: string[]) => names.map((name) => context.notifier(name));

  beforeEach(() => {
    core = openCore(engine, memory);
    context = hookContext(core);
    ran = [];
  });

  it('FD-1 replacing makes a new handler: the old one is not called, nor is the new one yet', () => {
    const [a, b] = notifiers('a', 'b') as [EventNotifier, EventNotifier];
    context.setHandler(a, () => {
      ran.push('a');
      context.setHandler(b, note('new b'));
    });
    context.setHandler(b, note('old b'));
    a.set();
    b.set();
    context.poll();
    expect(ran).toEqual(['a']);
    context.poll();
    expect(ran).toEqual(['a', 'new b']);
  });

  it('FD-1 every change notifies, removing one that is not there too', () => {
    let wakes = 0;
    const sleepy = hookContext(core, { onWake: () => wakes++ });
    const [a] = notifiers('a') as [EventNotifier];
    for (const handler of [note('1'), note('2'), null, null]) {
      sleepy.setHandler(a, handler);
      sleepy.turn();
    }
    expect(wakes).toBe(4);
    expect(sleepy.handlers).toEqual([]);
  });

  it('FD-2 a removed handler is not called though its event was there, and keeps its event', () => {
    const [a, b] = notifiers('a', 'b') as [EventNotifier, EventNotifier];
    context.setHandler(a, () => {
      ran.push('a');
      context.setHandler(b, null);
    });
    context.setHandler(b, note('b'));
    a.set();
    b.set();
    context.poll();
    context.poll();
    expect(ran).toEqual(['a']);
    expect(b.testAndClear()).toBe(true); // for who detaches: HN-2
  });

  it('FD-2 removed inside a nested poll, it is neither found nor called by the outer one', () => {
    const [a, b, c] = notifiers('a', 'b', 'c') as [EventNotifier, EventNotifier, EventNotifier];
    context.setHandler(a, () => {
      ran.push('a');
      context.scheduleOneshot('remove', () => {
        context.setHandler(b, null);
        b.close(); // its words may be somebody else's from here on
      });
      context.poll();
    });
    context.setHandler(b, note('b'));
    context.setHandler(c, note('c'));
    for (const notifier of [a, b]) notifier.set();
    context.poll();
    c.set();
    context.poll();
    expect(ran).toEqual(['a', 'c']);
  });

  it('FD-3 a handler that is found both ways and removes itself is called once', () => {
    const [a] = notifiers('a') as [EventNotifier];
    let work = false;
    const poll = {
      test: () => {
        if (work) context.scheduleOneshot('kick', () => a.set());
        return work;
      },
      ready: () => {
        ran.push('ready');
        context.setHandler(a, null);
      },
    };
    context.setPollParams({ maxNs: 1000 });
    context.setHandler(a, { read: note('read'), poll });
    a.set();
    context.pollStep(true, false);
    expect(ran).toEqual(['read']);
    setPollNs(context, 0, 1000);
    work = true;
    context.pollStep(true, false);
    expect(ran).toEqual(['read', 'ready']);
    expect(a.isSet).toBe(true);
  });

  it('FD-4 a nested poll takes what the outer one found: once is enough', () => {
    const [a, b] = notifiers('a', 'b') as [EventNotifier, EventNotifier];
    context.setHandler(a, () => {
      ran.push('a');
      context.poll();
      ran.push('a ends');
    });
    context.setHandler(b, note('b'));
    a.set();
    b.set();
    context.poll();
    expect(ran).toEqual(['a', 'b', 'a ends']);
    expect(context.poll()).toBe(false);
  });

  it('FD-5 a context is not closed while another thread is inside a call', async () => {
    const other = await otherThread(core);
    const bh = context.bottomHalf('bh', note('bh'));
    const { handle } = bh;
    bh.delete();
    expect(core.engine.visitBegin(context.address)).toBe(1);
    expect(() => context.close()).toThrow(/'main' has a visitor inside/);
    expect(wordOf(context, CONTEXT_VISITS)).toBe(1);
    context.notify(); // it stayed as it was
    core.engine.visitEnd(context.address);
    const { address } = context;
    context.close();
    expect(core.u32[(address + CONTEXT_VISITS) >>> 2]).toBe(VISITS_CLOSED);
    expect(scheduleRemote(other, handle)).toBe(false);
  });

  it('historic bug 5: the bottom half that runs between push and notify frees itself', async () => {
    const other = await otherThread(core);
    const bh = context.bottomHalf('bh', () => {
      ran.push('bh');
      bh.delete();
    });
    // The home thread runs it, and wants to close, while the scheduler is about to leave.
    const stop = watchEngine(other, (name) => {
      if (name !== 'visitEnd') return;
      context.poll();
      context.poll();
      expect(context.bottomHalves).toBe(0);
      expect(() => context.close()).toThrow(/has a visitor inside/);
    });
    expect(scheduleRemote(other, bh.handle)).toBe(true);
    stop();
    expect(ran).toEqual(['bh']);
    expect(scheduleRemote(other, bh.handle)).toBe(false); // stale
    context.close();
  });

  it('a full table is refused by name and changes nothing; places are used again', () => {
    const small = hookContext(core, { name: 'small', handlers: 2 });
    const [a, b, c] = notifiers('a', 'b', 'c') as [EventNotifier, EventNotifier, EventNotifier];
    small.setHandler(a, note('a'));
    small.setHandler(b, note('b'));
    expect(() => small.setHandler(c, note('c'))).toThrow(RangeError);
    expect(() => small.setHandler(c, note('c'))).toThrow(/'small' has all its 2 handlers in use/);
    expect(small.handlers).toEqual(['a', 'b']);
    small.setHandler(a, note('a2')); // to replace takes no place
    small.setHandler(a, null);
    expect(wordOf(small, CONTEXT_HANDLER_END)).toBe(2);
    small.setHandler(c, note('c'));
    for (const notifier of [a, b, c]) notifier.set();
    small.poll();
    expect(ran).toEqual(['c', 'b']);
    for (const notifier of [b, c]) small.setHandler(notifier, null);
    expect(wordOf(small, CONTEXT_HANDLER_END)).toBe(0);
    const places = wordOf(small, CONTEXT_HANDLERS);
    const bytes = core.u8.subarray(places, places + 2 * HANDLER_SIZE);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    small.close();
  });

  it('a notifier that is closed takes its handler with it; a closed one gets none', () => {
    const [a] = notifiers('a') as [EventNotifier];
    context.setHandler(a, note('a'));
    a.set();
    a.close();
    expect(context.handlers).toEqual([]);
    expect(context.poll()).toBe(false);
    expect(() => context.setHandler(a, note('a'))).toThrow(/'a' is closed/);
    context.close();
  });

  it('NT-9 a notifier of main, watched and set through another object', async () => {
    const other = await otherThread(core);
    const mine = context.notifier('mine');
    const theirs = EventNotifier.at(other, mine.address, 'theirs');
    context.setHandler(mine, note('mine'));
    theirs.set();
    expect([mine.isSet, context.wanted]).toEqual([true, true]);
    context.turn();
    expect(ran).toEqual(['mine']);
    const bytes = core.allocatedBytes;
    theirs.close(); // main's words stay
    expect(core.allocatedBytes).toBe(bytes);
    mine.set();
    context.turn();
    expect(ran).toEqual(['mine', 'mine']);
    context.setHandler(mine, null);
  });
});
