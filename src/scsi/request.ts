/**
 * A command on its way through a logical unit. It lives on the thread whose queue popped it and is
 * touched only there (SC-1). From a pool: `units.request()`, fill in, `units.submit(...)`, and
 * `release()` once `done` was called. Nothing is allocated for one that was used before.
 */

import { type BlockOp, OP_READ } from '../block/driver.ts';
import type { SegmentVector } from '../block/io-vector.ts';
import type { LaneRequest, RequestGuard } from '../block/lane-request.ts';
import { CDB_BYTES } from './cdb.ts';
import { GOOD } from './codes.ts';
import type { Command } from './command.ts';
import { FIXED_SENSE_BYTES } from './sense.ts';
import type { ScsiUnit } from './unit.ts';

/** The initiator's buffers of one command; the HBA implements it. Bytes. */
export interface ScsiBuffers {
  /** Data-out (to the device) and data-in, both without headers. */
  readonly outBytes: number;
  readonly inBytes: number;
  /** Copies data-out from `at` on to `into`; how many bytes there were. */
  copyOut(at: number, into: Uint8Array): number;
  /** Copies `bytes` to data-in from `at` on; how many bytes had room. */
  copyIn(at: number, bytes: Uint8Array): number;
  /** Makes `vector` (`reset`, then `append`) `length` bytes of data-out from `at` on. */
  appendOut(vector: SegmentVector, at: number, length: number): void;
  appendIn(vector: SegmentVector, at: number, length: number): void;
}

/**
 * How a command ended as the transport sees it. Only `ok` has a status. `overrun`: the CDB wants
 * more than the buffers, or the other direction; `failure`: both directions at once (SC-12).
 */
export type ScsiResponse = 'ok' | 'overrun' | 'aborted' | 'reset' | 'bad-target' | 'failure';

/** Where a request is. */
export type ScsiPlace =
  /** Not submitted. */
  | 'new'
  /** In a call that works on it. */
  | 'running'
  /** In the lane: its bottom half carries on. */
  | 'lane'
  /** Waits for the gate to open, or for its next turn. */
  | 'parked'
  /** Kept by the error policy, until `restartFailed`. */
  | 'failed'
  /** `done` was called, or is about to be. */
  | 'ended';

/** Carries a request on. True: the operation that it filled in is to be done, then `step`. */
export type Step = (unit: ScsiUnit, request: ScsiRequest) => boolean;

/** Which bytes an operation is about. */
export type OperationData = 'none' | 'in' | 'out' | 'own';

const NO_BYTES = new Uint8Array(0);
const NO_BUFFERS: ScsiBuffers = {
  outBytes: 0,
  inBytes: 0,
  copyOut: () => 0,
  copyIn: () => 0,
  appendOut() {},
  appendIn() {},
};

export class ScsiRequest {
  // ---- Filled in by the HBA ---------------------------------------------------------------------
  tagLo = 0;
  tagHi = 0;
  /** Copied once; what the initiator changes afterwards nobody sees. */
  readonly cdb = new Uint8Array(CDB_BYTES);
  /** Bytes that the initiator gave, at most CDB_BYTES are kept. */
  cdbLength = CDB_BYTES;
  buffers: ScsiBuffers = NO_BUFFERS;
  /** For an HBA whose buffers may be taken back by another thread. */
  guard: RequestGuard | null = null;
  /**
   * It was begun before: by a unit that another thread or another machine had, where it took a unit
   * attention if there was one (SC-11, VM-9).
   */
  retry = false;
  /** For the HBA: which of its requests this is. */
  owner = 0;
  /**
   * Called exactly once for each `submit`, on every path (SC-6): before `submit` or `cancel`
   * returns, or from a later poll of the lane's context. It may release and submit.
   */
  done: (request: ScsiRequest) => void = unexpected;

  // ---- The answer -------------------------------------------------------------------------------
  response: ScsiResponse = 'ok';
  /** GOOD, CHECK_CONDITION, ... */
  status = GOOD;
  /** Fixed format; `senseLength` bytes of it are valid. */
  readonly sense = new Uint8Array(FIXED_SENSE_BYTES);
  senseLength = 0;
  /** Bytes that moved between the buffers and the unit. */
  transferred = 0;
  /**
   * Bytes of the buffers that did not: counted from their length, as the virtio standard says, not
   * from the CDB's; 0 with any status but GOOD. Less than 2^31 (SC-13).
   */
  residual = 0;

