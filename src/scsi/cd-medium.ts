/** Commands of a CD that tell of the medium: READ TOC, READ DISC and DVD (MMC-6 6; SD-11). */

import { check, reply } from './answer.ts';
import { get16, put16, put32 } from './bytes.ts';
import { isDvd } from './cd-commands.ts';
import { cdbTransfer } from './cdb.ts';
import { SENSE_INCOMPATIBLE_MEDIUM, SENSE_INVALID_FIELD_IN_CDB, SENSE_NO_MEDIUM } from './codes.ts';
import { command } from './command.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';

/** Addresses as minutes, seconds, frames; byte 1. */
const MSF = 0x02;
const FRAMES_PER_SECOND = 75;
/** Two seconds lie before the first sector. */
const LEAD_IN_FRAMES = 150;
const TRACK_LEAD_OUT = 0xaa;
/** ADR and CONTROL: a data track. */
const DATA_TRACK = 0x14;
const DATA_LEAD_OUT = 0x16;

/** Bytes of READ DVD STRUCTURE, by format; 0: there is none. */
const DVD_STRUCTURE_BYTES = [2052, 8, 0, 192, 2052] as const;
const DVD_PHYSICAL = 0;
const DVD_BURST_CUTTING_AREA = 3;
const DVD_CAPABILITIES = 0xff;

export const TOC = command({ direction: 'in', transfer: cdbTransfer, run: readToc });
export const DISC_INFORMATION = command({
  direction: 'in',
  transfer: cdbTransfer,
  run: readDiscInformation,
});
export const DVD_STRUCTURE = command({
  direction: 'in',
  transfer: (cdb) => get16(cdb, 8),
  medium: false,
  run: readDvdStructure,
});

function readToc(unit: ScsiUnit, request: ScsiRequest): false {
  const { cdb } = request;
  const into = unit.thread.scratch;
  const msf = (cdb[1]! & MSF) !== 0;
  let length = -1;
  switch (cdb[2]! & 0x0f) {
    case 0:
      length = formattedToc(into, unit.blocks, msf, cdb[6]!);
      break;
    case 1: // one session, which begins with track 1 at sector 0
      into.set([0, 10, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
      length = 12;
      break;
    case 2:
      length = rawToc(into, unit.blocks, msf);
      break;
  }
  if (length < 0) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  return reply(request, into, length);
}

/** One track, and the lead-out. */
function formattedToc(into: Uint8Array, blocks: number, msf: boolean, first: number): number {
  if (first > 1 && first !== TRACK_LEAD_OUT) return -1;
  let at = 4;
  into[2] = into[3] = 1; // first and last track
  if (first <= 1) {
    into.set([0, DATA_TRACK, 1, 0], at);
    putAddress(into, at + 4, 0, msf);
    at += 8;
  }
  into.set([0, DATA_LEAD_OUT, TRACK_LEAD_OUT, 0], at);
  putAddress(into, at + 4, blocks, msf);
  at += 8;
  put16(into, 0, at - 2);
  return at;
}

/** Of session 1: pointers A0 (first track), A1 (last one), A2 (lead-out), and track 1. */
function rawToc(into: Uint8Array, blocks: number, msf: boolean): number {
  into.set([0, 46, 1, 1]);
  let at = 4;
  for (const point of [0xa0, 0xa1, 0xa2, 1]) {
    into.set([1, DATA_TRACK, 0, point, 0, 0, 0], at);
    if (point > 0xa1 || point === 1) putAddress(into, at + 7, point === 1 ? 0 : blocks, msf);
    else into.set([0, 1, 0, 0], at + 7);
    at += 11;
  }
  return at;
}

function putAddress(into: Uint8Array, at: number, sector: number, msf: boolean): void {
  if (!msf) {
    put32(into, at, sector);
    return;
  }
  const frames = sector + LEAD_IN_FRAMES;
  const seconds = Math.floor(frames / FRAMES_PER_SECOND);
  into.set([0, Math.floor(seconds / 60), seconds % 60, frames % FRAMES_PER_SECOND], at);
}

function readDiscInformation(unit: ScsiUnit, request: ScsiRequest): false {
  const into = unit.thread.scratch;
  if (request.cdb[1]! & 0x07) return check(request, SENSE_INVALID_FIELD_IN_CDB); // of Blu-ray
  into.fill(0, 0, 34);
  // Length; finalized, last session complete; tracks and sessions: 1; unrestricted use; CD-ROM
  into.set([0, 32, 0x0e, 1, 1, 1, 1, 0x20, 0]);
  return reply(request, into, 34);
}

function readDvdStructure(unit: ScsiUnit, request: ScsiRequest): false {
  const { cdb } = request;
  const into = unit.thread.scratch;
  const format = cdb[7]!;
  if (cdb[1] !== 0) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  if (format === DVD_CAPABILITIES) return reply(request, into, listStructures(into));
  if (!unit.hasMedium) return check(request, SENSE_NO_MEDIUM);
  if (!isDvd(unit)) return check(request, SENSE_INCOMPATIBLE_MEDIUM);
  const length = DVD_STRUCTURE_BYTES[format] ?? 0;
  const wrongLayer = format === DVD_PHYSICAL && cdb[6] !== 0;
  if (length === 0 || format === DVD_BURST_CUTTING_AREA || wrongLayer) {
    return check(request, SENSE_INVALID_FIELD_IN_CDB);
  }
  into.fill(0, 0, length);
  put16(into, 0, length - 2);
  if (format === DVD_PHYSICAL) {
    into.set([1, 0x0f, 1, 0], 4); // DVD-ROM part 1, 120 mm, one layer, density
    put32(into, 12, unit.blocks - 1); // last sector, of the disc and of layer 0
    put32(into, 16, unit.blocks - 1);
  }
  return reply(request, into, length);
}

function listStructures(into: Uint8Array): number {
  let at = 4;
  DVD_STRUCTURE_BYTES.forEach((bytes, format) => {
    if (bytes === 0) return;
    into.set([format, 0x40], at); // readable, not writable
    put16(into, at + 2, bytes);
    at += 4;
  });
  into.fill(0, 0, 4);
  put16(into, 0, at - 2);
  return at;
}
