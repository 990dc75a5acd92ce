/** Scenes for `atEachStep`: an action of one thread, and what another one saw. */

import type { Operation } from './atomic-steps.ts';
import { witness } from './atomic-steps.ts';

export interface Scene {
  action: () => void;
  /** What the action returned. */
  result: number;
  /** What the other thread saw; -1 if it has not acted. */
  seen: number;
}

/**
 * Makes scenes of a rig each: `prepare` has been done, and `act` is the action; both get the rig
 * with the fields of a scene.
 */
export function scenes<R extends object>(make: () => R) {
  type Full = R & Scene;
  return (act: (s: Full) => number | undefined, prepare?: (s: Full) => void) => (): Full => {
    const s: Full = Object.assign(make(), { action: () => {}, result: 0, seen: -1 });
    prepare?.(s);
    s.action = () => {
      s.result = act(s) ?? 0;
    };
    return s;
  };
}

/** An action's steps in order: operation and address. */
export function orderOf(s: { action: () => void }): [Operation, number][] {
  return witness.watch(s.action).map(({ operation, address }) => [operation, address]);
}
