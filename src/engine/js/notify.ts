/**
 * Waking a context, and event notifiers. The order is the protocol (NT-1, NT-2): here the work is
 * published before `notified`, and `notified` before `notify_me` is read; the sleeper raises
 * `notify_me` before it reads `notified`, and lowers both before it looks for work.
 */

import {
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  NOTIFIER_FLAG,
  NOTIFIER_WATCHER,
} from '../../layout.ts';
import { and, exchange, load, or, store } from '../atomics.ts';

export function notify(words: Int32Array, context: number): number {
  store(words, context + CONTEXT_NOTIFIED, 1);
  return load(words, context + CONTEXT_NOTIFY_ME) === 0 ? 0 : 1;
}

export function accept(words: Int32Array, context: number): void {
  store(words, context + CONTEXT_NOTIFIED, 0);
}

export function prepare(words: Int32Array, context: number): void {
  or(words, context + CONTEXT_NOTIFY_ME, 1);
}

export function check(words: Int32Array, context: number): void {
  and(words, context + CONTEXT_NOTIFY_ME, ~1);
  accept(words, context);
}

export function notifierSet(words: Int32Array, notifier: number): number {
  store(words, notifier + NOTIFIER_FLAG, 1);
  const watcher = load(words, notifier + NOTIFIER_WATCHER) >>> 0;
  return watcher === 0 ? 0 : notify(words, watcher);
}

export function notifierTestAndClear(words: Int32Array, notifier: number): number {
  return exchange(words, notifier + NOTIFIER_FLAG, 0) === 0 ? 0 : 1;
}

/** Who attaches says so first and sets the notifier then (HN-8). */
export function notifierWatch(words: Int32Array, notifier: number, context: number): void {
  store(words, notifier + NOTIFIER_WATCHER, context);
}
