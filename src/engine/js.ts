/**
 * The engine in TypeScript: typed arrays and Atomics. Twin of the module in assembly/, on the same
 * bytes (layout.ts), for places without WebAssembly and for guest RAM in a buffer of its own.
 * No BigInt and no object per request; the parts are in js/.
 */

import { ABI_VERSION, LAYOUT_SUM } from '../layout.ts';
import type { Engine, LinearMemory } from './engine.ts';
import { bhCancel, bhEnqueue, bhNext, bhPending, bhTake } from './js/bottom-halves.ts';
import {
  clusterAllocated,
  clusterRead,
  clusterWrite,
  clusterZero,
  offsetOf,
} from './js/cluster.ts';
import { FROM_CHAIN, TO_CHAIN, transfer, ZERO_CHAIN } from './js/copy.ts';
import { coNext, coSchedule, coTake } from './js/coroutine.ts';
import { gateClose, gateEnter, gateInFlight, gateLeave, gateOpen } from './js/gate.ts';
import {
  accept,
  check,
  notifierSet,
  notifierTestAndClear,
  notifierWatch,
  notify,
  prepare,
} from './js/notify.ts';
import { blkCollect, blkFinish } from './js/plain.ts';
import { handlerPending, handlerReady, pollSpin } from './js/poll.ts';
import { poolCancel, poolDone, poolReap, poolSubmit, poolTake } from './js/pool.ts';
import {
  queueBreak,
  queueDetach,
  queueEmpty,
  queueEnable,
  queueReset,
  queueSetNotification,
  queueUnpop,
} from './js/queue.ts';
import { blkRestore, queueRestore } from './js/restore.ts';
import { scsiPop, scsiPush, scsiRestore } from './js/scsi.ts';
import { scsiCollect, scsiFinish } from './js/scsi-plain.ts';
import { clusterServe } from './js/serve.ts';
import { pop, push, queuePublish } from './js/split.ts';
import { Views } from './js/views.ts';
import {
  mailReceived,
  mailSent,
  pollBegin,
  pollEnd,
  visitBegin,
  visitClose,
  visitEnd,
  waitEnter,
  waitKick,
  waitLeave,
} from './js/wait.ts';

/**
 * An engine whose structures are in `state` and whose guest memory is `ram`; both may be the same
 * memory. Addresses of rings, segments and status bytes are offsets into `ram`, all others into
 * `state`.
 */
