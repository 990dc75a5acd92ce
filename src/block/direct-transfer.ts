/** A lane's short way to its driver: see `DirectBatch`. One per lane, on its thread. */

import type { Clock } from '../aio/clock.ts';
import type { Core } from '../engine/core.ts';
import {
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_F_WRITE_CACHE,
  BACKEND_FLAGS,
} from '../layout.ts';
import { EAGAIN, EIO } from '../spec.ts';
import { type DirectBatch, LONG_WAY } from './direct-batch.ts';
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
import { type LaneFigures, TIMED_ONE_IN } from './lane-figures.ts';
import { capacityOf, gateCloses } from './request-check.ts';

export class DirectTransfer {
  readonly #core: Core;
  readonly #backend: number;
  readonly #driver: BlockDriver;
  readonly #figures: LaneFigures;
  readonly #clock: Clock;
  readonly #request = new DirectRequest();
  #u32: Uint32Array;
  #untilTimed = 1;

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
  run(op: typeof OP_READ | typeof OP_WRITE, batch: DirectBatch): void {
    const words = this.#words();
    const flags = words[(this.#backend + BACKEND_FLAGS) >>> 2] as number;
    const durable = op === OP_WRITE && !(flags & BACKEND_F_WRITE_CACHE);
    const refused = flags & (BACKEND_F_NO_MEDIUM | (op === OP_WRITE ? BACKEND_F_READ_ONLY : 0));
    if (refused || (durable && !this.#driver.fua)) {
      batch.results.fill(LONG_WAY, 0, batch.count);
      return;
    }
    this.#untilTimed -= batch.count;
    const timed = this.#untilTimed <= 0;
    const started = timed ? this.#clock.now() : 0;
    this.#request.op = op;
    this.#request.flags = durable ? REQ_FUA : 0;
    this.#callDriver(batch, capacityOf(words, this.#backend));
    const done = this.#count(op, batch);
    if (!timed || done === 0) return;
    this.#untilTimed = TIMED_ONE_IN;
    this.#figures.took(op, (this.#clock.now() - started) / done);
  }

  /** One call after the other, and as little as may be in between. */
  #callDriver(batch: DirectBatch, capacity: number): void {
    const { count, offsets, starts, lengths, results } = batch;
    const request = this.#request;
    const { vector } = request;
    vector.bytes = this.#core.ramU8;
    for (let i = 0; i < count; i++) {
      const length = lengths[i] as number;
      request.offset = offsets[i] as number;
      request.length = length;
      vector.starts[0] = starts[i] as number;
      vector.lengths[0] = length;
      if (gateCloses(this.#words(), this.#backend)) {
        results.fill(-EAGAIN, i, count);
        return;
      }
      const result = request.offset + length > capacity ? LONG_WAY : this.#submit(request);
      results[i] = result === length ? 0 : result < 0 ? result : LONG_WAY;
      // The driver may have grown the memory.
      if (vector.bytes.length === 0 || !this.#core.ramViewsDetach) vector.bytes = this.#core.ramU8;
    }
  }

  #submit(request: DirectRequest): number {
    try {
      const result = this.#driver.submit(request);
      // EAGAIN means the gate to whoever reads the results; PENDING breaks the driver's word.
      return result === -EAGAIN || result === PENDING ? -EIO : result;
    } catch (thrown) {
      return errnoOfThrown(thrown);
    }
  }

  /** Returns how many have succeeded. */
  #count(op: BlockOp, { count, lengths, results }: DirectBatch): number {
    let done = 0;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const result = results[i] as number;
      if (result === 0) {
        done += 1;
        bytes += lengths[i] as number;
      } else if (result < 0 && result !== -EAGAIN) this.#figures.failed(this.#words());
    }
    this.#figures.succeeded(this.#words(), op, bytes, done);
    return done;
  }

  /** A view of core memory, kept for as long as it works: to look it up costs 20 ns. */
  #words(): Uint32Array {
    return (this.#u32 = this.#core.keepU32(this.#u32));
  }
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
