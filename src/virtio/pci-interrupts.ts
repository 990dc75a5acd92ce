/**
 * How a virtio-pci device interrupts: the ISR register, INTx, and MSI-X vectors per queue and for
 * configuration (VIRTIO 1.3, 4.1.4.5, 4.1.5.1.2; QEMU: virtio_pci_notify).
 */

import { VIRTIO_MSI_NO_VECTOR, VIRTIO_PCI_ISR_CONFIG, VIRTIO_PCI_ISR_QUEUE } from '../spec.ts';
import type { Msix } from './msix.ts';
import type { QueueRegisters } from './queue-registers.ts';

export class PciInterrupts {
  readonly msix: Msix | null;
  readonly #queues: readonly QueueRegisters[];
  readonly #intx: (level: boolean) => void;
  #configVector = VIRTIO_MSI_NO_VECTOR;
  #isr = 0;
  /** The device wants the line high. */
  #asserted = false;
  /** The line may be high: not disabled by the command register, not in D3hot. */
  #lineAllowed = true;
  #level = false;

  /** `intx` is called when the level changes, and only then. */
  constructor(
    queues: readonly QueueRegisters[],
    msix: Msix | null,
    intx: (level: boolean) => void,
  ) {
    this.#queues = queues;
    this.msix = msix;
    this.#intx = intx;
  }

  /** The ISR register, without reading it as a driver does. */
  get isr(): number {
    return this.#isr;
  }

  /** Interrupt status and line as they were saved. With MSI-X on, the line is never used. */
  restore(isr: number, asserted: boolean): void {
    this.#isr = isr;
    this.#asserted = asserted && !this.msix?.enabled;
    this.#updateLine();
  }

  /** The interrupt status bit of PCI's status register: wanted, whether or not it is allowed. */
  get asserted(): boolean {
    return this.#asserted;
  }

  /** The ISR register: why the device interrupted. Reading clears it and lowers the line (PC-5). */
  readIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    this.#asserted = false;
    this.#updateLine();
    return isr;
  }

  /** The ISR bit is set even with MSI-X: old drivers look at it (VC-6). */
  interruptQueue(index: number): void {
    this.#isr |= VIRTIO_PCI_ISR_QUEUE;
    this.#signal(this.#queues[index]!.vector);
  }

  /** Both bits: a driver that shares the line serves its queues too (VC-4). */
  interruptConfig(): void {
    this.#isr |= VIRTIO_PCI_ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG;
    this.#signal(this.#configVector);
  }

  #signal(vector: number): void {
    if (this.msix?.enabled) {
      this.msix.notify(vector);
      return;
    }
    this.#asserted = true;
    this.#updateLine();
  }

  /** Message control was written: with MSI-X on, the line is never used. */
  controlMsix(enabled: boolean, functionMasked: boolean): void {
    if (enabled) this.#asserted = false;
    this.#updateLine();
    this.msix?.control(enabled, functionMasked);
  }

  allowLine(allowed: boolean): void {
    this.#lineAllowed = allowed;
    this.#updateLine();
  }

  get configVector(): number {
    return this.#configVector;
  }

  set configVector(vector: number) {
    this.#configVector = this.#exchange(this.#configVector, vector);
  }

  queueVector(index: number): number {
    return this.#queues[index]?.vector ?? VIRTIO_MSI_NO_VECTOR;
  }

  setQueueVector(index: number, vector: number): void {
    const queue = this.#queues[index];
    if (queue) queue.vector = this.#exchange(queue.vector, vector);
  }

  /** What a vector register holds after a write: NO_VECTOR if the vector is not there (PC-3). */
  #exchange(before: number, vector: number): number {
    this.msix?.unuse(before);
    return this.msix?.use(vector) ? vector : VIRTIO_MSI_NO_VECTOR;
  }

  /** Device reset. The queues' vector registers are reset with their other registers. */
  reset(): void {
    this.msix?.unuseAll();
    this.#configVector = VIRTIO_MSI_NO_VECTOR;
    this.readIsr();
  }

  #updateLine(): void {
    const level = this.#asserted && this.#lineAllowed;
    if (level === this.#level) return;
    this.#level = level;
    this.#intx(level);
  }
}
