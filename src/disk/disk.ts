/**
 * A block device of an application's own: a virtio-blk device and its driver in one program, with
 * no emulator between them. The rings are the same that a guest kernel uses, and so are the
 * threads that serve them. Main thread; `connect` is for the others.
 */

import { EventNotifier } from '../aio/event-notifier.ts';
import type { WorkerLike } from '../aio/worker-port.ts';
import type { BackendStats, BlockBackend } from '../block/backend.ts';
import type { BlockDriver, DriverSpec } from '../block/driver.ts';
import { OptionError } from '../block/error.ts';
import { Core } from '../engine/core.ts';
import { QUEUE_INTERRUPTS_LO, QUEUE_KICKS_LO, QUEUE_POPPED_LO } from '../layout.ts';
import { SECTOR_SIZE, VIRTIO_STATUS_NEEDS_RESET } from '../spec.ts';
import { AsyncDisk } from './async-disk.ts';
import { AsyncQueue, type QueueHooks } from './async-queue.ts';
import { CLAIM_CLOSED, CLAIM_DEAD, CLAIM_REVOKED } from './claim.ts';
import { DiskError } from './error.ts';
import type { DiskHandle } from './handle.ts';
import { type DiskOptions, readConnectOptions } from './options.ts';
import { type DiskParts, type DiskPlatform, openParts } from './parts.ts';
import type { QueuePlace } from './queue-place.ts';
import { realm } from './realm.ts';
import { Seat } from './seat.ts';
import { Shape } from './shape.ts';
import { SharedBuffers } from './shared-buffers.ts';
import type { TransportEvents } from './transport.ts';

export interface ConnectOptions {
  /** Bytes for the client's own `alloc`. Default 0. */
  alloc?: number;
  /** The Worker that the client will live in: if it exits without closing, `reclaim` is called. */
  worker?: WorkerLike;
  /**
   * ns for which a `DiskClientSync` busy-polls before it sleeps, while the machine has cores
   * enough. Default 0.
   */
  'poll-max-ns'?: number;
}

/** Of one queue since the disk was opened, its clients' included. */
export interface QueueFigures {
  readonly requests: number;
  /** Doorbells that were rung, and interrupts that were asked for. */
  readonly kicks: number;
  readonly interrupts: number;
}

export interface DiskStats extends BackendStats, QueueFigures {
  /** The disk's own queues come first. */
  readonly queues: readonly QueueFigures[];
  /** Clients that are open. */
  readonly clients: number;
}

/** With the core's own means alone: no module, no Worker but what the options give. */
const BARE: DiskPlatform = { openCore: (options) => Core.open(options) };

/**
 * Opens a disk for the program's own use. Rejects with an OptionError for a wrong option, a
 * BlockError if the disk does not open, and as cores and threads do; then nothing is left behind.
 */
export function openDisk(
  disk: DriverSpec | BlockDriver,
  options: DiskOptions = {},
  platform: DiskPlatform = BARE,
): Promise<Disk> {
  return Disk.open(disk, options, platform);
}

export class Disk extends AsyncDisk {
  /** The disk behind: its driver, drained sections, figures. */
  readonly backend: BlockBackend;
  readonly core: Core;
  readonly #parts: DiskParts;
  readonly #queues: readonly AsyncQueue[];
  readonly #seats: readonly Seat[];
  /** Notifiers of the own queues. */
  #watched: EventNotifier[] = [];
  #next = 0;
  /** Why nothing works any more. */
  #failure: DiskError | null = null;
  #closing: Promise<void> | null = null;
  /** Claims are changed one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  /** See `openDisk`. */
  static async open(
    disk: DriverSpec | BlockDriver,
    options: DiskOptions,
    platform: DiskPlatform,
  ): Promise<Disk> {
    const events: TransportEvents = { interrupt: () => {}, config: () => {} };
    const parts = await openParts(disk, options, platform, events);
    try {
      const opened = new Disk(parts);
      events.interrupt = (index) => opened.#queues[index]?.interrupted();
      events.config = () => opened.#changed();
      opened.#changed(); // it may have failed by now
      return opened;
    } catch (error) {
      await parts.undo.all();
      throw error;
    }
  }

