/**
 * What all our devices on v86 have in common: the core that they stand on, disks and threads that
 * are made for them, their function on the PCI bus, and the way back.
 */

import type { AioContext } from '../aio/context.ts';
import type { WorkerLike } from '../aio/worker-port.ts';
import { BlockBackend } from '../block/backend.ts';
import type { BlockDriver, DriverSpec } from '../block/driver.ts';
import { OptionError } from '../block/error.ts';
import type { ErrorPolicy } from '../block/error-options.ts';
import { isOpenDriver } from '../block/registry.ts';
import type { Core } from '../engine/core.ts';
import type { Machine } from '../machine/machine.ts';
import type { StateHandler } from '../machine/machine-state.ts';
import type { VirtioDevice } from '../virtio/device.ts';
import type { PciMode } from '../virtio/pci-layout.ts';
import { VirtioPci } from '../virtio/virtio-pci.ts';
import type { MappingOptions, VqMapping } from '../virtio/vq-mapping.ts';
import { V86Core, type V86CoreOptions } from './v86-core.ts';
import { cpuOf, type V86Instance } from './v86-machine.ts';
import { attachPciFunction, type PciSlot } from './v86-pci.ts';
import { carryInStates, type V86StateDisk } from './v86-state.ts';
import { startThreads } from './v86-threads.ts';

/** Where and how a device is attached. */
export interface V86DeviceOptions extends V86CoreOptions {
  /** The core that serves it, if several devices shall share one. Default: one of its own. */
  readonly host?: V86Core;
  /**
   * Starts so many IOThreads for this device, which end with it; its queues, by default as many, go
   * round. Threads of your own, over the core of `host`: `iothread`, `iothread-vq-mapping`.
   */
  readonly iothreads?: number;
  /** Makes the Worker of such a thread, where a bundler has moved `vblk/io-thread` elsewhere. */
  readonly createWorker?: () => WorkerLike;
  /** Kind of the BAR that a modern driver uses. Default `io`: ports, which are a little faster. */
  readonly bar?: 'memory' | 'io';
  /** Which drivers find a device there. Default `transitional`: all. */
  readonly mode?: PciMode;
  /** Device number on PCI bus 0. Default: the first free one from 8 to 13. */
  readonly slot?: number;
}

/** What is on a disk, and who may write there. */
export interface V86DiskOptions {
  /** A BlockBackend must be one of `host`, and stays the caller's. */
  readonly disk: DriverSpec | BlockDriver | BlockBackend;
  /** Refuses writes. Default: what the disk says. */
  readonly readonly?: boolean;
  /** As `BackendOptions`; `stop` and `enospc` need a `machine`. Not with a BlockBackend. */
  readonly werror?: ErrorPolicy;
  readonly rerror?: ErrorPolicy;
}

/** A device in its slot. */
export interface V86Device {
  readonly pci: VirtioPci;
  readonly context: AioContext;
  readonly core: Core;
  /** Device number on PCI bus 0. */
  readonly slot: number;
  /**
   * Takes the device off the bus whether or not the guest is using it, waits for what is in flight,
   * and closes what was opened here. All that the guest then reads there is ones, which a Linux
   * that is using the device does not survive whole: it resets the device and waits for a 0. Have
   * it let go first: `eject`, or `remove` in its sysfs.
   */
  detach(): Promise<void>;
  /**
   * Asks the guest to let go of the device, and detaches it when it has (QEMU: `device_del`). The
   * guest may take its time, or never do it; what it ejects unasked is detached, too. Rejects for a
   * v86 without `acpi: true`: there is nobody to ask.
   */
  eject(): Promise<void>;
  /** Settles as `detach` does after the guest has ejected the device, asked to or by itself. */
  readonly ejected: Promise<void>;
}

/** A backend, and what is to be done with it when its device goes. */
export interface OpenedDisk {
  readonly backend: BlockBackend;
  /** Closes it if it was opened here. */
  close(): Promise<void>;
}

type Step = () => void | Promise<void>;

export class V86Attachment {
  readonly host: V86Core;
  readonly #emulator: V86Instance;
  readonly #options: V86DeviceOptions;
  /** The way back, last step first. */
  readonly #steps: Step[] = [];
  #detaching: Promise<void> | null = null;
  #place: PciSlot | null = null;

  /**
   * Has `make` attach a device step by step to `emulator`, whose `emulator-ready` has fired. What
   * it throws is thrown; then nothing is attached.
   */
  static async make<T>(
    emulator: V86Instance,
    options: V86DeviceOptions,
    make: (attachment: V86Attachment) => Promise<T>,
  ): Promise<T> {
    const host = options.host ?? (await V86Core.open(emulator, options));
    const attachment = new V86Attachment(emulator, options, host);
    try {
      if (host.core.memory !== cpuOf(emulator).wasm_memory) throw elsewhere();
      return await make(attachment);
    } catch (error) {
      await attachment.detach();
      throw error;
    }
  }

