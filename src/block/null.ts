/**
 * The null disk: forgets what is written and finishes every request at once.
 * QEMU: `block/null.c` (null-co).
 */

import type { Core } from '../engine/core.ts';
import { EINVAL } from '../spec.ts';
import {
  type BlockDriver,
  type BlockRequest,
  type DriverSpec,
  OP_READ,
  OP_WRITE,
  type RequestTable,
} from './driver.ts';
import { zeroVector } from './io-vector.ts';
import { booleanOption, checkNames, type DriverOptions, sizeOption } from './option.ts';

const DEFAULT_SIZE = 2 ** 30;

export interface NullOptions {
  /** Bytes, a multiple of 512; default 1 GiB. */
  size?: number | string;
  /** Reads fill the buffers with zeroes; by default (`off`) they leave them as they are. */
  'read-zeroes'?: boolean | 'on' | 'off';
}

export class NullDriver implements BlockDriver {
  readonly driver = 'null';
  readonly settles = 'inline';
  readonly threads = 'any';
  readonly readOnly = false;
  readonly alignment = 1;
  readonly clusterDisk = 0;
  readonly fua = true;
  readonly #readZeroes: boolean;
  #size: number;

  constructor(size: number, readZeroes: boolean) {
    this.#size = size;
    this.#readZeroes = readZeroes;
  }

  get size(): number {
    return this.#size;
  }

  get share(): DriverSpec {
    return { driver: this.driver, options: { size: this.#size, 'read-zeroes': this.#readZeroes } };
  }

  resized(size: number): void {
    this.#size = size;
  }

  submit(request: BlockRequest): number {
    if (request.op === OP_READ) {
      if (this.#readZeroes) zeroVector(request.vector, 0, request.length);
      return request.length;
    }
    return request.op === OP_WRITE ? request.length : 0;
  }

  submitAll(
    op: typeof OP_READ | typeof OP_WRITE,
    table: RequestTable,
    bytes: Uint8Array,
    words: Uint32Array,
    gate: number,
  ): number {
    const { count, starts, lengths, results } = table;
    const zeroes = op === OP_READ && this.#readZeroes;
    for (let i = 0; i < count; i++) {
      if (words[gate] !== 0) return i;
      const length = lengths[i] as number;
      if (zeroes) bytes.fill(0, starts[i] as number, (starts[i] as number) + length);
      results[i] = length;
    }
    return count;
  }

  truncate(size: number): number {
    if (!Number.isSafeInteger(size) || size < 0) return -EINVAL;
    this.#size = size;
    return 0;
  }

  close(): void {}
}

export function openNull(_core: Core, options: DriverOptions): NullDriver {
  checkNames(options, 'null', ['size', 'read-zeroes']);
  const size = sizeOption(options, 'size', DEFAULT_SIZE, { unit: 512, min: 512 });
  return new NullDriver(size, booleanOption(options, 'read-zeroes', false));
}
