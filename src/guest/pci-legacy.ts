/** virtio over PCI, the legacy interface: registers at the start of I/O BAR 0 (4.1.4.10). */
import {
  PCI_REVISION_ID,
  PCI_SUBSYSTEM_ID,
  VIRTIO_MSI_CONFIG_VECTOR,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_MSI_QUEUE_VECTOR,
  VIRTIO_PCI_DEVICE_ID_MODERN_BASE,
  VIRTIO_PCI_GUEST_FEATURES,
  VIRTIO_PCI_HOST_FEATURES,
  VIRTIO_PCI_ISR,
  VIRTIO_PCI_QUEUE_ADDR_SHIFT,
  VIRTIO_PCI_QUEUE_NOTIFY,
  VIRTIO_PCI_QUEUE_NUM,
  VIRTIO_PCI_QUEUE_PFN,
  VIRTIO_PCI_QUEUE_SEL,
  VIRTIO_PCI_STATUS,
} from '../spec.ts';
import { GuestError } from './error.ts';
import type { BarRegion, PciConfig, Width } from './pci-config.ts';
import { PciTransport, refusedVector } from './pci-transport.ts';
import type { FeatureWords, RingPlace } from './transport.ts';

export class PciLegacy extends PciTransport {
  readonly name = 'pci legacy';
  readonly legacy = true;
  readonly #registers: BarRegion;

  private constructor(config: PciConfig, registers: BarRegion) {
    super(config, config.read(PCI_SUBSYSTEM_ID, 2));
    this.#registers = registers;
  }

  static probe(config: PciConfig, id: number): PciLegacy {
    if (id >= VIRTIO_PCI_DEVICE_ID_MODERN_BASE) {
      throw new GuestError('ENODEV', 'a modern-only device has no legacy interface');
    }
    const revision = config.read(PCI_REVISION_ID, 1);
    if (revision !== 0) throw new GuestError('ENODEV', `legacy revision is 0, not ${revision}`);
    const bar = config.bars[0]!;
    if (bar.kind !== 'io' || bar.size === 0) throw new GuestError('ENODEV', 'BAR 0 is no I/O BAR');
    return new PciLegacy(config, { bar: 0, offset: 0, length: bar.size });
  }

  readStatus(): number {
    return this.#read(VIRTIO_PCI_STATUS, 1);
  }

  writeStatus(value: number): void {
    this.#write(VIRTIO_PCI_STATUS, 1, value);
  }

  readDeviceFeatures(): FeatureWords {
    return [this.#read(VIRTIO_PCI_HOST_FEATURES, 4), 0];
  }

  writeDriverFeatures(features: FeatureWords): void {
    this.#write(VIRTIO_PCI_GUEST_FEATURES, 4, features[0]);
  }

  selectQueue(index: number): void {
    this.#write(VIRTIO_PCI_QUEUE_SEL, 2, index);
  }

  readQueueSize(): number {
    return this.#read(VIRTIO_PCI_QUEUE_NUM, 2);
  }

  /** The register is read-only: an honest driver does not write it. */
  writeQueueSize(size: number): void {
    this.#write(VIRTIO_PCI_QUEUE_NUM, 2, size);
  }

  writeQueueRing(ring: RingPlace): void {
    this.#write(VIRTIO_PCI_QUEUE_PFN, 4, ring.desc / 2 ** VIRTIO_PCI_QUEUE_ADDR_SHIFT);
  }

  writeQueueEnable(): void {}

  readQueueEnable(): number {
    return this.#read(VIRTIO_PCI_QUEUE_PFN, 4) === 0 ? 0 : 1;
  }

  disableQueue(): boolean {
    this.#write(VIRTIO_PCI_QUEUE_PFN, 4, 0);
    return true;
  }

  /** There is no such register. */
  writeQueueReset(): void {}

  readQueueReset(): number {
    return 0;
  }

  setUpQueue(index: number, ring: RingPlace, vector = VIRTIO_MSI_NO_VECTOR): void {
    this.selectQueue(index);
    const size = this.readQueueSize();
    if (size !== ring.size || this.readQueueEnable() !== 0) {
      throw new GuestError('EDEVICE', `legacy queue ${index} has ${size} descriptors`);
    }
    this.writeQueueRing(ring);
    if (this.msix) this.#writeVector(VIRTIO_MSI_QUEUE_VECTOR, vector);
  }

  kick(index: number): void {
    this.#write(VIRTIO_PCI_QUEUE_NOTIFY, 2, index);
  }

  readIsr(): number {
    return this.#read(VIRTIO_PCI_ISR, 1);
  }

  readConfigGeneration(): number {
    return 0;
  }

  readConfig(offset: number, width: Width): number {
    return this.#read(this.#configAt() + offset, width);
  }

  writeConfig(offset: number, width: Width, value: number): void {
    this.#write(this.#configAt() + offset, width, value);
  }

  writeConfigVector(vector: number): void {
    this.#writeVector(VIRTIO_MSI_CONFIG_VECTOR, vector);
  }

  /** The two vector registers are there only while MSI-X is on (4.1.4.10). */
  #configAt(): number {
    return this.msix ? VIRTIO_MSI_QUEUE_VECTOR + 2 : VIRTIO_MSI_CONFIG_VECTOR;
  }

  #writeVector(register: number, vector: number): void {
    this.#write(register, 2, vector);
    if (this.#read(register, 2) !== vector) throw refusedVector(vector);
  }

  #read(register: number, width: Width): number {
    return this.config.readRegion(this.#registers, register, width);
  }

  #write(register: number, width: Width, value: number): void {
    this.config.writeRegion(this.#registers, register, width, value);
  }
}
