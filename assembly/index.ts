// The module's ABI: src/engine/engine.ts is its contract. Numbers only, no i64 in a signature (a
// u64 comes as two words, low first), no state of its own: a structure is passed by its address.

import { ABI_VERSION, LAYOUT_SUM } from "../src/layout";
import { isAllocated, read, write, zero } from "./cluster";
import { readHeaders, writeResponses } from "./scsi";
import { serve } from "./serve";
import { queueBreak as breakQueue, queueEnable as enable } from "./setup";
import { pop, push } from "./split";

export {
  accept, bhCancel, bhEnqueue, bhNext, bhPending, bhTake, check, notifierSet, notifierTestAndClear,
  notifierWatch, notify, prepare,
} from "./aio";
export { coNext, coSchedule, coTake } from "./coroutine";
export { copyFromChain, copyToChain, zeroChain } from "./copy";
export { gateClose, gateEnter, gateInFlight, gateLeave, gateOpen } from "./gate";
export { queueEmpty, queuePublish, queueSetNotification } from "./notify";
export { blkCollect, blkFinish } from "./plain";
export { handlerPending, handlerReady, pollSpin } from "./poll";
export { poolCancel, poolDone, poolReap, poolSubmit, poolTake } from "./pool";
export { blkRestore, queueRestore, scsiRestore } from "./restore";
export { scsiCollect, scsiFinish } from "./scsi-plain";
export { queueReset } from "./setup";
export { queueDetach, queueUnpop } from "./split";
export {
  mailReceived, mailSent, pollBegin, pollEnd, visitBegin, visitClose, visitEnd, waitEnter, waitKick,
  waitLeave,
} from "./wait";

// @ts-ignore: decorator
@inline
function u64of(low: u32, high: u32): u64 {
  return <u64>low | (<u64>high) << 32;
}

export function abi(): u32 {
  return ABI_VERSION;
}

export function layoutSum(): u32 {
  return LAYOUT_SUM;
}

export function queueEnable(
  queue: u32, num: u32, features: u32,
  descLo: u32, descHi: u32, availLo: u32, availHi: u32, usedLo: u32, usedHi: u32,
): u32 {
  const desc = u64of(descLo, descHi);
  const avail = u64of(availLo, availHi);
  return enable(queue, num, features, desc, avail, u64of(usedLo, usedHi));
}

export function queueBreak(queue: u32, reason: u32): void {
  breakQueue(queue, reason);
}

export function queuePop(queue: u32, max: u32): i32 {
  return pop(queue, max, false);
}

export function blkPop(queue: u32, max: u32): i32 {
  return pop(queue, max, true);
}

export function queuePush(queue: u32, count: u32): i32 {
  return push(queue, count, false);
}

export function blkPush(queue: u32, count: u32): i32 {
  return push(queue, count, true);
}

export function scsiPop(queue: u32, max: u32, cdbSize: u32, senseSize: u32): i32 {
  return readHeaders(queue, queuePop(queue, max), cdbSize, senseSize);
}

export function scsiPush(queue: u32, count: u32): i32 {
  writeResponses(queue, count);
  return queuePush(queue, count);
}

export function clusterServe(queue: u32, count: u32, backend: u32, lane: u32): u32 {
  return serve(queue, count, backend, lane);
}

/** `ram` is for the other engine: here guest memory lies in the one memory there is. */
export function clusterRead(
  disk: u32, offsetLo: u32, offsetHi: u32, address: u32, length: u32, ram: u32,
): u32 {
  read(disk, u64of(offsetLo, offsetHi), address, length);
  return length;
}

export function clusterWrite(
  disk: u32, offsetLo: u32, offsetHi: u32, address: u32, length: u32, ram: u32,
): u32 {
  return write(disk, u64of(offsetLo, offsetHi), address, length);
}

export function clusterZero(
  disk: u32, offsetLo: u32, offsetHi: u32, lengthLo: u32, lengthHi: u32, free: u32,
): void {
  const offset = u64of(offsetLo, offsetHi);
  zero(disk, offset, offset + u64of(lengthLo, lengthHi), free != 0);
}

export function clusterAllocated(disk: u32, offsetLo: u32, offsetHi: u32): u32 {
  return isAllocated(disk, u64of(offsetLo, offsetHi));
}
