// A queue's beginning and end: reset, enable (latch the ring), break.

import {
  BROKEN_MISALIGNED, BROKEN_RING_ADDRESS, BROKEN_SIZE, QUEUE_AVAIL, QUEUE_BATCH_COUNT, QUEUE_BROKEN,
  QUEUE_CAPACITY, QUEUE_DESC, QUEUE_FEATURES, QUEUE_F_EVENT_IDX, QUEUE_NOTIFICATION, QUEUE_NUM,
  QUEUE_READY, QUEUE_RECORDS, QUEUE_REGIONS, QUEUE_USED, RECORD_FREE, RECORD_SIZE, RECORD_STATE,
} from "../src/layout";
import {
  VIRTQ_AVAIL_ALIGN, VIRTQ_AVAIL_RING, VIRTQ_DESC_ALIGN, VIRTQ_DESC_SIZE_SHIFT, VIRTQ_USED_ALIGN,
  VIRTQ_USED_RING,
} from "../src/spec";
import { compareExchange32, store32 } from "./atomics";
import { linkBlocks } from "./blocks";
import { NOWHERE, translate } from "./regions";

/** Forgets ring, indices and requests in flight; keeps epoch and counters. */
export function queueReset(queue: u32): void {
  store32(queue, QUEUE_READY, 0);
  memory.fill(queue + QUEUE_DESC, 0, QUEUE_BROKEN - QUEUE_DESC);
  store<u32>(queue, 1, QUEUE_NOTIFICATION);
  store32(queue, QUEUE_BROKEN, 0);
  store<u32>(queue, 0, QUEUE_BATCH_COUNT);
  let record = load<u32>(queue, QUEUE_RECORDS);
  for (let left = load<u32>(queue, QUEUE_CAPACITY); left != 0; --left) {
    store<u32>(record, RECORD_FREE, RECORD_STATE);
    record += RECORD_SIZE;
  }
  linkBlocks(queue);
}

/** Latches a ring of `num` descriptors. Each part lies in one region, so it is translated once. */
export function queueEnable(
  queue: u32, num: u32, features: u32, desc: u64, avail: u64, used: u64,
): u32 {
  if (num == 0 || num & (num - 1) || num > load<u32>(queue, QUEUE_CAPACITY)) {
    return queueBreak(queue, BROKEN_SIZE);
  }
  // A misaligned atomic traps, so alignment is not the driver's to choose (2.7).
  const odd = desc & (VIRTQ_DESC_ALIGN - 1)
    | avail & (VIRTQ_AVAIL_ALIGN - 1)
    | used & (VIRTQ_USED_ALIGN - 1);
  if (odd) return queueBreak(queue, BROKEN_MISALIGNED);
  const regions = load<u32>(queue, QUEUE_REGIONS);
  const event: u32 = features & QUEUE_F_EVENT_IDX ? 2 : 0;
  const descAt = translate(regions, desc, num << VIRTQ_DESC_SIZE_SHIFT);
  const availAt = translate(regions, avail, VIRTQ_AVAIL_RING + (num << 1) + event);
  const usedAt = translate(regions, used, VIRTQ_USED_RING + (num << 3) + event);
  if (descAt == NOWHERE || availAt == NOWHERE || usedAt == NOWHERE) {
    return queueBreak(queue, BROKEN_RING_ADDRESS);
  }
  store<u32>(queue, <u32>descAt, QUEUE_DESC);
  store<u32>(queue, <u32>availAt, QUEUE_AVAIL);
  store<u32>(queue, <u32>usedAt, QUEUE_USED);
  store<u32>(queue, num, QUEUE_NUM);
  store<u32>(queue, features, QUEUE_FEATURES);
  // Atomic: what was latched is visible before the ring counts as ready.
  store32(queue, QUEUE_READY, 1);
  return 0;
}

/** Marks the queue broken; the first reason stays. Returns this one. */
export function queueBreak(queue: u32, reason: u32): u32 {
  compareExchange32(queue, QUEUE_BROKEN, 0, reason);
  return reason;
}