export function createJsEngine(state: LinearMemory, ram: LinearMemory): Engine {
  const v = new Views(state, ram);
  return {
    kind: 'js',
    abi: () => ABI_VERSION,
    layoutSum: () => LAYOUT_SUM,

    queueReset: (queue) => queueReset(v.fresh(), queue),
    queueEnable: (queue, num, features, descLo, descHi, availLo, availHi, usedLo, usedHi) =>
      queueEnable(
        v.fresh(),
        queue,
        num,
        features,
        descLo,
        descHi,
        availLo,
        availHi,
        usedLo,
        usedHi,
      ),
    queueEmpty: (queue) => queueEmpty(v.fresh(), queue),
    queuePop: (queue, max) => pop(v.fresh(), queue, max, false),
    blkPop: (queue, max) => pop(v.fresh(), queue, max, true),
    queuePush: (queue, count) => push(v.fresh(), queue, count, false),
    blkPush: (queue, count) => push(v.fresh(), queue, count, true),
    blkCollect: (queue, from, count, backend, block) =>
      blkCollect(v.fresh(), queue, from, count, backend, block),
    blkFinish: (queue, from, count, lane, done) =>
      blkFinish(v.fresh(), queue, from, count, lane, done),
    scsiPop: (queue, max, cdbSize, senseSize) => scsiPop(v.fresh(), queue, max, cdbSize, senseSize),
    scsiPush: (queue, count) => scsiPush(v.fresh(), queue, count),
    scsiRestore: (queue, head, cdbSize, senseSize) =>
      scsiRestore(v.fresh(), queue, head >>> 0, cdbSize, senseSize),
    scsiCollect: (queue, from, count, backend, block, lun) =>
      scsiCollect(v.fresh(), queue, from, count, backend, block, lun),
    scsiFinish: (queue, from, count, lane, done) =>
      scsiFinish(v.fresh(), queue, from, count, lane, done),
    queuePublish: (queue, used) => queuePublish(v.fresh(), queue, used),
    queueUnpop: (queue, count) => queueUnpop(v.fresh(), queue, count),
    queueDetach: (queue, head) => queueDetach(v.fresh(), queue, head),
    queueSetNotification: (queue, on) => queueSetNotification(v.fresh(), queue, on),
    queueBreak: (queue, reason) => queueBreak(v.fresh(), queue, reason),
    queueRestore: (queue, lastAvail) => queueRestore(v.fresh(), queue, lastAvail),
    blkRestore: (queue, head) => blkRestore(v.fresh(), queue, head >>> 0),

    copyFromChain: (queue, head, skip, to, length) =>
      transfer(v.fresh(), queue, head, skip, to, length, FROM_CHAIN),
    copyToChain: (queue, head, skip, from, length) =>
      transfer(v.fresh(), queue, head, skip, from, length, TO_CHAIN),
    zeroChain: (queue, head, skip, length) =>
      transfer(v.fresh(), queue, head, skip, 0, length, ZERO_CHAIN),

    gateEnter: (lane, backend, count) => gateEnter(v.fresh().i32, lane, backend, count),
    gateLeave: (lane, backend, count) => gateLeave(v.fresh().i32, lane, backend, count),
    gateClose: (backend) => gateClose(v.fresh().i32, backend),
    gateOpen: (backend) => gateOpen(v.fresh().i32, backend),
    gateInFlight: (lane) => gateInFlight(v.fresh().i32, lane),

    clusterServe: (queue, count, backend, lane) =>
      clusterServe(v.fresh(), queue, count, backend, lane),
    clusterRead: (disk, lo, hi, address, length, ram) =>
      clusterRead(v.fresh(), disk, offsetOf(lo, hi), address >>> 0, length >>> 0, ram),
    clusterWrite: (disk, lo, hi, address, length, ram) =>
      clusterWrite(v.fresh(), disk, offsetOf(lo, hi), address >>> 0, length >>> 0, ram),
    clusterZero: (disk, lo, hi, lengthLo, lengthHi, free) =>
      clusterZero(v.fresh(), disk, offsetOf(lo, hi), offsetOf(lengthLo, lengthHi), free),
    clusterAllocated: (disk, lo, hi) => clusterAllocated(v.fresh(), disk, offsetOf(lo, hi)),

    bhEnqueue: (context, slot, generation, flags) =>
      bhEnqueue(v.fresh().i32, context, slot, generation, flags),
    bhCancel: (context, slot, generation) => bhCancel(v.fresh().i32, context, slot, generation),
    bhTake: (context) => bhTake(v.fresh().i32, context),
    bhNext: (context) => bhNext(v.fresh().i32, context),
    bhPending: (context) => bhPending(v.fresh().i32, context),

    notify: (context) => notify(v.fresh().i32, context),
    accept: (context) => accept(v.fresh().i32, context),
    prepare: (context) => prepare(v.fresh().i32, context),
    check: (context) => check(v.fresh().i32, context),
    waitEnter: (context) => waitEnter(v.fresh().i32, context),
    waitLeave: (context) => waitLeave(v.fresh().i32, context),
    pollBegin: (context, thread) => pollBegin(v.fresh().i32, context, thread),
    pollEnd: (context) => pollEnd(v.fresh().i32, context),
    visitBegin: (context) => visitBegin(v.fresh().i32, context),
    visitEnd: (context) => visitEnd(v.fresh().i32, context),
    visitClose: (context) => visitClose(v.fresh().i32, context),
    waitKick: (header) => waitKick(v.fresh().i32, header),
    mailSent: (context) => mailSent(v.fresh().i32, context),
    mailReceived: (context) => mailReceived(v.fresh().i32, context),

    handlerReady: (context, from) => handlerReady(v.fresh(), context, from),
    handlerPending: (context) => handlerPending(v.fresh(), context),
    pollSpin: (context, rounds) => pollSpin(v.fresh(), context, rounds),

    coSchedule: (context, number, by) => coSchedule(v.fresh().i32, context, number, by),
    coTake: (context) => coTake(v.fresh().i32, context),
    coNext: (context) => coNext(v.fresh().i32, context),

    poolSubmit: (pool, number) => poolSubmit(v.fresh().i32, pool, number),
    poolTake: (pool) => poolTake(v.fresh().i32, pool),
    poolDone: (pool, number, result) => poolDone(v.fresh().i32, pool, number, result),
    poolCancel: (pool, number, result) => poolCancel(v.fresh().i32, pool, number, result),
    poolReap: (pool, from) => poolReap(v.fresh().i32, pool, from),

    notifierSet: (notifier) => notifierSet(v.fresh().i32, notifier),
    notifierTestAndClear: (notifier) => notifierTestAndClear(v.fresh().i32, notifier),
    notifierWatch: (notifier, context) => notifierWatch(v.fresh().i32, notifier, context),
  };
}
