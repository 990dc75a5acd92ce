/** What a command queue's data plane is built from. Addresses are offsets into core memory. */

import type { RingConfig } from './data-plane.ts';

export interface ScsiQueueConfig extends RingConfig {
  /** The bus's words (`SCSI_BUS_*`). */
  readonly bus: number;
}

/** Scratch of the control queue: a request, behind it the answer. */
export const CONTROL_SCRATCH = 32;
