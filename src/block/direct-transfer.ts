/** A lane's short way to its driver: see `DirectBatch`. One per lane, on its thread. */

import type { Clock } from '../aio/clock.ts';
import type { Core } from '../engine/core.ts';
import {
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_F_WRITE_CACHE,
  BACKEND_FLAGS,
  BACKEND_QUIESCE,
  PLAIN_ROWS,
} from '../layout.ts';
import { EAGAIN, EIO } from '../spec.ts';
import { DirectBatch, LONG_WAY, type RowTable, type RowTransfer } from './direct-batch.ts';
import {
  type BlockDriver,
  type BlockOp,
  type BlockRequest,
  type IoVector,
  OP_READ,
  OP_WRITE,
  PENDING,
  REQ_FUA,
} from './driver.ts';
import { errnoOfThrown } from './error.ts';
import { type LaneFigures, NOT_TIMED, TIMED_ONE_IN } from './lane-figures.ts';
import { capacityOf, gateCloses } from './request-check.ts';

type DirectOp = typeof OP_READ | typeof OP_WRITE;

/** The gate was closed before the driver was asked. No driver answers that. */
const GATE_CLOSED = Number.NEGATIVE_INFINITY;

export class DirectTransfer implements RowTransfer {
  readonly #core: Core;
  readonly #backend: number;
  readonly #driver: BlockDriver;
  readonly #figures: LaneFigures;
  readonly #clock: Clock;
  readonly #request = new DirectRequest();
  /** Rows of a driver that is asked for each. */
  #rows: DirectBatch | null = null;
  #u32: Uint32Array;
  #untilTimed = 1;
  /** When the clock was started, ns. */
  #started = NOT_TIMED;

  /** `backend`: address of the BACKEND_* words. */
  constructor(
    core: Core,
    backend: number,
    driver: BlockDriver,
    figures: LaneFigures,
    clock: Clock,
  ) {
    this.#core = core;
    this.#backend = backend;
    this.#driver = driver;
    this.#figures = figures;
    this.#clock = clock;
    this.#u32 = core.u32;
  }

