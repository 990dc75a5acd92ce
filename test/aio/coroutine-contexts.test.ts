/** Coroutines of several contexts of one thread: in which of them each is carried on. */
import { beforeEach, describe, expect, it } from 'vitest';
import { CoMutex } from '#src/aio/co-mutex';
import { CoQueue } from '#src/aio/co-queue';
import type { AioContext } from '#src/aio/context';
import { Coroutine, currentCoroutine, scheduleCoroutine } from '#src/aio/coroutine';
import { CONTEXT_VISITS, VISITS_CLOSED } from '#src/layout';
import { engines, hookContext, openCore } from './contexts.ts';

describe.each(engines)('coroutines of two contexts, %s engine', (engine) => {
  let a: AioContext;
  let b: AioContext;
  let log: string[];
  const here = (name: string) => log.push(`${name} in ${currentCoroutine()?.context.name}`);

  beforeEach(() => {
    const core = openCore(engine);
    a = hookContext(core, { name: 'a' });
    b = hookContext(core, { name: 'b' });
    log = [];
  });

  it('CO-4 entered in another context, it is in that one, and goes on there', () => {
    const co = new Coroutine(a, 'x', function* () {
      here('first');
      yield;
      here('second');
    });
    a.scheduleOneshot('enter', () => co.enterIn(b));
    a.poll();
    expect([co.context, co.handle.context]).toEqual([b, b.address]);
    co.schedule();
    a.poll();
    expect(log).toEqual(['first in b']);
    b.poll();
    expect(log).toEqual(['first in b', 'second in b']);
    for (const context of [a, b]) context.poll();
    a.close(); // no place of a is in use any more
  });

  it('CO-4 one that it woke is entered in its own context, even if it was moved meanwhile', () => {
    const mutex = new CoMutex();
    const waiter = new Coroutine(a, 'waiter', function* () {
      yield* mutex.lock();
      here('waiter');
      mutex.unlock();
    });
    const holder = new Coroutine(a, 'holder', function* () {
      yield* mutex.lock();
      yield;
      mutex.unlock(); // in the context of the waiter, whose turn comes after this one
      here('holder');
    });
    holder.enter();
    waiter.enter();
    // Its home is a, where this runs; the holder is entered in b.
    a.scheduleOneshot('enter', () => holder.enterIn(b));
    a.poll();
    a.poll();
    expect(log).toEqual(['holder in b', 'waiter in a']);
  });

  it('CO-12 one that waits for a promise is not carried on by anybody else', async () => {
    let settle = (_: string) => {};
    const promise = new Promise<string>((resolve) => {
      settle = resolve;
    });
    const co = new Coroutine(a, 'x', function* (self) {
      log.push(yield* self.wait(promise));
    });
    co.enter();
    co.schedule();
    a.poll();
    expect([log, co.ended]).toEqual([[], false]);
    settle('settled');
    await promise;
    await null;
    a.poll();
    expect([log, co.ended]).toEqual([['settled'], true]);
  });

  it('CO-10 who wakes another from under the mutex lets those have it that wait for it', () => {
    const mutex = new CoMutex();
    const queue = new CoQueue();
    const waiter = new Coroutine(a, 'waiter', function* () {
      yield* mutex.lock();
      yield* queue.wait(mutex);
      here('waiter');
      mutex.unlock();
    });
    const waker = new Coroutine(a, 'waker', function* () {
      yield* mutex.lock();
      yield; // `late` comes
      expect(yield* queue.enterNextUnlocked(mutex)).toBe(true);
      here('waker');
      mutex.unlock();
    });
    const late = new Coroutine(a, 'late', function* () {
      yield* mutex.lock();
      here('late');
      mutex.unlock();
    });
    for (const co of [waiter, waker, late, waker]) {
      a.scheduleOneshot('enter', () => co.enter());
      a.poll();
    }
    expect(log).toEqual(['late in a', 'waker in a', 'waiter in a']);
    expect(mutex.locked).toBe(false);
  });

  it('CO-7 a schedule that comes late leaves a closed context as it is', () => {
    const co = new Coroutine(a, 'x', function* () {});
    const { handle } = co;
    co.enter();
    a.poll(); // its bottom half is deleted
    a.close();
    scheduleCoroutine(a.core, handle);
    expect(a.core.u32[(handle.context + CONTEXT_VISITS) >>> 2]).toBe(VISITS_CLOSED);
  });
});
