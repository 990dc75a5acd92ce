/**
 * The control plane of a virtio-blk device: options, features, configuration space, queues being
 * turned on and off, reset, resize. Main thread. The data plane is one `BlkQueue` per queue.
 * QEMU: hw/block/virtio-blk.c.
 */

import type { AioContext } from '../aio/context.ts';
import type { EventNotifier } from '../aio/event-notifier.ts';
import type { BlockBackend } from '../block/backend.ts';
import type { BackendLane } from '../block/lane.ts';
import type { Core } from '../engine/core.ts';
import { createQueue, type QueueMemory } from '../engine/queue-memory.ts';
import {
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  QUEUE_F_EVENT_IDX,
  QUEUE_F_INDIRECT,
  QUEUE_F_NOTIFY_ON_EMPTY,
} from '../layout.ts';
import {
  SECTOR_SHIFT,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_SCSI,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_NOTIFY_ON_EMPTY,
  VIRTIO_ID_BLOCK,
} from '../spec.ts';
import { BlkConfig, blkFeatures, CONFIG_FIELDS, CONFIG_WRITEBACK } from './blk-config.ts';
import { type BlkSettings, readBlkOptions, type VirtioBlkOptions } from './blk-options.ts';
import { BlkQueue, type BlkQueueEvents } from './blk-queue.ts';
import type { Width } from './config-space.ts';
import { VirtioDevice } from './device.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { FeatureWords } from './feature-bits.ts';
import {
  MERGE_SEGMENTS,
  type QueueConfig,
  REQUEST_SECTORS_MAX,
  SCRATCH_SIZE,
} from './queue-config.ts';

export type { VirtioBlkOptions } from './blk-options.ts';

/** One queue: its memory, its server and, with `kick: poll`, its host notifier. */
interface Served {
  readonly memory: QueueMemory;
  readonly scratch: number;
  readonly queue: BlkQueue;
  readonly host: EventNotifier | null;
  /** QUEUE_F_* that its ring was latched with. */
  features: number;
}

export class VirtioBlk extends VirtioDevice {
  readonly backend: BlockBackend;
  readonly settings: BlkSettings;
  /** What the engine or a driver threw when a queue broke with BROKEN_ENGINE, if one did. */
  brokenCause: unknown;

  readonly #config: BlkConfig;
  readonly #features: FeatureWords;
  /** The backend's write cache and block size as they were: reset and close bring them back. */
  readonly #writeCache: boolean;
  readonly #blockSectors: number;
  /** Sectors as the driver is told: changes together with the generation (VC-5). */
  #capacity: number;
  readonly #served: Served[] = [];
  /** What `close` has to undo, in the order in which it was done. */
  readonly #undo: (() => void)[] = [];
  #closed: Promise<void> | null = null;