  /** Fills in the results of all members. The gate was passed. */
  run(op: DirectOp, batch: DirectBatch): void {
    const flags = this.#flags();
    const durable = isDurable(op, flags);
    if (refuses(op, flags) || (durable && !this.#driver.fua)) {
      batch.results.fill(LONG_WAY, 0, batch.count);
      return;
    }
    this.#startClock(batch.count);
    this.#callDriver(op, durable, batch);
    this.stopClock(op, this.#count(op, batch));
  }

  /**
   * Has the driver do the rows of a table, which lie inside the disk: results are its answers, or
   * GATE_CLOSED; `resultOf` says what the owner is to make of those that are not the length. The
   * owner counts what has succeeded, and then calls `stopClock`. False: not by this way, nothing
   * has happened. The gate was passed.
   */
  runRows(op: DirectOp, table: RowTable): boolean {
    const flags = this.#flags();
    const driver = this.#driver;
    const durable = isDurable(op, flags);
    if (refuses(op, flags) || (durable && !driver.fua)) return false;
    const { count } = table;
    this.#startClock(count);
    if (!driver.submitAll || durable) {
      this.#copyRows(op, durable, table);
      return true;
    }
    const { results } = table;
    const gate = (this.#backend + BACKEND_QUIESCE) >>> 2;
    const asked = driver.submitAll(op, table, this.#core.ramU8, this.#words(), gate);
    for (let i = asked; i < count; i++) results[i] = GATE_CLOSED;
    return true;
  }

  /** A driver that is asked for each may grow the memory in which the rows lie. */
  #copyRows(op: DirectOp, durable: boolean, table: RowTable): void {
    const { count, offsets, starts, lengths } = table;
    const batch = (this.#rows ??= new DirectBatch(PLAIN_ROWS));
    batch.clear();
    for (let i = 0; i < count; i++) batch.add(i, offsets[i]!, starts[i]!, lengths[i]!);
    this.#callDriver(op, durable, batch);
    const { results } = table.take(count);
    for (let i = 0; i < count; i++) results[i] = batch.results[i]!;
  }

  /** One batch in about TIMED_ONE_IN requests is timed. */
  #startClock(count: number): void {
    this.#untilTimed -= count;
    this.#started = this.#untilTimed <= 0 ? this.#clock.now() : NOT_TIMED;
  }

  /** `done` requests have succeeded since the clock was started. */
  stopClock(op: DirectOp, done: number): void {
    if (!(this.#started >= 0) || done === 0) return;
    this.#untilTimed = TIMED_ONE_IN;
    this.#figures.took(op, (this.#clock.now() - this.#started) / done);
  }

  #flags(): number {
    return this.#words()[(this.#backend + BACKEND_FLAGS) >>> 2] as number;
  }

  /** Results become what the driver answers: bytes or an errno, or GATE_CLOSED. */
  #callDriver(op: DirectOp, durable: boolean, batch: DirectBatch): void {
    const { count, results } = batch;
    const words = this.#words();
    const capacity = capacityOf(words, this.#backend);
    let asked = 0;
    if (this.#driver.submitAll && !durable && batch.end <= capacity) {
      const gate = (this.#backend + BACKEND_QUIESCE) >>> 2;
      asked = this.#driver.submitAll(op, batch, this.#core.ramU8, words, gate);
    } else asked = this.#callForEach(op, durable, batch, capacity);
    if (asked < count) results.fill(GATE_CLOSED, asked, count);
  }

  /** As `submitAll`, for drivers that have none and for batches that need more of it. */
  #callForEach(op: DirectOp, durable: boolean, batch: DirectBatch, capacity: number): number {
    const { count, offsets, starts, lengths, results } = batch;
    const request = this.#request;
    const { vector } = request;
    request.op = op;
    request.flags = durable ? REQ_FUA : 0;
    vector.bytes = this.#core.ramU8;
    for (let i = 0; i < count; i++) {
      const length = lengths[i] as number;
      request.offset = offsets[i] as number;
      request.length = length;
      vector.starts[0] = starts[i] as number;
      vector.lengths[0] = length;
      if (gateCloses(this.#words(), this.#backend)) return i;
      // Beyond the end nothing is transferred: the long way says what that means.
      results[i] = request.offset + length > capacity ? 0 : this.#submit(request);
      // The driver may have grown the memory.
      if (vector.bytes.length === 0 || !this.#core.ramViewsDetach) vector.bytes = this.#core.ramU8;
    }
    return count;
  }

  #submit(request: DirectRequest): number {
    try {
      return this.#driver.submit(request);
    } catch (thrown) {
      return errnoOfThrown(thrown);
    }
  }

  /** Says of each answer what the owner is to make of it. Returns how many have succeeded. */
  #count(op: BlockOp, { count, lengths, results }: DirectBatch): number {
    let done = 0;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const result = results[i] as number;
      if (result === lengths[i]) {
        results[i] = 0;
        done += 1;
        bytes += result;
      } else results[i] = this.resultOf(result);
    }
    this.#figures.succeeded(this.#words(), op, bytes, done);
    return done;
  }

  /** What the owner is to make of an answer that is not the length: see `DirectBatch.results`. */
  resultOf(result: number): number {
    if (!(result < 0)) return LONG_WAY;
    if (result === GATE_CLOSED) return -EAGAIN;
    this.#figures.failed(this.#words());
    // EAGAIN means the gate to whoever reads the results; PENDING breaks the driver's word.
    return result === -EAGAIN || result === PENDING ? -EIO : result;
  }

  /** A view of core memory, kept for as long as it works: to look it up costs 20 ns. */
  #words(): Uint32Array {
    return (this.#u32 = this.#core.keepU32(this.#u32));
  }
}

/** With the write cache off a write is done when it is on stable storage (BB-21). */
function isDurable(op: DirectOp, flags: number): boolean {
  return op === OP_WRITE && !(flags & BACKEND_F_WRITE_CACHE);
}

/** The long way says why. */
function refuses(op: DirectOp, flags: number): boolean {
  return (flags & (BACKEND_F_NO_MEDIUM | (op === OP_WRITE ? BACKEND_F_READ_ONLY : 0))) !== 0;
}

/** What the driver sees of a member: one object for all. */
class DirectRequest implements BlockRequest {
  op: BlockOp = OP_READ;
  offset = 0;
  length = 0;
  flags = 0;
  readonly vector: IoVector = {
    bytes: new Uint8Array(0),
    count: 1,
    starts: new Float64Array(1),
    lengths: new Float64Array(1),
  };

  settle(): never {
    throw new Error('a driver that settles inline settled a request later');
  }
}
