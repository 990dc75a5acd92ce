/** What the blocks of a drive must hold. A job asks when it writes a block, and when it checks. */

import { closeSync, openSync, readSync } from 'node:fs';
import { findWrong, stamp } from './stamp.ts';

export interface Contents {
  /** Fills the data of the next write of `block`, at byte `at` of the guest's memory. */
  write(buffer: Uint32Array, at: number, block: number): void;
  /** The first byte on the disk at which data read from `block` is wrong, or -1. */
  findWrong(buffer: Uint32Array, at: number, block: number): number;
  close(): void;
}

/** A drive that the bench has written itself, and may write again. */
export class StampedContents implements Contents {
  readonly #blockBytes: number;
  /** How often each block was written. */
  readonly #generations: Uint32Array;

  constructor(blocks: number, blockBytes: number) {
    this.#blockBytes = blockBytes;
    this.#generations = new Uint32Array(blocks);
  }

  write(buffer: Uint32Array, at: number, block: number): void {
    this.#generations[block]! += 1;
    stamp(buffer, at >>> 2, this.#blockBytes, ...this.#expected(block));
  }

  findWrong(buffer: Uint32Array, at: number, block: number): number {
    return findWrong(buffer, at >>> 2, this.#blockBytes, ...this.#expected(block));
  }

  close(): void {}

  #expected(block: number): [offset: number, generation: number] {
    return [block * this.#blockBytes, this.#generations[block]!];
  }
}

/** A file that is only read: what the system's own reads say is right. */
export class FileContents implements Contents {
  readonly #fd: number;
  readonly #expected: Uint8Array;

  constructor(filename: string, blockBytes: number) {
    this.#fd = openSync(filename, 'r');
    this.#expected = new Uint8Array(blockBytes);
  }

  write(): never {
    throw new Error('this drive is only read');
  }

  findWrong(buffer: Uint32Array, at: number, block: number): number {
    const bytes = this.#expected.length;
    this.#expected.fill(0); // beyond the file's end there are zeroes
    for (let done = 0; done < bytes; ) {
      const count = readSync(this.#fd, this.#expected, done, bytes - done, block * bytes + done);
      if (count === 0) break;
      done += count;
    }
    const found = new Uint8Array(buffer.buffer, at, bytes);
    const wrong = this.#expected.findIndex((byte, i) => byte !== found[i]);
    return wrong < 0 ? -1 : block * bytes + wrong;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
