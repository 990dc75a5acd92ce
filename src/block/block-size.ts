/** What a backend may be told of its logical blocks. */

import { SECTOR_SIZE } from '../spec.ts';
import type { BlockDriver } from './driver.ts';
import { OptionError } from './error.ts';

/** QEMU: MAX_BLOCK_SIZE. */
const BLOCK_SIZE_MAX = 2_097_152;

/**
 * Throws an OptionError unless `size` bytes can be the smallest request to a disk of `driver`, if
 * there is one.
 */
export function checkBlockSize(size: number, driver?: BlockDriver): void {
  const alignment = driver?.alignment ?? 1;
  const log = Math.log2(size);
  if (!Number.isInteger(log) || size < SECTOR_SIZE || size > BLOCK_SIZE_MAX) {
    const allowed = `powers of two from ${SECTOR_SIZE} to ${BLOCK_SIZE_MAX}`;
    throw new OptionError('logical_block_size', size, allowed);
  }
  if (alignment <= size) return;
  const allowed = `at least ${alignment}: the disk is read and written in blocks of that size`;
  throw new OptionError('logical_block_size', size, allowed);
}
