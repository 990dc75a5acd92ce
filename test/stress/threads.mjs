/** IOThreads of these runs, and what must be true of them at the end. */
import { Worker } from 'node:worker_threads';
import { IOThread } from '#src/aio/io-thread';
import { CONTEXT_WAKE } from '#src/layout';

export const start = (core, options = {}) =>
  IOThread.start(core, {
    worker: () => new Worker(new URL('./thread.mjs', import.meta.url)),
    ...options,
  });

/** Stops `threads`; nobody may be asleep on their words then. */
export async function stopAll(core, threads) {
  await Promise.all(threads.map((thread) => thread.stop()));
  for (const { context, id } of threads) {
    const left = Atomics.notify(core.i32, (context + CONTEXT_WAKE) >>> 2);
    if (left !== 0) throw new Error(`${id}: ${left} still asleep`);
  }
}

export function expectEqual(what, value, expected) {
  if (value !== expected) throw new Error(`${what}: ${value}, not ${expected}`);
}
