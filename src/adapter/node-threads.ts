/** IOThreads as worker threads of Node, Deno and Bun. */

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { IOThread, type IOThreadOptions } from '../aio/io-thread.ts';
import { spinners } from '../aio/spinners.ts';
import type { WorkerLike } from '../aio/worker-port.ts';
import type { Core } from '../engine/core.ts';
import { nodeThreadEntryUrl } from './assets.ts';

export interface StartOptions extends Omit<IOThreadOptions, 'worker'> {
  /** Makes the Worker, where the package's own entry is not the one. */
  createWorker?: () => WorkerLike;
}

spinners.cores = availableParallelism();

/** As `IOThread.start`, with a Worker that runs the package's own entry. */
export function startIOThread(core: Core, options: StartOptions = {}): Promise<IOThread> {
  const { createWorker, ...rest } = options;
  const worker = createWorker ?? (() => new Worker(nodeThreadEntryUrl()));
  return IOThread.start(core, { ...rest, worker });
}
