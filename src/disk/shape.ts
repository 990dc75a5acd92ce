/** What a disk is like, and which requests fit it: the same for the disk and all its clients. */

import { BlockError, OptionError } from '../block/error.ts';
import type { Core } from '../engine/core.ts';
import { BACKEND_CAPACITY_HI, BACKEND_CAPACITY_LO } from '../layout.ts';
import {
  SECTOR_SIZE,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
} from '../spec.ts';
import { operationOf } from './error.ts';

export interface ShapeNumbers {
  /** Core address of the backend's words, where the size stands. */
  readonly backend: number;
  /** Bytes of which offsets and lengths are multiples. */
  readonly blockSize: number;
  readonly readOnly: boolean;
  /** Most bytes of one DISCARD and of one WRITE_ZEROES. */
  readonly discardMax: number;
  readonly zeroesMax: number;
}

/** Most bytes of a request whose data lies in the caller's own shared buffer. */
const DIRECT_MAX = 4 * 1024 * 1024;

export class Shape {
  readonly numbers: ShapeNumbers;
  readonly #core: Core;

  constructor(core: Core, numbers: ShapeNumbers) {
    this.#core = core;
    this.numbers = numbers;
  }

  /** Bytes of the disk now: it may be resized. */
  get size(): number {
    const { u32 } = this.#core;
    const { backend } = this.numbers;
    const high = Atomics.load(u32, (backend + BACKEND_CAPACITY_HI) >>> 2);
    const low = Atomics.load(u32, (backend + BACKEND_CAPACITY_LO) >>> 2);
    return (high * 2 ** 32 + low) * SECTOR_SIZE;
  }

  /**
   * Refuses what no disk of this shape can do: an OptionError that names what is allowed, or a
   * BlockError EPERM for a change to a disk that is read-only.
   */
  check(type: number, offset: number, length: number): void {
    const { blockSize, readOnly } = this.numbers;
    const { size } = this;
    if (!Number.isSafeInteger(offset) || offset < 0 || offset % blockSize !== 0 || offset > size) {
      throw new OptionError('offset', offset, `multiples of ${blockSize} from 0 to ${size}`);
    }
    if (!Number.isSafeInteger(length) || length < 0 || length % blockSize !== 0) {
      throw new OptionError('length', length, `multiples of ${blockSize}`);
    }
    if (length > size - offset) {
      const most = `at most ${size - offset}: the disk has ${size} bytes`;
      throw new OptionError('length', length, most);
    }
    if (readOnly && type !== VIRTIO_BLK_T_IN) {
      throw new BlockError('EPERM', operationOf(type), { offset, length });
    }
  }

  /** Most bytes of one request of this type; longer ones are cut. `direct`: without a slot. */
  partMax(type: number, slotBytes: number, direct: boolean): number {
    const { blockSize, discardMax, zeroesMax } = this.numbers;
    if (type === VIRTIO_BLK_T_DISCARD) return discardMax;
    if (type === VIRTIO_BLK_T_WRITE_ZEROES) return zeroesMax;
    const most = direct ? DIRECT_MAX : slotBytes;
    return most - (most % blockSize);
  }
}

/** Does a request of this type move bytes of the caller's? */
export function movesData(type: number): boolean {
  return type === VIRTIO_BLK_T_IN || type === VIRTIO_BLK_T_OUT;
}
