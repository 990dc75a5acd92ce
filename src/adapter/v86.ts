/**
 * Disks on the PCI bus of v86, in Node and in browsers: one on virtio-blk, or many on virtio-scsi
 * (`attachVirtioScsi`). v86 itself is not modified.
 *
 *     emulator.add_listener('emulator-ready', async () => {
 *       await attachVirtioBlk(emulator, { disk: { driver: 'memory', options: { size: '1G' } } });
 *       emulator.run();
 *     });
 *
 * with `autostart: false`, so that BIOS and kernel find the disk. Disks in files: import
 * `vblk/node`, which makes the `file` driver known.
 *
 * With `{ iothreads: 1 }` the disk is served by a Worker while the guest goes on: the CPU's thread
 * only kicks and takes interrupts. For that v86's memory must be shared: `sharedWasm`.
 */

import type { BlockBackend } from '../block/backend.ts';
import { blkState } from '../virtio/blk-state.ts';
import { VirtioBlk, type VirtioBlkOptions } from '../virtio/virtio-blk.ts';
import {
  V86Attachment,
  type V86Device,
  type V86DeviceOptions,
  type V86DiskOptions,
  withoutDeviceOptions,
} from './v86-attachment.ts';
import type { V86Instance } from './v86-machine.ts';

export type { V86Device, V86DeviceOptions, V86DiskOptions } from './v86-attachment.ts';
export { V86Core, type V86CoreOptions } from './v86-core.ts';
export { type V86Runner, v86Cpu } from './v86-cpu.ts';
export type { V86Instance } from './v86-machine.ts';
export { enableHotplug } from './v86-pci.ts';
export {
  attachVirtioScsi,
  type V86Scsi,
  type V86ScsiOptions,
  type V86ScsiUnitOptions,
} from './v86-scsi.ts';
export { type SharedWasmOptions, sharedWasm, type WasmFunction } from './v86-shared.ts';

/** Where and how the disk is attached, and virtio-blk's own options in QEMU's words. */
export interface V86BlkOptions
  extends V86DeviceOptions,
    V86DiskOptions,
    Omit<VirtioBlkOptions, 'legacyEndian' | 'onGuestWrite' | 'guestNotifier' | 'vcpus' | 'kick'> {
  /**
   * Without IOThreads. `sync` (default): requests are served before the instruction that wrote the
   * doorbell ends, and an interrupt that a store to device memory may not raise comes a few
   * instructions later. `poll`: both then, between two slices of the CPU.
   */
  readonly kick?: 'sync' | 'poll';
}

/** A disk in its slot. */
export interface V86Blk extends V86Device {
  readonly blk: VirtioBlk;
  readonly backend: BlockBackend;
}

/**
 * Attaches a disk to `emulator`, whose `emulator-ready` has fired. Throws an OptionError for a
 * wrong option, a BlockError if the disk does not open; then nothing is attached.
 */
export function attachVirtioBlk(emulator: V86Instance, options: V86BlkOptions): Promise<V86Blk> {
  return V86Attachment.make(emulator, options, async (attachment) => {
    const { core, context, guestWritten } = attachment.host;
    const { backend, close } = await attachment.openDisk(options, options.machine);
    attachment.add(close);
    const mapping = await attachment.startThreads(options);
    const blk = await VirtioBlk.realize(core, context, backend, {
      ...ownOptions(options),
      ...(mapping && {
        'iothread-vq-mapping': mapping,
        'num-queues': options['num-queues'] ?? mapping.length,
      }),
      onGuestWrite: guestWritten,
    });
    attachment.add(() => blk.close());
    const device = attachment.plug(blk, 'virtio-blk');
    const { pci } = device;
    const disks = [{ name: '', backend }];
    attachment.carryInStates('virtio-blk', pci, blkState(blk, pci), () => disks);
    return { ...device, blk, backend };
  });
}

/** What is left of `options` is virtio-blk's; an option that it does not know it names. */
function ownOptions(options: V86BlkOptions): VirtioBlkOptions {
  const {
    disk: _disk,
    readonly: _readonly,
    werror: _werror,
    rerror: _rerror,
    ...blk
  } = withoutDeviceOptions(options);
  return blk;
}
