/**
 * What bad guests do, on purpose: each rule that a driver must keep, broken once, and beside it
 * the last thing that is still allowed. A device suite, a fuzzer or an emulator's self-test loops
 * over `MISBEHAVIOURS` and holds the device to `expect`.
 */
import type { GuestBlk } from './blk.ts';
import { BOUNDS } from './misbehave-bounds.ts';
import { REGISTER_MISBEHAVIOURS } from './misbehave-registers.ts';
import { RING_MISBEHAVIOURS } from './misbehave-ring.ts';

/**
 * What the device has to do. `breaks`: it serves nothing more until reset, and says NEEDS_RESET
 * on a modern interface. `ignored`: the driver goes on as if nothing had been. `served`: the
 * request at hand is legal and ends well. `survives`: the damage is the guest's own; after a reset
 * the device works.
 */
export type Expectation = 'breaks' | 'ignored' | 'served' | 'survives';

export interface Misbehaviour {
  /** Row of the behaviour map, `BG-1`. */
  readonly row: string;
  readonly name: string;
  readonly expect: Expectation;
  /** Can it be done with this driver's transport and features? Default: yes. */
  applies?(guest: GuestBlk): boolean;
  /** Its requests must stay in flight for a while: the disk has to be slow. */
  readonly slow?: boolean;
  /** `served`: how many chains come back. Default 1. */
  answers?(guest: GuestBlk): number;
  /**
   * Does it, on a driver that runs with queue 0 idle. `scratch` is the guest address of
   * SCRATCH_BYTES that the device may use until the next reset. Heads are offered past the ring's
   * own books, so reset the device before anything else is submitted (not after `ignored`).
   */
  run(guest: GuestBlk, scratch: number): void | Promise<void>;
}

export { SCRATCH_BYTES, SCRATCH_STATUS } from './draft.ts';

export const MISBEHAVIOURS: readonly Misbehaviour[] = [
  ...RING_MISBEHAVIOURS,
  ...REGISTER_MISBEHAVIOURS,
  ...BOUNDS,
];
