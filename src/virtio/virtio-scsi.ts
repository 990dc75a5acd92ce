/**
 * The control plane of a virtio-scsi host: options, features, configuration space, control and
 * event queue, reset, disks that come and go. Main thread. The data plane is one `ScsiQueue` per
 * command queue, on whatever thread (`QueueSet`). QEMU: hw/scsi/virtio-scsi.c,
 * hw/scsi/virtio-scsi-dataplane.c.
 */

import type { AioContext } from '../aio/context.ts';
import { Undo } from '../aio/undo.ts';
import type { BlockBackend } from '../block/backend.ts';
import { OptionError } from '../block/error.ts';
import type { Core } from '../engine/core.ts';
import { BROKEN_CONFIG, QUEUE_F_PADDED } from '../layout.ts';
import { ScsiBus } from '../scsi/bus.ts';
import type { MaybeLater } from '../scsi/bus-messages.ts';
import { ATTENTION_REPORTED_LUNS_CHANGED } from '../scsi/codes.ts';
import type { LogicalUnit } from '../scsi/logical-unit.ts';
import type { ScsiUnitOptions, ScsiUnitType } from '../scsi/unit-options.ts';
import {
  VIRTIO_F_ANY_LAYOUT,
  VIRTIO_ID_SCSI,
  VIRTIO_SCSI_CONTROL_QUEUE,
  VIRTIO_SCSI_EVENT_QUEUE,
  VIRTIO_SCSI_EVT_RESET_REMOVED,
  VIRTIO_SCSI_EVT_RESET_RESCAN,
  VIRTIO_SCSI_F_CHANGE,
  VIRTIO_SCSI_F_HOTPLUG,
  VIRTIO_SCSI_FIRST_COMMAND_QUEUE,
  VIRTIO_SCSI_T_PARAM_CHANGE,
  VIRTIO_SCSI_T_TRANSPORT_RESET,
} from '../spec.ts';
import type { Width } from './config-space.ts';
import type { QueueBase } from './data-plane.ts';
import { joinMachine } from './device-machine.ts';
import type { FeatureWords } from './feature-bits.ts';
import { QueueDevice } from './queue-device.ts';
import { QueueSet } from './queue-set.ts';
import { SCSI_CONFIG_FIELDS, ScsiConfig, type ScsiSizes, scsiFeatures } from './scsi-config.ts';
import { ScsiControlQueue, type TaskManagement } from './scsi-control-queue.ts';
import { ScsiEventQueue, type ScsiEventTold } from './scsi-event-queue.ts';
import { SCSI_KIND } from './scsi-kind.ts';
import {
  readScsiOptions,
  type ScsiSettings,
  scsiThreadsForMapping,
  type VirtioScsiOptions,
} from './scsi-options.ts';
import { ScsiPlaces } from './scsi-places.ts';
import { CONTROL_SCRATCH, type ScsiQueueConfig } from './scsi-queue-config.ts';
import { manageTasks } from './scsi-tmf.ts';
import type { MappingOptions } from './vq-mapping.ts';

export type { VirtioScsiOptions } from './scsi-options.ts';

/** What a saved state keeps of the driver's side, beside registers and rings. */
export interface ScsiDriverState {
  readonly sizes: ScsiSizes;
  /** There was an event and no buffer for it (SC-18). */
  readonly eventsMissed: boolean;
}

export class VirtioScsi extends QueueDevice<ScsiQueueConfig> {
  readonly settings: ScsiSettings;
  readonly path: string;
  readonly bus: ScsiBus;
  protected readonly queueSet: QueueSet<ScsiQueueConfig>;
  readonly #config: ScsiConfig;
  readonly #features: FeatureWords;
  #events: ScsiEventQueue | null = null;
  /** What `close` has to undo, in the order in which it was done. */
  readonly #undo = new Undo();
  /** The last of the changes of disks and threads that were asked for: there is one at a time. */
  #changes: Promise<unknown> = Promise.resolve();

  /**
   * Makes a host without disks; with `iothread` or `iothread-vq-mapping`, its command queues are
   * served by those threads, which cannot be stopped before the device is closed. Rejects as the
   * constructor throws, and with what the threads throw; then nothing is left behind.
   */
  static async realize(
    core: Core,
    context: AioContext,
    options: VirtioScsiOptions = {},
  ): Promise<VirtioScsi> {
    const device = new VirtioScsi(core, context, options, true);
    try {
      await device.queueSet.openThreads();
    } catch (error) {
      await device.unrealize();
      throw error;
    }
    return device;
  }

