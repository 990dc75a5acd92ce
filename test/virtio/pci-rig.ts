/** A toy device behind virtio-pci, with its interrupts and what a bus does written down. */

import type { Width } from '#src/virtio/device';
import { VirtioPci, type VirtioPciOptions } from '#src/virtio/virtio-pci';
import { type Toy, ToyDevice } from './toy-device.ts';

export interface Capability {
  at: number;
  id: number;
  type: number;
  bar: number;
  offset: number;
  length: number;
}

export class PciRig {
  readonly device: ToyDevice;
  readonly pci: VirtioPci;
  /** Levels of INTx and messages, in order. */
  readonly interrupts: string[] = [];
  barChanges = 0;

  constructor(options: Partial<VirtioPciOptions> = {}, toy: Toy = {}) {
    this.device = new ToyDevice(toy);
    this.pci = new VirtioPci(this.device, {
      mode: 'modern',
      intx: (level) => this.interrupts.push(level ? 'high' : 'low'),
      barsChanged: () => this.barChanges++,
      ...options,
    });
  }

  /** A rig with MSI-X: messages are written down as `msi address data`. */
  static withMsi(options: Partial<VirtioPciOptions> = {}, toy: Toy = {}): PciRig {
    const rig: PciRig = new PciRig(
      {
        msi: (address, data) => rig.interrupts.push(`msi ${address.toString(16)} ${data}`),
        ...options,
      },
      toy,
    );
    return rig;
  }

  take(): string[] {
    return this.interrupts.splice(0);
  }

  config(offset: number, width: Width): number {
    return this.pci.configRead(offset, width);
  }

  setCommand(value: number): void {
    this.pci.configWrite(4, 2, value);
  }

  /** As Linux: pci_find_capability and virtio_pci_find_capability. */
  capabilities(): Capability[] {
    const list: Capability[] = [];
    if (!(this.config(6, 2) & 0x10)) return list;
    for (let at = this.config(0x34, 1) & ~3; at !== 0; at = this.config(at + 1, 1) & ~3) {
      list.push({
        at,
        id: this.config(at, 1),
        type: this.config(at + 3, 1),
        bar: this.config(at + 4, 1),
        offset: this.config(at + 8, 4),
        length: this.config(at + 12, 4),
      });
      if (list.length > 48) throw new Error('capability list loops');
    }
    return list;
  }

  vendor(type: number): Capability {
    const found = this.capabilities().find((cap) => cap.id === 9 && cap.type === type);
    if (!found) throw new Error(`no vendor capability ${type}`);
    return found;
  }

  capability(id: number): number {
    const found = this.capabilities().find((cap) => cap.id === id);
    if (!found) throw new Error(`no capability ${id}`);
    return found.at;
  }

  /** Registers of the common configuration structure. */
  read(offset: number, width: Width): number {
    const { bar, offset: base } = this.vendor(1);
    return this.pci.barRead(bar, base + offset, width);
  }

  write(offset: number, width: Width, value: number): void {
    const { bar, offset: base } = this.vendor(1);
    this.pci.barWrite(bar, base + offset, width, value);
  }

  readIsr(): number {
    const { bar, offset } = this.vendor(3);
    return this.pci.barRead(bar, offset, 1);
  }

  /** Programs and enables MSI-X: vector v writes 100 + v to 0xfee00000. */
  enableMsix(vectors: number): void {
    for (let vector = 0; vector < vectors; vector++) {
      this.pci.barWrite(1, vector * 16, 4, 0xfee00000);
      this.pci.barWrite(1, vector * 16 + 8, 4, 100 + vector);
      this.pci.barWrite(1, vector * 16 + 12, 4, 0);
    }
    this.pci.configWrite(this.capability(0x11) + 2, 2, 0x8000);
  }
}
