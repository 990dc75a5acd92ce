/**
 * Drained sections over several backends, and the wait in all of them. Main thread.
 *
 * A section is begun by everybody concerned before anybody is waited for: what one disk still does
 * may be work for another (BB-13). QEMU: `bdrv_drain_all_begin`, `AIO_WAIT_WHILE`.
 */

import type { AioContext } from '../aio/context.ts';

/** What can be drained: a backend, or whatever holds several of them. */
export interface Drainable {
  drainedBegin(): void;
  /** Is something still going on? Only inside a section does the answer last. */
  drainedPoll(): boolean;
  idle(): Promise<void>;
  drainedEnd(): void;
}

interface Waiter {
  busy(): boolean;
  resolve(): void;
}

let waiters: Waiter[] = [];

/**
 * Resolves when `busy` says no. It is asked whenever somebody has left a closed gate (L9: each that
 * leaves says so), or has called `lookAgain` for reasons of its own. The process lives until then:
 * what another thread does would not keep it.
 */
export async function untilQuiet(context: AioContext, busy: () => boolean): Promise<void> {
  if (!busy()) return;
  context.ref();
  try {
    await new Promise<void>((resolve) => waiters.push({ busy, resolve }));
  } finally {
    context.unref();
  }
}

/** Something has come to rest: those who wait look again. */
export function lookAgain(): void {
  if (waiters.length === 0) return;
  const quiet = waiters.filter((waiter) => !waiter.busy());
  if (quiet.length === 0) return;
  waiters = waiters.filter((waiter) => !quiet.includes(waiter));
  for (const waiter of quiet) waiter.resolve();
}

/** Begins a section of all of them, and resolves when nothing is in flight in any. Nests. */
export async function drainAllBegin(all: Iterable<Drainable>): Promise<void> {
  const list = [...all];
  for (const one of list) one.drainedBegin();
  // Who ends first may have left work to another, which had been looked at already.
  while (list.some((one) => one.drainedPoll())) {
    for (const one of list) await one.idle();
  }
}

/** The pair of `drainAllBegin`, for the same ones. Never waits. */
export function drainAllEnd(all: Iterable<Drainable>): void {
  for (const one of [...all].reverse()) one.drainedEnd();
}

/** Runs `step` while nothing is in flight in any of them. */
export async function drainedAll<T>(
  all: Iterable<Drainable>,
  step: () => T | Promise<T>,
): Promise<T> {
  const list = [...all];
  try {
    await drainAllBegin(list);
    return await step();
  } finally {
    drainAllEnd(list);
  }
}
