/**
 * What main says to a thread about the queues that it serves, and what the thread says: plain,
 * cloneable data. A queue is named by the core address of its words. One message is for all queues
 * that a device has on the thread (HN-5).
 */

import type { BottomHalfHandle } from '../aio/bottom-half.ts';
import type { EncodedError } from '../aio/thread-error.ts';
import type { QueueConfig } from './queue-config.ts';

/** A queue, and core addresses of its notifiers, which are main's. */
export interface PlacedQueue {
  readonly config: QueueConfig;
  readonly host: number;
  readonly guest: number;
  /** And of its write log (WRITE_LOG_*); 0: it has none. */
  readonly log: number;
}

/** Payload of `create-queues`: all of them, or none. */
export interface CreateQueues {
  /** Core address of the lane's words. */
  readonly lane: number;
  readonly queues: readonly PlacedQueue[];
}

/** Answer to `create-queues`. */
export interface QueuesCreated {
  /** In the order of the queues: what main schedules for a kick where no notifier is watched. */
  readonly kicks: readonly BottomHalfHandle[];
}

/**
 * Payload of
 * - `attach-queues`: watch the host notifiers; all of them, or none (HN-4);
 * - `detach-queues`: watch them no more (HN-2);
 * - `forget-queues`: after main has quiesced them; answered when none has a request in flight;
 * - `close-queues`: after that.
 */
export interface QueueList {
  readonly queues: readonly number[];
}

/** Payload of the event `queue-broken`. */
export interface QueueBroken {
  readonly queue: number;
  /** QUEUE_EPOCH in which it broke: a reset since then has mended it. */
  readonly epoch: number;
  /** BROKEN_*. */
  readonly reason: number;
  readonly cause: EncodedError | null;
}

export const QUEUE_BROKEN_EVENT = 'queue-broken';
