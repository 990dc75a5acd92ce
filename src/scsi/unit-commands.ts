/**
 * Commands that ask the unit for little or nothing: TEST UNIT READY, REQUEST SENSE, REPORT LUNS,
 * START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL, RESERVE, RELEASE, FORMAT UNIT (SD-2, SD-10).
 */

import { LUN_F_LOCKED, LUN_F_TRAY_OPEN } from '../layout.ts';
import { check, good, moved, reply } from './answer.ts';
import { cdbTransfer } from './cdb.ts';
import {
  RELEASE_6,
  RESERVE_6,
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_NONE,
  SENSE_NOT_READY_REMOVAL_PREVENTED,
  SENSE_REMOVAL_PREVENTED,
  UNIT_ATTENTION,
} from './codes.ts';
import { command } from './command.ts';
import { fillLuns, lunsWanted } from './report-luns.ts';
import type { ScsiRequest } from './request.ts';
import { buildDescriptorSense, buildFixedSense } from './sense.ts';
import type { ScsiUnit } from './unit.ts';

// START STOP UNIT, byte 4
const START = 0x01;
const LOEJ = 0x02;
const POWER_CONDITION = 0xf0;
// FORMAT UNIT, byte 1
const FMTDATA = 0x10;
const LONGLIST = 0x20;

export const TEST_READY = command({ run: (_unit, request) => good(request) });
export const SENSE = command({
  direction: 'in',
  transfer: cdbTransfer,
  medium: false,
  run: requestSense,
});
export const LUNS = command({
  direction: 'in',
  transfer: cdbTransfer,
  medium: false,
  attention: false,
  run: reportLuns,
});
export const START_STOP = command({ medium: false, run: startStop });
export const PREVENT_ALLOW = command({ medium: false, run: preventAllow });
export const RESERVE_RELEASE = command({ medium: false, run: reserveRelease });
export const FORMAT = command({
  direction: 'out',
  transfer: formatBytes,
  run: (_unit, request) => moved(request),
});

/** Byte 1, DESC. */
export const REQUEST_SENSE_DESC = 0x01;

/** `sense` as REQUEST SENSE wants it, in `into`. Returns its length. */
export function senseData(cdb: Uint8Array, sense: number, into: Uint8Array): number {
  const descriptor = (cdb[1]! & REQUEST_SENSE_DESC) !== 0;
  return descriptor ? buildDescriptorSense(sense, into) : buildFixedSense(sense, into);
}

/**
 * A pending unit attention, as data and with GOOD (SPC-4 6.39). Otherwise none: each command's
 * sense went with its own answer.
 */
function requestSense(unit: ScsiUnit, request: ScsiRequest): false {
  const { attention, cdb } = request;
  const bytes = unit.thread.scratch;
  const sense = attention === 0 ? SENSE_NONE : (UNIT_ATTENTION << 16) | attention;
  return reply(request, bytes, senseData(cdb, sense, bytes));
}

function reportLuns(unit: ScsiUnit, request: ScsiRequest): false {
  const { thread, config } = unit;
  if (!lunsWanted(request.cdb)) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  return reply(request, thread.scratch, fillLuns(request, thread, config.scsiId));
}

function startStop(unit: ScsiUnit, request: ScsiRequest): false {
  const { config, words, disk } = unit;
  const options = request.cdb[4]!;
  const start = (options & START) !== 0;
  if (options & POWER_CONDITION || !(options & LOEJ) || !config.removable) return good(request);
  const { flags } = words;
  if (!start && !(flags & LUN_F_TRAY_OPEN) && flags & LUN_F_LOCKED) {
    return check(
      request,
      disk.hasMedium ? SENSE_REMOVAL_PREVENTED : SENSE_NOT_READY_REMOVAL_PREVENTED,
    );
  }
  words.flag(LUN_F_TRAY_OPEN, !start);
  return good(request);
}

function preventAllow(unit: ScsiUnit, request: ScsiRequest): false {
  unit.words.flag(LUN_F_LOCKED, (request.cdb[4]! & 1) !== 0);
  return good(request);
}

/** Accepted for the whole unit, without effect: there is one initiator. */
function reserveRelease(_unit: ScsiUnit, request: ScsiRequest): false {
  const { cdb } = request;
  const six = cdb[0] === RESERVE_6 || cdb[0] === RELEASE_6;
  const extents = cdb[1]! & (six ? 0x01 : 0x03); // EXTENT, LONGID
  return extents ? check(request, SENSE_INVALID_FIELD_IN_CDB) : good(request);
}

/** Of the parameter list no more than its header. MMC's has 12 bytes. */
function formatBytes(cdb: Uint8Array, unit: ScsiUnit): number {
  if (!(cdb[1]! & FMTDATA)) return 0;
  if (unit.config.type === 'cd') return 12;
  return cdb[1]! & LONGLIST ? 8 : 4;
}
