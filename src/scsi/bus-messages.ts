/**
 * What main says to a thread about a SCSI bus that it has units of, and what the thread says:
 * plain, cloneable data. A bus is named by the core address of its words, a unit by its address on
 * the bus. On main's own thread a message is a direct call.
 */

import type { ErrorAction } from '../block/error-policy.ts';
import type { OperationName } from '../block/operation.ts';
import type { ScsiUnitConfig } from './unit-options.ts';

/** Which commands; null: all of them. */
export interface CommandMatch {
  readonly target: number;
  readonly lun: number;
  /** The two words, the low one first. */
  readonly tag: readonly [number, number] | null;
}

/** An answer without contents: that it is there says all. */
type Done = ReturnType<() => void>;

/** Payloads and answers, by the name of the message; as a service it is `scsi-` and the name. */
export interface BusMessages {
  /** The thread is to serve command queues of the bus. */
  open: { payload: Record<never, never>; answer: Done };
  /** It serves none any more, and has no units. */
  close: { payload: Record<never, never>; answer: Done };
  /** A unit, realized or not, and the core address of the lane that the thread has for it. */
  plug: { payload: { readonly config: ScsiUnitConfig; readonly lane: number }; answer: Done };
  /** Its requests have all been answered. */
  unplug: { payload: { readonly target: number; readonly lun: number }; answer: Done };
  /**
   * Asks for the end of commands; answered when the driver has been given all of them back, with
   * how many there were (SC-15).
   */
  cancel: { payload: CommandMatch & { readonly response: 'aborted' | 'reset' }; answer: number };
  /** How many such commands have not been answered? */
  count: { payload: CommandMatch; answer: number };
  /** The machine stops, or goes on: what waits goes on, and what failed is tried again (SC-7). */
  run: { payload: { readonly running: boolean }; answer: Done };
  /** Answered when all failures that have happened have been told. */
  heard: { payload: Record<never, never>; answer: Done };
}

export type BusMessage = keyof BusMessages;

/** A request that the host could not do (BB-19). */
export interface UnitFailure {
  /** Core address of the unit's words. */
  readonly unit: number;
  readonly operation: OperationName;
  /** A positive number as in errno. */
  readonly errno: number;
  readonly action: ErrorAction;
}

/** Payload of the event `scsi-error`. */
export interface ScsiErrorTold {
  readonly bus: number;
  readonly failure: UnitFailure;
}

export const SCSI_ERROR_EVENT = 'scsi-error';

/** Which bus a service is about. */
export interface OnBus {
  readonly bus: number;
}

export type MaybeLater<T> = T | Promise<T>;
