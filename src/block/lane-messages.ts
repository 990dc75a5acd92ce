/** What main says to a thread about its lanes: plain, cloneable data. */

import type { BottomHalfHandle } from '../aio/bottom-half.ts';
import type { EncodedError } from '../aio/thread-error.ts';
import type { DriverSpec } from './driver.ts';
import type { LaneOptions } from './lane-options.ts';

/** Payload of the service `open-lane`. */
export interface OpenLane {
  /** Core addresses: of the lane's words, and of its backend's. */
  readonly lane: number;
  readonly backend: number;
  readonly disk: LaneDisk;
  readonly options: Pick<LaneOptions, 'bounceBytes' | 'bounceSlots'>;
}

/** How the thread opens a disk, and the memory that main has set aside for that. */
export interface LaneDisk {
  readonly spec: DriverSpec;
  /** Core addresses, or 0: bounce slots of the lane, those of what serialises, the range locks. */
  readonly bounce: number;
  readonly blocks: number;
  readonly ranges: number;
  /** Core address of a thread pool's words, or 0: for drivers that settle by `word`. */
  readonly pool: number;
}

/** Answer to `open-lane`. */
export interface LaneOpened {
  /** Main schedules it when the gate has closed, and when it is open again. */
  readonly gateMoved: BottomHalfHandle;
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

/** Payload of `prepare-driver`: opens another disk for the lane, beside the one it has. */
export interface PrepareDriver {
  readonly lane: number;
  readonly disk: LaneDisk;
}

/** Payload of `commit-driver` and `abort-driver`: the one that was prepared takes over, or goes. */
export interface DriverChange {
  readonly lane: number;
}

/** Event that a thread posts: whoever works there wants the backend drained (BB-11). */
export const DRAIN_EVENT = 'drain-backend';

export interface DrainAsked {
  /** Of the lane that asks. */
  readonly lane: number;
  /** Its number among the lane's; main's answer, the service `drained`, has it. */
  readonly number: number;
  /** Requests that the asker holds open meanwhile (`startRequest`): not waited for. */
  readonly holding: number;
}

export interface Drained {
  readonly lane: number;
  readonly number: number;
}
