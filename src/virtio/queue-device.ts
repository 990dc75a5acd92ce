/**
 * A virtio device whose queues are served by a `QueueSet`: what its control plane does when a
 * driver turns them on and off, starts and stops. What else the device is a subclass knows. Main
 * thread.
 */

import {
  QUEUE_F_EVENT_IDX,
  QUEUE_F_HELD,
  QUEUE_F_INDIRECT,
  QUEUE_F_NOTIFY_ON_EMPTY,
} from '../layout.ts';
import type { Machine } from '../machine/machine.ts';
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_NOTIFY_ON_EMPTY } from '../spec.ts';
import type { RingConfig } from './data-plane.ts';
import { VirtioDevice } from './device.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { FeatureWords } from './feature-bits.ts';
import type { QueueSet } from './queue-set.ts';

export abstract class QueueDevice<Config extends RingConfig> extends VirtioDevice {
  abstract readonly settings: { readonly id: string | undefined; readonly machine: Machine | null };
  /** Its name in the tree of devices, for events. */
  abstract readonly path: string;
  /** What the engine, a driver or a thread threw when a queue broke with BROKEN_ENGINE. */
  brokenCause: unknown;
  protected abstract readonly queueSet: QueueSet<Config>;
  #closed: Promise<void> | null = null;

  // ---- Life -----------------------------------------------------------------------------------

  /**
   * Takes the device away with all that is plugged in: waits for what is in flight, touches no
   * guest memory any more, and gives everything back. Backends stay open. Rejects, and the device
   * stays, from inside a submit of a driver of its own.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close().catch((error) => {
      this.#closed = null;
      throw error;
    });
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.retire();
    await this.idle();
    await this.unrealize();
    this.deleted(this.settings.id, this.path);
  }

  /** Undoes what was done, the last first. Nothing is in flight. */
  protected abstract unrealize(): Promise<void>;

  /** Tells that this, or what was plugged in here, is gone for good. */
  protected deleted(id: string | undefined, path: string): void {
    const device = id === undefined ? {} : { device: id };
    this.settings.machine?.events.emit('DEVICE_DELETED', { ...device, path });
  }

  /** A saved state is for a device that offers the same. */
  abstract override offeredFeatures(): FeatureWords;

  /** What each queue's data plane was built from. */
  get queueConfigs(): readonly Config[] {
    return this.queueSet.queues.map(({ config }) => config);
  }

  /**
   * Core addresses of each queue's notifiers, 0 for one that it has not: who sets `host` has kicked
   * the queue; `guest` is set for interrupts, and when the queue breaks.
   */
  get queueNotifiers(): readonly { readonly host: number; readonly guest: number }[] {
    return this.queueSet.queues.map(({ host, guest }) => {
      return { host: host?.address ?? 0, guest: guest?.address ?? 0 };
    });
  }

  /**
   * Takes the host notifiers over from the threads that serve the queues, until `releaseNotifiers`;
   * counted. Survives resets. QEMU: `virtio_bus_grab_ioeventfd`.
   */
  grabNotifiers(): void {
    this.queueSet.grab();
  }

  releaseNotifiers(): void {
    this.queueSet.release();
  }

  /** Numbers of all queues. */
  protected get allQueues(): number[] {
    return this.queues.map((_, index) => index);
  }

  /** For the listener of the queue set. */
  protected queueBroke(reason: number, cause: unknown): void {
    this.brokenCause ??= cause;
    this.needsReset(reason);
  }

  /** Not from inside a submit of a queue's own driver. */
  protected override checkReset(): void {
    this.queueSet.checkOutside();
  }

  // ---- Queues ---------------------------------------------------------------------------------

  protected override queueEnabled(index: number): void {
    this.#latch(index);
    if (this.serving) this.queueSet.start([index]);
  }

  /** Makes the ring ready with the registers and features as they are now. */
  #latch(index: number): void {
    const { size, desc, avail, used } = this.queues[index]!;
    const queue = this.queueSet.queues[index]!;
    queue.features = this.ringFeatures(index);
    const broken = this.core.engine.queueEnable(
      queue.config.queue,
      size,
      queue.features,
      desc.lo,
      desc.hi,
      avail.lo,
      avail.hi,
      used.lo,
      used.hi,
    );
    if (broken !== 0) this.needsReset(broken);
  }

  /** QUEUE_F_* for queue `index`, as the driver has accepted features. */
  protected ringFeatures(index: number): number {
    return (
      (this.queueSet.queues[index]!.log === 0 ? 0 : QUEUE_F_HELD) |
      (this.negotiated(VIRTIO_F_EVENT_IDX) ? QUEUE_F_EVENT_IDX : 0) |
      (this.negotiated(VIRTIO_F_INDIRECT_DESC) ? QUEUE_F_INDIRECT : 0) |
      (this.negotiated(VIRTIO_F_NOTIFY_ON_EMPTY) ? QUEUE_F_NOTIFY_ON_EMPTY : 0)
    );
  }

  protected override queueDisabled(index: number): MaybeLater {
    return this.queueSet.disable([index]);
  }

  protected override queueKicked(index: number): void {
    this.queueSet.kick(index);
  }

  /** Queues that are not set up are left out (HN-16). */
  protected override driverStarted(): void {
    const enabled = this.allQueues.filter((index) => {
      const { enabled, draining } = this.queues[index]!;
      return enabled && !draining;
    });
    for (const index of enabled) {
      // A legacy driver may set a ring's address before it accepts features (VQ-14).
      const { features } = this.queueSet.queues[index]!;
      if (features !== this.ringFeatures(index)) this.#latch(index);
    }
    this.queueSet.start(enabled);
  }

  protected override driverStopped(): void {
    this.queueSet.stop();
  }

  // ---- Save and load ----------------------------------------------------------------------------

  /** Requests popped and not answered, by queue, oldest first; stopped or drained (BL-19). */
  unfinished(): Promise<number[][]> {
    return this.queueSet.unfinished();
  }

  /** Popped requests that are to be served with queue `index`. */
  adopt(index: number, heads: readonly number[]): Promise<void> {
    return this.queueSet.adopt(index, heads);
  }

  /** Tells the driver now of all that was completed. */
  deliver(): void {
    this.queueSet.deliver();
  }
}
