/**
 * Where clusters come from. Any thread may claim; only who knows that no other thread is inside the
 * disk may give back. A claimed cluster is all zeroes.
 */

import {
  ARENA_CLAIMED,
  ARENA_FREE,
  ARENA_FRESH,
  ARENA_LIMIT,
  CLUSTER_BYTES,
  CLUSTER_SHIFT,
} from '../../layout.ts';
import { add, compareExchange, load, store, sub } from '../atomics.ts';
import type { Views } from './views.ts';

/** Address of a cluster, or 0 if the arena is empty or its limit is reached. */
export function claim(v: Views, arena: number): number {
  if (!countClaim(v.i32, arena)) return 0;
  const returned = popFree(v, arena);
  if (returned !== 0) {
    v.u8.fill(0, returned, returned + CLUSTER_BYTES);
    return returned;
  }
  const fresh = takeFresh(v.i32, arena);
  if (fresh === 0) sub(v.i32, arena + ARENA_CLAIMED, 1);
  return fresh;
}

/** Counts one more claimed, unless the limit is reached: never beyond it, not even for a moment. */
function countClaim(words: Int32Array, arena: number): boolean {
  const limit = load(words, arena + ARENA_LIMIT) >>> 0;
  if (limit === 0) {
    add(words, arena + ARENA_CLAIMED, 1);
    return true;
  }
  for (;;) {
    const claimed = load(words, arena + ARENA_CLAIMED);
    if (claimed >>> 0 >= limit) return false;
    if (compareExchange(words, arena + ARENA_CLAIMED, claimed, claimed + 1) === claimed)
      return true;
  }
}

/** Returns a cluster. */
export function giveBack(v: Views, arena: number, cluster: number): void {
  const words = v.i32;
  for (;;) {
    const free = load(words, arena + ARENA_FREE);
    store(words, cluster, free & 0xffff);
    const top = (cluster >>> CLUSTER_SHIFT) | nextTag(free);
    if (compareExchange(words, arena + ARENA_FREE, free, top) === free) break;
  }
  sub(words, arena + ARENA_CLAIMED, 1);
}

/** The tag keeps a stack that was popped and pushed meanwhile from looking unchanged. */
function nextTag(free: number): number {
  return ((free >>> 16) + 1) << 16;
}

function popFree(v: Views, arena: number): number {
  for (;;) {
    const free = load(v.i32, arena + ARENA_FREE);
    if ((free & 0xffff) === 0) return 0;
    const cluster = (free << CLUSTER_SHIFT) >>> 0;
    const words = v.upTo(cluster + CLUSTER_BYTES).i32;
    // Another thread may pop it here and write on it: then the tag has moved, and the swap fails.
    const next = load(words, cluster) & 0xffff;
    const top = next | nextTag(free);
    if (compareExchange(words, arena + ARENA_FREE, free, top) === free) return cluster;
  }
}

/** Clusters from memory that was never used are zero already. */
function takeFresh(words: Int32Array, arena: number): number {
  for (;;) {
    const range = load(words, arena + ARENA_FRESH);
    const next = range & 0xffff;
    if (next >= range >>> 16) return 0;
    if (compareExchange(words, arena + ARENA_FRESH, range, range + 1) === range) {
      return (next << CLUSTER_SHIFT) >>> 0;
    }
  }
}
