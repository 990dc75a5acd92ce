/** What a lane is made with, and what it needs of its backend. */

import type { Clock } from '../aio/clock.ts';
import type { BackendLane } from './lane.ts';

export interface LaneOptions {
  /** Bytes of a bounce slot, a multiple of 64 KiB; default 128 KiB. Longer requests go in parts. */
  bounceBytes?: number;
  /** Most bounce slots; default 32. Requests beyond wait for one. */
  bounceSlots?: number;
  /** Clock of the latency figures; default the context's. */
  clock?: Clock;
}

/** Core memory that main has set aside for a lane. */
export interface LanePlace {
  /** Core address of the lane's words (LANE_*). */
  readonly address: number;
  /** Core address of all bounce slots, one behind the other; 0: the lane allocates its own. */
  readonly bounce: number;
}

export const BOUNCE_BYTES = 131_072;
export const BOUNCE_SLOTS = 32;

/** What a lane needs to know of the backend that it is a lane of. */
export interface LaneBackend {
  /** Core address of the words (BACKEND_*). */
  readonly address: number;
  /** Something left while the gate was closed: look whether all have. */
  wake(): void;
  /** Drains as main does, without waiting for `holding` requests of the lane (BB-11). */
  drainFor(lane: { readonly address: number }, holding: number): Promise<void>;
  /** The lane has closed and needs its words no more. */
  laneClosed(lane: BackendLane): void;
}
