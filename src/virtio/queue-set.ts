/**
 * All queues of a device, each in the group of the thread that serves it. It owns their
 * memory and notifiers, and knows which may take requests, and which are listened for. Main thread;
 * the device's control plane (`VirtioBlk`, `VirtioScsi`) is its only user.
 */

import type { AioContext } from '../aio/context.ts';
import { Undo } from '../aio/undo.ts';
import type { Core } from '../engine/core.ts';
import { createQueue, type QueueMemory } from '../engine/queue-memory.ts';
import { QUEUE_INUSE } from '../layout.ts';
import type { QueueBase, QueueSettings, RingConfig } from './data-plane.ts';
import type { MaybeLater } from './device-hooks.ts';
import { OwnedQueue } from './device-queue.ts';
import { LocalQueues } from './local-queues.ts';
import type { DeviceQueue, QueueGroup, QueueListener } from './queue-group.ts';
import { type MovingQueues, type Place, QueueMove } from './queue-move.ts';
import { awaitOutside, quiesceQueues, setRunning } from './queue-serving.ts';
import { type QueueThread, RemoteQueues } from './remote-queues.ts';

export class QueueSet<Config extends RingConfig = RingConfig> {
  readonly #core: Core;
  readonly #context: AioContext;
  readonly #base: QueueBase<Config>;
  readonly #settings: QueueSettings;
  readonly #listener: QueueListener;
  readonly #memory: QueueMemory[] = [];
  /** By number of the queue, as the next two. */
  readonly #queues: OwnedQueue<Config>[] = [];
  readonly #threads: Place[];
  /** One for each thread that serves some; null is main. */
  readonly #groups = new Map<Place, QueueGroup>();
  /** Numbers of the queues that may take requests, and of those that are listened for. */
  readonly #started = new Set<number>();
  readonly #attached = new Set<number>();
  #holdsMain = false;
  /** Owners of the host notifiers beside us. */
  #grabs = 0;
  #drained = false;
  /** The last of the moves that were asked for; and whether queues change hands right now. */
  #moves: Promise<void> = Promise.resolve();
  #handingOver: Promise<void> | null = null;

  /** Memory, and the queues that main serves. If it throws, nothing is left behind. */
  constructor(
    core: Core,
    context: AioContext,
    base: QueueBase<Config>,
    settings: QueueSettings,
    listener: QueueListener,
  ) {
    this.#core = core;
    this.#context = context;
    this.#base = base;
    this.#settings = settings;
    this.#listener = listener;
    this.#threads = [...settings.threads];
    try {
      for (const [index, thread] of this.#threads.entries()) {
        this.#memory.push(createQueue(core, settings.queueSize, base.takesCommands(index)));
        this.#queues.push(this.#make(index, thread));
      }
      const own = this.#of(null);
      if (own.length > 0) this.#groups.set(null, this.#openLocal(own, false));
    } catch (error) {
      this.closeNow();
      throw error;
    }
  }

  get queues(): readonly OwnedQueue<Config>[] {
    return this.#queues;
  }

  /** Not null: queues change hands until it resolves, and nobody knows their requests. */
  get handingOver(): Promise<void> | null {
    return this.#handingOver;
  }

