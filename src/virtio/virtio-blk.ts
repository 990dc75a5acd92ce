/**
 * The control plane of a virtio-blk device: options, features, configuration space, queues being
 * turned on and off, reset, resize. Main thread. The data plane is one `BlkQueue` per queue, on
 * whatever thread (`QueueSet`).
 * QEMU: hw/block/virtio-blk.c.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import { Undo } from '../aio/undo.ts';
import type { BlockBackend } from '../block/backend.ts';
import { OptionError } from '../block/error.ts';
import type { Core } from '../engine/core.ts';
import { BACKEND_BLOCK_SECTORS, BACKEND_CAPACITY_HI, BACKEND_CAPACITY_LO } from '../layout.ts';
import {
  SECTOR_SHIFT,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_SCSI,
  VIRTIO_ID_BLOCK,
} from '../spec.ts';
import {
  BLK_FEATURES_HIGH,
  BlkConfig,
  blkFeatures,
  CONFIG_FIELDS,
  CONFIG_WRITEBACK,
} from './blk-config.ts';
import { blkQueueBase } from './blk-kind.ts';
import {
  type BlkSettings,
  readBlkOptions,
  threadsForMapping,
  type VirtioBlkOptions,
} from './blk-options.ts';
import type { Width } from './config-space.ts';
import type { MaybeLater } from './device-hooks.ts';
import { joinMachine } from './device-machine.ts';
import type { FeatureWords } from './feature-bits.ts';
import type { QueueConfig } from './queue-config.ts';
import { QueueDevice } from './queue-device.ts';
import { QueueSet } from './queue-set.ts';
import type { MappingOptions } from './vq-mapping.ts';

export type { VirtioBlkOptions } from './blk-options.ts';

export class VirtioBlk extends QueueDevice<QueueConfig> {
  readonly backend: BlockBackend;
  readonly settings: BlkSettings;
  readonly path: string;
  readonly #config: BlkConfig;
  readonly #features: FeatureWords;
  protected readonly queueSet: QueueSet<QueueConfig>;
  /** The backend's write cache as it was: reset and close bring it back. */
  readonly #writeCache: boolean;
  /** Sectors as the driver is told: changes together with the generation (VC-5). */
  #capacity: number;
  /** What `close` has to undo, in the order in which it was done. */
  readonly #undo = new Undo();

  /**
   * Makes a device on `backend`, which stays the caller's; with `iothread` or
   * `iothread-vq-mapping`, its queues are served by those threads, which cannot be stopped before
   * the device is closed. Rejects as the constructor throws, and with what the threads throw; then
   * nothing is left behind.
   */
  static async realize(
    core: Core,
    context: AioContext,
    backend: BlockBackend,
    options: VirtioBlkOptions = {},
  ): Promise<VirtioBlk> {
    const device = new VirtioBlk(core, context, backend, options, true);
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
  constructor(
    core: Core,
    context: AioContext,
    backend: BlockBackend,
    options: VirtioBlkOptions = {},
    threads = false,
  ) {
    const settings = readBlkOptions(core, backend, options);
    const { numQueues: queues, queueSize, legacyEndian } = settings;
    if (!threads && settings.threads.some((thread) => thread)) {
      const option = options.iothread ? 'iothread' : 'iothread-vq-mapping';
      throw new OptionError(
        option,
        'an IOThread',
        'none here: VirtioBlk.realize waits for threads',
      );
    }
    super(core, context, { deviceId: VIRTIO_ID_BLOCK, queues, queueSize, legacyEndian });
    this.backend = backend;
    this.settings = settings;
    this.path = settings.machine?.devicePath(settings.id) ?? '';
    this.#config = new BlkConfig(settings);
    this.#features = { lo: blkFeatures(settings, backend), hi: BLK_FEATURES_HIGH };
    this.#writeCache = backend.writeCache;
    this.#capacity = this.#readCapacity();
    const base = blkQueueBase(core, context, backend, settings);
    this.queueSet = new QueueSet(core, context, base, settings, {
      interrupt: (index) => this.interruptQueue(index),
      broken: (_index, reason, cause) => this.queueBroke(reason, cause),
      ioError: (failure) => backend.ioError(failure, this.path),
    });
    this.#realize();
  }

  // ---- Life -----------------------------------------------------------------------------------

  #realize(): void {
    const { backend, settings } = this;
    const blockSectors = this.core.u32[(backend.address + BACKEND_BLOCK_SECTORS) >>> 2]!;
    this.#setBlockSectors(settings.logicalBlockSize >>> SECTOR_SHIFT);
    this.#undo.add(() => this.#setBlockSectors(blockSectors));
    const resized = this.#resizeHalf();
    this.#undo.add(() => resized.delete());
    const announce = () => resized.schedule();
    backend.onResize.add(announce);
    this.#undo.add(() => backend.onResize.delete(announce));
    backend.setDevOps(this.queueSet); // DP-4
    this.#undo.add(() => backend.setDevOps(null));
    if (settings.machine) {
      backend.enableIostatus();
      this.#undo.add(joinMachine(settings.machine, 'virtio-blk', this, this.queueSet));
    }
  }

  /** A resize may be announced from anywhere; the driver is told from the main context (BL-18). */
  #resizeHalf(): BottomHalf {
    try {
      return this.context.bottomHalf('virtio-blk resize', () => {
        this.#capacity = this.#readCapacity();
        this.configChanged();
      });
    } catch (error) {
      this.#undo.now();
      this.queueSet.closeNow();
      throw error;
    }
  }

  protected override unrealize(): Promise<void> {
    this.#undo.now();
    return this.queueSet.close();
  }

  /**
   * Has other threads serve the queues, as the options of the same names say; with neither of them,
   * main does. At any time, also under load. Rejects with an OptionError, or with what a thread
   * throws; then nothing has changed.
   */
  async changeMapping(mapping: MappingOptions): Promise<void> {
    await this.queueSet.move(threadsForMapping(mapping, this.settings));
  }

  #setBlockSectors(sectors: number): void {
    this.core.u32[(this.backend.address + BACKEND_BLOCK_SECTORS) >>> 2] = sectors;
  }

  // ---- Features and configuration space -------------------------------------------------------

  override offeredFeatures(): FeatureWords {
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

  protected override driverStarted(): void {
    // A driver without CONFIG_WCE that sends no flushes must get a disk that needs none (BL-14).
    if (!this.negotiated(VIRTIO_BLK_F_CONFIG_WCE)) {
      this.backend.writeCache = this.negotiated(VIRTIO_BLK_F_FLUSH);
    }
    super.driverStarted();
  }

  // ---- Reset ----------------------------------------------------------------------------------

  /** Close the gate, disable every queue, wait until nothing is in flight (BL-17, VC-3). */
  protected override resetDevice(): MaybeLater {
    this.backend.drainedBegin();
    let later: MaybeLater;
    try {
      later = this.queueSet.disable(this.allQueues);
    } catch (error) {
      this.backend.drainedEnd(); // from inside a queue's own driver: it has done nothing
      throw error;
    }
    if (later) return later.then(() => this.#finishReset());
    this.#finishReset();
  }

  #finishReset(): void {
    this.backend.writeCache = this.#writeCache;
    this.brokenCause = undefined;
    this.backend.drainedEnd();
  }
}
