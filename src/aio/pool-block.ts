/**
 * The words of a thread pool in core memory, in one piece.
 *
 *   | pool | ring of request numbers | requests | what each Worker is doing |
 */

import type { Core } from '../engine/core.ts';
import {
  POOL_CAPACITY,
  POOL_REQUESTS,
  POOL_RING,
  POOL_SIZE,
  WORK_SIZE,
  WORK_STATE,
  WORKER_LOOKS,
} from '../layout.ts';

/** Requests that Workers may know of at once; the others wait. A power of two. */
export const REQUESTS = 64;

/** Allocates the words of a pool: for `core.free`. Main. */
export function allocatePool(core: Core): number {
  const pool = core.allocate(POOL_SIZE + REQUESTS * (4 + WORK_SIZE + 4));
  const { u32 } = core;
  u32[(pool + POOL_CAPACITY) >>> 2] = REQUESTS;
  u32[(pool + POOL_RING) >>> 2] = pool + POOL_SIZE;
  u32[(pool + POOL_REQUESTS) >>> 2] = pool + POOL_SIZE + REQUESTS * 4;
  return pool;
}

/** As new: another pool may have used the words before. */
export function resetPool(core: Core, pool: number): void {
  const { u32 } = core;
  const keep = [POOL_CAPACITY, POOL_RING, POOL_REQUESTS];
  for (let field = 0; field < POOL_SIZE; field += 4) {
    if (!keep.includes(field)) u32[(pool + field) >>> 2] = 0;
  }
  for (let i = 0; i < REQUESTS; i++) {
    u32[(workAt(core, pool, i) + WORK_STATE) >>> 2] = 0;
    u32[workerAt(core, pool, i) >>> 2] = WORKER_LOOKS;
  }
}

/** Address of request `number` (WORK_*). */
export function workAt(core: Core, pool: number, number: number): number {
  return (core.u32[(pool + POOL_REQUESTS) >>> 2] as number) + number * WORK_SIZE;
}

/** Address of what Worker `number` is doing (WORKER_*); 0: there are too many. */
export function workerAt(core: Core, pool: number, number: number): number {
  return number < REQUESTS ? workAt(core, pool, REQUESTS) + number * 4 : 0;
}
