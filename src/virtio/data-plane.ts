/**
 * The data plane of a queue, whatever the device: what the control plane and the loop ask of it on
 * its home thread, and how a thread comes by it. A device registers how its queues are made by a
 * name; on a thread that is not main's the rest is a plain config and an address (design section
 * 7).
 */

import type { ThreadHome } from '../aio/services.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { GuestWriteListener } from './guest-write.ts';
import type { IoFailure } from './io-failure.ts';
import type { QueueThread } from './remote-doorbell.ts';
import type { Unfinished } from './unfinished.ts';

/**
 * What any queue's data plane is built from: numbers, strings and booleans, so that main can post
 * it to the thread that will serve the queue. Addresses are offsets into core memory.
 */
export interface RingConfig {
  /** Number of the queue in its device. */
  readonly index: number;
  /** The queue's words (`QUEUE_*`). */
  readonly queue: number;
  /** Bytes that only this queue's thread touches, as many as its device asked for. */
  readonly scratch: number;
}

/** What a queue tells the control plane. Called outside of the handler loop. */
export interface QueueEvents {
  /** The driver wants an interrupt for used buffers. */
  interrupt(index: number): void;
  /**
   * The queue is broken until reset; once per reset. `reason`: BROKEN_*. With BROKEN_ENGINE,
   * `cause` is what the engine or a driver threw.
   */
  broken(index: number, reason: number, cause: unknown): void;
  /** The host could not do a request; the error policy has decided what becomes of it (BB-19). */
  ioError?(failure: IoFailure): void;
  /** As the device's option `onGuestWrite`; from inside the handler loop. */
  readonly onGuestWrite?: GuestWriteListener | null;
  /** Of a queue with QUEUE_F_HELD: called after each push, before a reset can come in between. */
  readonly onPushed?: (() => void) | null;
}

/** All methods: home thread. Asleep it touches none of the queue's words. */
export interface DataPlane {
  readonly config: RingConfig;
  /** Told after each serving: whether requests may be there that wait for something else. */
  onServed: ((blocked: boolean) => void) | null;
  /** Is this thread inside a call that touches guest memory? Then the queue cannot be quiesced. */
  readonly inside: boolean;
  /** The doorbell was rung. */
  kick(): void;
  /** Serves whatever the driver has published, then tells it. */
  serve(): void;
  /** The same from the context's next turn. */
  readonly serveLater: () => void;
  /** Asks the driver to kick, or not (HN-8, HN-9). Who turns it on looks at the ring once more. */
  setNotification(on: boolean): void;
  /** Tells the driver now what it was to be told in the context's next turn (DP-13). */
  flush(): void;
  /**
   * Second half of a stop, after `quiesceQueues`: forgets what was popped. Returns nothing if no
   * request is in flight; the queue is as new then. Otherwise a promise that resolves when it is.
   */
  forget(): MaybeLater;
  /** After `forget` or asleep, when nothing is in flight. The memory may be freed then. */
  close(): void;

  // ---- Requests that wait ---------------------------------------------------------------------

  /** What was popped and is in no lane; of an epoch that has ended there is nothing. */
  unfinished(): Unfinished;
  /** Tries again what failed and was kept, oldest first, before what is parked (BL-16). */
  restartFailed(): void;
  /** Popped requests, by head, that come back when the queue is served. Throws a RangeError. */
  adopt(heads: readonly number[]): void;
  /** In a drained section: lets go of the queue, and says what waits. */
  handOver(): Unfinished;
  /** The other side of it: serves the queue from now on. */
  take(unfinished: Unfinished): void;
}

/**
 * Makes the data plane of a queue. `asleep`: another one serves it until `take`. Throws a
 * RangeError if the context has no bottom half left; then nothing is left behind.
 */
export type ServeQueue = (config: RingConfig, events: QueueEvents, asleep: boolean) => DataPlane;

/** Finds on a thread what the queues stand on, which main has put there at core address `place`. */
export type QueueKind = (thread: ThreadHome, place: number) => ServeQueue;

const kinds = new Map<string, QueueKind>();

/** Makes `name` known on this thread: importing the module that calls this is enough. */
export function registerQueueKind(name: string, kind: QueueKind): void {
  kinds.set(name, kind);
}

export function findQueueKind(name: string): QueueKind {
  const kind = kinds.get(name);
  if (!kind) throw new Error(`no queues of the kind '${name}' on this thread`);
  return kind;
}

/** Options of a device that are about its queues. */
export interface QueueSettings {
  readonly queueSize: number;
  /** By number of the queue; null: main. */
  readonly threads: readonly (QueueThread | null)[];
  readonly ioeventfd: boolean;
  readonly guestNotifier: 'main' | 'client';
  readonly kick: 'sync' | 'poll';
  readonly onGuestWrite: GuestWriteListener | null;
}

/** What queues of this thread stand on. */
export interface LocalPlace {
  readonly serve: ServeQueue;
  /** No queue is served any more. */
  close(): void;
}

/** What queues of another thread stand on there. */
export interface RemotePlace {
  /** Core address by which the thread finds it. */
  readonly address: number;
  /** Rejects as what closes there. No queue is served any more. */
  close(): Promise<void>;
}

/** Drained sections of all disks behind a device's queues. */
export interface QueueGate {
  drainedBegin(): void;
  /** Resolves when no request is in flight. */
  idle(): Promise<void>;
  drainedEnd(): void;
}

/** What the queues of one device stand on: its disk, or disks. Main thread. */
export interface QueueBase<Config extends RingConfig> {
  /** As registered with `registerQueueKind`. */
  readonly kind: string;
  /** The device, for messages. */
  readonly user: string;
  /** Closed while queues change hands. */
  readonly gate: QueueGate;
  /** Bytes of RingConfig.scratch. */
  readonly scratchBytes: number;
  config(index: number, queue: number): Omit<Config, 'scratch'>;
  /** Does queue `index` take SCSI commands? */
  takesCommands(index: number): boolean;
  /** Throws what a lane throws that cannot be opened; then nothing is left behind. */
  open(): LocalPlace;
  /** The same on another thread. */
  openOn(thread: QueueThread): Promise<RemotePlace>;
}
