/** Where a device is plugged in: its transport, what its driver sees of it, and its interrupts. */
import { GuestMmio } from '#src/guest/mmio';
import { GuestPci } from '#src/guest/pci';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import { VirtioPci } from '#src/virtio/virtio-pci';

export const TRANSPORTS = ['mmio', 'pci intx', 'pci msi-x'];

export class BusSlot {
  /** MSI-X vectors of the device; 0: it has a line. */
  vectors;
  transport;
  /** A `GuestTransport`. */
  bus;
  #onInterrupt;
  #level = false;
  #scheduled = false;
  #closed = false;

  /** `onInterrupt` is called from a microtask, with the vector if there is one. */
  constructor(device, transport, queues, onInterrupt) {
    this.vectors = transport === 'pci msi-x' ? queues + 1 : 0;
    this.#onInterrupt = onInterrupt;
    this.bus = this.#plugIn(device, transport);
  }

  /** Nobody is interrupted any more. */
  close() {
    this.#closed = true;
  }

  #plugIn(device, transport) {
    const line = (level) => this.#line(level);
    if (transport === 'mmio') {
      this.transport = new VirtioMmio(device, { version: 2, irq: line });
      return GuestMmio.open(this.transport);
    }
    const msi = this.vectors > 0 ? (_address, data) => this.#message(data) : null;
    this.transport = new VirtioPci(device, { mode: 'modern', intx: line, ...(msi && { msi }) });
    const pci = GuestPci.open(this.transport, { interface: 'modern' });
    if (msi) {
      const vectors = Array.from({ length: this.vectors }, (_, i) => i);
      pci.enableMsix(vectors.map((data) => ({ address: 0xfee00000, data })));
    }
    return pci;
  }

  #line(level) {
    this.#level = level;
    if (level) this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.#level || this.#closed) return;
      this.#onInterrupt();
      if (this.#level) this.#schedule();
    });
  }

  #message(vector) {
    queueMicrotask(() => {
      if (!this.#closed) this.#onInterrupt(vector);
    });
  }
}
