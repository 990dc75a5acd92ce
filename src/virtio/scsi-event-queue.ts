/**
 * The event queue of virtio-scsi (VIRTIO 1.3, 5.6.6.3): buffers in which the driver hears of what
 * has happened. Main's thread alone touches it (SC-19). QEMU: `virtio_scsi_push_event`.
 */

import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import {
  BROKEN_HEADERS,
  QUEUE_BATCH,
  QUEUE_DONE,
  RECORD_IN_BYTES,
  RECORD_WRITTEN,
} from '../layout.ts';
import {
  VIRTIO_SCSI_EVENT_SIZE,
  VIRTIO_SCSI_T_EVENTS_MISSED,
  VIRTIO_SCSI_T_NO_EVENT,
} from '../spec.ts';
import type { QueueEvents, RingConfig } from './data-plane.ts';
import type { QueueRequests } from './queue-waiting.ts';
import { RingQueue } from './ring-queue.ts';
import { RingRecords } from './ring-records.ts';

/** What the driver hears of. */
export interface ScsiEventTold {
  /** VIRTIO_SCSI_T_*. */
  readonly event: number;
  /** Of which unit; null: of none. */
  readonly unit: { readonly scsiId: number; readonly lun: number } | null;
  readonly reason: number;
}

const NOTHING: ScsiEventTold = { event: VIRTIO_SCSI_T_NO_EVENT, unit: null, reason: 0 };

class EventRecords extends RingRecords {
  room(head: number): number {
    return this.get(head, RECORD_IN_BYTES);
  }

  finish(head: number): void {
    this.set(head, RECORD_WRITTEN, VIRTIO_SCSI_EVENT_SIZE);
  }
}

/** No event waits for anything but a buffer. */
class EventRequests implements QueueRequests {
  interrupt = false;
  readonly submitted = 0;
  readonly parked = { heads: () => [] };
  readonly failed = { heads: () => [] };
  restartFailed(): void {}
  adopt(parked: readonly number[]): void {
    if (parked.length > 0) throw new RangeError('scsi: an event buffer waits for nothing');
  }
}

export class ScsiEventQueue extends RingQueue {
  readonly #core: Core;
  readonly #records: EventRecords;
  readonly #requests = new EventRequests();
  readonly #events: QueueEvents;
  /** There was an event and no buffer for it. */
  #missed = false;

  /** Its scratch has room for an event. Throws a RangeError if the context is full. */
  constructor(config: RingConfig, core: Core, context: AioContext, events: QueueEvents) {
    const records = new EventRecords(core, config.queue);
    super(config, core, context, records, events, false);
    this.#core = core;
    this.#records = records;
    this.#events = events;
    this.begun('scsi-events', this.#requests);
  }

  protected override dropAll(): void {
    this.#missed = false;
    this.#requests.interrupt = false;
  }

  /** Buffers are taken for events only. */
  protected override mayServe(): boolean {
    return this.#missed;
  }

  /** For a saved state: an event was missed, which the driver is told with the next one. */
  get missed(): boolean {
    return this.#missed;
  }

  /** After a reset, before it is served. */
  restoreMissed(missed: boolean): void {
    this.within(undefined, () => {
      this.#missed = missed;
    });
  }

  /** SC-18: the driver has put buffers there after events were missed. */
  protected override serveRing(): boolean {
    this.#put(NOTHING);
    return false; // what else is there waits for events
  }

  /** Tells the driver, now or, if it has no buffer there, that it has missed something. */
  tell(event: ScsiEventTold): void {
    this.within(undefined, () => {
      if (this.serving.running) this.#put(event);
      else this.#missed = true;
    });
  }

  /** Inside. */
  #put(told: ScsiEventTold): void {
    const { engine } = this.#core;
    const { queue } = this.config;
    const records = this.#records;
    if (engine.queuePop(queue, 1) <= 0) {
      this.#missed = true;
      return;
    }
    const head = records.u32[records.u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2]!;
    if (records.room(head) < VIRTIO_SCSI_EVENT_SIZE) {
      engine.queueDetach(queue, head);
      engine.queueBreak(queue, BROKEN_HEADERS);
      return;
    }
    this.#write(head, told);
    records.finish(head);
    const tell = this.#events.onGuestWrite;
    if (tell) records.tellWritable(head, tell);
    records.u32[records.u32[(queue + QUEUE_DONE) >>> 2]! >>> 2] = head;
    if (engine.queuePush(queue, 1) === 1) this.#requests.interrupt = true;
    this.#missed = false;
  }

  /** struct virtio_scsi_event { event u32, lun u8[8], reason u32 }. */
  #write(head: number, { event, unit, reason }: ScsiEventTold): void {
    const { queue, scratch } = this.config;
    const { u32 } = this.#records;
    const at = scratch >>> 2;
    u32[at] = (event | (this.#missed ? VIRTIO_SCSI_T_EVENTS_MISSED : 0)) >>> 0;
    u32[at + 1] = unit ? lunWord(unit.scsiId, unit.lun) : 0;
    u32[at + 2] = 0;
    u32[at + 3] = reason;
    this.#core.engine.copyToChain(queue, head, 0, scratch, VIRTIO_SCSI_EVENT_SIZE);
  }
}

/**
 * The first four bytes of a unit's address (5.6.6.1), as a word: 1, target, LUN; flat from 256 on.
 */
function lunWord(target: number, lun: number): number {
  const high = lun < 256 ? 0 : 0x40 | (lun >>> 8);
  return (1 | (target << 8) | (high << 16) | ((lun & 0xff) << 24)) >>> 0;
}
