/**
 * Split virtqueue, device side (VIRTIO 1.3, 2.7): taking chains in batches and giving them back.
 * The hot path of this engine.
 */

import {
  BROKEN_HEAD,
  BROKEN_HEAD_TWICE,
  BROKEN_INUSE,
  CHAIN_BLOCKS_MAX,
  QUEUE_AVAIL,
  QUEUE_BATCH,
  QUEUE_BATCH_COUNT,
  QUEUE_BROKEN,
  QUEUE_CAPACITY,
  QUEUE_DONE,
  QUEUE_F_EVENT_IDX,
  QUEUE_F_HELD,
  QUEUE_F_NOTIFY_ON_EMPTY,
  QUEUE_FEATURES,
  QUEUE_FREE_COUNT,
  QUEUE_INTERRUPTS_HI,
  QUEUE_INTERRUPTS_LO,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_NOTIFICATION,
  QUEUE_NUM,
  QUEUE_POPPED_HI,
  QUEUE_POPPED_LO,
  QUEUE_READY,
  QUEUE_RECORDS,
  QUEUE_SHADOW_AVAIL,
  QUEUE_SIGNALLED_USED,
  QUEUE_SIGNALLED_VALID,
  QUEUE_USED,
  QUEUE_USED_IDX,
  RECORD_FREE,
  RECORD_IN_FLIGHT,
  RECORD_SIZE,
  RECORD_STATE,
  RECORD_STATUS,
  RECORD_STATUS_AT,
  RECORD_WRITTEN,
} from '../../layout.ts';
import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_AVAIL_FLAGS,
  VIRTQ_AVAIL_RING,
  VIRTQ_USED_IDX,
  VIRTQ_USED_RING,
} from '../../spec.ts';
import { load, load16, store16 } from '../atomics.ts';
import { POP_BROKEN, POP_STALLED } from '../engine.ts';
import { parse } from './blk.ts';
import { freeBlocks } from './blocks.ts';
import { collect } from './chain.ts';
import { count } from './count.ts';
import { collectNear, prepareNear } from './near.ts';
import { availIdx, isUsable, published, queueBreak, writeAvailEvent } from './queue.ts';
import type { Views } from './views.ts';

// Word indexes, and constants of this module: an imported constant is a load and a shift each time.
const NUM = QUEUE_NUM >>> 2;
const INUSE = QUEUE_INUSE >>> 2;
const LAST_AVAIL = QUEUE_LAST_AVAIL >>> 2;
const SHADOW_AVAIL = QUEUE_SHADOW_AVAIL >>> 2;
const RECORDS = QUEUE_RECORDS >>> 2;
const BATCH = QUEUE_BATCH >>> 2;
const FREE_COUNT = QUEUE_FREE_COUNT >>> 2;
const STATE = RECORD_STATE >>> 2;
const WRITTEN = RECORD_WRITTEN >>> 2;
const STATUS = RECORD_STATUS >>> 2;
const STATUS_AT = RECORD_STATUS_AT >>> 2;
const RECORD_WORDS = RECORD_SIZE >>> 2;
const FREE = RECORD_FREE;
const IN_FLIGHT = RECORD_IN_FLIGHT;
const BLOCKS_NEEDED = CHAIN_BLOCKS_MAX;

/** `queuePop`, and `blkPop` if `blk`. */
export function pop(v: Views, queue: number, max: number, blk: boolean): number {
  const u32 = v.u32;
  const q = queue >>> 2;
  u32[q + (QUEUE_BATCH_COUNT >>> 2)] = 0;
  if (load(v.i32, queue + QUEUE_READY) === 0) return 0; // as `isUsable`
  if (u32[q + (QUEUE_BROKEN >>> 2)] !== 0) return POP_BROKEN;
  const mask = u32[q + NUM]! - 1;
  const ring = (u32[q + (QUEUE_AVAIL >>> 2)]! + VIRTQ_AVAIL_RING) >>> 1;
  const records = u32[q + RECORDS]! >>> 2;
  const batch = u32[q + BATCH]! >>> 2;
  const inuse = u32[q + INUSE]!;
  const last = u32[q + LAST_AVAIL]!;
  let available = (u32[q + SHADOW_AVAIL]! - last) & 0xffff;
  if (available === 0) available = published(v, queue);
  if (available < 0) return POP_BROKEN;
  const goal = Math.min(max, available);
  prepareNear(v, queue);
  let popped = 0;
  let end = 0;
  while (popped < goal) {
    if (inuse + popped > mask) {
      end = broken(v, queue, BROKEN_INUSE);
      break;
    }
    if (u32[q + FREE_COUNT]! < BLOCKS_NEEDED) {
      end = POP_STALLED;
      break;
    }
    const head = v.ram16[ring + ((last + popped) & mask)]!;
    const reason = take(v, q, head, mask, records + head * RECORD_WORDS, blk);
    if (reason !== 0) {
      end = broken(v, queue, reason);
      break;
    }
    u32[batch + popped] = head;
    popped++;
  }
  if (popped === 0) return end;
  commit(v, queue, popped, (last + popped) & 0xffff);
  return popped;
}

/** Puts the chain at `head` in flight. Returns 0, or why the queue breaks: nothing is in flight. */
export function take(
  v: Views,
  q: number,
  head: number,
  mask: number,
  record: number,
  blk: boolean,
): number {
  if (head > mask) return BROKEN_HEAD;
  const u32 = v.u32;
  if (u32[record + STATE] !== FREE) return BROKEN_HEAD_TWICE;
  if (!collectNear(v, q, head, record)) {
    const reason = collect(v, q, head, record);
    if (reason !== 0) return reason;
  }
  if (!blk) return 0;
  const reason = parse(v, q, record);
  if (reason === 0) return 0;
  u32[record + STATE] = FREE;
  freeBlocks(u32, q, record);
  return reason;
}

