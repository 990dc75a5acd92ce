/** What reaches a thread that sleeps, and who may poll its context. */
import { describe, expect, it } from 'vitest';
import { AioContext } from '#src/aio/context';
import { EventNotifier } from '#src/aio/event-notifier';
import type { IOThread } from '#src/aio/io-thread';
import { waitWhile } from '#src/aio/wait';
import type { Core } from '#src/engine/core';
import { CONTEXT_NOTIFY_ME, CORE_HEADER_WAITERS } from '#src/layout';
import { engines, nextEvent, sharedCore, startThread, until, wordOf } from './threads.ts';

/** Waits until the thread is inside a blocking wait and nothing is under way. */
async function asleep(core: Core, thread: IOThread): Promise<number> {
  await until(() => wordOf(core, thread.context, CONTEXT_NOTIFY_ME) >= 2);
  return thread.info().sleeps;
}

describe.each(engines)('a sleeping IOThread, %s engine', (engine) => {
  it('NT-5 a foreign poll is refused, from either side', async () => {
    const core = await sharedCore(engine);
    const context = new AioContext(core, { name: 'main' });
    await using thread = await startThread(core, { id: 'io0' });
    expect(core.engine.pollBegin(thread.context, core.thread)).toBe(0);
    expect(() => new AioContext(core, { name: 'io0', block: thread.context })).toThrow(
      `context 'io0' belongs to thread ${thread.threadNumber}; thread ${core.thread} may not poll it`,
    );
    await expect(thread.call('take over', context.address)).rejects.toMatchObject({
      name: 'AioError',
      code: 'EPERM',
      message: `context 'stolen' belongs to thread ${core.thread}; thread ${thread.threadNumber} may not poll it`,
    });
    context.close();
  });

  it('NT-10 new limits wake the thread once; it looks at them and sleeps again', async () => {
    const core = await sharedCore(engine);
    await using thread = await startThread(core, { 'poll-max-ns': 0 });
    await thread.call('echo', 1);
    for (let ns = 1; ns <= 20; ns++) {
      const sleeps = await asleep(core, thread);
      const { wakes } = thread.info();
      thread.set({ 'poll-max-ns': ns });
      await until(() => thread.info().sleeps > sleeps);
      expect(thread.info()).toMatchObject({ wakes: wakes + 1, sleeps: sleeps + 1 });
    }
  });

  it('NT-11 an event set before the thread watches it is found; later ones wake it', async () => {
    const core = await sharedCore(engine);
    const notifier = new EventNotifier(core, 'host');
    await using thread = await startThread(core, { 'poll-max-ns': 0 });
    notifier.set();
    for (let i = 0; i < 20; i++) {
      const kicked = nextEvent<number>(thread, 'kicked');
      if (i === 0) await thread.call('watch', notifier.address);
      else {
        await asleep(core, thread);
        notifier.set();
      }
      expect(await kicked).toBe(1);
    }
    await thread.call('unwatch');
    notifier.close();
  });

  it('WT-1 WT-2 main waits for what the thread changes, and its loop goes on meanwhile', async () => {
    const core = await sharedCore(engine);
    const context = new AioContext(core, { name: 'main' });
    await using thread = await startThread(core);
    const word = core.allocate(8);
    let ran = false;
    await thread.call('count down', { word, from: 3, kick: true });
    context.scheduleOneshot('meanwhile', () => {
      ran = true;
    });
    await waitWhile(context, () => Atomics.load(core.i32, word >>> 2) > 0);
    expect(ran).toBe(true);
    expect(wordOf(core, core.header, CORE_HEADER_WAITERS)).toBe(0);
    context.close();
  });

  it('NT-11 a timer armed in the thread is waited for', async () => {
    const core = await sharedCore(engine);
    await using thread = await startThread(core);
    const later = nextEvent(thread, 'ring');
    await thread.call('tell later', { event: 'ring', ns: 5e6 });
    expect(await later).toBe('later');
  });
});