  // ---- The unit's -------------------------------------------------------------------------------
  /** Null: no unit has it, or it was for one that is not there. */
  unit: ScsiUnit | null = null;
  place: ScsiPlace = 'new';
  /** On its unit's list (SC-2). */
  enqueued = false;
  /** Somebody asked for its end; it is answered with `cancelResponse` (SC-6). */
  canceled = false;
  cancelResponse: 'aborted' | 'reset' = 'aborted';
  command: Command | null = null;
  /** Bytes that the CDB wants to move. */
  transfer = 0;
  /** A unit attention that REQUEST SENSE returns as data. */
  attention = 0;
  /** The operation to do next, or in the lane. */
  op: BlockOp = OP_READ;
  offset = 0;
  length = 0;
  flags = 0;
  data: OperationData = 'none';
  /** Where in the data buffer it begins. */
  dataAt = 0;
  step: Step = unexpectedStep;
  /** Operations done since it was begun. */
  operations = 0;
  /** A parameter list, or a block to write again and again. */
  own: Uint8Array = NO_BYTES;
  /** What it has come to in `own`, or on the disk. */
  cursor = 0;
  io: LaneRequest | null = null;
  /** In a list, or the pool. */
  list: ScsiRequestList | null = null;
  previous: ScsiRequest | null = null;
  next: ScsiRequest | null = null;
  free = false;
  /** For the lane: made once, not for each request. */
  readonly settled = (io: LaneRequest, result: number): void => {
    this.unit!.settled(this, io, result);
  };
  readonly #pool: ScsiRequestPool;

  constructor(pool: ScsiRequestPool) {
    this.#pool = pool;
  }

  /** Gives the request back. Not while a unit has it. */
  release(): void {
    if (this.free || (this.place !== 'ended' && this.place !== 'new')) {
      throw new Error(`a SCSI request was released ${this.free ? 'twice' : 'before it ended'}`);
    }
    this.place = 'new';
    this.buffers = NO_BUFFERS;
    this.guard = null;
    this.done = unexpected;
    this.cdbLength = CDB_BYTES;
    this.retry = false;
    this.tagLo = this.tagHi = this.owner = 0;
    this.unit = null;
    this.own = NO_BYTES;
    this.#pool.give(this);
  }

  /** For units: as new, but for what the HBA has filled in. */
  begin(unit: ScsiUnit | null): void {
    if (this.free || this.place !== 'new') throw new Error('a SCSI request was submitted twice');
    this.unit = unit;
    this.place = 'running';
    this.response = 'ok';
    this.status = GOOD;
    this.senseLength = 0;
    this.transferred = 0;
    this.residual = 0;
    this.canceled = false;
    this.command = null;
    this.transfer = 0;
    this.attention = 0;
    this.operations = 0;
  }

  /** For units: the operation that `step` follows. Returns true, as a `Step` does then. */
  perform(op: BlockOp, offset: number, length: number, data: OperationData, step: Step): true {
    this.op = op;
    this.offset = offset;
    this.length = length;
    this.flags = 0;
    this.data = data;
    this.dataAt = 0;
    this.step = step;
    return true;
  }
}

/** Requests to use again, linked. One thread's. */
export class ScsiRequestPool {
  #first: ScsiRequest | null = null;

  take(): ScsiRequest {
    const request = this.#first;
    if (!request) return new ScsiRequest(this);
    this.#first = request.next;
    request.next = null;
    request.free = false;
    return request;
  }

  give(request: ScsiRequest): void {
    request.free = true;
    request.next = this.#first;
    this.#first = request;
  }
}

/** Requests in the order they came. A request is in one list at most. */
export class ScsiRequestList {
  count = 0;
  #first: ScsiRequest | null = null;
  #last: ScsiRequest | null = null;

  append(request: ScsiRequest): void {
    request.list = this;
    request.previous = this.#last;
    request.next = null;
    if (this.#last) this.#last.next = request;
    else this.#first = request;
    this.#last = request;
    this.count += 1;
  }

  remove(request: ScsiRequest): void {
    if (request.list !== this) throw new Error('a SCSI request is not where it should be');
    const { previous, next } = request;
    if (previous) previous.next = next;
    else this.#first = next;
    if (next) next.previous = previous;
    else this.#last = previous;
    request.list = request.previous = request.next = null;
    this.count -= 1;
  }

  /** As it is now, oldest first: what is called for its members may change the list. */
  snapshot(): ScsiRequest[] {
    const members: ScsiRequest[] = [];
    for (let request = this.#first; request; request = request.next) members.push(request);
    return members;
  }
}

function unexpected(): void {
  throw new Error('a SCSI request has ended, but has no `done`');
}

function unexpectedStep(): boolean {
  throw new Error('a SCSI request has no next step');
}
