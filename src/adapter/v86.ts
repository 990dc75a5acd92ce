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
 *
 * With `{ iothreads: 1 }` the disk is served by a Worker while the guest goes on: the CPU's thread
 * only kicks and takes interrupts. For that v86's memory must be shared: `sharedWasm`.
 */

import type { AioContext } from '../aio/context.ts';
import type { WorkerLike } from '../aio/worker-port.ts';
import { BlockBackend } from '../block/backend.ts';
import type { BlockDriver, DriverSpec } from '../block/driver.ts';
import { OptionError } from '../block/error.ts';
import { isOpenDriver } from '../block/registry.ts';
import type { Core } from '../engine/core.ts';
import type { PciMode } from '../virtio/pci-layout.ts';
import { VirtioBlk, type VirtioBlkOptions } from '../virtio/virtio-blk.ts';
import { VirtioPci } from '../virtio/virtio-pci.ts';
import { V86Core, type V86CoreOptions } from './v86-core.ts';
import { cpuOf, type V86Instance } from './v86-machine.ts';
import { attachPciFunction, type PciSlot } from './v86-pci.ts';
import { startThreads } from './v86-threads.ts';

export { V86Core, type V86CoreOptions } from './v86-core.ts';
export type { V86Instance } from './v86-machine.ts';
export { type SharedWasmOptions, sharedWasm, type WasmFunction } from './v86-shared.ts';

/** Where and how the disk is attached, and virtio-blk's own options in QEMU's words. */
export interface V86BlkOptions
  extends V86CoreOptions,
    Omit<VirtioBlkOptions, 'legacyEndian' | 'onGuestWrite' | 'guestNotifier' | 'vcpus'> {
  /** What is on the disk. A BlockBackend must be one of `host`, and stays the caller's. */
  readonly disk: DriverSpec | BlockDriver | BlockBackend;
  /** The core that serves it, if several disks shall share one. Default: one of its own. */
  readonly host?: V86Core;
  /**
   * Starts so many IOThreads for this disk, which end with it; its queues, by default as many, go
   * round. Threads of your own, over the core of `host`: `iothread`, `iothread-vq-mapping`.
   */
  readonly iothreads?: number;
  /** Makes the Worker of such a thread, where a bundler has moved `vblk/io-thread` elsewhere. */
  readonly createWorker?: () => WorkerLike;
  /** Refuses writes. Default: what the disk says. */
  readonly readonly?: boolean;
  /** Kind of the BAR that a modern driver uses. Default `io`: ports, which are a little faster. */
  readonly bar?: 'memory' | 'io';
  /**
   * Without IOThreads. `sync` (default): requests are served before the instruction that wrote the
   * doorbell ends, and an interrupt that a store to device memory may not raise comes a few
   * instructions later. `poll`: both then, between two slices of the CPU.
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
    const threads = await threadOptions(core, options, undo);
    const blkOptions = { ...ownOptions(options), ...threads, onGuestWrite: host.guestWritten };
    const blk = await VirtioBlk.realize(core, context, backend, blkOptions);
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
function ownOptions(options: V86BlkOptions): VirtioBlkOptions {
  const {
    disk: _disk,
    host: _host,
    readonly: _readonly,
    bar: _bar,
    mode: _mode,
    slot: _slot,
    engine: _engine,
    module: _module,
    iothreads: _iothreads,
    createWorker: _createWorker,
    ...blk
  } = options;
  return blk;
}

/** Options for the threads that `iothreads` asks for. They run now, and `undo` stops them. */
async function threadOptions(
  core: Core,
  options: V86BlkOptions,
  undo: (() => void | Promise<void>)[],
): Promise<VirtioBlkOptions> {
  const { iothreads, iothread, 'num-queues': queues } = options;
  const given = iothreads ?? iothread ?? options['iothread-vq-mapping'];
  if (given !== undefined && !core.shared) {
    throw new Error(
      'IOThreads need the memory of v86 to be shared: give it wasm_fn: sharedWasm(...)',
    );
  }
  if (iothreads === undefined) return {};
  if (iothread || options['iothread-vq-mapping']) {
    throw new OptionError('iothreads', iothreads, 'none beside iothread and iothread-vq-mapping');
  }
  const threads = await startThreads(core, iothreads, options.createWorker);
  for (const thread of threads) undo.push(() => thread.stop());
  const mapping = threads.map((thread) => ({ iothread: thread }));
  return { 'iothread-vq-mapping': mapping, 'num-queues': queues ?? threads.length };
}
