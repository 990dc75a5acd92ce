/**
 * The ring between two threads: a guest in a Worker, the engine here, both asleep whenever the
 * other side owes them something. One lost kick or interrupt, or one descriptor read before
 * avail.idx, ends the run.
 */
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Core } from '#src/engine/core';
import { createQueue } from '#src/engine/queue-memory';
import {
  QUEUE_BATCH,
  QUEUE_BROKEN,
  QUEUE_DONE,
  QUEUE_F_EVENT_IDX,
  QUEUE_RECORDS,
  RECORD_SIZE,
  RECORD_WRITTEN,
} from '#src/layout';

const module = readFileSync(new URL('../../build/core.shared.wasm', import.meta.url));
const [KICK, INTERRUPT, GO] = [0, 1, 2];
const TOTAL = 40_000;
const SIZE = 32;
const PATIENCE = 5000;

interface Place {
  desc: number;
  avail: number;
  used: number;
}

const next = <T>(worker: Worker) =>
  new Promise<T>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });

/** Serves until the guest has had `TOTAL` answers. Returns how often it slept. */
function serve(core: Core, queue: number, words: Int32Array): number {
  const { engine, u32 } = core;
  const [batch, done, records] = [QUEUE_BATCH, QUEUE_DONE, QUEUE_RECORDS].map(
    (field) => u32[(queue + field) >>> 2]!,
  ) as [number, number, number];
  const scratch = core.allocate(16);
  let sleeps = 0;
  for (let served = 0; served < TOTAL; ) {
    engine.queueSetNotification(queue, 0);
    for (;;) {
      const count = engine.queuePop(queue, 16);
      if (count <= 0) break;
      for (let i = 0; i < count; i++, served++) {
        const head = u32[(batch >>> 2) + i]!;
        expect(engine.copyFromChain(queue, head, 0, scratch, 8)).toBe(8);
        if (u32[scratch >>> 2] !== served) throw new Error(`popped ${u32[scratch >>> 2]}`);
        u32[scratch >>> 2] = (served ^ 0x5a5a5a5a) >>> 0;
        engine.copyToChain(queue, head, 0, scratch, 4);
        u32[(records + head * RECORD_SIZE + RECORD_WRITTEN) >>> 2] = 4;
        u32[(done >>> 2) + i] = head;
      }
      if (engine.queuePush(queue, count) === 1) {
        Atomics.add(words, INTERRUPT, 1);
        Atomics.notify(words, INTERRUPT);
      }
    }
    const seen = Atomics.load(words, KICK);
    if (engine.queueSetNotification(queue, 1) === 1 || served === TOTAL) continue;
    sleeps++;
    const answer = Atomics.wait(words, KICK, seen, PATIENCE);
    const broken = u32[(queue + QUEUE_BROKEN) >>> 2];
    if (answer === 'timed-out') throw new Error(`no kick after ${served}, broken ${broken}`);
  }
  return sleeps;
}

describe.each(['wasm', 'js'] as const)('a ring between two threads, %s engine', (engine) => {
  it.each([
    ['flags', 0],
    ['EVENT_IDX', QUEUE_F_EVENT_IDX],
  ])('VQ-2 VQ-7 VQ-9 no kick, no interrupt and no descriptor is lost (%s)', async (_, features) => {
    const core = await Core.open({ engine, module, shared: true, ramBytes: 1 << 20 });
    expect(core.engine.kind).toBe(engine);
    const words = new Int32Array(new SharedArrayBuffer(16));
    const worker = new Worker(new URL('./guest-thread.mjs', import.meta.url), {
      workerData: {
        buffer: core.ram.buffer,
        region: core.regionList[0],
        words,
        total: TOTAL,
        size: SIZE,
        eventIdx: features !== 0,
        patience: PATIENCE,
      },
    });
    try {
      const place = await next<Place>(worker);
      const queue = createQueue(core, SIZE).address;
      const { desc, avail, used } = place;
      const error = core.engine.queueEnable(queue, SIZE, features, desc, 0, avail, 0, used, 0);
      expect(error).toBe(0);
      Atomics.store(words, GO, 1);
      Atomics.notify(words, GO);
      serve(core, queue, words);
      expect(await next(worker)).toEqual({ done: TOTAL });
    } finally {
      await worker.terminate();
    }
  });
});
