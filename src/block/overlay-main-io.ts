/** What main does on disks by itself, outside of requests: opening, commit, rebase of overlays. */

import type { Core } from '../engine/core.ts';
import { ENOTSUP } from '../spec.ts';
import { BouncePool, type BounceSlot } from './bounce.ts';
import {
  type BlockDriver,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_MAY_UNMAP,
  type Settles,
} from './driver.ts';
import { BlockError, codeOf } from './error.ts';
import { command, type End, flush, transfer } from './overlay-io.ts';

/** Bytes of a buffer: at least a cluster. */
export const CHUNK = 65_536;

/** Rejects with a BlockError. Two buffers: contents may be compared. Close it. */
export class MainIo {
  readonly #core: Core;
  readonly #pool: BouncePool;
  readonly #slots: BounceSlot[] = [];

  /** `settles`: of the slowest of the disks. */
  constructor(core: Core, settles: Settles) {
    this.#core = core;
    const options = { slotBytes: CHUNK, slots: 2, inCore: settles === 'word' };
    this.#pool = new BouncePool(core, options);
    for (let i = 0; i < 2; i++) this.#slots.push(this.#pool.take() as BounceSlot);
  }

  close(): void {
    for (const slot of this.#slots.splice(0)) this.#pool.give(slot);
    this.#pool.close();
  }

  /** The `length` bytes of buffer `index`, until something is read into it or memory grows. */
  bytes(length: number, index: 0 | 1 = 0): Uint8Array {
    const slot = this.#slots[index] as BounceSlot;
    return slot.bytes.subarray(slot.start, slot.start + length);
  }

  /** Reads up to CHUNK bytes into buffer `index`. */
  async read(
    disk: BlockDriver,
    offset: number,
    length: number,
    index: 0 | 1 = 0,
  ): Promise<Uint8Array> {
    const whole = Math.ceil(length / disk.alignment) * disk.alignment;
    await this.#move(disk, OP_READ, offset, whole, index);
    return this.bytes(length, index);
  }

  /** Writes the first bytes of buffer `index`. */
  write(disk: BlockDriver, offset: number, length: number, index: 0 | 1 = 0): Promise<void> {
    return this.#move(disk, OP_WRITE, offset, length, index);
  }

  /** Reads by a way of the caller's into buffer `index`. */
  async fill(
    length: number,
    index: 0 | 1,
    read: (slot: BounceSlot, end: End) => void,
  ): Promise<Uint8Array> {
    await ended('read', 0, length, (end) => read(this.#slots[index] as BounceSlot, end));
    return this.bytes(length, index);
  }

  async zero(disk: BlockDriver, offset: number, length: number): Promise<void> {
    const result = await new Promise<number>((end) => {
      command(disk, OP_WRITE_ZEROES, offset, length, REQ_MAY_UNMAP, end);
    });
    if (result >= 0) return;
    if (result !== -ENOTSUP) throw failure('write-zeroes', result, offset, length);
    this.bytes(CHUNK).fill(0);
    for (let at = 0; at < length; at += CHUNK) {
      await this.write(disk, offset + at, Math.min(CHUNK, length - at));
    }
  }

  flush(disk: BlockDriver): Promise<void> {
    return ended('flush', 0, 0, (end) => flush(disk, end));
  }

  #move(
    disk: BlockDriver,
    op: typeof OP_READ | typeof OP_WRITE,
    offset: number,
    length: number,
    index: 0 | 1,
  ): Promise<void> {
    const slot = this.#slots[index] as BounceSlot;
    const name = op === OP_READ ? 'read' : 'write';
    return ended(name, offset, length, (end) => {
      transfer(this.#core, disk, op, offset, slot.use(length), length, end);
    });
  }
}

async function ended(
  operation: string,
  offset: number,
  length: number,
  start: (end: End) => void,
): Promise<void> {
  const result = await new Promise<number>(start);
  if (result < 0) throw failure(operation, result, offset, length);
}

function failure(operation: string, result: number, offset: number, length: number): BlockError {
  return new BlockError(codeOf(result), operation, { offset, length });
}
