/**
 * What the data planes of all queues have in common: when a ring is served and when not, epochs,
 * the question who must be told (design section 1, steps 4 and 10). Built from a plain config, on
 * any thread. It meets the control plane in shared words (`queue-serving.ts`) and in `QueueEvents`.
 * All methods: home thread. QEMU: `virtio_queue_host_notifier_aio_read`, `virtio_blk_handle_vq`.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import { deferCallBegin, deferCallEnd } from '../aio/defer-call.ts';
import type { Core } from '../engine/core.ts';
import { CONTEXT_MAX_BATCH, QUEUE_NOTIFICATION } from '../layout.ts';
import type { DataPlane, QueueEvents, RingConfig } from './data-plane.ts';
import type { MaybeLater } from './device-hooks.ts';
import { QueueNews } from './queue-news.ts';
import { QueueServing } from './queue-serving.ts';
import { type QueueRequests, QueueWaiting } from './queue-waiting.ts';
import type { RingRecords } from './ring-records.ts';
import type { Unfinished } from './unfinished.ts';

/**
 * Chains that one call into the engine pops at most: as many as are merged, and half of a usual
 * depth, so that a driver on another thread refills one half while the other is served.
 */
const POP_MAX = 32;
/** Requests after which the context's others get their turn: a guest may publish without end. */
const SERVE_MAX = 2048;

export abstract class RingQueue implements DataPlane {
  readonly config: RingConfig;
  /** Told after each serving: whether requests may be there that wait for something else. */
  onServed: ((blocked: boolean) => void) | null = null;
  /** Around all that touches guest memory. */
  protected readonly serving: QueueServing;
  /** Pop waits until a push frees segment blocks. */
  protected stalled = false;
  /** Requests that this serving may still take. */
  protected budget = 0;
  readonly #core: Core;
  readonly #context: AioContext;
  readonly #records: RingRecords;
  readonly #events: QueueEvents;
  readonly #inside: QueueServing;
  #requests!: QueueRequests;
  #news!: QueueNews;
  #waiting!: QueueWaiting;
  #bottomHalf!: BottomHalf;
  #serving = false;
  /** The bottom half is to serve, not only to tell. */
  #again = false;
  /** Asleep it is somebody else who serves the queue, and it touches none of its words. */
  #awake: boolean;
  #whenGone: (() => void)[] = [];

  protected constructor(
    config: RingConfig,
    core: Core,
    context: AioContext,
    records: RingRecords,
    events: QueueEvents,
    asleep: boolean,
  ) {
    this.config = config;
    this.#core = core;
    this.#context = context;
    this.#records = records;
    this.#events = events;
    this.#awake = !asleep;
    this.#inside = this.serving = new QueueServing(core, config.queue);
  }

