// Coroutines that are to be entered (QEMU: util/async.c, aio_co_schedule, co_schedule_bh_cb). The
// coroutines are JavaScript's; here is who has scheduled which, and in which order they run.

import {
  BH_SCHEDULED, CONTEXT_COROUTINES, CONTEXT_CO_GENERATION, CONTEXT_CO_LIST, CONTEXT_CO_READY,
  CONTEXT_CO_SLOT, COROUTINE_IDLE, COROUTINE_NEXT, COROUTINE_SCHEDULED, COROUTINE_SIZE,
} from "../src/layout";
import { bhEnqueue } from "./aio";
import { compareExchange32, exchange32, load32, store32 } from "./atomics";
import { push, turnRound } from "./list";

// @ts-ignore: decorator
@inline
function placeOf(context: u32, number: u32): u32 {
  return load<u32>(context, CONTEXT_COROUTINES) + number * COROUTINE_SIZE;
}

/** Schedules a coroutine that nobody has scheduled (CO-1). 1: wake, 0: no need, -1: refused. */
export function coSchedule(context: u32, number: u32, by: u32): i32 {
  const at = placeOf(context, number);
  // One step, so that of two threads one is refused, and the place is in one list once.
  if (compareExchange32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE, by) != COROUTINE_IDLE) return -1;
  push(context + CONTEXT_CO_LIST, at, number + 1);
  // After the push: the bottom half that runs for this schedule finds the coroutine.
  const slot = load<u32>(context, CONTEXT_CO_SLOT);
  const generation = load<u32>(context, CONTEXT_CO_GENERATION);
  return max(bhEnqueue(context, slot, generation, BH_SCHEDULED), 0);
}

/** Moves what is scheduled, oldest first (CO-5), behind what is ready already. */
export function coTake(context: u32): void {
  const newest = exchange32(context, CONTEXT_CO_LIST, 0);
  if (newest == 0) return;
  const oldest = turnRound(load<u32>(context, CONTEXT_COROUTINES), newest);
  let link = load<u32>(context, CONTEXT_CO_READY);
  if (link == 0) {
    store<u32>(context, oldest, CONTEXT_CO_READY);
    return;
  }
  // There are few: a nested poll came upon what an outer one has left.
  let last: u32 = 0;
  while (link != 0) {
    last = placeOf(context, link - 1);
    link = load32(last, COROUTINE_NEXT);
  }
  store32(last, COROUTINE_NEXT, oldest);
}

/** Unlinks the first ready one, and only then lets it be scheduled again (CO-13). */
export function coNext(context: u32): i32 {
  const link = load<u32>(context, CONTEXT_CO_READY);
  if (link == 0) return -1;
  const at = placeOf(context, link - 1);
  store<u32>(context, load32(at, COROUTINE_NEXT), CONTEXT_CO_READY);
  store32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE);
  return link - 1;
}
