/** WRITE SAME (10) and (16) (SBC-3 5.45, 5.46; SD-6): one block, many times. */

import { OP_WRITE, OP_WRITE_ZEROES, REQ_MAY_UNMAP } from '../block/driver.ts';
import { check, moved } from './answer.ts';
import { CDB_PROTECT, cdbLba, cdbTransfer } from './cdb.ts';
import {
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_LBA_OUT_OF_RANGE,
  SENSE_WRITE_PROTECTED,
  WRITE_SAME_16,
} from './codes.ts';
import { command } from './command.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';

// Byte 1
/** No data-out: write zeroes. Of the 10-byte command it is an obsolete bit, and must be 0. */
const NDOB = 0x01;
const UNMAP = 0x08;
/** LBDATA, PBDATA, ANCHOR. */
const NOT_SUPPORTED = 0x16;
/** Bytes that are written at once. */
const CHUNK_MAX = 512 * 1024;

export const WRITE_SAME = command({
  direction: 'out',
  transfer: (cdb, unit) => (isWithoutData(cdb) ? 0 : unit.words.blockSize),
  blocks: true,
  run: writeSame,
});

function isWithoutData(cdb: Uint8Array): boolean {
  return cdb[0] === WRITE_SAME_16 && (cdb[1]! & NDOB) !== 0;
}

function writeSame(unit: ScsiUnit, request: ScsiRequest): boolean {
  const { cdb, buffers } = request;
  const blocks = cdbTransfer(cdb);
  const refused = NOT_SUPPORTED | CDB_PROTECT | (cdb[0] === WRITE_SAME_16 ? 0 : NDOB);
  if (blocks === 0 || cdb[1]! & refused) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  if (!unit.writable) return check(request, SENSE_WRITE_PROTECTED);
  if (!unit.inRange(cdbLba(cdb), blocks)) return check(request, SENSE_LBA_OUT_OF_RANGE);
  const block = new Uint8Array(request.transfer);
  if (block.length > 0) buffers.copyOut(0, block);
  const { blockSize } = unit.words;
  if (block.every((byte) => byte === 0)) {
    const offset = cdbLba(cdb) * blockSize;
    request.perform(OP_WRITE_ZEROES, offset, blocks * blockSize, 'none', ended);
    if (cdb[1]! & UNMAP) request.flags = REQ_MAY_UNMAP;
    return true;
  }
  request.own = repeat(block, Math.min(blocks, Math.max(1, Math.floor(CHUNK_MAX / block.length))));
  request.cursor = 0;
  return nextChunk(unit, request);
}

function repeat(block: Uint8Array, times: number): Uint8Array {
  const chunk = new Uint8Array(block.length * times);
  for (let at = 0; at < chunk.length; at += block.length) chunk.set(block, at);
  return chunk;
}

function nextChunk(_unit: ScsiUnit, request: ScsiRequest): boolean {
  const { cdb, own, cursor, transfer } = request;
  const left = cdbTransfer(cdb) * transfer - cursor;
  if (left === 0) return moved(request);
  const length = Math.min(left, own.length);
  request.cursor += length;
  const offset = cdbLba(cdb) * transfer + cursor;
  return request.perform(OP_WRITE, offset, length, 'own', nextChunk);
}

function ended(_unit: ScsiUnit, request: ScsiRequest): false {
  return moved(request);
}
