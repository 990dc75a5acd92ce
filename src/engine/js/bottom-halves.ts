/**
 * Bottom-half lists and notify words (QEMU: util/async.c). Plain functions over atomics.ts, so that
 * an exploration may run them one atomic step at a time.
 */

import {
  BH_DELETED,
  BH_FLAGS_MASK,
  BH_GENERATION_SHIFT,
  BH_IDLE,
  BH_ONESHOT,
  BH_PENDING,
  BH_SCHEDULED,
  CONTEXT_BH_LIST,
  CONTEXT_READY_HEAD,
  CONTEXT_READY_TAIL,
  CONTEXT_SLOTS,
  SLOT_FLAGS,
  SLOT_NEXT,
  SLOT_SIZE,
} from '../../layout.ts';
import { compareExchange, exchange, load, store } from '../atomics.ts';
import { push, turnRound } from './list.ts';
import { notify } from './notify.ts';

/** Address of a slot. A context's slots stay where they are for its life. */
function slotAt(words: Int32Array, context: number, slot: number): number {
  return (words[(context + CONTEXT_SLOTS) >>> 2]! >>> 0) + slot * SLOT_SIZE;
}

const GENERATION_MASK = 0xffffffff >>> BH_GENERATION_SHIFT;

/** The generation in a slot's flag word. */
function generationOf(flags: number): number {
  return flags >>> BH_GENERATION_SHIFT;
}

export function bhEnqueue(
  words: Int32Array,
  context: number,
  slot: number,
  generation: number,
  flags: number,
): number {
  const address = slotAt(words, context, slot);
  // A run that is wanted at once makes an idle one no longer idle (BH-12).
  const clear = (flags & (BH_SCHEDULED | BH_IDLE)) === BH_SCHEDULED ? BH_IDLE : 0;
  const old = change(words, address + SLOT_FLAGS, generation, clear, flags | BH_PENDING);
  if (old < 0) return -1;
  if ((old & BH_PENDING) === 0) push(words, context + CONTEXT_BH_LIST, address, slot);
  // The slot may be gone by now: its callback may have run and deleted it (BH-1).
  return notify(words, context);
}

/** Replaces `clear` by `set` in the slot's flags. Returns the old flags, or -1 if stale. */
function change(
  words: Int32Array,
  address: number,
  generation: number,
  clear: number,
  set: number,
): number {
  for (;;) {
    const old = load(words, address);
    if (generationOf(old) !== (generation & GENERATION_MASK)) return -1;
    if (compareExchange(words, address, old, (old & ~clear) | set) === old) {
      return old & BH_FLAGS_MASK;
    }
  }
}

export function bhCancel(
  words: Int32Array,
  context: number,
  slot: number,
  generation: number,
): void {
  change(words, slotAt(words, context, slot) + SLOT_FLAGS, generation, BH_SCHEDULED, 0);
}

export function bhTake(words: Int32Array, context: number): void {
  const newest = exchange(words, context + CONTEXT_BH_LIST, 0);
  if (newest === 0) return;
  const places = words[(context + CONTEXT_SLOTS) >>> 2]! >>> 0;
  const oldest = turnRound(words, places, newest);
  const tail = words[(context + CONTEXT_READY_TAIL) >>> 2]!;
  if (tail === 0) words[(context + CONTEXT_READY_HEAD) >>> 2] = oldest;
  else store(words, slotAt(words, context, tail - 1) + SLOT_NEXT, oldest);
  words[(context + CONTEXT_READY_TAIL) >>> 2] = newest;
}

export function bhNext(words: Int32Array, context: number): number {
  const entry = words[(context + CONTEXT_READY_HEAD) >>> 2]!;
  if (entry === 0) return -1;
  const address = slotAt(words, context, entry - 1);
  const next = load(words, address + SLOT_NEXT);
  words[(context + CONTEXT_READY_HEAD) >>> 2] = next;
  if (next === 0) words[(context + CONTEXT_READY_TAIL) >>> 2] = 0;
  // Out of the queue first, then no longer pending: a schedule from here on is a new run (BH-2).
  return entry - 1 + (leave(words, address + SLOT_FLAGS) << 16);
}

/** Clears what a dequeued slot no longer is; one that ends is freed. Returns the old flags. */
function leave(words: Int32Array, address: number): number {
  for (;;) {
    const old = load(words, address);
    const ends = (old & (BH_DELETED | BH_ONESHOT)) !== 0;
    const next = ends
      ? (generationOf(old) + 1) << BH_GENERATION_SHIFT
      : old & ~(BH_PENDING | BH_SCHEDULED | BH_IDLE);
    if (compareExchange(words, address, old, next) === old) return old & BH_FLAGS_MASK;
  }
}

export function bhPending(words: Int32Array, context: number): number {
  const ready = urgency(words, context, words[(context + CONTEXT_READY_HEAD) >>> 2]!);
  if (ready === 2) return 2;
  return Math.max(ready, urgency(words, context, load(words, context + CONTEXT_BH_LIST)));
}

/** 2 if a slot of the list is to run at once, 1 if only idle ones are to run, else 0. */
function urgency(words: Int32Array, context: number, entry: number): number {
  let found = 0;
  while (entry !== 0) {
    const address = slotAt(words, context, entry - 1);
    const flags = load(words, address + SLOT_FLAGS);
    if ((flags & (BH_SCHEDULED | BH_DELETED)) === BH_SCHEDULED) {
      if ((flags & BH_IDLE) === 0) return 2;
      found = 1;
    }
    entry = load(words, address + SLOT_NEXT);
  }
  return found;
}
