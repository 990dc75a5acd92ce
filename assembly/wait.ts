// Who sleeps, who polls and who visits (QEMU: util/aio-posix.c, util/aio-wait.c). Each order here
// is half of a protocol; the other half is `notify` in aio.ts, or JavaScript's.

import {
  CONTEXT_DEPTH, CONTEXT_HOME, CONTEXT_MAIL_RECEIVED, CONTEXT_MAIL_SENT, CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME, CONTEXT_VISITS, CORE_HEADER_MAIN, CORE_HEADER_WAITERS, VISITS_CLOSED,
} from "../src/layout";
import { accept, notify } from "./aio";
import { add32, compareExchange32, load32, sub32 } from "./atomics";

/** Before a blocking wait (NT-2). 1: nothing was notified, so the thread may sleep. */
export function waitEnter(context: u32): u32 {
  // Before the look at notified: pairs with `notify`, which sets notified and then looks here.
  add32(context, CONTEXT_NOTIFY_ME, 2);
  return u32(load32(context, CONTEXT_NOTIFIED) == 0);
}

/** After it, before anything looks for work. */
export function waitLeave(context: u32): void {
  sub32(context, CONTEXT_NOTIFY_ME, 2);
  accept(context);
}

/** 0: the context is another thread's (NT-5). Home 0: anybody may poll (NT-12). */
export function pollBegin(context: u32, thread: u32): u32 {
  const home = load32(context, CONTEXT_HOME);
  if (home != 0 && home != thread) return 0;
  store<u32>(context, load<u32>(context, CONTEXT_DEPTH) + 1, CONTEXT_DEPTH);
  return 1;
}

/** How many polls are still going on. */
export function pollEnd(context: u32): u32 {
  const depth = load<u32>(context, CONTEXT_DEPTH) - 1;
  store<u32>(context, depth, CONTEXT_DEPTH);
  return depth;
}

/** Counts a visitor in, unless the context is closed (FD-5): then nothing is written. */
export function visitBegin(context: u32): u32 {
  let visits = load32(context, CONTEXT_VISITS);
  while (visits < <u32>VISITS_CLOSED) {
    const seen = compareExchange32(context, CONTEXT_VISITS, visits, visits + 1);
    if (seen == visits) return 1;
    visits = seen;
  }
  return 0;
}

export function visitEnd(context: u32): void {
  sub32(context, CONTEXT_VISITS, 1);
}

/** One step: nobody comes in between the look for visitors and the closing. */
export function visitClose(context: u32): u32 {
  return u32(compareExchange32(context, CONTEXT_VISITS, 0, VISITS_CLOSED) == 0);
}

/**
 * Tells main's context if somebody waits there (WT-1). The caller has changed the condition, by an
 * atomic step: pairs with the waiter, which counts itself and then reads the condition.
 */
export function waitKick(header: u32): u32 {
  if (load32(header, CORE_HEADER_WAITERS) == 0) return 0;
  const main = load32(header, CORE_HEADER_MAIN);
  if (main == 0) return 0;
  return notify(main) ? main : 0;
}

/** The count goes up before anybody is told: home stays in its JavaScript loop until it has all. */
export function mailSent(context: u32): u32 {
  add32(context, CONTEXT_MAIL_SENT, 1);
  return notify(context);
}

/** How many messages are still on their way. One may arrive before it is counted as sent. */
export function mailReceived(context: u32): u32 {
  const received = add32(context, CONTEXT_MAIL_RECEIVED, 1) + 1;
  const left = <i32>(load32(context, CONTEXT_MAIL_SENT) - received);
  return left < 0 ? 0 : left;
}
