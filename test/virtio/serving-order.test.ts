/**
 * Who may touch guest memory, step by step: home and main act on four words, each right before any
 * step of the other.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Core } from '#src/engine/core';
import { createQueue } from '#src/engine/queue-memory';
import { QUEUE_EPOCH, QUEUE_READY, QUEUE_RUNNING, QUEUE_SERVING } from '#src/layout';
import { QueueServing, quiesceQueues, setRunning } from '#src/virtio/queue-serving';
import { openCore, otherThread } from '../aio/contexts.ts';

type AtomicFunction = (words: Int32Array, at: number, value?: number) => number;
const NAMES = ['load', 'store', 'add'] as const;
const originals = Object.fromEntries(NAMES.map((name) => [name, Atomics[name] as AtomicFunction]));

/** Calls `before` ahead of each atomic step, with its name and word; not ahead of its own. */
function watch(before: (name: string, at: number) => void): void {
  let inside = false;
  for (const name of NAMES) {
    const real = originals[name] as AtomicFunction;
    const watched: AtomicFunction = (words, at, value) => {
      if (!inside) {
        inside = true;
        before(name, at);
        inside = false;
      }
      return real(words, at, value);
    };
    Object.assign(Atomics, { [name]: watched });
  }
}

const unwatch = () => Object.assign(Atomics, originals);

describe('home and main at the words of a queue', () => {
  let main: Core;
  let queue: number;
  let home: QueueServing;
  const wordAt = (field: number) => (queue + field) >>> 2;
  const word = (field: number) => main.i32[wordAt(field)] as number;

  beforeEach(async () => {
    main = openCore('wasm', 'shared');
    queue = createQueue(main, 8).address;
    home = new QueueServing(await otherThread(main), queue);
    Atomics.store(main.i32, wordAt(QUEUE_READY), 1);
    setRunning(main, [queue], true);
  });

  afterEach(unwatch);

  it('VC-3 home says that it is inside before it asks: one of both sees the other', () => {
    for (let at = 0, reached = true; reached; at++) {
      home.begin();
      let steps = 0;
      let seen = -1;
      reached = false;
      watch(() => {
        if (steps++ !== at) return;
        reached = true;
        // The first half of the quiesce, up to its first look.
        Atomics.store(main.i32, wordAt(QUEUE_RUNNING), 0);
        Atomics.add(main.i32, wordAt(QUEUE_EPOCH), 1);
        seen = Atomics.load(main.i32, wordAt(QUEUE_SERVING));
      });
      const current = home.enter();
      unwatch();
      expect([at, current && seen === 0]).toEqual([at, false]);
      home.leave();
      setRunning(main, [queue], true);
    }
  });

  it('VC-3 main waits until home is outside, and lets no new one in', () => {
    expect(home.enter()).toBe(true);
    let looks = 0;
    watch((name, at) => {
      if (name === 'load' && at === wordAt(QUEUE_SERVING) && ++looks === 5) home.leave();
    });
    quiesceQueues(main, [queue]);
    unwatch();
    expect([looks, home.inside, word(QUEUE_SERVING)]).toEqual([5, false, 0]);
    expect([word(QUEUE_RUNNING), word(QUEUE_READY)]).toEqual([0, 0]);
    expect(home.enter()).toBe(false);
    home.leave();
  });

  it('VC-3 an epoch that home takes while main waits has ended, too', () => {
    expect(home.enter()).toBe(true);
    let looks = 0;
    watch((name, at) => {
      if (name !== 'load' || at !== wordAt(QUEUE_SERVING) || ++looks > 1) return;
      home.begin(); // nothing was in flight: it goes on with what the words say now
      home.leave();
    });
    quiesceQueues(main, [queue]);
    unwatch();
    expect(home.enter()).toBe(false);
    home.leave();
  });
});
