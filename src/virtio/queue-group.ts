/**
 * The queues of a device that one thread serves, as the control plane sees them: the same for
 * queues of this thread (`LocalQueues`) and of another one (`RemoteQueues`), so that there is one
 * path (DP-11). All methods: main thread. None waits for another thread.
 */

import type { EventNotifier } from '../aio/event-notifier.ts';
import type { RingConfig } from './data-plane.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { IoFailure } from './io-failure.ts';
import type { Unfinished } from './unfinished.ts';

/** Main's view of one queue. */
export interface DeviceQueue {
  readonly config: RingConfig;
  /** Set by a kick and watched by the thread that serves the queue; null: it is served inline. */
  readonly host: EventNotifier | null;
  /** Set for an interrupt. Null: the thread that serves the queue tells the device by a call. */
  readonly guest: EventNotifier | null;
  /** Address of its write log; 0: its thread tells the device itself, or nobody is told. */
  readonly log: number;
  /** QUEUE_F_* that its ring was latched with. */
  features: number;
}

/** What queues tell the device. */
export interface QueueListener {
  /** The driver wants an interrupt for used buffers. */
  interrupt(index: number): void;
  /** The queue is broken until reset; told once or more. `cause`: what was thrown, if known. */
  broken(index: number, reason: number, cause: unknown): void;
  /** A request failed; the error policy has decided (BB-19). Dropped if a reset came first. */
  ioError(failure: IoFailure): void;
}

export interface QueueGroup {
  /** The thread runs no more: nothing of it touches anything. */
  readonly left: boolean;
  /** Throws if this thread is inside a call of one of them: it cannot be quiesced then. */
  checkOutside(queues: readonly DeviceQueue[]): void;
  /** Listens for kicks (HN-8), or if it cannot, serves them some other way (HN-4). */
  attach(queues: readonly DeviceQueue[]): void;
  /** Listens no more. */
  detach(queues: readonly DeviceQueue[]): void;
  /** Tells the device now of what the queues have completed: before they stop (HN-10, DP-13). */
  deliver(queues: readonly DeviceQueue[]): void;
  /** The doorbell was rung. */
  kick(queue: DeviceQueue): void;
  /**
   * After `quiesceQueues`: drops what was popped. Nothing if no request is in flight, else a
   * promise that resolves when all are gone; the queues are as new then.
   */
  forget(queues: readonly DeviceQueue[]): MaybeLater;
  // ---- Requests that wait ---------------------------------------------------------------------

  /** Each queue tries again what failed and was kept, in its own context (BL-16). */
  restartFailed(queues: readonly DeviceQueue[]): void;
  /** What is popped and in no lane; stopped or drained, or it is old news. */
  unfinished(queues: readonly DeviceQueue[]): Promise<Unfinished[]>;
  /** Popped requests that are to be served with the queue. Rejects with a RangeError. */
  adopt(queue: DeviceQueue, heads: readonly number[]): Promise<void>;

  // ---- Moves: `add`, then in a drained section `handOver` there, `take` here, `remove` there ----

  /** Makes queues here too, which another group serves until `take`: all of them, or none. */
  add(queues: readonly DeviceQueue[]): Promise<void>;
  /** Lets go of queues: their words are not touched any more. All has been told by then. */
  handOver(queues: readonly DeviceQueue[]): Promise<Unfinished[]>;
  /** Serves queues that were added, with what waits in each. */
  take(queues: readonly DeviceQueue[], unfinished: readonly Unfinished[]): Promise<void>;
  /** Takes queues away that were added only, or handed over. */
  remove(queues: readonly DeviceQueue[]): MaybeLater;

  /** After `forget` for all queues that are left: gives everything back, the lane too. */
  close(): MaybeLater;
}