  /** To be called at the end of the constructor. Throws a RangeError if the context is full. */
  protected begun(name: string, requests: QueueRequests): void {
    const { config } = this;
    this.#requests = requests;
    this.#news = new QueueNews(config, this.#records, requests, this.#events);
    this.#waiting = new QueueWaiting(this.#records, requests, this.#inside, (now) => {
      return this.#catchUp(now);
    });
    this.#bottomHalf = this.#context.bottomHalf(`${name} ${config.index}`, this.#deferred);
  }

  // ---- What a kind of queue does ----------------------------------------------------------------

  /** Could requests be taken now? If not, somebody serves the queue when they can. */
  protected mayServe(): boolean {
    return true;
  }

  /** Serves requests that wait, and new ones. False if it has to wait for something. */
  protected abstract serveRing(): boolean;

  /** A reset: what was collected and what is kept is no request any more. */
  protected abstract dropAll(): void;

  /** Gives back what it has of the thread. */
  protected closing(): void {}

  // ---- Life -----------------------------------------------------------------------------------

  /** Is this thread inside a call that touches guest memory? Then the queue cannot be quiesced. */
  get inside(): boolean {
    return this.#inside.inside;
  }

  forget(): MaybeLater {
    this.#drop();
    if (this.#requests.submitted > 0) return new Promise((gone) => this.#whenGone.push(gone));
    this.#clear();
  }

  #drop(): void {
    this.dropAll();
    this.#again = false;
  }

  /**
   * Nothing of an old epoch is in flight: records and blocks are free again. Inside, so that main
   * does not make the queue new at the same time, nor hand it to the driver before we are done.
   */
  #clear(): void {
    this.#inside.enter();
    this.#core.engine.queueReset(this.config.queue);
    this.#inside.leave();
    this.#begin();
    const waiting = this.#whenGone;
    this.#whenGone = [];
    for (const resolve of waiting) resolve();
  }

  #begin(): void {
    this.#inside.begin();
    this.stalled = false;
    this.#news.begin();
  }

  flush(): void {
    this.#records.refresh();
    this.#news.tell();
  }

  close(): void {
    if (this.#awake) this.flush();
    this.closing();
    this.#bottomHalf.delete();
  }

  // ---- Requests that wait ---------------------------------------------------------------------

  /** Of what has failed is told before. */
  unfinished(): Unfinished {
    if (!this.#serving) this.flush();
    return this.#waiting.list();
  }

  /** By the usual way, which lies behind the gate and needs a queue that runs (BL-16). */
  restartFailed(): void {
    if (!this.#awake) return;
    this.#waiting.restartFailed();
    this.serveLater();
  }

  /** After those that wait. Throws a RangeError if one is not popped, or waits already. */
  adopt(heads: readonly number[]): void {
    this.#waiting.adopt(heads);
    this.serveLater();
  }

  /** From the return on nothing of its words is touched. What is to be told is told before. */
  handOver(): Unfinished {
    if (this.#requests.submitted > 0) throw new Error('a queue in flight was handed over');
    const unfinished = this.unfinished();
    this.#drop();
    this.#awake = false;
    return unfinished;
  }

  take(unfinished: Unfinished): void {
    this.#awake = true;
    this.#begin();
    this.#waiting.take(unfinished);
    this.serveLater();
  }

  // ---- Serving --------------------------------------------------------------------------------

  kick(): void {
    this.#records.revalidate();
    this.#records.countKick(this.config.queue);
    this.serve();
  }

  /**
   * A call from inside a driver's `submit` only leaves word. What drivers defer is done once for
   * all requests (TP-6).
   */
  serve(): void {
    if (this.#serving) {
      this.serveLater();
      return;
    }
    if (!this.#awake) return;
    const current = this.#inside.enter();
    let blocked = true;
    this.#serving = true;
    try {
      this.#records.revalidate();
      deferCallBegin();
      try {
        blocked = !this.#catchUp(current) || !this.#inside.running || !this.#handle();
      } finally {
        deferCallEnd();
      }
    } catch (error) {
      this.#news.threw(error);
    } finally {
      this.#serving = false;
      this.#inside.leave();
    }
    this.#news.tell();
    this.onServed?.(blocked);
  }

  setNotification(on: boolean): void {
    if (!this.#awake) return;
    const current = this.#inside.enter();
    try {
      this.#records.refresh();
      if (!this.#catchUp(current) || !this.#inside.running) return;
      this.#core.engine.queueSetNotification(this.config.queue, on ? 1 : 0);
    } catch (error) {
      this.#news.threw(error);
    } finally {
      this.#inside.leave();
    }
  }

  /** Inside. A new epoch begins here once main has seen that nothing of the old one is left. */
  #catchUp(current: boolean): boolean {
    if (current) return true;
    this.#drop();
    if (this.#requests.submitted > 0) return false; // main waits for them
    this.#begin();
    return true;
  }

  /**
   * VQ-10: notifications off, serve, on, and look once more, for the driver may have published
   * without a kick in between. Notifications that were off at entry are somebody else's. False if
   * it had to stop before the ring was empty.
   */
  #handle(): boolean {
    const { engine } = this.#core;
    const { queue } = this.config;
    if (!this.mayServe()) return false;
    const ours = this.#records.u32[(queue + QUEUE_NOTIFICATION) >>> 2] === 1;
    this.budget = SERVE_MAX;
    for (;;) {
      if (ours) engine.queueSetNotification(queue, 0);
      const emptied = this.serveRing();
      const more = ours ? engine.queueSetNotification(queue, 1) : 1 - engine.queueEmpty(queue);
      if (!emptied || more === 0) return emptied;
      if (this.budget > 0) continue;
      this.serveLater();
      return true;
    }
  }

  /** aio-max-batch of the context; 0: our own choice. */
  protected popMax(): number {
    const most = this.#records.u32[(this.#context.address + CONTEXT_MAX_BATCH) >>> 2]!;
    return most > 0 && most < POP_MAX ? most : POP_MAX;
  }

  /**
   * Does something with the requests outside of a serving, and tells what has come of it at once.
   * `otherwise`: the answer of a queue that is asleep, or has requests of an epoch that has ended.
   */
  protected within<T>(otherwise: T, step: () => T): T {
    if (!this.#awake) return otherwise;
    const current = this.#inside.enter();
    let answer = otherwise;
    try {
      this.#records.refresh();
      if (this.#catchUp(current)) answer = step();
    } catch (error) {
      this.#news.threw(error);
    } finally {
      this.#inside.leave();
    }
    if (this.#serving) return answer; // told when that is over
    this.flush();
    return answer;
  }

  // ---- Later ----------------------------------------------------------------------------------

  /** A request that was in a lane has settled, and was pushed if it was of this epoch. Inside. */
  protected afterSettled(): void {
    const requests = this.#requests;
    if (this.#whenGone.length > 0 && requests.submitted === 0) this.#clear();
    // Interrupts of one turn become one; a push has freed blocks that pop may wait for.
    if (this.stalled) this.serveLater();
    else if (requests.interrupt || this.#news.urgent) this.#bottomHalf.schedule();
  }

  /** The engine or a driver failed: the queue is dead until reset. */
  protected threw(error: unknown): void {
    this.#news.threw(error);
  }

  /** To be told outside of the handler loop. */
  protected get news(): QueueNews {
    return this.#news;
  }

  readonly serveLater = (): void => {
    this.#again = true;
    this.#bottomHalf.schedule();
  };

  readonly #deferred = (): void => {
    if (!this.#again) {
      this.flush();
      return;
    }
    this.#again = false;
    this.serve();
  };
}
