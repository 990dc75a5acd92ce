/**
 * The thread pool of a context: made with its first user, closed with its last (TP-1, TP-7).
 * Home thread of the context.
 */

import type { AioContext } from './context.ts';
import type { PoolLimits } from './thread-messages.ts';
import { checkLimits, ThreadPool, type ThreadPoolOptions } from './thread-pool.ts';

interface Shared {
  pool: ThreadPool;
  started: Promise<void>;
  users: number;
}

const pools = new WeakMap<AioContext, Shared>();
/** A new pool waits for the old one, whose words it may be given. */
const closing = new WeakMap<AioContext, Promise<void>>();
const limitsOf = new WeakMap<AioContext, PoolLimits>();

/**
 * The context's pool, made and started with its first user. Rejects with what its first Worker
 * failed of. Who is done with it calls `releasePool`.
 */
export async function acquirePool(
  context: AioContext,
  options: ThreadPoolOptions,
): Promise<ThreadPool> {
  let shared = pools.get(context);
  while (!shared && closing.has(context)) {
    await closing.get(context);
    shared = pools.get(context);
  }
  if (!shared) {
    const pool = new ThreadPool(context, { ...limitsOf.get(context), ...options });
    shared = { pool, started: pool.start(), users: 0 };
    pools.set(context, shared);
  }
  shared.users += 1;
  try {
    await shared.started;
  } catch (thrown) {
    await releasePool(context);
    throw thrown;
  }
  return shared.pool;
}

/** The last user closes the pool. */
export async function releasePool(context: AioContext): Promise<void> {
  const shared = pools.get(context);
  if (!shared || --shared.users > 0) return;
  pools.delete(context);
  const closed = shared.pool.close();
  closing.set(context, closed);
  await closed;
  closing.delete(context);
}

/** Limits of the context's pool, now or when there is one. */
export function setPoolLimits(context: AioContext, limits: PoolLimits): void {
  checkLimits(limits);
  limitsOf.set(context, limits);
  const shared = pools.get(context);
  if (shared) shared.pool.limits = limits;
}
