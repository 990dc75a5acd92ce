/** The common configuration structure of modern virtio-pci (VIRTIO 1.3, 4.1.4.3). */

import { BROKEN_ENABLE } from '../layout.ts';
import {
  VIRTIO_F_RING_RESET,
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
} from '../spec.ts';
import type { VirtioDevice, Width } from './device.ts';
import type { PciInterrupts } from './pci-interrupts.ts';
import { type QueueRegisters, writeAddress, writeQueueSize } from './queue-registers.ts';
import { type Register, RegisterFile } from './register-file.ts';

export const COMMON_CONFIG_SIZE = VIRTIO_PCI_COMMON_Q_RESET + 2;

export class PciCommonConfig {
  readonly #device: VirtioDevice;
  readonly #interrupts: PciInterrupts;
  readonly #registers: RegisterFile;
  #deviceFeatureSelect = 0;
  #driverFeatureSelect = 0;
  #queueSelect = 0;

  constructor(device: VirtioDevice, interrupts: PciInterrupts) {
    this.#device = device;
    this.#interrupts = interrupts;
    this.#registers = new RegisterFile(COMMON_CONFIG_SIZE, [
      ...this.#deviceRegisters(),
      ...this.#queueRegisters(),
      ...this.#addressRegisters(),
    ]);
  }

  read(offset: number, width: Width): number {
    this.#device.useLegacy(false);
    return this.#registers.read(offset, width);
  }

  write(offset: number, width: Width, value: number): void {
    this.#device.useLegacy(false);
    this.#registers.write(offset, width, value);
  }

  /** Device features, driver features, queue. */
  get selectors(): [number, number, number] {
    return [this.#deviceFeatureSelect, this.#driverFeatureSelect, this.#queueSelect];
  }

  set selectors([deviceFeatures, driverFeatures, queue]: readonly [number, number, number]) {
    this.#deviceFeatureSelect = deviceFeatures;
    this.#driverFeatureSelect = driverFeatures;
    this.#queueSelect = queue & 0xffff;
  }

  reset(): void {
    this.#deviceFeatureSelect = 0;
    this.#driverFeatureSelect = 0;
    this.#queueSelect = 0;
  }

  /** Undefined if the driver selected a queue that is not there: all its registers read 0. */
  get #queue(): QueueRegisters | undefined {
    return this.#device.queues[this.#queueSelect];
  }

  #deviceRegisters(): Register[] {
    const device = this.#device;
    const interrupts = this.#interrupts;
    return [
      {
        offset: VIRTIO_PCI_COMMON_DFSELECT,
        width: 4,
        read: () => this.#deviceFeatureSelect,
        write: (value) => {
          this.#deviceFeatureSelect = value;
        },
      },
      {
        offset: VIRTIO_PCI_COMMON_DF,
        width: 4,
        read: () => device.deviceFeatures(this.#deviceFeatureSelect),
      },
      {
        offset: VIRTIO_PCI_COMMON_GFSELECT,
        width: 4,
        read: () => this.#driverFeatureSelect,
        write: (value) => {
          this.#driverFeatureSelect = value;
        },
      },
      {
        offset: VIRTIO_PCI_COMMON_GF,
        width: 4,
        read: () => device.driverFeatures(this.#driverFeatureSelect),
        write: (value) => device.writeDriverFeatures(this.#driverFeatureSelect, value),
      },
      {
        offset: VIRTIO_PCI_COMMON_MSIX,
        width: 2,
        read: () => interrupts.configVector,
        write: (value) => {
          interrupts.configVector = value;
        },
      },
      { offset: VIRTIO_PCI_COMMON_NUMQ, width: 2, read: () => device.queues.length },
      {
        offset: VIRTIO_PCI_COMMON_STATUS,
        width: 1,
        read: () => device.status,
        write: (value) => device.writeStatus(value),
      },
      {
        offset: VIRTIO_PCI_COMMON_CFGGENERATION,
        width: 1,
        read: () => device.configGeneration,
      },
      {
        offset: VIRTIO_PCI_COMMON_Q_SELECT,
        width: 2,
        read: () => this.#queueSelect,
        write: (value) => {
          this.#queueSelect = value;
        },
      },
    ];
  }

  #queueRegisters(): Register[] {
    const interrupts = this.#interrupts;
    return [
      {
        offset: VIRTIO_PCI_COMMON_Q_SIZE,
        width: 2,
        read: () => this.#queue?.size ?? 0,
        write: (value) => {
          if (this.#queue && !this.#device.resetting) writeQueueSize(this.#queue, value);
        },
      },
      {
        offset: VIRTIO_PCI_COMMON_Q_MSIX,
        width: 2,
        read: () => interrupts.queueVector(this.#queueSelect),
        write: (value) => interrupts.setQueueVector(this.#queueSelect, value),
      },
      {
        offset: VIRTIO_PCI_COMMON_Q_ENABLE,
        width: 2,
        read: () => (this.#queue?.enabled ? 1 : 0),
        write: (value) => this.#writeEnable(value),
      },
      {
        offset: VIRTIO_PCI_COMMON_Q_NOFF,
        width: 2,
        read: () => (this.#queue ? this.#queueSelect : 0),
      },
      {
        offset: VIRTIO_PCI_COMMON_Q_RESET,
        width: 2,
        // 1 from the driver's write until the last request is gone.
        read: () => (this.#queue?.draining && !this.#queue.enabled ? 1 : 0),
        write: (value) => {
          if (value === 1 && this.#device.negotiated(VIRTIO_F_RING_RESET)) {
            this.#device.disableQueue(this.#queueSelect, true);
          }
        },
      },
    ];
  }

  #addressRegisters(): Register[] {
    const parts = [
      [VIRTIO_PCI_COMMON_Q_DESCLO, 'desc', 'lo'],
      [VIRTIO_PCI_COMMON_Q_DESCHI, 'desc', 'hi'],
      [VIRTIO_PCI_COMMON_Q_AVAILLO, 'avail', 'lo'],
      [VIRTIO_PCI_COMMON_Q_AVAILHI, 'avail', 'hi'],
      [VIRTIO_PCI_COMMON_Q_USEDLO, 'used', 'lo'],
      [VIRTIO_PCI_COMMON_Q_USEDHI, 'used', 'hi'],
    ] as const;
    return parts.map(([offset, part, word]) => ({
      offset,
      width: 4,
      read: () => this.#queue?.[part][word] ?? 0,
      write: (value: number) => {
        if (this.#queue && !this.#device.resetting) writeAddress(this.#queue, part, word, value);
      },
    }));
  }

  /** Anything but 1 is a driver's error that the device does not survive (BG-19). */
  #writeEnable(value: number): void {
    if (!this.#queue) return;
    if (value === 1) this.#device.enableQueue(this.#queueSelect);
    else this.#device.needsReset(BROKEN_ENABLE);
  }
}
