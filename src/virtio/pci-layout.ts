/**
 * Identity of a virtio-pci function and the places of its structures (VIRTIO 1.3, 4.1.2, 4.1.4;
 * QEMU: virtio_pci_realize, virtio_pci_device_plugged).
 */

import {
  PCI_CAP_ID_VNDR,
  PCI_CLASS_DEVICE,
  PCI_CLASS_OTHERS,
  PCI_CLASS_STORAGE_SCSI,
  PCI_DEVICE_ID,
  PCI_INTERRUPT_PIN,
  PCI_REVISION_ID,
  PCI_SUBDEVICE_ID_QEMU,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
  VIRTIO_ID_BLOCK,
  VIRTIO_PCI_CAP_BAR,
  VIRTIO_PCI_CAP_CFG_TYPE,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_LEN,
  VIRTIO_PCI_CAP_LENGTH,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
  VIRTIO_PCI_CAP_OFFSET,
  VIRTIO_PCI_CAP_PCI_CFG,
  VIRTIO_PCI_DEVICE_ID_MODERN_BASE,
  VIRTIO_PCI_DEVICE_ID_TRANSITIONAL_BLOCK,
  VIRTIO_PCI_NOTIFY_CAP_MULT,
  VIRTIO_PCI_VENDOR_ID,
} from '../spec.ts';
import { COMMON_CONFIG_SIZE } from './pci-common-config.ts';
import type { PciConfigSpace } from './pci-config.ts';

export type PciMode = 'modern' | 'transitional' | 'legacy';

/** BAR numbers. */
export const LEGACY_BAR = 0;
export const MSIX_BAR = 1;
export const MODERN_BAR = 4;

const VIRTIO_ID_SCSI = 8;
/** Device ids of functions that a legacy driver takes, by virtio device id (4.1.2.1). */
const TRANSITIONAL_IDS = new Map([
  [1, 0x1000],
  [VIRTIO_ID_BLOCK, VIRTIO_PCI_DEVICE_ID_TRANSITIONAL_BLOCK],
  [5, 0x1002],
  [3, 0x1003],
  [VIRTIO_ID_SCSI, 0x1004],
  [4, 0x1005],
  [9, 0x1009],
]);

/** A structure in the modern BAR, bytes. */
export interface PciStructure {
  readonly offset: number;
  readonly length: number;
}

export interface ModernLayout {
  readonly common: PciStructure;
  readonly isr: PciStructure;
  readonly device: PciStructure;
  readonly notify: PciStructure;
  /** Bytes between two doorbells; 0: one doorbell, the value written names the queue. */
  readonly notifyMultiplier: number;
  /** Size of the BAR, a power of two. */
  readonly size: number;
}

/**
 * In memory each structure has its own 4 KiB page and each queue its own doorbell. I/O space is
 * scarce: there all is packed, usually into 256 ports, and the doorbell is shared (PC-9).
 */
export function modernLayout(
  kind: 'io' | 'memory',
  queues: number,
  configLength: number,
): ModernLayout {
  if (kind === 'memory') {
    if (configLength > 0x1000) throw new RangeError('device configuration exceeds 4096 bytes');
    return {
      common: { offset: 0, length: COMMON_CONFIG_SIZE },
      isr: { offset: 0x1000, length: 4 },
      device: { offset: 0x2000, length: configLength },
      notify: { offset: 0x3000, length: queues * 4 },
      notifyMultiplier: 4,
      size: 0x4000,
    };
  }
  return {
    common: { offset: 0, length: COMMON_CONFIG_SIZE },
    isr: { offset: 0x40, length: 4 },
    notify: { offset: 0x44, length: 4 },
    device: { offset: 0x80, length: configLength },
    notifyMultiplier: 0,
    size: 2 ** Math.ceil(Math.log2(Math.max(0x100, 0x80 + configLength))),
  };
}

/** Writes vendor, device, class, revision and interrupt pin (PC-2). Throws RangeError. */
export function writeIdentity(config: PciConfigSpace, mode: PciMode, deviceId: number): void {
  const transitional = TRANSITIONAL_IDS.get(deviceId);
  if (mode !== 'modern' && transitional === undefined) {
    throw new RangeError(`virtio device ${deviceId} has no legacy PCI id`);
  }
  const modern = mode === 'modern';
  const id = modern ? VIRTIO_PCI_DEVICE_ID_MODERN_BASE + deviceId : transitional!;
  const disk = deviceId === VIRTIO_ID_BLOCK || deviceId === VIRTIO_ID_SCSI;
  config.set(PCI_VENDOR_ID, 2, VIRTIO_PCI_VENDOR_ID);
  config.set(PCI_DEVICE_ID, 2, id);
  config.set(PCI_REVISION_ID, 1, modern ? 1 : 0);
  config.set(PCI_CLASS_DEVICE, 2, disk ? PCI_CLASS_STORAGE_SCSI : PCI_CLASS_OTHERS);
  config.set(PCI_SUBSYSTEM_VENDOR_ID, 2, VIRTIO_PCI_VENDOR_ID);
  config.set(PCI_SUBSYSTEM_ID, 2, modern ? PCI_SUBDEVICE_ID_QEMU : deviceId);
  config.set(PCI_INTERRUPT_PIN, 1, 1); // INTA
}

/** Adds the five vendor capabilities (PC-1). Returns where the PCI_CFG one lies. */
export function addVirtioCapabilities(config: PciConfigSpace, layout: ModernLayout): number {
  addStructure(config, VIRTIO_PCI_CAP_COMMON_CFG, layout.common);
  addStructure(config, VIRTIO_PCI_CAP_ISR_CFG, layout.isr);
  addStructure(config, VIRTIO_PCI_CAP_DEVICE_CFG, layout.device);
  const notify = addStructure(config, VIRTIO_PCI_CAP_NOTIFY_CFG, layout.notify, 20);
  config.set(notify + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, layout.notifyMultiplier);
  return addStructure(config, VIRTIO_PCI_CAP_PCI_CFG, { offset: 0, length: 0 }, 20);
}

function addStructure(
  config: PciConfigSpace,
  type: number,
  structure: PciStructure,
  length = 16,
): number {
  const at = config.addCapability(PCI_CAP_ID_VNDR, length);
  config.set(at + VIRTIO_PCI_CAP_LEN, 1, length);
  config.set(at + VIRTIO_PCI_CAP_CFG_TYPE, 1, type);
  config.set(at + VIRTIO_PCI_CAP_BAR, 1, type === VIRTIO_PCI_CAP_PCI_CFG ? 0 : MODERN_BAR);
  config.set(at + VIRTIO_PCI_CAP_OFFSET, 4, structure.offset);
  config.set(at + VIRTIO_PCI_CAP_LENGTH, 4, structure.length);
  return at;
}
