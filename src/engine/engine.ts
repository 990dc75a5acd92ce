/**
 * The contract of the hot path. Two engines keep it: `wasm.ts` (AssemblyScript, the module in
 * build/) and `js.ts` (typed arrays and Atomics). Both work on the same bytes (`layout.ts`), so a
 * queue may be handed from one to the other between two calls.
 *
 * All arguments and results are numbers. An address is an offset into core memory, at most
 * 2^32 - 1; a u64 is passed as two unsigned words, low first. No function throws, allocates or
 * traps, whatever a guest wrote; a function that finds a ring wrong marks the queue broken.
 * Unless said otherwise a function is called on the queue's or context's home thread.
 */

import type { ScsiEngine } from './engine-scsi.ts';

export interface Engine extends ScsiEngine {
  readonly kind: EngineKind;

  /** ABI_VERSION and LAYOUT_SUM as this engine was compiled with them. */
  abi(): number;
  layoutSum(): number;

  // ---- Rings: split virtqueue, device side (VIRTIO 1.3, 2.7) ----------------------------------

  /**
   * Prepares a queue for use: links its segment blocks into the free list and clears its state.
   * The caller has filled QUEUE_REGIONS, RECORDS, BATCH, DONE, CAPACITY, BLOCKS and BLOCK_COUNT.
   * Also the way to forget every request in flight (reset): records are freed, nothing is pushed.
   * Keeps QUEUE_EPOCH and the counters; the ring is not ready and not broken afterwards.
   */
  queueReset(queue: number): void;

  /**
   * Latches the ring: `num` descriptors at three guest addresses, with QUEUE_F_* `features`.
   * Returns 0, or BROKEN_SIZE, BROKEN_MISALIGNED, BROKEN_RING_ADDRESS (each part must lie in one
   * region; with EVENT_IDX the event fields count as part of the rings, VQ-14). On failure the
   * queue is broken with that number. Does not touch indices: they are 0 after `queueReset`.
   */
  queueEnable(
    queue: number,
    num: number,
    features: number,
    descLo: number,
    descHi: number,
    availLo: number,
    availHi: number,
    usedLo: number,
    usedHi: number,
  ): number;

  /** 1 if nothing is to be popped: not ready, broken, or the driver published nothing (VQ-1). */
  queueEmpty(queue: number): number;

  /**
   * Pops at most `max` chains (VQ-3). Fills their records and lists their heads in QUEUE_BATCH.
   * Returns how many; 0: nothing there; POP_STALLED: chains are there but a full chain might not
   * fit into the free segment blocks, try again after a push; POP_BROKEN: the queue is broken.
   * A chain that breaks the queue ends the batch: the ones before it are returned first.
   */
  queuePop(queue: number, max: number): number;

  /**
   * As `queuePop`, and parses each chain as a virtio-blk request in any framing (BL-1): copies the
   * 16-byte header, finds the status byte. A chain with no readable or no writable part, or a
   * header shorter than 16 bytes, breaks the queue (BROKEN_HEADERS) and stays unpopped state-wise:
   * its record is free.
   */
  blkPop(queue: number, max: number): number;

  /**
   * Gives QUEUE_DONE[0 .. count) back to the driver with RECORD_WRITTEN as used length (VQ-5),
   * frees their records and decides once for all of them whether the driver wants an interrupt
   * (VQ-7, VQ-8). Returns 1: interrupt; 0: none; -1: the list names a head that is not in flight,
   * which is a bug of the caller (the others are pushed). On a broken or not ready queue it only
   * undoes the bookkeeping and returns 0.
   */
  queuePush(queue: number, count: number): number;

  /**
   * Collects the plain requests at the front of QUEUE_BATCH[from .. from + count), PLAIN_ROWS at
   * most: reads, or writes, that break no rule (BL-4, BL-5) and whose data lies in one segment. Row
   * i of the plain table is of the i-th; it ends at the first that is not plain or of another
   * direction. `block`: bytes of a logical block. Returns how many, plus PLAIN_WRITE if they are to
   * be written, plus PLAIN_NEIGHBOURS if one begins on the disk where another ends.
   */
  blkCollect(queue: number, from: number, count: number, backend: number, block: number): number;

  /**
   * Ends the rows of QUEUE_BATCH[from .. from + count) whose result is their length: OK, say their
   * records (VQ-6), QUEUE_DONE[done ..] lists and the lane's figures count them. Returns how many.
   */
  blkFinish(queue: number, from: number, count: number, lane: number, done: number): number;