  private constructor(parts: DiskParts) {
    const { core, backend, device, transport, places, ram, settings } = parts;
    const { maxDiscardSectors, maxWriteZeroesSectors, logicalBlockSize } = device.settings;
    const shape = new Shape(core, {
      backend: backend.address,
      blockSize: logicalBlockSize,
      readOnly: backend.readOnly,
      discardMax: maxDiscardSectors * SECTOR_SIZE,
      zeroesMax: maxWriteZeroesSectors * SECTOR_SIZE,
    });
    const { buffers: at, shift } = ram;
    const buffers = new SharedBuffers(core, { at, bytes: settings.allocBytes, shift });
    super(shape, buffers);
    this.core = core;
    this.backend = backend;
    this.#parts = parts;
    this.#parts = parts;
    this.#queues = places.slice(0, settings.own).map((place) => this.#open(place));
    this.#seats = settings.shared
      ? places.slice(settings.own).map((place) => new Seat(place, core, device, transport, buffers))
      : [];
  }

  #open(place: QueuePlace): AsyncQueue {
    const { core, context, transport } = this.#parts;
    const hooks: QueueHooks = {
      kick: () => transport.kick(place.index),
      lost: () => this.#failure,
      busy: () => {},
      idle: () => {},
    };
    // Without notifiers requests are served inside the doorbell, and nobody else gets a turn.
    if (place.guest === 0) hooks.yield = (callback) => context.scheduleOneshot('disk', callback);
    const queue = new AsyncQueue(core, place, this.shape, hooks);
    if (place.guest !== 0) {
      const notifier = EventNotifier.at(core, place.guest, `interrupt ${place.index}`);
      context.setHandler(notifier, () => queue.service());
      this.#watched.push(notifier);
    }
    return queue;
  }

  /** The queue with the least to do; they take turns. */
  protected override queue(): AsyncQueue {
    if (this.#closing) throw new DiskError('ESHUTDOWN', 'the disk was closed');
    if (this.#failure) throw this.#failure;
    const queues = this.#queues;
    let best = queues[this.#next % queues.length]!;
    if (queues.length === 1) return best;
    this.#next++;
    for (const queue of queues) if (queue.pending < best.pending) best = queue;
    return best;
  }

  /** Changes the size of the disk, in bytes. Rejects with a BlockError if it cannot. */
  resize(bytes: number): Promise<void> {
    return this.backend.resize(bytes);
  }

  stats(): DiskStats {
    const queues = this.#parts.places.map(({ queue }) => this.#figures(queue));
    const sum = (name: keyof QueueFigures) => queues.reduce((all, one) => all + one[name], 0);
    return {
      ...this.backend.stats(),
      requests: sum('requests'),
      kicks: sum('kicks'),
      interrupts: sum('interrupts'),
      queues,
      clients: this.#seats.filter((seat) => seat.taken).length,
    };
  }

  #figures(queue: number): QueueFigures {
    const { u32 } = this.core;
    const count = (field: number) => {
      const at = (queue + field) >>> 2;
      return u32[at + 1]! * 2 ** 32 + u32[at]!;
    };
    return {
      requests: count(QUEUE_POPPED_LO),
      kicks: count(QUEUE_KICKS_LO),
      interrupts: count(QUEUE_INTERRUPTS_LO),
    };
  }

  // ---- Clients --------------------------------------------------------------------------------

  /**
   * Claims a queue for a client in another thread and returns the handle to post to it, for one
   * `DiskClient.open` or `DiskClientSync.open`. Rejects with an OptionError for a wrong option, and
   * with DiskError EBUSY if all queues are claimed, ENOTSUP if the memory is not shared, ENOMEM if
   * it has no `alloc` bytes left.
   */
  connect(options: ConnectOptions = {}): Promise<DiskHandle> {
    return this.#inTurn(() => this.#connect(options));
  }

  async #connect(options: ConnectOptions): Promise<DiskHandle> {
    const { worker } = options;
    const wanted = readConnectOptions(options);
    this.queue(); // throws if there is none
    if (!this.core.shared) {
      throw new DiskError('ENOTSUP', 'clients need shared memory: iothreads, or shared: true');
    }
    const seat = this.#seats.find((one) => one.vacant);
    if (!seat) {
      const claimed = `all ${this.#seats.length} queues for clients are claimed`;
      throw new DiskError('EBUSY', `${claimed}; see the option queues`);
    }
    const offer = await seat.offer(wanted);
    const server = await this.#serverOf(seat.place.index);
    if (!seat.heard) {
      seat.revoke(offer.generation, CLAIM_REVOKED);
      throw new DiskError('ENOTSUP', 'the thread of the queue has no handler left for its kicks');
    }
    const handle: DiskHandle = {
      core: this.core.handle(),
      place: seat.place,
      shape: this.shape.numbers,
      server,
      ...offer,
    };
    if (worker && 'on' in worker) worker.on('exit', () => void this.reclaim(handle));
    return handle;
  }

  /**
   * Which thread serves the queue. It has answered after it was told of the queue, and so has
   * begun to watch for kicks, if it can.
   */
  async #serverOf(index: number): Promise<string> {
    const { threads } = this.#parts;
    if (threads.length === 0) return realm;
    try {
      return String(await threads[index % threads.length]!.call('realm'));
    } catch (error) {
      if ((error as { code?: string }).code === 'EOWNERDEAD') throw error;
      return ''; // an entry of somebody's own, which does not tell
    }
  }

  /**
   * Takes the queue back from a client that will not close, as its Worker has ended; resolves when
   * it can be claimed anew. What the client had under way may have happened or not. If it lives
   * after all, its requests fail with DiskError ESTALE. Nothing happens if it has closed.
   */
  reclaim(handle: DiskHandle): Promise<void> {
    return this.#inTurn(async () => {
      const seat = this.#seats.find(({ place }) => place.index === handle.place.index);
      if (!seat) throw new OptionError('handle', handle, 'what connect returned');
      if (this.#closing || !seat.revoke(handle.generation, CLAIM_REVOKED)) return;
      await seat.reset();
    });
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => {});
    return result;
  }

  // ---- The end --------------------------------------------------------------------------------

  /** Configuration or status have changed. A device that wants a reset serves nobody any more. */
  #changed(): void {
    const { device, transport } = this.#parts;
    if (this.#failure || !needsReset(transport.readStatus())) return;
    const cause = device.brokenCause;
    const why = cause instanceof Error ? cause.message : `reason ${device.brokenReason}`;
    this.#failure = new DiskError('EOWNERDEAD', `the disk is served no more: ${why}`, cause);
    for (const queue of this.#queues) queue.abandon(this.#failure);
    for (const seat of this.#seats) seat.revoke(seat.generation, CLAIM_DEAD);
  }

  /**
   * Refuses new requests, waits for those under way, and takes everything down. Clients that are
   * open are cut off: their requests fail with DiskError ESHUTDOWN.
   */
  close(): Promise<void> {
    this.#closing ??= this.#inTurn(() => this.#close());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all(this.#queues.map((queue) => queue.idle()));
    const { context, ram, undo } = this.#parts;
    ram.lent = this.#seats.some((seat) => seat.taken);
    for (const seat of this.#seats) seat.revoke(seat.generation, CLAIM_CLOSED);
    for (const notifier of this.#watched) context.setHandler(notifier, null);
    this.#watched = [];
    try {
      await undo.all();
    } finally {
      for (const seat of this.#seats) seat.close();
    }
  }
}

function needsReset(status: number): boolean {
  return (status & VIRTIO_STATUS_NEEDS_RESET) !== 0;
}