  /**
   * As `realize`, at once, for a device whose queues are all served by the main thread. Throws an
   * OptionError for a wrong option, and what the core or the context throw when they are full; then
   * nothing is left behind. The last argument is `realize`'s.
   */
  constructor(core: Core, context: AioContext, options: VirtioScsiOptions = {}, threads = false) {
    const settings = readScsiOptions(options);
    const { numQueues, queueSize, legacyEndian, machine } = settings;
    if (!threads && settings.threads.some((thread) => thread)) {
      const option = options.iothread ? 'iothread' : 'iothread-vq-mapping';
      const allowed = 'none here: VirtioScsi.realize waits for threads';
      throw new OptionError(option, 'an IOThread', allowed);
    }
    const queues = VIRTIO_SCSI_FIRST_COMMAND_QUEUE + numQueues;
    super(core, context, { deviceId: VIRTIO_ID_SCSI, queues, queueSize, legacyEndian });
    this.settings = settings;
    this.path = machine?.devicePath(settings.id) ?? '';
    this.bus = this.#makeBus();
    this.#config = new ScsiConfig(core, this.bus.address, settings);
    this.#features = scsiFeatures(settings);
    this.queueSet = this.#makeQueues();
    if (machine) this.#undo.add(joinMachine(machine, 'virtio-scsi', this, this.queueSet));
  }

