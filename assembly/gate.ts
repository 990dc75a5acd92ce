// The drain gate: who enters counts first and asks afterwards; who closes it closes first and then
// counts. So one of the two always sees the other. All words are atomic.

import { BACKEND_QUIESCE, LANE_IN_FLIGHT } from "../src/layout";
import { add32, load32, sub32 } from "./atomics";

/** 1: entered with `count` requests. 0: closed; main may have seen them, so it must be woken. */
export function gateEnter(lane: u32, backend: u32, count: u32): u32 {
  add32(lane, LANE_IN_FLIGHT, count);
  // Pairs with `gateClose`, after which main reads every in-flight count.
  if (load32(backend, BACKEND_QUIESCE) == 0) return 1;
  sub32(lane, LANE_IN_FLIGHT, count);
  return 0;
}

/** 1: the gate is closed, and main, which may wait for this lane to be empty, must be woken. */
export function gateLeave(lane: u32, backend: u32, count: u32): u32 {
  sub32(lane, LANE_IN_FLIGHT, count);
  return u32(load32(backend, BACKEND_QUIESCE) != 0);
}

export function gateClose(backend: u32): u32 {
  return add32(backend, BACKEND_QUIESCE, 1) + 1;
}

export function gateOpen(backend: u32): u32 {
  return sub32(backend, BACKEND_QUIESCE, 1) - 1;
}

export function gateInFlight(lane: u32): u32 {
  return load32(lane, LANE_IN_FLIGHT);
}
