/**
 * A machine for device tests: a core, one or more disks on a bus, and the guest that drives them.
 * Its CPU takes an interrupt after the register access during which it came, as real ones do, and
 * again as long as a line stays high.
 */
import * as fs from 'node:fs';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { AioContext } from '#src/aio/context';
import { IOThread } from '#src/aio/io-thread';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import type { BlockDriver, DriverSpec } from '#src/block/driver';
import type { FaultDriver, FaultRule } from '#src/block/fault';
import { fileDriver } from '#src/block/file';
import { openDriver, registerDriver } from '#src/block/registry';
import { Core } from '#src/engine/core';
import { GuestBlk, type GuestBlkOptions } from '#src/guest/blk';
import { GuestMmio } from '#src/guest/mmio';
import { GuestPci } from '#src/guest/pci';
import { GuestRam } from '#src/guest/ram';
import type { GuestTransport } from '#src/guest/transport';
import { VirtioBlk, type VirtioBlkOptions } from '#src/virtio/virtio-blk';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import { VirtioPci } from '#src/virtio/virtio-pci';

registerDriver('file', fileDriver({ fs }));

const modules = {
  unshared: readFileSync(new URL('../../build/core.wasm', import.meta.url)),
  shared: readFileSync(new URL('../../build/core.shared.wasm', import.meta.url)),
};

/** `js, own RAM`: guest RAM in a buffer of its own. */
export const ENGINES = ['wasm', 'js', 'wasm, shared', 'js, own RAM'] as const;
/** Those, with all queues served by IOThreads, one after the other. */
export const THREADED = ['wasm, IOThread', 'js, IOThread', 'wasm, two IOThreads'] as const;
export type EngineName = (typeof ENGINES)[number] | (typeof THREADED)[number];
export const threadsOf = (name: EngineName): number =>
  name.includes('two') ? 2 : name.includes('IOThread') ? 1 : 0;

export const TRANSPORTS = [
  'pci modern, memory BAR',
  'pci modern, I/O BAR',
  'pci modern, window',
  'pci modern, MSI-X',
  'pci transitional as modern',
  'pci transitional as legacy',
  'pci legacy',
  'pci legacy, MSI-X',
  'mmio 2',
  'mmio 1',
] as const;
export type TransportName = (typeof TRANSPORTS)[number];
export const isLegacy = (name: TransportName): boolean => /legacy|mmio 1/.test(name);

export const DISKS = ['memory', 'file, sync', 'file, uv', 'late'] as const;
/** `late`: a memory disk that settles through the JavaScript loop, so through a bounce buffer. */
export type DiskName = (typeof DISKS)[number];

export interface MachineOptions {
  readonly engine?: EngineName;
  readonly transport?: TransportName;
  /** By name, or any driver. Default memory. */
  readonly disk?: DiskName | DriverSpec | BlockDriver;
  /** Bytes of a disk given by name. Default 4 MiB. */
  readonly diskBytes?: number;
  /** Bytes of each of the two regions of guest RAM. Default 1 MiB. */
  readonly regionBytes?: number;
  readonly device?: VirtioBlkOptions;
  readonly backend?: BackendOptions | ((context: AioContext) => BackendOptions);
  readonly guest?: GuestBlkOptions;
}

/** Machines that are open. */
const machines = new Set<Machine>();