function broken(v: Views, queue: number, reason: number): number {
  queueBreak(v, queue, reason);
  return POP_BROKEN;
}

/** Moves the queue past `popped` chains, once for a batch (VQ-3). */
function commit(v: Views, queue: number, popped: number, last: number): void {
  const u32 = v.u32;
  const q = queue >>> 2;
  u32[q + LAST_AVAIL] = last;
  u32[q + (QUEUE_BATCH_COUNT >>> 2)] = popped;
  u32[q + INUSE]! += popped;
  count(u32, q + (QUEUE_POPPED_LO >>> 2), q + (QUEUE_POPPED_HI >>> 2), popped);
  const wanted = u32[q + (QUEUE_NOTIFICATION >>> 2)] !== 0;
  if (wanted && (u32[q + (QUEUE_FEATURES >>> 2)]! & QUEUE_F_EVENT_IDX) !== 0) {
    writeAvailEvent(v, queue, last);
  }
}

/** `queuePush`, and `blkPush` if `blk`. */
export function push(v: Views, queue: number, length: number, blk: boolean): number {
  const u32 = v.u32;
  const q = queue >>> 2;
  const usable = isUsable(v, queue);
  const capacity = u32[q + (QUEUE_CAPACITY >>> 2)]!;
  const records = u32[q + RECORDS]! >>> 2;
  const done = u32[q + (QUEUE_DONE >>> 2)]! >>> 2;
  const mask = u32[q + NUM]! - 1;
  const ring = (u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_RING) >>> 2;
  const used = u32[q + (QUEUE_USED_IDX >>> 2)]!;
  let pushed = 0;
  for (let i = 0; i < length; i++) {
    const head = u32[done + i]!;
    const record = records + head * RECORD_WORDS;
    if (head >= capacity || u32[record + STATE] !== IN_FLIGHT) continue;
    if (usable) {
      if (blk) v.ram8[u32[record + STATUS_AT]!] = u32[record + STATUS]!;
      const element = ring + (((used + pushed) & mask) << 1);
      v.ram32[element] = head;
      v.ram32[element + 1] = u32[record + WRITTEN]!;
    }
    u32[record + STATE] = FREE;
    freeBlocks(u32, q, record);
    pushed++;
  }
  u32[q + INUSE]! -= pushed;
  if (!usable) return 0;
  const wanted = pushed > 0 && ended(v, queue, (used + pushed) & 0xffff);
  if (pushed < length) return -1;
  return wanted ? 1 : 0;
}

/** The index of used elements has moved; true if somebody must be told. */
function ended(v: Views, queue: number, used: number): boolean {
  v.u32[(queue + QUEUE_USED_IDX) >>> 2] = used;
  if ((v.u32[(queue + QUEUE_FEATURES) >>> 2]! & QUEUE_F_HELD) !== 0) return true;
  return publish(v, queue, used);
}

/** Main, for a queue with QUEUE_F_HELD. */
export function queuePublish(v: Views, queue: number, used: number): number {
  return isUsable(v, queue) && publish(v, queue, used & 0xffff) ? 1 : 0;
}

/**
 * Shows the driver all used elements before `used` (VQ-5), and decides whether it wants an
 * interrupt for them (VQ-7). The store of idx comes before the load of what the driver wants: both
 * atomic.
 */
function publish(v: Views, queue: number, used: number): boolean {
  const u32 = v.u32;
  const q = queue >>> 2;
  store16(v.ram16, u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_IDX, used);
  const wanted = wantsInterrupt(v, queue, used);
  if (wanted) count(u32, q + (QUEUE_INTERRUPTS_LO >>> 2), q + (QUEUE_INTERRUPTS_HI >>> 2), 1);
  return wanted;
}

function wantsInterrupt(v: Views, queue: number, used: number): boolean {
  const u32 = v.u32;
  const q = queue >>> 2;
  const old = u32[q + (QUEUE_SIGNALLED_USED >>> 2)]!;
  const valid = u32[q + (QUEUE_SIGNALLED_VALID >>> 2)] !== 0;
  // Moved by each push, not only by those that interrupt: or its window of 16 bits wraps.
  u32[q + (QUEUE_SIGNALLED_USED >>> 2)] = used;
  u32[q + (QUEUE_SIGNALLED_VALID >>> 2)] = 1;
  const features = u32[q + (QUEUE_FEATURES >>> 2)]!;
  if ((features & QUEUE_F_NOTIFY_ON_EMPTY) !== 0 && u32[q + INUSE] === 0) {
    if (availIdx(v, queue) === u32[q + LAST_AVAIL]) return true;
  }
  const avail = u32[q + (QUEUE_AVAIL >>> 2)]!;
  if ((features & QUEUE_F_EVENT_IDX) === 0) {
    return (load16(v.ram16, avail + VIRTQ_AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
  }
  if (!valid) return true;
  const event = load16(v.ram16, avail + VIRTQ_AVAIL_RING + u32[q + NUM]! * 2);
  return needsEvent(event, used, old);
}

/** Does `event` lie in the window of entries from `old` up to, not including, `used` (2.7.10)? */
function needsEvent(event: number, used: number, old: number): boolean {
  return ((used - event - 1) & 0xffff) < ((used - old) & 0xffff);
}
