/**
 * A virtqueue, device side, seen from the control plane: made ready, emptied, told to be quiet,
 * broken. Popping and pushing are in split.ts.
 */

import {
  BLOCK_SIZE,
  BROKEN_AVAIL_IDX,
  BROKEN_MISALIGNED,
  BROKEN_RING_ADDRESS,
  BROKEN_SIZE,
  QUEUE_AVAIL,
  QUEUE_BATCH,
  QUEUE_BATCH_COUNT,
  QUEUE_BLOCK_COUNT,
  QUEUE_BLOCKS,
  QUEUE_BROKEN,
  QUEUE_CAPACITY,
  QUEUE_DESC,
  QUEUE_F_EVENT_IDX,
  QUEUE_FEATURES,
  QUEUE_FREE,
  QUEUE_FREE_COUNT,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_NOTIFICATION,
  QUEUE_NUM,
  QUEUE_POPPED_HI,
  QUEUE_POPPED_LO,
  QUEUE_READY,
  QUEUE_RECORDS,
  QUEUE_REGIONS,
  QUEUE_SHADOW_AVAIL,
  QUEUE_USED,
  RECORD_FREE,
  RECORD_IN_FLIGHT,
  RECORD_SIZE,
  RECORD_STATE,
} from '../../layout.ts';
import {
  VIRTQ_AVAIL_ALIGN,
  VIRTQ_AVAIL_IDX,
  VIRTQ_AVAIL_RING,
  VIRTQ_DESC_ALIGN,
  VIRTQ_DESC_SIZE_SHIFT,
  VIRTQ_USED_ALIGN,
  VIRTQ_USED_F_NO_NOTIFY,
  VIRTQ_USED_FLAGS,
  VIRTQ_USED_RING,
} from '../../spec.ts';
import { compareExchange, load, load16, store, store16 } from '../atomics.ts';
import { freeBlocks } from './blocks.ts';
import { countDown } from './count.ts';
import { locate } from './regions.ts';
import type { Views } from './views.ts';

const USED_ELEMENT_SIZE = 8;

/** The word of `queue` at byte offset `field`. */
function get(v: Views, queue: number, field: number): number {
  return v.u32[(queue + field) >>> 2]!;
}

function set(v: Views, queue: number, field: number, value: number): void {
  v.u32[(queue + field) >>> 2] = value;
}

export function queueReset(v: Views, queue: number): void {
  const words = v.u32;
  store(v.i32, queue + QUEUE_READY, 0);
  words.fill(0, (queue + QUEUE_DESC) >>> 2, (queue + QUEUE_BROKEN) >>> 2);
  set(v, queue, QUEUE_NOTIFICATION, 1);
  set(v, queue, QUEUE_BATCH_COUNT, 0);
  store(v.i32, queue + QUEUE_BROKEN, 0);
  const records = get(v, queue, QUEUE_RECORDS);
  for (let head = get(v, queue, QUEUE_CAPACITY) - 1; head >= 0; head--) {
    words[(records + head * RECORD_SIZE + RECORD_STATE) >>> 2] = RECORD_FREE;
  }
  linkBlocks(v, queue);
}

/** All blocks free, the first one first. */
function linkBlocks(v: Views, queue: number): void {
  const blocks = get(v, queue, QUEUE_BLOCKS);
  const count = get(v, queue, QUEUE_BLOCK_COUNT);
  for (let i = 0; i < count; i++) {
    const block = blocks + i * BLOCK_SIZE;
    v.u32[block >>> 2] = i + 1 < count ? block + BLOCK_SIZE : 0;
  }
  set(v, queue, QUEUE_FREE, count === 0 ? 0 : blocks);
  set(v, queue, QUEUE_FREE_COUNT, count);
}

export function queueEnable(
  v: Views,
  queue: number,
  num: number,
  features: number,
  descLo: number,
  descHi: number,
  availLo: number,
  availHi: number,
  usedLo: number,
  usedHi: number,
): number {
  if (num === 0 || (num & (num - 1)) !== 0 || num > get(v, queue, QUEUE_CAPACITY)) {
    return refuse(v, queue, BROKEN_SIZE);
  }
  const misaligned =
    (descLo & (VIRTQ_DESC_ALIGN - 1)) |
    (availLo & (VIRTQ_AVAIL_ALIGN - 1)) |
    (usedLo & (VIRTQ_USED_ALIGN - 1));
  if (misaligned !== 0) return refuse(v, queue, BROKEN_MISALIGNED);

  // With EVENT_IDX each ring ends in an event field of two bytes (VQ-14).
  const event = (features & QUEUE_F_EVENT_IDX) !== 0 ? 2 : 0;
  const table = get(v, queue, QUEUE_REGIONS);
  const place = (lo: number, hi: number, bytes: number) =>
    locate(v.u32, table, lo >>> 0, hi >>> 0, bytes);
  const desc = place(descLo, descHi, num << VIRTQ_DESC_SIZE_SHIFT);
  const avail = place(availLo, availHi, VIRTQ_AVAIL_RING + num * 2 + event);
  const used = place(usedLo, usedHi, VIRTQ_USED_RING + num * USED_ELEMENT_SIZE + event);
  if (desc < 0 || avail < 0 || used < 0) return refuse(v, queue, BROKEN_RING_ADDRESS);

  set(v, queue, QUEUE_DESC, desc);
  set(v, queue, QUEUE_AVAIL, avail);
  set(v, queue, QUEUE_USED, used);
  set(v, queue, QUEUE_NUM, num);
  set(v, queue, QUEUE_FEATURES, features);
  // Atomic: what was latched is visible before the ring counts as ready.
  store(v.i32, queue + QUEUE_READY, 1);
  return 0;
}

