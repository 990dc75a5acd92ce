/**
 * What may be done from outside to requests of a queue that wait: those that failed and were
 * kept, and those that are parked. Belongs to one `RingQueue` and its home thread.
 */

import type { QueueServing } from './queue-serving.ts';
import type { RingRecords } from './ring-records.ts';
import type { Unfinished } from './unfinished.ts';

/** Requests of a queue that were popped and not pushed. */
export interface QueueRequests {
  /** A push wanted an interrupt. The queue clears it when it has told the driver. */
  interrupt: boolean;
  /** Those that have to settle before the queue can be as new, of whatever epoch. */
  readonly submitted: number;
  /** Popped before a gate closed. */
  readonly parked: RequestHeads;
  /** Kept by the error policy, until `restartFailed` (BL-16). */
  readonly failed: RequestHeads;
  restartFailed(): void;
  /** Takes popped ones over, by head, after those that wait. Throws a RangeError. */
  adopt(parked: readonly number[], failed?: readonly number[]): void;
}

/** Oldest first. */
export interface RequestHeads {
  heads(): number[];
}

export class QueueWaiting {
  readonly #records: RingRecords;
  readonly #requests: QueueRequests;
  readonly #inside: QueueServing;
  readonly #catchUp: (current: boolean) => boolean;

  /** `catchUp`: the queue's own; false if requests of an epoch that has ended are still about. */
  constructor(
    records: RingRecords,
    requests: QueueRequests,
    inside: QueueServing,
    catchUp: (current: boolean) => boolean,
  ) {
    this.#records = records;
    this.#requests = requests;
    this.#inside = inside;
    this.#catchUp = catchUp;
  }

  /** Of an epoch that has ended there is nothing. */
  list(): Unfinished {
    return this.#within((current) => {
      const { failed, parked } = this.#requests;
      const { epoch } = this.#inside;
      if (!current) return { epoch, failed: [], parked: [] };
      return { epoch, failed: failed.heads(), parked: parked.heads() };
    });
  }

  restartFailed(): void {
    this.#within((current) => {
      if (current) this.#requests.restartFailed();
    });
  }

  /** Throws a RangeError, and has done nothing, if one is not popped, or waits already. */
  adopt(heads: readonly number[]): void {
    this.#within((current) => {
      if (current) this.#requests.adopt(heads);
      else if (heads.length > 0) throw new RangeError('the queue was reset');
    });
  }

  /** What waited where the queue was served before, unless it was reset since. */
  take({ epoch, failed, parked }: Unfinished): void {
    this.#within(() => {
      if (epoch !== this.#inside.epoch) return;
      try {
        this.#requests.adopt(parked, failed);
      } catch (error) {
        // Main may have ended the epoch meanwhile, and waits until we are out of this call.
        const current = this.#inside.enter();
        this.#inside.leave();
        if (current) throw error;
      }
    });
  }

  /** Inside, with a fresh view; `current`: the epoch has not ended. */
  #within<T>(step: (current: boolean) => T): T {
    const current = this.#inside.enter();
    try {
      this.#records.refresh();
      return step(this.#catchUp(current));
    } finally {
      this.#inside.leave();
    }
  }
}
