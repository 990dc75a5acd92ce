/**
 * What a block queue's data plane is built from: numbers, strings and booleans, so that the main
 * thread can post it to the thread that will serve the queue (design section 7). Addresses are
 * offsets into core memory.
 */

import type { RingConfig } from './data-plane.ts';

export interface QueueConfig extends RingConfig {
  /** The backend's words (`BACKEND_*`). */
  readonly backend: number;
  /** GET_ID's answer; what does not fit into 20 bytes of UTF-8 is cut off. */
  readonly serial: string;
  /** Range checks (BL-4): sectors and sizes are multiples of this, in bytes. */
  readonly logicalBlockSize: number;
  /** Longest DISCARD, in sectors; 0: the device does not offer it. */
  readonly maxDiscardSectors: number;
  /** Longest WRITE_ZEROES, in sectors; 0: the device does not offer it. */
  readonly maxWriteZeroesSectors: number;
  /** Collect requests of one direction and merge neighbours (BL-6). */
  readonly requestMerging: boolean;
  /** Most segments of a merged request. */
  readonly mergeSegments: number;
  /** Most bytes of a merged request. */
  readonly mergeBytes: number;
}

// Scratch, in bytes: | serial, 20 | pad, 4 | errors of SCSI_CMD, 4 | pad, 4 | segment, 16 |
export const SCRATCH_SERIAL = 0;
export const SCRATCH_SCSI_ERRORS = 24;
export const SCRATCH_SEGMENT = 32;
export const SCRATCH_SIZE = 48;

/** Most segments that a merged request may have (QEMU: IOV_MAX). */
export const MERGE_SEGMENTS = 1024;
/** Most bytes that one request may have, in whole sectors below 2 GiB (BL-4). */
export const REQUEST_SECTORS_MAX = 4194303;
