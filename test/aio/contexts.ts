import { readFileSync } from 'node:fs';
import { AioContext, type AioContextOptions } from '#src/aio/context';
import { Core } from '#src/engine/core';

const bytes = readFileSync(new URL('../../build/core.wasm', import.meta.url));

export const engines = ['wasm', 'js'] as const;

/** A core of the named engine; the test that it is the one meant is in test/engine. */
export function openCore(engine: (typeof engines)[number]): Core {
  return Core.openSync({ engine, module: bytes });
}

/** A context whose turns the test takes itself. */
export function hookContext(core: Core, options: AioContextOptions = {}): AioContext {
  return new AioContext(core, { sleeper: 'hook', ...options });
}
