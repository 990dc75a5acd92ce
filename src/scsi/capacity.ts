/** READ CAPACITY (10) and (16) (SBC-3 5.16, 5.17; SD-3). */

import { check, reply } from './answer.ts';
import { put32, put64 } from './bytes.ts';
import { cdbLba, cdbTransfer } from './cdb.ts';
import { SAI_READ_CAPACITY_16, SENSE_INVALID_FIELD_IN_CDB, SENSE_LUN_NOT_READY } from './codes.ts';
import { command } from './command.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';

const CAPACITY_10_BYTES = 8;
const CAPACITY_16_BYTES = 32;
/** Partial medium indicator: without it there must be no address. */
const PMI = 0x01;
/** Logical block provisioning is there: UNMAP may be used. */
const LBPME = 0x80;
/** A longer disk says this, and the driver asks with the 16-byte command. */
const LBA_CLIPPED = 0xffff_ffff;

export const READ_CAPACITY = command({
  direction: 'in',
  transfer: () => CAPACITY_10_BYTES,
  run: readCapacity10,
});
export const SERVICE_ACTION_IN = command({
  direction: 'in',
  transfer: cdbTransfer,
  run: serviceActionIn,
});

function readCapacity10(unit: ScsiUnit, request: ScsiRequest): false {
  const { cdb } = request;
  const { blocks, words, thread } = unit;
  if (blocks === 0) return check(request, SENSE_LUN_NOT_READY);
  if (!(cdb[8]! & PMI) && cdbLba(cdb) !== 0) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  put32(thread.scratch, 0, Math.min(blocks - 1, LBA_CLIPPED));
  put32(thread.scratch, 4, words.blockSize);
  return reply(request, thread.scratch, CAPACITY_10_BYTES);
}

function serviceActionIn(unit: ScsiUnit, request: ScsiRequest): false {
  const { cdb } = request;
  const { blocks, words, config, thread } = unit;
  const into = thread.scratch;
  if ((cdb[1]! & 0x1f) !== SAI_READ_CAPACITY_16) {
    return check(request, SENSE_INVALID_FIELD_IN_CDB);
  }
  if (blocks === 0) return check(request, SENSE_LUN_NOT_READY);
  if (!(cdb[14]! & PMI) && cdbLba(cdb) !== 0) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  into.fill(0, 0, CAPACITY_16_BYTES);
  put64(into, 0, blocks - 1);
  put32(into, 8, words.blockSize);
  into[13] = physicalExponent(config.physicalBlockSize, words.blockSize);
  if (config.type === 'hd' && config.discardGranularity > 0) into[14] = LBPME;
  return reply(request, into, CAPACITY_16_BYTES);
}

/** How many logical blocks a physical one has, as a power of two. */
function physicalExponent(physical: number, logical: number): number {
  return Math.max(0, Math.floor(Math.log2(physical / logical)));
}
