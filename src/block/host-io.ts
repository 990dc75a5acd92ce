/** Requests of the host itself, as promises with BlockErrors: for whoever has no guest. */

import { EAGAIN, ECANCELED } from '../spec.ts';
import {
  type BlockOp,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
  REQ_MAY_UNMAP,
} from './driver.ts';
import { BlockError, codeOf } from './error.ts';
import type { BackendLane } from './lane.ts';
import type { LaneRequest } from './lane-request.ts';
import { operationName } from './operation.ts';

export interface HostIoOptions {
  /**
   * Asks for the request to be given up (BB-25). It rejects with ECANCELED when it has ended so:
   * nobody touches its bytes any more then. `cause` is the signal's reason.
   */
  signal?: AbortSignal;
}

/**
 * Offsets and lengths are bytes. Every method rejects with a BlockError, or, once the backend is
 * being closed, with an Error that says so.
 */
export class HostIo {
  readonly #lane: BackendLane;
  /** Asked for, and not ended. */
  readonly #asked = new Set<Promise<void>>();
  #ended = false;

  constructor(lane: BackendLane) {
    this.#lane = lane;
  }

  /** Fills `bytes` from the disk. */
  read(offset: number, bytes: Uint8Array, options?: HostIoOptions): Promise<void> {
    return this.#perform({ op: OP_READ, offset, length: bytes.length, bytes }, options);
  }

  write(offset: number, bytes: Uint8Array, options?: HostIoOptions): Promise<void> {
    return this.#perform({ op: OP_WRITE, offset, length: bytes.length, bytes }, options);
  }

  /** What was written before is on stable storage afterwards. */
  flush(options?: HostIoOptions): Promise<void> {
    return this.#perform({ op: OP_FLUSH, offset: 0, length: 0 }, options);
  }

  /** The range's contents are not needed any more. */
  discard(offset: number, length: number, options?: HostIoOptions): Promise<void> {
    return this.#perform({ op: OP_DISCARD, offset, length }, options);
  }

  /** The range reads as zeroes afterwards; with `unmap` the disk may free its space. */
  writeZeroes(
    offset: number,
    length: number,
    unmap = false,
    options?: HostIoOptions,
  ): Promise<void> {
    const flags = unmap ? REQ_MAY_UNMAP : 0;
    return this.#perform({ op: OP_WRITE_ZEROES, offset, length, flags }, options);
  }

  /** For the backend, as the next two. Has something been asked for that has not ended? */
  get busy(): boolean {
    return this.#asked.size > 0;
  }

  /** Resolves when what has been asked for so far has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#asked);
  }

  /** Refuses requests from now on. */
  end(): void {
    this.#ended = true;
  }

  async #perform(wanted: Wanted, options?: HostIoOptions): Promise<void> {
    if (this.#ended) throw new Error('the backend is closed');
    const asked = this.#submit(wanted, options);
    this.#asked.add(asked);
    try {
      await asked;
    } finally {
      this.#asked.delete(asked);
    }
  }

  #submit(wanted: Wanted, { signal }: HostIoOptions = {}): Promise<void> {
    const lane = this.#lane;
    const request = fill(lane.request(), wanted);
    return new Promise((resolve, reject) => {
      const finish = (ended: LaneRequest, result: number): void => {
        signal?.removeEventListener('abort', cancel);
        const { op, offset, length } = wanted;
        const cause = ended.error ?? (result === -ECANCELED ? signal?.reason : undefined);
        ended.release();
        if (result === 0) resolve();
        else reject(new BlockError(codeOf(result), operationName(op), { offset, length, cause }));
      };
      const attempt = (): void => {
        lane.onOpen.delete(attempt);
        const result = lane.submit(request);
        if (result === -EAGAIN) lane.onOpen.add(attempt);
        else if (result !== PENDING) finish(request, result);
      };
      const cancel = (): void => {
        // One that waits at the gate has nobody else who could end it.
        if (lane.onOpen.delete(attempt)) finish(request, -ECANCELED);
        else request.cancel();
      };
      request.done = finish;
      if (signal?.aborted) {
        finish(request, -ECANCELED);
        return;
      }
      signal?.addEventListener('abort', cancel);
      attempt();
    });
  }
}

interface Wanted {
  readonly op: BlockOp;
  readonly offset: number;
  readonly length: number;
  readonly bytes?: Uint8Array;
  readonly flags?: number;
}

function fill(request: LaneRequest, { op, offset, length, bytes, flags = 0 }: Wanted): LaneRequest {
  request.op = op;
  request.offset = offset;
  request.length = length;
  request.flags = flags;
  if (bytes) {
    request.vector.reset(bytes);
    request.vector.append(0, length);
  }
  return request;
}
