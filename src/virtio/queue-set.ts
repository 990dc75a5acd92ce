/**
 * All queues of a block device, each in the group of the thread that serves it. It owns their
 * memory and notifiers, and knows which may take requests. Main thread; the device's control plane
 * (`VirtioBlk`) is its only user.
 */

import type { AioContext } from '../aio/context.ts';
import { EventNotifier } from '../aio/event-notifier.ts';
import { Undo } from '../aio/undo.ts';
import type { BlockBackend } from '../block/backend.ts';
import type { Core } from '../engine/core.ts';
import { createQueue } from '../engine/queue-memory.ts';
import { WRITE_LOG_SIZE } from '../layout.ts';
import { SECTOR_SHIFT } from '../spec.ts';
import type { BlkSettings } from './blk-options.ts';
import type { MaybeLater } from './device-hooks.ts';
import { LocalQueues } from './local-queues.ts';
import {
  MERGE_SEGMENTS,
  type QueueConfig,
  REQUEST_SECTORS_MAX,
  SCRATCH_SIZE,
} from './queue-config.ts';
import type { DeviceQueue, QueueGroup, QueueListener } from './queue-group.ts';
import { awaitOutside, quiesceQueues, setRunning } from './queue-serving.ts';
import { type QueueThread, RemoteQueues } from './remote-queues.ts';

/** Who holds the threads and the main context, in their messages. */
const USER = 'virtio-blk';

export class QueueSet {
  readonly queues: DeviceQueue[] = [];
  readonly #core: Core;
  readonly #context: AioContext;
  readonly #backend: BlockBackend;
  readonly #settings: BlkSettings;
  readonly #listener: QueueListener;
  /** By number of the queue. */
  readonly #groups: (QueueGroup | undefined)[] = [];
  readonly #attached = new Set<DeviceQueue>();
  /** What `close` has to undo, in the order in which it was done. */
  readonly #undo = new Undo();
  #holdsMain = false;
  /** Owners of the host notifiers beside us. */
  #grabs = 0;

  /** Memory, and the queues that main serves. If it throws, nothing is left behind. */
  constructor(
    core: Core,
    context: AioContext,
    backend: BlockBackend,
    settings: BlkSettings,
    listener: QueueListener,
  ) {
    this.#core = core;
    this.#context = context;
    this.#backend = backend;
    this.#settings = settings;
    this.#listener = listener;
    try {
      for (let index = 0; index < settings.numQueues; index++) this.queues.push(this.#make(index));
      const own = this.#of(null);
      if (own.length > 0) this.#serve(own);
    } catch (error) {
      this.closeNow();
      throw error;
    }
  }

  #make(index: number): DeviceQueue {
    const core = this.#core;
    const { queueSize, threads, guestNotifier, ioeventfd, kick, onGuestWrite } = this.#settings;
    const client = guestNotifier === 'client';
    const remote = threads[index] != null;
    const memory = createQueue(core, queueSize);
    this.#undo.add(() => memory.free());
    const scratch = this.#allocate(SCRATCH_SIZE);
    const notifier = (what: string, needed: boolean) => {
      if (!needed) return null;
      const made = new EventNotifier(core, `virtio-blk ${what} ${index}`);
      this.#undo.add(() => made.close());
      return made;
    };
    return {
      config: this.#config(index, memory.address, scratch),
      host: notifier('kick', remote || client || (ioeventfd && kick === 'poll')),
      guest: notifier('interrupt', remote || client),
      log: remote && onGuestWrite ? this.#allocate(WRITE_LOG_SIZE) : 0,
      features: 0,
    };
  }

