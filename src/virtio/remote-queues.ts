/**
 * Queues that another thread serves, seen from main: it has the thread make them, sets host
 * notifiers for kicks, and turns guest notifiers into interrupts. The thread's side is
 * `queue-service.ts`. What main needs at once it does in shared words; messages bring up the rear.
 * Main thread. QEMU: hw/virtio/virtio-bus.c, hw/virtio/virtio-pci.c.
 */

import type { BottomHalfHandle } from '../aio/bottom-half.ts';
import { scheduleRemote } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import { type EncodedError, reviveError } from '../aio/thread-error.ts';
import type { LaneThread, RemoteLane } from '../block/backend.ts';
import type { Core } from '../engine/core.ts';
import {
  BROKEN_ENGINE,
  QUEUE_BROKEN,
  QUEUE_EPOCH,
  QUEUE_INTERRUPTS_LO,
  QUEUE_INUSE,
  QUEUE_SERVING,
} from '../layout.ts';
import type { GuestWriteListener } from './blk-options.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { DeviceQueue, QueueGroup, QueueListener } from './queue-group.ts';
import {
  type CreateQueues,
  QUEUE_BROKEN_EVENT,
  type QueueBroken,
  type QueueList,
  type QueuesCreated,
} from './queue-messages.ts';
import { WriteLogReader } from './write-log.ts';

/** What queues need of the thread that serves them: an `IOThread`. */
export interface QueueThread extends LaneThread {
  /** Calls `listener` with what the thread posts; returns what removes it. */
  on<T>(event: string, listener: (payload: T) => void): () => void;
}

/** How a kick reaches the thread. */
interface Doorbell {
  readonly kick: BottomHalfHandle;
  /** The attach that it waits for, or that was the last to succeed; 0: detached. */
  attempt: number;
  /** The thread watches the host notifier. */
  watched: boolean;
  /** QUEUE_INTERRUPTS when last looked at. */
  interrupts: number;
  /** Holds the used index back until the device has heard what was written. */
  readonly writes: WriteLogReader | null;
}

export interface RemoteQueuesOptions {
  readonly core: Core;
  readonly context: AioContext;
  readonly lane: RemoteLane;
  readonly thread: QueueThread;
  /** All have both notifiers. */
  readonly queues: readonly DeviceQueue[];
  readonly listener: QueueListener;
  /** For queues that have a write log. */
  readonly onGuestWrite: GuestWriteListener | null;
  /** Watch the guest notifiers here; if not, a client does. */
  readonly interrupts: boolean;
}

export class RemoteQueues implements QueueGroup {
  readonly #options: RemoteQueuesOptions;
  readonly #doorbells = new Map<DeviceQueue, Doorbell>();
  readonly #deaf: (() => void)[];
  #attempts = 0;
  #left = false;
  /** Why the thread has died, if it has. */
  #death: unknown;

  /**
   * Has the thread make the queues, and takes the lane over. Rejects with what the thread throws,
   * or with a RangeError if main's context has no room for the guest notifiers; then nothing of
   * the queues is left behind, and the lane is the caller's.
   */
  static async create(options: RemoteQueuesOptions): Promise<RemoteQueues> {
    const { thread, lane, queues } = options;
    const message: CreateQueues = {
      lane: lane.address,
      queues: queues.map(({ config, host, guest, log }) => {
        return { config, host: host!.address, guest: guest!.address, log };
      }),
    };
    const { kicks } = (await thread.call('create-queues', message)) as QueuesCreated;
    const group = new RemoteQueues(options, kicks);
    try {
      group.#watch();
    } catch (error) {
      await group.#closeQueues();
      throw error;
    }
    return group;
  }

  private constructor(options: RemoteQueuesOptions, kicks: readonly BottomHalfHandle[]) {
    const { core, thread, queues, listener, onGuestWrite } = options;
    this.#options = options;
    queues.forEach((one, i) => {
      const kick = kicks[i]!;
      const { log, config } = one;
      const held = log !== 0 && onGuestWrite;
      const writes = held ? new WriteLogReader(core, log, config.queue, onGuestWrite) : null;
      this.#doorbells.set(one, { kick, attempt: 0, watched: false, interrupts: 0, writes });
    });
    this.#deaf = [
      thread.on<QueueBroken>(QUEUE_BROKEN_EVENT, (broken) => this.#told(broken)),
      thread.on<Error>('died', (error) => {
        this.#left = true;
        this.#death = error;
        listener.broken(queues[0]!.config.index, BROKEN_ENGINE, error);
      }),
    ];
  }

  get left(): boolean {
    return this.#left;
  }

  checkOutside(): void {}

  // ---- Kicks ----------------------------------------------------------------------------------

  /**
   * One message for all (HN-5). Until the thread has answered, and for good if it cannot watch the
   * notifiers, a kick schedules a bottom half there as well (HN-4).
   */
  attach(queues: readonly DeviceQueue[]): void {
    if (this.#left) {
      this.#options.listener.broken(queues[0]!.config.index, BROKEN_ENGINE, this.#death);
      return;
    }
    const attempt = ++this.#attempts;
    for (const one of queues) this.#get(one).attempt = attempt;
    this.#post('attach-queues', queues).then(
      () => {
        for (const one of queues) {
          const doorbell = this.#get(one);
          doorbell.watched = doorbell.attempt === attempt;
        }
      },
      (error) => {
        const refused = queues.filter((one) => this.#get(one).attempt === attempt);
        for (const one of refused) this.kick(one);
        // A client sets the notifier by itself: nobody would hear it.
        const [first] = this.#options.interrupts ? [] : refused;
        if (first) this.#options.listener.broken(first.config.index, BROKEN_ENGINE, error);
      },
    );
  }

