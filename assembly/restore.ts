// A queue goes on where a saved one stood: its place in the ring, and the requests that had been
// popped and not been given back (behaviour VM-6, BL-19). Called after enable, before it is served.

import {
  BLOCK_FIRST, BROKEN_AVAIL_IDX, BROKEN_HEAD, BROKEN_HEADERS, BROKEN_HEAD_TWICE, BROKEN_INUSE,
  CHAIN_BLOCKS_MAX, QUEUE_AVAIL, QUEUE_BATCH_COUNT, QUEUE_FREE, QUEUE_FREE_COUNT, QUEUE_INUSE,
  QUEUE_LAST_AVAIL, QUEUE_NOTIFICATION, QUEUE_NUM, QUEUE_REGIONS, QUEUE_SHADOW_AVAIL,
  QUEUE_SIGNALLED_USED, QUEUE_SIGNALLED_VALID, QUEUE_USED, QUEUE_USED_IDX, QUEUE_WALK_CURSOR,
  QUEUE_WALK_LINK, QUEUE_WALK_REGION, QUEUE_WALK_TOTAL,
} from "../src/layout";
import { VIRTQ_AVAIL_IDX, VIRTQ_USED_IDX } from "../src/spec";
import { load16 } from "./atomics";
import { LINK_NEXT_SHIFT, STOPPED_BEFORE } from "./chain";
import { walkOn } from "./detour";
import { usable } from "./notify";
import { lastRegion } from "./regions";
import { readHeader } from "./scsi";
import { queueBreak } from "./setup";
import { inFlight, queueDetach, recordOf } from "./split";

const RESTORE_REFUSED = -1;
const STALLED = -1;
const BROKEN = -2;

/** Both indices are what the guest's memory says now, but for `last`, which no driver sees. */
export function queueRestore(queue: u32, lastAvail: u32): i32 {
  if (!usable(queue)) return BROKEN;
  const num = load<u32>(queue, QUEUE_NUM);
  const last = lastAvail & 0xffff;
  const used = load16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_IDX);
  const popped = (last - used) & 0xffff;
  if (popped > num) return RESTORE_REFUSED;
  store<u32>(queue, last, QUEUE_LAST_AVAIL);
  store<u32>(queue, last, QUEUE_SHADOW_AVAIL);
  store<u32>(queue, used, QUEUE_USED_IDX);
  store<u32>(queue, 0, QUEUE_SIGNALLED_USED);
  store<u32>(queue, 0, QUEUE_SIGNALLED_VALID);
  store<u32>(queue, 1, QUEUE_NOTIFICATION);
  store<u32>(queue, 0, QUEUE_BATCH_COUNT);
  const idx = load16(load<u32>(queue, QUEUE_AVAIL), VIRTQ_AVAIL_IDX);
  if (((idx - last) & 0xffff) > num) {
    queueBreak(queue, BROKEN_AVAIL_IDX);
    return BROKEN;
  }
  store<u32>(queue, idx, QUEUE_SHADOW_AVAIL);
  return popped;
}

export function blkRestore(queue: u32, head: u32): i32 {
  return restore(queue, head, true);
}

export function scsiRestore(queue: u32, head: u32, cdbSize: u32, senseSize: u32): i32 {
  const result = restore(queue, head, false);
  if (result != 0 || readHeader(queue, head, cdbSize, senseSize)) return result;
  queueDetach(queue, head);
  return queueBreak(queue, BROKEN_HEADERS);
}

/** The walk of detour.ts from its first step: what is restored is no hot path. */
function restore(queue: u32, head: u32, parse: bool): i32 {
  if (!usable(queue)) return BROKEN;
  const num = load<u32>(queue, QUEUE_NUM);
  if (load<u32>(queue, QUEUE_INUSE) >= num) return queueBreak(queue, BROKEN_INUSE);
  if (load<u32>(queue, QUEUE_FREE_COUNT) < <u32>CHAIN_BLOCKS_MAX) return STALLED;
  if (head >= num) return queueBreak(queue, BROKEN_HEAD);
  if (inFlight(queue, head)) return queueBreak(queue, BROKEN_HEAD_TWICE);
  store<u32>(queue, lastRegion(load<u32>(queue, QUEUE_REGIONS)), QUEUE_WALK_REGION);
  store<u32>(queue, load<u32>(queue, QUEUE_FREE) + BLOCK_FIRST, QUEUE_WALK_CURSOR);
  store<u32>(queue, head << LINK_NEXT_SHIFT, QUEUE_WALK_LINK);
  store<u64>(queue, 0, QUEUE_WALK_TOTAL);
  const reason = walkOn(queue, recordOf(queue, head), STOPPED_BEFORE, parse);
  if (reason) return queueBreak(queue, reason);
  store<u32>(queue, load<u32>(queue, QUEUE_INUSE) + 1, QUEUE_INUSE);
  return 0;
}
