/**
 * The drain gate (design section 7). A lane counts itself in before it looks whether the gate is
 * closed; main closes the gate before it looks at the counts. So one of both sees the other.
 */

import { BACKEND_QUIESCE, LANE_IN_FLIGHT } from '../../layout.ts';
import { add, load, sub } from '../atomics.ts';

export function gateEnter(words: Int32Array, lane: number, backend: number, count: number): number {
  add(words, lane + LANE_IN_FLIGHT, count);
  if (load(words, backend + BACKEND_QUIESCE) === 0) return 1;
  sub(words, lane + LANE_IN_FLIGHT, count);
  return 0;
}

export function gateLeave(words: Int32Array, lane: number, backend: number, count: number): number {
  sub(words, lane + LANE_IN_FLIGHT, count);
  return load(words, backend + BACKEND_QUIESCE) === 0 ? 0 : 1;
}

export function gateClose(words: Int32Array, backend: number): number {
  return add(words, backend + BACKEND_QUIESCE, 1) + 1;
}

export function gateOpen(words: Int32Array, backend: number): number {
  return sub(words, backend + BACKEND_QUIESCE, 1) - 1;
}

export function gateInFlight(words: Int32Array, lane: number): number {
  return load(words, lane + LANE_IN_FLIGHT);
}