  /** Writes each RECORD_STATUS at RECORD_STATUS_AT, then does what `queuePush` does. */
  blkPush(queue: number, count: number): number;

  /**
   * Main, for a queue enabled with QUEUE_F_HELD: there a push leaves used.idx alone, takes no
   * decision and returns 1 for whatever it pushed. Here is the rest: used.idx becomes `used`, and 1
   * is returned if the driver wants an interrupt. `used`: QUEUE_USED_IDX after some push. Home may
   * be at work meanwhile. 0 on a broken or not ready queue.
   */
  queuePublish(queue: number, used: number): number;

  /** Gives back the newest `count` popped heads, listed last in QUEUE_BATCH, unserved (VQ-11). */
  queueUnpop(queue: number, count: number): void;

  /** Drops the request at `head` without telling the driver (VQ-11). */
  queueDetach(queue: number, head: number): void;

  /**
   * Asks the driver to kick (`on` = 1) or not (VQ-9). With 1, returns 1 if buffers are there that
   * the driver may not have kicked for: the caller must pop again. Otherwise 0.
   */
  queueSetNotification(queue: number, on: number): number;

  /** Marks the queue broken (first reason wins). */
  queueBreak(queue: number, reason: number): void;

  /**
   * After `queueEnable`: the ring goes on where a saved queue stood, whose next head to pop had the
   * index `lastAvail` (u16); the others are read from guest memory (VM-6). Returns how many heads
   * were popped and not given back, for which `blkRestore` is owed; RESTORE_REFUSED: more than num,
   * nothing has happened; POP_BROKEN: not ready, or broken, now by BROKEN_AVAIL_IDX.
   */
  queueRestore(queue: number, lastAvail: number): number;

  /**
   * Puts the chain at `head` in flight as `blkPop` does, but for the place in the ring and POPPED.
   * Returns 0; POP_STALLED; POP_BROKEN: not ready, or broken before; or BROKEN_*, as it is now.
   */
  blkRestore(queue: number, head: number): number;

  // ---- Copies between a chain and core memory -------------------------------------------------

  /** Copies from the readable bytes of `head`, after `skip` of them. Returns bytes copied. */
  copyFromChain(queue: number, head: number, skip: number, to: number, length: number): number;
  /** Copies to the writable bytes of `head`, after `skip` of them. Returns bytes copied. */
  copyToChain(queue: number, head: number, skip: number, from: number, length: number): number;
  /** Zeroes writable bytes of `head`. Returns bytes zeroed. */
  zeroChain(queue: number, head: number, skip: number, length: number): number;

  // ---- The drain gate (design section 7) ------------------------------------------------------

  /** `inFlight += count`, then reads quiesce: 1 entered; 0 closed, and the count is undone. */
  gateEnter(lane: number, backend: number, count: number): number;
  /** `inFlight -= count`, then reads quiesce: 1 if main must be woken (drain waits), else 0. */
  gateLeave(lane: number, backend: number, count: number): number;
  /** `quiesce++`, and below `quiesce--`; main only. Both return the new value. */
  gateClose(backend: number): number;
  gateOpen(backend: number): number;
  gateInFlight(lane: number): number;

  // ---- Cluster disks --------------------------------------------------------------------------

  /**
   * Serves the reads and writes among QUEUE_BATCH[0 .. count) from the backend's cluster disk, in
   * one pass through the gate, with the checks and figures that any disk has (BL-4, BL-5, BB-27),
   * and pushes them. What is not served (other types; a write that found the arena empty; all, if
   * the gate is closed) moves to the front of QUEUE_BATCH in order.
   * Returns how many are left, plus SERVE_INTERRUPT, plus SERVE_WAKE if main must be woken.
   * A run of the batch is served in order; a write left over does not stop later requests.
   */
  clusterServe(queue: number, count: number, backend: number, lane: number): number;
  /**
   * Read or write `length` bytes at byte offset lo/hi of the disk, to or from `address` in core
   * memory (`ram` = 0) or guest memory (`ram` = 1). Returns bytes moved: fewer than asked only if
   * the arena is empty (write). The range is inside the disk: the caller checked it.
   */
  clusterRead(
    disk: number,
    offsetLo: number,
    offsetHi: number,
    address: number,
    length: number,
    ram: number,
  ): number;
  clusterWrite(
    disk: number,
    offsetLo: number,
    offsetHi: number,
    address: number,
    length: number,
    ram: number,
  ): number;
  /**
   * Makes a range read as zeroes: whole clusters return to the arena if `free` is 1 (only where no
   * other thread is inside the disk), all else is zeroed in place. Holes stay holes.
   */
  clusterZero(
    disk: number,
    offsetLo: number,
    offsetHi: number,
    lengthLo: number,
    lengthHi: number,
    free: number,
  ): void;
  /** Is the cluster at this byte offset allocated? 1 or 0. */
  clusterAllocated(disk: number, offsetLo: number, offsetHi: number): number;

