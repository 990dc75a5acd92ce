/** Waiting for what other threads change: behaviour 3.9, NT-6. */
import { beforeEach, describe, expect, it } from 'vitest';
import { AioContext, currentContext } from '#src/aio/context';
import { waitKick, waitWhile } from '#src/aio/wait';
import type { Core } from '#src/engine/core';
import { CONTEXT_WAKES, CORE_HEADER_MAIN, CORE_HEADER_WAITERS } from '#src/layout';
import {
  hookContext,
  macrotasks,
  openCore,
  otherThread,
  watchEngine,
  wordOf,
  worlds,
} from './contexts.ts';

describe.each(worlds)('waiting, $engine engine, $memory memory', ({ engine, memory }) => {
  let core: Core;
  let inFlight: number;
  const waiters = () => core.u32[(core.header + CORE_HEADER_WAITERS) >>> 2];
  const get = (of: Core) => Atomics.load(of.u32, inFlight >>> 2);

  beforeEach(() => {
    core = openCore(engine, memory);
    inFlight = core.allocate(8);
  });
  /** What a thread does that ends its last request. */
  const leave = (thread: Core) => {
    Atomics.store(thread.u32, inFlight >>> 2, 0);
    waitKick(thread);
  };

  it('WT-1 WT-2 whoever ends the condition, wherever the waiter is, the wait ends', async () => {
    const other = await otherThread(core);
    const context = new AioContext(core);
    let points = 1;
    for (let point = 1; point <= points; point++) {
      core.u32[inFlight >>> 2] = 1;
      let calls = 0;
      const act = () => {
        if (++calls === point) leave(other);
      };
      const stop = watchEngine(core, act);
      const waiting = waitWhile(context, () => {
        act();
        const still = get(core) !== 0;
        act(); // between the look and the sleep
        return still;
      });
      context.notify();
      await macrotasks(3);
      stop();
      points = Math.max(points, Math.min(calls, 20));
      if (calls < point) leave(other);
      await waiting;
      expect(waiters()).toBe(0);
    }
    expect(points).toBeGreaterThan(4);
    context.close();
  });

  it('WT-1 waiters are counted before the condition is read, and always counted down', async () => {
    const context = hookContext(core);
    const seen: (number | undefined)[] = [];
    await waitWhile(context, () => {
      seen.push(waiters());
      return false;
    });
    const failing = waitWhile(context, () => {
      throw new Error('bad condition');
    });
    await expect(failing).rejects.toThrow('bad condition');
    const both = [waitWhile(context, () => get(core) !== 0), waitWhile(context, () => true)];
    core.u32[inFlight >>> 2] = 1;
    expect([seen, waiters()]).toEqual([[1], 1]); // the first was satisfied already
    await both[0];
    void both[1];
  });

  it('WT-1 a wait ends with its context, by an error', async () => {
    const context = hookContext(core, { name: 'gone' });
    const waiting = waitWhile(context, () => true);
    await null;
    context.close();
    await expect(waiting).rejects.toThrow("context 'gone' is closed");
    expect(core.u32[(core.header + CORE_HEADER_MAIN) >>> 2]).toBe(0);
    expect(waiters()).toBe(0);
  });

  it('WT-1 nobody waits: a kick wakes nobody', () => {
    const context = hookContext(core);
    waitKick(core);
    expect(wordOf(context, CONTEXT_WAKES)).toBe(0);
  });

  it('WT-1 a second context of main waits through the first', async () => {
    const main = hookContext(core, { name: 'main' });
    const disk = hookContext(core, { name: 'disk' });
    core.u32[inFlight >>> 2] = 1;
    let done = false;
    const waiting = waitWhile(disk, () => get(core) !== 0).then(() => {
      done = true;
    });
    disk.turn();
    leave(core);
    expect(wordOf(main, CONTEXT_WAKES)).toBe(1);
    await macrotasks(2);
    expect(done).toBe(false);
    main.turn();
    await waiting;
    // Without main's context the waiter's own is told.
    main.close();
    core.u32[inFlight >>> 2] = 1;
    const again = waitWhile(disk, () => get(core) !== 0);
    leave(core);
    disk.turn();
    await again;
  });

  it('NT-6 two threads that wait for each other are refused, not hung', async () => {
    const [a, b] = [await otherThread(core), await otherThread(core)];
    const home = (thread: Core, name: string) =>
      hookContext(thread, { name, block: AioContext.allocate(core) });
    const [one, two] = [home(a, 'one'), home(b, 'two')];
    const done = { one: false, two: false };
    for (const [context, condition] of [
      [one, () => !done.two],
      [two, () => !done.one],
    ] as const) {
      const message = `context '${context.name}' of thread ${context.core.thread} may not wait`;
      await expect(waitWhile(context, condition)).rejects.toMatchObject({
        code: 'EDEADLK',
        message: expect.stringContaining(message),
      });
    }
    expect(waiters()).toBe(0);
  });

  it('WT-3 a callback runs in its context, also inside another one', () => {
    const [a, b] = [hookContext(core, { name: 'a' }), hookContext(core, { name: 'b' })];
    const seen: (string | undefined)[] = [];
    const look = () => void seen.push(currentContext()?.name);
    b.scheduleOneshot('look', look);
    a.scheduleOneshot('outer', () => {
      look();
      b.poll();
      look();
    });
    a.scheduleOneshot('throws', () => {
      throw new Error('bad');
    });
    expect(() => a.poll()).toThrow('bad');
    look();
    expect(seen).toEqual(['a', 'b', 'a', undefined]);
  });
});
