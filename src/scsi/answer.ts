/** Answers to commands. Each is set once and returns false, as a `Step` that has ended does. */

import { CHECK_CONDITION, GOOD } from './codes.ts';
import type { ScsiRequest } from './request.ts';
import { buildFixedSense, senseOfErrno, statusOfErrno } from './sense.ts';

/** Longer than this no residual is told: it is an i32 to some drivers. */
const RESIDUAL_MAX = 0x7fff_ffff;

export function good(request: ScsiRequest): false {
  request.status = GOOD;
  return false;
}

/** CHECK CONDITION with `sense`: key << 16 | asc << 8 | ascq. */
export function check(request: ScsiRequest, sense: number): false {
  request.status = CHECK_CONDITION;
  request.senseLength = buildFixedSense(sense, request.sense);
  return false;
}

/** The host could not do it (SD-14). `errno` is positive. */
export function fail(request: ScsiRequest, errno: number): false {
  const status = statusOfErrno(errno);
  if (status === CHECK_CONDITION) return check(request, senseOfErrno(errno));
  request.status = status;
  return false;
}

/** GOOD, with as much of `bytes[0 .. length)` as the CDB's allocation length allows. */
export function reply(request: ScsiRequest, bytes: Uint8Array, length: number): false {
  const allowed = Math.min(length, request.transfer);
  if (allowed > 0) request.transferred = request.buffers.copyIn(0, bytes.subarray(0, allowed));
  return good(request);
}

/** GOOD: all that the CDB wanted has moved. */
export function moved(request: ScsiRequest): false {
  request.transferred = request.transfer;
  return good(request);
}

/** The residual of an answer that is complete (SC-12, SC-13). */
export function countResidual(request: ScsiRequest): void {
  const { buffers, transferred, response, status } = request;
  const bytes = Math.max(buffers.outBytes, buffers.inBytes);
  const counts = response === 'ok' && status === GOOD;
  request.residual = counts ? Math.min(bytes - transferred, RESIDUAL_MAX) : 0;
}
