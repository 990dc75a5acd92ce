/** What main knows of queues that another thread serves (`remote-queues.ts`). */

import type { BottomHalfHandle } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import type { LaneThread } from '../block/backend.ts';
import type { Core } from '../engine/core.ts';
import type { RemotePlace } from './data-plane.ts';
import type { GuestWriteListener } from './guest-write.ts';
import type { QueueListener } from './queue-group.ts';
import type { WriteLogReader } from './write-log.ts';

/** What queues need of the thread that serves them: an `IOThread`. */
export interface QueueThread extends LaneThread {
  /** Calls `listener` with what the thread posts; returns what removes it. */
  on<T>(event: string, listener: (payload: T) => void): () => void;
}

/** How a kick reaches the thread. */
export interface Doorbell {
  readonly kick: BottomHalfHandle;
  /** The attach that it waits for, or that was the last to succeed; 0: detached. */
  attempt: number;
  /** The thread watches the host notifier. */
  watched: boolean;
  /** QUEUE_INTERRUPTS when last looked at. */
  interrupts: number;
  /** Not asleep: what the queue completes is told here. */
  awake: boolean;
  /** Holds the used index back until the device has heard what was written. */
  readonly writes: WriteLogReader | null;
}

export interface RemoteQueuesOptions {
  readonly core: Core;
  readonly context: AioContext;
  /** As registered with `registerQueueKind`. */
  readonly kind: string;
  readonly place: RemotePlace;
  readonly thread: QueueThread;
  readonly listener: QueueListener;
  /** For queues that have a write log. */
  readonly onGuestWrite: GuestWriteListener | null;
  /** Watch the guest notifiers here; if not, a client does. */
  readonly interrupts: boolean;
}
