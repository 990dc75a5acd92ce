/** MODE SENSE (6) and (10) (SPC-4 6.11, 6.12; SD-8). */

import { check, reply } from './answer.ts';
import { put16, put24 } from './bytes.ts';
import { cdbTransfer } from './cdb.ts';
import {
  MODE_PAGE_ALL,
  MODE_SENSE_6,
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_SAVING_NOT_SUPPORTED,
} from './codes.ts';
import { command } from './command.ts';
import { fillModePage, modePages, PC_SAVED } from './mode-pages.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';

/** Byte 1: no block descriptor, please. */
const DBD = 0x08;
/** Of a disk's device-specific parameter. */
const WP = 0x80;
const DPOFUA = 0x10;
/** SUBPAGE CODE that asks for subpages too; we have none. */
const SUBPAGES_ALL = 0xff;
const DESCRIPTOR_BYTES = 8;
const DESCRIPTOR_BLOCKS_MAX = 0xff_ffff;

export const MODE_SENSE = command({
  direction: 'in',
  transfer: cdbTransfer,
  medium: false,
  run: modeSense,
});

function modeSense(unit: ScsiUnit, request: ScsiRequest): false {
  const { cdb } = request;
  const code = cdb[2]! & 0x3f;
  const control = cdb[2]! >>> 6;
  const bytes = unit.thread.scratch;
  const six = cdb[0] === MODE_SENSE_6;
  const descriptor = (cdb[1]! & DBD) === 0;
  const at = fillHeader(unit, six, descriptor, bytes);
  if (control === PC_SAVED) return check(request, SENSE_SAVING_NOT_SUPPORTED);
  const subpage = cdb[3]!;
  if (subpage !== 0 && !(code === MODE_PAGE_ALL && subpage === SUBPAGES_ALL)) {
    return check(request, SENSE_INVALID_FIELD_IN_CDB);
  }
  const end = fillPages(unit, code, control, bytes, at);
  if (end < 0) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  if (six) bytes[0] = end - 1;
  else put16(bytes, 0, end - 2);
  return reply(request, bytes, end);
}

/** Header and block descriptor. Returns where the pages begin. */
function fillHeader(unit: ScsiUnit, six: boolean, wanted: boolean, into: Uint8Array): number {
  const isDisk = unit.config.type === 'hd';
  const parameter = isDisk ? DPOFUA | (unit.writable ? 0 : WP) : 0;
  const { blocks } = unit;
  // A CD has none (MMC-6 6.10), nor has a unit without blocks.
  const length = wanted && isDisk && blocks > 0 ? DESCRIPTOR_BYTES : 0;
  const header = six ? 4 : 8;
  into.fill(0, 0, header + DESCRIPTOR_BYTES);
  if (six) {
    into[2] = parameter;
    into[3] = length;
  } else {
    into[3] = parameter;
    put16(into, 6, length);
  }
  if (length > 0) {
    put24(into, header + 1, blocks > DESCRIPTOR_BLOCKS_MAX ? 0 : blocks);
    put24(into, header + 5, unit.words.blockSize);
  }
  return header + length;
}

/** Returns the end of what is asked for, or -1. */
function fillPages(
  unit: ScsiUnit,
  code: number,
  control: number,
  into: Uint8Array,
  at: number,
): number {
  if (code !== MODE_PAGE_ALL) {
    const length = fillModePage(unit, code, control, into, at);
    return length < 0 ? -1 : at + length;
  }
  for (const page of modePages(unit)) at += fillModePage(unit, page, control, into, at);
  return at;
}