  detach(queues: readonly DeviceQueue[]): void {
    for (const one of queues) {
      const doorbell = this.#get(one);
      doorbell.attempt = 0;
      doorbell.watched = false;
    }
    this.#post('detach-queues', queues).catch((error) => {
      if (!this.#left) console.warn(`vblk: detach of queues: ${(error as Error).message}`);
    });
    for (const one of queues) this.#deliver(one); // HN-10
  }

  kick(one: DeviceQueue): void {
    const { kick, watched } = this.#get(one);
    if (this.#left) return;
    one.host!.set();
    if (!watched) scheduleRemote(this.#options.core, kick);
  }

  // ---- Interrupts -----------------------------------------------------------------------------

  /** All or none (HN-12). */
  #watch(): void {
    const { context, queues, interrupts } = this.#options;
    if (!interrupts) return;
    let watched = 0;
    try {
      for (; watched < queues.length; watched++) {
        const one = queues[watched]!;
        context.setHandler(one.guest!, () => this.#interrupted(one));
      }
    } catch (error) {
      while (watched > 0) context.setHandler(queues[--watched]!.guest!, null);
      throw error;
    }
  }

  /** What was set before the handler went is delivered (HN-10). */
  #unwatch(): void {
    const { context, queues, interrupts } = this.#options;
    if (!interrupts) return;
    for (const one of queues) {
      context.setHandler(one.guest!, null);
      this.#deliver(one);
    }
  }

  /** An interrupt that has no handler any more. Of what broke, the message tells. */
  #deliver(one: DeviceQueue): void {
    if (this.#options.interrupts && one.guest!.testAndClear()) this.#interrupt(one);
  }

  /** The thread sets the notifier for interrupts, and once when a queue breaks. */
  #interrupted(one: DeviceQueue): void {
    this.#interrupt(one);
    const broken = this.#word(one, QUEUE_BROKEN);
    if (broken !== 0) this.#options.listener.broken(one.config.index, broken, undefined);
  }

  #interrupt(one: DeviceQueue): void {
    if (this.#isWanted(one)) this.#options.listener.interrupt(one.config.index);
  }

  #isWanted(one: DeviceQueue): boolean {
    const doorbell = this.#get(one);
    if (doorbell.writes) return doorbell.writes.publish();
    const count = this.#word(one, QUEUE_INTERRUPTS_LO);
    if (count === doorbell.interrupts) return false;
    doorbell.interrupts = count;
    return true;
  }

  /** Ignored if the queue was reset since. */
  #told({ queue, epoch, cause }: QueueBroken): void {
    const { queues, listener } = this.#options;
    const one = queues.find(({ config }) => config.queue === queue);
    if (!one || this.#word(one, QUEUE_EPOCH) !== epoch) return;
    const broken = this.#word(one, QUEUE_BROKEN);
    if (broken !== 0) listener.broken(one.config.index, broken, revived(cause));
  }

  // ---- The end of requests, and of the queues -------------------------------------------------

  /** With nothing popped there is nothing to wait for: main makes the queue new by itself. */
  forget(queues: readonly DeviceQueue[]): MaybeLater {
    const busy = queues.filter((one) => !this.#left && this.#word(one, QUEUE_INUSE) !== 0);
    for (const one of queues) if (!busy.includes(one)) this.#renew(one);
    if (busy.length === 0) return;
    return this.#post('forget-queues', busy).catch(() => {
      for (const one of busy) this.#renew(one); // its thread has died
    });
  }

  #renew(one: DeviceQueue): void {
    const { core } = this.#options;
    const { queue } = one.config;
    if (this.#left) Atomics.store(core.i32, (queue + QUEUE_SERVING) >>> 2, 0);
    core.engine.queueReset(queue);
    this.#options.core.engine.notifierTestAndClear(one.guest!.address);
  }

  async close(): Promise<void> {
    await this.#closeQueues();
    this.#unwatch();
    await this.#options.lane.close();
  }

  async #closeQueues(): Promise<void> {
    for (const remove of this.#deaf) remove();
    if (this.#left) return;
    try {
      await this.#post('close-queues', this.#options.queues);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'EOWNERDEAD') throw error;
    }
  }

  async #post(service: string, queues: readonly DeviceQueue[]): Promise<void> {
    const list: QueueList = { queues: queues.map(({ config }) => config.queue) };
    await this.#options.thread.call(service, list);
  }

  #word(one: DeviceQueue, field: number): number {
    return Atomics.load(this.#options.core.u32, (one.config.queue + field) >>> 2);
  }

  #get(one: DeviceQueue): Doorbell {
    return this.#doorbells.get(one)!;
  }
}

function revived(cause: EncodedError | null): unknown {
  return cause === null ? undefined : reviveError(cause);
}
