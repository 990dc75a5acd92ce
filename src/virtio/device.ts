/**
 * A virtio device without its transport: status and feature machine, queues' registers, reset,
 * configuration space (VIRTIO 1.3, 2.1 to 2.5; QEMU: hw/virtio/virtio.c). It belongs to the main
 * thread, which runs the CPU: all of this is control plane.
 *
 * Two neighbours. A transport (`VirtioPci`, `VirtioMmio`) turns register accesses into the public
 * calls below and is told of interrupts through `VirtioTransport`. A subclass (`VirtioBlk`) fills
 * the protected hooks of `DeviceHooks` and serves the rings.
 */

import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import {
  VIRTIO_F_BAD_FEATURE,
  VIRTIO_F_VERSION_1,
  VIRTIO_STATUS_ACKNOWLEDGE,
  VIRTIO_STATUS_DRIVER_OK,
  VIRTIO_STATUS_FEATURES_OK,
  VIRTIO_STATUS_NEEDS_RESET,
} from '../spec.ts';
import { allOnes, ConfigGeneration, loadConfig, swapBytes, type Width } from './config-space.ts';
import { DeviceHooks } from './device-hooks.ts';
import type { VirtioDeviceOptions } from './device-options.ts';
import { type FeatureWords, hasFeature, legacyFeatures, modernFeatures } from './feature-bits.ts';
import { createQueues, type QueueRegisters, resetQueueRegisters } from './queue-registers.ts';
import { Service } from './service.ts';
import type { VirtioTransport } from './transport.ts';

export { allOnes, type Width } from './config-space.ts';
export type { MaybeLater } from './device-hooks.ts';
export type { VirtioDeviceOptions } from './device-options.ts';
export type { FeatureWords } from './feature-bits.ts';
export type { QueueRegisters, U64Pair } from './queue-registers.ts';
export type { VirtioTransport } from './transport.ts';

export abstract class VirtioDevice extends DeviceHooks {
  readonly core: Core;
  readonly context: AioContext;
  readonly deviceId: number;
  readonly queues: QueueRegisters[];
  /** Set by the transport that takes the device. */
  transport: VirtioTransport | null = null;

