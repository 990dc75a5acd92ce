/** What main says to a thread about its lanes: plain, cloneable data. */

import type { BottomHalfHandle } from '../aio/bottom-half.ts';
import type { EncodedError } from '../aio/thread-error.ts';
import type { DriverSpec } from './driver.ts';
import type { LaneOptions } from './lane-options.ts';

/** Payload of the service `open-lane`. */
export interface OpenLane {
  /** Core addresses: of the lane's words, of its backend's, of its bounce slots or 0. */
  readonly lane: number;
  readonly backend: number;
  readonly bounce: number;
  /** Core address of a thread pool's words, or 0: for drivers that settle by `word`. */
  readonly pool: number;
  readonly spec: DriverSpec;
  readonly options: Pick<LaneOptions, 'bounceBytes' | 'bounceSlots'>;
}

/** Answer to `open-lane`. */
export interface LaneOpened {
  /** Main schedules it when the gate is open again. */
  readonly opened: BottomHalfHandle;
  /** What the driver had to do without (TP-7). */
  readonly warnings: readonly string[];
}

/** Payload of `close-lane`, refused while a request is in flight. */
export interface CloseLane {
  readonly lane: number;
}

/** Answer to `close-lane`: the lane is closed, and so is its driver, unless that failed. */
export interface LaneClosed {
  readonly failure: EncodedError | null;
}

/** Payload of `resize-lane`: the disk has `size` bytes now. In a drained section. */
export interface ResizeLane {
  readonly lane: number;
  readonly size: number;
}
