/**
 * Blocking work for Workers (QEMU: util/thread-pool.c). The state of a request says whose it is;
 * the ring only names requests to try. A cancelled one's number stays there, and serves again if
 * that request is submitted again before a worker has come across it: the ring never holds a number
 * twice.
 */

import {
  BH_SCHEDULED,
  POOL_CAPACITY,
  POOL_CONTEXT,
  POOL_GENERATION,
  POOL_HEAD,
  POOL_IDLE,
  POOL_REQUESTS,
  POOL_RING,
  POOL_SLOT,
  POOL_TAIL,
  POOL_WAKE,
  WORK_ACTIVE,
  WORK_DONE,
  WORK_ENTRY,
  WORK_FREE,
  WORK_QUEUED,
  WORK_RESULT,
  WORK_SIZE,
  WORK_STATE,
} from '../../layout.ts';
import { add, compareExchange, load, store } from '../atomics.ts';
import { bhEnqueue } from './bottom-halves.ts';

function requestAt(words: Int32Array, pool: number, number: number): number {
  return (words[(pool + POOL_REQUESTS) >>> 2]! >>> 0) + number * WORK_SIZE;
}

/** Address of the ring's place with the free-running index `index`. */
function entryAt(words: Int32Array, pool: number, index: number): number {
  const mask = words[(pool + POOL_CAPACITY) >>> 2]! - 1;
  return (words[(pool + POOL_RING) >>> 2]! >>> 0) + (index & mask) * 4;
}

export function poolSubmit(words: Int32Array, pool: number, number: number): number {
  const request = requestAt(words, pool, number);
  // Queued before the look at the ring: a worker that finds the old number from there on takes it.
  store(words, request + WORK_STATE, WORK_QUEUED);
  const tail = load(words, pool + POOL_TAIL);
  if (!isInRing(words, pool, tail, number)) {
    words[(request + WORK_ENTRY) >>> 2] = tail;
    store(words, entryAt(words, pool, tail), number);
    store(words, pool + POOL_TAIL, tail + 1);
  }
  // A worker counts itself idle, reads the wake word, and looks once more before it waits.
  if (load(words, pool + POOL_IDLE) === 0) return 0;
  add(words, pool + POOL_WAKE, 1);
  return 1;
}

/** Is the number of a cancelled request where it was put, with no worker past it? */
function isInRing(words: Int32Array, pool: number, tail: number, number: number): boolean {
  const entry = words[(requestAt(words, pool, number) + WORK_ENTRY) >>> 2]!;
  const head = load(words, pool + POOL_HEAD);
  if ((entry - head) >>> 0 >= (tail - head) >>> 0) return false;
  return load(words, entryAt(words, pool, entry)) === number;
}

export function poolTake(words: Int32Array, pool: number): number {
  for (;;) {
    // Head before tail: so the tail is never behind.
    const head = load(words, pool + POOL_HEAD);
    if (load(words, pool + POOL_TAIL) === head) return -1;
    const number = load(words, entryAt(words, pool, head));
    if (compareExchange(words, pool + POOL_HEAD, head, (head + 1) | 0) !== head) continue;
    // What is not queued any more was cancelled (TP-4).
    const state = requestAt(words, pool, number) + WORK_STATE;
    if (compareExchange(words, state, WORK_QUEUED, WORK_ACTIVE) === WORK_QUEUED) return number;
  }
}

/** Whoever sees DONE may read the result (TP-2). */
export function poolDone(words: Int32Array, pool: number, number: number, result: number): number {
  const request = requestAt(words, pool, number);
  store(words, request + WORK_RESULT, result);
  store(words, request + WORK_STATE, WORK_DONE);
  const context = words[(pool + POOL_CONTEXT) >>> 2]! >>> 0;
  const slot = words[(pool + POOL_SLOT) >>> 2]!;
  const generation = words[(pool + POOL_GENERATION) >>> 2]!;
  return Math.max(0, bhEnqueue(words, context, slot, generation, BH_SCHEDULED));
}

export function poolCancel(
  words: Int32Array,
  pool: number,
  number: number,
  result: number,
): number {
  const request = requestAt(words, pool, number);
  const state = request + WORK_STATE;
  if (compareExchange(words, state, WORK_QUEUED, WORK_DONE) !== WORK_QUEUED) return 0;
  store(words, request + WORK_RESULT, result);
  return 1;
}

export function poolReap(words: Int32Array, pool: number, from: number): number {
  const capacity = words[(pool + POOL_CAPACITY) >>> 2]!;
  for (let number = from; number < capacity; number++) {
    const state = requestAt(words, pool, number) + WORK_STATE;
    if (load(words, state) !== WORK_DONE) continue;
    store(words, state, WORK_FREE);
    return number;
  }
  return -1;
}
