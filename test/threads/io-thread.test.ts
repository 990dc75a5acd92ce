/** IOThreads as main sees them: start, services, limits, events, use, stop and death. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AioContext } from '#src/aio/context';
import { AioError } from '#src/aio/error';
import { IOThread, type IOThreadOptions } from '#src/aio/io-thread';

import { registerErrorClass } from '#src/aio/thread-error';
import { BlockError, OptionError } from '#src/block/error';
import { Core, CoreError } from '#src/engine/core';
import {
  CONTEXT_HOME,
  CONTEXT_MAIL_RECEIVED,
  CONTEXT_MAIL_SENT,
  CONTEXT_NOTIFY_ME,
  CONTEXT_POLL_GROW,
  CONTEXT_POLL_MAX,
  CONTEXT_SIZE,
} from '#src/layout';
import {
  engines,
  nextEvent,
  sharedCore,
  sleepersOn,
  startThread,
  wordOf,
  workerAt,
} from './threads.ts';

describe.each(engines)('IOThread, %s engine', (engine) => {
  let core: Core;
  let bytes: number;
  beforeEach(async () => {
    core = await sharedCore(engine);
    bytes = core.allocatedBytes;
  });
  afterEach(() => expect(core.allocatedBytes).toBe(bytes));

  it('WT-4 start resolves when the thread has its number and serves', async () => {
    await using a = await startThread(core, { id: 'a' });
    await using b = await startThread(core, { id: 'b' });
    expect(a.threadNumber).not.toBe(b.threadNumber);
    for (const thread of [a, b]) {
      expect(thread.threadNumber).toBeGreaterThan(core.thread);
      expect(wordOf(core, thread.context, CONTEXT_HOME)).toBe(thread.threadNumber);
      expect(await thread.call('echo', { plain: [1, 'two'] })).toEqual({ plain: [1, 'two'] });
    }
  });

  it('WT-3 a service runs in the thread, inside a poll of its context, while main goes on', async () => {
    await using thread = await startThread(core);
    const context = new AioContext(core);
    const where = await thread.call('where');
    expect(where).toMatchObject({ context: thread.context, home: thread.threadNumber, depth: 1 });
    const word = core.allocate(8);
    const answer = thread.call('see', word); // what only main does, in a bottom half of its own
    context.scheduleOneshot('meanwhile', () => Atomics.store(core.i32, word >>> 2, 1));
    expect(await answer).toBe('seen');
    core.free(word);
    context.close();
  });

  it('WT-4 stop joins the Worker, and may be called again', async () => {
    const thread = await startThread(core);
    const first = thread.stop();
    expect(thread.stop()).toBe(first);
    await first;
    await thread.stop();
    core.u32.fill(0xffffffff, thread.context >>> 2, (thread.context + CONTEXT_SIZE) >>> 2);
    expect(thread.info().runs).toBeLessThan(1000); // its memory is somebody else's now
    expect(sleepersOn(core, thread.context)).toBe(0);
    await expect(thread.call('echo', 1)).rejects.toMatchObject({ code: 'ESHUTDOWN' });
    expect(() => thread.set({ 'poll-max-ns': 0 })).toThrow(/has been stopped/);
    expect(() => thread.ref('disk0')).toThrow(/has been stopped/);
  });

  it('WT-4 stop answers the services that were called before', async () => {
    const thread = await startThread(core);
    const answers = [1, 2, 3].map((n) => thread.call('echo', n));
    const slow = thread.call('see the stop word');
    const long = thread.call('turns of the loop', 500);
    await thread.stop();
    expect(await Promise.all(answers)).toEqual([1, 2, 3]);
    expect([await slow, await long]).toEqual(['seen', 500]);
  });

  it('WT-4 stop wakes a thread that sleeps, and has not to cut it off', async () => {
    const thread = await startThread(core, { 'poll-max-ns': 0, 'stop-patience': 3000 });
    for (let asleep = 0; asleep < 20; ) {
      await new Promise((resolve) => setImmediate(resolve));
      asleep = wordOf(core, thread.context, CONTEXT_NOTIFY_ME) >= 2 ? asleep + 1 : 0;
    }
    await thread.stop(); // of a thread that was cut off the memory is not given back
  });

  it.each(['never', 'spin for ever'])(
    'WT-4 a service that never answers (%s) is cut off when patience is over',
    async (service) => {
      const thread = await startThread(core, { 'stop-patience': 50 });
      const answer = thread.call(service);
      await thread.stop();
      await expect(answer).rejects.toMatchObject({ code: 'ESHUTDOWN' });
      // Its memory is not given back: elsewhere than in Node the thread might still use it.
      expect(core.allocatedBytes).toBeGreaterThan(bytes);
      bytes = core.allocatedBytes;
    },
  );

  it('WT-4 stop tells what the thread had not put away', async () => {
    const thread = await startThread(core);
    await thread.call('leave a bottom half');
    await expect(thread.stop()).rejects.toThrow(/still has: forgotten/);
  });

  it('WT-5 stop is refused while somebody uses the thread, who is named', async () => {
    const thread = await startThread(core, { id: 'io0' });
    thread.ref('disk0');
    thread.ref('disk0');
    thread.ref('disk1');
    await expect(thread.stop()).rejects.toThrow("iothread 'io0' is in use by disk0, disk1");
    await expect(thread.stop()).rejects.toMatchObject({ name: 'AioError', code: 'EBUSY' });
    expect(await thread.call('echo', 'served')).toBe('served');
    thread.unref('disk1');
    thread.unref('disk0');
    await expect(thread.stop()).rejects.toThrow("iothread 'io0' is in use by disk0");
    thread.unref('disk0');
    expect(() => thread.unref('disk0')).toThrow("iothread 'io0' is not used by disk0");
    await thread.stop();
  });

  it('WT-6 info says what query-iothreads says, and figures', async () => {
    await using thread = await startThread(core, { id: 'io0', 'poll-grow': 3 });
    thread.ref('disk0');
    await thread.call('echo', 1);
    const info = thread.info();
    expect(info).toMatchObject({
      id: 'io0',
      'thread-id': thread.threadNumber,
      'poll-max-ns': 32_768,
      'poll-grow': 3,
      'poll-shrink': 0,
      'aio-max-batch': 0,
      'thread-pool-min': 0,
      'thread-pool-max': 4,
      polling: true,
      users: ['disk0'],
    });
    expect(info.runs).toBeGreaterThan(0);
    thread.unref('disk0');
  });

  it('WT-7 limits change at run time, and a wrong one changes none', async () => {
    await using thread = await startThread(core, { 'thread-pool-max': 8 });
    const told = nextEvent(thread, 'limits');
    await thread.call('watch limits');
    thread.set({ 'poll-max-ns': 1000, 'poll-grow': 4, 'thread-pool-min': 2 });
    expect(await told).toEqual({ min: 2, max: 8 });
    const set = { 'poll-max-ns': 1000, 'poll-grow': 4, 'thread-pool-min': 2, 'thread-pool-max': 8 };
    const wrong = [
      [{ 'poll-max-ns': -1 }, 'poll-max-ns: -1 is not allowed'],
      [{ 'poll-max-ns': 2 ** 32 }, 'whole numbers from 0 to 4294967295'],
      [{ 'poll-grow': 1.5 }, 'poll-grow: 1.5'],
      [{ 'poll-shrink': -1 }, 'poll-shrink: -1'],
      [{ 'aio-max-batch': -1 }, 'aio-max-batch: -1'],
      [{ 'thread-pool-max': 0 }, 'thread-pool-max: 0'],
      [{ 'thread-pool-max': 1 }, 'thread-pool-min: 2 is not allowed; allowed: at most'],
      [{ 'poll-min-ns': 1 }, 'poll-min-ns: 1 is not allowed; allowed: the options poll-max-ns'],
    ] as const;
    for (const [params, message] of wrong) {
      expect(() => thread.set({ 'poll-max-ns': 7, ...params })).toThrow(message);
      expect(thread.info()).toMatchObject(set);
    }
    expect(wordOf(core, thread.context, CONTEXT_POLL_MAX)).toBe(1000);
    expect(wordOf(core, thread.context, CONTEXT_POLL_GROW)).toBe(4);
    expect(await thread.call('where')).toMatchObject({ pollMax: 1000, limits: { min: 2, max: 8 } });
    thread.set({ 'poll-max-ns': 2 ** 32 - 1, 'thread-pool-min': 8 });
    expect(thread.info()).toMatchObject({ 'poll-max-ns': 2 ** 32 - 1, 'thread-pool-min': 8 });
  });

  it('WT-7 refuses wrong options at the start and makes no Worker', async () => {
    let made = 0;
    const worker = () => {
      made += 1;
      return workerAt('./thread.mjs')();
    };
    await expect(startThread(core, { worker, 'poll-max-ns': -1 })).rejects.toThrow(RangeError);
    await expect(startThread(core, { worker, slots: 0 })).rejects.toThrow(/slots: 0/);
    expect(made).toBe(0);
  });

  it('revives typed errors of a service, with code, fields and cause', async () => {
    registerErrorClass('BlockError', BlockError);
    registerErrorClass('OptionError', OptionError);
    await using thread = await startThread(core);
    for (const service of ['throw', 'reject']) {
      const failure = (kind: string): Promise<Error> =>
        thread.call(service, kind).then(
          () => new Error('no error'),
          (error) => error,
        );
      const block = await failure('block');
      expect(block).toBeInstanceOf(BlockError);
      expect(block).toMatchObject({
        code: 'ENOSPC',
        operation: 'write',
        offset: 4096,
        length: 512,
      });
      expect(await failure('option')).toBeInstanceOf(OptionError);
      const refused = await failure('core');
      expect(refused).toBeInstanceOf(CoreError);
      expect(refused).toMatchObject({ code: 'EALIGN', message: 'a region is not aligned' });
      expect(refused.cause).toMatchObject({ message: 'by one byte' });
      expect(await failure('unknown')).toMatchObject({ name: 'OwnError', code: 7 });
      expect((await failure('text')).message).toBe('no error at all');
    }
  });

  it('names the services it has when asked for another; refuses what cannot be cloned', async () => {
    await using thread = await startThread(core, { id: 'io0' });
    const missing = thread.call('no such');
    await expect(missing).rejects.toThrow(/io0' has no service 'no such'; it has: .*echo/);
    await expect(missing).rejects.toBeInstanceOf(AioError);
    await expect(thread.call('uncloneable')).rejects.toThrow(/could not be cloned/);
    await expect(thread.call('echo', () => {})).rejects.toThrow(/could not be cloned/);
    expect(await thread.call('echo', 'still there')).toBe('still there');
    // What was never posted is not on its way: the thread may block.
    const [sent, received] = [CONTEXT_MAIL_SENT, CONTEXT_MAIL_RECEIVED].map((field) =>
      wordOf(core, thread.context, field),
    );
    expect(sent).toBe(received);
  });

  it('tells listeners of events until they are removed', async () => {
    await using thread = await startThread(core);
    const seen: unknown[] = [];
    const remove = thread.on('io-error', (payload) => seen.push(payload));
    await thread.call('tell', { event: 'io-error', payload: 1 });
    await thread.call('tell', { event: 'other', payload: 2 });
    remove();
    await thread.call('tell', { event: 'io-error', payload: 3 });
    expect(seen).toEqual([1]);
  });

  it('needs shared memory', async () => {
    const lonely = await Core.open({ engine: 'js' });
    await expect(startThread(lonely)).rejects.toMatchObject({ code: 'ENOTSUP' });
  });

  it('needs a Worker, and takes no memory without', async () => {
    const before = core.allocatedBytes;
    const start = IOThread.start(core, {} as IOThreadOptions);
    await expect(start).rejects.toThrow('worker: a Worker, or what makes one, is needed');
    expect(core.allocatedBytes).toBe(before);
  });

  it('WT-4 a Worker that dies at the start rejects with its error', async () => {
    const start = IOThread.start(core, { worker: workerAt('./dying.mjs') });
    await expect(start).rejects.toThrow('this Worker cannot be');
    await expect(start).rejects.toBeInstanceOf(TypeError);
  });

  it('WT-4 a thread that cannot attach the core rejects with why', async () => {
    const handle = core.handle.bind(core);
    core.handle = () => ({ ...handle(), header: core.regions });
    await expect(startThread(core)).rejects.toMatchObject({ name: 'CoreError', code: 'EABI' });
    core.handle = () => ({ ...handle(), module: (() => {}) as never });
    await expect(startThread(core)).rejects.toThrow(/could not be cloned/);
  });

  it('a thread that died takes no more turns, though its Worker may live for a while', async () => {
    const worker = workerAt('./thread.mjs')();
    const immortal = Object.assign(Object.create(worker), { terminate: () => {} });
    const thread = await startThread(core, { worker: immortal });
    const died = nextEvent<AioError>(thread, 'died');
    await thread.call('crash');
    await died;
    expect(wordOf(core, thread.context, CONTEXT_NOTIFY_ME)).toBe(0);
    await worker.terminate();
    await thread.stop();
  });

  it.each([
    ['exits', 'exit', 'the Worker has exited'],
    ['throws out of a bottom half', 'crash', 'read of 512 bytes at 512 failed'],
  ])('a Worker that %s fails what is owed and says so', async (_, how, why) => {
    const thread = await startThread(core, { id: 'io0' });
    thread.ref('disk0');
    const died = nextEvent<AioError>(thread, 'died');
    const owed = thread.call('never').catch((error) => error);
    await thread.call(how).catch(() => {});
    const error = await died;
    expect(error).toBeInstanceOf(AioError);
    expect(error.message).toContain(`iothread 'io0' died: ${why}`);
    expect(await owed).toBe(error);
    await expect(thread.call('echo', 1)).rejects.toBe(error);
    expect(() => thread.set({ 'poll-max-ns': 0 })).toThrow(error);
    await expect(thread.stop()).rejects.toMatchObject({ code: 'EBUSY' });
    thread.unref('disk0');
    await thread.stop();
  });
});