  #make(
    index: number,
    thread: Place,
    before: OwnedQueue<Config> | null = null,
  ): OwnedQueue<Config> {
    const place = { index, queue: this.#memory[index]!.address, remote: thread !== null };
    return new OwnedQueue(this.#core, this.#base, this.#settings, place, before);
  }

  #of(thread: Place): OwnedQueue<Config>[] {
    return this.#queues.filter((_, index) => this.#threads[index] === thread);
  }

  // ---- Groups ---------------------------------------------------------------------------------

  #openLocal(queues: readonly DeviceQueue[], asleep: boolean): QueueGroup {
    const { onGuestWrite } = this.#settings;
    const listener = this.#listener;
    const place = this.#base.open();
    return new LocalQueues(this.#context, place, queues, listener, onGuestWrite, asleep);
  }

  async #openOn(
    thread: QueueThread,
    queues: readonly DeviceQueue[],
    asleep: boolean,
  ): Promise<QueueGroup> {
    const { onGuestWrite, guestNotifier } = this.#settings;
    const undo = new Undo();
    const { kind, user } = this.#base;
    thread.ref(user);
    undo.add(() => thread.unref(user));
    try {
      const place = await this.#base.openOn(thread);
      undo.add(() => place.close());
      const options = {
        core: this.#core,
        context: this.#context,
        kind,
        place,
        thread,
        listener: this.#listener,
        onGuestWrite,
        interrupts: guestNotifier === 'main',
      };
      return await RemoteQueues.create(options, queues, asleep);
    } catch (error) {
      await undo.all();
      throw error;
    }
  }

  async #closeGroup(thread: Place): Promise<void> {
    const group = this.#groups.get(thread);
    this.#groups.delete(thread);
    try {
      await group?.close();
    } finally {
      thread?.unref(this.#base.user);
    }
  }

  /** Has each thread make its queues. If it rejects, close what there is. */
  async openThreads(): Promise<void> {
    for (const thread of new Set(this.#threads)) {
      if (thread) this.#groups.set(thread, await this.#openOn(thread, this.#of(thread), false));
    }
  }

  /** Gives everything back, whatever fails; then throws what failed first. Nothing is in flight. */
  async close(): Promise<void> {
    await this.#moves;
    this.#hold(false);
    const undo = this.#undo();
    for (const thread of this.#groups.keys()) undo.add(() => this.#closeGroup(thread));
    await undo.all();
  }

  /** As `close`, at once: before `openThreads`. */
  closeNow(): void {
    const undo = this.#undo();
    const local = this.#groups.get(null);
    if (local) undo.add(() => local.close());
    undo.now();
  }

  /** What each queue has. */
  #undo(): Undo {
    const undo = new Undo();
    for (const memory of this.#memory.splice(0)) undo.add(() => memory.free());
    for (const queue of this.#queues) undo.add(() => queue.close());
    return undo;
  }

  // ---- Start and stop -------------------------------------------------------------------------

  /**
   * Lets queues take requests. Their rings have been latched, so that a handler finds all (DP-14).
   */
  start(indexes: readonly number[]): void {
    setRunning(this.#core, this.#words(indexes), true);
    for (const index of indexes) this.#started.add(index);
    this.#listen();
    this.#hold(true);
  }

  /**
   * When this returns no requests are taken any more; those in flight go on. What was completed
   * before has been told (DP-2, DP-13).
   */
  stop(): void {
    const indexes = [...this.#started];
    setRunning(this.#core, this.#words(indexes), false);
    const elsewhere = indexes.filter((index) => {
      return this.#threads[index] && !this.#groupOf(index).left;
    });
    awaitOutside(this.#core, this.#words(elsewhere));
    this.#started.clear();
    this.#listen();
    this.#each(indexes, (group, own) => group.deliver(own));
    this.#hold(false);
  }

  /**
   * Queues are listened for while they are started, unless somebody else listens or the disk is
   * drained; so neither a start nor a stop inside a drained section does it, nor anything twice
   * (DP-3, DP-4). One message for each thread (HN-5).
   */
  #listen(): void {
    const wanted = this.#grabs === 0 && !this.#drained ? this.#started : new Set<number>();
    const gone = [...this.#attached].filter((index) => !wanted.has(index));
    const fresh = [...wanted].filter((index) => !this.#attached.has(index));
    this.#attached.clear();
    for (const index of wanted) this.#attached.add(index);
    this.#each(gone, (group, own) => group.detach(own));
    this.#each(fresh, (group, own) => group.attach(own));
  }

  /**
   * For the backend: its gate has closed. What a handler that still runs submits is parked (DP-5).
   */
  drainedBegin(): void {
    this.#drained = true;
    this.#listen();
  }

  /** For the backend: its gate is open. */
  drainedEnd(): void {
    this.#drained = false;
    this.#listen();
  }

  /**
   * Somebody else watches the host notifiers until as many `release` calls: kicks that come through
   * the doorbell are served without (HN-7).
   */
  grab(): void {
    this.#grabs++;
    this.#listen();
  }

  release(): void {
    if (this.#grabs === 0) throw new Error('host notifiers were released without being grabbed');
    this.#grabs--;
    this.#listen();
  }

  kick(index: number): void {
    this.#groupOf(index).kick(this.#queues[index]!);
  }

  /** Throws from inside a queue's own driver: then none can be disabled. */
  checkOutside(): void {
    this.#each(this.#all, (group, own) => group.checkOutside(own));
  }

  /**
   * Ends what the queues do: when this returns nothing touches their rings or buffers. Nothing if
   * no request is in flight, else a promise that resolves when all are gone; the queues are as new
   * then. Throws, and has done nothing, from inside a queue's own driver.
   */
  disable(indexes: readonly number[]): MaybeLater {
    this.#each(indexes, (group, own) => group.checkOutside(own));
    setRunning(this.#core, this.#words(indexes), false);
    for (const index of indexes) this.#started.delete(index);
    this.#listen();
    const gone = new Set(this.#words(indexes.filter((index) => this.#groupOf(index).left)));
    quiesceQueues(this.#core, this.#words(indexes), (queue) => gone.has(queue));
    const handingOver = this.#handingOver;
    const waits = handingOver ? indexes.filter((index) => this.#isBusy(index)) : [];
    const later = this.#forget(indexes.filter((index) => !waits.includes(index)));
    if (waits.length > 0) later.push(handingOver!.then(() => Promise.all(this.#forget(waits))));
    if (later.length > 0) return Promise.all(later).then(() => {});
  }

  #forget(indexes: readonly number[]): Promise<unknown>[] {
    const later: Promise<unknown>[] = [];
    this.#each(indexes, (group, own) => {
      const forgotten = group.forget(own);
      if (forgotten) later.push(forgotten);
    });
    return later;
  }

  /** Has it popped what it has not pushed? */
  #isBusy(index: number): boolean {
    const { u32 } = this.#core;
    return Atomics.load(u32, (this.#memory[index]!.address + QUEUE_INUSE) >>> 2) !== 0;
  }

  // ---- Requests that wait ---------------------------------------------------------------------

  /** Tells the device now of all that the queues have completed. */
  deliver(): void {
    this.#each(this.#all, (group, own) => group.deliver(own));
  }

  /** Has each queue try again, in its context, what the error policy has kept (BL-16). */
  restartFailed(): void {
    const restart = () => {
      this.#each(this.#all, (group, own) => group.restartFailed(own));
    };
    if (this.#handingOver) void this.#handingOver.then(restart);
    else restart();
  }

  /**
   * Heads of the requests that were popped and not answered, by number of the queue, oldest first;
   * stopped and drained, so that none is in a lane. What the error policy has kept comes first.
   * When it resolves, all of what other threads have posted before has been heard.
   */
  async unfinished(): Promise<number[][]> {
    await this.#moves;
    const heads: number[][] = [];
    const asked: Promise<void>[] = [];
    this.#each(this.#all, (group, own) => {
      const put = async () => {
        for (const [i, { failed, parked }] of (await group.unfinished(own)).entries()) {
          heads[own[i]!.config.index] = [...failed, ...parked];
        }
      };
      asked.push(put());
    });
    await Promise.all(asked);
    return heads;
  }

  /**
   * Popped requests of a queue, by head, oldest first: they are served when it runs, before new
   * ones. Rejects with a RangeError if one is not popped, or waits already.
   */
  async adopt(index: number, heads: readonly number[]): Promise<void> {
    await this.#moves;
    await this.#groupOf(index).adopt(this.#queues[index]!, heads);
  }

  // ---- Moves ----------------------------------------------------------------------------------

  /**
   * Has other threads serve the queues: `threads` by number of the queue, null for main. At any
   * time, with requests in flight. Rejects if one of them refuses; then nothing has changed. It
   * also rejects, and all queues have moved, with what fails when what they have left is closed.
   */
  move(threads: readonly Place[]): Promise<void> {
    const moved = this.#moves.then(() => this.#move(threads));
    this.#moves = moved.catch(() => {});
    return moved;
  }

  async #move(threads: readonly Place[]): Promise<void> {
    if (this.#memory.length === 0) throw new Error('the device is closed');
    const indexes = this.#all.filter((i) => threads[i] !== this.#threads[i]);
    if (indexes.length === 0) return;
    const set: MovingQueues<Config> = {
      core: this.#core,
      gate: this.#base.gate,
      queues: this.#queues,
      threads: this.#threads,
      groups: this.#groups,
      make: (index, thread, before) => this.#make(index, thread, before),
      open: async (thread, queues) => {
        return thread ? this.#openOn(thread, queues, true) : this.#openLocal(queues, true);
      },
      close: (thread) => this.#closeGroup(thread),
      handingOver: (over) => {
        this.#handingOver = over;
      },
    };
    const move = new QueueMove(set, new Map(indexes.map((index) => [index, threads[index]!])));
    await move.prepare();
    try {
      await move.swap();
    } finally {
      this.#handingOver = null;
    }
    this.#hold(this.#started.size > 0);
    await move.finish();
  }

  // ---- All of them ----------------------------------------------------------------------------

  get #all(): number[] {
    return [...this.#queues.keys()];
  }

  #groupOf(index: number): QueueGroup {
    return this.#groups.get(this.#threads[index]!)!;
  }

  #words(indexes: readonly number[]): number[] {
    return indexes.map((index) => this.#memory[index]!.address);
  }

  /** Calls `step` for each group of the queues, with its own; before `openThreads`, of few. */
  #each(
    indexes: readonly number[],
    step: (group: QueueGroup, own: readonly DeviceQueue[]) => void,
  ): void {
    const groups = new Map<QueueGroup, DeviceQueue[]>();
    for (const index of indexes) {
      const group = this.#groups.get(this.#threads[index]!);
      if (!group) continue;
      const own = groups.get(group) ?? [];
      own.push(this.#queues[index]!);
      groups.set(group, own);
    }
    for (const [group, own] of groups) step(group, own);
  }

  /** What another thread finishes is told here: the process must live on to hear it. */
  #hold(on: boolean): void {
    on &&= this.#threads.some((thread) => thread);
    if (on === this.#holdsMain) return;
    this.#holdsMain = on;
    if (on) this.#context.ref();
    else this.#context.unref();
  }
}
