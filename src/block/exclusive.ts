/**
 * Changes of a graph, one after the other: each is made in several steps that wait for threads and
 * drivers, and must find the graph as it looked at first. Main thread.
 */

import type { Core } from '../engine/core.ts';

const lasts = new WeakMap<Core, Promise<unknown>>();

/** Runs `step` when the changes before it have ended; at once if there are none. */
export function exclusive<T>(core: Core, step: () => Promise<T>): Promise<T> {
  const before = lasts.get(core);
  const result = before ? before.then(step) : step();
  const ended = result.then(
    () => {},
    () => {},
  );
  lasts.set(core, ended);
  void ended.then(() => {
    if (lasts.get(core) === ended) lasts.delete(core);
  });
  return result;
}

/**
 * The end of the last change under way; undefined: there is none. It never rejects. Who waits for
 * it asks again afterwards, for the next one may have begun.
 */
export function changeUnderWay(core: Core): Promise<unknown> | undefined {
  return lasts.get(core);
}
