/**
 * virtio over PCI, the modern interface: structures that the vendor capabilities name (VIRTIO 1.3,
 * 4.1.4), reached in their BARs or through the window in configuration space (4.1.4.9).
 */
import {
  PCI_CAP_ID_VNDR,
  PCI_SUBSYSTEM_ID,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_PCI_CAP_BAR,
  VIRTIO_PCI_CAP_CFG_TYPE,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_LENGTH,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
  VIRTIO_PCI_CAP_OFFSET,
  VIRTIO_PCI_CAP_PCI_CFG,
  VIRTIO_PCI_COMMON_CFGGENERATION,
  VIRTIO_PCI_COMMON_DF,
  VIRTIO_PCI_COMMON_DFSELECT,
  VIRTIO_PCI_COMMON_GF,
  VIRTIO_PCI_COMMON_GFSELECT,
  VIRTIO_PCI_COMMON_MSIX,
  VIRTIO_PCI_COMMON_NUMQ,
  VIRTIO_PCI_COMMON_Q_AVAILHI,
  VIRTIO_PCI_COMMON_Q_AVAILLO,
  VIRTIO_PCI_COMMON_Q_DESCHI,
  VIRTIO_PCI_COMMON_Q_DESCLO,
  VIRTIO_PCI_COMMON_Q_ENABLE,
  VIRTIO_PCI_COMMON_Q_MSIX,
  VIRTIO_PCI_COMMON_Q_NOFF,
  VIRTIO_PCI_COMMON_Q_RESET,
  VIRTIO_PCI_COMMON_Q_SELECT,
  VIRTIO_PCI_COMMON_Q_SIZE,
  VIRTIO_PCI_COMMON_Q_USEDHI,
  VIRTIO_PCI_COMMON_Q_USEDLO,
  VIRTIO_PCI_COMMON_STATUS,
  VIRTIO_PCI_DEVICE_ID_MODERN_BASE,
  VIRTIO_PCI_NOTIFY_CAP_MULT,
} from '../spec.ts';
import { GuestError } from './error.ts';
import type { BarRegion, PciConfig, Width } from './pci-config.ts';
import { PciTransport, refusedVector } from './pci-transport.ts';
import type { FeatureWords, RingPlace } from './transport.ts';

const COMMON_BYTES = 56;

export class PciModern extends PciTransport {
  readonly name: string;
  readonly legacy = false;
  readonly common: BarRegion;
  readonly notify: BarRegion;
  readonly isr: BarRegion;
  /** Device-specific configuration; some devices have none. */
  readonly device: BarRegion | null;
  readonly #notifyMultiplier: number;
  /** Where the doorbell of queue i lies in `notify`; read when the queue is set up. */
  readonly #notifyAt: number[] = [];

  private constructor(config: PciConfig, deviceId: number, regions: ModernRegions, name: string) {
    super(config, deviceId);
    this.name = name;
    this.common = regions.common;
    this.notify = regions.notify;
    this.isr = regions.isr;
    this.device = regions.device;
    this.#notifyMultiplier = regions.notifyMultiplier;
  }

  /** Null if the function has no modern interface; throws EDEVICE if it has half of one. */
  static probe(config: PciConfig, id: number, access: 'bar' | 'window'): PciModern | null {
    const regions = findRegions(config);
    if (!regions) return null;
    const modernId = id >= VIRTIO_PCI_DEVICE_ID_MODERN_BASE;
    const deviceId = modernId
      ? id - VIRTIO_PCI_DEVICE_ID_MODERN_BASE
      : config.read(PCI_SUBSYSTEM_ID, 2);
    if (access === 'window') {
      const window = findCapability(config, VIRTIO_PCI_CAP_PCI_CFG);
      if (window === null) throw new GuestError('EDEVICE', 'no PCI_CFG capability');
      config.window = window;
    }
    const kind = access === 'window' ? 'window' : config.bars[regions.common.bar]!.kind;
    return new PciModern(config, deviceId, regions, `pci modern ${kind}`);
  }

  readStatus(): number {
    return this.#read(VIRTIO_PCI_COMMON_STATUS, 1);
  }

  writeStatus(value: number): void {
    this.#write(VIRTIO_PCI_COMMON_STATUS, 1, value);
  }