/** Lets everything that is under way happen, in all machines and their threads. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    for (const { threads } of machines) {
      await Promise.all(threads.map((thread) => thread.call('ping')));
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function startThread(core: Core): Promise<IOThread> {
  const worker = () => new Worker(new URL('./thread.mjs', import.meta.url));
  return IOThread.start(core, { worker, 'poll-max-ns': 0 });
}

const PAGE = 65536;
const MSI_ADDRESS = 0xfee00000;

export class Machine {
  readonly core: Core;
  readonly context: AioContext;
  readonly ram: GuestRam;
  readonly slots: Slot[] = [];
  readonly threads: IOThread[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'vblk-device-'));
  #files = 0;

  private constructor(core: Core) {
    this.core = core;
    this.context = new AioContext(core);
    this.ram = new GuestRam(core);
  }

  static async open(options: MachineOptions = {}): Promise<Machine> {
    const { engine = 'wasm', regionBytes = 1 << 20 } = options;
    const machine = new Machine(openCore(engine, regionBytes));
    for (let i = 0; i < threadsOf(engine); i++)
      machine.threads.push(await startThread(machine.core));
    machines.add(machine);
    await machine.add(options);
    return machine;
  }

  /** Plugs one more disk in. Engine and RAM are the machine's. */
  async add(options: MachineOptions = {}): Promise<Slot> {
    const driver = await this.#openDisk(options.disk ?? 'memory', options.diskBytes ?? 4 << 20);
    const { backend: given } = options;
    const backendOptions = typeof given === 'function' ? given(this.context) : given;
    const backend = BlockBackend.attach(this.core, this.context, driver, backendOptions);
    const device = await this.#realize(backend, options.device ?? {});
    const slot = new Slot(this, backend, device, options);
    this.slots.push(slot);
    return slot;
  }

  #realize(backend: BlockBackend, options: VirtioBlkOptions): VirtioBlk | Promise<VirtioBlk> {
    const { core, context, threads } = this;
    if (threads.length === 0) return new VirtioBlk(core, context, backend, options);
    const mapping = threads.map((iothread) => ({ iothread }));
    const placed: VirtioBlkOptions = { 'iothread-vq-mapping': mapping, ...options };
    return VirtioBlk.realize(core, context, backend, placed);
  }

  /** Requests that wait in a fault disk, on whatever thread. */
  async held(disk: FaultDriver): Promise<number> {
    const all = await Promise.all(this.threads.map((thread) => thread.call('held')));
    return (all as number[]).reduce((sum, one) => sum + one, disk.held);
  }

  /** Lets them go on. */
  async release(disk: FaultDriver): Promise<void> {
    disk.release();
    await Promise.all(this.threads.map((thread) => thread.call('release')));
  }

  get slot(): Slot {
    return this.slots[0]!;
  }

  /** A driver on the first disk, up and running. */
  start(options: GuestBlkOptions = {}): Promise<GuestBlk> {
    return this.slot.start(options);
  }

  /** All bytes of guest RAM, region by region. */
  snapshot(): Uint8Array[] {
    return this.ram.regions.map(({ guest, size }) => this.ram.read(guest, size));
  }

  async close(): Promise<void> {
    for (const { device, backend } of this.slots) {
      await device.close();
      await backend.close();
    }
    machines.delete(this);
    for (const thread of this.threads) await thread.stop();
    this.context.close();
    rmSync(this.#folder, { recursive: true });
  }

  async #openDisk(disk: DiskName | DriverSpec | BlockDriver, size: number): Promise<BlockDriver> {
    if (typeof disk !== 'string') return 'submit' in disk ? disk : openDriver(this.core, disk);
    const memory = { driver: 'memory', options: { size } };
    if (disk === 'memory') return openDriver(this.core, memory);
    // A turn of the JavaScript loop later.
    if (disk === 'late') return faultDisk(this.core, size, [{ action: 'delay', ms: 0 }]);
    const filename = join(this.#folder, `disk${this.#files++}`);
    const aio = disk === 'file, uv' ? 'uv' : 'sync';
    return openDriver(this.core, {
      driver: 'file',
      options: { filename, aio, size, create: true },
    });
  }
}

/** One disk on the bus, and the wires from it to the CPU. */
export class Slot {
  readonly machine: Machine;
  readonly backend: BlockBackend;
  readonly device: VirtioBlk;
  readonly options: MachineOptions;
  bus: GuestTransport;
  /** What the bus reaches the device through. */
  readonly function: VirtioPci | VirtioMmio;
  /** Interrupts delivered: by the line, or by vector. */
  readonly interrupts: number[] = [];
  blk: GuestBlk | null = null;
  /** False: the CPU has interrupts off. */
  enabled = true;
  level = false;
  #scheduled = false;

  constructor(machine: Machine, backend: BlockBackend, device: VirtioBlk, options: MachineOptions) {
    this.machine = machine;
    this.backend = backend;
    this.device = device;
    this.options = options;
    const transport = options.transport ?? 'pci modern, memory BAR';
    this.function = this.#plugIn(transport);
    this.bus = this.#probe(this.function, transport);
  }

