/** A virtio device that does nothing but write down what it is asked to do, and interrupts. */

import type { AioContext } from '#src/aio/context';
import type { Core } from '#src/engine/core';
import {
  type FeatureWords,
  type MaybeLater,
  VirtioDevice,
  type VirtioDeviceOptions,
} from '#src/virtio/device';

export const ACKNOWLEDGE = 1;
export const DRIVER = 2;
export const DRIVER_OK = 4;
export const FEATURES_OK = 8;
export const NEEDS_RESET = 64;
export const FAILED = 128;

export interface Toy extends Partial<VirtioDeviceOptions> {
  offered?: FeatureWords;
  config?: Uint8Array;
}

/** Offers bits 5, 27 (legacy only), 28, 29 and 40; 16 bytes of configuration: u64, u32, u16, u16. */
export class ToyDevice extends VirtioDevice {
  readonly trace: string[] = [];
  readonly offered: FeatureWords;
  readonly config: Uint8Array;
  /** What `featuresOk` answers. */
  accepts = true;
  blindFeatures = 0;
  /** Requests are in flight: stops and resets end when `settle` is called. */
  busy = false;
  readonly #waiting: (() => void)[] = [];

  constructor(toy: Toy = {}) {
    super({} as Core, {} as AioContext, { deviceId: 2, queues: 2, queueSize: 256, ...toy });
    this.offered = toy.offered ?? { lo: (1 << 5) | (1 << 27) | (3 << 28), hi: 1 << 8 };
    this.config = toy.config ?? Uint8Array.from({ length: 16 }, (_, i) => 0x10 + i);
  }

  /** The trace since the last call. */
  take(): string[] {
    return this.trace.splice(0);
  }

  /** All requests in flight end. */
  async settle(): Promise<void> {
    this.busy = false;
    for (const done of this.#waiting.splice(0)) done();
    await Promise.resolve();
    await Promise.resolve();
  }

  protected offeredFeatures(): FeatureWords {
    return this.offered;
  }

  protected featuresOk(): boolean {
    return this.accepts;
  }

  protected configBytes(): Uint8Array {
    return this.config;
  }

  protected queueEnabled(index: number): void {
    const { size, desc, avail, used } = this.queues[index]!;
    const addresses = [desc, avail, used].map(({ lo, hi }) => (hi * 2 ** 32 + lo).toString(16));
    this.trace.push(`enable ${index}: ${size} at ${addresses.join(' ')}`);
  }

  protected queueDisabled(index: number): MaybeLater {
    this.trace.push(`disable ${index}`);
    return this.#later();
  }

  protected queueKicked(index: number): void {
    this.trace.push(`kick ${index} in ${this.status}`);
  }

  protected resetDevice(): MaybeLater {
    this.trace.push(`reset in ${this.status}`);
    return this.#later();
  }

  protected override configWritten(offset: number, width: number, value: number): void {
    this.trace.push(`config ${offset}/${width} = ${value.toString(16)}`);
  }

  protected override driverStarted(): void {
    this.trace.push(`start in ${this.status}`);
  }

  protected override driverStopped(): void {
    this.trace.push(`stop in ${this.status}`);
  }

  protected override badFeatures(): number {
    return this.blindFeatures;
  }

  protected override configFields(): readonly number[] {
    return [8, 4, 2, 2];
  }

  #later(): MaybeLater {
    if (!this.busy) return undefined;
    return new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** Takes a device through the modern handshake up to `FEATURES_OK`; accepts all that is offered. */
export function negotiate(device: ToyDevice): void {
  device.writeStatus(0);
  device.writeStatus(ACKNOWLEDGE);
  device.writeStatus(ACKNOWLEDGE | DRIVER);
  for (const select of [0, 1]) device.writeDriverFeatures(select, device.deviceFeatures(select));
  device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

export const RUNNING = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;

/** As `negotiate`, then enables queue 0 and sets DRIVER_OK. Empties the trace. */
export function start(device: ToyDevice): void {
  negotiate(device);
  device.enableQueue(0);
  device.writeStatus(RUNNING);
  device.take();
}
