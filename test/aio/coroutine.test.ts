/** Coroutines: who may enter them, when they run, and in which context. */

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '#src/aio/clock';
import { CoMutex } from '#src/aio/co-mutex';
import { CoQueue } from '#src/aio/co-queue';
import { AioContext } from '#src/aio/context';
import {
  Coroutine,
  coYield,
  currentCoroutine,
  scheduleCoroutine,
  type Yielding,
} from '#src/aio/coroutine';
import { Core } from '#src/engine/core';

const modules = {
  unshared: readFileSync(new URL('../../build/core.wasm', import.meta.url)),
  shared: readFileSync(new URL('../../build/core.shared.wasm', import.meta.url)),
};

describe.each(['wasm', 'js'] as const)('coroutines, %s engine', (engine) => {
  let core: Core;
  let a: AioContext;
  let log: string[];

  const contextNamed = (name: string, clock?: ManualClock) =>
    new AioContext(core, { name, sleeper: 'hook', coroutines: 5, ...(clock && { clock }) });
  const poll = (context: AioContext) => {
    while (context.poll());
  };
  const coroutine = (name: string, body: (self: Coroutine) => Yielding, context = a) =>
    new Coroutine(context, name, body);
  /** Logs its name and a number each time it is entered, `times` times. */
  const counting = (name: string, times: number, context = a) =>
    coroutine(
      name,
      function* () {
        for (let i = 1; i <= times; i++) {
          log.push(`${name}${i}`);
          if (i < times) yield;
        }
      },
      context,
    );

  beforeEach(async () => {
    core = await Core.open({ engine, module: modules.unshared });
    log = [];
    a = contextNamed('a');
  });

  afterEach(() => {
    poll(a);
    expect(currentCoroutine()).toBeNull();
  });

  it('runs when it is entered, until it yields, and nowhere else', () => {
    const co = counting('x', 2);
    expect(log).toEqual([]);
    co.enter();
    expect(log).toEqual(['x1']);
    co.enter();
    expect(log).toEqual(['x1', 'x2']);
    expect(co.ended).toBe(true);
  });

  it('CO-1 a second schedule is refused by name, and the first one stands', () => {
    const co = counting('x', 1);
    co.schedule();
    expect(() => co.schedule()).toThrow(/was already scheduled in 'schedule'/);
    poll(a);
    expect(log).toEqual(['x1']);
  });

  it('CO-1 one that is scheduled or asleep is not entered', () => {
    const clock = new ManualClock();
    const b = contextNamed('b', clock);
    const sleeper = coroutine(
      'sleeper',
      function* (self) {
        yield* self.sleep(100);
        log.push('awake');
      },
      b,
    );
    sleeper.enter();
    expect(() => sleeper.enter()).toThrow("sleeper was already scheduled in 'sleep'");
    expect(() => sleeper.schedule()).toThrow(/was already scheduled in 'sleep'/);
    const co = counting('x', 1);
    co.schedule();
    expect(() => co.enter()).toThrow("x was already scheduled in 'schedule'");
    clock.advance(100);
    poll(b);
    expect(log).toEqual(['awake']);
    poll(a);
    expect(log).toEqual(['awake', 'x1']);
  });

  it('CO-1 one that runs is not entered again', () => {
    const co: Coroutine = coroutine('x', function* () {
      expect(() => co.enter()).toThrow('x was re-entered recursively');
      log.push('went on');
    });
    co.enter();
    expect(log).toEqual(['went on']);
  });

  it('CO-1 a yield outside of a coroutine is refused, and so is entering one that has ended', () => {
    expect(() => coYield().next()).toThrow('a yield with no one to yield to');
    const co = counting('x', 1);
    co.enter();
    expect(() => co.enter()).toThrow('x has ended');
    expect(() => co.schedule()).toThrow('x has ended');
    expect(() => co.wake()).toThrow('x has ended');
  });

  it('CO-2 one woken by another runs after that one yields, before its caller goes on', () => {
    const b = counting('b', 1);
    const waker = coroutine('a', function* () {
      b.wake();
      log.push('a goes on');
      yield;
      log.push('a ends');
    });
    a.scheduleOneshot('caller', () => {
      waker.enter();
      log.push('caller goes on');
    });
    poll(a);
    expect(log).toEqual(['a goes on', 'b1', 'caller goes on']);
    waker.enter();
  });

  it('CO-2 woken outside of its context, it runs in its context and not here', () => {
    const co = counting('x', 1);
    co.wake();
    expect(log).toEqual([]);
    poll(a);
    expect(log).toEqual(['x1']);
  });

  it('CO-2 woken in its context by what is no coroutine, it runs at once', () => {
    const co = counting('x', 1);
    a.scheduleOneshot('waker', () => {
      co.wake();
      log.push('waker');
    });
    poll(a);
    expect(log).toEqual(['x1', 'waker']);
  });

  it('CO-3 wake-ups run depth first, before older ones', () => {
    const [d, e, c] = ['d', 'e', 'c'].map((name) => counting(name, 1)) as Coroutine[];
    const b = coroutine('b', function* () {
      log.push('b');
      d!.wake();
      e!.wake();
    });
    const first = coroutine('a', function* () {
      log.push('a');
      b.wake();
      c!.wake();
    });
    a.scheduleOneshot('start', () => first.enter());
    poll(a);
    expect(log).toEqual(['a', 'b', 'd1', 'e1', 'c1']);
  });

  it("CO-4 historic bug 26: a coroutine is entered in its context, not in the poller's", () => {
    const b = new AioContext(core, {
      name: 'b',
      sleeper: 'hook',
      coroutines: 4,
      anyThreadMayPoll: true,
    });
    const mutex = new CoMutex();
    const holder = coroutine(
      'holder',
      function* () {
        yield* mutex.lock();
        yield;
        log.push(`holder in ${currentCoroutine()?.context.name}`);
        mutex.unlock();
      },
      b,
    );
    const waiter = coroutine(
      'waiter',
      function* () {
        yield* mutex.lock();
        log.push(`waiter in ${currentCoroutine()?.context.name}`);
        mutex.unlock();
      },
      b,
    );
    holder.enter();
    waiter.enter();
    expect(mutex.waiters).toBe(1);
    holder.schedule();
    a.scheduleOneshot('a polls b', () => b.poll());
    poll(a);
    poll(b);
    expect(holder.context).toBe(b);
    expect(waiter.context).toBe(b);
    expect(log).toEqual(['holder in b', 'waiter in b']);
  });

  it('CO-5 scheduled ones are entered in the order of scheduling', () => {
    const list = ['x', 'y', 'z'].map((name) => counting(name, 1));
    for (const co of list) co.schedule();
    poll(a);
    expect(log).toEqual(['x1', 'y1', 'z1']);
  });

  it('CO-6 a move goes by way of the old context, and it is entered in the new one only', () => {
    const b = contextNamed('b');
    const co = coroutine('x', function* (self) {
      log.push(`in ${self.context.name}`);
      yield* self.moveTo(b);
      log.push(`in ${self.context.name}`);
      yield* self.moveTo(b);
      log.push('still');
    });
    co.enter();
    expect(log).toEqual(['in a']);
    expect(b.poll()).toBe(false); // nothing is there before it has yielded in the old one
    poll(a);
    expect(co.context).toBe(b);
    expect(log).toEqual(['in a']);
    poll(b);
    expect(log).toEqual(['in a', 'in b', 'still']);
    expect(a.bottomHalves).toBe(0);
  });

  it('CO-6 no coroutine moves to another thread', async () => {
    const other = await Core.attach(core.handle());
    const block = AioContext.allocate(core, { slots: 4, handlers: 4, coroutines: 4 });
    const foreign = new AioContext(other, { name: 'foreign', sleeper: 'hook', block });
    let error: unknown;
    coroutine('x', function* (self) {
      try {
        yield* self.moveTo(foreign);
      } catch (thrown) {
        error = thrown;
      }
    }).enter();
    expect(error).toMatchObject({ code: 'ETHREAD' });
  });

  it('CO-7 a closed context is not touched by a schedule that comes late', () => {
    const b = contextNamed('b');
    const co = counting('x', 1, b);
    const { handle } = co;
    co.enter();
    poll(b);
    b.close();
    // The block stands as it was: whoever has the handle still finds "closed" there.
    scheduleCoroutine(core, handle);
    expect(log).toEqual(['x1']);
  });

  it('CO-8 one that ends with a lock held is told', () => {
    const mutex = new CoMutex();
    const co = coroutine('x', function* () {
      yield* mutex.lock();
    });
    expect(() => co.enter()).toThrow('x ended holding 1 locks');
    expect(co.ended).toBe(true);
  });

  it('CO-9 a mutex is handed to the one that has waited longest, and to nobody else', () => {
    const mutex = new CoMutex();
    const taking = (name: string) =>
      coroutine(name, function* () {
        yield* mutex.lock();
        log.push(`${name} has it`);
        yield;
        mutex.unlock();
        log.push(`${name} let go`);
        yield* mutex.lock(); // comes after those that wait
        log.push(`${name} again`);
        mutex.unlock();
      });
    const [x, y, z] = ['x', 'y', 'z'].map(taking) as [Coroutine, Coroutine, Coroutine];
    a.scheduleOneshot('start', () => {
      for (const co of [x, y, z]) co.enter();
      expect(mutex.waiters).toBe(2);
      for (const co of [x, y, z]) co.enter();
    });
    poll(a);
    expect(log).toEqual([
      'x has it',
      'x let go',
      'y has it',
      'y let go',
      'z has it',
      'z let go',
      'x again',
      'y again',
      'z again',
    ]);
    expect(mutex.locked).toBe(false);
  });

  it('CO-9 only the holder unlocks, once', () => {
    const mutex = new CoMutex();
    expect(() => mutex.unlock()).toThrow('no coroutine unlocks: nobody holds it');
    const holder = coroutine('holder', function* () {
      yield* mutex.lock();
      expect(() => mutex.lock().next()).toThrow('holder locks a mutex that it holds');
      yield;
      mutex.unlock();
    });
    const thief = coroutine('thief', function* () {
      expect(() => mutex.unlock()).toThrow('thief unlocks: holder holds it');
    });
    holder.enter();
    thief.enter();
    expect(mutex.locked).toBe(true);
    holder.enter();
    expect(mutex.locked).toBe(false);
  });

  it('CO-9 one that waits for a mutex is not let in by anybody who wakes it', () => {
    const mutex = new CoMutex();
    const holder = coroutine('holder', function* () {
      yield* mutex.lock();
      yield;
      mutex.unlock();
    });
    const waiter = coroutine('waiter', function* () {
      yield* mutex.lock();
      log.push('in');
      mutex.unlock();
    });
    holder.enter();
    waiter.enter();
    waiter.enter();
    expect(log).toEqual([]);
    holder.enter();
    poll(a);
    expect(log).toEqual(['in']);
  });

  it('CO-10 a waiter lets go of the mutex only when it stands in the queue', () => {
    const [mutex, queue] = [new CoMutex(), new CoQueue()];
    let ready = false;
    const waiter = coroutine('waiter', function* () {
      yield* mutex.lock();
      while (!ready) yield* queue.wait(mutex);
      log.push(`waiter goes on, ${mutex.locked}`);
      mutex.unlock();
    });
    const waker = coroutine('waker', function* () {
      yield* mutex.lock();
      ready = true;
      expect(queue.empty).toBe(false);
      expect(yield* queue.enterNextUnlocked(mutex)).toBe(true);
      log.push('waker has it again');
      mutex.unlock();
    });
    waiter.enter();
    expect(mutex.locked).toBe(false);
    a.scheduleOneshot('start', () => waker.enter());
    poll(a);
    expect([...log].sort()).toEqual(['waiter goes on, true', 'waker has it again']);
    expect(mutex.locked).toBe(false);
    expect(queue.enterNext()).toBe(false);
  });

  it('CO-10 a wake-up by somebody else does not end the wait', () => {
    const queue = new CoQueue();
    const waiter = coroutine('waiter', function* () {
      yield* queue.wait();
      log.push('woken');
    });
    waiter.enter();
    waiter.enter();
    expect(log).toEqual([]);
    a.scheduleOneshot('wake', () => queue.enterNext());
    poll(a);
    expect(log).toEqual(['woken']);
  });

  it('CO-12 a promise carries it on in its own context, by a poll and not by a microtask', async () => {
    const co = coroutine('x', function* (self) {
      log.push(yield* self.wait(Promise.resolve('value')));
      try {
        yield* self.wait(Promise.reject(new Error('refused')));
      } catch (error) {
        log.push((error as Error).message);
      }
    });
    co.enter();
    await null;
    await null;
    expect(log).toEqual([]);
    a.poll();
    expect(log).toEqual(['value']);
    await null;
    await null;
    poll(a);
    expect(log).toEqual(['value', 'refused']);
    expect(co.ended).toBe(true);
  });

  it('CO-12 a promise may settle while somebody else has it scheduled', async () => {
    const co = coroutine('x', function* (self) {
      log.push(yield* self.wait(Promise.resolve('value')));
    });
    co.enter();
    co.schedule();
    await null;
    await null;
    poll(a);
    expect([log, co.ended]).toEqual([['value'], true]);
  });

  it('CO-13 it may schedule itself, and one scheduled during the walk waits for the next', () => {
    const late = counting('late', 1);
    const co = coroutine('x', function* (self) {
      log.push('first');
      self.schedule();
      late.schedule();
      yield;
      log.push('second');
    });
    co.schedule();
    a.poll();
    expect(log).toEqual(['first']);
    a.poll();
    expect(log).toEqual(['first', 'second', 'late1']);
  });

  it('an error in one loses none of the others, and its place is free again', () => {
    const failing = coroutine('failing', function* () {
      throw new Error('on purpose');
    });
    failing.schedule();
    const after = counting('after', 1);
    after.schedule();
    expect(() => a.poll()).toThrow('on purpose');
    expect(log).toEqual(['after1']);
    expect(failing.ended).toBe(true);
  });

  it('a context has as many coroutines as it was made with', () => {
    const list = [1, 2, 3, 4, 5].map((n) => counting(`x${n}`, 1));
    expect(() => counting('x6', 1)).toThrow("context 'a' has all its 5 coroutines in use");
    for (const co of list) co.enter();
    for (let n = 0; n < 5; n++) counting(`y${n}`, 1).enter();
    expect(log).toHaveLength(10);
  });
});

describe.each(['wasm', 'js'] as const)('coroutines and a second thread, %s engine', (engine) => {
  it('CO-7 is entered once for each schedule from another thread', async () => {
    const core = await Core.open({ engine, module: modules.shared, shared: true });
    const context = new AioContext(core, { name: 'home' });
    const worker = new Worker(new URL('./schedule-thread.mjs', import.meta.url), {
      workerData: { handle: core.handle() },
    });
    try {
      await new Promise((resolve) => worker.once('message', resolve));
      let runs = 0;
      await new Promise<void>((resolve) => {
        const co = new Coroutine(context, 'x', function* (self) {
          while (++runs < 1000) {
            worker.postMessage(self.handle);
            yield;
          }
          resolve();
        });
        co.schedule();
      });
      expect(runs).toBe(1000);
    } finally {
      await worker.terminate();
    }
  });
});