  private constructor(emulator: V86Instance, options: V86DeviceOptions, host: V86Core) {
    this.#emulator = emulator;
    this.#options = options;
    this.host = host;
    if (!options.host) this.add(() => host.close());
  }

  /** Adds a step of the way back. One that is refused is tried again by the next `detach`. */
  add(step: Step): void {
    this.#steps.push(step);
  }

  detach(): Promise<void> {
    this.#detaching ??= this.#goBack().finally(() => {
      this.#detaching = null;
    });
    return this.#detaching;
  }

  async #goBack(): Promise<void> {
    for (let step = this.#steps.at(-1); step; step = this.#steps.at(-1)) {
      const later = step();
      this.#steps.pop();
      if (later) await later; // what the guest sees of it is done before `detach` returns
    }
  }

  /** Opens what `options` say, or takes the BlockBackend that they give. */
  async openDisk(options: V86DiskOptions, machine: Machine | undefined): Promise<OpenedDisk> {
    const { disk, readonly: readOnly, werror, rerror } = options;
    const { core, context } = this.host;
    if (disk instanceof BlockBackend) {
      if (disk.core !== core || disk.context !== context) throw elsewhere();
      if (readOnly && !disk.readOnly) throw new Error('readonly: the BlockBackend takes writes');
      for (const [name, value] of Object.entries({ werror, rerror })) {
        if (value !== undefined)
          throw new OptionError(name, value, 'none: the BlockBackend has its own');
      }
      return { backend: disk, close: async () => {} };
    }
    if (isOpenDriver(disk) && disk.clusterDisk !== 0 && !this.#options.host) throw elsewhere();
    const own = { readOnly, machine, werror, rerror };
    const backend = await BlockBackend.open(core, context, disk, own);
    return { backend, close: () => backend.close() };
  }

  /** Starts the threads that `iothreads` asks for, and says how queues go round; null: none. */
  async startThreads(given: MappingOptions): Promise<readonly VqMapping[] | null> {
    const { iothreads, createWorker } = this.#options;
    const { core } = this.host;
    const asked = iothreads ?? given.iothread ?? given['iothread-vq-mapping'];
    if (asked !== undefined && !core.shared) {
      throw new Error(
        'IOThreads need the memory of v86 to be shared: give it wasm_fn: sharedWasm(...)',
      );
    }
    if (iothreads === undefined) return null;
    if (given.iothread || given['iothread-vq-mapping']) {
      throw new OptionError('iothreads', iothreads, 'none beside iothread and iothread-vq-mapping');
    }
    const threads = await startThreads(core, iothreads, createWorker);
    for (const thread of threads) this.add(() => thread.stop());
    return threads.map((thread) => ({ iothread: thread }));
  }

  /** Puts the device on the bus: from here on the guest may find it. */
  plug(device: VirtioDevice, name: string): V86Device {
    const { mode = 'transitional', bar = 'io', slot } = this.#options;
    let letGo!: () => void;
    const ejected = new Promise<void>((resolve) => {
      letGo = () => resolve(this.detach());
    });
    ejected.catch(() => {}); // it is for those who want to know
    let line: PciSlot | null = null;
    const intx = (level: boolean) => line?.setInterrupt(level);
    const pci = new VirtioPci(device, { mode, modernBar: bar, intx });
    const place = attachPciFunction(this.#emulator, pci, { name, slot, ejected: letGo });
    line = place;
    this.#place = place;
    this.add(() => {
      pci.remove(); // from here on no thread touches the guest's memory
      place.detach();
    });
    const eject = async () => {
      if (!place.requestEject()) throw new Error('eject: v86 runs without acpi: true');
      await ejected;
    };
    const { core, context } = this.host;
    const detach = () => this.detach();
    return { pci, core, context, slot: place.slot, detach, eject, ejected };
  }

  /** From here on v86's states carry the device, which was plugged, and its disks. */
  carryInStates(
    name: string,
    pci: VirtioPci,
    state: StateHandler,
    disks: () => readonly V86StateDisk[],
  ): void {
    const place = this.#place!;
    this.add(carryInStates(this.#emulator, { name, state, pci, place, disks }));
  }
}

/** What is left of `options` is the device's own. */
export function withoutDeviceOptions<O extends V86DeviceOptions>(
  options: O,
): Omit<O, keyof V86DeviceOptions> {
  const {
    host: _host,
    bar: _bar,
    mode: _mode,
    slot: _slot,
    engine: _engine,
    module: _module,
    iothreads: _iothreads,
    createWorker: _createWorker,
    ...own
  } = options;
  return own;
}

function elsewhere(): Error {
  return new Error('the disk lies in another core: open it in the one that is given as `host`');
}
