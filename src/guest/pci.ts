/**
 * virtio over PCI, driver side. Picks the interface as Linux does: modern if the device has all it
 * takes, else legacy.
 */
import { PCI_DEVICE_ID, PCI_VENDOR_ID, VIRTIO_PCI_VENDOR_ID } from '../spec.ts';
import { GuestError } from './error.ts';
import { PciConfig, type PciFunction } from './pci-config.ts';
import { PciLegacy } from './pci-legacy.ts';
import { PciModern } from './pci-modern.ts';
import type { PciTransport } from './pci-transport.ts';

export interface GuestPciOptions {
  /** Which interface to drive. `auto`: modern if it is there. Default auto. */
  readonly interface?: 'auto' | 'modern' | 'legacy';
  /** `window`: reach the modern structures through the PCI_CFG capability alone. Default bar. */
  readonly access?: 'bar' | 'window';
}

const TRANSITIONAL_FIRST = 0x1000;
const MODERN_LAST = 0x107f;

export type GuestPci = PciTransport;

export const GuestPci = {
  /** Finds the virtio device in a PCI function. Throws ENODEV if there is none to drive. */
  open(fn: PciFunction, options: GuestPciOptions = {}): PciTransport {
    const { interface: wanted = 'auto', access = 'bar' } = options;
    const config = new PciConfig(fn);
    const id = config.read(PCI_DEVICE_ID, 2);
    const vendor = config.read(PCI_VENDOR_ID, 2);
    if (vendor !== VIRTIO_PCI_VENDOR_ID || id < TRANSITIONAL_FIRST || id > MODERN_LAST) {
      const name = `${vendor.toString(16)}:${id.toString(16)}`;
      throw new GuestError('ENODEV', `PCI function ${name} is not a virtio device`);
    }
    if (wanted !== 'legacy') {
      const modern = PciModern.probe(config, id, access);
      if (modern) return modern;
      if (wanted === 'modern') throw new GuestError('ENODEV', 'no modern virtio interface');
    }
    return PciLegacy.probe(config, id);
  },
};
