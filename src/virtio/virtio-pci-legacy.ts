/**
 * The legacy interface of virtio-pci: registers at the start of I/O BAR 0, device configuration
 * behind them (VIRTIO 1.3, 4.1.4.10; QEMU: virtio_ioport_read, virtio_ioport_write).
 */

import {
  VIRTIO_MSI_CONFIG_VECTOR,
  VIRTIO_MSI_QUEUE_VECTOR,
  VIRTIO_PCI_GUEST_FEATURES,
  VIRTIO_PCI_HOST_FEATURES,
  VIRTIO_PCI_ISR,
  VIRTIO_PCI_QUEUE_ADDR_SHIFT,
  VIRTIO_PCI_QUEUE_NOTIFY,
  VIRTIO_PCI_QUEUE_NUM,
  VIRTIO_PCI_QUEUE_PFN,
  VIRTIO_PCI_QUEUE_SEL,
  VIRTIO_PCI_STATUS,
  VIRTIO_PCI_VRING_ALIGN,
  VIRTIO_STATUS_ACKNOWLEDGE,
  VIRTIO_STATUS_DRIVER,
} from '../spec.ts';
import type { VirtioDevice, Width } from './device.ts';
import type { PciInterrupts } from './pci-interrupts.ts';
import { layOutLegacyRing, legacyPage } from './queue-registers.ts';
import { type Register, RegisterFile } from './register-file.ts';

/** Where the device configuration begins, without and with the two vector registers (PC-4). */
const CONFIG_AT = VIRTIO_MSI_CONFIG_VECTOR;
const CONFIG_AT_MSIX = VIRTIO_MSI_QUEUE_VECTOR + 2;

export class VirtioPciLegacy {
  /** Size of the I/O BAR: a power of two. */
  readonly barSize: number;
  readonly #device: VirtioDevice;
  readonly #interrupts: PciInterrupts;
  readonly #grantBusMaster: () => void;
  readonly #plain: RegisterFile;
  readonly #withVectors: RegisterFile;
  #queueSelect = 0;

  /** `grantBusMaster`: some old drivers forget to (PC-8). */
  constructor(device: VirtioDevice, interrupts: PciInterrupts, grantBusMaster: () => void) {
    this.#device = device;
    this.#interrupts = interrupts;
    this.#grantBusMaster = grantBusMaster;
    const registers = [...this.#deviceRegisters(), ...this.#queueRegisters()];
    this.#plain = new RegisterFile(CONFIG_AT, registers);
    this.#withVectors = new RegisterFile(CONFIG_AT_MSIX, [
      ...registers,
      ...this.#vectorRegisters(),
    ]);
    const size = CONFIG_AT_MSIX + device.configLength;
    this.barSize = Math.max(64, 2 ** Math.ceil(Math.log2(size)));
  }

  read(offset: number, width: Width): number {
    this.#device.useLegacy(true);
    const registers = this.#registers;
    if (offset < registers.size) return registers.read(offset, width);
    return this.#device.readConfig(offset - registers.size, width);
  }

  write(offset: number, width: Width, value: number): void {
    this.#device.useLegacy(true);
    const registers = this.#registers;
    if (offset < registers.size) registers.write(offset, width, value);
    else this.#device.writeConfig(offset - registers.size, width, value);
  }

  reset(): void {
    this.#queueSelect = 0;
  }

  get queueSelect(): number {
    return this.#queueSelect;
  }

  set queueSelect(index: number) {
    this.#queueSelect = index & 0xffff;
  }

  get #registers(): RegisterFile {
    return this.#interrupts.msix?.enabled ? this.#withVectors : this.#plain;
  }

  #deviceRegisters(): Register[] {
    const device = this.#device;
    return [
      { offset: VIRTIO_PCI_HOST_FEATURES, width: 4, read: () => device.deviceFeatures(0) },
      {
        offset: VIRTIO_PCI_GUEST_FEATURES,
        width: 4,
        read: () => device.driverFeatures(0),
        write: (value) => device.writeDriverFeatures(0, value),
      },
      {
        offset: VIRTIO_PCI_STATUS,
        width: 1,
        read: () => device.status,
        write: (value) => this.#writeStatus(value),
      },
      { offset: VIRTIO_PCI_ISR, width: 1, read: () => this.#interrupts.readIsr() },
    ];
  }

  #queueRegisters(): Register[] {
    const device = this.#device;
    return [
      {
        offset: VIRTIO_PCI_QUEUE_PFN,
        width: 4,
        read: () => {
          const queue = device.queues[this.#queueSelect];
          return queue ? legacyPage(queue, VIRTIO_PCI_QUEUE_ADDR_SHIFT) : 0;
        },
        write: (value) => this.#writePage(value),
      },
      {
        offset: VIRTIO_PCI_QUEUE_NUM,
        width: 2,
        read: () => device.queues[this.#queueSelect]?.size ?? 0,
      },
      {
        offset: VIRTIO_PCI_QUEUE_SEL,
        width: 2,
        read: () => this.#queueSelect,
        write: (value) => {
          this.#queueSelect = value;
        },
      },
      {
        offset: VIRTIO_PCI_QUEUE_NOTIFY,
        width: 2,
        read: () => 0,
        write: (value) => device.kick(value),
      },
    ];
  }

  #vectorRegisters(): Register[] {
    const interrupts = this.#interrupts;
    return [
      {
        offset: VIRTIO_MSI_CONFIG_VECTOR,
        width: 2,
        read: () => interrupts.configVector,
        write: (value) => {
          interrupts.configVector = value;
        },
      },
      {
        offset: VIRTIO_MSI_QUEUE_VECTOR,
        width: 2,
        read: () => interrupts.queueVector(this.#queueSelect),
        write: (value) => interrupts.setQueueVector(this.#queueSelect, value),
      },
    ];
  }

  /** Linux before 2.6.34 never asks for bus mastering: ACKNOWLEDGE and DRIVER mean it does. */
  #writeStatus(value: number): void {
    this.#device.writeStatus(value);
    if (value === (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER)) this.#grantBusMaster();
  }

  /** Places the selected queue at a page and enables it; page 0 resets the device. */
  #writePage(page: number): void {
    if (page === 0) {
      this.#device.writeStatus(0);
      return;
    }
    const queue = this.#device.queues[this.#queueSelect];
    if (!queue || queue.enabled || this.#device.resetting) return;
    layOutLegacyRing(queue, page * 2 ** VIRTIO_PCI_QUEUE_ADDR_SHIFT, VIRTIO_PCI_VRING_ALIGN);
    this.#device.enableQueue(this.#queueSelect);
  }
}
