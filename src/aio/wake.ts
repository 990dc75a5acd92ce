/**
 * Waking a context that sleeps. The engine says when that is due (NT-1); here is how.
 *
 * A context of this thread is woken by a call. A context of another thread sleeps on a word of
 * shared memory: it is counted up, and all who wait on it are told. Never with a count: a waiter
 * that cannot be cancelled may be ahead of the one that is asleep (platform: `Atomics.waitAsync`).
 */

import type { Core } from '../engine/core.ts';
import { CONTEXT_WAKE, CONTEXT_WAKES } from '../layout.ts';

type Wake = () => void;

/**
 * Contexts of this thread by their address. An unshared memory is seen by one thread alone, so all
 * cores over it know each other's contexts; cores over a shared one count as threads.
 */
const homes = new WeakMap<object, Map<number, Wake>>();

const keyOf = (core: Core): object => (core.shared ? core : core.memory);

/** Says how to wake the context at `address`, whose home is this core. */
export function addHome(core: Core, address: number, wake: Wake): void {
  const key = keyOf(core);
  let map = homes.get(key);
  if (!map) {
    map = new Map();
    homes.set(key, map);
  }
  map.set(address, wake);
}

export function removeHome(core: Core, address: number): void {
  homes.get(keyOf(core))?.delete(address);
}

/**
 * Wakes the context at `address`: what whoever was told 1 by the engine owes it. Any thread. One
 * wake too many costs a turn and does no harm.
 */
export function wakeContext(core: Core, address: number): void {
  const wake = homes.get(keyOf(core))?.get(address);
  if (wake) wake();
  else wakeWord(core, address);
}

/** Wakes whoever sleeps on the word, in whatever thread. */
export function wakeWord(core: Core, address: number): void {
  const { i32 } = core;
  Atomics.add(i32, (address + CONTEXT_WAKES) >>> 2, 1);
  Atomics.add(i32, (address + CONTEXT_WAKE) >>> 2, 1);
  Atomics.notify(i32, (address + CONTEXT_WAKE) >>> 2);
}

/** Something changed that the context at `address` would want to know (NT-11). Any thread. */
export function notifyContext(core: Core, address: number): void {
  if (core.engine.notify(address) === 1) wakeContext(core, address);
}
