/**
 * Feeds cluster arenas (`layout.ts`) with 64 KiB pages, on any thread. Engines and other feeders
 * change an arena's words meanwhile, all by compare-and-swap; to drain one is main's.
 */

import { ARENA_FREE, ARENA_FRESH, CLUSTER_BYTES } from '../layout.ts';

/** A view of all memory, of at least `bytes`: another thread may have grown it a moment ago. */
export type ViewUpTo = (bytes: number) => Uint32Array;

/**
 * Adds the never-used clusters `first` up to `end` to the arena. What was left of its fresh range
 * goes to the free stack, unless the new range continues it: who swaps a range out, owner or not,
 * has it for himself.
 */
export function feedArena(view: ViewUpTo, arena: number, first: number, end: number): void {
  const u32 = view(end * CLUSTER_BYTES);
  const fresh = (arena + ARENA_FRESH) >>> 2;
  for (;;) {
    const old = Atomics.load(u32, fresh);
    const [next, limit] = [old & 0xffff, old >>> 16];
    const continued = next < limit && limit === first;
    const range = ((continued ? next : first) | (end << 16)) >>> 0;
    if (Atomics.compareExchange(u32, fresh, old, range) !== old) continue;
    if (!continued) for (let number = next; number < limit; number++) push(view, arena, number);
    return;
  }
}

/** Puts a cluster on the arena's free stack. Its contents need not be zero. */
export function push(view: ViewUpTo, arena: number, cluster: number): void {
  const u32 = view((cluster + 1) * CLUSTER_BYTES);
  const stack = (arena + ARENA_FREE) >>> 2;
  for (;;) {
    const old = Atomics.load(u32, stack);
    Atomics.store(u32, (cluster * CLUSTER_BYTES) >>> 2, old & 0xffff);
    // The tag above the number counts up, so that a claim that read an old link fails.
    const top = (cluster | (((old >>> 16) + 1) << 16)) >>> 0;
    if (Atomics.compareExchange(u32, stack, old, top) === old) return;
  }
}

/** Takes a cluster from the arena's free stack; 0: it is empty. Pairs with `push`. */
export function pop(view: ViewUpTo, arena: number): number {
  const stack = (arena + ARENA_FREE) >>> 2;
  for (;;) {
    const old = Atomics.load(view(0), stack);
    const cluster = old & 0xffff;
    if (cluster === 0) return 0;
    const u32 = view((cluster + 1) * CLUSTER_BYTES);
    // Who has taken it meanwhile may have written there: then the tag is another one.
    const next = Atomics.load(u32, (cluster * CLUSTER_BYTES) >>> 2) & 0xffff;
    const top = (next | (((old >>> 16) + 1) << 16)) >>> 0;
    if (Atomics.compareExchange(u32, stack, old, top) === old) return cluster;
  }
}

/** Takes all unclaimed clusters away from an arena that no engine uses any more. */
export function drainArena(view: ViewUpTo, arena: number): number[] {
  const u32 = view(0);
  const clusters: number[] = [];
  const fresh = Atomics.exchange(u32, (arena + ARENA_FRESH) >>> 2, 0);
  for (let number = fresh & 0xffff; number < fresh >>> 16; number++) clusters.push(number);
  let top = Atomics.exchange(u32, (arena + ARENA_FREE) >>> 2, 0) & 0xffff;
  while (top !== 0) {
    clusters.push(top);
    top = (view((top + 1) * CLUSTER_BYTES)[(top * CLUSTER_BYTES) >>> 2] as number) & 0xffff;
  }
  return clusters;
}
