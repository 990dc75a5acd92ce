/** Commands of a CD that tell of the drive and of its events (MMC-6 6; SD-11). */

import { LUN_F_EJECT_REQUEST, LUN_F_MEDIUM_EVENT, LUN_F_TRAY_OPEN } from '../layout.ts';
import { check, reply } from './answer.ts';
import { get16, put16, put32 } from './bytes.ts';
import { cdbTransfer } from './cdb.ts';
import { SENSE_INVALID_FIELD_IN_CDB } from './codes.ts';
import { command } from './command.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';

const PROFILE_CD_ROM = 0x08;
const PROFILE_DVD_ROM = 0x10;
/** 2048-byte sectors of 80 minutes: a longer medium is a DVD. */
const CD_SECTORS_MAX = 80 * 60 * 75;

// GET EVENT STATUS NOTIFICATION
const POLLED = 0x01;
const CLASS_MEDIA = 4;
const NO_CLASS = 0x80;
const EVENT_NONE = 0;
const EVENT_EJECT_REQUEST = 1;
const EVENT_NEW_MEDIA = 2;
const EVENT_MEDIA_REMOVAL = 3;
const STATUS_TRAY_OPEN = 1;
const STATUS_MEDIA_PRESENT = 2;

export const CONFIGURATION = command({
  direction: 'in',
  transfer: cdbTransfer,
  medium: false,
  attention: false,
  run: getConfiguration,
});
export const EVENT_STATUS = command({
  direction: 'in',
  transfer: cdbTransfer,
  medium: false,
  attention: false,
  run: getEventStatus,
});
export const MECHANISM = command({
  direction: 'in',
  transfer: (cdb) => get16(cdb, 8),
  medium: false,
  run: mechanismStatus,
});

/** Is the medium, which is there, longer than a CD can be? */
export function isDvd(unit: ScsiUnit): boolean {
  return unit.disk.capacity > CD_SECTORS_MAX * 2048;
}

function getConfiguration(unit: ScsiUnit, request: ScsiRequest): false {
  const into = unit.thread.scratch;
  const present = unit.disk.hasMedium && unit.disk.capacity > 0;
  const dvd = present && isDvd(unit);
  const cd = present && !dvd;
  into.fill(0, 0, 40);
  put32(into, 0, 36);
  if (present) put16(into, 6, dvd ? PROFILE_DVD_ROM : PROFILE_CD_ROM);
  // Feature 0, profiles: persistent, current
  into.set([0, 0, 0x03, 8], 8);
  into.set([0, PROFILE_DVD_ROM, dvd ? 1 : 0, 0], 12);
  into.set([0, PROFILE_CD_ROM, cd ? 1 : 0, 0], 16);
  // Feature 1, core: version 2, SCSI, DBE
  into.set([0, 1, 0x0b, 8, 0, 0, 0, 1, 1, 0, 0, 0], 20);
  // Feature 3, removable medium: tray, loads, ejects, locks
  into.set([0, 3, 0x0b, 4, 0x39, 0, 0, 0], 32);
  return reply(request, into, 40);
}

/** Only asked for: we never tell unasked. */
function getEventStatus(unit: ScsiUnit, request: ScsiRequest): false {
  const { cdb } = request;
  const into = unit.thread.scratch;
  if (!(cdb[1]! & POLLED)) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  const media = (cdb[4]! & (1 << CLASS_MEDIA)) !== 0;
  const length = media ? 8 : 4;
  into.fill(0, 0, 8);
  put16(into, 0, length - 4);
  into[2] = media ? CLASS_MEDIA : NO_CLASS;
  into[3] = 1 << CLASS_MEDIA;
  if (media) {
    into[4] = mediaEvent(unit);
    const present = unit.disk.hasMedium ? STATUS_MEDIA_PRESENT : 0;
    into[5] = present | (unit.words.flags & LUN_F_TRAY_OPEN ? STATUS_TRAY_OPEN : 0);
  }
  return reply(request, into, length);
}

/** An event is told once. */
function mediaEvent(unit: ScsiUnit): number {
  const { words } = unit;
  if (words.flag(LUN_F_EJECT_REQUEST, false)) return EVENT_EJECT_REQUEST;
  if (!words.flag(LUN_F_MEDIUM_EVENT, false)) return EVENT_NONE;
  return unit.hasMedium ? EVENT_NEW_MEDIA : EVENT_MEDIA_REMOVAL;
}

function mechanismStatus(unit: ScsiUnit, request: ScsiRequest): false {
  const into = unit.thread.scratch;
  into.fill(0, 0, 8);
  into[5] = 1; // one slot
  return reply(request, into, 8);
}
