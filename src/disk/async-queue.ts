/**
 * One queue with promises: operations wait in the order in which they came until there are slots
 * for them, all that one turn of the program starts is published together with at most one
 * doorbell, and what finished is answered whenever the device has interrupted.
 */

import type { Core } from '../engine/core.ts';
import { VIRTIO_BLK_S_OK, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT } from '../spec.ts';
import { statusError } from './error.ts';
import { Operation, type OperationOwner } from './operation.ts';
import type { QueuePlace } from './queue-place.ts';
import { RequestRing } from './request-ring.ts';
import { movesData, type Shape } from './shape.ts';

export interface QueueHooks {
  /** Rings the doorbell. */
  kick(): void;
  /** Why nothing comes back from this queue any more, or null. */
  lost(): Error | null;
  /** The first operation is there; or the last one has gone, its slots with it. */
  busy(): void;
  idle(): void;
  /** Calls back from the platform's loop: the queue is served inside the doorbell. */
  yield?(callback: () => void): void;
}

/** Turns in a row after which a queue that is served inline lets the platform's loop run. */
const TURNS_MAX = 256;

export class AsyncQueue implements OperationOwner {
  readonly requests: RequestRing;
  /** Operations whose slots are not all free yet. */
  pending = 0;
  readonly #shape: Shape;
  readonly #hooks: QueueHooks;
  #head: Operation | null = null;
  #tail: Operation | null = null;
  readonly #free: Operation[] = [];
  /** By slot: whose part it holds, from which byte of it on, and how many. */
  readonly #operations: (Operation | null)[];
  readonly #starts: Float64Array;
  readonly #lengths: Float64Array;
  #turnDue = false;
  #turns = 0;
  #interrupted = false;
  #idleWaiters: (() => void)[] = [];

  constructor(core: Core, place: QueuePlace, shape: Shape, hooks: QueueHooks) {
    this.requests = new RequestRing(core, place, hooks.kick);
    this.#shape = shape;
    this.#hooks = hooks;
    this.#operations = new Array(place.slots).fill(null);
    this.#starts = new Float64Array(place.slots);
    this.#lengths = new Float64Array(place.slots);
  }

  // ---- Operations come in ---------------------------------------------------------------------

