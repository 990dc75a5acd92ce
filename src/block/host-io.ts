/** Requests of the host itself, as promises with BlockErrors: for whoever has no guest. */

import { EAGAIN } from '../spec.ts';
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

/** Offsets and lengths are bytes. Every method rejects with a BlockError. */
export class HostIo {
  readonly #lane: BackendLane;

  constructor(lane: BackendLane) {
    this.#lane = lane;
  }

  /** Fills `bytes` from the disk. */
  read(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#perform(OP_READ, offset, bytes.length, bytes);
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#perform(OP_WRITE, offset, bytes.length, bytes);
  }

  /** What was written before is on stable storage afterwards. */
  flush(): Promise<void> {
    return this.#perform(OP_FLUSH, 0, 0);
  }

  /** The range's contents are not needed any more. */
  discard(offset: number, length: number): Promise<void> {
    return this.#perform(OP_DISCARD, offset, length);
  }

  /** The range reads as zeroes afterwards; with `unmap` the disk may free its space. */
  writeZeroes(offset: number, length: number, unmap = false): Promise<void> {
    return this.#perform(OP_WRITE_ZEROES, offset, length, null, unmap ? REQ_MAY_UNMAP : 0);
  }

  #perform(
    op: BlockOp,
    offset: number,
    length: number,
    bytes: Uint8Array | null = null,
    flags = 0,
  ): Promise<void> {
    const lane = this.#lane;
    const request = lane.request();
    request.op = op;
    request.offset = offset;
    request.length = length;
    request.flags = flags;
    if (bytes) {
      request.vector.reset(bytes);
      request.vector.append(0, length);
    }
    return new Promise((resolve, reject) => {
      const finish = (ended: LaneRequest, result: number): void => {
        const cause = ended.error;
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
      request.done = finish;
      attempt();
    });
  }
}
