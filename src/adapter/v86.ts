/**
 * A virtio-blk disk on the PCI bus of v86, in Node and in browsers. v86 itself is not modified.
 *
 *     emulator.add_listener('emulator-ready', async () => {
 *       await attachVirtioBlk(emulator, { disk: { driver: 'memory', options: { size: '1G' } } });
 *       emulator.run();
 *     });
 *
 * with `autostart: false`, so that BIOS and kernel find the disk. Disks in files: import
 * `vblk/node`, which makes the `file` driver known.
 */

import type { AioContext } from '../aio/context.ts';
import { BlockBackend } from '../block/backend.ts';
import type { BlockDriver, DriverSpec } from '../block/driver.ts';
import { isOpenDriver } from '../block/registry.ts';
import type { Core } from '../engine/core.ts';
import type { PciMode } from '../virtio/pci-layout.ts';
import { VirtioBlk, type VirtioBlkOptions } from '../virtio/virtio-blk.ts';
import { VirtioPci } from '../virtio/virtio-pci.ts';
import { V86Core, type V86CoreOptions } from './v86-core.ts';
import { cpuOf, type V86Instance } from './v86-machine.ts';
import { attachPciFunction, type PciSlot } from './v86-pci.ts';

export { V86Core, type V86CoreOptions } from './v86-core.ts';
export type { V86Instance } from './v86-machine.ts';

/** Where and how the disk is attached, and virtio-blk's own options in QEMU's words. */
export interface V86BlkOptions
  extends V86CoreOptions,
    Omit<VirtioBlkOptions, 'legacyEndian' | 'onGuestWrite'> {
  /** What is on the disk. A BlockBackend must be one of `host`, and stays the caller's. */
  readonly disk: DriverSpec | BlockDriver | BlockBackend;
  /** The core that serves it, if several disks shall share one. Default: one of its own. */
  readonly host?: V86Core;
  /** Refuses writes. Default: what the disk says. */
  readonly readonly?: boolean;
  /** Kind of the BAR that a modern driver uses. Default `io`: ports, which are a little faster. */
  readonly bar?: 'memory' | 'io';
  /**
   * `sync` (default): requests are served before the instruction that wrote the doorbell ends, and
   * an interrupt that a store to device memory may not raise comes a few instructions later.
   * `poll`: both then, between two slices of the CPU.
   */
  readonly kick?: 'sync' | 'poll';
  /** Which drivers find a disk there. Default `transitional`: all. */
  readonly mode?: PciMode;
  /** Device number on PCI bus 0. Default: the first free one from 8 to 13. */
  readonly slot?: number;
}

/** A disk in its slot. */
export interface V86Blk {
  readonly blk: VirtioBlk;
  readonly pci: VirtioPci;
  readonly backend: BlockBackend;
  readonly context: AioContext;
  readonly core: Core;
  /** Device number on PCI bus 0. */
  readonly slot: number;
  /** Takes the disk off the bus, waits for what is in flight, and closes what was opened here. */
  detach(): Promise<void>;
}

/**
 * Attaches a disk to `emulator`, whose `emulator-ready` has fired. Throws an OptionError for a
 * wrong option, a BlockError if the disk does not open; then nothing is attached.
 */
export async function attachVirtioBlk(
  emulator: V86Instance,
  options: V86BlkOptions,
): Promise<V86Blk> {
  const undo: (() => void | Promise<void>)[] = [];
  const detach = async () => {
    for (let step = undo.pop(); step; step = undo.pop()) await step();
  };
  try {
    const host = options.host ?? (await V86Core.open(emulator, options));
    if (!options.host) undo.push(() => host.close());
    const { core, context } = host;
    if (core.memory !== cpuOf(emulator).wasm_memory) throw elsewhere();
    const backend = await openBackend(host, options);
    if (backend !== options.disk) undo.push(() => backend.close());
    const blk = new VirtioBlk(core, context, backend, blkOptions(host, options));
    undo.push(() => blk.close());
    let line: PciSlot | null = null;
    const pci = new VirtioPci(blk, {
      mode: options.mode ?? 'transitional',
      modernBar: options.bar ?? 'io',
      intx: (level) => line?.setInterrupt(level),
    });
    const place = attachPciFunction(emulator, pci, { name: 'virtio-blk', slot: options.slot });
    line = place;
    undo.push(() => place.detach());
    return { blk, pci, backend, context, core, slot: place.slot, detach };
  } catch (error) {
    await detach();
    throw error;
  }
}

async function openBackend(host: V86Core, options: V86BlkOptions): Promise<BlockBackend> {
  const { disk, readonly: readOnly } = options;
  const { core, context } = host;
  if (disk instanceof BlockBackend) {
    if (disk.core !== core || disk.context !== context) throw elsewhere();
    if (readOnly && !disk.readOnly) throw new Error('readonly: the BlockBackend takes writes');
    return disk;
  }
  if (isOpenDriver(disk) && disk.clusterDisk !== 0 && !options.host) throw elsewhere();
  return BlockBackend.open(core, context, disk, { readOnly });
}

function elsewhere(): Error {
  return new Error('the disk lies in another core: open it in the one that is given as `host`');
}

/** What is left of `options` is virtio-blk's; an option that it does not know it names. */
function blkOptions(host: V86Core, options: V86BlkOptions): VirtioBlkOptions {
  const {
    disk: _disk,
    host: _host,
    readonly: _readonly,
    bar: _bar,
    mode: _mode,
    slot: _slot,
    engine: _engine,
    module: _module,
    ...blk
  } = options;
  return { ...blk, onGuestWrite: host.guestWritten };
}
