/** What a lane looks at before a request reaches the driver (BB-4, BB-22). */

import {
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_F_WRITE_CACHE,
  BACKEND_FLAGS,
  BACKEND_QUIESCE,
} from '../layout.ts';
import { EINVAL, EIO, ENOMEDIUM, EPERM, SECTOR_SIZE } from '../spec.ts';
import { OP_FLUSH, OP_READ, OP_WRITE, OP_WRITE_ZEROES, REQ_FUA } from './driver.ts';
import type { LaneRequest } from './lane-request.ts';

/** `verdictOf`: the request may go on to the driver. */
export const GO_ON = 1;

/**
 * GO_ON; 0: nothing is to be done, successfully; or a negative errno. `backend` is the address of
 * the BACKEND_* words in `u32`. QEMU: `blk_check_byte_request`, `bdrv_check_request`.
 */
export function verdictOf(
  request: LaneRequest,
  u32: Uint32Array,
  backend: number,
  alignment: number,
): number {
  const { op, offset, length } = request;
  const flags = u32[(backend + BACKEND_FLAGS) >>> 2] as number;
  const end = offset + length;
  if (!(offset >= 0 && length >= 0 && Number.isSafeInteger(end))) return -EIO;
  if (flags & BACKEND_F_NO_MEDIUM) return -ENOMEDIUM;
  const readOnly = (flags & BACKEND_F_READ_ONLY) !== 0;
  if (op === OP_FLUSH) return readOnly ? 0 : GO_ON;
  if (end > capacityOf(u32, backend)) return -EIO;
  if (readOnly && op !== OP_READ) return -EPERM;
  if (alignment > 1 && (offset % alignment !== 0 || length % alignment !== 0)) return -EINVAL;
  return length === 0 ? 0 : GO_ON;
}

/** REQ_* with which a request goes on: with the write cache off every write is FUA (BB-21). */
export function flagsOf({ op, flags }: LaneRequest, u32: Uint32Array, backend: number): number {
  if (op !== OP_WRITE && op !== OP_WRITE_ZEROES) return flags;
  const cached = (u32[(backend + BACKEND_FLAGS) >>> 2] as number) & BACKEND_F_WRITE_CACHE;
  return cached ? flags : flags | REQ_FUA;
}

/** Do all segments begin and end at multiples of `alignment`? */
export function isAligned({ vector }: LaneRequest, alignment: number): boolean {
  const { count, starts, lengths } = vector;
  for (let i = 0; i < count; i++) {
    if (starts[i]! % alignment !== 0 || lengths[i]! % alignment !== 0) return false;
  }
  return true;
}

/** Has somebody begun to drain since the caller's batch passed the gate? */
export function gateCloses(u32: Uint32Array, backend: number): boolean {
  return Atomics.load(u32, (backend + BACKEND_QUIESCE) >>> 2) !== 0;
}

/** Bytes of the disk. */
export function capacityOf(u32: Uint32Array, backend: number): number {
  const sectors =
    (u32[(backend + BACKEND_CAPACITY_HI) >>> 2] as number) * 0x1_0000_0000 +
    (u32[(backend + BACKEND_CAPACITY_LO) >>> 2] as number);
  return sectors * SECTOR_SIZE;
}

/** What the caller must get right: an Error, not an errno. */
export function checkRequest(request: LaneRequest): void {
  const { op, length, vector, transfer, free } = request;
  if (free || transfer.busy) throw new Error('a request was submitted twice');
  if (op < OP_READ || op > OP_WRITE_ZEROES) throw new Error(`there is no operation ${op}`);
  const data = op === OP_READ || op === OP_WRITE;
  if (data && vector.total !== length && length >= 0) {
    throw new Error(`a request of ${length} bytes has a vector of ${vector.total}`);
  }
}
