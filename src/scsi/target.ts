/**
 * What a target answers for a LUN that it has not, as long as it has any (SC-8).
 * QEMU: `scsi_target_reqops`.
 */

import { check, reply } from './answer.ts';
import { get16, putText } from './bytes.ts';
import { cdbLength, cdbTransfer } from './cdb.ts';
import {
  INQUIRY,
  REPORT_LUNS,
  REQUEST_SENSE,
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_INVALID_OPCODE,
  SENSE_LUN_NOT_SUPPORTED,
  TYPE_INACTIVE,
  TYPE_NO_LUN,
  VERSION_SPC_3,
  VPD_SUPPORTED_PAGES,
} from './codes.ts';
import {
  INQUIRY_BYTES,
  INQUIRY_CMDDT,
  INQUIRY_EVPD,
  INQUIRY_FORMAT,
  INQUIRY_SYNC_CMDQUE,
} from './inquiry.ts';
import { fillLuns, lunsWanted } from './report-luns.ts';
import type { ScsiRequest } from './request.ts';
import { EMULATED_MAX, type ScsiThread } from './unit.ts';
import { senseData } from './unit-commands.ts';

/** Sets the answer of a request for `lun` of `target`, which is not there. */
export function answerAbsentLun(
  thread: ScsiThread,
  request: ScsiRequest,
  target: number,
  lun: number,
): false {
  const { cdb, buffers } = request;
  const opcode = cdb[0]!;
  if (buffers.outBytes > 0 && buffers.inBytes > 0) return refuse(request, 'failure');
  const needed = cdbLength(opcode);
  if (needed === 0 || request.cdbLength < needed) return check(request, SENSE_INVALID_OPCODE);
  if (opcode !== INQUIRY && opcode !== REPORT_LUNS && opcode !== REQUEST_SENSE) {
    return check(request, SENSE_LUN_NOT_SUPPORTED);
  }
  request.transfer = opcode === INQUIRY ? get16(cdb, 3) : cdbTransfer(cdb);
  if (request.transfer > buffers.inBytes) return refuse(request, 'overrun');
  if (request.transfer > EMULATED_MAX) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  const length = fill(thread, request, target, lun);
  if (length < 0) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  return reply(request, thread.scratch, length);
}

/** Bytes of parameter data, or -1: the CDB asks for what there is not. */
function fill(thread: ScsiThread, request: ScsiRequest, target: number, lun: number): number {
  const { cdb } = request;
  switch (cdb[0]) {
    case INQUIRY:
      return inquiry(cdb, lun, thread.scratch);
    case REPORT_LUNS:
      return lunsWanted(cdb) ? fillLuns(request, thread, target) : -1;
    default:
      return senseData(cdb, SENSE_LUN_NOT_SUPPORTED, thread.scratch);
  }
}

/** LUN 0 says that the target is there, so that the driver asks it for its other LUNs. */
function inquiry(cdb: Uint8Array, lun: number, into: Uint8Array): number {
  const type = lun === 0 ? TYPE_INACTIVE : TYPE_NO_LUN;
  into.fill(0, 0, INQUIRY_BYTES);
  into[0] = type;
  if (cdb[1]! & INQUIRY_CMDDT) return -1;
  if (cdb[1]! & INQUIRY_EVPD) {
    into[3] = 1; // one page: this one
    return cdb[2] === VPD_SUPPORTED_PAGES ? 5 : -1;
  }
  if (cdb[2] !== 0) return -1;
  into[4] = INQUIRY_BYTES - 5;
  if (lun !== 0) return INQUIRY_BYTES;
  into[2] = VERSION_SPC_3;
  into[3] = INQUIRY_FORMAT;
  into[7] = INQUIRY_SYNC_CMDQUE;
  putText(into, 8, 8, 'QEMU');
  putText(into, 16, 16, 'QEMU TARGET');
  putText(into, 32, 4, '2.5+');
  return INQUIRY_BYTES;
}

function refuse(request: ScsiRequest, response: 'overrun' | 'failure'): false {
  request.response = response;
  return false;
}
