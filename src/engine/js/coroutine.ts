/**
 * Coroutines that are to be entered (QEMU: util/async.c, aio_co_schedule): who has scheduled which,
 * and in which order they run.
 */

import {
  BH_SCHEDULED,
  CONTEXT_CO_GENERATION,
  CONTEXT_CO_LIST,
  CONTEXT_CO_READY,
  CONTEXT_CO_SLOT,
  CONTEXT_COROUTINES,
  COROUTINE_IDLE,
  COROUTINE_NEXT,
  COROUTINE_SCHEDULED,
  COROUTINE_SIZE,
} from '../../layout.ts';
import { compareExchange, exchange, load, store } from '../atomics.ts';
import { bhEnqueue } from './bottom-halves.ts';
import { push, turnRound } from './list.ts';

function placesOf(words: Int32Array, context: number): number {
  return words[(context + CONTEXT_COROUTINES) >>> 2]! >>> 0;
}

export function coSchedule(words: Int32Array, context: number, number: number, by: number): number {
  const address = placesOf(words, context) + number * COROUTINE_SIZE;
  const scheduled = address + COROUTINE_SCHEDULED;
  // Who gets it from idle pushes it, and nobody else (CO-1).
  if (compareExchange(words, scheduled, COROUTINE_IDLE, by) !== COROUTINE_IDLE) return -1;
  push(words, context + CONTEXT_CO_LIST, address, number);
  // Pushed, then scheduled: the run of the bottom half that this asks for comes upon it.
  const slot = words[(context + CONTEXT_CO_SLOT) >>> 2]!;
  const generation = words[(context + CONTEXT_CO_GENERATION) >>> 2]!;
  return Math.max(0, bhEnqueue(words, context, slot, generation, BH_SCHEDULED));
}

export function coTake(words: Int32Array, context: number): void {
  const newest = exchange(words, context + CONTEXT_CO_LIST, 0);
  if (newest === 0) return;
  const places = placesOf(words, context);
  const oldest = turnRound(words, places, newest);
  const ready = (context + CONTEXT_CO_READY) >>> 2;
  if (words[ready] === 0) {
    words[ready] = oldest;
    return;
  }
  // A nested poll goes on with what an outer one has left: find the end of it.
  let link = 0;
  for (let entry = words[ready]!; entry !== 0; entry = load(words, link)) {
    link = places + (entry - 1) * COROUTINE_SIZE + COROUTINE_NEXT;
  }
  store(words, link, oldest);
}

export function coNext(words: Int32Array, context: number): number {
  const ready = (context + CONTEXT_CO_READY) >>> 2;
  const entry = words[ready]!;
  if (entry === 0) return -1;
  const address = placesOf(words, context) + (entry - 1) * COROUTINE_SIZE;
  words[ready] = load(words, address + COROUTINE_NEXT);
  // Out of the list first: from here on anybody may schedule it, itself included (CO-13).
  store(words, address + COROUTINE_SCHEDULED, COROUTINE_IDLE);
  return entry - 1;
}
