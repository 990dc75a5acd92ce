/**
 * Entry of a Worker that is an IOThread, as it is for browsers: a module Worker that serves lanes
 * and queues. Main makes the Worker and passes it to `IOThread.start`. A program with drivers of
 * its own makes an entry that registers them and imports this one.
 */

import { runIOThread } from '../aio/io-thread-home.ts';
import type { ParentLike } from '../aio/worker-port.ts';
import '../block/lane-service.ts';
import '../disk/realm-service.ts';
import '../virtio/queue-service.ts';

export { registerService, type Service, type ThreadHome } from '../aio/services.ts';
export { registerDriver } from '../block/registry.ts';

const threads = globalThis.process?.getBuiltinModule?.('node:worker_threads');
const parent: unknown = threads?.parentPort ?? globalThis;
void runIOThread(parent as ParentLike);
