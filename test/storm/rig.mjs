/** What a storm rages on: a core, IOThreads, and disks on buses with drivers and verified I/O. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import '#src/adapter/node-drivers';
import { loadCoreModule } from '#src/adapter/load-module';
import { AioContext } from '#src/aio/context';
import { IOThread } from '#src/aio/io-thread';
import { BlockBackend } from '#src/block/backend';
import { openDriver } from '#src/block/registry';
import { Core } from '#src/engine/core';
import { GuestBlk } from '#src/guest/blk';
import { GuestRam } from '#src/guest/ram';
import { Machine } from '#src/machine/machine';
import { VirtioBlk } from '#src/virtio/virtio-blk';
import { BusSlot, TRANSPORTS } from './bus-slot.mjs';
import { Load } from './load.mjs';
import { DiskModel, fillSector, SECTOR } from './model.mjs';

/** `late`: settles through the JavaScript loop. `mixed`: half of it does. */
export const DISKS = ['memory', 'late', 'mixed', 'file', 'file uv'];
const RAM_BYTES = 4 << 20;
export const DISK_SECTORS = 1024;
/** No other write has it. */
const BASE_SERIAL = 2 ** 32 - 1;

export class Rig {
  core;
  context;
  /** For disks that are plugged in with `machine`. */
  machine;
  /** Pauses and resumes the drivers of `slots` with the machine, of those that want it. */
  cpu = new Cpu(this);
  ram;
  threads = [];
  slots = new Set();
  /** Disks that are not some slot's for good. */
  disks = new Set();
  /** Messages that came up from the threads. */
  heard = 0;
  folder = mkdtempSync(join(tmpdir(), 'vblk-storm-'));
  #files = 0;
  /** Sets of options made so far. */
  #made = 0;

  static async open({ engine, threads = 2, bytes = RAM_BYTES }) {
    const rig = new Rig();
    const module = await loadCoreModule(true);
    rig.core = await Core.open({ engine, module, shared: true, ramBytes: bytes });
    if (rig.core.engine.kind !== engine) throw new Error(`meant ${engine}`);
    rig.context = new AioContext(rig.core);
    rig.machine = new Machine(rig.context);
    rig.ram = new GuestRam(rig.core);
    for (let i = 0; i < threads; i++) rig.threads.push(await rig.#startThread());
    return rig;
  }

  #startThread() {
    const worker = () => {
      const made = new Worker(new URL('./thread.mjs', import.meta.url));
      made.on('message', () => this.heard++);
      return made;
    };
    return IOThread.start(this.core, { worker, 'poll-max-ns': 0 });
  }

  /** Contexts by core address: main's and the threads'. */
  get contexts() {
    return [this.context.address, ...this.threads.map(({ context }) => context)];
  }

  /**
   * Disk and transport by turns, so that a few disks have had all code compiled; at random the
   * ring, merging, polling. What `given` names is as it says.
   */
  randomOptions(random, given = {}) {
    const pick = (list) => list[random.below(list.length)];
    const number = this.#made++;
    return {
      transport: TRANSPORTS[number % TRANSPORTS.length],
      disk: DISKS[number % DISKS.length],
      queues: 2,
      queueSize: pick([16, 64, 256]),
      merging: random.below(2) === 0,
      kick: pick(['sync', 'poll']),
      pollMaxNs: pick([0, 0, 32_768, 200_000]),
      depth: 1 + random.below(8),
      threads: pick([0, 1, 2]),
      ...given,
    };
  }

  /** Plugs a disk in; its driver has not touched it yet. */
  async plug(random, options) {
    const slot = new Slot(this, options);
    await slot.open(random);
    this.slots.add(slot);
    return slot;
  }

  /** DriverSpec of an empty disk. */
  diskOf(name, sectors = DISK_SECTORS) {
    const size = sectors * SECTOR;
    const memory = { driver: 'memory', options: { size } };
    if (name === 'memory') return memory;
    if (name === 'fault') return fault(memory, []);
    if (name === 'overlay') return this.#overlay(sectors);
    if (name === 'late') return fault(memory, [{ action: 'delay', ms: 0 }]);
    if (name === 'mixed') {
      return fault(memory, [{ action: 'delay', ms: 0, offset: size / 2, length: size / 2 }]);
    }
    const filename = join(this.folder, `disk${this.#files++}`);
    const aio = name === 'file uv' ? 'uv' : 'sync';
    return { driver: 'file', options: { filename, size, create: true, aio } };
  }