  readDeviceFeatures(): FeatureWords {
    this.#write(VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
    const low = this.#read(VIRTIO_PCI_COMMON_DF, 4);
    this.#write(VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
    return [low, this.#read(VIRTIO_PCI_COMMON_DF, 4)];
  }

  writeDriverFeatures(features: FeatureWords): void {
    for (const select of [0, 1] as const) {
      this.#write(VIRTIO_PCI_COMMON_GFSELECT, 4, select);
      this.#write(VIRTIO_PCI_COMMON_GF, 4, features[select]);
    }
  }

  /** Queues that the device has. */
  get queueCount(): number {
    return this.#read(VIRTIO_PCI_COMMON_NUMQ, 2);
  }

  selectQueue(index: number): void {
    this.#write(VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
  }

  readQueueSize(): number {
    return this.#read(VIRTIO_PCI_COMMON_Q_SIZE, 2);
  }

  writeQueueSize(size: number): void {
    this.#write(VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
  }

  writeQueueRing(ring: RingPlace): void {
    this.#write64(VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_DESCHI, ring.desc);
    this.#write64(VIRTIO_PCI_COMMON_Q_AVAILLO, VIRTIO_PCI_COMMON_Q_AVAILHI, ring.avail);
    this.#write64(VIRTIO_PCI_COMMON_Q_USEDLO, VIRTIO_PCI_COMMON_Q_USEDHI, ring.used);
  }

  writeQueueEnable(value: number): void {
    this.#write(VIRTIO_PCI_COMMON_Q_ENABLE, 2, value);
  }

  readQueueEnable(): number {
    return this.#read(VIRTIO_PCI_COMMON_Q_ENABLE, 2);
  }

  disableQueue(): boolean {
    return false;
  }

  writeQueueReset(): void {
    this.#write(VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
  }

  readQueueReset(): number {
    return this.#read(VIRTIO_PCI_COMMON_Q_RESET, 2);
  }

  setUpQueue(index: number, ring: RingPlace, vector = VIRTIO_MSI_NO_VECTOR): void {
    this.selectQueue(index);
    const max = this.readQueueSize();
    if (max === 0 || this.readQueueEnable() !== 0) {
      throw new GuestError('EDEVICE', `queue ${index} is not there or is enabled already`);
    }
    this.writeQueueSize(ring.size);
    this.writeQueueRing(ring);
    const at = this.#read(VIRTIO_PCI_COMMON_Q_NOFF, 2) * this.#notifyMultiplier;
    if (at + 2 > this.notify.length) {
      throw new GuestError('EDEVICE', `doorbell of queue ${index} lies outside its structure`);
    }
    this.#notifyAt[index] = at;
    if (this.msix) this.#writeVector(VIRTIO_PCI_COMMON_Q_MSIX, vector);
    this.writeQueueEnable(1);
  }

  kick(index: number): void {
    const at = this.#notifyAt[index] ?? index * this.#notifyMultiplier;
    this.config.writeRegion(this.notify, at, 2, index);
  }

  readIsr(): number {
    return this.config.readRegion(this.isr, 0, 1);
  }

  readConfigGeneration(): number {
    return this.#read(VIRTIO_PCI_COMMON_CFGGENERATION, 1);
  }

  readConfig(offset: number, width: Width): number {
    return this.config.readRegion(this.#deviceRegion(), offset, width);
  }

  writeConfig(offset: number, width: Width, value: number): void {
    this.config.writeRegion(this.#deviceRegion(), offset, width, value);
  }

  writeConfigVector(vector: number): void {
    this.#writeVector(VIRTIO_PCI_COMMON_MSIX, vector);
  }

  #deviceRegion(): BarRegion {
    if (!this.device) throw new GuestError('EDEVICE', 'no device configuration');
    return this.device;
  }

  #writeVector(register: number, vector: number): void {
    this.#write(register, 2, vector);
    if (this.#read(register, 2) !== vector) throw refusedVector(vector);
  }

  #read(register: number, width: Width): number {
    return this.config.readRegion(this.common, register, width);
  }

  #write(register: number, width: Width, value: number): void {
    this.config.writeRegion(this.common, register, width, value);
  }

  /** 64-bit fields are written as two halves (4.1.3.1). */
  #write64(low: number, high: number, value: number): void {
    this.#write(low, 4, value >>> 0);
    this.#write(high, 4, Math.floor(value / 2 ** 32));
  }
}

interface ModernRegions {
  readonly common: BarRegion;
  readonly notify: BarRegion;
  readonly isr: BarRegion;
  readonly device: BarRegion | null;
  readonly notifyMultiplier: number;
}

function findRegions(config: PciConfig): ModernRegions | null {
  const common = findCapability(config, VIRTIO_PCI_CAP_COMMON_CFG);
  if (common === null) return null;
  const isr = findCapability(config, VIRTIO_PCI_CAP_ISR_CFG);
  const notify = findCapability(config, VIRTIO_PCI_CAP_NOTIFY_CFG);
  if (isr === null || notify === null) {
    throw new GuestError('EDEVICE', 'a modern device without ISR or notification structure');
  }
  const device = findCapability(config, VIRTIO_PCI_CAP_DEVICE_CFG);
  return {
    common: regionOf(config, common, COMMON_BYTES, 4),
    isr: regionOf(config, isr, 1, 1),
    notify: regionOf(config, notify, 2, 2),
    device: device === null ? null : regionOf(config, device, 4, 4),
    notifyMultiplier: config.read(notify + VIRTIO_PCI_NOTIFY_CAP_MULT, 4),
  };
}

/** The first capability of this type whose BAR is there; PCI_CFG names no BAR of its own. */
function findCapability(config: PciConfig, type: number): number | null {
  for (const at of config.capabilities(PCI_CAP_ID_VNDR)) {
    if (config.read(at + VIRTIO_PCI_CAP_CFG_TYPE, 1) !== type) continue;
    const bar = config.bars[config.read(at + VIRTIO_PCI_CAP_BAR, 1)];
    if (type === VIRTIO_PCI_CAP_PCI_CFG || (bar && bar.size > 0)) return at;
  }
  return null;
}

/** The structure of a capability. EDEVICE if it is short, misaligned or outside its BAR. */
function regionOf(config: PciConfig, at: number, least: number, align: number): BarRegion {
  const bar = config.read(at + VIRTIO_PCI_CAP_BAR, 1);
  const offset = config.read(at + VIRTIO_PCI_CAP_OFFSET, 4);
  const length = config.read(at + VIRTIO_PCI_CAP_LENGTH, 4);
  const size = config.bars[bar]?.size ?? 0;
  if (length < least || offset % align !== 0 || offset + length > size) {
    const where = `BAR ${bar}, offset ${offset}, length ${length}`;
    throw new GuestError('EDEVICE', `a virtio structure at ${where} cannot be`);
  }
  return { bar, offset, length };
}
