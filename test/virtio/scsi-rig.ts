/**
 * A virtio-scsi host with disks, behind a transport, and the initiator that drives it. Queues are
 * served by main, by near threads (`NearThread`) or by IOThreads.
 */

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { onTestFinished } from 'vitest';
import { AioContext } from '#src/aio/context';
import { IOThread } from '#src/aio/io-thread';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import type { BlockDriver, DriverSpec } from '#src/block/driver';
import { openDriver } from '#src/block/registry';
import { Core } from '#src/engine/core';
import type { Engine } from '#src/engine/engine';
import { GuestMmio } from '#src/guest/mmio';
import { GuestPci } from '#src/guest/pci';
import { GuestRam } from '#src/guest/ram';
import { GuestScsi, type GuestScsiOptions, scsiLun } from '#src/guest/scsi';
import type { GuestTransport } from '#src/guest/transport';
import { Machine } from '#src/machine/machine';
import type { LogicalUnit } from '#src/scsi/logical-unit';
import type { ScsiUnitOptions, ScsiUnitType } from '#src/scsi/unit-options';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import { VirtioPci } from '#src/virtio/virtio-pci';
import { VirtioScsi, type VirtioScsiOptions } from '#src/virtio/virtio-scsi';
import { NearThread } from './near-thread.ts';
import { ProbeDriver } from './probe-driver.ts';

export const engines = ['js', 'wasm'] as const;
export type EngineName = (typeof engines)[number];
export const transports = ['pci modern', 'pci legacy', 'mmio 2', 'mmio 1'] as const;
export type TransportName = (typeof transports)[number];
/** Who serves the command queues. */
export const places = ['main', 'a near thread', 'two near threads', 'an IOThread'] as const;
export type PlaceName = (typeof places)[number];

const modules = {
  unshared: readFileSync(new URL('../../build/core.wasm', import.meta.url)),
  shared: readFileSync(new URL('../../build/core.shared.wasm', import.meta.url)),
};

export interface RigOptions {
  readonly engine?: EngineName;
  readonly transport?: TransportName;
  readonly place?: PlaceName;
  readonly scsi?: VirtioScsiOptions;
  readonly guest?: GuestScsiOptions;
  /** Around the host and its disks. */
  readonly machine?: boolean;
  /** Replaces functions of the engine; the original is passed in. */
  readonly intercept?: (engine: Engine) => Partial<Engine>;
}

export interface DiskOptions extends ScsiUnitOptions {
  readonly type?: ScsiUnitType;
  /** Default: a probe of 1 MiB that settles at once. */
  readonly disk?: BlockDriver | DriverSpec;
  readonly backend?: BackendOptions;
}

/** SCSI statuses. */
export const GOOD = 0;
export const CHECK_CONDITION = 2;

export class ScsiRig {
  readonly core: Core;
  readonly context: AioContext;
  readonly near: readonly NearThread[];
  readonly threads: readonly IOThread[];
  readonly device: VirtioScsi;
  readonly machine: Machine | null;
  readonly ram: GuestRam;
  readonly function: VirtioPci | VirtioMmio;
  readonly bus: GuestTransport;
  readonly guest: GuestScsi;
  readonly backends: BlockBackend[] = [];
  readonly drivers: ProbeDriver[] = [];

  static async open(options: RigOptions = {}): Promise<ScsiRig> {
    const { engine = 'wasm', place = 'main' } = options;
    const shared = place !== 'main';
    const module = shared ? modules.shared : modules.unshared;
    const core = Core.openSync({ engine, module, shared, ramBytes: 2 << 20 });
    const near: NearThread[] = [];
    const threads: IOThread[] = [];
    const count = place === 'two near threads' ? 2 : place === 'a near thread' ? 1 : 0;
    for (let i = 0; i < count; i++) near.push(await NearThread.open(core, `thread${i}`));
    if (place === 'an IOThread') {
      const worker = () => new Worker(new URL('../device/thread.mjs', import.meta.url));
      threads.push(await IOThread.start(core, { worker, 'poll-max-ns': 0 }));
    }
    if (options.intercept) {
      for (const one of [core, ...near.map((thread) => thread.core)]) {
        const engine = Object.assign(Object.create(one.engine), options.intercept(one.engine));
        Object.defineProperty(one, 'engine', { value: engine });
      }
    }
    const context = new AioContext(core, threads.length > 0 ? {} : { sleeper: 'hook' });
    const machine = options.machine ? new Machine(context) : null;
    const all = [...near, ...threads];
    const made = VirtioScsi.realize(core, context, {
      ...(all.length > 0 && { 'iothread-vq-mapping': all.map((iothread) => ({ iothread })) }),
      ...(machine && { machine }),
      ...options.scsi,
    });
    const device = await pumped(made, [context, ...near]);
    return new ScsiRig({ core, context, near, threads, machine, device }, options);
  }

