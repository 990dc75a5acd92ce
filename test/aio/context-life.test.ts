/** How a context comes and goes: BH-14, BH-15, and what it holds of the process. */
import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '#src/aio/clock';
import { AioContext } from '#src/aio/context';
import type { Core } from '#src/engine/core';
import { CONTEXT_CO_LIST, CONTEXT_CO_READY, CONTEXT_HOME, CORE_HEADER_MAIN } from '#src/layout';
import { hookContext, openCore, otherThread, watchEngine, wordOf, worlds } from './contexts.ts';

describe.each(worlds)('the life of a context, $engine engine, $memory memory', (world) => {
  let core: Core;
  beforeEach(() => {
    core = openCore(world.engine, world.memory);
  });
  const mainWord = () => core.u32[(core.header + CORE_HEADER_MAIN) >>> 2];

  it('BH-14 closing with a live bottom half, a oneshot or a handler names it and changes nothing', () => {
    const context = hookContext(core, { name: 'disk' });
    const bytes = core.allocatedBytes;
    const bh = context.bottomHalf('resize', () => {});
    context.scheduleOneshot('told', () => {});
    const kick = context.notifier('kick');
    context.setHandler(kick, () => {});
    expect(() => context.close()).toThrow("context 'disk' still has: resize, told, kick");
    expect(context.poll()).toBe(true);
    context.setHandler(kick, null);
    kick.close();
    expect(() => context.close()).toThrow("context 'disk' still has: resize");
    bh.delete();
    context.close();
    context.close();
    expect(core.allocatedBytes).toBeLessThan(bytes);
    expect(() => context.bottomHalf('late', () => {})).toThrow(/'disk' is closed/);
    expect(() => context.poll()).toThrow(/'disk' is closed/);
    expect(context.turn()).toBe(false);
  });

  it('BH-15 closing with an armed timer, a scheduled coroutine or inside a poll is refused by name', () => {
    const context = hookContext(core, { name: 'disk', clock: new ManualClock() });
    const timer = context.timer('throttle', () => {});
    timer.mod(5);
    expect(() => context.close()).toThrow(/still has: throttle/);
    timer.del();
    for (const word of [CONTEXT_CO_LIST, CONTEXT_CO_READY]) {
      Atomics.store(core.u32, (context.address + word) >>> 2, 1);
      expect(() => context.close()).toThrow(/still has: a scheduled coroutine/);
      Atomics.store(core.u32, (context.address + word) >>> 2, 0);
    }
    context.scheduleOneshot('self', () => {
      expect(() => context.close()).toThrow(/still has: a poll going on/);
    });
    expect(context.poll()).toBe(true);
    context.close();
  });

  it('BH-15 whatever step of the making fails, nothing is left', async () => {
    const bytes = core.allocatedBytes;
    const clean = () => expect([core.allocatedBytes, mainWord()]).toEqual([bytes, 0]);
    expect(() => hookContext(core, { slots: 65_536 })).toThrow(/slots: 65536 .* 1 to 65535/);
    expect(() => hookContext(core, { handlers: 0 })).toThrow(/handlers: 0 .* 1 to 65535/);
    expect(() => hookContext(core, { coroutines: 0.5 })).toThrow(/coroutines: 0.5 /);
    clean();
    const { allocate } = core;
    core.allocate = () => {
      throw new Error('ENOMEM');
    };
    expect(() => hookContext(core)).toThrow('ENOMEM');
    core.allocate = allocate;
    clean();
    const thrown = (what: string) => () => {
      throw new Error(what);
    };
    expect(() => hookContext(core, { onSleep: thrown('no sleep') })).toThrow('no sleep');
    clean();
    // Every call into the engine that the making consists of.
    let calls = 0;
    let stop = watchEngine(core, () => calls++);
    hookContext(core).close();
    stop();
    expect(calls).toBeGreaterThan(2);
    for (let point = 1; point <= calls - 2; point++) {
      let count = 0;
      stop = watchEngine(core, (name) => {
        if (++count === point) throw new Error(`${name} failed`);
      });
      try {
        hookContext(core).close();
      } catch (error) {
        expect((error as Error).message).toMatch(/failed/);
        if (core.allocatedBytes === bytes) clean();
      }
      stop();
    }
  });

  it('BH-15 a block of main: claimed once, disowned when the making fails or the context closes', async () => {
    const block = AioContext.allocate(core, { slots: 4, handlers: 2, coroutines: 1 });
    const other = await otherThread(core);
    const fails = {
      block,
      onSleep: () => {
        throw new Error('no');
      },
    };
    expect(() => hookContext(other, fails)).toThrow('no');
    const context = hookContext(other, { name: 'io', block });
    expect(context.address).toBe(block);
    expect(wordOf(context, CONTEXT_HOME)).toBe(other.thread);
    expect(mainWord()).toBe(0);
    expect(() => hookContext(core, { name: 'io', block })).toThrow(/belongs to thread/);
    expect(wordOf(context, CONTEXT_HOME)).toBe(other.thread); // the refusal changed nothing
    for (let i = 0; i < 4; i++) context.scheduleOneshot(`${i}`, () => {});
    expect(() => context.scheduleOneshot('5', () => {})).toThrow(/all its 4 bottom halves/);
    context.poll();
    context.close();
    expect(core.u32[(block + CONTEXT_HOME) >>> 2]).toBe(0);
    expect(() => hookContext(core, { block })).toThrow(/was closed/);
    const bytes = core.allocatedBytes;
    AioContext.release(core, block);
    expect(core.allocatedBytes).toBeLessThan(bytes);
  });

  it('the first context of main is the one that waiters are told through, until it closes', () => {
    const [a, b] = [hookContext(core, { name: 'a' }), hookContext(core, { name: 'b' })];
    expect(mainWord()).toBe(a.address);
    b.close();
    expect(mainWord()).toBe(a.address);
    a.close();
    expect(mainWord()).toBe(0);
    expect(hookContext(core).address).toBe(mainWord());
  });

  it('references keep the process alive, counted; closing lets go', () => {
    const context = hookContext(core);
    const timers = () =>
      process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    context.ref();
    context.ref();
    expect(timers()).toBe(before + 1);
    context.unref();
    expect(timers()).toBe(before + 1);
    context.unref();
    expect(timers()).toBe(before);
    expect(() => context.unref()).toThrow(/more unref than ref/);
    context.ref();
    context.close();
    expect(timers()).toBe(before);
  });
});
