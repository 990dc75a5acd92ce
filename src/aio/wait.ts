/**
 * Waiting for a condition that another thread makes true (WT-1, WT-2). Only main waits, in its own
 * context, and all who change such a condition kick main: a circle of waiters cannot come about
 * (NT-6). QEMU: `include/block/aio-wait.h`, where the loop below is `AIO_WAIT_WHILE`; here it
 * awaits, since a main thread may not block (design section 5).
 */

import type { Core } from '../engine/core.ts';
import { CORE_HEADER_MAIN, CORE_HEADER_WAITERS } from '../layout.ts';
import type { AioContext } from './context.ts';
import { AioError } from './error.ts';
import { wakeContext } from './wake.ts';

/** Main's context of each core that was opened on this thread: the one that is kicked. */
const mains = new WeakMap<Core, AioContext>();
const closed = new WeakSet<AioContext>();

/** The core that was opened is the first of its memory. */
const isMain = (core: Core): boolean => core.thread === 1;

/** The first context of main is the one that is kicked. For `AioContext`. */
export function becomeMain(context: AioContext): void {
  const { core, address } = context;
  if (!isMain(core) || mains.has(core)) return;
  mains.set(core, context);
  Atomics.store(core.u32, (core.header + CORE_HEADER_MAIN) >>> 2, address);
}

/** The context is closed. */
export function resignMain(context: AioContext): void {
  closed.add(context);
  const { core } = context;
  if (mains.get(core) !== context) return;
  mains.delete(core);
  Atomics.store(core.u32, (core.header + CORE_HEADER_MAIN) >>> 2, 0);
}

/**
 * Resolves when `condition` is false. It is read again after each turn of main's context, and
 * whoever changes it on another thread calls `waitKick` afterwards. Main only: from another thread
 * it throws AioError EDEADLK, for two that wait for each other would wait for ever (NT-6). Rejects
 * with ESHUTDOWN if the context is closed meanwhile.
 */
export async function waitWhile(context: AioContext, condition: () => boolean): Promise<void> {
  const { core, name } = context;
  if (!isMain(core)) {
    const message = `context '${name}' of thread ${core.thread} may not wait: only main waits`;
    throw new AioError('EDEADLK', message);
  }
  const waiters = (core.header + CORE_HEADER_WAITERS) >>> 2;
  // Counted before the condition is read: pairs with `waitKick`, whose caller has changed it.
  Atomics.add(core.u32, waiters, 1);
  let held = false;
  try {
    while (condition()) {
      becomeMain(context);
      // What is awaited keeps the process alive: a pending `waitAsync` alone does not.
      if (!held) context.ref();
      held = true;
      await (mains.get(core) as AioContext).nextTurn();
      if (closed.has(context)) throw new AioError('ESHUTDOWN', `context '${name}' is closed`);
    }
  } finally {
    if (held) context.unref();
    Atomics.sub(core.u32, waiters, 1);
  }
}

/** After a change that may end somebody's wait (WT-2). Any thread. */
export function waitKick(core: Core): void {
  const main = core.engine.waitKick(core.header) >>> 0;
  if (main !== 0) wakeContext(core, main);
}
