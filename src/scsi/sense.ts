/**
 * Sense data (SPC-4 4.5), and what an error of the host's comes to (SD-14). A sense is a number
 * here: key << 16 | asc << 8 | ascq. QEMU: `scsi/utils.c`.
 */

import { EINVAL, ENOMEDIUM, ENOMEM, ENOSPC } from '../spec.ts';
import {
  CHECK_CONDITION,
  RESERVATION_CONFLICT,
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_IO_PROCESS_TERMINATED,
  SENSE_NO_MEDIUM,
  SENSE_READ_ERROR,
  SENSE_SPACE_ALLOCATION_FAILED,
  SENSE_TARGET_FAILURE,
  TASK_SET_FULL,
} from './codes.ts';

/** Bytes of fixed format sense data as it is made here. */
export const FIXED_SENSE_BYTES = 18;
/** Bytes of descriptor format sense data without descriptors. */
export const DESCRIPTOR_SENSE_BYTES = 8;

// Errors that the block layer does not name; Linux's numbers.
const ENODEV = 19;
const EDOM = 33;
const EBADE = 52;
const ENODATA = 61;
const EREMOTEIO = 121;

/** Fixed format, current error. Returns its length. */
export function buildFixedSense(sense: number, into: Uint8Array): number {
  into.fill(0, 0, FIXED_SENSE_BYTES);
  into[0] = 0x70;
  into[2] = sense >>> 16;
  into[7] = FIXED_SENSE_BYTES - 8;
  into[12] = sense >>> 8;
  into[13] = sense;
  return FIXED_SENSE_BYTES;
}

/** Descriptor format, current error, for REQUEST SENSE with DESC. Returns its length. */
export function buildDescriptorSense(sense: number, into: Uint8Array): number {
  into.fill(0, 0, DESCRIPTOR_SENSE_BYTES);
  into[0] = 0x72;
  into[1] = sense >>> 16;
  into[2] = sense >>> 8;
  into[3] = sense;
  return DESCRIPTOR_SENSE_BYTES;
}

/** The status that ends a command after `errno`, a positive number as in errno. */
export function statusOfErrno(errno: number): number {
  if (errno === EDOM) return TASK_SET_FULL;
  return errno === EBADE ? RESERVATION_CONFLICT : CHECK_CONDITION;
}

/** The sense that goes with it if that is CHECK CONDITION. QEMU: `scsi_sense_from_errno`. */
export function senseOfErrno(errno: number): number {
  switch (errno) {
    case ENOMEDIUM:
      return SENSE_NO_MEDIUM;
    case ENOMEM:
    case EREMOTEIO:
    case ENODEV:
      return SENSE_TARGET_FAILURE;
    case EINVAL:
      return SENSE_INVALID_FIELD_IN_CDB;
    case ENOSPC:
      return SENSE_SPACE_ALLOCATION_FAILED;
    case ENODATA:
      return SENSE_READ_ERROR;
    default:
      return SENSE_IO_PROCESS_TERMINATED;
  }
}
