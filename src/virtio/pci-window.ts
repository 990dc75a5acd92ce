/**
 * The PCI_CFG capability: a window in configuration space through which BARs are reached where
 * they cannot be mapped (VIRTIO 1.3, 4.1.4.9).
 */

import {
  VIRTIO_PCI_CAP_BAR,
  VIRTIO_PCI_CAP_LENGTH,
  VIRTIO_PCI_CAP_OFFSET,
  VIRTIO_PCI_CFG_DATA,
} from '../spec.ts';
import type { Width } from './config-space.ts';
import type { PciConfigSpace } from './pci-config.ts';

/** What lies behind the window. */
export interface BarAccess {
  barRead(bar: number, offset: number, width: Width): number;
  barWrite(bar: number, offset: number, width: Width, value: number): void;
}

/**
 * Makes the capability at `at` a window on `bars`. The driver writes bar, offset and length (1, 2
 * or 4), then accesses the data register. The offset is rounded down to the length. With any other
 * length nothing is accessed.
 */
export function installWindow(config: PciConfigSpace, at: number, bars: BarAccess): void {
  const data = at + VIRTIO_PCI_CFG_DATA;
  config.allowWrite(at + VIRTIO_PCI_CAP_BAR, 1, 0xff);
  config.allowWrite(at + VIRTIO_PCI_CAP_OFFSET, 4, 0xffffffff);
  config.allowWrite(at + VIRTIO_PCI_CAP_LENGTH, 4, 0xffffffff);
  config.allowWrite(data, 4, 0xffffffff);

  const aim = () => {
    const width = config.get(at + VIRTIO_PCI_CAP_LENGTH, 4);
    if (width !== 1 && width !== 2 && width !== 4) return null;
    const offset = (config.get(at + VIRTIO_PCI_CAP_OFFSET, 4) & ~(width - 1)) >>> 0;
    return { bar: config.get(at + VIRTIO_PCI_CAP_BAR, 1), offset, width: width as Width };
  };
  config.watch({
    offset: data,
    length: 4,
    beforeRead: () => {
      const target = aim();
      if (!target) return;
      const value = bars.barRead(target.bar, target.offset, target.width);
      config.set(data, target.width, value);
    },
    afterWrite: () => {
      const target = aim();
      if (!target) return;
      bars.barWrite(target.bar, target.offset, target.width, config.get(data, target.width));
    },
  });
}
