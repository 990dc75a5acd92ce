/**
 * The bus of a disk without an emulator: driver and device in one program. The driver's accesses
 * are the device's methods, without registers between them. Main thread.
 */

import type { FeatureWords, GuestTransport, RingPlace } from '../guest/transport.ts';
import type { VirtioDevice, VirtioTransport } from '../virtio/device.ts';

export interface TransportEvents {
  /** The device interrupts for queue `index`; it may be inside a doorbell. */
  interrupt(index: number): void;
  /** Configuration or status have changed. */
  config(): void;
}

export class DirectTransport implements GuestTransport, VirtioTransport {
  readonly name = 'direct';
  readonly legacy = false;
  readonly ringAlign = 4096;
  readonly deviceId: number;
  readonly #device: VirtioDevice;
  readonly #events: TransportEvents;
  #queue = 0;

  /** Takes the device. */
  constructor(device: VirtioDevice, events: TransportEvents) {
    this.#device = device;
    this.#events = events;
    this.deviceId = device.deviceId;
    device.transport = this;
  }

  // ---- The driver's side ----------------------------------------------------------------------

  readStatus(): number {
    return this.#device.status;
  }

  writeStatus(value: number): void {
    this.#device.writeStatus(value);
  }

  readDeviceFeatures(): FeatureWords {
    return [this.#device.deviceFeatures(0), this.#device.deviceFeatures(1)];
  }

  writeDriverFeatures([low, high]: FeatureWords): void {
    this.#device.writeDriverFeatures(0, low);
    this.#device.writeDriverFeatures(1, high);
  }

  selectQueue(index: number): void {
    this.#queue = index;
  }

  readQueueSize(): number {
    return this.#registers?.size ?? 0;
  }

  writeQueueSize(size: number): void {
    const registers = this.#registers;
    if (registers && !registers.enabled) registers.size = size;
  }

  writeQueueRing(ring: RingPlace): void {
    const registers = this.#registers;
    if (!registers || registers.enabled) return;
    for (const part of ['desc', 'avail', 'used'] as const) {
      registers[part].lo = ring[part] >>> 0;
      registers[part].hi = Math.floor(ring[part] / 2 ** 32);
    }
  }

  writeQueueEnable(value: number): void {
    if (value === 1) this.#device.enableQueue(this.#queue);
  }

  readQueueEnable(): number {
    return this.#registers?.enabled ? 1 : 0;
  }

  disableQueue(): boolean {
    this.#device.disableQueue(this.#queue);
    return true;
  }

  writeQueueReset(): void {
    this.#device.disableQueue(this.#queue, true);
  }

  readQueueReset(): number {
    return this.#registers?.draining && !this.#registers.enabled ? 1 : 0;
  }

  /** Interrupts are calls. */
  setUpConfigInterrupt(): void {}

  setUpQueue(index: number, ring: RingPlace): void {
    this.selectQueue(index);
    this.writeQueueSize(ring.size);
    this.writeQueueRing(ring);
    this.writeQueueEnable(1);
  }

  kick(index: number): void {
    this.#device.kick(index);
  }

  /** There is no register to acknowledge. */
  readIsr(): number {
    return 0;
  }

  readConfigGeneration(): number {
    return this.#device.configGeneration;
  }

  readConfig(offset: number, width: 1 | 2 | 4): number {
    return this.#device.readConfig(offset, width);
  }

  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    this.#device.writeConfig(offset, width, value);
  }

  get #registers() {
    return this.#device.queues[this.#queue];
  }

  // ---- The device's side ----------------------------------------------------------------------

  interruptQueue(index: number): void {
    this.#events.interrupt(index);
  }

  interruptConfig(): void {
    this.#events.config();
  }

  deviceReset(): void {}
}
