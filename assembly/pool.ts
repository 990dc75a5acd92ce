// Blocking work for Workers (QEMU: util/thread-pool.c): one owner submits, cancels and reaps, any
// worker takes and is done. A request's state decides whose it is; the ring only says what to try.
//
//   FREE -> QUEUED -> ACTIVE -> DONE -> FREE        a cancelled one: QUEUED -> DONE
//
// The number of a cancelled request stays in the ring. When that request is submitted again before
// a worker came across the number, it needs no second one: so a ring with a place for each request
// never overflows.

import {
  BH_SCHEDULED, POOL_CAPACITY, POOL_CONTEXT, POOL_GENERATION, POOL_HEAD, POOL_IDLE, POOL_REQUESTS,
  POOL_RING, POOL_SLOT, POOL_TAIL, POOL_WAKE, WORK_ACTIVE, WORK_DONE, WORK_ENTRY, WORK_FREE,
  WORK_QUEUED, WORK_RESULT, WORK_SIZE, WORK_STATE,
} from "../src/layout";
import { bhEnqueue } from "./aio";
import { add32, compareExchange32, load32, store32 } from "./atomics";

// @ts-ignore: decorator
@inline
function requestAt(pool: u32, number: u32): u32 {
  return load<u32>(pool, POOL_REQUESTS) + number * WORK_SIZE;
}

/** Address of a place in the ring, whose index is free-running. */
// @ts-ignore: decorator
@inline
function entryAt(pool: u32, index: u32): u32 {
  return load<u32>(pool, POOL_RING) + ((index & (load<u32>(pool, POOL_CAPACITY) - 1)) << 2);
}

/** Owner: queues a request. 1: a worker waits, and POOL_WAKE was counted up for it. */
export function poolSubmit(pool: u32, number: u32): u32 {
  const request = requestAt(pool, number);
  // Before the look whether its number is still in the ring: a worker that comes across it from
  // there on takes it.
  store32(request, WORK_STATE, WORK_QUEUED);
  const tail = load32(pool, POOL_TAIL);
  const entry = load<u32>(request, WORK_ENTRY);
  const head = load32(pool, POOL_HEAD);
  if (entry - head >= tail - head || load32(entryAt(pool, entry), 0) != number) {
    store<u32>(request, tail, WORK_ENTRY);
    store32(entryAt(pool, tail), 0, number);
    store32(pool, POOL_TAIL, tail + 1);
  }
  // Pairs with a worker, which counts itself idle, reads POOL_WAKE and then looks for work.
  if (load32(pool, POOL_IDLE) == 0) return 0;
  add32(pool, POOL_WAKE, 1);
  return 1;
}

/** Worker: the oldest queued request is its own now. -1: there is none. */
export function poolTake(pool: u32): i32 {
  while (true) {
    // In this order: the tail is never behind the head that was read before it.
    const head = load32(pool, POOL_HEAD);
    if (head == load32(pool, POOL_TAIL)) return -1;
    const number = load32(entryAt(pool, head), 0);
    if (compareExchange32(pool, POOL_HEAD, head, head + 1) != head) continue;
    // A cancelled one is the owner's (TP-4).
    const state = requestAt(pool, number) + WORK_STATE;
    if (compareExchange32(state, 0, WORK_QUEUED, WORK_ACTIVE) == WORK_QUEUED) return number;
  }
}

/** Worker: the result first, then the state that says so (TP-2), then the owner is told. */
export function poolDone(pool: u32, number: u32, result: u32): u32 {
  const request = requestAt(pool, number);
  store32(request, WORK_RESULT, result);
  // From here on the request is the owner's.
  store32(request, WORK_STATE, WORK_DONE);
  const context = load<u32>(pool, POOL_CONTEXT);
  const slot = load<u32>(pool, POOL_SLOT);
  const generation = load<u32>(pool, POOL_GENERATION);
  return max(bhEnqueue(context, slot, generation, BH_SCHEDULED), 0);
}

/** Owner: takes a queued request back (TP-4). Nobody but the owner reads a result. */
export function poolCancel(pool: u32, number: u32, result: u32): u32 {
  const request = requestAt(pool, number);
  const state = request + WORK_STATE;
  if (compareExchange32(state, 0, WORK_QUEUED, WORK_DONE) != WORK_QUEUED) return 0;
  store32(request, WORK_RESULT, result);
  return 1;
}

/** Owner: frees the first request from `from` on that is done. Its words stay until it is used. */
export function poolReap(pool: u32, from: u32): i32 {
  const capacity = load<u32>(pool, POOL_CAPACITY);
  for (let number = from; number < capacity; ++number) {
    const request = requestAt(pool, number);
    if (load32(request, WORK_STATE) != WORK_DONE) continue;
    store32(request, WORK_STATE, WORK_FREE);
    return number;
  }
  return -1;
}
