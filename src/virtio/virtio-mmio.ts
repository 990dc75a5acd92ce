/**
 * virtio over memory-mapped registers, modern (version 2) and legacy (version 1) (VIRTIO 1.3, 4.2;
 * QEMU: hw/virtio/virtio-mmio.c). Registers are 32 bits wide and accessed so; the device
 * configuration behind them takes any width. All calls come from the main thread.
 */

import {
  VIRTIO_F_RING_RESET,
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_GUEST_PAGE_SIZE,
  VIRTIO_MMIO_INT_CONFIG,
  VIRTIO_MMIO_INT_VRING,
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
  VIRTIO_MMIO_SHM_BASE_HIGH,
  VIRTIO_MMIO_SHM_BASE_LOW,
  VIRTIO_MMIO_SHM_LEN_HIGH,
  VIRTIO_MMIO_SHM_LEN_LOW,
  VIRTIO_MMIO_STATUS,
  VIRTIO_MMIO_VENDOR_ID,
  VIRTIO_MMIO_VERSION,
  VIRTIO_PCI_VENDOR_ID,
  VIRTIO_PCI_VRING_ALIGN,
  VIRTIO_STATUS_FEATURES_OK,
} from '../spec.ts';
import { allOnes, type VirtioDevice, type Width } from './device.ts';
import type { MmioState } from './mmio-state.ts';
import {
  layOutLegacyRing,
  legacyPage,
  type QueueRegisters,
  writeAddress,
  writeQueueSize,
} from './queue-registers.ts';

const ADDRESS_REGISTERS = new Map<number, ['desc' | 'avail' | 'used', 'lo' | 'hi']>([
  [VIRTIO_MMIO_QUEUE_DESC_LOW, ['desc', 'lo']],
  [VIRTIO_MMIO_QUEUE_DESC_HIGH, ['desc', 'hi']],
  [VIRTIO_MMIO_QUEUE_DRIVER_LOW, ['avail', 'lo']],
  [VIRTIO_MMIO_QUEUE_DRIVER_HIGH, ['avail', 'hi']],
  [VIRTIO_MMIO_QUEUE_DEVICE_LOW, ['used', 'lo']],
  [VIRTIO_MMIO_QUEUE_DEVICE_HIGH, ['used', 'hi']],
]);

export interface VirtioMmioOptions {
  /** 2 is modern, 1 legacy. Default 2. */
  version?: 1 | 2;
  /** Drives the interrupt line, level-triggered. Called only when the level changes. */
  irq(level: boolean): void;
}

export class VirtioMmio {
  /** Null: an empty slot, which says only that nobody is there. */
  readonly device: VirtioDevice | null;
  readonly version: 1 | 2;
  /** Bytes of address space that it takes. */
  readonly size: number;
  readonly #irq: (level: boolean) => void;
  #interruptStatus = 0;
  #level = false;
  #present = true;
  #deviceFeaturesSelect = 0;
  #driverFeaturesSelect = 0;
  /** What a modern driver wrote; taken at FEATURES_OK (MM-3). */
  readonly #driverFeatures: [number, number] = [0, 0];
  #queueSelect = 0;
  /** Legacy: log2 of the guest's page size. Survives the driver's reset, which comes after it. */
  #pageShift = 0;
  /** Legacy: alignment of each queue's used ring, bytes. */
  readonly #aligns: number[];

  /** Takes the device: it has one transport. */
  constructor(device: VirtioDevice | null, options: VirtioMmioOptions) {
    this.device = device;
    this.version = options.version ?? 2;
    this.#irq = (level) => options.irq(level);
    const end = VIRTIO_MMIO_CONFIG + (device?.configLength ?? 0);
    this.size = Math.max(0x200, 2 ** Math.ceil(Math.log2(end)));
    this.#aligns = (device?.queues ?? []).map(() => VIRTIO_PCI_VRING_ALIGN);
    if (!device) return;
    device.useLegacy(this.version === 1);
    device.transport = {
      interruptQueue: () => this.#interrupt(VIRTIO_MMIO_INT_VRING),
      interruptConfig: () => this.#interrupt(VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG),
      deviceReset: () => this.#reset(),
    };
  }

  // ---- What the bus calls ---------------------------------------------------------------------