  // ---- Bottom halves and notification (behaviour 3.1, 3.2; QEMU util/async.c) -----------------

  /**
   * Ors `flags` (BH_SCHEDULED, BH_DELETED, BH_ONESHOT, BH_IDLE) and BH_PENDING into the slot, puts
   * it on the context's list if it was not pending, then notifies the context (BH-1). Any thread.
   * Returns 1 if the context sleeps and its sleeper must be woken, 0 if not, -1 if `generation` is
   * stale (nothing done).
   */
  bhEnqueue(context: number, slot: number, generation: number, flags: number): number;
  /** Clears BH_SCHEDULED (BH-5). Any thread. A stale generation is a no-op. */
  bhCancel(context: number, slot: number, generation: number): void;
  /** Moves the list to the end of the ready queue, oldest first (BH-4, BH-8, BH-10). */
  bhTake(context: number): void;
  /**
   * Takes the next slot from the ready queue: unlinks it first, then clears PENDING, SCHEDULED and
   * IDLE (BH-2). If DELETED or ONESHOT is set, the same compare-and-swap clears all flags and
   * counts the generation up: the slot is free, and a schedule that comes late is stale.
   * Returns slot number + (old flags << 16), or -1 if the queue is empty.
   */
  bhNext(context: number): number;
  /** 0: nothing to run; 1: only idle ones; 2: at least one to run at once (BH-9, TM-1). */
  bhPending(context: number): number;

  /** `notified = 1`, then reads notify_me (NT-1). 1 if the sleeper must be woken. Any thread. */
  notify(context: number): number;
  /** `notified = 0` (after a wait only). */
  accept(context: number): void;
  /** `notify_me |= 1` (GS-1). */
  prepare(context: number): void;
  /** `notify_me &= ~1`, then accept (GS-2). */
  check(context: number): void;
  /**
   * `notify_me += 2`, then reads notified: 1 if the thread may sleep, 0 if there is something to do
   * (NT-2). `waitLeave` is owed either way.
   */
  waitEnter(context: number): number;
  /** `notify_me -= 2`, then accept. */
  waitLeave(context: number): void;

  /**
   * Begins a poll on thread number `thread`: 1, or 0 if the context's home is another one (NT-5).
   * A home of 0 lets any thread poll: the hook of NT-12. Polls nest.
   */
  pollBegin(context: number, thread: number): number;
  /** Ends the poll; returns how many are still going on. */
  pollEnd(context: number): number;

  /**
   * Counts a visitor in: 1; 0 if the context is closed (FD-5). A thread that is not its home
   * schedules between the two calls.
   */
  visitBegin(context: number): number;
  visitEnd(context: number): void;
  /** Closes the context if nobody visits it: 1; else 0 and nothing has happened. Home. */
  visitClose(context: number): number;

  /**
   * The first handler place from `from` on whose notifier is set; clears its flag (NT-9, FD-3).
   * -1: none.
   */
  handlerReady(context: number, from: number): number;
  /** Is a notifier of any handler place set? 1 or 0; clears nothing. */
  handlerPending(context: number): number;
  /**
   * Busy polling: at most `rounds` looks at `notified` and at each polled handler's ring and flag
   * (AP-1, AP-10). Returns the place of a handler with work (its flag is left as it is), or
   * SPIN_NOTIFIED, or SPIN_NOTHING.
   */
  pollSpin(context: number, rounds: number): number;

  /**
   * After a condition that somebody may wait for was changed: if there are waiters, notifies main's
   * context (WT-1, WT-2). Returns its address if it must be woken (negative from 2 GiB on: take
   * `>>> 0`), else 0. The change is an atomic store, or before one. Any thread.
   */
  waitKick(header: number): number;

