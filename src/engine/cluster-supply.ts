/**
 * Feeds cluster arenas (`layout.ts`) with 64 KiB pages. The engines, on any thread, claim clusters
 * by compare-and-swap meanwhile; so main, too, changes an arena's words only in that way.
 */

import { ARENA_FREE, ARENA_FRESH, CLUSTER_BYTES } from '../layout.ts';

/**
 * Adds the never-used clusters `first` up to `end` to the arena. What was left of its fresh range
 * goes to the free stack, unless the new range continues it. `u32` is a view of all memory.
 */
export function feedArena(u32: Uint32Array, arena: number, first: number, end: number): void {
  const fresh = (arena + ARENA_FRESH) >>> 2;
  for (;;) {
    const old = Atomics.load(u32, fresh);
    const [next, limit] = [old & 0xffff, old >>> 16];
    const continued = next < limit && limit === first;
    const range = ((continued ? next : first) | (end << 16)) >>> 0;
    if (Atomics.compareExchange(u32, fresh, old, range) !== old) continue;
    if (!continued) for (let number = next; number < limit; number++) push(u32, arena, number);
    return;
  }
}

/** Puts a cluster on the arena's free stack. Its contents need not be zero. */
export function push(u32: Uint32Array, arena: number, cluster: number): void {
  const stack = (arena + ARENA_FREE) >>> 2;
  for (;;) {
    const old = Atomics.load(u32, stack);
    Atomics.store(u32, (cluster * CLUSTER_BYTES) >>> 2, old & 0xffff);
    // The tag above the number counts up, so that a claim that read an old link fails.
    const top = (cluster | (((old >>> 16) + 1) << 16)) >>> 0;
    if (Atomics.compareExchange(u32, stack, old, top) === old) return;
  }
}

/** Takes all unclaimed clusters away from an arena that no engine uses any more. */
export function drainArena(u32: Uint32Array, arena: number): number[] {
  const clusters: number[] = [];
  const fresh = Atomics.exchange(u32, (arena + ARENA_FRESH) >>> 2, 0);
  for (let number = fresh & 0xffff; number < fresh >>> 16; number++) clusters.push(number);
  let top = Atomics.exchange(u32, (arena + ARENA_FREE) >>> 2, 0) & 0xffff;
  for (; top !== 0; top = (u32[(top * CLUSTER_BYTES) >>> 2] as number) & 0xffff) clusters.push(top);
  return clusters;
}