  /**
   * All ones beyond the registers and the configuration, and after `remove`; 0 for a register that
   * is not there.
   */
  read(offset: number, width: Width): number {
    if (!this.#present || offset < 0 || offset + width > this.size) return allOnes(width);
    if (offset >= VIRTIO_MMIO_CONFIG && this.device) {
      return this.device.readConfig(offset - VIRTIO_MMIO_CONFIG, width);
    }
    if (width !== 4) return 0;
    switch (offset) {
      case VIRTIO_MMIO_MAGIC_VALUE:
        return VIRTIO_MMIO_MAGIC;
      case VIRTIO_MMIO_VERSION:
        return this.version;
      case VIRTIO_MMIO_VENDOR_ID:
        return VIRTIO_PCI_VENDOR_ID;
    }
    if (!this.device) return 0;
    return this.#readDevice(this.device, offset) ?? this.#readQueue(offset) ?? 0;
  }

  /** Ignored where no register can be written. */
  write(offset: number, width: Width, value: number): void {
    const device = this.device;
    if (!device || !this.#present) return;
    if (offset >= VIRTIO_MMIO_CONFIG) {
      device.writeConfig(offset - VIRTIO_MMIO_CONFIG, width, value);
      return;
    }
    if (width !== 4) return;
    value >>>= 0;
    if (offset === VIRTIO_MMIO_QUEUE_NOTIFY) device.kick(value);
    else if (offset === VIRTIO_MMIO_QUEUE_SEL) this.#queueSelect = value;
    else if (!this.#writeDevice(device, offset, value) && this.#queue && !device.resetting) {
      this.#writeQueue(device, this.#queue, offset, value);
    }
  }

  /**
   * Takes the device away, whether or not its driver agreed: as `VirtioPci.remove`. For a slot that
   * says that nobody is there, put a `VirtioMmio` without a device in its place.
   */
  remove(): void {
    this.device?.reset();
    this.#present = false;
    this.#interruptStatus = 0;
    this.#updateLine();
  }

  // ---- Reads ----------------------------------------------------------------------------------

  #readDevice(device: VirtioDevice, offset: number): number | undefined {
    switch (offset) {
      case VIRTIO_MMIO_DEVICE_ID:
        return device.deviceId;
      case VIRTIO_MMIO_DEVICE_FEATURES:
        return device.deviceFeatures(this.#deviceFeaturesSelect);
      case VIRTIO_MMIO_INTERRUPT_STATUS:
        return this.#interruptStatus;
      case VIRTIO_MMIO_STATUS:
        return device.status;
      case VIRTIO_MMIO_CONFIG_GENERATION:
        return this.version === 1 ? 0 : device.configGeneration;
      case VIRTIO_MMIO_SHM_LEN_LOW: // no shared memory: length and base are -1 (4.2.2.1)
      case VIRTIO_MMIO_SHM_LEN_HIGH:
      case VIRTIO_MMIO_SHM_BASE_LOW:
      case VIRTIO_MMIO_SHM_BASE_HIGH:
        return this.version === 1 ? 0 : 0xffffffff;
      default:
        return undefined;
    }
  }

  #readQueue(offset: number): number | undefined {
    const queue = this.#queue;
    if (!queue) return 0;
    if (offset === VIRTIO_MMIO_QUEUE_NUM_MAX) return queue.maxSize; // the real one (MM-4)
    if (this.version === 1) {
      return offset === VIRTIO_MMIO_QUEUE_PFN ? legacyPage(queue, this.#pageShift) : undefined;
    }
    if (offset === VIRTIO_MMIO_QUEUE_READY) return queue.enabled ? 1 : 0;
    if (offset === VIRTIO_MMIO_QUEUE_RESET) return queue.draining && !queue.enabled ? 1 : 0;
    return undefined;
  }

  // ---- Writes ---------------------------------------------------------------------------------

  /** True if `offset` is one of the registers that concern the whole device. */
  #writeDevice(device: VirtioDevice, offset: number, value: number): boolean {
    switch (offset) {
      case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSelect = value;
        return true;
      case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        this.#driverFeaturesSelect = value;
        return true;
      case VIRTIO_MMIO_DRIVER_FEATURES:
        this.#writeFeatures(device, value);
        return true;
      case VIRTIO_MMIO_INTERRUPT_ACK:
        this.#interruptStatus &= ~value;
        this.#updateLine();
        return true;
      case VIRTIO_MMIO_STATUS:
        this.#writeStatus(device, value);
        return true;
      case VIRTIO_MMIO_GUEST_PAGE_SIZE:
        if (this.version === 1) this.#pageShift = shiftOf(value);
        return true;
      default:
        return false;
    }
  }

  #writeFeatures(device: VirtioDevice, value: number): void {
    const select = this.#driverFeaturesSelect;
    if (select > 1) return;
    if (this.version === 1) device.writeDriverFeatures(select, value);
    else this.#driverFeatures[select as 0 | 1] = value;
  }

