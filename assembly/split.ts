// Split virtqueue, device side (VIRTIO 1.3, 2.7): taking batches of buffers and giving them back.
//
// A bad ring never traps; it marks the queue broken. What a chain may look like is chain.ts's.

import {
  BLOCK_SEGMENTS, BROKEN_AVAIL_IDX, BROKEN_HEAD, BROKEN_HEAD_TWICE, BROKEN_INUSE, CHAIN_BLOCKS_MAX,
  QUEUE_AVAIL, QUEUE_BATCH, QUEUE_BATCH_COUNT, QUEUE_BROKEN, QUEUE_CAPACITY, QUEUE_DONE,
  QUEUE_FEATURES, QUEUE_FREE_COUNT, QUEUE_F_EVENT_IDX, QUEUE_F_HELD, QUEUE_INUSE,
  QUEUE_LAST_AVAIL, QUEUE_NOTIFICATION, QUEUE_NUM, QUEUE_POPPED_LO, QUEUE_READY, QUEUE_RECORDS,
  QUEUE_REGIONS, QUEUE_SHADOW_AVAIL, QUEUE_USED, QUEUE_USED_IDX, QUEUE_WALK_REGION, RECORD_FREE,
  RECORD_IN_FLIGHT, RECORD_SIZE, RECORD_STATE, RECORD_WRITTEN, SEGMENT_SIZE,
} from "../src/layout";
import { VIRTQ_AVAIL_IDX, VIRTQ_AVAIL_RING, VIRTQ_USED_RING } from "../src/spec";
import { load16, load32 } from "./atomics";
import { writeStatus } from "./blk";
import { giveBlocksBack } from "./blocks";
import { collect } from "./chain";
import { publish, storeAvailEvent, usable } from "./notify";
import { lastRegion } from "./regions";
import { queueBreak } from "./setup";

const POP_STALLED = -1;
const POP_BROKEN = -2;

/** `published`: more heads than descriptors. */
const TOO_MANY: u32 = u32.MAX_VALUE;
/** `nextChain`: not broken, but no room for a longest chain. No BROKEN_* number is that large. */
const STALLED = 0xff;

// @ts-ignore: decorator
@inline
export function recordOf(queue: u32, head: u32): u32 {
  return load<u32>(queue, QUEUE_RECORDS) + head * RECORD_SIZE;
}

/** Is this a head that was popped and not given back? */
// @ts-ignore: decorator
@inline
export function inFlight(queue: u32, head: u32): bool {
  return head < load<u32>(queue, QUEUE_CAPACITY)
    && load<u32>(recordOf(queue, head), RECORD_STATE) == RECORD_IN_FLIGHT;
}

/** Takes at most `max` chains (VQ-3); `parse`: as virtio-blk requests. See the contract. */
// @ts-ignore: decorator
@inline
export function pop(queue: u32, max: u32, parse: bool): i32 {
  store<u32>(queue, 0, QUEUE_BATCH_COUNT);
  if (!load32(queue, QUEUE_READY)) return 0;
  if (load32(queue, QUEUE_BROKEN)) return POP_BROKEN;
  const last = load<u32>(queue, QUEUE_LAST_AVAIL);
  const ahead = published(queue, last);
  if (ahead == TOO_MANY) return POP_BROKEN;
  const wanted = min(ahead, max);

  const room = min(wanted, load<u32>(queue, QUEUE_NUM) - load<u32>(queue, QUEUE_INUSE));
  const batch = load<u32>(queue, QUEUE_BATCH);
  // A guest with several regions has most of its memory in the uppermost.
  store<u32>(queue, lastRegion(load<u32>(queue, QUEUE_REGIONS)), QUEUE_WALK_REGION);
  const span = min<u32>(load<u32>(queue, QUEUE_NUM), BLOCK_SEGMENTS) * SEGMENT_SIZE;
  let count: u32 = 0;
  let reason: u32 = 0;
  for (; count < room; ++count) {
    reason = nextChain(queue, last + count, batch + (count << 2), span, parse);
    if (reason) break;
  }
  if (count) popped(queue, last, count);
  if (reason == 0) {
    if (count == wanted) return count;
    reason = BROKEN_INUSE;
  }
  if (reason != STALLED) queueBreak(queue, reason);
  if (count) return count;
  return reason == STALLED ? POP_STALLED : POP_BROKEN;
}

/** How many heads the driver has published beyond `last`. TOO_MANY breaks the queue (BG-4). */
// @ts-ignore: decorator
@inline
function published(queue: u32, last: u32): u32 {
  const shadow = load<u32>(queue, QUEUE_SHADOW_AVAIL);
  if (shadow != last) return (shadow - last) & 0xffff;
  // Atomic: ring and descriptors are read after idx; pairs with the driver's barrier (2.7.13.3).
  const idx = load16(load<u32>(queue, QUEUE_AVAIL), VIRTQ_AVAIL_IDX);
  const count = (idx - last) & 0xffff;
  if (count > load<u32>(queue, QUEUE_NUM)) {
    queueBreak(queue, BROKEN_AVAIL_IDX);
    return TOO_MANY;
  }
  store<u32>(queue, idx, QUEUE_SHADOW_AVAIL);
  return count;
}

