/** UNMAP (SBC-3 5.28; SD-5): a list of ranges whose contents are not needed any more. */

import { OP_DISCARD } from '../block/driver.ts';
import { check, good, moved } from './answer.ts';
import { get16, get32, get64 } from './bytes.ts';
import { cdbTransfer } from './cdb.ts';
import {
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_LBA_OUT_OF_RANGE,
  SENSE_PARAMETER_LIST_LENGTH,
  SENSE_WRITE_PROTECTED,
} from './codes.ts';
import { command } from './command.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';

/** Byte 1. */
const ANCHOR = 0x01;
const HEADER = 8;
const DESCRIPTOR_SHIFT = 4;
const DESCRIPTOR = 1 << DESCRIPTOR_SHIFT;

export const UNMAP_COMMAND = command({ direction: 'out', transfer: cdbTransfer, run: unmap });

function unmap(unit: ScsiUnit, request: ScsiRequest): boolean {
  const { cdb, transfer, buffers } = request;
  if (cdb[1]! & ANCHOR) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  if (transfer === 0) return good(request);
  if (transfer < HEADER) return check(request, SENSE_PARAMETER_LIST_LENGTH);
  // Copied once, and anew when the command is tried again: from the first descriptor on.
  const list = new Uint8Array(transfer);
  buffers.copyOut(0, list);
  const dataLength = get16(list, 0);
  const descriptors = get16(list, 2);
  const fits = dataLength + 2 <= transfer && descriptors + HEADER <= transfer;
  if (!fits || descriptors % DESCRIPTOR !== 0) return check(request, SENSE_PARAMETER_LIST_LENGTH);
  if (!unit.writable) return check(request, SENSE_WRITE_PROTECTED);
  request.own = list.subarray(HEADER, HEADER + descriptors);
  request.cursor = 0;
  return nextDescriptor(unit, request);
}

/** One after the other: what is before a wrong one is done. */
function nextDescriptor(unit: ScsiUnit, request: ScsiRequest): boolean {
  const { own, cursor } = request;
  if (cursor === own.length) return moved(request);
  const lba = get64(own, cursor);
  const blocks = get32(own, cursor + 8);
  if (!unit.inRange(lba, blocks)) return check(request, SENSE_LBA_OUT_OF_RANGE);
  request.cursor += DESCRIPTOR;
  const { blockSize } = unit.words;
  return request.perform(OP_DISCARD, lba * blockSize, blocks * blockSize, 'none', nextDescriptor);
}
