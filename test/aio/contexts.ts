import { readFileSync } from 'node:fs';
import type { Clock } from '#src/aio/clock';
import { AioContext, type AioContextOptions } from '#src/aio/context';
import { Core } from '#src/engine/core';
import type { Engine } from '#src/engine/engine';
import { CONTEXT_HANDLERS, HANDLER_POLL_NS, HANDLER_SIZE } from '#src/layout';

const bytes = readFileSync(new URL('../../build/core.wasm', import.meta.url));
const sharedBytes = readFileSync(new URL('../../build/core.shared.wasm', import.meta.url));

export const engines = ['wasm', 'js'] as const;
export type EngineName = (typeof engines)[number];

/** Both engines, over both kinds of memory. */
export const worlds = engines.flatMap((engine) => [
  { engine, memory: 'unshared' },
  { engine, memory: 'shared' },
]);

/** A core of the named engine; the test that it is the one meant is in test/engine. */
export function openCore(engine: EngineName, memory = 'unshared'): Core {
  const shared = memory === 'shared';
  return Core.openSync({ engine, module: shared ? sharedBytes : bytes, shared });
}

/** Another core over the memory, which counts as another thread. */
export const otherThread = (core: Core): Promise<Core> => Core.attach(core.handle());

/** A context whose turns the test takes itself. */
export function hookContext(core: Core, options: AioContextOptions = {}): AioContext {
  return new AioContext(core, { sleeper: 'hook', ...options });
}

export function wordOf(context: AioContext, field: number): number {
  return context.core.u32[(context.address + field) >>> 2] as number;
}

/** How long to busy-poll for the handler at `place`, as if experience had shown it. */
export function setPollNs(context: AioContext, place: number, ns: number): void {
  const at = wordOf(context, CONTEXT_HANDLERS) + place * HANDLER_SIZE + HANDLER_POLL_NS;
  context.core.u32[at >>> 2] = ns;
}

export function pollNs(context: AioContext, place: number): number {
  const at = wordOf(context, CONTEXT_HANDLERS) + place * HANDLER_SIZE + HANDLER_POLL_NS;
  return context.core.u32[at >>> 2] as number;
}

/** A clock that goes on by `step` at each look, so that busy polling ends by itself. */
export class SteppingClock implements Clock {
  step: number;
  time = 0;

  constructor(step: number) {
    this.step = step;
  }

  now(): number {
    this.time += this.step;
    return this.time;
  }
}

/**
 * Calls `before` ahead of each call into the core's engine, with the name of the function: for
 * tests that let another thread act at every point. Returns the way to stop.
 */
export function watchEngine(core: Core, before: (name: string) => void): () => void {
  const { engine } = core;
  const set = (value: Engine) => Object.defineProperty(core, 'engine', { value });
  const calls = Object.fromEntries(
    Object.entries(engine).map(([name, call]) => [
      name,
      typeof call !== 'function'
        ? call
        : (...args: unknown[]) => {
            before(name);
            return (call as (...args: unknown[]) => unknown)(...args);
          },
    ]),
  );
  Object.defineProperty(core, 'engine', { configurable: true, writable: true, value: engine });
  set(calls as unknown as Engine);
  return () => void set(engine);
}

export const macrotasks = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Turns of the JavaScript loop until `condition` holds; the test's timeout ends a vain wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await macrotasks(1);
}
