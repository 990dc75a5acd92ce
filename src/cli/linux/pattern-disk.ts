/** A disk to look at: its bytes follow from their places, and nothing can be written. */

import { type BlockDriver, type BlockRequest, OP_FLUSH, OP_READ } from '../../block/driver.ts';
import { EPERM } from '../../spec.ts';

export class PatternDisk implements BlockDriver {
  readonly driver = 'pattern';
  readonly settles = 'inline';
  readonly threads = 'one';
  readonly readOnly = true;
  readonly alignment = 1;
  readonly clusterDisk = 0;
  readonly size: number;

  /** `size`: bytes, a multiple of 512. */
  constructor(size: number) {
    this.size = size;
  }

  submit({ op, offset, length, vector }: BlockRequest): number {
    if (op === OP_FLUSH) return 0;
    if (op !== OP_READ) return -EPERM;
    const { bytes, count, starts, lengths } = vector;
    let place = offset;
    for (let n = 0; n < count; n++) {
      fillPattern(bytes.subarray(starts[n], starts[n]! + lengths[n]!), place);
      place += lengths[n]!;
    }
    return length;
  }

  truncate(): number {
    return -EPERM;
  }

  close(): void {}
}

/** The bytes that a pattern disk has from `offset` on. */
export function fillPattern(bytes: Uint8Array, offset: number): void {
  for (let n = 0; n < bytes.length; n++) bytes[n] = Math.imul(offset + n, 0x9e3779b1) >>> 24;
}