  /**
   * Makes a device on `backend`, which stays the caller's. Throws an OptionError for a wrong
   * option, and what the core or the context throw when they are full; then nothing is left behind.
   */
  constructor(
    core: Core,
    context: AioContext,
    backend: BlockBackend,
    options: VirtioBlkOptions = {},
  ) {
    const settings = readBlkOptions(core, backend, options);
    const { numQueues: queues, queueSize, legacyEndian } = settings;
    super(core, context, { deviceId: VIRTIO_ID_BLOCK, queues, queueSize, legacyEndian });
    this.backend = backend;
    this.settings = settings;
    this.#events = {
      interrupt: (index) => this.interruptQueue(index),
      broken: (_index, reason, cause) => {
        this.brokenCause ??= cause;
        this.needsReset(reason);
      },
      onGuestWrite: settings.onGuestWrite,
    };
    this.#config = new BlkConfig(settings);
    this.#features = { lo: blkFeatures(settings, backend), hi: 0 };
    this.#writeCache = backend.writeCache;
    this.#capacity = this.#readCapacity();
    this.#blockSectors = core.u32[(backend.address + BACKEND_BLOCK_SECTORS) >>> 2]!;
    try {
      this.#realize();
    } catch (error) {
      this.#unrealize();
      throw error;
    }
  }

  // ---- Life -----------------------------------------------------------------------------------

  #realize(): void {
    const { backend, context, settings } = this;
    const lane = backend.openLane(context);
    this.#undo.push(() => lane.close());
    this.#setBlockSectors(settings.logicalBlockSize >>> SECTOR_SHIFT);
    this.#undo.push(() => this.#setBlockSectors(this.#blockSectors));
    // A resize may be announced from anywhere; the driver is told from the main context (BL-18).
    const resized = context.bottomHalf('virtio-blk resize', () => {
      this.#capacity = this.#readCapacity();
      this.configChanged();
    });
    this.#undo.push(() => resized.delete());
    const announce = () => resized.schedule();
    backend.onResize.add(announce);
    this.#undo.push(() => backend.onResize.delete(announce));
    for (let i = 0; i < settings.numQueues; i++) this.#served.push(this.#createServed(i, lane));
  }

  /** Undoes what was done, the last first. Nothing is in flight. */
  #unrealize(): void {
    for (let undo = this.#undo.pop(); undo; undo = this.#undo.pop()) undo();
    this.#served.length = 0;
  }

  /**
   * Takes the device away: waits for what is in flight, touches no guest memory any more, and
   * gives everything back. The backend stays open.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.reset();
    await this.idle();
    this.#unrealize();
  }

  #createServed(index: number, lane: BackendLane): Served {
    const { core, context, settings } = this;
    const memory = createQueue(core, settings.queueSize);
    this.#undo.push(() => memory.free());
    const scratch = core.allocate(SCRATCH_SIZE);
    this.#undo.push(() => core.free(scratch));
    const config = this.#queueConfig(index, memory.address, scratch);
    const queue = new BlkQueue(config, core, context, lane, this.#events);
    this.#undo.push(() => queue.close());
    const host = settings.kick === 'poll' ? context.notifier(`virtio-blk kick ${index}`) : null;
    if (host) this.#undo.push(() => host.close());
    return { memory, scratch, queue, host, features: 0 };
  }

  /** What each queue's data plane was built from. */
  get queueConfigs(): readonly QueueConfig[] {
    return this.#served.map(({ queue }) => queue.config);
  }

  #queueConfig(index: number, queue: number, scratch: number): QueueConfig {
    const { settings } = this;
    return {
      index,
      queue,
      scratch,
      backend: this.backend.address,
      serial: settings.serial,
      logicalBlockSize: settings.logicalBlockSize,
      maxDiscardSectors: settings.discard ? settings.maxDiscardSectors : 0,
      maxWriteZeroesSectors: settings.writeZeroes ? settings.maxWriteZeroesSectors : 0,
      requestMerging: settings.requestMerging,
      mergeSegments: MERGE_SEGMENTS,
      mergeBytes: REQUEST_SECTORS_MAX << SECTOR_SHIFT,
    };
  }

  #setBlockSectors(sectors: number): void {
    this.core.u32[(this.backend.address + BACKEND_BLOCK_SECTORS) >>> 2] = sectors;
  }

  /** What the data plane says. On one thread a message is a direct call. */
  readonly #events: BlkQueueEvents;

  // ---- Features and configuration space -------------------------------------------------------

  protected override offeredFeatures(): FeatureWords {
    return this.#features;
  }

  protected override legacyOnlyFeatures(): number {
    return super.legacyOnlyFeatures() | (1 << VIRTIO_BLK_F_SCSI);
  }

  /** CONFIG_WCE without FLUSH: the write cache begins switched off (5.2.5.2, BL-14). */
  protected override featuresOk(): boolean {
    if (this.negotiated(VIRTIO_BLK_F_CONFIG_WCE) && !this.negotiated(VIRTIO_BLK_F_FLUSH)) {
      this.backend.writeCache = false;
    }
    return true;
  }

  protected override configBytes(): Uint8Array {
    return this.#config.update({
      capacity: this.#capacity,
      writeCache: this.backend.writeCache,
    });
  }

  #readCapacity(): number {
    const { u32 } = this.core;
    const { address } = this.backend;
    const high = u32[(address + BACKEND_CAPACITY_HI) >>> 2]!;
    return high * 0x1_0000_0000 + u32[(address + BACKEND_CAPACITY_LO) >>> 2]!;
  }

  protected override configFields(): readonly number[] {
    return CONFIG_FIELDS;
  }

  /** Only `writeback` can be written, and only by a driver that said so (BL-12). */
  protected override configWritten(offset: number, width: Width, value: number): void {
    if (offset > CONFIG_WRITEBACK || offset + width <= CONFIG_WRITEBACK) return;
    if (!this.negotiated(VIRTIO_BLK_F_CONFIG_WCE)) return;
    this.backend.writeCache = ((value >>> (8 * (CONFIG_WRITEBACK - offset))) & 0xff) !== 0;
  }

  // ---- Queues ---------------------------------------------------------------------------------

  protected override queueEnabled(index: number): void {
    this.#latch(index);
  }

  /** Makes the ring ready with the registers and features as they are now. */
  #latch(index: number): void {
    const { size, desc, avail, used } = this.queues[index]!;
    const served = this.#served[index]!;
    served.features = this.#ringFeatures();
    const broken = this.core.engine.queueEnable(
      served.memory.address,
      size,
      served.features,
      desc.lo,
      desc.hi,
      avail.lo,
      avail.hi,
      used.lo,
      used.hi,
    );
    if (broken !== 0) this.needsReset(broken);
  }

  #ringFeatures(): number {
    return (
      (this.negotiated(VIRTIO_F_EVENT_IDX) ? QUEUE_F_EVENT_IDX : 0) |
      (this.negotiated(VIRTIO_F_INDIRECT_DESC) ? QUEUE_F_INDIRECT : 0) |
      (this.negotiated(VIRTIO_F_NOTIFY_ON_EMPTY) ? QUEUE_F_NOTIFY_ON_EMPTY : 0)
    );
  }

  protected override queueDisabled(index: number): MaybeLater {
    return this.#served[index]!.queue.detach();
  }

  protected override queueKicked(index: number): void {
    const { host, queue } = this.#served[index]!;
    if (host) host.set();
    else queue.kick();
  }

  protected override driverStarted(): void {
    // A driver without CONFIG_WCE that sends no flushes must get a disk that needs none (BL-14).
    if (!this.negotiated(VIRTIO_BLK_F_CONFIG_WCE)) {
      this.backend.writeCache = this.negotiated(VIRTIO_BLK_F_FLUSH);
    }
    this.#served.forEach(({ queue, host, features }, index) => {
      // A legacy driver may set a ring's address before it accepts features (VQ-14).
      if (this.queues[index]!.enabled && features !== this.#ringFeatures()) this.#latch(index);
      queue.setRunning(true);
      if (host) this.context.setHandler(host, () => this.#polled(index));
    });
  }

  protected override driverStopped(): void {
    for (const { queue, host } of this.#served) {
      queue.setRunning(false);
      // A kick that nobody has seen yet is made good by the kicks of the next start.
      if (host) this.context.setHandler(host, null);
    }
  }

  #polled(index: number): void {
    if (this.queueLive(index)) this.#served[index]!.queue.kick();
  }

  // ---- Reset ----------------------------------------------------------------------------------

  /** Close the gate, detach every queue, wait until nothing is in flight (BL-17, VC-3). */
  protected override resetDevice(): MaybeLater {
    this.backend.quiesce();
    const gone = this.#served.map(({ queue }) => queue.detach()).filter((later) => later);
    if (gone.length === 0) {
      this.#finishReset();
      return;
    }
    return Promise.all(gone).then(() => this.#finishReset());
  }

  #finishReset(): void {
    this.backend.writeCache = this.#writeCache;
    this.brokenCause = undefined;
    this.backend.unquiesce();
  }
}
