/**
 * Requests as a lane takes them. From a pool: `lane.request()`, fill in, `lane.submit(request)`,
 * and `release()` once it has ended. Nothing is allocated for one that was used before.
 */

import { type BlockOp, OP_READ } from './driver.ts';
import { SegmentVector } from './io-vector.ts';
import type { BackendLane } from './lane.ts';
import { Transfer } from './transfer.ts';

const NO_BYTES = new Uint8Array(0);

/** Who says whether the memory behind a request is still the owner's to use. */
export interface RequestGuard {
  /** Before a poll touches it: false if it is not, and nothing does. `leave` is owed anyway. */
  enter(): boolean;
  /** Afterwards, `done` included. */
  leave(): void;
}

export class LaneRequest {
  op: BlockOp = OP_READ;
  /** First byte on the disk, and bytes; both 0 for OP_FLUSH. */
  offset = 0;
  length = 0;
  /** REQ_*. */
  flags = 0;
  /**
   * The data of OP_READ and OP_WRITE, `length` bytes in all. Its `bytes` are guest RAM as
   * `core.ramU8` gives it (then the lane follows when the memory grows), or a caller's own array.
   */
  readonly vector = new SegmentVector();
  /**
   * Called once for a request that `submit` returned PENDING for, from a later poll of the lane's
   * context: 0, or a negative errno. It may release and submit.
   */
  done: (request: LaneRequest, result: number) => void = unexpected;
  /** The owner gave the request up (a reset): no byte of its vector is touched from now on. */
  abandoned = false;
  /** Nobody wants its result any more (`cancel`): no further part of it is begun. */
  canceled = false;
  /** A part of what the owner holds the gate open for (`startRequest`): it passes when closed. */
  part = false;
  /** For an owner whose memory may be taken back by another thread. */
  guard: RequestGuard | null = null;
  /** What was thrown, for a failed request, if anything was. */
  error: unknown;
  /** For the owner: which of its requests this is. */
  tag = 0;
  /** The lane's side of it. */
  readonly transfer: Transfer;
  /** In the pool, and the next one there. */
  free = false;
  next: LaneRequest | null = null;
  readonly #lane: BackendLane;

  constructor(lane: BackendLane) {
    this.#lane = lane;
    this.transfer = new Transfer(lane, this);
  }

  /**
   * Asks for an end of a request that is under way (BB-25). `done` runs once all the same, from a
   * later poll: with -ECANCELED, or with what had become of it. Nothing if it has ended.
   */
  cancel(): void {
    this.#lane.cancel(this);
  }

  /** Gives the request back to its lane's pool. Not while the lane has it. */
  release(): void {
    if (this.free || this.transfer.busy) {
      throw new Error(`a request was released ${this.free ? 'twice' : 'before it ended'}`);
    }
    this.flags = 0;
    this.vector.reset(NO_BYTES);
    this.done = unexpected;
    this.abandoned = false;
    this.canceled = false;
    this.part = false;
    this.guard = null;
    this.error = undefined;
    this.free = true;
    this.#lane.recycle(this);
  }
}

/** Requests to use again, linked; an array that shrinks and grows would allocate. */
export class RequestPool {
  #first: LaneRequest | null = null;
  readonly #lane: BackendLane;

  constructor(lane: BackendLane) {
    this.#lane = lane;
  }

  take(): LaneRequest {
    const request = this.#first;
    if (!request) return new LaneRequest(this.#lane);
    this.#first = request.next;
    request.next = null;
    request.free = false;
    return request;
  }

  give(request: LaneRequest): void {
    request.next = this.#first;
    this.#first = request;
  }
}

function unexpected(): void {
  throw new Error('a request settled later, but has no `done`');
}
