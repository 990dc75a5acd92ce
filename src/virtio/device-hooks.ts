/** What a kind of device provides to `VirtioDevice`, which calls all of it on the main thread. */

import type { Width } from './config-space.ts';
import { type FeatureWords, LEGACY_ONLY_FEATURES } from './feature-bits.ts';

/** What a step that must wait for requests in flight answers: nothing if it is over already. */
export type MaybeLater = void | Promise<void>;

export abstract class DeviceHooks {
  /**
   * The features of the device and of its rings (INDIRECT_DESC, EVENT_IDX, ...). VERSION_1 and
   * BAD_FEATURE are added, and legacy-only bits are left out, by the interface in use. Must not
   * change while a driver is there.
   */
  protected abstract offeredFeatures(): Readonly<FeatureWords>;

  /** Do the accepted features fit together? Asked once, at FEATURES_OK; VERSION_1 is there. */
  protected abstract featuresOk(): boolean;

  /**
   * The whole configuration space, little-endian, as it is now. May be the same array each time;
   * it is only read. Call `configChanged` after a change.
   */
  protected abstract configBytes(): Uint8Array;

  /**
   * Latch `queues[index]` (size, addresses) and the accepted features and make the ring ready
   * from index 0. Call `needsReset` if the ring is refused. Requests are not served yet: wait for
   * `queueKicked`.
   */
  protected abstract queueEnabled(index: number): void;

  /**
   * Stop queue `index`: when this returns nothing touches its ring or its buffers, and the
   * completions of what is in flight will touch nothing. Return nothing if no request is in
   * flight, otherwise a promise that resolves when all are gone and the queue may be enabled anew.
   */
  protected abstract queueDisabled(index: number): MaybeLater;

  /**
   * Serve queue `index`, now or later. Called only while `queueLive(index)`; whoever serves later
   * asks `queueLive` again.
   */
  protected abstract queueKicked(index: number): void;

  /** Throws if the device cannot be reset from here; then it goes on as if nobody had asked. */
  protected checkReset(): void {}

  /**
   * Reset, both halves. When this returns nothing touches guest memory any more. Return nothing
   * if no request is in flight (legacy drivers do not poll), otherwise a promise that resolves
   * when all are gone. Every queue must be as new then. `queueDisabled` is not called.
   */
  protected abstract resetDevice(): MaybeLater;

  /** The driver wrote inside the configuration space. Default: read-only. */
  protected configWritten(_offset: number, _width: Width, _value: number): void {}

  /**
   * Service begins: DRIVER_OK was set, or a legacy driver kicked early, or what held the device is
   * over (VM-2, PC-10). All live queues are kicked after it.
   */
  protected driverStarted(): void {}

  /**
   * Service ends: DRIVER_OK went, by reset, bus master off or a driver's whim, or the device is
   * held. Take no request any more and stop listening to notifiers. Interrupts told of inside go
   * out in the last two cases only.
   */
  protected driverStopped(): void {}

  /** Low feature word given to a legacy driver that accepts everything (BG-20). */
  protected badFeatures(): number {
    return 0;
  }

  /** Low feature bits shown through the legacy interface only. */
  protected legacyOnlyFeatures(): number {
    return LEGACY_ONLY_FEATURES;
  }

  /** Widths of the configuration fields from offset 0 on, for big-endian legacy guests (VC-8). */
  protected configFields(): readonly number[] {
    return [];
  }
}
