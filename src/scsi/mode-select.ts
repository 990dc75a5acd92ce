/**
 * MODE SELECT (6) and (10) (SPC-4 6.9, 6.10; SD-9). Two passes: nothing is changed unless all of
 * it may be. Only the write cache and the block size can change.
 */

import { OP_FLUSH } from '../block/driver.ts';
import { SECTOR_SIZE } from '../spec.ts';
import { check, good, moved } from './answer.ts';
import { get16, get24 } from './bytes.ts';
import { cdbTransfer } from './cdb.ts';
import {
  MODE_PAGE_CACHING,
  MODE_SELECT_6,
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_INVALID_PARAMETER,
  SENSE_PARAMETER_LIST_LENGTH,
} from './codes.ts';
import { command } from './command.ts';
import { fillModePage, PAGE_HEADER, PC_CHANGEABLE, PC_CURRENT, WCE } from './mode-pages.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';

/** Byte 1: pages are in the standard's format; save them. */
const PF = 0x10;
const SP = 0x01;
/** Of a page's first byte: it has a subpage code and a longer header. */
const SPF = 0x40;
const DESCRIPTOR_BYTES = 8;
/** Block sizes that fit the descriptor's bytes that MODE SENSE gives back. */
const BLOCK_SIZE_MAX = 0xfe00;

export const MODE_SELECT = command({
  direction: 'out',
  transfer: cdbTransfer,
  run: modeSelect,
});

function modeSelect(unit: ScsiUnit, request: ScsiRequest): boolean {
  const { cdb, buffers, transfer } = request;
  if (transfer === 0) return good(request);
  if ((cdb[1]! & (PF | SP)) !== PF) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  const list = unit.thread.scratch.subarray(0, transfer);
  buffers.copyOut(0, list); // once: what is checked is what is applied
  const sense = apply(unit, list, cdb[0] === MODE_SELECT_6);
  if (sense !== 0) return check(request, sense);
  // Without a write cache there must be nothing left in one.
  if (unit.disk.writeCache) return moved(request);
  return request.perform(OP_FLUSH, 0, 0, 'none', ended);
}

function ended(_unit: ScsiUnit, request: ScsiRequest): false {
  return moved(request);
}

/** 0, or the sense of what is wrong; nothing has changed then. */
function apply(unit: ScsiUnit, list: Uint8Array, six: boolean): number {
  const header = six ? 4 : 8;
  if (list.length < header) return SENSE_PARAMETER_LIST_LENGTH;
  const descriptor = six ? list[3]! : get16(list, 6);
  if (descriptor !== 0 && descriptor !== DESCRIPTOR_BYTES) return SENSE_INVALID_PARAMETER;
  const pages = header + descriptor;
  if (list.length < pages) return SENSE_PARAMETER_LIST_LENGTH;
  const blockSize = descriptor ? get24(list, header + 5) : 0;
  if (blockSize !== 0 && !isBlockSize(unit, blockSize)) return SENSE_INVALID_PARAMETER;
  const sense = walkPages(unit, list, pages, checkPage);
  if (sense !== 0) return sense;
  if (blockSize !== 0) unit.words.blockSize = blockSize;
  return walkPages(unit, list, pages, applyPage);
}

/** 0 keeps what there is. */
function isBlockSize({ words, lane }: ScsiUnit, size: number): boolean {
  return size === words.blockSize || canBeBlockSize(size, lane.driver.alignment);
}

/** May a driver choose blocks of `size` bytes on a disk that is read and written in `alignment`? */
export function canBeBlockSize(size: number, alignment: number): boolean {
  const unit = Math.max(SECTOR_SIZE, alignment);
  return size > 0 && size % unit === 0 && size <= BLOCK_SIZE_MAX;
}

/** A page's values, behind its header. Returns 0 or a sense. */
type Visit = (unit: ScsiUnit, code: number, values: Uint8Array) => number;

function walkPages(unit: ScsiUnit, list: Uint8Array, at: number, visit: Visit): number {
  while (at < list.length) {
    const long = (list[at]! & SPF) !== 0;
    const header = long ? 4 : PAGE_HEADER;
    if (list.length - at < header) return SENSE_PARAMETER_LIST_LENGTH;
    const length = long ? get16(list, at + 2) : list[at + 1]!;
    if (long && list[at + 1] !== 0) return SENSE_INVALID_PARAMETER; // a subpage
    if (length > list.length - at - header) return SENSE_PARAMETER_LIST_LENGTH;
    const from = at + header;
    const sense = visit(unit, list[at]! & 0x3f, list.subarray(from, from + length));
    if (sense !== 0) return sense;
    at = from + length;
  }
  return 0;
}

const current = new Uint8Array(256);
const changeable = new Uint8Array(256);

/** What cannot be changed must be as MODE SENSE says that it is. */
function checkPage(unit: ScsiUnit, code: number, values: Uint8Array): number {
  const length = fillModePage(unit, code, PC_CURRENT, current, 0);
  if (length < 0 || length - PAGE_HEADER !== values.length) return SENSE_INVALID_PARAMETER;
  fillModePage(unit, code, PC_CHANGEABLE, changeable, 0);
  for (let i = 0; i < values.length; i++) {
    const at = PAGE_HEADER + i;
    if ((values[i]! ^ current[at]!) & ~changeable[at]!) return SENSE_INVALID_PARAMETER;
  }
  return 0;
}

function applyPage(unit: ScsiUnit, code: number, values: Uint8Array): number {
  if (code === MODE_PAGE_CACHING) unit.disk.writeCache = (values[0]! & WCE) !== 0;
  return 0;
}
