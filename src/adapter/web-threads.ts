/** IOThreads as module Workers of browsers. Pages share memory only if cross-origin isolated. */

import { IOThread, type IOThreadOptions } from '../aio/io-thread.ts';
import { spinners } from '../aio/spinners.ts';
import type { WebWorkerLike, WorkerLike } from '../aio/worker-port.ts';
import type { Core } from '../engine/core.ts';
import { ioThreadEntryUrl } from './assets.ts';

export interface StartOptions extends Omit<IOThreadOptions, 'worker'> {
  /** Makes the Worker, where a bundler has moved the package's `./io-thread` elsewhere. */
  createWorker?: () => WorkerLike;
}

/** The parts of the web platform that are used here. */
interface WebGlobal {
  readonly navigator?: { readonly hardwareConcurrency?: number };
  readonly Worker: new (url: URL, options: { type: 'module'; name?: string }) => WebWorkerLike;
}

const web = globalThis as unknown as WebGlobal;
const cores = web.navigator?.hardwareConcurrency;
if (cores !== undefined) spinners.cores = cores;

/** As `IOThread.start`, with a Worker that runs the package's own entry. */
export function startIOThread(core: Core, options: StartOptions = {}): Promise<IOThread> {
  const { createWorker, ...rest } = options;
  const name = options.id ?? 'iothread';
  const worker =
    createWorker ?? (() => new web.Worker(ioThreadEntryUrl(), { type: 'module', name }));
  return IOThread.start(core, { ...rest, worker });
}
