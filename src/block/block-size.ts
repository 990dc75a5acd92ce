/**
 * Sizes of blocks that a disk shows: powers of two, in bytes. What is wrong throws an `OptionError`
 * that names the option, its value and what is allowed. QEMU: `blkconf_blocksizes`.
 */

import { SECTOR_SIZE } from '../spec.ts';
import { OptionError } from './error.ts';

/** QEMU: MAX_BLOCK_SIZE. */
const BLOCK_SIZE_MAX = 2_097_152;

/** The smallest request, for a disk that is read and written in blocks of `alignment` bytes. */
export function logicalBlockSizeOption(size: number, alignment: number): number {
  checkBlockSize('logical_block_size', size);
  if (size >= alignment) return size;
  const allowed = `at least ${alignment}: the disk is read and written in blocks of that size`;
  throw new OptionError('logical_block_size', size, allowed);
}

/** What a guest is told of the medium's own blocks, of a disk with blocks of `logical` bytes. */
export function physicalBlockSizeOption(size: number, logical: number): number {
  checkBlockSize('physical_block_size', size);
  if (size >= logical) return size;
  const allowed = `at least logical_block_size, which is ${logical}`;
  throw new OptionError('physical_block_size', size, allowed);
}

export function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && Number.isInteger(Math.log2(value));
}

function checkBlockSize(option: string, size: number): void {
  if (isPowerOfTwo(size) && size >= SECTOR_SIZE && size <= BLOCK_SIZE_MAX) return;
  throw new OptionError(option, size, `powers of two from ${SECTOR_SIZE} to ${BLOCK_SIZE_MAX}`);
}
