/**
 * Command descriptor blocks: their length by group (SD-15), where the address and the count lie,
 * and the short way for reads and writes. Nothing here looks beyond the CDB.
 * QEMU: `scsi_cdb_length`, `scsi_cdb_xfer`, `scsi_cmd_lba`.
 */

import { OP_READ, OP_WRITE } from '../block/driver.ts';
import { get16, get24, get32, get64 } from './bytes.ts';
import {
  READ_6,
  READ_10,
  READ_12,
  READ_16,
  WRITE_6,
  WRITE_10,
  WRITE_12,
  WRITE_16,
} from './codes.ts';

/** Bytes of a CDB that are kept; the longest one that is understood has 16. */
export const CDB_BYTES = 32;

/** By group, the upper three bits of the operation code; 0: of a length that nobody knows. */
const LENGTHS = [6, 10, 10, 0, 16, 12, 0, 0] as const;

/** Protection information, byte 1. */
export const CDB_PROTECT = 0xe0;
/** Force unit access, byte 1. */
export const CDB_FUA = 0x08;

/** Bytes of the CDB with this operation code; 0: none. */
export function cdbLength(opcode: number): number {
  return LENGTHS[(opcode >>> 5) & 7]!;
}

/** First logical block. A double: 64 bits of it are rounded, far beyond the end of any disk. */
export function cdbLba(cdb: Uint8Array, at = 0): number {
  switch (cdb[at]! >>> 5) {
    case 0:
      return get24(cdb, at + 1) & 0x1f_ffff;
    case 4:
      return get64(cdb, at + 2);
    default:
      return get32(cdb, at + 2);
  }
}

/** Transfer length, allocation length or parameter list length, where its group has it. */
export function cdbTransfer(cdb: Uint8Array): number {
  return transferAt(cdb, 0);
}

function transferAt(cdb: Uint8Array, at: number): number {
  switch (cdb[at]! >>> 5) {
    case 0:
      return cdb[at + 4]!;
    case 4:
      return get32(cdb, at + 10);
    case 5:
      return get32(cdb, at + 6);
    default:
      return get16(cdb, at + 7);
  }
}

/** Blocks of a READ or WRITE: 0 of a 6-byte one are 256 (SD-1). */
export function cdbBlocks(cdb: Uint8Array, at = 0): number {
  const blocks = transferAt(cdb, at);
  return blocks === 0 && cdb[at]! >>> 5 === 0 ? 256 : blocks;
}

/** What `decodeTransfer` finds: bytes, on the disk. One object serves all calls. */
export interface PlainTransfer {
  op: typeof OP_READ | typeof OP_WRITE;
  offset: number;
  length: number;
}

/**
 * Is the CDB in `bytes[at ..]`, of which the initiator gave `given` bytes, a READ or WRITE (6, 10,
 * 12, 16) of at least one block and without options? Then fills in `into`. Anything else, what is
 * wrong included, is for `ScsiUnits.submit`. Checks no range. Allocates nothing.
 */
export function decodeTransfer(
  bytes: Uint8Array,
  at: number,
  given: number,
  blockSize: number,
  into: PlainTransfer,
): boolean {
  const opcode = bytes[at]!;
  switch (opcode) {
    case READ_6:
    case READ_10:
    case READ_12:
    case READ_16:
      into.op = OP_READ;
      break;
    case WRITE_6:
    case WRITE_10:
    case WRITE_12:
    case WRITE_16:
      into.op = OP_WRITE;
      break;
    default:
      return false;
  }
  if (given < cdbLength(opcode)) return false;
  const six = opcode < 0x20;
  if (bytes[at + 1]! & (six ? CDB_PROTECT : CDB_PROTECT | CDB_FUA)) return false;
  const blocks = cdbBlocks(bytes, at);
  if (blocks === 0) return false;
  into.offset = cdbLba(bytes, at) * blockSize;
  into.length = blocks * blockSize;
  return true;
}
