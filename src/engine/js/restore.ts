/**
 * A queue goes on where a saved one stood: its place in the ring, and the requests that had been
 * popped and not been given back (behaviour VM-6, BL-19). Called after enable, before it is served.
 */

import {
  BROKEN_AVAIL_IDX,
  BROKEN_INUSE,
  CHAIN_BLOCKS_MAX,
  QUEUE_BATCH_COUNT,
  QUEUE_FREE_COUNT,
  QUEUE_INUSE,
  QUEUE_LAST_AVAIL,
  QUEUE_NOTIFICATION,
  QUEUE_NUM,
  QUEUE_RECORDS,
  QUEUE_SHADOW_AVAIL,
  QUEUE_SIGNALLED_USED,
  QUEUE_SIGNALLED_VALID,
  QUEUE_USED,
  QUEUE_USED_IDX,
  RECORD_SIZE,
} from '../../layout.ts';
import { VIRTQ_USED_IDX } from '../../spec.ts';
import { load16 } from '../atomics.ts';
import { POP_BROKEN, POP_STALLED, RESTORE_REFUSED } from '../engine.ts';
import { prepareNear } from './near.ts';
import { availIdx, isUsable, queueBreak } from './queue.ts';
import { take } from './split.ts';
import type { Views } from './views.ts';

/** Both indices are what the guest's memory says now, but for `last`, which no driver sees. */
export function queueRestore(v: Views, queue: number, lastAvail: number): number {
  if (!isUsable(v, queue)) return POP_BROKEN;
  const word = (field: number) => (queue + field) >>> 2;
  const num = v.u32[word(QUEUE_NUM)]!;
  const last = lastAvail & 0xffff;
  const used = load16(v.ram16, v.u32[word(QUEUE_USED)]! + VIRTQ_USED_IDX);
  const popped = (last - used) & 0xffff;
  if (popped > num) return RESTORE_REFUSED;
  v.u32[word(QUEUE_LAST_AVAIL)] = last;
  v.u32[word(QUEUE_SHADOW_AVAIL)] = last;
  v.u32[word(QUEUE_USED_IDX)] = used;
  v.u32[word(QUEUE_SIGNALLED_USED)] = 0;
  v.u32[word(QUEUE_SIGNALLED_VALID)] = 0;
  v.u32[word(QUEUE_NOTIFICATION)] = 1;
  v.u32[word(QUEUE_BATCH_COUNT)] = 0;
  const idx = availIdx(v, queue);
  if (((idx - last) & 0xffff) > num) {
    queueBreak(v, queue, BROKEN_AVAIL_IDX);
    return POP_BROKEN;
  }
  v.u32[word(QUEUE_SHADOW_AVAIL)] = idx;
  return popped;
}

export function blkRestore(v: Views, queue: number, head: number): number {
  return restoreHead(v, queue, head, true);
}

/** Puts the chain at `head` in flight, as a virtio-blk request if `blk`. */
export function restoreHead(v: Views, queue: number, head: number, blk: boolean): number {
  if (!isUsable(v, queue)) return POP_BROKEN;
  const q = queue >>> 2;
  const num = v.u32[q + (QUEUE_NUM >>> 2)]!;
  const inuse = v.u32[q + (QUEUE_INUSE >>> 2)]!;
  if (inuse >= num) return broken(v, queue, BROKEN_INUSE);
  if (v.u32[q + (QUEUE_FREE_COUNT >>> 2)]! < CHAIN_BLOCKS_MAX) return POP_STALLED;
  const record = (v.u32[q + (QUEUE_RECORDS >>> 2)]! >>> 2) + head * (RECORD_SIZE >>> 2);
  prepareNear(v, queue);
  const reason = take(v, q, head, num - 1, record, blk);
  if (reason !== 0) return broken(v, queue, reason);
  v.u32[q + (QUEUE_INUSE >>> 2)] = inuse + 1;
  return 0;
}

function broken(v: Views, queue: number, reason: number): number {
  queueBreak(v, queue, reason);
  return reason;
}