  #allocate(bytes: number): number {
    const address = this.#core.allocate(bytes);
    this.#undo.add(() => this.#core.free(address));
    return address;
  }

  #config(index: number, queue: number, scratch: number): QueueConfig {
    const settings = this.#settings;
    return {
      index,
      queue,
      scratch,
      backend: this.#backend.address,
      serial: settings.serial,
      logicalBlockSize: settings.logicalBlockSize,
      maxDiscardSectors: settings.discard ? settings.maxDiscardSectors : 0,
      maxWriteZeroesSectors: settings.writeZeroes ? settings.maxWriteZeroesSectors : 0,
      requestMerging: settings.requestMerging,
      mergeSegments: MERGE_SEGMENTS,
      mergeBytes: REQUEST_SECTORS_MAX << SECTOR_SHIFT,
    };
  }

  #of(thread: QueueThread | null): DeviceQueue[] {
    return this.queues.filter((_, index) => (this.#settings.threads[index] ?? null) === thread);
  }

  #serve(queues: readonly DeviceQueue[]): void {
    const lane = this.#backend.openLane(this.#context);
    const { onGuestWrite } = this.#settings;
    const core = this.#core;
    this.#add(
      queues,
      new LocalQueues(core, this.#context, lane, queues, this.#listener, onGuestWrite),
    );
  }

  #add(queues: readonly DeviceQueue[], group: QueueGroup): void {
    for (const { config } of queues) this.#groups[config.index] = group;
    this.#undo.add(() => group.close());
  }

  /** Has each thread make its queues. If it rejects, close what there is. */
  async openThreads(): Promise<void> {
    for (const thread of new Set(this.#settings.threads)) {
      if (thread) await this.#openThread(thread);
    }
  }

  async #openThread(thread: QueueThread): Promise<void> {
    thread.ref(USER);
    this.#undo.add(() => thread.unref(USER));
    const queues = this.#of(thread);
    const lane = await this.#backend.openLaneOn(thread);
    try {
      const group = await RemoteQueues.create({
        core: this.#core,
        context: this.#context,
        lane,
        thread,
        queues,
        listener: this.#listener,
        onGuestWrite: this.#settings.onGuestWrite,
        interrupts: this.#settings.guestNotifier === 'main',
      });
      this.#add(queues, group);
    } catch (error) {
      await lane.close();
      throw error;
    }
  }

  /** Gives everything back, whatever fails; then throws what failed first. Nothing is in flight. */
  async close(): Promise<void> {
    this.#hold(false);
    await this.#undo.all();
  }

  /** As `close`, at once: before `openThreads`. */
  closeNow(): void {
    this.#undo.now();
  }

  // ---- Start and stop -------------------------------------------------------------------------

  /** Lets queues take requests. Their rings have been latched. */
  start(indexes: readonly number[]): void {
    const queues = indexes.map((index) => this.queues[index]!);
    setRunning(this.#core, words(queues), true);
    for (const one of queues) this.#attached.add(one);
    if (this.#grabs === 0) this.#each(queues, (group, own) => group.attach(own));
    this.#hold(true);
  }

  /** When this returns no requests are taken any more; those in flight go on. */
  stop(): void {
    const queues = [...this.#attached];
    setRunning(this.#core, words(queues), false);
    const elsewhere = queues.filter(({ config: { index } }) => {
      return this.#settings.threads[index] && !this.#groups[index]!.left;
    });
    awaitOutside(this.#core, words(elsewhere));
    this.#detach(queues);
    this.#hold(false);
  }

  #detach(queues: readonly DeviceQueue[]): void {
    const attached = queues.filter((one) => this.#attached.delete(one));
    if (this.#grabs === 0) this.#each(attached, (group, own) => group.detach(own));
  }

  /**
   * Somebody else watches the host notifiers until as many `release` calls: kicks that come through
   * the doorbell are served without (HN-7).
   */
  grab(): void {
    if (this.#grabs++ > 0) return;
    this.#each([...this.#attached], (group, own) => group.detach(own));
  }

  release(): void {
    if (this.#grabs === 0) throw new Error('host notifiers were released without being grabbed');
    if (--this.#grabs > 0) return;
    this.#each([...this.#attached], (group, own) => group.attach(own));
  }

  kick(index: number): void {
    this.#groups[index]!.kick(this.queues[index]!);
  }

  /**
   * Ends what the queues do: when this returns nothing touches their rings or buffers. Nothing if
   * no request is in flight, else a promise that resolves when all are gone; the queues are as new
   * then. Throws, and has done nothing, from inside a queue's own driver.
   */
  disable(indexes: readonly number[]): MaybeLater {
    const queues = indexes.map((index) => this.queues[index]!);
    this.#each(queues, (group, own) => group.checkOutside(own));
    setRunning(this.#core, words(queues), false);
    this.#detach(queues);
    const left = queues.filter((one) => this.#groups[one.config.index]!.left);
    const gone = new Set(words(left));
    quiesceQueues(this.#core, words(queues), (queue) => gone.has(queue));
    const later: Promise<void>[] = [];
    this.#each(queues, (group, own) => {
      const forgotten = group.forget(own);
      if (forgotten) later.push(forgotten);
    });
    if (later.length > 0) return Promise.all(later).then(() => {});
  }

  /** Calls `step` for each group that has some of the queues, with those. */
  #each(
    queues: readonly DeviceQueue[],
    step: (group: QueueGroup, own: readonly DeviceQueue[]) => void,
  ): void {
    const groupOf = (one: DeviceQueue) => this.#groups[one.config.index];
    for (const group of new Set(queues.map(groupOf))) {
      if (group)
        step(
          group,
          queues.filter((one) => groupOf(one) === group),
        );
    }
  }

  /** What another thread finishes is told here: the process must live on to hear it. */
  #hold(on: boolean): void {
    if (on === this.#holdsMain || !this.#settings.threads.some((thread) => thread)) return;
    this.#holdsMain = on;
    if (on) this.#context.ref();
    else this.#context.unref();
  }
}

function words(queues: readonly DeviceQueue[]): number[] {
  return queues.map(({ config }) => config.queue);
}
