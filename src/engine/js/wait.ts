/**
 * Who sleeps, who polls and who visits (QEMU: util/aio-posix.c, util/aio-wait.c). The other half of
 * each protocol is `notify`, or what is around these calls.
 */

import {
  CONTEXT_DEPTH,
  CONTEXT_HOME,
  CONTEXT_MAIL_RECEIVED,
  CONTEXT_MAIL_SENT,
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  CONTEXT_VISITS,
  CORE_HEADER_MAIN,
  CORE_HEADER_WAITERS,
  VISITS_CLOSED,
} from '../../layout.ts';
import { add, compareExchange, load, sub } from '../atomics.ts';
import { accept, notify } from './notify.ts';

/** 1 if the thread may sleep: notify_me is up, and nothing was notified before (NT-2). */
export function waitEnter(words: Int32Array, context: number): number {
  add(words, context + CONTEXT_NOTIFY_ME, 2);
  return load(words, context + CONTEXT_NOTIFIED) === 0 ? 1 : 0;
}

export function waitLeave(words: Int32Array, context: number): void {
  sub(words, context + CONTEXT_NOTIFY_ME, 2);
  accept(words, context);
}

/** Refuses a thread that is not the context's home (NT-5), if it has one (NT-12). */
export function pollBegin(words: Int32Array, context: number, thread: number): number {
  const home = load(words, context + CONTEXT_HOME);
  if (home !== 0 && home !== thread) return 0;
  words[(context + CONTEXT_DEPTH) >>> 2]! += 1;
  return 1;
}

export function pollEnd(words: Int32Array, context: number): number {
  const at = (context + CONTEXT_DEPTH) >>> 2;
  words[at]! -= 1;
  return words[at]!;
}

/** One visitor more, unless the context is closed: then not a word is written (FD-5). */
export function visitBegin(words: Int32Array, context: number): number {
  const at = context + CONTEXT_VISITS;
  for (;;) {
    const visits = load(words, at);
    if (visits >= VISITS_CLOSED) return 0;
    if (compareExchange(words, at, visits, visits + 1) === visits) return 1;
  }
}

export function visitEnd(words: Int32Array, context: number): void {
  sub(words, context + CONTEXT_VISITS, 1);
}

/** Looks and closes in one step. */
export function visitClose(words: Int32Array, context: number): number {
  return compareExchange(words, context + CONTEXT_VISITS, 0, VISITS_CLOSED) === 0 ? 1 : 0;
}

/**
 * The condition was changed before, atomically; the waiter counts itself before it reads it: one of
 * both sees the other (WT-1).
 */
export function waitKick(words: Int32Array, header: number): number {
  if (load(words, header + CORE_HEADER_WAITERS) === 0) return 0;
  const main = load(words, header + CORE_HEADER_MAIN) >>> 0;
  if (main === 0) return 0;
  return notify(words, main) === 0 ? 0 : main | 0;
}

export function mailSent(words: Int32Array, context: number): number {
  add(words, context + CONTEXT_MAIL_SENT, 1);
  return notify(words, context);
}

/** A message may arrive before its sender has counted it: never less than none are missing. */
export function mailReceived(words: Int32Array, context: number): number {
  const received = add(words, context + CONTEXT_MAIL_RECEIVED, 1) + 1;
  return Math.max(0, (load(words, context + CONTEXT_MAIL_SENT) - received) | 0);
}
