/**
 * Leaky buckets that all threads with a throttled disk share. A request pours its bytes, and one,
 * into the buckets of its kind; they leak at the rates that are set; while one is fuller than it
 * may be, requests wait. QEMU: `util/throttle.c`.
 *
 *   | lock | changes | time | iops-size | { avg, max, length, level, burst } x 6 |        doubles
 *
 * Any thread reads and writes all of it, under the lock, which is held for less than a microsecond.
 */

import type { Core } from '../engine/core.ts';
import { BUCKETS, type BucketLimit, type CheckedLimits } from './throttle-limits.ts';

const TIME = 1;
const IOPS_SIZE = 2;
const FIRST = 3;
const FIELDS = 5;
const AVG = 0;
const MAX = 1;
const LENGTH = 2;
/** Units above the ground, at most those of a burst. */
const LEVEL = 3;
/** For bursts of more than a second: what keeps their rate at `max`. */
const BURST = 4;
export const BUCKETS_BYTES = (FIRST + BUCKETS.length * FIELDS) * 8;

const SECOND = 1e9;
/** Without a burst rate a tenth of a second's units may come at once. */
const BURST_SHARE = 10;
/** Less than this above the rim is rounding. */
const EPSILON = 1e-6;
/** A lock that is not free after so many looks belongs to a thread that has died. */
const PATIENCE = 1e7;

/** Which way a request goes: the second half of the names of BUCKETS. */
export type Direction = typeof READS | typeof WRITES;
export const READS = 1;
export const WRITES = 2;

export class ThrottleBuckets {
  /** Core address, or 0 if the words lie in memory of their own: one thread's then. */
  readonly address: number;
  readonly #core: Core | null;
  readonly #owner: boolean;
  #i32!: Int32Array;
  #f64!: Float64Array;
  #buffer: ArrayBuffer | SharedArrayBuffer | null = null;
  /** This thread's clock plus this is the buckets' time. */
  #offset = Number.NEGATIVE_INFINITY;

  /** New buckets; with `address` those of another thread; without a core, this thread's alone. */
  constructor(core: Core | null, address = 0) {
    this.#core = core;
    this.#owner = core !== null && address === 0;
    this.address = address || (core?.allocate(BUCKETS_BYTES) ?? 0);
    if (!core) this.#view(new ArrayBuffer(BUCKETS_BYTES));
  }

  /** Frees the words, where they were allocated. */
  close(): void {
    if (this.#owner) this.#core?.free(this.address);
  }

  /** Sets the limits, for all threads; the buckets are empty then. */
  write({ buckets, iopsSize }: CheckedLimits): void {
    this.#locked((f64) => {
      f64[IOPS_SIZE] = iopsSize;
      buckets.forEach(({ avg, max, length }, i) => {
        f64.set([avg, max, length, 0, 0], FIRST + i * FIELDS);
      });
      Atomics.add(this.#i32, (this.address >>> 2) + 1, 1);
    });
  }

  read(): CheckedLimits {
    return this.#locked((f64) => {
      const buckets = BUCKETS.map((_, i): BucketLimit => {
        const at = FIRST + i * FIELDS;
        return { avg: f64[at + AVG]!, max: f64[at + MAX]!, length: f64[at + LENGTH]! };
      });
      return { buckets, iopsSize: f64[IOPS_SIZE]! };
    });
  }

  /** How often limits were set. */
  get changes(): number {
    this.#refresh();
    return Atomics.load(this.#i32, (this.address >>> 2) + 1);
  }

  /**
   * Counts a request of `bytes`, and returns after how many nanoseconds it may go. It is counted
   * now, though it goes later, so that threads take turns: with one request of each that waits,
   * they go as they came. `now`: this thread's clock in ns.
   */
  pass(direction: Direction, bytes: number, now: number): number {
    return this.#locked((f64) => {
      leak(f64, this.#elapsed(f64, now));
      const wait = waitFor(f64, direction);
      account(f64, direction, bytes);
      return wait;
    });
  }

  /** The clock of this thread has changed for another: `now` counts from somewhere else. */
  clockChanged(): void {
    this.#offset = Number.NEGATIVE_INFINITY;
  }

  /**
   * Nanoseconds since any thread looked last. Clocks of threads differ, and stand still at
   * different moments; so each counts from where the buckets' time stood when it looked first, and
   * who has fallen behind catches up with who is furthest.
   */
  #elapsed(f64: Float64Array, now: number): number {
    const before = f64[TIME] as number;
    if (now + this.#offset < before || this.#offset === Number.NEGATIVE_INFINITY) {
      this.#offset = before - now;
      return 0;
    }
    f64[TIME] = now + this.#offset;
    return f64[TIME] - before;
  }

  #locked<T>(step: (f64: Float64Array) => T): T {
    this.#refresh();
    const lock = this.address >>> 2;
    // A holder that has died costs the others a wait, and at worst a request that was not counted.
    for (let looks = 0; Atomics.exchange(this.#i32, lock, 1) !== 0 && looks < PATIENCE; ) looks++;
    try {
      return step(this.#f64);
    } finally {
      Atomics.store(this.#i32, lock, 0);
    }
  }

  /** Memory that has grown has a new buffer. */
  #refresh(): void {
    if (this.#core) this.#view(this.#core.memory.buffer);
  }

  #view(buffer: ArrayBuffer | SharedArrayBuffer): void {
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    this.#i32 = new Int32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
    this.#f64 = new Float64Array(buffer, this.address, BUCKETS_BYTES / 8);
  }
}

function leak(f64: Float64Array, elapsed: number): void {
  const seconds = elapsed / SECOND;
  for (let at = FIRST; at < f64.length; at += FIELDS) {
    f64[at + LEVEL] = Math.max(0, f64[at + LEVEL]! - f64[at + AVG]! * seconds);
    f64[at + BURST] = Math.max(0, f64[at + BURST]! - f64[at + MAX]! * seconds);
  }
}

/** The longest wait that any bucket of the direction demands, in ns. */
function waitFor(f64: Float64Array, direction: Direction): number {
  let wait = 0;
  for (let i = 0; i < BUCKETS.length; i++) {
    if (i % 3 !== 0 && i % 3 !== direction) continue;
    wait = Math.max(wait, waitOf(f64, FIRST + i * FIELDS));
  }
  return wait;
}

function waitOf(f64: Float64Array, at: number): number {
  const [avg, max, length] = [f64[at + AVG]!, f64[at + MAX]!, f64[at + LENGTH]!];
  if (avg === 0) return 0;
  const size = max > 0 ? max * length : avg / BURST_SHARE;
  const extra = f64[at + LEVEL]! - size;
  if (extra > EPSILON) return Math.ceil((extra * SECOND) / avg);
  if (length <= 1) return 0;
  const burst = f64[at + BURST]! - max / BURST_SHARE;
  return burst > EPSILON ? Math.ceil((burst * SECOND) / max) : 0;
}

function account(f64: Float64Array, direction: Direction, bytes: number): void {
  const size = f64[IOPS_SIZE] as number;
  const requests = size > 0 && bytes > size ? bytes / size : 1;
  for (let i = 0; i < BUCKETS.length; i++) {
    if (i % 3 !== 0 && i % 3 !== direction) continue;
    const units = i < 3 ? bytes : requests;
    const at = FIRST + i * FIELDS;
    f64[at + LEVEL]! += units;
    if (f64[at + LENGTH]! > 1) f64[at + BURST]! += units;
  }
}
