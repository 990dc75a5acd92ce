/** Cores and IOThreads of these tests. */

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { AioContext } from '#src/aio/context';
import { IOThread, type IOThreadOptions } from '#src/aio/io-thread';
import { Core } from '#src/engine/core';
import { CONTEXT_WAKE } from '#src/layout';

const module = readFileSync(new URL('../../build/core.shared.wasm', import.meta.url));

export const engines = ['wasm', 'js'] as const;
export type EngineName = (typeof engines)[number];

export async function sharedCore(engine: EngineName): Promise<Core> {
  const core = await Core.open({ engine, module, shared: true });
  if (core.engine.kind !== engine) throw new Error(`the engine is ${core.engine.kind}`);
  return core;
}

export const workerAt = (file: string) => () => new Worker(new URL(file, import.meta.url));

/** A thread with the services of thread.mjs. */
export function startThread(core: Core, options: Partial<IOThreadOptions> = {}): Promise<IOThread> {
  return IOThread.start(core, { worker: workerAt('./thread.mjs'), ...options });
}

/** How many still sleep on the context's wake word; they are woken. */
export function sleepersOn(core: Core, context: number): number {
  return Atomics.notify(core.i32, (context + CONTEXT_WAKE) >>> 2);
}

/** The next `event` of a thread. */
export function nextEvent<T>(thread: IOThread, event: string): Promise<T> {
  return new Promise((resolve) => {
    const remove = thread.on<T>(event, (payload) => {
      remove();
      resolve(payload);
    });
  });
}

export function wordOf(core: Core, context: number, field: number): number {
  return Atomics.load(core.i32, (context + field) >>> 2);
}

/** Turns of the JavaScript loop until `condition` holds; the test's timeout ends a vain wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

export { AioContext };
