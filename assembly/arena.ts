// Where clusters come from: 64 KiB pages, claimed and given back by any thread.
//
//   fresh: | next | end |    never used, all zeroes          free: | top | tag |   used before
//   A free cluster's first word is the number of the one below it on the stack.

import {
  ARENA_CLAIMED, ARENA_FREE, ARENA_FRESH, ARENA_LIMIT, CLUSTER_BYTES, CLUSTER_SHIFT,
} from "../src/layout";
import { add32, compareExchange32, load32, store32, sub32 } from "./atomics";

/** Returns the address of a zeroed cluster, or 0 if the arena is empty or at its limit. */
export function claim(arena: u32): u32 {
  if (!countClaim(arena)) return 0;
  let cluster = takeFree(arena);
  if (cluster != 0) {
    memory.fill(cluster << CLUSTER_SHIFT, 0, CLUSTER_BYTES);
    return cluster << CLUSTER_SHIFT;
  }
  cluster = takeFresh(arena);
  if (cluster == 0) sub32(arena, ARENA_CLAIMED, 1);
  return cluster << CLUSTER_SHIFT;
}

/** Gives a cluster back. No thread may still be using it. */
export function giveBack(arena: u32, address: u32): void {
  const cluster = address >>> CLUSTER_SHIFT;
  let old = load32(arena, ARENA_FREE);
  while (true) {
    store32(address, 0, old & 0xffff);
    // The tag counts up, so that a claim that read the link of an older top fails.
    const top = cluster | (((old >>> 16) + 1) << 16);
    const seen = compareExchange32(arena, ARENA_FREE, old, top);
    if (seen == old) break;
    old = seen;
  }
  sub32(arena, ARENA_CLAIMED, 1);
}

function countClaim(arena: u32): bool {
  const limit = load32(arena, ARENA_LIMIT);
  if (limit == 0) {
    add32(arena, ARENA_CLAIMED, 1);
    return true;
  }
  let claimed = load32(arena, ARENA_CLAIMED);
  while (claimed < limit) {
    const seen = compareExchange32(arena, ARENA_CLAIMED, claimed, claimed + 1);
    if (seen == claimed) return true;
    claimed = seen;
  }
  return false;
}

function takeFree(arena: u32): u32 {
  let old = load32(arena, ARENA_FREE);
  while (old & 0xffff) {
    const below = load32((old & 0xffff) << CLUSTER_SHIFT, 0) & 0xffff;
    const seen = compareExchange32(arena, ARENA_FREE, old, below | (((old >>> 16) + 1) << 16));
    if (seen == old) return old & 0xffff;
    old = seen;
  }
  return 0;
}

function takeFresh(arena: u32): u32 {
  let old = load32(arena, ARENA_FRESH);
  while ((old & 0xffff) < old >>> 16) {
    const seen = compareExchange32(arena, ARENA_FRESH, old, old + 1);
    if (seen == old) return old & 0xffff;
    old = seen;
  }
  return 0;
}
