/**
 * The queues of a device that one thread serves, as the control plane sees them: the same for
 * queues of this thread (`LocalQueues`) and of another one (`RemoteQueues`), so that there is one
 * path (DP-11). All methods: main thread. None waits for another thread.
 */

import type { EventNotifier } from '../aio/event-notifier.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { QueueConfig } from './queue-config.ts';

/** Main's view of one queue. */
export interface DeviceQueue {
  readonly config: QueueConfig;
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
  /** The doorbell was rung. */
  kick(queue: DeviceQueue): void;
  /**
   * After `quiesceQueues`: drops what was popped. Nothing if no request is in flight, else a
   * promise that resolves when all are gone; the queues are as new then.
   */
  forget(queues: readonly DeviceQueue[]): MaybeLater;
  /** After that, for all of its queues: gives everything back, the lane too. */
  close(): MaybeLater;
}
