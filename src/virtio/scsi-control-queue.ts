/**
 * The control queue of virtio-scsi (VIRTIO 1.3, 5.6.6.2): task management and asynchronous
 * notification. Main's thread alone touches it (SC-19). QEMU: `virtio_scsi_handle_ctrl_vq`.
 */

import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import { POP_STALLED } from '../engine/engine.ts';
import {
  BROKEN_HEADERS,
  QUEUE_BATCH,
  QUEUE_DONE,
  RECORD_IN_BYTES,
  RECORD_OUT_BYTES,
  RECORD_WRITTEN,
} from '../layout.ts';
import type { MaybeLater } from '../scsi/bus-messages.ts';
import {
  VIRTIO_SCSI_AN_RESPONSE_SIZE,
  VIRTIO_SCSI_AN_SIZE,
  VIRTIO_SCSI_S_FAILURE,
  VIRTIO_SCSI_S_OK,
  VIRTIO_SCSI_T_AN_QUERY,
  VIRTIO_SCSI_T_AN_SUBSCRIBE,
  VIRTIO_SCSI_T_TMF,
  VIRTIO_SCSI_TMF_RESPONSE_SIZE,
  VIRTIO_SCSI_TMF_SIZE,
} from '../spec.ts';
import type { QueueEvents, RingConfig } from './data-plane.ts';
import type { QueueRequests } from './queue-waiting.ts';
import { RingQueue } from './ring-queue.ts';
import { RingRecords } from './ring-records.ts';
import { lunOf, targetOf } from './scsi-records.ts';

/** A task management function as the driver asks for it. */
export interface TaskManagement {
  /** VIRTIO_SCSI_T_TMF_*. */
  readonly type: number;
  /** NO_TARGET: no address that a unit can have. */
  readonly target: number;
  readonly lun: number;
  /** The two words, the low one first. */
  readonly tag: readonly [number, number];
}

/** Answers with VIRTIO_SCSI_S_*, when the commands that it ends have been given back (SC-15). */
export type ManageTasks = (request: TaskManagement) => MaybeLater<number>;

class ControlRecords extends RingRecords {
  outBytes(head: number): number {
    return this.get(head, RECORD_OUT_BYTES);
  }

  inBytes(head: number): number {
    return this.get(head, RECORD_IN_BYTES);
  }

  finish(head: number, written: number): void {
    this.set(head, RECORD_WRITTEN, written);
  }
}

/** Functions that have not been answered, of whatever epoch (SC-16). */
class ControlRequests implements QueueRequests {
  interrupt = false;
  submitted = 0;
  readonly parked = { heads: () => [] };
  readonly failed = { heads: () => [] };
  restartFailed(): void {}
  adopt(parked: readonly number[]): void {
    if (parked.length > 0) throw new RangeError('scsi: no control request waits');
  }
}

/** Bytes of the type, with which each request begins. */
const TYPE_SIZE = 4;
/** Where in the scratch an answer is made. */
const ANSWER = VIRTIO_SCSI_TMF_SIZE;

export class ScsiControlQueue extends RingQueue {
  readonly #core: Core;
  readonly #records: ControlRecords;
  readonly #requests = new ControlRequests();
  readonly #events: QueueEvents;
  readonly #manage: ManageTasks;
  #doneCount = 0;

  /** Its scratch has CONTROL_SCRATCH bytes. Throws a RangeError if the context is full. */
  constructor(
    config: RingConfig,
    core: Core,
    context: AioContext,
    events: QueueEvents,
    manage: ManageTasks,
  ) {
    const records = new ControlRecords(core, config.queue);
    super(config, core, context, records, events, false);
    this.#core = core;
    this.#records = records;
    this.#events = events;
    this.#manage = manage;
    this.begun('scsi-control', this.#requests);
  }

  protected override dropAll(): void {
    this.#doneCount = 0;
    this.#requests.interrupt = false;
  }

  protected override serveRing(): boolean {
    const most = this.popMax();
    for (;;) {
      const count = this.#core.engine.queuePop(this.config.queue, most);
      this.stalled = count === POP_STALLED;
      if (count <= 0) return count === 0;
      this.#serveBatch(count);
      this.budget -= count;
      if (count < most || this.budget <= 0) return true;
    }
  }

  #serveBatch(count: number): void {
    const { queue } = this.config;
    const { u32 } = this.#records;
    const batch = u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2;
    const heads = [...u32.subarray(batch, batch + count)];
    const bad = heads.findIndex((head) => !this.#handle(head));
    this.#push();
    if (bad >= 0) this.#break(heads.slice(bad));
  }

  /** What came before has been answered. */
  #break(heads: readonly number[]): void {
    const { engine } = this.#core;
    const { queue } = this.config;
    for (const head of heads) engine.queueDetach(queue, head);
    engine.queueBreak(queue, BROKEN_HEADERS);
  }