  /** `direct`: guest address of the buffer, or 0. The arguments were checked. */
  start(
    type: number,
    buffer: Uint8Array | null,
    direct: number,
    offset: number,
    length: number,
    flags: number,
    signal: AbortSignal | null,
  ): Promise<void> {
    const operation = this.#free.pop() ?? new Operation(this);
    const promise = operation.start(type, offset, length, signal);
    operation.buffer = buffer;
    operation.direct = direct;
    operation.flags = flags;
    operation.waiting = true;
    operation.next = null;
    if (this.#tail) this.#tail.next = operation;
    else this.#head = operation;
    this.#tail = operation;
    if (this.pending++ === 0) this.#hooks.busy();
    this.#turnSoon();
    return promise;
  }

  /**
   * Nobody waits for the answer any more. The device may still write to the slots, which are free
   * when it has finished; only where it writes to the caller's own buffer the answer waits for it.
   */
  aborted(operation: Operation): void {
    if (operation.direct === 0 || operation.parts === 0) operation.answer();
    this.#turnSoon();
  }

  /** Resolves when nothing is pending. */
  idle(): Promise<void> {
    if (this.pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  // ---- Turns ----------------------------------------------------------------------------------

  /** The device has interrupted, inside a doorbell perhaps. */
  interrupted(): void {
    this.#interrupted = true;
    this.#turnSoon();
  }

  #turnSoon(): void {
    if (this.#turnDue) return;
    this.#turnDue = true;
    if (this.#hooks.yield && ++this.#turns >= TURNS_MAX) {
      this.#turns = 0;
      this.#hooks.yield(this.#turn);
    } else queueMicrotask(this.#turn);
  }

  readonly #turn = (): void => {
    this.#turnDue = false;
    if (this.#interrupted) {
      this.#interrupted = false;
      this.service();
      return;
    }
    if (this.#isLost()) return;
    this.requests.begin();
    this.#issue();
    this.requests.publish();
  };

  /** Takes back what has finished, and issues what waited for it. */
  service(): void {
    if (this.#isLost()) return;
    const { requests } = this;
    const { ring } = requests;
    requests.begin();
    do {
      ring.setInterrupts(false);
      for (let slot = requests.collect(); slot >= 0; slot = requests.collect()) this.#finish(slot);
    } while (ring.setInterrupts(true)); // what finished meanwhile interrupts nobody
    this.#issue();
    requests.publish();
  }

  // ---- Parts go out ---------------------------------------------------------------------------

  /** First come, first served, until there is no slot left. */
  #issue(): void {
    for (let operation = this.#head; operation; operation = this.#head) {
      while (!operation.complete) {
        const slot = this.requests.take();
        if (slot < 0) return;
        this.#issuePart(operation, slot);
      }
      this.#head = operation.next;
      if (!this.#head) this.#tail = null;
      operation.waiting = false;
      if (operation.parts === 0) this.#end(operation);
    }
  }

  #issuePart(operation: Operation, slot: number): void {
    const { requests } = this;
    const { type, direct, issued } = operation;
    const most = this.#shape.partMax(type, requests.slotBytes, direct !== 0);
    const length = Math.min(operation.length - issued, most);
    const offset = operation.offset + issued;
    const own = requests.addressOf(slot);
    let bytes = movesData(type) || type === VIRTIO_BLK_T_FLUSH ? length : 0;
    try {
      if (type === VIRTIO_BLK_T_OUT && direct === 0)
        requests.fill(slot, operation.buffer!, issued, length);
      else if (length > 0 && bytes === 0)
        bytes = requests.fillRange(slot, offset, length, operation.flags);
    } catch (error) {
      requests.give(slot);
      operation.fail(error);
      return;
    }
    requests.issue(slot, type, offset, direct === 0 ? own : direct + issued, bytes);
    this.#operations[slot] = operation;
    this.#starts[slot] = issued;
    this.#lengths[slot] = length;
    operation.parts++;
    operation.issued = issued + length;
    operation.complete = operation.issued === operation.length;
  }

  // ---- And come back --------------------------------------------------------------------------

  #finish(slot: number): void {
    const { requests } = this;
    const operation = this.#operations[slot]!;
    const start = this.#starts[slot]!;
    const length = this.#lengths[slot]!;
    const status = requests.status(slot);
    this.#operations[slot] = null;
    const { type, buffer } = operation;
    if (status !== VIRTIO_BLK_S_OK) {
      operation.fail(statusError(type, status, operation.offset + start, length));
    } else if (type === VIRTIO_BLK_T_IN && operation.direct === 0 && buffer) {
      try {
        requests.drainTo(slot, buffer, start, length);
      } catch (error) {
        operation.fail(error);
      }
    }
    requests.give(slot);
    operation.parts--;
    if (operation.complete && operation.parts === 0) this.#end(operation);
  }

  /** The device has none of its parts. One that still waits in the list ends when it leaves it. */
  #end(operation: Operation): void {
    operation.answer();
    if (operation.waiting) return;
    this.#free.push(operation);
    if (--this.pending > 0) return;
    this.#hooks.idle();
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  // ---- Nothing comes back any more ------------------------------------------------------------

  #isLost(): boolean {
    const error = this.#hooks.lost();
    if (error) this.abandon(error);
    return error !== null;
  }

  /** Answers all operations with `error`; slots that the device has are never free again. */
  abandon(error: Error): void {
    const operations = new Set(this.#operations);
    this.#operations.fill(null);
    for (let operation = this.#head; operation; operation = operation.next) {
      operations.add(operation);
      operation.waiting = false;
    }
    this.#head = this.#tail = null;
    for (const operation of operations) {
      if (!operation) continue;
      operation.fail(error);
      this.#end(operation);
    }
  }
}
