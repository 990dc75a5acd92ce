/**
 * What main says to a thread about the queues that it serves, and what the thread says: plain,
 * cloneable data. A queue is named by the core address of its words. One message is for all queues
 * that a device has on the thread (HN-5).
 */

import type { BottomHalfHandle } from '../aio/bottom-half.ts';
import type { EncodedError } from '../aio/thread-error.ts';
import type { RingConfig } from './data-plane.ts';
import type { IoFailure } from './io-failure.ts';
import type { Unfinished } from './unfinished.ts';

/** A queue, and core addresses of its notifiers, which are main's. */
export interface PlacedQueue {
  readonly config: RingConfig;
  readonly host: number;
  readonly guest: number;
  /** And of its write log (WRITE_LOG_*); 0: it has none. */
  readonly log: number;
}

/** Payload of `create-queues`: all of them, or none. */
export interface CreateQueues {
  /**
   * What the queues are, and the core address of what they stand on there (`registerQueueKind`).
   */
  readonly kind: string;
  readonly place: number;
  readonly queues: readonly PlacedQueue[];
  /** Others serve them until `take-queues`. */
  readonly asleep: boolean;
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
 * - `close-queues`: after that;
 * - `restart-failed`: try again what the error policy has kept (BL-16);
 * - `unfinished-requests`: answered with an `Unfinished` for each;
 * - `hand-over-queues`: as that; the thread lets go of them. In a drained section.
 */
export interface QueueList {
  readonly queues: readonly number[];
}

/** Payload of `take-queues`: the thread serves queues that were made asleep. */
export interface TakeQueues extends QueueList {
  readonly unfinished: readonly Unfinished[];
}

/** Payload of `adopt-requests`. */
export interface AdoptRequests {
  readonly queue: number;
  readonly heads: readonly number[];
}

/** Payload of the event `io-error`. */
export interface QueueIoError {
  readonly queue: number;
  /** QUEUE_EPOCH in which it happened. */
  readonly epoch: number;
  readonly failure: IoFailure;
}

export const IO_ERROR_EVENT = 'io-error';

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

/** The payload for queues, as main knows them. */
export function listOf(queues: readonly { readonly config: RingConfig }[]): QueueList {
  return { queues: queues.map(({ config }) => config.queue) };
}
