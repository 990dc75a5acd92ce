/** IOThreads as the package starts them in Node. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { openCore, startIOThread } from '#src/adapter/node';
import { spinners } from '#src/aio/spinners';
import { engines } from './threads.ts';

describe.each(engines)('startIOThread, %s engine', (engine) => {
  it('WT-4 runs a thread that serves lanes and queues', async () => {
    const core = await openCore({ engine, shared: true });
    await using thread = await startIOThread(core, { id: 'io0', 'poll-max-ns': 5 });
    expect(thread.info()).toMatchObject({ id: 'io0', 'poll-max-ns': 5, 'thread-id': 2 });
    await expect(thread.call('')).rejects.toThrow(/it has: .*close-lane.*create-queues.*open-lane/);
  });

  it('takes a Worker that the caller makes, and knows how many cores there are', async () => {
    const core = await openCore({ engine, shared: true });
    const createWorker = () => new Worker(new URL('./thread.mjs', import.meta.url));
    await using thread = await startIOThread(core, { createWorker });
    expect(await thread.call('echo', 1)).toBe(1);
    expect(spinners.cores).toBe(availableParallelism());
  });
});
