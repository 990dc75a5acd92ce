/**
 * A request on its way through a driver, in as many parts as it takes: short transfers are carried
 * on, long ones go through a bounce slot piece by piece, and a flush follows a FUA write that the
 * driver cannot do itself. The object is what the driver sees (BlockRequest).
 */

import { EAGAIN, EIO, ENOSPC, ENOTSUP } from '../spec.ts';
import type { BounceSlot } from './bounce.ts';
import {
  type BlockDriver,
  type BlockOp,
  type BlockRequest,
  type IoVector,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_FUA,
} from './driver.ts';
import { gather, SegmentVector, scatter, zeroVector } from './io-vector.ts';
import { NOT_TIMED } from './lane-figures.ts';
import type { LaneRequest } from './lane-request.ts';

/** Where a transfer is. */
type State = 'idle' | 'submitting' | 'pending' | 'settled' | 'waiting';

/** `absorb`: there is another part to do. */
export const MORE = 1;

const NO_DATA: IoVector = new SegmentVector();

/** What a transfer needs of its lane. */
export interface TransferOwner {
  readonly driver: BlockDriver;
  /** Takes a transfer whose part has settled; carries on from a later poll. */
  settled(transfer: Transfer): void;
}

export class Transfer implements BlockRequest {
  // What the driver sees.
  op: BlockOp = OP_READ;
  offset = 0;
  length = 0;
  flags = 0;
  vector: IoVector = NO_DATA;

  readonly request: LaneRequest;
  state: State = 'idle';
  /** Result of the part that settled last. */
  result = 0;
  /** Next in the lane's list. */
  next: Transfer | null = null;
  /** Held while data goes by way of it. */
  slot: BounceSlot | null = null;
  /** Data cannot go straight between the driver and the request's vector. */
  bounced = false;
  /** `vector.bytes` of the request is guest RAM. */
  inRam = false;
  /** When the request began, in ns. */
  started = NOT_TIMED;
  /** Bytes of the request that are done. */
  #done = 0;
  /** The request's data is done; a flush makes it durable. */
  #flushing = false;
  /** The driver has no WRITE_ZEROES: zeroes are written to it. */
  #zeroing = false;
  /** The rest of the request's vector, after a short transfer. */
  #rest: SegmentVector | null = null;
  readonly #owner: TransferOwner;

  constructor(owner: TransferOwner, request: LaneRequest) {
    this.#owner = owner;
    this.request = request;
  }

  /** The lane has the request. */
  get busy(): boolean {
    return this.state !== 'idle';
  }

  /** Called by the driver, once for each `submit` that it answered with PENDING. */
  readonly settle = (result: number): void => {
    if (this.state !== 'pending') {
      const { driver } = this.#owner.driver;
      throw new Error(`driver '${driver}' settled a request that is ${this.state}, not pending`);
    }
    this.state = 'settled';
    this.result = result;
    this.#owner.settled(this);
  };

  begin(flags: number, bounced: boolean, inRam: boolean): void {
    this.flags = flags;
    this.bounced = bounced;
    this.inRam = inRam;
    this.#done = 0;
    this.#flushing = false;
    this.#zeroing = false;
  }

  /** Does the next part move bytes by way of a bounce slot? */
  get needsSlot(): boolean {
    const { op } = this.request;
    if (this.#flushing) return false;
    return this.#zeroing || (this.bounced && (op === OP_READ || op === OP_WRITE));
  }

  /** Fills in what the driver sees of the next part. The slot that it needs is there. */
  prepare(slotBytes: number): void {
    const { request } = this;
    this.op = request.op;
    this.offset = request.offset + this.#done;
    this.length = request.length - this.#done;
    this.vector = NO_DATA;
    if (this.#flushing) this.#prepareFlush();
    else if (this.needsSlot) this.#prepareBounce(slotBytes);
    else if (this.op === OP_READ || this.op === OP_WRITE) this.vector = this.#restOfVector();
  }

  /** Takes a part's result: MORE, 0 if the request is done, or its negative errno. */
  absorb(result: number): number {
    if (result === -EAGAIN) return -EIO; // to a lane's caller EAGAIN means the gate
    if (this.#flushing) return Math.min(result, 0);
    if (result < 0) return this.#absorbError(result);
    const { op } = this.request;
    if (this.#zeroing || op === OP_WRITE) {
      if (result === 0) return -ENOSPC; // nothing was written and nothing said why
      if (result > this.length) return -EIO;
      this.#done += result;
    } else if (op === OP_READ) {
      if (result > this.length) return -EIO;
      this.#absorbRead(result);
    } else {
      this.#done = this.request.length;
    }
    return this.#done < this.request.length ? MORE : this.#afterData();
  }

  #prepareFlush(): void {
    this.op = OP_FLUSH;
    this.offset = 0;
    this.length = 0;
  }

  #prepareBounce(slotBytes: number): void {
    const slot = this.slot as BounceSlot;
    this.length = Math.min(this.length, slotBytes);
    this.vector = slot.use(this.length);
    if (this.#zeroing) {
      this.op = OP_WRITE;
      slot.bytes.fill(0, slot.start, slot.start + this.length);
    } else if (this.op === OP_WRITE) {
      gather(this.request.vector, this.#done, slot.bytes, slot.start, this.length);
    }
  }

  #restOfVector(): IoVector {
    if (this.#done === 0) return this.request.vector;
    this.#rest ??= new SegmentVector();
    this.#rest.slice(this.request.vector, this.#done, this.length);
    return this.#rest;
  }

  /** A driver may lack DISCARD, which is a hint, and WRITE_ZEROES, which can be written out. */
  #absorbError(result: number): number {
    const { op } = this.request;
    if (result !== -ENOTSUP) return result;
    if (op === OP_DISCARD) return 0;
    if (op !== OP_WRITE_ZEROES || this.#zeroing) return result;
    this.#zeroing = true;
    return MORE;
  }

  /**
   * A read of 0 bytes is the end of the file, and so is one of an odd number of bytes where the
   * driver reads in blocks: the rest is zeroes.
   */
  #absorbRead(result: number): void {
    const { request, slot } = this;
    if (slot) scatter(request.vector, this.#done, slot.bytes, slot.start, result);
    this.#done += result;
    if (result > 0 && result % this.#owner.driver.alignment === 0) return;
    zeroVector(request.vector, this.#done, request.length - this.#done);
    this.#done = request.length;
  }

  #afterData(): number {
    const { op } = this.request;
    const stable = op !== OP_WRITE && op !== OP_WRITE_ZEROES;
    if (stable || !(this.flags & REQ_FUA) || this.#owner.driver.fua) return 0;
    this.#flushing = true;
    return MORE;
  }
}