function refuse(v: Views, queue: number, reason: number): number {
  queueBreak(v, queue, reason);
  return reason;
}

export function queueBreak(v: Views, queue: number, reason: number): void {
  compareExchange(v.i32, queue + QUEUE_BROKEN, 0, reason);
}

/**
 * May the ring be touched? Pairs with main, which clears READY and then reads SERVING; home has set
 * SERVING before it asks.
 */
export function isUsable(v: Views, queue: number): boolean {
  return load(v.i32, queue + QUEUE_READY) !== 0 && get(v, queue, QUEUE_BROKEN) === 0;
}

/**
 * Reads avail.idx. What the driver wrote before it is read after it: pairs with the driver's
 * barrier (2.7.13.3, VQ-2).
 */
export function availIdx(v: Views, queue: number): number {
  return load16(v.ram16, get(v, queue, QUEUE_AVAIL) + VIRTQ_AVAIL_IDX);
}

/**
 * Reads avail.idx and keeps it. Returns how many chains are there to pop, or -1: more than the ring
 * holds, and the queue is broken (BG-4).
 */
export function published(v: Views, queue: number): number {
  const idx = availIdx(v, queue);
  const distance = (idx - get(v, queue, QUEUE_LAST_AVAIL)) & 0xffff;
  if (distance > get(v, queue, QUEUE_NUM)) {
    queueBreak(v, queue, BROKEN_AVAIL_IDX);
    return -1;
  }
  set(v, queue, QUEUE_SHADOW_AVAIL, idx);
  return distance;
}

/** Only looks: an idx out of range is something there, and the next pop breaks the queue. */
export function queueEmpty(v: Views, queue: number): number {
  if (!isUsable(v, queue)) return 1;
  const last = get(v, queue, QUEUE_LAST_AVAIL);
  if (get(v, queue, QUEUE_SHADOW_AVAIL) !== last) return 0;
  return availIdx(v, queue) === last ? 1 : 0;
}

export function queueSetNotification(v: Views, queue: number, on: number): number {
  set(v, queue, QUEUE_NOTIFICATION, on);
  if (!isUsable(v, queue)) return 0;
  const used = get(v, queue, QUEUE_USED);
  if ((get(v, queue, QUEUE_FEATURES) & QUEUE_F_EVENT_IDX) === 0) {
    store16(v.ram16, used + VIRTQ_USED_FLAGS, on === 0 ? VIRTQ_USED_F_NO_NOTIFY : 0);
  } else if (on !== 0) {
    writeAvailEvent(v, queue, availIdx(v, queue));
  }
  if (on === 0) return 0;
  // A store, then a load, both atomic: pairs with the driver, which publishes and then looks
  // whether a kick is wanted (VQ-9).
  return availIdx(v, queue) === get(v, queue, QUEUE_LAST_AVAIL) ? 0 : 1;
}

/** Asks for a kick when avail.idx passes `idx`. EVENT_IDX only. */
export function writeAvailEvent(v: Views, queue: number, idx: number): void {
  const end = VIRTQ_USED_RING + get(v, queue, QUEUE_NUM) * USED_ELEMENT_SIZE;
  store16(v.ram16, get(v, queue, QUEUE_USED) + end, idx);
}

/** Frees the record of `head` if it is in flight. */
function drop(v: Views, queue: number, head: number): boolean {
  if (head >= get(v, queue, QUEUE_CAPACITY)) return false;
  const record = (get(v, queue, QUEUE_RECORDS) + head * RECORD_SIZE) >>> 2;
  if (v.u32[record + (RECORD_STATE >>> 2)] !== RECORD_IN_FLIGHT) return false;
  v.u32[record + (RECORD_STATE >>> 2)] = RECORD_FREE;
  freeBlocks(v.u32, queue >>> 2, record);
  v.u32[(queue + QUEUE_INUSE) >>> 2]! -= 1;
  return true;
}

export function queueDetach(v: Views, queue: number, head: number): void {
  drop(v, queue, head);
}

export function queueUnpop(v: Views, queue: number, count: number): void {
  const batch = get(v, queue, QUEUE_BATCH);
  const listed = get(v, queue, QUEUE_BATCH_COUNT);
  let back = 0;
  while (back < count && back < listed) {
    const head = v.u32[(batch + (listed - back - 1) * 4) >>> 2]!;
    if (!drop(v, queue, head)) break;
    back++;
  }
  set(v, queue, QUEUE_BATCH_COUNT, listed - back);
  set(v, queue, QUEUE_LAST_AVAIL, (get(v, queue, QUEUE_LAST_AVAIL) - back) & 0xffff);
  countDown(v.u32, (queue + QUEUE_POPPED_LO) >>> 2, (queue + QUEUE_POPPED_HI) >>> 2, back);
}