  readonly #legacyBig: boolean;
  readonly #generation = new ConfigGeneration();
  readonly #driver: FeatureWords = { lo: 0, hi: 0 };
  #legacy = false;
  #status = 0;
  readonly #service = new Service({
    begin: () => {
      this.driverStarted();
      this.#kickAll();
      if (this.#service.takeUntold()) this.queues.forEach((_, i) => void this.interruptQueue(i));
    },
    end: () => this.driverStopped(),
  });
  #busMaster = true;
  #brokenReason = 0;
  #resetting: Promise<void> | null = null;
  #retired = false;
  /** Counts resets: what was awaited before one must not touch the registers after it. */
  #epoch = 0;

  constructor(core: Core, context: AioContext, options: VirtioDeviceOptions) {
    super();
    this.core = core;
    this.context = context;
    this.deviceId = options.deviceId;
    this.queues = createQueues(options.queues, options.queueSize);
    this.#legacyBig = options.legacyEndian === 'big';
  }

  // ---- Status (2.1) ---------------------------------------------------------------------------

  /**
   * The device status. After a 0 was written it still shows the old bits until no request is in
   * flight: a driver polls for 0.
   */
  get status(): number {
    return this.#status;
  }

  /** The driver uses the legacy interface: no VERSION_1, guest-native byte order. */
  get legacy(): boolean {
    return this.#legacy;
  }

  /**
   * A transport says which of its interfaces the driver is using. Taken only while nothing has
   * been agreed: a transitional device cannot change sides with its queues running.
   */
  useLegacy(legacy: boolean): void {
    if (!(this.#status & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK)) && !this.started) {
      this.#legacy = legacy;
    }
  }

  /** BROKEN_* why the device wants a reset, 0 while it is well. */
  get brokenReason(): number {
    return this.#brokenReason;
  }

  /** The driver wants service: DRIVER_OK, or a legacy driver's early kick (VC-9). */
  get started(): boolean {
    return this.#service.started;
  }

  /** Requests are taken: started, and nothing holds the device (VM-2, PC-10). */
  get serving(): boolean {
    return this.#service.serving;
  }

  /**
   * A write of the status register by the driver. 0 resets. Order (VC-1): stop serving if
   * DRIVER_OK goes, set the status, serve if DRIVER_OK comes. FEATURES_OK stays clear if the
   * features do not fit (VC-2). NEEDS_RESET is the device's own and stays until reset. While a
   * reset is going on everything the driver writes is ignored.
   */
  writeStatus(value: number): void {
    if (this.#deaf) return;
    value &= 0xff;
    if (value === 0) {
      this.reset();
      return;
    }
    const before = this.#status;
    value &= ~VIRTIO_STATUS_NEEDS_RESET;
    value |= before & (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FEATURES_OK);
    if (value & ~before & VIRTIO_STATUS_FEATURES_OK && !this.#featuresFit()) {
      value &= ~VIRTIO_STATUS_FEATURES_OK;
    }
    if (!this.#legacy && !(value & VIRTIO_STATUS_FEATURES_OK)) value &= ~VIRTIO_STATUS_DRIVER_OK;
    if (before & ~value & VIRTIO_STATUS_DRIVER_OK) {
      this.#service.stop(); // the last interrupts are delivered (HN-10)
    }
    this.#status = value;
    if (value & VIRTIO_STATUS_DRIVER_OK) this.#service.start();
  }

  #featuresFit(): boolean {
    return this.negotiated(VIRTIO_F_VERSION_1) && this.featuresOk();
  }

  // ---- Reset (2.4, VC-3) ----------------------------------------------------------------------

  get resetting(): boolean {
    return this.#resetting !== null;
  }

  /**
   * Resets the device: the driver wrote 0 to the status, or the bus asked for it (FLR). Returns
   * at once, and from then on nothing touches guest memory; the status reads 0 when no request is
   * in flight any more, which is before this returns if there was none.
   */
  reset(): void {
    if (this.#deaf) return;
    this.checkReset();
    this.#epoch++;
    this.#service.drop();
    const later = this.resetDevice();
    if (!later) {
      this.#finishReset();
      return;
    }
    this.#status |= VIRTIO_STATUS_ACKNOWLEDGE; // whatever it was, it does not read 0 yet
    this.#resetting = later.then(() => {
      this.#resetting = null;
      this.#finishReset();
    });
  }

  /** Nothing that the driver writes counts: a reset is going on, or the device is gone. */
  get #deaf(): boolean {
    return this.#resetting !== null || this.#retired;
  }

  /**
   * Resets the device for good, for a subclass that closes: from the return on all of its registers
   * are as after a reset, whatever a driver writes that does not know of it. Throws as `reset`.
   */
  protected retire(): void {
    this.reset();
    this.#retired = true;
  }

  /** Resolves when no reset is going on. */
  idle(): Promise<void> {
    return this.#resetting ?? Promise.resolve();
  }

  #finishReset(): void {
    this.#brokenReason = 0;
    this.#driver.lo = 0;
    this.#driver.hi = 0;
    this.transport?.deviceReset();
    for (const queue of this.queues) resetQueueRegisters(queue);
    this.#status = 0;
  }

  // ---- Features (2.2, BG-20) ------------------------------------------------------------------

  /** Word `select` (0 or 1) of the features offered through the interface in use; else 0. */
  deviceFeatures(select: number): number {
    const offered = this.offeredFeatures();
    if (this.#legacy) return legacyFeatures(offered, select);
    return modernFeatures(offered, this.legacyOnlyFeatures(), select);
  }

  /** Word `select` of the features that the driver has accepted. */
  driverFeatures(select: number): number {
    return select === 0 ? this.#driver.lo : select === 1 ? this.#driver.hi : 0;
  }

  /**
   * The driver accepts features. Bits that were not offered are dropped; after FEATURES_OK, and
   * while requests are served, the write is ignored. A legacy driver that accepts BAD_FEATURE
   * accepts blindly: it is given `badFeatures`.
   */
  writeDriverFeatures(select: number, value: number): void {
    if (this.#deaf || this.started || select > 1) return;
    if (this.#status & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK)) return;
    if (this.#legacy && select === 0 && value & (1 << VIRTIO_F_BAD_FEATURE)) {
      value = this.badFeatures();
    }
    this.#driver[select === 0 ? 'lo' : 'hi'] = (value & this.deviceFeatures(select)) >>> 0;
  }

  /** Was feature `bit` (0 to 63) offered and accepted? */
  negotiated(bit: number): boolean {
    return hasFeature(this.#driver, bit);
  }

  // ---- Configuration space (2.5) --------------------------------------------------------------

  /** Changes whenever the contents have changed since the driver last looked (VC-5). */
  get configGeneration(): number {
    return this.#generation.look();
  }

  get configLength(): number {
    return this.configBytes().length;
  }

  /** Reads the configuration space; all ones if any byte lies outside. */
  readConfig(offset: number, width: Width): number {
    this.#generation.look();
    const mirrored = this.#legacy && this.#legacyBig ? this.configFields() : null;
    return loadConfig(this.configBytes(), mirrored, offset, width);
  }

  /** Writes the configuration space; ignored if any byte lies outside. */
  writeConfig(offset: number, width: Width, value: number): void {
    if (this.#deaf || offset + width > this.configBytes().length) return;
    if (this.#legacy && this.#legacyBig) value = swapBytes(value, width);
    this.configWritten(offset, width, (value & allOnes(width)) >>> 0);
  }

  /** Subclass or owner: the contents have changed. Interrupts only after DRIVER_OK (VC-4). */
  configChanged(): void {
    this.#generation.touch();
    if (this.#status & VIRTIO_STATUS_DRIVER_OK && !this.#brokenReason && !this.#deaf) {
      this.transport?.interruptConfig();
    }
  }

  // ---- Queues ---------------------------------------------------------------------------------

  /**
   * The driver turns queue `index` on, with the registers as they are now. Ignored before a modern
   * driver has set FEATURES_OK: the ring's format is not known.
   */
  enableQueue(index: number): void {
    const queue = this.queues[index];
    if (!queue || queue.enabled || this.#deaf) return;
    if (!this.#legacy && !(this.#status & VIRTIO_STATUS_FEATURES_OK)) return;
    queue.enabled = true;
    // What was in flight when the queue was stopped must be gone first: then `#drained` does it.
    if (!queue.draining) this.queueEnabled(index);
  }

  /**
   * The driver turns queue `index` off (RING_RESET, MMIO QueueReady 0): from the return on nothing
   * touches its ring. `draining` is set until its requests are gone; then, too, its size and
   * addresses are the defaults again if `forget` is set.
   */
  disableQueue(index: number, forget = false): void {
    const queue = this.queues[index];
    if (!queue || this.#deaf) return;
    const { enabled, draining } = queue;
    queue.enabled = false;
    if (forget) this.#forget(index);
    // Not in use, or to be enabled after an earlier stop: it never came so far.
    if (!enabled || draining) return;
    const later = this.queueDisabled(index);
    if (!later) return;
    queue.draining = true;
    const epoch = this.#epoch;
    later.then(() => {
      if (epoch === this.#epoch) this.#drained(index);
    });
  }

  #forget(index: number): void {
    const queue = this.queues[index]!;
    const { draining } = queue;
    this.transport?.queueReset?.(index); // while it knows the vector that is used no more
    resetQueueRegisters(queue);
    queue.draining = draining;
  }

  #drained(index: number): void {
    const queue = this.queues[index]!;
    queue.draining = false;
    if (!queue.enabled) return;
    this.queueEnabled(index);
    this.kick(index);
  }

  /** May requests of queue `index` be taken? As for an answer, and nothing holds the device. */
  queueLive(index: number): boolean {
    return this.serving && this.#mayAnswer(index);
  }

  /**
   * May queue `index` be answered: set up, started, not broken, bus master on, no reset? A held
   * device answers what it has taken (VM-3).
   */
  #mayAnswer(index: number): boolean {
    const queue = this.queues[index];
    return (
      queue?.enabled === true &&
      !queue.draining &&
      this.started &&
      this.#busMaster &&
      !this.#brokenReason &&
      !this.#deaf
    );
  }

  /**
   * The doorbell. Ignored for a queue that is not there, not set up or not to be served (BG-14).
   * A legacy driver may kick before DRIVER_OK: that starts the device (VC-9).
   */
  kick(index: number): void {
    const canStart = this.#legacy && this.#busMaster && !this.#brokenReason && !this.#deaf;
    if (!this.started && canStart && this.queues[index]?.enabled) {
      this.#service.start(); // serves what is there in all queues
      return;
    }
    if (this.queueLive(index)) this.queueKicked(index);
  }

  /** Tells the driver of used buffers in queue `index`, unless the device stopped meanwhile. */
  interruptQueue(index: number): void {
    if (this.#mayAnswer(index)) this.transport?.interruptQueue(index);
    else if (!this.started) this.#service.untold = true;
  }

  /**
   * The device has found an error it cannot live with: nothing is served until reset. Order: the
   * status bit, the configuration interrupt, and only then broken, which would swallow the
   * interrupt. Only the first reason counts. `reason`: BROKEN_* of layout.ts, not 0.
   */
  needsReset(reason: number): void {
    if (this.#brokenReason || this.#deaf) return;
    if (this.negotiated(VIRTIO_F_VERSION_1)) {
      this.#status |= VIRTIO_STATUS_NEEDS_RESET;
      this.configChanged();
    }
    this.#brokenReason = reason;
  }

  /**
   * PCI bus mastering was granted or taken away (PC-8). Without it the device touches no guest
   * memory. Taking it away clears DRIVER_OK, turns the queues off and drops what was in flight:
   * the driver must reset.
   */
  setBusMaster(on: boolean): void {
    if (this.#busMaster === on) return;
    this.#busMaster = on;
    if (this.#deaf) return;
    if (on) {
      if (this.started) this.#kickAll();
      return;
    }
    this.#status &= ~VIRTIO_STATUS_DRIVER_OK;
    this.#service.drop();
    for (let index = 0; index < this.queues.length; index++) this.disableQueue(index);
  }

  /**
   * The machine stops or goes on (VM-2). While it is stopped no request is taken; those taken are
   * answered, and their interrupts are left pending (VM-3). Status and rings stay as they are.
   */
  vmStateChanged(running: boolean): void {
    this.#service.setMachineRuns(running);
  }

  /** The function leaves D0 or comes back (PC-10): held as by a machine that stops. */
  setAwake(awake: boolean): void {
    this.#service.setAwake(awake);
  }

  #kickAll(): void {
    for (let index = 0; index < this.queues.length; index++) this.kick(index);
  }
}
