// Event loop words: the list of bottom halves, and who must be woken (QEMU: util/async.c). The
// callbacks are JavaScript's; here are only the steps whose order matters. All words are atomic but
// READY_HEAD and READY_TAIL, which are the home thread's.
//
//   any thread:  list -> newest -> ... -> oldest          home: head -> oldest -> ... <- tail

import {
  BH_DELETED, BH_FLAGS_MASK, BH_GENERATION_SHIFT, BH_IDLE, BH_ONESHOT, BH_PENDING, BH_SCHEDULED,
  CONTEXT_BH_LIST, CONTEXT_NOTIFIED, CONTEXT_NOTIFY_ME, CONTEXT_READY_HEAD, CONTEXT_READY_TAIL,
  CONTEXT_SLOTS, NOTIFIER_FLAG, NOTIFIER_WATCHER, SLOT_FLAGS, SLOT_NEXT, SLOT_SIZE,
} from "../src/layout";
import { and32, compareExchange32, exchange32, load32, or32, store32 } from "./atomics";
import { push, turnRound } from "./list";

const GENERATION_MASK = 0xffffff;

// @ts-ignore: decorator
@inline
function slotAt(context: u32, slot: u32): u32 {
  return load<u32>(context, CONTEXT_SLOTS) + slot * SLOT_SIZE;
}

// @ts-ignore: decorator
@inline
function isStale(flags: u32, generation: u32): bool {
  return flags >>> BH_GENERATION_SHIFT != (generation & GENERATION_MASK);
}

/** Schedules a slot, then notifies, whether it was pending or not (BH-1). -1: stale. */
export function bhEnqueue(context: u32, slot: u32, generation: u32, flags: u32): i32 {
  const at = slotAt(context, slot);
  // A normal schedule takes the idle mark from one that is pending (BH-12).
  const keep = flags & BH_SCHEDULED && !(flags & BH_IDLE) ? ~(<u32>BH_IDLE) : u32.MAX_VALUE;
  let old = load32(at, SLOT_FLAGS);
  while (true) {
    if (isStale(old, generation)) return -1;
    const seen = compareExchange32(at, SLOT_FLAGS, old, (old & keep) | flags | BH_PENDING);
    if (seen == old) break;
    old = seen;
  }
  // After the push the callback may run and free the slot: it is not touched again.
  // Only the thread that set PENDING pushes, so a slot is in one list once.
  if (!(old & BH_PENDING)) push(context + CONTEXT_BH_LIST, at, slot + 1);
  return notify(context);
}

/** Clears SCHEDULED; the slot stays where it is and is dropped when its turn comes (BH-5). */
export function bhCancel(context: u32, slot: u32, generation: u32): void {
  const at = slotAt(context, slot);
  let old = load32(at, SLOT_FLAGS);
  while (!isStale(old, generation)) {
    const seen = compareExchange32(at, SLOT_FLAGS, old, old & ~(<u32>BH_SCHEDULED));
    if (seen == old) return;
    old = seen;
  }
}

/** Moves the whole list, turned round, behind what is ready already (BH-4, BH-8, BH-10). */
export function bhTake(context: u32): void {
  const newest = exchange32(context, CONTEXT_BH_LIST, 0);
  if (newest == 0) return;
  const oldest = turnRound(load<u32>(context, CONTEXT_SLOTS), newest);
  const tail = load<u32>(context, CONTEXT_READY_TAIL);
  if (tail == 0) store<u32>(context, oldest, CONTEXT_READY_HEAD);
  else store32(slotAt(context, tail - 1), SLOT_NEXT, oldest);
  store<u32>(context, newest, CONTEXT_READY_TAIL);
}

/** Unlinks the first ready slot, and only then clears its flags (BH-2). */
export function bhNext(context: u32): i32 {
  const link = load<u32>(context, CONTEXT_READY_HEAD);
  if (link == 0) return -1;
  const at = slotAt(context, link - 1);
  const next = load32(at, SLOT_NEXT);
  store<u32>(context, next, CONTEXT_READY_HEAD);
  if (next == 0) store<u32>(context, 0, CONTEXT_READY_TAIL);
  return <i32>((link - 1) | ((clearFlags(at) & BH_FLAGS_MASK) << 16));
}

/** Ends the pending run; the slot of a deleted or oneshot one is free, its handles stale. */
function clearFlags(at: u32): u32 {
  let old = load32(at, SLOT_FLAGS);
  while (true) {
    const free = (old & (BH_DELETED | BH_ONESHOT)) != 0;
    const next = free
      ? ((old >>> BH_GENERATION_SHIFT) + 1) << BH_GENERATION_SHIFT
      : old & ~(<u32>(BH_PENDING | BH_SCHEDULED | BH_IDLE));
    const seen = compareExchange32(at, SLOT_FLAGS, old, next);
    if (seen == old) return old;
    old = seen;
  }
}

/** 0: nothing to run, 1: only idle ones, 2: at least one at once. */
export function bhPending(context: u32): u32 {
  return max(
    pendingFrom(context, load<u32>(context, CONTEXT_READY_HEAD)),
    pendingFrom(context, load32(context, CONTEXT_BH_LIST)),
  );
}

function pendingFrom(context: u32, link: u32): u32 {
  let result: u32 = 0;
  while (link != 0) {
    const at = slotAt(context, link - 1);
    const flags = load32(at, SLOT_FLAGS);
    if ((flags & (BH_SCHEDULED | BH_DELETED)) == BH_SCHEDULED) {
      if (!(flags & BH_IDLE)) return 2;
      result = 1;
    }
    link = load32(at, SLOT_NEXT);
  }
  return result;
}

/** Pairs with the sleeper, which sets notify_me and then reads notified (NT-1). */
export function notify(context: u32): u32 {
  store32(context, CONTEXT_NOTIFIED, 1);
  return u32(load32(context, CONTEXT_NOTIFY_ME) != 0);
}

export function accept(context: u32): void {
  store32(context, CONTEXT_NOTIFIED, 0);
}

export function prepare(context: u32): void {
  or32(context, CONTEXT_NOTIFY_ME, 1);
}

export function check(context: u32): void {
  and32(context, CONTEXT_NOTIFY_ME, ~(<u32>1));
  accept(context);
}

/** The flag is set before the watcher is read: pairs with attach, which sets the watcher and then
 * kicks itself (NT-9). */
export function notifierSet(notifier: u32): u32 {
  store32(notifier, NOTIFIER_FLAG, 1);
  const watcher = load32(notifier, NOTIFIER_WATCHER);
  return watcher == 0 ? 0 : notify(watcher);
}

export function notifierTestAndClear(notifier: u32): u32 {
  return u32(exchange32(notifier, NOTIFIER_FLAG, 0) != 0);
}

/** Whom to notify from now on. Who attaches sets the notifier afterwards (HN-8). */
export function notifierWatch(notifier: u32, context: u32): void {
  store32(notifier, NOTIFIER_WATCHER, context);
}
