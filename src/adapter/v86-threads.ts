/** IOThreads for disks on v86, wherever it runs: nothing here imports a module of Node's. */

import type { IOThread } from '../aio/io-thread.ts';
import { spinners } from '../aio/spinners.ts';
import type { WorkerLike } from '../aio/worker-port.ts';
import type { Core } from '../engine/core.ts';
import { nodeThreadEntryUrl } from './assets.ts';
import { startIOThread } from './web-threads.ts';

type NodeThreads = { readonly Worker: new (url: URL) => WorkerLike };
type NodeOs = { availableParallelism(): number };

const builtin = globalThis.process?.getBuiltinModule as ((name: string) => unknown) | undefined;

/**
 * Starts `count` threads over the memory of v86. `createWorker`: as in `StartOptions`. Rejects with
 * what a thread cannot start of; then none is left running.
 */
export async function startThreads(
  core: Core,
  count: number,
  createWorker: (() => WorkerLike) | undefined,
): Promise<IOThread[]> {
  if (!Number.isInteger(count) || count < 1) throw new Error(`iothreads: ${count} threads`);
  const threads = builtin?.('node:worker_threads') as NodeThreads | undefined;
  if (threads) spinners.cores = (builtin!('node:os') as NodeOs).availableParallelism();
  const ofNode = threads && (() => new threads.Worker(nodeThreadEntryUrl()));
  const make = createWorker ?? ofNode;
  const started: IOThread[] = [];
  try {
    while (started.length < count) {
      started.push(await startIOThread(core, make ? { createWorker: make } : {}));
    }
  } catch (error) {
    await Promise.all(started.map((thread) => thread.stop()));
    throw error;
  }
  return started;
}
