/** READ, WRITE, WRITE AND VERIFY, VERIFY, SYNCHRONIZE CACHE, SEEK (SBC-3 5; SD-1, SD-4, SD-7). */

import { OP_FLUSH, OP_READ, OP_WRITE, REQ_FUA } from '../block/driver.ts';
import { check, good, moved } from './answer.ts';
import { CDB_FUA, CDB_PROTECT, cdbBlocks, cdbLba } from './cdb.ts';
import {
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_LBA_OUT_OF_RANGE,
  SENSE_WRITE_PROTECTED,
  WRITE_AND_VERIFY_10,
  WRITE_AND_VERIFY_12,
  WRITE_AND_VERIFY_16,
} from './codes.ts';
import { command } from './command.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';

/** BYTCHK of VERIFY, byte 1: compare with data, or with one block again and again. */
const BYTCHK = 0x06;

const transfer = (cdb: Uint8Array, unit: ScsiUnit) => cdbBlocks(cdb) * unit.words.blockSize;

export const READ = command({ direction: 'in', transfer, blocks: true, run: read });
export const WRITE = command({ direction: 'out', transfer, blocks: true, run: write });
export const VERIFY = command({ run: verify });
export const SYNCHRONIZE_CACHE = command({ run: synchronizeCache });
export const SEEK = command({ run: seek });

/** 0, or the sense of what is wrong with protection bits or range. */
function wrong(unit: ScsiUnit, request: ScsiRequest): number {
  const { cdb } = request;
  if (cdb[1]! & CDB_PROTECT) return SENSE_INVALID_FIELD_IN_CDB;
  return unit.inRange(cdbLba(cdb), cdbBlocks(cdb)) ? 0 : SENSE_LBA_OUT_OF_RANGE;
}

/** The 6-byte commands have their address where others have FUA. */
function isFua(cdb: Uint8Array): boolean {
  switch (cdb[0]) {
    case WRITE_AND_VERIFY_10: // what is verified is what is on the medium
    case WRITE_AND_VERIFY_12:
    case WRITE_AND_VERIFY_16:
      return true;
    default:
      return cdb[0]! >= 0x20 && (cdb[1]! & CDB_FUA) !== 0;
  }
}

function read(unit: ScsiUnit, request: ScsiRequest): boolean {
  const sense = wrong(unit, request);
  if (sense !== 0) return check(request, sense);
  if (request.transfer === 0) return good(request);
  // What is read is on stable storage already.
  if (isFua(request.cdb)) return request.perform(OP_FLUSH, 0, 0, 'none', readData);
  return readData(unit, request);
}

function readData(unit: ScsiUnit, request: ScsiRequest): true {
  const offset = cdbLba(request.cdb) * unit.words.blockSize;
  return request.perform(OP_READ, offset, request.transfer, 'in', ended);
}

function write(unit: ScsiUnit, request: ScsiRequest): boolean {
  if (!unit.writable) return check(request, SENSE_WRITE_PROTECTED);
  const sense = wrong(unit, request);
  if (sense !== 0) return check(request, sense);
  if (request.transfer === 0) return good(request);
  const offset = cdbLba(request.cdb) * unit.words.blockSize;
  request.perform(OP_WRITE, offset, request.transfer, 'out', ended);
  if (isFua(request.cdb)) request.flags = REQ_FUA;
  return true;
}

function ended(_unit: ScsiUnit, request: ScsiRequest): false {
  return moved(request);
}

/** Without data there is nothing to compare: what is there can be read, as far as we know. */
function verify(unit: ScsiUnit, request: ScsiRequest): false {
  if (request.cdb[1]! & BYTCHK) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  const sense = wrong(unit, request);
  return sense === 0 ? good(request) : check(request, sense);
}

/** The whole disk, whatever range is asked for. */
function synchronizeCache(_unit: ScsiUnit, request: ScsiRequest): true {
  return request.perform(OP_FLUSH, 0, 0, 'none', ended);
}

function seek(unit: ScsiUnit, request: ScsiRequest): false {
  if (unit.inRange(cdbLba(request.cdb), 1)) return good(request);
  return check(request, SENSE_LBA_OUT_OF_RANGE);
}