  #makeBus(): ScsiBus {
    const { machine } = this.settings;
    const events = {
      drainedBegin: () => this.queueSet.drainedBegin(),
      drainedEnd: () => this.queueSet.drainedEnd(),
      changed: (unit: LogicalUnit, attention: number) => this.#changed(unit, attention),
    };
    return new ScsiBus(this.core, this.context, events, { machine, path: this.path });
  }

  #makeQueues(): QueueSet<ScsiQueueConfig> {
    const { core, context, bus, settings } = this;
    try {
      return new QueueSet(core, context, this.#queueBase(), settings, {
        interrupt: (index) => this.interruptQueue(index),
        broken: (_index, reason, cause) => this.queueBroke(reason, cause),
        ioError: () => {}, // each disk tells of its own
      });
    } catch (error) {
      bus.close();
      throw error;
    }
  }

  #queueBase(): QueueBase<ScsiQueueConfig> {
    const { core, context, bus } = this;
    const places = new ScsiPlaces(bus);
    const address = bus.address;
    return {
      kind: SCSI_KIND,
      user: SCSI_KIND,
      gate: bus,
      scratchBytes: CONTROL_SCRATCH,
      takesCommands: (index) => index >= VIRTIO_SCSI_FIRST_COMMAND_QUEUE,
      config: (index, queue) => ({ index, queue, bus: address }),
      open: () => ({
        serve: (config, events, asleep) => {
          switch (config.index) {
            case VIRTIO_SCSI_CONTROL_QUEUE:
              return new ScsiControlQueue(config, core, context, events, (request) => {
                return this.#manage(request);
              });
            case VIRTIO_SCSI_EVENT_QUEUE:
              this.#events = new ScsiEventQueue(config, core, context, events);
              return this.#events;
            default:
              return places.serveHere(config as ScsiQueueConfig, events, asleep);
          }
        },
        close: () => places.closeHere(),
      }),
      openOn: (thread) => places.openOn(thread),
    };
  }

  // ---- Life -----------------------------------------------------------------------------------

  protected override async unrealize(): Promise<void> {
    await this.#change(async () => {
      for (const unit of this.bus.units) {
        await this.bus.unplug(unit);
        this.deleted(unit.config.id ?? undefined, unit.path);
      }
    });
    await this.#undo.all();
    try {
      await this.queueSet.close();
    } finally {
      this.bus.close();
    }
  }

  #change<T>(step: () => Promise<T>): Promise<T> {
    const changed = this.#changes.then(step);
    this.#changes = changed.catch(() => {});
    return changed;
  }

  /**
   * Has other threads serve the command queues, which are numbered from 0 here, as the options of
   * the same names say; with neither of them, main does. At any time, also under load. Rejects with
   * an OptionError, or with what a thread throws; then nothing has changed.
   */
  changeMapping(mapping: MappingOptions): Promise<void> {
    return this.#change(async () => {
      await this.queueSet.move(scsiThreadsForMapping(mapping, this.settings));
    });
  }

  // ---- Disks ------------------------------------------------------------------------------------

  /**
   * Plugs a disk in, which stays the caller's: `hd` or `cd`. The driver finds it when this
   * resolves, and is told (SC-17). Rejects with an OptionError, or with what a thread throws that
   * cannot open it; then nothing is left behind.
   */
  plug(
    type: ScsiUnitType,
    backend: BlockBackend,
    options: ScsiUnitOptions = {},
  ): Promise<LogicalUnit> {
    return this.#change(async () => {
      const unit = await this.bus.plug(type, backend, options);
      this.#plugged(unit, VIRTIO_SCSI_EVT_RESET_RESCAN);
      return unit;
    });
  }

  /**
   * Takes a disk away: its commands are canceled, and the driver is told when it is gone (SC-17).
   * The backend stays open.
   */
  unplug(unit: LogicalUnit): Promise<void> {
    return this.#change(async () => {
      await this.bus.unplug(unit);
      this.#plugged(unit, VIRTIO_SCSI_EVT_RESET_REMOVED);
      this.deleted(unit.config.id ?? undefined, unit.path);
    });
  }

  #plugged({ config }: LogicalUnit, reason: number): void {
    if (!this.negotiated(VIRTIO_SCSI_F_HOTPLUG)) return;
    this.#tell({ event: VIRTIO_SCSI_T_TRANSPORT_RESET, unit: config, reason });
    this.bus.setAttention(ATTENTION_REPORTED_LUNS_CHANGED);
  }

  /** SD-16. */
  #changed({ config }: LogicalUnit, attention: number): void {
    if (!this.negotiated(VIRTIO_SCSI_F_CHANGE)) return;
    const reason = (attention >>> 8) | ((attention & 0xff) << 8);
    this.#tell({ event: VIRTIO_SCSI_T_PARAM_CHANGE, unit: config, reason });
  }

  /** Not before DRIVER_OK, nor while the device wants a reset (SC-18). */
  #tell(event: ScsiEventTold): void {
    if (this.started && !this.resetting && this.brokenReason === 0) this.#events?.tell(event);
  }

  /** Commands that are on their way from thread to thread have to arrive before (SC-15). */
  #manage(request: TaskManagement): MaybeLater<number> {
    const manage = () => manageTasks(this.bus, request, () => this.queueSet.deliver());
    return this.queueSet.handingOver?.then(manage) ?? manage();
  }

  // ---- Features and configuration space -------------------------------------------------------

  override offeredFeatures(): FeatureWords {
    return this.#features;
  }

  protected override featuresOk(): boolean {
    return true;
  }

  protected override configBytes(): Uint8Array {
    return this.#config.bytes;
  }

  protected override configFields(): readonly number[] {
    return SCSI_CONFIG_FIELDS;
  }

  /** A size that cannot be is a driver that is out of its mind (SC-21). */
  protected override configWritten(offset: number, width: Width, value: number): void {
    if (!this.#config.write(offset, width, value)) this.needsReset(BROKEN_CONFIG);
  }

  /** A legacy driver without ANY_LAYOUT pads its headers (SC-20). */
  protected override ringFeatures(index: number): number {
    const pads = this.legacy && !this.negotiated(VIRTIO_F_ANY_LAYOUT);
    return super.ringFeatures(index) | (pads ? QUEUE_F_PADDED : 0);
  }

  // ---- Reset ----------------------------------------------------------------------------------

  /**
   * When this returns nothing touches a ring or a buffer; it is over when all commands have ended,
   * and before them the task management functions that wait for some (SC-16, VC-3).
   */
  protected override resetDevice(): MaybeLater<void> {
    const later = this.queueSet.disable(this.allQueues);
    if (later) return later.then(() => this.#finishReset());
    this.#finishReset();
  }

  #finishReset(): void {
    this.bus.reset();
    this.#config.reset();
    this.brokenCause = undefined;
  }

  // ---- Save and load ----------------------------------------------------------------------------

  /** What the driver has chosen, and what it is still to be told of. */
  get driverState(): ScsiDriverState {
    return { sizes: this.#config.sizes, eventsMissed: this.#events?.missed ?? false };
  }

  /** After a reset, before the device starts. The sizes are some that a driver may choose. */
  restoreDriverState({ sizes, eventsMissed }: ScsiDriverState): void {
    this.#config.sizes = sizes;
    this.#events?.restoreMissed(eventsMissed);
  }
}