  /** After a message was posted: counts it and notifies. 1 if the sleeper must be woken. Any. */
  mailSent(context: number): number;
  /** Counts a message as received; returns how many are still on their way. Home. */
  mailReceived(context: number): number;

  /**
   * Schedules coroutine `number` if nobody has (CO-1): 1 if the context must be woken, 0 if not,
   * -1 if it was scheduled already, and nothing has happened. `by`: COROUTINE_BY_*. Any thread.
   */
  coSchedule(context: number, number: number, by: number): number;
  /** Moves the scheduled coroutines to the end of the ready ones, oldest first (CO-5). */
  coTake(context: number): void;
  /** Unlinks the next ready one, and only then clears SCHEDULED (CO-13). Its number, or -1. */
  coNext(context: number): number;

  // ---- Thread pool (behaviour 3.8; QEMU util/thread-pool.c) -----------------------------------

  /**
   * Owner: queues request `number`, which is FREE and whose other WORK_* words are filled, as
   * WORK_QUEUED. There is always room. 1 if a worker waits and must be woken, and POOL_WAKE has
   * been counted up for it: what is left to do is `Atomics.notify`. 0 if none does.
   */
  poolSubmit(pool: number, number: number): number;
  /** Worker: takes the oldest queued request and makes it ACTIVE. Its number, or -1: none. */
  poolTake(pool: number): number;
  /**
   * Worker: `result`, then WORK_DONE, then schedules the owner's bottom half (TP-2). 1 if the
   * owner's context must be woken.
   */
  poolDone(pool: number, number: number, result: number): number;
  /**
   * Owner: 1 if the request was still queued; it is DONE with `result` now (TP-4), and the owner,
   * who is awake, schedules its bottom half itself. Else 0.
   */
  poolCancel(pool: number, number: number, result: number): number;
  /** Owner: the first request from `from` on that is DONE; it is FREE now. Its number, or -1. */
  poolReap(pool: number, from: number): number;

  /** Sets the flag, then notifies its watcher (NT-9). 1 if the watcher's sleeper must be woken. */
  notifierSet(notifier: number): number;
  /** Clears the flag; 1 if it was set. */
  notifierTestAndClear(notifier: number): number;
  /** Says whom to notify; 0: nobody. The caller sets the notifier afterwards (HN-8). */
  notifierWatch(notifier: number, context: number): void;
}