  /** Vectors that the driver uses. */
  get vectors(): number {
    return this.options.transport?.endsWith('MSI-X') ? this.device.queues.length + 1 : 0;
  }

  async start(options: GuestBlkOptions = {}): Promise<GuestBlk> {
    const blk = this.driver(options);
    await blk.start();
    return blk;
  }

  /** A driver that has not touched the device yet. */
  driver(options: GuestBlkOptions = {}): GuestBlk {
    this.blk = new GuestBlk(this.bus, this.machine.ram, {
      interrupts: true,
      vectors: this.vectors,
      relax: () => new Promise((resolve) => setImmediate(resolve)),
      ...this.options.guest,
      ...options,
    });
    return this.blk;
  }

  #plugIn(name: TransportName): VirtioPci | VirtioMmio {
    const line = (level: boolean) => this.#line(level);
    if (name.startsWith('mmio')) {
      const version = name === 'mmio 1' ? 1 : 2;
      return new VirtioMmio(this.device, { version, irq: line });
    }
    const mode = name.includes('transitional')
      ? 'transitional'
      : name.startsWith('pci legacy')
        ? 'legacy'
        : 'modern';
    return new VirtioPci(this.device, {
      mode,
      modernBar: name === 'pci modern, I/O BAR' ? 'io' : 'memory',
      intx: line,
      msi: (_address, data) => this.#message(data),
    });
  }

  /** What the guest's bus driver does when it finds the device. */
  #probe(fn: VirtioPci | VirtioMmio, name: TransportName): GuestTransport {
    if (fn instanceof VirtioMmio) return GuestMmio.open(fn);
    const pci = GuestPci.open(fn, {
      interface: isLegacy(name) ? 'legacy' : 'modern',
      access: name === 'pci modern, window' ? 'window' : 'bar',
    });
    if (name.endsWith('MSI-X')) {
      const messages = Array.from({ length: this.vectors }, (_, vector) => vector);
      pci.enableMsix(messages.map((data) => ({ address: MSI_ADDRESS, data })));
    }
    return pci;
  }

  /** As after the bus has reset the function: configuration space is programmed anew. */
  probeAgain(): void {
    this.bus = this.#probe(this.function, this.options.transport ?? 'pci modern, memory BAR');
  }

  #line(level: boolean): void {
    this.level = level;
    if (level) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.level || !this.enabled || !this.blk) return;
      this.interrupts.push(-1);
      this.blk.interrupt();
      if (this.level) this.#schedule();
    });
  }

  #message(vector: number): void {
    queueMicrotask(() => {
      if (!this.enabled || !this.blk) return;
      this.interrupts.push(vector);
      this.blk.interrupt(vector);
    });
  }
}

/** A disk whose requests wait for `Machine.release` while `hold` is on. */
export async function slowDisk(core: Core, size = 4 << 20): Promise<FaultDriver> {
  return (await faultDisk(core, size, [])) as FaultDriver;
}

function faultDisk(core: Core, size: number, rules: readonly FaultRule[]): Promise<BlockDriver> {
  const image = { driver: 'memory', options: { size } };
  const options = { image, rules, 'may-delay': true };
  return Promise.resolve(openDriver(core, { driver: 'fault', options }));
}

export const HOLD: readonly FaultRule[] = [{ action: 'delay' }];

function openCore(name: EngineName, regionBytes: number): Core {
  const shared = name === 'wasm, shared' || threadsOf(name) > 0;
  const ramBytes = 2 * regionBytes;
  const own = name === 'js, own RAM';
  const ram = own ? new WebAssembly.Memory({ initial: ramBytes / PAGE }) : undefined;
  const core = Core.openSync({
    engine: name.startsWith('js') ? 'js' : 'wasm',
    module: shared ? modules.shared : modules.unshared,
    shared,
    ramBytes,
    ...(ram && { ram }),
  });
  // Neighbours in the guest, the other way round in the buffer.
  const { offset } = core.regionList[0]!;
  core.setRegions([
    { guest: 0, size: regionBytes, offset: offset + regionBytes },
    { guest: regionBytes, size: regionBytes, offset },
  ]);
  return core;
}