  /** On a base full of sectors that the write BASE_SERIAL has left. */
  #overlay(sectors) {
    const words = new Uint32Array((sectors * SECTOR) / 4);
    for (let i = 0; i < sectors; i++) fillSector(words, i * (SECTOR / 4), BASE_SERIAL, i);
    const file = () => join(this.folder, `disk${this.#files++}`);
    const [base, top] = [file(), file()];
    writeFileSync(base, words);
    const image = (filename, options) => ({ driver: 'file', options: { filename, ...options } });
    return {
      driver: 'overlay',
      options: {
        base: image(base, {}),
        top: image(top, { create: true }),
        'cluster-size': 4096,
      },
    };
  }

  async close() {
    this.machine.close();
    for (const thread of this.threads) await thread.stop();
    this.context.close();
    rmSync(this.folder, { recursive: true });
  }
}

/** Runs the drivers that have `pause` and `resume`. A `MachineCpu`. */
class Cpu {
  running = true;
  #rig;
  #waiting = [];

  constructor(rig) {
    this.#rig = rig;
  }

  pause() {
    this.running = false;
    for (const slot of this.#rig.slots) slot.pause?.();
  }

  resume() {
    this.running = true;
    for (const slot of this.#rig.slots) slot.resume?.();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when it runs. */
  async resumed() {
    while (!this.running) await new Promise((resolve) => this.#waiting.push(resolve));
  }
}

const fault = (image, rules) => ({
  driver: 'fault',
  options: { image, rules, 'may-delay': true },
});

/** A disk on a bus, its driver, and the I/O that is done on it. */
export class Slot {
  rig;
  options;
  backend;
  /** The driver of a disk named `fault`. */
  fault = null;
  device;
  bus;
  blk;
  load;

  constructor(rig, options) {
    this.rig = rig;
    this.options = options;
  }

  async open(random) {
    const { rig, options } = this;
    const { core, context } = rig;
    const { disk, sectors = DISK_SECTORS, backend = {}, machine = null } = options;
    const backendOptions = { ...backend, ...(machine && { machine: rig.machine }) };
    const spec = rig.diskOf(disk, sectors);
    // Rules of a fault disk are changed through the driver.
    this.fault = disk === 'fault' ? await openDriver(core, spec, { main: true, context }) : null;
    this.backend = await BlockBackend.open(core, context, this.fault ?? spec, backendOptions);
    for (const thread of rig.threads) thread.set({ 'poll-max-ns': options.pollMaxNs ?? 0 });
    this.device = await VirtioBlk.realize(core, context, this.backend, {
      'num-queues': options.queues,
      'queue-size': options.queueSize,
      'request-merging': options.merging,
      kick: options.kick,
      ...this.mapping(options.threads),
      ...options.device,
    });
    const place = new BusSlot(this.device, options.transport, options.queues, (vector) => {
      this.#interrupted(vector);
    });
    this.bus = place.bus;
    const model = new DiskModel(sectors, options.most ?? sectors);
    if (disk === 'overlay') model.wrote(0, sectors, BASE_SERIAL);
    this.load = new Load(rig.ram, model, random, options);
    this.blk = new GuestBlk(this.bus, rig.ram, {
      interrupts: true,
      queues: options.queues,
      queueSize: options.queueSize,
      vectors: place.vectors,
      relax: () => new Promise((resolve) => setImmediate(resolve)),
    });
  }

  /** Options that put the queues on so many threads; 0: on main. */
  mapping(threads) {
    if (!threads) return {};
    const list = this.rig.threads.slice(0, threads).map((iothread) => ({ iothread }));
    return { 'iothread-vq-mapping': list };
  }

  #interrupted(vector) {
    try {
      this.blk.interrupt(vector);
    } catch (error) {
      this.load.fail(error);
    }
  }

  // ---- The driver -------------------------------------------------------------------------------

  /** Reset to DRIVER_OK, and I/O at once. */
  async start() {
    await this.reset();
    this.begin();
  }

  async reset() {
    this.load.pause();
    await this.blk.reset();
    this.load.dropAll();
  }

  begin() {
    const { blk, load } = this;
    blk.negotiate();
    blk.setUpQueues();
    blk.driverOk();
    load.start(blk);
  }

  /** The device goes, whatever is in flight; what was in flight is lost. */
  async unplug() {
    const { load, blk } = this;
    load.pause();
    await this.device.close();
    await this.backend.close();
    load.dropAll();
    for (const ring of blk.rings) ring.close();
    blk.rings = [];
    load.close();
    this.rig.slots.delete(this);
  }

  /** Where the load's words show: for who looks at a storm that hangs. */
  describe() {
    const { load, backend, device, blk, options } = this;
    const { u32 } = this.rig.core;
    const words = device.queueConfigs.map(({ queue }) => [
      ...u32.subarray(queue >>> 2, (queue >>> 2) + 48),
    ]);
    const { issued, completed, droppedCount, inFlight } = load;
    return {
      options: { ...options, device: undefined, backend: undefined },
      load: { issued, completed, droppedCount, inFlight },
      backend: { quiesced: backend.quiesced, inFlight: backend.inFlight },
      status: blk.status,
      rings: blk.rings.map((ring) => [ring.availIndex, ring.usedIndex, ring.inFlight]),
      words,
    };
  }
}
