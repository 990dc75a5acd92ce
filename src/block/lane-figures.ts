/**
 * Figures of a lane (BB-27), in shared words (LANE_*): the engine counts there, too, and main reads
 * those of lanes on other threads. One thread writes. QEMU: `block/accounting.c`.
 */

import type { Core } from '../engine/core.ts';
import {
  LANE_DISCARD_BYTES,
  LANE_DISCARD_OPS,
  LANE_FAILED,
  LANE_FLUSH_OPS,
  LANE_INVALID,
  LANE_MERGED,
  LANE_READ_BYTES,
  LANE_READ_OPS,
  LANE_TIMED,
  LANE_WRITE_BYTES,
  LANE_WRITE_OPS,
} from '../layout.ts';
import { type BlockOp, OP_FLUSH } from './driver.ts';

const WORD = 0x1_0000_0000;

/** Kinds of figures: WRITE_ZEROES counts as a write, as in QEMU. */
const KINDS = ['read', 'write', 'flush', 'discard'] as const;
type Kind = (typeof KINDS)[number];

const OPS: Readonly<Record<Kind, number>> = {
  read: LANE_READ_OPS,
  write: LANE_WRITE_OPS,
  flush: LANE_FLUSH_OPS,
  discard: LANE_DISCARD_OPS,
};

/** A flush has no bytes. */
const BYTES: Readonly<Record<Kind, number>> = {
  read: LANE_READ_BYTES,
  write: LANE_WRITE_BYTES,
  flush: 0,
  discard: LANE_DISCARD_BYTES,
};

/** Bytes of a pair under LANE_TIMED. */
const TIMED_SIZE = 16;

/** Of the requests that settle at once, one in so many is timed: reading a clock is not free. */
export const TIMED_ONE_IN = 1024;
/**
 * A time that was not taken. No integer: a field that holds nanoseconds is one for doubles from its
 * first value on. They outgrow V8's small integers after two seconds, and all code that was
 * optimized for the object would be thrown away then.
 */
export const NOT_TIMED = Number.NaN;

export interface OperationFigures {
  /** Requests that succeeded. */
  operations: number;
  bytes: number;
  /**
   * Time that they took, in ns: what was timed, scaled to all of them. All requests that settle
   * later are timed, and one in 1024 of those that settle at once.
   */
  latencyNs: number;
}

export interface BackendStats {
  read: OperationFigures;
  write: OperationFigures;
  flush: OperationFigures;
  discard: OperationFigures;
  /** Reached the driver and failed. */
  failed: number;
  /** Refused before the driver: range, read-only, no medium. */
  invalid: number;
  /** Requests that were saved by merging neighbours. */
  merged: number;
}

/** By operation: kind, and where its words lie. Typed arrays, so that counting is no look-up. */
const KIND_OF = Uint8Array.of(0, 1, 2, 3, 1);
const OPS_AT = Uint32Array.from(KIND_OF, (kind) => OPS[KINDS[kind] as Kind]);
const BYTES_AT = Uint32Array.from(KIND_OF, (kind) => BYTES[KINDS[kind] as Kind]);

/** `u32` is a view of core memory that is good at the moment of the call. */
export class LaneFigures {
  readonly #core: Core;
  readonly #lane: number;

  /** `lane`: address of the LANE_* words. */
  constructor(core: Core, lane: number) {
    this.#core = core;
    this.#lane = lane;
  }

  /** Counts `operations` requests that succeeded, of `bytes` in all. */
  succeeded(u32: Uint32Array, op: BlockOp, bytes: number, operations = 1): void {
    add(u32, this.#lane + (OPS_AT[op] as number), operations);
    if (op !== OP_FLUSH) add(u32, this.#lane + (BYTES_AT[op] as number), bytes);
  }

  failed(u32: Uint32Array): void {
    add(u32, this.#lane + LANE_FAILED, 1);
  }

  invalid(u32: Uint32Array): void {
    add(u32, this.#lane + LANE_INVALID, 1);
  }

  merged(u32: Uint32Array, requests: number): void {
    add(u32, this.#lane + LANE_MERGED, requests);
  }

  took(op: BlockOp, ns: number): void {
    const at = this.#lane + LANE_TIMED + (KIND_OF[op] as number) * TIMED_SIZE;
    const { u32 } = this.#core;
    add(u32, at, Math.max(0, Math.round(ns)));
    add(u32, at + 8, 1);
  }

  /** Adds this lane's figures to a sum. */
  addTo(sum: BackendStats, u32: Uint32Array): void {
    KINDS.forEach((kind, i) => {
      const operations = get(u32, this.#lane + OPS[kind]);
      const at = this.#lane + LANE_TIMED + i * TIMED_SIZE;
      const timed = get(u32, at + 8);
      const mean = timed === 0 ? 0 : get(u32, at) / timed;
      sum[kind].operations += operations;
      if (kind !== 'flush') sum[kind].bytes += get(u32, this.#lane + BYTES[kind]);
      sum[kind].latencyNs += Math.round(mean * operations);
    });
    sum.failed += get(u32, this.#lane + LANE_FAILED);
    sum.invalid += get(u32, this.#lane + LANE_INVALID);
    sum.merged += get(u32, this.#lane + LANE_MERGED);
  }
}

/** Figures of a disk that has done nothing. */
export function noStats(): BackendStats {
  const none = () => ({ operations: 0, bytes: 0, latencyNs: 0 });
  return {
    read: none(),
    write: none(),
    flush: none(),
    discard: none(),
    failed: 0,
    invalid: 0,
    merged: 0,
  };
}

/** Adds to a pair of words that this thread alone writes. */
function add(u32: Uint32Array, address: number, value: number): void {
  const lo = (u32[address >>> 2] as number) + value;
  u32[address >>> 2] = lo >>> 0;
  if (lo >= WORD) u32[(address >>> 2) + 1]! += Math.floor(lo / WORD);
}

function get(u32: Uint32Array, address: number): number {
  return (u32[(address >>> 2) + 1] as number) * WORD + (u32[address >>> 2] as number);
}
