/**
 * Where the queues of a block device stand, in a saved state: the next head to pop, and the
 * requests that were popped and not answered (VM-6, BL-19). All other indices are the guest's
 * memory's.
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
import type { DeviceState, QueueState } from './device-state.ts';
import type { VirtioBlk } from './virtio-blk.ts';

/** Of one queue. */
export interface QueuePlace {
  /** Free-running index (u16) of the next head to pop. */
  readonly lastAvail: number;
  /** Popped and not answered, oldest first. A broken device has none: a reset will end them. */
  readonly heads: readonly number[];
}

/** Requests of all queues that were popped and not answered. */
export function requestsInFlight(blk: VirtioBlk): number {
  return blk.queues.reduce((sum, _, index) => sum + word(blk, index, QUEUE_INUSE), 0);
}

/** Throws a StateError, EBUSY, if a request is neither in the ring nor among `heads` (VM-8). */
export function putPlace(
  writer: StateWriter,
  blk: VirtioBlk,
  index: number,
  heads: readonly number[],
): void {
  const { enabled } = blk.queues[index]!;
  const inUse = word(blk, index, QUEUE_INUSE);
  if (blk.brokenReason === 0 && inUse !== heads.length) {
    const message = `queue ${index} has ${inUse} requests in flight, of which ${heads.length} wait`;
    throw new StateError('EBUSY', message);
  }
  writer.u16(enabled ? word(blk, index, QUEUE_LAST_AVAIL) : 0).u16(heads.length);
  for (const head of heads) writer.u16(head);
}

export function readPlace(reader: StateReader, state: DeviceState, index: number): QueuePlace {
  const { size, enabled } = state.queues[index] as QueueState;
  const lastAvail = reader.u16(`queue ${index}, next index`);
  const most = enabled && state.broken === 0 ? size : 0;
  const count = reader.upTo(`queue ${index}, requests in flight`, 2, most);
  const heads = new Set<number>();
  for (let i = 0; i < count; i++) {
    const field = `queue ${index}, head`;
    const head = reader.upTo(field, 2, size - 1);
    if (heads.has(head)) reader.fail('EINVAL', field, `${head} is in flight twice`);
    heads.add(head);
  }
  return { lastAvail, heads: [...heads] };
}

/**
 * Enables queue `index`, whose registers are in place, at the point where it stood. What a driver
 * has done to its ring breaks the device, as if it were found by a pop. Throws a StateError for a
 * ring that was never that far: guest memory is not what it was.
 */
export function restoreRing(blk: VirtioBlk, index: number, place: QueuePlace): void {
  const { engine } = blk.core;
  const { queue } = blk.queueConfigs[index]!;
  blk.enableQueue(index);
  if (blk.brokenReason !== 0) {
    blk.core.u32[(queue + QUEUE_LAST_AVAIL) >>> 2] = place.lastAvail;
    engine.queueBreak(queue, blk.brokenReason);
    return;
  }
  const popped = engine.queueRestore(queue, place.lastAvail);
  if (popped === RESTORE_REFUSED) {
    refuse(index, `stands at ${place.lastAvail}, too far from the used ring in guest memory`);
  }
  if (popped < 0) {
    blk.needsReset(word(blk, index, QUEUE_BROKEN));
    return;
  }
  if (popped !== place.heads.length) {
    refuse(index, `has ${popped} requests in flight, of which ${place.heads.length} were saved`);
  }
  const broken = restoreRequests(blk, queue, place.heads);
  if (broken !== 0) blk.needsReset(broken);
}

/**
 * 0, or BROKEN_*. Once they all were in flight at the same time, so they find room again, if the
 * longest comes last: then as much room was free when it was popped, whatever the order was.
 */
function restoreRequests(blk: VirtioBlk, queue: number, heads: readonly number[]): number {
  const { engine } = blk.core;
  const done: number[] = [];
  for (const head of heads) {
    const result = engine.blkRestore(queue, head);
    if (result > 0) return result;
    if (result === POP_STALLED) {
      for (const one of done) engine.queueDetach(queue, one);
      return restoreByLength(blk, queue, heads);
    }
    done.push(head);
  }
  return 0;
}

function restoreByLength(blk: VirtioBlk, queue: number, heads: readonly number[]): number {
  const { engine } = blk.core;
  const lengths = new Map<number, number>();
  for (const head of heads) {
    const result = engine.blkRestore(queue, head);
    if (result !== 0) return result > 0 ? result : BROKEN_ENGINE;
    lengths.set(head, segments(blk, queue, head));
    engine.queueDetach(queue, head);
  }
  for (const head of [...heads].sort((a, b) => lengths.get(a)! - lengths.get(b)!)) {
    const result = engine.blkRestore(queue, head);
    if (result !== 0) return result > 0 ? result : BROKEN_ENGINE;
  }
  return 0;
}

function segments(blk: VirtioBlk, queue: number, head: number): number {
  const { u32 } = blk.core;
  const record = u32[(queue + QUEUE_RECORDS) >>> 2]! + head * RECORD_SIZE;
  return u32[(record + RECORD_OUT_COUNT) >>> 2]! + u32[(record + RECORD_IN_COUNT) >>> 2]!;
}

function word(blk: VirtioBlk, index: number, field: number): number {
  return Atomics.load(blk.core.u32, (blk.queueConfigs[index]!.queue + field) >>> 2);
}

function refuse(index: number, message: string): never {
  const hint = 'guest memory must be as it was when the state was saved';
  throw new StateError('EINVAL', `queue ${index} ${message}: ${hint}`);
}