  private constructor(
    parts: Pick<ScsiRig, 'core' | 'context' | 'near' | 'threads' | 'machine' | 'device'>,
    options: RigOptions,
  ) {
    this.core = parts.core;
    this.context = parts.context;
    this.near = parts.near;
    this.threads = parts.threads;
    this.machine = parts.machine;
    this.device = parts.device;
    this.ram = new GuestRam(this.core);
    const { transport = 'mmio 2' } = options;
    this.function = this.#plugIn(transport);
    this.bus =
      this.function instanceof VirtioMmio
        ? GuestMmio.open(this.function)
        : GuestPci.open(this.function, {
            interface: transport === 'pci legacy' ? 'legacy' : 'modern',
          });
    this.guest = new GuestScsi(this.bus, this.ram, {
      commandQueues: this.device.settings.numQueues,
      relax: () => this.relax(),
      ...options.guest,
    });
    onTestFinished(() => this.close());
  }

  #plugIn(name: TransportName): VirtioPci | VirtioMmio {
    if (name.startsWith('mmio')) {
      return new VirtioMmio(this.device, { version: name === 'mmio 1' ? 1 : 2, irq() {} });
    }
    const mode = name === 'pci legacy' ? 'legacy' : 'modern';
    return new VirtioPci(this.device, { mode, intx() {}, msi() {} });
  }

  // ---- Disks --------------------------------------------------------------------------------------

  /** A disk behind a backend, not plugged in. */
  async backend(options: DiskOptions = {}): Promise<BlockBackend> {
    const disk = options.disk ?? new ProbeDriver(1 << 20);
    const driver = 'submit' in disk ? disk : await openDriver(this.core, disk);
    if (driver instanceof ProbeDriver) this.drivers.push(driver);
    const own = this.machine ? { machine: this.machine } : {};
    const backend = BlockBackend.attach(this.core, this.context, driver, {
      ...own,
      ...options.backend,
    });
    this.backends.push(backend);
    return backend;
  }

  async plug(options: DiskOptions = {}): Promise<LogicalUnit> {
    const { type = 'hd', disk: _disk, backend: _backend, ...unit } = options;
    const backend = await this.backend(options);
    return this.settle(this.device.plug(type, backend, unit));
  }

  /** Of a disk that was unplugged. */
  async closeBackend(backend: BlockBackend): Promise<void> {
    this.backends.splice(this.backends.indexOf(backend), 1);
    await this.settle(backend.close());
  }

  // ---- Time -----------------------------------------------------------------------------------------

  /** Lets all that is under way happen that needs nobody else. */
  turns(): void {
    for (let i = 0; i < 100; i++) {
      let progress = this.context.poll();
      for (const thread of this.near) progress = thread.turn() || progress;
      if (!progress) return;
    }
  }

  async relax(): Promise<void> {
    for (const thread of this.threads) await thread.call('ping', null);
    if (this.threads.length === 0) this.turns();
    await new Promise((resolve) => setImmediate(resolve));
  }

  async quiet(): Promise<void> {
    for (let i = 0; i < 6; i++) await this.relax();
  }

  /** Has turns taken until `promise` has settled. */
  settle<T>(promise: Promise<T>): Promise<T> {
    return this.threads.length > 0 ? promise : pumped(promise, [this.context, ...this.near]);
  }

  // ---- The guest's ----------------------------------------------------------------------------------

  /** A driver whose device runs. What a disk tells first has been heard. */
  async start(): Promise<GuestScsi> {
    await this.guest.start();
    for (const { config } of this.device.bus.units) await this.ready(config.scsiId, config.lun);
    return this.guest;
  }

  /** Takes the unit attention that each unit has after a reset. */
  async ready(target: number, lun: number): Promise<void> {
    for (let i = 0; i < 4; i++) {
      const { status } = await this.guest.command(scsiLun(target, lun), [0, 0, 0, 0, 0, 0]);
      if (status === GOOD) return;
    }
  }

  async close(): Promise<void> {
    while (this.machine && !this.machine.running) await this.settle(this.machine.cont());
    for (const backend of this.backends) while (backend.quiesced) backend.drainedEnd();
    const closed = this.device.close();
    let over = false;
    const end = () => {
      over = true;
    };
    closed.then(end, end);
    while (!over) {
      for (const driver of this.drivers) driver.settleAll();
      await this.relax();
    }
    await closed;
    for (const backend of this.backends) await this.settle(backend.close());
    for (const thread of this.threads) await thread.stop();
  }
}

/** Lets contexts and near threads have their turns until `promise` has settled. */
async function pumped<T>(
  promise: Promise<T>,
  who: readonly { poll?(): unknown; turn?(): unknown }[],
): Promise<T> {
  let over = false;
  const end = () => {
    over = true;
  };
  promise.then(end, end);
  while (!over) {
    for (const one of who) (one.turn ?? one.poll)!.call(one);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return promise;
}

/** READ (10) or WRITE (10). */
export function transfer10(write: boolean, lba: number, blocks: number): number[] {
  const code = write ? 0x2a : 0x28;
  return [code, 0, lba >>> 24, lba >>> 16, lba >>> 8, lba, 0, blocks >>> 8, blocks, 0].map(
    (byte) => byte & 0xff,
  );
}

export const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
/** Sense key, additional sense code and qualifier. */
export function senseOf({ sense }: { readonly sense: Uint8Array }): number[] {
  return [sense[2]! & 0xf, sense[12]!, sense[13]!];
}

/** `length` bytes that differ from place to place and from `seed` to `seed`. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed * 31) & 0xff);
}

export { scsiLun };
