/** virtio over MMIO, driver side: version 2 and the legacy version 1 (VIRTIO 1.3, 4.2). */
import {
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_GUEST_PAGE_SIZE,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_QUEUE_ALIGN,
  VIRTIO_MMIO_QUEUE_DESC_HIGH,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_DEVICE_HIGH,
  VIRTIO_MMIO_QUEUE_DEVICE_LOW,
  VIRTIO_MMIO_QUEUE_DRIVER_HIGH,
  VIRTIO_MMIO_QUEUE_DRIVER_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_NUM,
  VIRTIO_MMIO_QUEUE_NUM_MAX,
  VIRTIO_MMIO_QUEUE_PFN,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_RESET,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_STATUS,
  VIRTIO_MMIO_VERSION,
} from '../spec.ts';
import { GuestError } from './error.ts';
import type { FeatureWords, GuestTransport, RingPlace } from './transport.ts';

/** The register window of a device, as an emulator reaches it. Offsets and widths in bytes. */
export interface MmioWindow {
  read(offset: number, width: 1 | 2 | 4): number;
  write(offset: number, width: 1 | 2 | 4, value: number): void;
}

export interface GuestMmioOptions {
  /** Version 1 only: alignment of the used part, a power of two in bytes. Default 4096. */
  readonly ringAlign?: number;
}

const PAGE = 4096;

export class GuestMmio implements GuestTransport {
  readonly name: string;
  readonly legacy: boolean;
  readonly ringAlign: number;
  readonly deviceId: number;
  readonly #window: MmioWindow;

  /** Throws ENODEV if no device of a known version is behind the window. */
  constructor(window: MmioWindow, options: GuestMmioOptions = {}) {
    this.#window = window;
    if (this.#read(VIRTIO_MMIO_MAGIC_VALUE) !== VIRTIO_MMIO_MAGIC) {
      throw new GuestError('ENODEV', 'no virtio-mmio magic');
    }
    const version = this.#read(VIRTIO_MMIO_VERSION);
    if (version !== 1 && version !== 2) {
      throw new GuestError('ENODEV', `virtio-mmio version ${version}`);
    }
    this.deviceId = this.#read(VIRTIO_MMIO_DEVICE_ID);
    if (this.deviceId === 0) throw new GuestError('ENODEV', 'empty slot');
    this.name = `mmio ${version}`;
    this.legacy = version === 1;
    this.ringAlign = options.ringAlign ?? PAGE;
    // Once, as Linux does: a device keeps it over a reset.
    if (this.legacy) this.#write(VIRTIO_MMIO_GUEST_PAGE_SIZE, PAGE);
  }

  /** As the constructor; beside `GuestPci.open`. */
  static open(window: MmioWindow, options: GuestMmioOptions = {}): GuestMmio {
    return new GuestMmio(window, options);
  }

  readStatus(): number {
    return this.#read(VIRTIO_MMIO_STATUS);
  }

  writeStatus(value: number): void {
    this.#write(VIRTIO_MMIO_STATUS, value);
  }

  readDeviceFeatures(): FeatureWords {
    this.#write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    const low = this.#read(VIRTIO_MMIO_DEVICE_FEATURES);
    this.#write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    return [low, this.#read(VIRTIO_MMIO_DEVICE_FEATURES)];
  }

  writeDriverFeatures(features: FeatureWords): void {
    for (const select of [1, 0] as const) {
      this.#write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
      this.#write(VIRTIO_MMIO_DRIVER_FEATURES, features[select]);
    }
  }

  selectQueue(index: number): void {
    this.#write(VIRTIO_MMIO_QUEUE_SEL, index);
  }

  readQueueSize(): number {
    return this.#read(VIRTIO_MMIO_QUEUE_NUM_MAX);
  }

  writeQueueSize(size: number): void {
    this.#write(VIRTIO_MMIO_QUEUE_NUM, size);
  }

  writeQueueRing(ring: RingPlace): void {
    if (this.legacy) {
      this.#write(VIRTIO_MMIO_QUEUE_ALIGN, this.ringAlign);
      this.#write(VIRTIO_MMIO_QUEUE_PFN, ring.desc / PAGE);
      return;
    }
    this.#write64(VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH, ring.desc);
    this.#write64(VIRTIO_MMIO_QUEUE_DRIVER_LOW, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, ring.avail);
    this.#write64(VIRTIO_MMIO_QUEUE_DEVICE_LOW, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, ring.used);
  }

  writeQueueEnable(value: number): void {
    if (!this.legacy) this.#write(VIRTIO_MMIO_QUEUE_READY, value);
  }

  readQueueEnable(): number {
    if (!this.legacy) return this.#read(VIRTIO_MMIO_QUEUE_READY);
    return this.#read(VIRTIO_MMIO_QUEUE_PFN) === 0 ? 0 : 1;
  }

  disableQueue(): boolean {
    this.#write(this.legacy ? VIRTIO_MMIO_QUEUE_PFN : VIRTIO_MMIO_QUEUE_READY, 0);
    return true;
  }

  writeQueueReset(): void {
    if (!this.legacy) this.#write(VIRTIO_MMIO_QUEUE_RESET, 1);
  }

  readQueueReset(): number {
    return this.legacy ? 0 : this.#read(VIRTIO_MMIO_QUEUE_RESET);
  }

  /** There is one line, for all causes. */
  setUpConfigInterrupt(): void {}

  setUpQueue(index: number, ring: RingPlace): void {
    this.selectQueue(index);
    if (this.readQueueEnable() !== 0 || this.readQueueSize() < ring.size) {
      throw new GuestError('EDEVICE', `queue ${index} is not there or is enabled already`);
    }
    this.writeQueueSize(ring.size);
    this.writeQueueRing(ring);
    this.writeQueueEnable(1);
  }

  kick(index: number): void {
    this.#write(VIRTIO_MMIO_QUEUE_NOTIFY, index);
  }

  readIsr(): number {
    const causes = this.#read(VIRTIO_MMIO_INTERRUPT_STATUS);
    if (causes !== 0) this.#write(VIRTIO_MMIO_INTERRUPT_ACK, causes);
    return causes;
  }

  readConfigGeneration(): number {
    return this.legacy ? 0 : this.#read(VIRTIO_MMIO_CONFIG_GENERATION);
  }

  readConfig(offset: number, width: 1 | 2 | 4): number {
    return this.#window.read(VIRTIO_MMIO_CONFIG + offset, width) >>> 0;
  }

  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    this.#window.write(VIRTIO_MMIO_CONFIG + offset, width, value);
  }

  #read(register: number): number {
    return this.#window.read(register, 4) >>> 0;
  }

  #write(register: number, value: number): void {
    this.#window.write(register, 4, value);
  }

  #write64(low: number, high: number, value: number): void {
    this.#write(low, value >>> 0);
    this.#write(high, Math.floor(value / 2 ** 32));
  }
}
