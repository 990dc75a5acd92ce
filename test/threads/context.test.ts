/** Contexts of real threads: what one thread schedules, sets or ends reaches the other. */
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { type BottomHalfHandle, scheduleRemote } from '#src/aio/bottom-half';
import { AioContext } from '#src/aio/context';
import { waitWhile } from '#src/aio/wait';
import { notifyContext, wakeContext } from '#src/aio/wake';
import type { Core } from '#src/engine/core';
import { CONTEXT_NOTIFY_ME, CONTEXT_SLEEPS, CONTEXT_TURNS } from '#src/layout';
import { engines, sharedCore, sleepersOn, until, wordOf } from './threads.ts';

const [STOP, COUNT, GO] = [0, 1, 2];

describe.each(engines)('contexts of two threads, %s engine', (engine) => {
  const words = new Int32Array(new SharedArrayBuffer(16));
  const workers: Worker[] = [];
  let inbox: unknown[] = [];

  const start = (core: Core, role: string, params: object): { block: number; worker: Worker } => {
    const block = AioContext.allocate(core, { slots: 8 });
    words.fill(0);
    inbox = [];
    const worker = new Worker(new URL('./context-thread.mjs', import.meta.url), {
      workerData: { handle: core.handle(), block, words, role, params },
    });
    worker.on('message', (message) => inbox.push(message));
    worker.on('error', (error) => inbox.push(error));
    workers.push(worker);
    return { block, worker };
  };
  const message = async <T>(): Promise<T> => {
    await until(() => inbox.length > 0);
    const first = inbox.shift();
    if (first instanceof Error) throw first;
    return first as T;
  };
  const stop = async (core: Core, block: number) => {
    Atomics.store(words, STOP, 1);
    notifyContext(core, block);
    while ((await message()) !== 'gone');
    expect(sleepersOn(core, block)).toBe(0);
    AioContext.release(core, block);
  };

  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.terminate()));
  });

  const TIMES = 3000;

  it.each([
    ['both asleep in turn, main in its JavaScript loop', false, 0],
    ['main blocking', true, 0],
    ['main blocking, the other thread busy-polling', true, 32_768],
  ])('BH-2 historic bug 1: ping-pong of one bottom half each, %s', async (_, block, pollNs) => {
    const core = await sharedCore(engine);
    const context = new AioContext(core, { name: 'main' });
    let pong: BottomHalfHandle | null = null;
    let count = 0;
    const ping = context.bottomHalf('ping', () => {
      count += 1;
      if (count < TIMES) scheduleRemote(core, pong as BottomHalfHandle);
    });
    const thread = start(core, 'pong', { peer: ping.handle, pollNs });
    pong = await message<BottomHalfHandle>();
    scheduleRemote(core, pong);
    if (block) while (count < TIMES) context.poll(true);
    else await until(() => count === TIMES);
    expect([count, Atomics.load(words, COUNT)]).toEqual([TIMES, TIMES]);
    await stop(core, thread.block);
    ping.delete();
    context.poll();
    context.close();
  });

  it.each([
    ['by its flag alone', false],
    ['by busy polling', true],
  ])('NT-11 an event set by one thread is found by the other, %s', async (_, polled) => {
    const core = await sharedCore(engine);
    const context = new AioContext(core, { name: 'main' });
    let answers = 0;
    const answer = context.bottomHalf('answer', () => answers++);
    const notifier = context.notifier('host');
    notifier.set(); // before anybody watches
    const thread = start(core, 'watch', {
      notifier: notifier.address,
      peer: answer.handle,
      polled,
    });
    await message();
    for (let i = 1; i <= 1000; i++) {
      while (answers < i) context.poll(true);
      expect(Atomics.load(words, COUNT)).toBe(i);
      if (i < 1000) notifier.set();
    }
    await stop(core, thread.block);
    notifier.close();
    answer.delete();
    context.poll();
    context.close();
  });

  it('WT-1 WT-2 main waits for a thousand conditions that another thread ends', async () => {
    const core = await sharedCore(engine);
    const context = new AioContext(core, { name: 'main' });
    const word = core.allocate(8);
    const thread = start(core, 'kick', { word, rounds: 1000 });
    for (let i = 1; i <= 1000; i++) {
      core.u32[word >>> 2] = 1;
      Atomics.store(words, GO, i);
      Atomics.notify(words, GO);
      await waitWhile(context, () => Atomics.load(core.i32, word >>> 2) !== 0);
    }
    expect(await message()).toBe('gone');
    AioContext.release(core, thread.block);
    context.close();
  });

  it('GS-7 a guest that only computes is interrupted within one slice', async () => {
    const core = await sharedCore(engine);
    const context = new AioContext(core, { name: 'cpu', sleeper: 'hook' });
    const rounds = 500;
    let irqs = 0;
    const irq = context.bottomHalf('irq', () => irqs++);
    const thread = start(core, 'complete', { peer: irq.handle, rounds });
    for (let i = 1; i <= rounds; i++) {
      Atomics.store(words, GO, i);
      for (let completed = false; irqs < i; ) {
        // The slice is over: what was completed in it is seen now, not at some later exit.
        if (context.wanted) context.turn();
        expect(completed && irqs < i).toBe(false);
        completed = Atomics.load(words, COUNT) === i;
        for (let slice = 0; slice < 50; slice++);
      }
    }
    expect(await message()).toBe('gone');
    AioContext.release(core, thread.block);
    irq.delete();
    context.poll();
    context.close();
  });

  it('what a callback throws reaches the platform as an error, not as a rejection', async () => {
    const core = await sharedCore(engine);
    const thread = start(core, 'throws', {});
    scheduleRemote(core, await message<BottomHalfHandle>());
    await expect(message()).rejects.toThrow('bad callback');
    expect(Atomics.load(words, COUNT)).toBe(1);
    AioContext.release(core, thread.block);
  });

  it('a run loop blocks, but not while something settles through the JavaScript loop', async () => {
    const core = await sharedCore(engine);
    const context = new AioContext(core, { name: 'main' });
    const notifier = context.notifier('host');
    const { block, worker } = start(core, 'loop', { notifier: notifier.address });
    expect(await message()).toBe('ready');
    const events: string[] = [];
    for (let i = 0; i < 3; i++) {
      events.push('event', 'microtask', `timeout ${i * 3}`);
      notifier.set();
      expect(await message()).toEqual(events);
    }
    // Asleep for good: no turn of its JavaScript loop, no turn of its context.
    await until(() => wordOf(core, block, CONTEXT_NOTIFY_ME) >= 2);
    const sleeps = wordOf(core, block, CONTEXT_SLEEPS);
    const turns = wordOf(core, block, CONTEXT_TURNS);
    notifyContext(core, block);
    await until(() => wordOf(core, block, CONTEXT_SLEEPS) > sleeps);
    expect(wordOf(core, block, CONTEXT_TURNS)).toBe(turns);
    // Mail: posted, counted, woken. It takes the thread into its loop, and back.
    for (let i = 1; i <= 3; i++) {
      worker.postMessage('mail');
      Atomics.store(words, GO, i);
      if (core.engine.mailSent(block) === 1) wakeContext(core, block);
      expect(await message()).toBe(`mail ${i}`);
    }
    await stop(core, block);
    notifier.close();
    context.close();
  });
});