  #writeStatus(device: VirtioDevice, value: number): void {
    const agrees = value & ~device.status & VIRTIO_STATUS_FEATURES_OK;
    if (agrees && this.version === 2) {
      device.writeDriverFeatures(0, this.#driverFeatures[0]);
      device.writeDriverFeatures(1, this.#driverFeatures[1]);
    }
    device.writeStatus(value);
  }

  #writeQueue(device: VirtioDevice, queue: QueueRegisters, offset: number, value: number): void {
    const legacy = this.version === 1;
    if (offset === VIRTIO_MMIO_QUEUE_NUM) writeQueueSize(queue, value);
    else if (legacy) this.#writeLegacyQueue(device, queue, offset, value);
    else this.#writeModernQueue(device, queue, offset, value);
  }

  #writeModernQueue(
    device: VirtioDevice,
    queue: QueueRegisters,
    offset: number,
    value: number,
  ): void {
    const address = ADDRESS_REGISTERS.get(offset);
    if (address) writeAddress(queue, address[0], address[1], value);
    if (offset === VIRTIO_MMIO_QUEUE_READY) {
      if (value === 1) device.enableQueue(this.#queueSelect);
      // 0 stops all access to the ring before this returns (MM-5).
      else if (value === 0) device.disableQueue(this.#queueSelect);
    }
    const resets = offset === VIRTIO_MMIO_QUEUE_RESET && value === 1;
    if (resets && device.negotiated(VIRTIO_F_RING_RESET)) {
      device.disableQueue(this.#queueSelect, true);
    }
  }

  #writeLegacyQueue(
    device: VirtioDevice,
    queue: QueueRegisters,
    offset: number,
    value: number,
  ): void {
    if (offset === VIRTIO_MMIO_QUEUE_ALIGN && isPowerOfTwo(value)) {
      this.#aligns[this.#queueSelect] = value;
    }
    if (offset !== VIRTIO_MMIO_QUEUE_PFN) return;
    if (value === 0) {
      device.writeStatus(0); // page 0 resets (MM-6)
    } else if (!queue.enabled) {
      layOutLegacyRing(queue, value * 2 ** this.#pageShift, this.#aligns[this.#queueSelect]!);
      device.enableQueue(this.#queueSelect);
    }
  }

  // ---- Save and load --------------------------------------------------------------------------

  /** Its own registers, for `mmio-state.ts`. */
  state(): MmioState {
    const [low, high] = this.#driverFeatures;
    return {
      interruptStatus: this.#interruptStatus,
      selectors: [this.#deviceFeaturesSelect, this.#driverFeaturesSelect, this.#queueSelect],
      driverFeatures: [low, high],
      pageShift: this.#pageShift,
      aligns: [...this.#aligns],
    };
  }

  /** As `state` once said. */
  restore(state: MmioState): void {
    [this.#deviceFeaturesSelect, this.#driverFeaturesSelect, this.#queueSelect] = state.selectors;
    [this.#driverFeatures[0], this.#driverFeatures[1]] = state.driverFeatures;
    this.#pageShift = state.pageShift;
    this.#aligns.splice(0, this.#aligns.length, ...state.aligns);
    this.#interruptStatus = state.interruptStatus;
    this.#updateLine();
  }

  // ---- Interrupts and reset -------------------------------------------------------------------

  #interrupt(causes: number): void {
    this.#interruptStatus |= causes;
    this.#updateLine();
  }

  /** High while any cause has not been acknowledged (MM-2). */
  #updateLine(): void {
    const level = this.#interruptStatus !== 0;
    if (level === this.#level) return;
    this.#level = level;
    this.#irq(level);
  }

  #reset(): void {
    this.#interruptStatus = 0;
    this.#deviceFeaturesSelect = 0;
    this.#driverFeaturesSelect = 0;
    this.#driverFeatures.fill(0);
    this.#queueSelect = 0;
    this.#aligns.fill(VIRTIO_PCI_VRING_ALIGN);
    this.#updateLine();
  }

  get #queue(): QueueRegisters | undefined {
    return this.device?.queues[this.#queueSelect];
  }
}

/** Page size to shift; what is no page size at all (beyond 2^31, or 0) counts as bytes (MM-6). */
function shiftOf(pageSize: number): number {
  const shift = 31 - Math.clz32(pageSize & -pageSize);
  return shift < 0 || shift > 31 ? 0 : shift;
}

function isPowerOfTwo(value: number): boolean {
  return value !== 0 && (value & (value - 1)) === 0;
}
