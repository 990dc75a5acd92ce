/**
 * Requests of a queue that are popped and in no lane, by head, oldest first: plain, cloneable data.
 */
export interface Unfinished {
  /** QUEUE_EPOCH in which they were popped: a reset since then has dropped them. */
  readonly epoch: number;
  /** Failed, and kept by the error policy until `restartFailed`. */
  readonly failed: readonly number[];
  /** Met a closed gate. */
  readonly parked: readonly number[];
}
