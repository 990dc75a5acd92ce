/** Overlays for tests, on disks that keep a journal: what a power cut leaves can be made from it. */

import { expect } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import {
  type BlockDriver,
  type BlockRequest,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  PENDING,
} from '#src/block/driver';
import { gather, scatter } from '#src/block/io-vector';
import type { OverlayDriver } from '#src/block/overlay';
import { openOverlay } from '#src/block/overlay-open';
import type { Core } from '#src/engine/core';

export const SECTOR = 512;

/** A write, or null: a flush that has ended. */
export type Entry = { readonly offset: number; readonly data: Uint8Array } | null;

export class JournalDisk implements BlockDriver {
  readonly driver = 'journal';
  readonly settles: 'inline' | 'loop';
  readonly threads = 'one';
  readonly readOnly: boolean = false;
  readonly alignment = 1;
  readonly clusterDisk = 0;
  bytes: Uint8Array;
  readonly journal: Entry[] = [];
  reads = 0;
  /** Requests that wait for `release`. */
  holds: ((request: BlockRequest) => boolean) | null = null;
  readonly #held: BlockRequest[] = [];
  /** Requests that fail, with this errno. */
  fails: ((request: BlockRequest) => number) | null = null;

  constructor(bytes: Uint8Array, settles: 'inline' | 'loop' = 'inline') {
    this.bytes = bytes;
    this.settles = settles;
  }

  get size(): number {
    return this.bytes.length;
  }

  submit(request: BlockRequest): number {
    if (this.settles === 'inline') return this.#carryOut(request);
    if (this.holds?.(request)) {
      this.#held.push(request);
      return PENDING;
    }
    const turns = 1 + Math.floor(Math.random() * 3);
    let left = turns;
    const later = () => {
      if (--left > 0) setImmediate(later);
      else request.settle(this.#carryOut(request));
    };
    setImmediate(later);
    return PENDING;
  }

  /** How many are held. */
  get held(): number {
    return this.#held.length;
  }

  /** Lets all that are held go on. */
  release(): void {
    for (const request of this.#held.splice(0)) request.settle(this.#carryOut(request));
  }

  #carryOut(request: BlockRequest): number {
    const { op, offset, length, vector } = request;
    const failure = this.fails?.(request) ?? 0;
    if (failure) return failure;
    if (op === OP_READ) {
      this.reads += 1;
      const there = Math.max(0, Math.min(length, this.size - offset));
      scatter(vector, 0, this.bytes, offset, there);
      return there;
    }
    if (op === OP_FLUSH) {
      this.journal.push(null);
      return 0;
    }
    if (op === OP_DISCARD) return 0;
    const data = new Uint8Array(length);
    if (op === OP_WRITE) gather(vector, 0, data, 0, length);
    this.bytes.set(data, offset);
    this.journal.push({ offset, data });
    return op === OP_WRITE ? length : 0;
  }

  truncate(size: number): number {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
    return 0;
  }

  close(): void {}
}

export const core: Core = await openCore({ ramBytes: 65_536 });
export const context = new AioContext(core, { sleeper: 'loop' });

export function open(
  base: BlockDriver,
  top: BlockDriver,
  more: Record<string, unknown> = {},
): Promise<OverlayDriver> {
  return openOverlay(core, { base, top, ...more }, { main: true, context });
}

/** Sectors, each filled with a number of its own. */
export function sectors(count: number, first: number): Uint8Array {
  const words = new Uint32Array((count * SECTOR) / 4);
  for (let i = 0; i < count; i++) words.fill(first + i, (i * SECTOR) / 4, ((i + 1) * SECTOR) / 4);
  return new Uint8Array(words.buffer);
}

/** As `toEqual`, which takes its time over long arrays; the message has the first byte that differs. */
export function same(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).toBe(expected.length);
  const differs = Buffer.compare(actual, expected) !== 0;
  expect(differs ? actual.findIndex((byte, i) => byte !== expected[i]) : -1).toBe(-1);
}

/** A sequence that a seed decides. */
export function random(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
