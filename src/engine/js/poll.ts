/**
 * The handlers of a context: which notifier is set, and busy polling over all flags and rings
 * (QEMU: util/aio-posix.c). The places are home's alone and stay as they are during a call.
 */

import {
  CONTEXT_HANDLER_END,
  CONTEXT_HANDLERS,
  CONTEXT_NOTIFIED,
  HANDLER_F_POLLED,
  HANDLER_FLAGS,
  HANDLER_NOTIFIER,
  HANDLER_QUEUE,
  HANDLER_SIZE,
  NOTIFIER_FLAG,
} from '../../layout.ts';
import { exchange, load } from '../atomics.ts';
import { SPIN_NOTHING, SPIN_NOTIFIED } from '../engine.ts';
import { queueEmpty } from './queue.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const WORDS = HANDLER_SIZE >>> 2;
const FLAGS = HANDLER_FLAGS >>> 2;
const NOTIFIER = HANDLER_NOTIFIER >>> 2;
const QUEUE = HANDLER_QUEUE >>> 2;
const POLLED = HANDLER_F_POLLED;

/** Word index of the first place, and one past the last in use. */
function firstOf(v: Views, context: number): number {
  return v.u32[(context + CONTEXT_HANDLERS) >>> 2]! >>> 2;
}

function endOf(v: Views, context: number): number {
  return firstOf(v, context) + v.u32[(context + CONTEXT_HANDLER_END) >>> 2]! * WORDS;
}

/** The flag is cleared before the handler is called: a set from then on is another one (NT-9). */
export function handlerReady(v: Views, context: number, from: number): number {
  const first = firstOf(v, context);
  const end = endOf(v, context);
  for (let at = first + from * WORDS; at < end; at += WORDS) {
    const notifier = v.u32[at + NOTIFIER]!;
    if (notifier === 0 || load(v.i32, notifier + NOTIFIER_FLAG) === 0) continue;
    if (exchange(v.i32, notifier + NOTIFIER_FLAG, 0) !== 0) return (at - first) / WORDS;
  }
  return -1;
}

export function handlerPending(v: Views, context: number): number {
  const end = endOf(v, context);
  for (let at = firstOf(v, context); at < end; at += WORDS) {
    const notifier = v.u32[at + NOTIFIER]!;
    if (notifier !== 0 && load(v.i32, notifier + NOTIFIER_FLAG) !== 0) return 1;
  }
  return 0;
}

export function pollSpin(v: Views, context: number, rounds: number): number {
  const u32 = v.u32;
  const first = firstOf(v, context);
  const end = endOf(v, context);
  for (let left = rounds >>> 0; left > 0; left--) {
    if (load(v.i32, context + CONTEXT_NOTIFIED) !== 0) return SPIN_NOTIFIED;
    for (let at = first; at < end; at += WORDS) {
      if ((u32[at + FLAGS]! & POLLED) === 0) continue;
      if (hasWork(v, u32[at + NOTIFIER]!, u32[at + QUEUE]!)) return (at - first) / WORDS;
    }
  }
  return SPIN_NOTHING;
}

/** The ring first: the driver may have added buffers without a kick. */
function hasWork(v: Views, notifier: number, queue: number): boolean {
  if (notifier === 0) return false;
  if (queue !== 0 && queueEmpty(v, queue) === 0) return true;
  return load(v.i32, notifier + NOTIFIER_FLAG) !== 0;
}