  /** False: request or room for the answer is too short (BG-13). */
  #handle(head: number): boolean {
    const { scratch } = this.config;
    const { u32 } = this.#records;
    if (this.#copy(head, TYPE_SIZE) < TYPE_SIZE) return false;
    switch (u32[scratch >>> 2]) {
      case VIRTIO_SCSI_T_TMF:
        return this.#handleTmf(head);
      case VIRTIO_SCSI_T_AN_QUERY:
      case VIRTIO_SCSI_T_AN_SUBSCRIBE:
        return this.#handleNotification(head);
      default: // nobody knows what to answer, nor where
        this.#complete(head, 0);
        return true;
    }
  }

  #copy(head: number, bytes: number): number {
    const { queue, scratch } = this.config;
    const copied = this.#core.engine.copyFromChain(queue, head, 0, scratch, bytes);
    this.#records.revalidate();
    return copied;
  }

  #hasRoom(head: number, request: number, answer: number): boolean {
    return this.#records.outBytes(head) >= request && this.#records.inBytes(head) >= answer;
  }

  /** SC-22: the device has no such events. */
  #handleNotification(head: number): boolean {
    if (!this.#hasRoom(head, VIRTIO_SCSI_AN_SIZE, VIRTIO_SCSI_AN_RESPONSE_SIZE)) return false;
    const { scratch } = this.config;
    const { u32 } = this.#records;
    u32[(scratch + ANSWER) >>> 2] = 0;
    u32[(scratch + ANSWER + 4) >>> 2] = VIRTIO_SCSI_S_OK;
    this.#complete(head, VIRTIO_SCSI_AN_RESPONSE_SIZE);
    return true;
  }

  /** struct virtio_scsi_ctrl_tmf { type u32, subtype u32, lun u8[8], tag u64; response u8 }. */
  #handleTmf(head: number): boolean {
    if (!this.#hasRoom(head, VIRTIO_SCSI_TMF_SIZE, VIRTIO_SCSI_TMF_RESPONSE_SIZE)) return false;
    this.#copy(head, VIRTIO_SCSI_TMF_SIZE);
    const at = this.config.scratch >>> 2;
    const [type, word, , tagLo, tagHi] = this.#records.u32.subarray(at + 1, at + 6);
    const target = targetOf(word!);
    const answer = this.#manage({ type: type!, target, lun: lunOf(word!), tag: [tagLo!, tagHi!] });
    if (typeof answer === 'number') {
      this.#records.revalidate();
      this.#respond(head, answer);
      return true;
    }
    const { epoch } = this.serving;
    this.#requests.submitted += 1;
    answer.then(
      (response) => this.#managed(head, epoch, response),
      () => this.#managed(head, epoch, VIRTIO_SCSI_S_FAILURE),
    );
    return true;
  }

  /** A function that took its time has been carried out. */
  #managed(head: number, epoch: number, response: number): void {
    this.#requests.submitted -= 1;
    this.within(undefined, () => {
      if (epoch === this.serving.epoch) {
        this.#respond(head, response);
        this.#push();
      }
      this.afterSettled();
    });
  }

  #respond(head: number, response: number): void {
    this.#records.u32[(this.config.scratch + ANSWER) >>> 2] = response;
    this.#complete(head, VIRTIO_SCSI_TMF_RESPONSE_SIZE);
  }

  /** With the first `bytes` of the answer that stands in the scratch. */
  #complete(head: number, bytes: number): void {
    const { queue, scratch } = this.config;
    const records = this.#records;
    if (bytes > 0) this.#core.engine.copyToChain(queue, head, 0, scratch + ANSWER, bytes);
    records.finish(head, bytes);
    const tell = this.#events.onGuestWrite;
    if (tell) records.tellWritable(head, tell);
    const done = records.u32[(queue + QUEUE_DONE) >>> 2]! >>> 2;
    records.u32[done + this.#doneCount++] = head;
  }

  #push(): void {
    const count = this.#doneCount;
    this.#doneCount = 0;
    if (count === 0) return;
    const wanted = this.#core.engine.queuePush(this.config.queue, count);
    if (wanted === 1) this.#requests.interrupt = true;
  }
}
