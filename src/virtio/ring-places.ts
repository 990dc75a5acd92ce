/**
 * Where the queues of a device stand, in a saved state: the next head to pop, and the requests that
 * were popped and not answered (VM-6, BL-19). All other indices are the guest's memory's.
 */

import { POP_STALLED, RESTORE_REFUSED } from '../engine/engine.ts';
import {
  BROKEN_ENGINE,
  QUEUE_BROKEN,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_RECORDS,
  RECORD_IN_COUNT,
  RECORD_OUT_COUNT,
  RECORD_SIZE,
} from '../layout.ts';
import { StateError } from '../machine/state-error.ts';
import type { StateReader } from '../machine/state-reader.ts';
import type { StateWriter } from '../machine/state-writer.ts';
import type { RingConfig } from './data-plane.ts';
import type { DeviceState, QueueState } from './device-state.ts';
import type { QueueDevice } from './queue-device.ts';

/** A device whose queues are rings, whatever they carry. */
export type AnyQueueDevice = QueueDevice<RingConfig>;

/** A request that was popped and not answered. */
export interface WaitingRequest {
  readonly head: number;
}

/** What a kind of device keeps of a request that waits, and what it makes of it. */
export interface RequestFormat<R extends WaitingRequest> {
  /** May requests of queue `index` wait? */
  waits(index: number): boolean;
  /** `queue`: core address. Writes what is kept beside the head. */
  put(writer: StateWriter, queue: number, head: number): void;
  /** `field`: which request, for messages. */
  read(reader: StateReader, field: string, head: number): R;
  /** Pops it again: 0, POP_STALLED, or BROKEN_*. */
  restore(queue: number, request: R): number;
}

/** Of one queue. */
export interface QueuePlace<R extends WaitingRequest> {
  /** Free-running index (u16) of the next head to pop. */
  readonly lastAvail: number;
  /** Popped and not answered, oldest first. A broken device has none: a reset will end them. */
  readonly requests: readonly R[];
}

/** Requests of all queues that were popped and not answered. */
export function requestsInFlight(device: AnyQueueDevice): number {
  return device.queues.reduce((sum, _, index) => sum + inUse(device, index), 0);
}

/** The same of one queue. */
export function inUse(device: AnyQueueDevice, index: number): number {
  return word(device, index, QUEUE_INUSE);
}

/** Throws a StateError, EBUSY, if a request is neither in the ring nor among `heads` (VM-8). */
export function putPlace<R extends WaitingRequest>(
  writer: StateWriter,
  device: AnyQueueDevice,
  format: RequestFormat<R>,
  index: number,
  heads: readonly number[],
): void {
  const { enabled } = device.queues[index]!;
  const { queue } = device.queueConfigs[index]!;
  const popped = inUse(device, index);
  if (device.brokenReason === 0 && popped !== heads.length) {
    const which = `queue ${index} has ${popped} requests in flight`;
    throw new StateError('EBUSY', `${which}, of which ${heads.length} wait`);
  }
  writer.u16(enabled ? word(device, index, QUEUE_LAST_AVAIL) : 0).u16(heads.length);
  for (const head of heads) {
    writer.u16(head);
    format.put(writer, queue, head);
  }
}

export function readPlace<R extends WaitingRequest>(
  reader: StateReader,
  state: DeviceState,
  format: RequestFormat<R>,
  index: number,
): QueuePlace<R> {
  const { size, enabled } = state.queues[index] as QueueState;
  const lastAvail = reader.u16(`queue ${index}, next index`);
  const most = enabled && state.broken === 0 && format.waits(index) ? size : 0;
  const count = reader.upTo(`queue ${index}, requests in flight`, 2, most);
  const requests = new Map<number, R>();
  for (let i = 0; i < count; i++) {
    const field = `queue ${index}, head`;
    const head = reader.upTo(field, 2, size - 1);
    if (requests.has(head)) reader.fail('EINVAL', field, `${head} is in flight twice`);
    requests.set(head, format.read(reader, `queue ${index}, request ${head}`, head));
  }
  return { lastAvail, requests: [...requests.values()] };
}

/**
 * Enables queue `index`, whose registers are in place, at the point where it stood. What a driver
 * has done to its ring breaks the device, as if it were found by a pop. Throws a StateError for a
 * ring that was never that far: guest memory is not what it was.
 */
export function restoreRing<R extends WaitingRequest>(
  device: AnyQueueDevice,
  format: RequestFormat<R>,
  index: number,
  place: QueuePlace<R>,
): void {
  const { engine } = device.core;
  const { queue } = device.queueConfigs[index]!;
  device.enableQueue(index);
  if (device.brokenReason !== 0) {
    device.core.u32[(queue + QUEUE_LAST_AVAIL) >>> 2] = place.lastAvail;
    engine.queueBreak(queue, device.brokenReason);
    return;
  }
  const popped = engine.queueRestore(queue, place.lastAvail);
  if (popped === RESTORE_REFUSED) {
    refuse(index, `stands at ${place.lastAvail}, too far from the used ring in guest memory`);
  }
  if (popped < 0) {
    device.needsReset(word(device, index, QUEUE_BROKEN));
    return;
  }
  if (popped !== place.requests.length) {
    refuse(index, `has ${popped} requests in flight, of which ${place.requests.length} were saved`);
  }
  const broken = restoreRequests(device, format, queue, place.requests);
  if (broken !== 0) device.needsReset(broken);
}

/**
 * 0, or BROKEN_*. Once they all were in flight at the same time, so they find room again, if the
 * longest comes last: then as much room was free when it was popped, whatever the order was.
 */
function restoreRequests<R extends WaitingRequest>(
  device: AnyQueueDevice,
  format: RequestFormat<R>,
  queue: number,
  requests: readonly R[],
): number {
  const { engine } = device.core;
  const done: number[] = [];
  for (const request of requests) {
    const result = format.restore(queue, request);
    if (result > 0) return result;
    if (result === POP_STALLED) {
      for (const head of done) engine.queueDetach(queue, head);
      return restoreByLength(device, format, queue, requests);
    }
    done.push(request.head);
  }
  return 0;
}

function restoreByLength<R extends WaitingRequest>(
  device: AnyQueueDevice,
  format: RequestFormat<R>,
  queue: number,
  requests: readonly R[],
): number {
  const { engine } = device.core;
  const lengths = new Map<R, number>();
  for (const request of requests) {
    const result = format.restore(queue, request);
    if (result !== 0) return result > 0 ? result : BROKEN_ENGINE;
    lengths.set(request, segments(device, queue, request.head));
    engine.queueDetach(queue, request.head);
  }
  for (const request of [...requests].sort((a, b) => lengths.get(a)! - lengths.get(b)!)) {
    const result = format.restore(queue, request);
    if (result !== 0) return result > 0 ? result : BROKEN_ENGINE;
  }
  return 0;
}

function segments(device: AnyQueueDevice, queue: number, head: number): number {
  const { u32 } = device.core;
  const record = u32[(queue + QUEUE_RECORDS) >>> 2]! + head * RECORD_SIZE;
  return u32[(record + RECORD_OUT_COUNT) >>> 2]! + u32[(record + RECORD_IN_COUNT) >>> 2]!;
}

function word(device: AnyQueueDevice, index: number, field: number): number {
  return Atomics.load(device.core.u32, (device.queueConfigs[index]!.queue + field) >>> 2);
}

function refuse(index: number, message: string): never {
  const hint = 'guest memory must be as it was when the state was saved';
  throw new StateError('EINVAL', `queue ${index} ${message}: ${hint}`);
}