/*
 * Where the contract leaves room, both engines do this, so that they agree to the number and byte.
 *
 * Queue state. `queueReset` zeroes QUEUE_DESC to QUEUE_INUSE (READY, indices, features, NUM), then
 * BROKEN and BATCH_COUNT, and sets NOTIFICATION to 1; SERVING is home's and stays. A queue that is
 * not ready answers before one that is broken: pop 0, push 0, empty 1, notification 0 (the word is
 * set). `queueEnable` checks size (0, no power of two, more than capacity), then the three
 * alignments, then the three ranges; it sets READY to 1 even on a queue broken before.
 *
 * avail.idx. Pop reads it once per call, only if shadow == last at entry, and takes at most what
 * the shadow shows: a batch ends there. Empty and notification read it without storing the shadow
 * and never break the queue: an index out of range is "something there", and the next pop says
 * BROKEN_AVAIL_IDX (shadow and last stay as they were).
 *
 * Pop. Per chain: inuse >= num (BROKEN_INUSE), free blocks < CHAIN_BLOCKS_MAX (stalled), head >=
 * num (BROKEN_HEAD), in flight (BROKEN_HEAD_TWICE), then the descriptors. Per descriptor: next <
 * entries of its table (BROKEN_NEXT); one more than the table has (BROKEN_LOOP; an indirect table
 * starts its own count); load. INDIRECT: negotiated, not nested, no NEXT (BROKEN_INDIRECT); length
 * 0 or no multiple of 16 (BROKEN_INDIRECT_SIZE); the whole table in one region, at any alignment
 * (BROKEN_ADDRESS). Else: length 0 (BROKEN_ZERO_LENGTH); order (BROKEN_ORDER); total of the chain
 * >= 2^32 (BROKEN_TOO_LONG); then for each piece of it, region by region: address
 * (BROKEN_ADDRESS), 1025th segment (BROKEN_TOO_LONG). blkPop then: no readable or no writable
 * segment, less than 16 readable bytes (BROKEN_HEADERS). A chain that breaks leaves its record's
 * STATE free, LAST_AVAIL, INUSE and the free list as before it; its other record words may be
 * anything. A good one gets all words to RECORD_WRITTEN (0), and from blkPop also TYPE, SECTOR,
 * STATUS_AT, STATUS, EPOCH; NEXT is never touched. avail_event is written once per call that
 * popped something, with the new LAST_AVAIL, if EVENT_IDX and NOTIFICATION. POPPED counts up;
 * unpop counts it down.
 *
 * Segment blocks. A chain takes them from the head of the free list in order, so the chain's links
 * are the list's; its last link is zeroed. A chain given back goes to the head of the list whole.
 * A fresh list links blocks in ascending order.
 *
 * Push. A head out of capacity or not in flight is skipped. With at least one pushed: used.idx,
 * then the decision: NOTIFY_ON_EMPTY (inuse 0 and avail.idx == last) wins; else avail.flags or
 * used_event. SIGNALLED_USED and SIGNALLED_VALID (1) are set in every mode. On a queue not ready
 * or broken records are freed and nothing else happens (no status byte, result 0).
 *
 * Gate. `gateLeave` answers 1 whenever quiesce is not 0. A closed `gateEnter` was a short visit:
 * its caller wakes main as after a leave, and `clusterServe` adds SERVE_WAKE then.
 *
 * clusterServe. No disk in the backend, or NO_MEDIUM: all are left, the gate is not touched. The
 * payload of IN is all writable bytes but the last, of OUT all readable ones after the header.
 * Left ones set BATCH_COUNT. A write found wanting is left whole, its first clusters written.
 * `clusterZero` with `free` also returns a level-2 table whose whole reach, as far as the disk
 * goes, lies in the range. A claim takes from the free stack first and counts CLAIMED and CLUSTERS.
 *
 * Bottom halves. Enqueueing SCHEDULED without IDLE clears IDLE (BH-12). Pending means SCHEDULED and
 * not DELETED. No function touches CONTEXT_WAKE: whoever is told 1 counts it up and wakes.
 *
 * Waits and visits. `waitKick` tells nobody if there are no waiters, or main has no context.
 * `visitBegin` writes nothing if the context is closed, which one that is closed already stays:
 * `visitClose` returns 0. `mailReceived` is never below 0: a message may come before it is counted.
 *
 * Handlers. Places whose notifier is 0 are passed over, by `pollSpin` also those that are not
 * POLLED. A round of `pollSpin` looks at NOTIFIED first, then at the places in order, at each at
 * the ring as `queueEmpty` does and then at the flag. 0 rounds look at nothing: SPIN_NOTHING.
 *
 * Coroutines. `coSchedule` pushes, then enqueues the slot CONTEXT_CO_SLOT as SCHEDULED; that this
 * one is stale, as in a context that is being closed, is no refusal (0). `coTake` with something
 * ready still walks to its end.
 *
 * Thread pool. A cancelled request's number stays in the ring until a worker passes it over. If
 * that request is submitted again before, it takes its old turn, and the ring is not touched:
 * WORK_ENTRY says where to look. So a number stands in the ring once at most. `poolDone` tells 0 if
 * the owner's bottom half is stale. `poolReap` and `poolCancel` leave all other words.
 */

export type EngineKind = 'wasm' | 'js';

/** Results of `queuePop` and `blkPop` below zero. */
export const POP_STALLED = -1;
export const POP_BROKEN = -2;

/** Result of `queueRestore`: the index does not fit to the driver's used ring. */
export const RESTORE_REFUSED = -1;

/** Added to the result of `blkCollect`. */
export const PLAIN_WRITE = 0x10000;
export const PLAIN_NEIGHBOURS = 0x20000;

/** Results of `pollSpin` below zero. */
export const SPIN_NOTHING = -1;
export const SPIN_NOTIFIED = -2;

/** Added to the result of `clusterServe`. */
export const SERVE_INTERRUPT = 0x10000;
export const SERVE_WAKE = 0x20000;

/**
 * Memory that the core works in: a WebAssembly.Memory, or something that behaves as one. `buffer`
 * may be another object after any growth, by us or by the emulator that owns the memory.
 */
export interface LinearMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  /** Grows by pages of 64 KiB and returns the old size in pages; throws RangeError if it cannot. */
  grow(pages: number): number;
}
