/**
 * Entry of a Worker of a thread pool, for Node, Deno and Bun: does the blocking work of file disks.
 * A program with operations of its own makes an entry that registers them and imports this one.
 */

import { parentPort } from 'node:worker_threads';
import type { PoolStart, PoolUp } from '../aio/pool-thread.ts';
import { runPoolWorker } from '../aio/pool-worker.ts';
import { encodeError } from '../aio/thread-error.ts';
import { registerFileWork } from '../block/file-work.ts';
import { Core } from '../engine/core.ts';
import { nodeFiles } from './node-files.ts';

export { type PerformWork, registerWork, type Work } from '../aio/pool-worker.ts';

registerFileWork(nodeFiles);
const say = (message: PoolUp): void => parentPort?.postMessage(message);

/** From here to the end the thread blocks. */
async function serve(start: PoolStart): Promise<void> {
  try {
    const core = await Core.attach(start.core);
    say({ type: 'ready' });
    runPoolWorker(core, start.pool, start.idleMs, start.number);
    say({ type: 'left' });
  } catch (error) {
    say({ type: 'failed', error: encodeError(error) });
  }
}

parentPort?.once('message', serve);