/** Takes the chain whose head stands at `index` and lists it at `slot`. 0 or why not. */
// @ts-ignore: decorator
@inline
function nextChain(queue: u32, index: u32, slot: u32, span: u32, parse: bool): u32 {
  const num = load<u32>(queue, QUEUE_NUM);
  if (load<u32>(queue, QUEUE_FREE_COUNT) < <u32>CHAIN_BLOCKS_MAX) return STALLED;
  const at = load<u32>(queue, QUEUE_AVAIL) + ((index & (num - 1)) << 1);
  const head = <u32>load<u16>(at, VIRTQ_AVAIL_RING);
  if (head >= num) return BROKEN_HEAD;
  const record = recordOf(queue, head);
  if (load<u32>(record, RECORD_STATE) == RECORD_IN_FLIGHT) return BROKEN_HEAD_TWICE;
  const reason = collect(queue, record, head, span, parse);
  if (reason) return reason;
  store<u32>(slot, head);
  return 0;
}

/** Moves the indices past `count` chains, once for all of them. */
// @ts-ignore: decorator
@inline
function popped(queue: u32, last: u32, count: u32): void {
  const index = (last + count) & 0xffff;
  store<u32>(queue, index, QUEUE_LAST_AVAIL);
  store<u32>(queue, count, QUEUE_BATCH_COUNT);
  store<u32>(queue, load<u32>(queue, QUEUE_INUSE) + count, QUEUE_INUSE);
  store<u64>(queue, load<u64>(queue, QUEUE_POPPED_LO) + count, QUEUE_POPPED_LO);
  const eventIdx = load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_EVENT_IDX;
  if (eventIdx && load<u32>(queue, QUEUE_NOTIFICATION)) storeAvailEvent(queue, index);
}

/** Gives QUEUE_DONE[0 .. count) to the driver; `status`: with a virtio-blk status byte each. */
// @ts-ignore: decorator
@inline
export function push(queue: u32, count: u32, status: bool): i32 {
  const done = load<u32>(queue, QUEUE_DONE);
  const live = usable(queue);
  const used = load<u32>(queue, QUEUE_USED) + VIRTQ_USED_RING;
  const mask = load<u32>(queue, QUEUE_NUM) - 1;
  const old = load<u32>(queue, QUEUE_USED_IDX);
  let index = old;
  let stray = false;
  for (let n: u32 = 0; n < count; ++n) {
    const head = load<u32>(done + (n << 2));
    if (head >= load<u32>(queue, QUEUE_CAPACITY)) {
      stray = true;
      continue;
    }
    const record = recordOf(queue, head);
    if (load<u32>(record, RECORD_STATE) != RECORD_IN_FLIGHT) {
      stray = true;
      continue;
    }
    if (live) {
      if (status) writeStatus(record);
      const element = used + ((index & mask) << 3);
      store<u64>(element, <u64>head | (<u64>load<u32>(record, RECORD_WRITTEN)) << 32);
    }
    ++index;
    release(queue, record);
  }
  const pushed = index - old;
  if (!pushed) return live && stray ? -1 : 0;
  store<u32>(queue, load<u32>(queue, QUEUE_INUSE) - pushed, QUEUE_INUSE);
  if (!live) return 0;
  index &= 0xffff;
  store<u32>(queue, index, QUEUE_USED_IDX);
  const held = load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_HELD;
  const interrupt = held != 0 || publish(queue, index);
  return stray ? -1 : i32(interrupt);
}

// @ts-ignore: decorator
@inline
function release(queue: u32, record: u32): void {
  giveBlocksBack(queue, record);
  store<u32>(record, RECORD_FREE, RECORD_STATE);
}

/** Gives back the newest `count` heads of the batch, as if never popped (VQ-11). */
export function queueUnpop(queue: u32, count: u32): void {
  let left = load<u32>(queue, QUEUE_BATCH_COUNT);
  const batch = load<u32>(queue, QUEUE_BATCH);
  let undone: u32 = 0;
  for (; undone < count && left != 0; ++undone) {
    const head = load<u32>(batch + (--left << 2));
    if (!inFlight(queue, head)) break;
    release(queue, recordOf(queue, head));
  }
  store<u32>(queue, load<u32>(queue, QUEUE_BATCH_COUNT) - undone, QUEUE_BATCH_COUNT);
  store<u32>(queue, (load<u32>(queue, QUEUE_LAST_AVAIL) - undone) & 0xffff, QUEUE_LAST_AVAIL);
  store<u32>(queue, load<u32>(queue, QUEUE_INUSE) - undone, QUEUE_INUSE);
  store<u64>(queue, load<u64>(queue, QUEUE_POPPED_LO) - undone, QUEUE_POPPED_LO);
}

/** Forgets one request in flight; the driver never hears of it (VQ-11). */
export function queueDetach(queue: u32, head: u32): void {
  if (!inFlight(queue, head)) return;
  release(queue, recordOf(queue, head));
  store<u32>(queue, load<u32>(queue, QUEUE_INUSE) - 1, QUEUE_INUSE);
}
