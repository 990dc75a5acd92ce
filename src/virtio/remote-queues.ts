/**
 * Queues that another thread serves, seen from main: it has the thread make them, sets host
 * notifiers for kicks, and turns guest notifiers into interrupts. The thread's side is
 * `queue-service.ts`. What main needs at once it does in shared words; messages bring up the rear.
 * Main thread. QEMU: hw/virtio/virtio-bus.c, hw/virtio/virtio-pci.c.
 */

import type { BottomHalfHandle } from '../aio/bottom-half.ts';
import { scheduleRemote } from '../aio/bottom-half.ts';
import { type EncodedError, reviveError } from '../aio/thread-error.ts';
import {
  BROKEN_ENGINE,
  QUEUE_BROKEN,
  QUEUE_EPOCH,
  QUEUE_INTERRUPTS_LO,
  QUEUE_INUSE,
  QUEUE_SERVING,
} from '../layout.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { DeviceQueue, QueueGroup } from './queue-group.ts';
import {
  type AdoptRequests,
  type CreateQueues,
  IO_ERROR_EVENT,
  listOf,
  QUEUE_BROKEN_EVENT,
  type QueueBroken,
  type QueueIoError,
  type QueuesCreated,
  type TakeQueues,
} from './queue-messages.ts';
import type { Doorbell, RemoteQueuesOptions } from './remote-doorbell.ts';
import type { Unfinished } from './unfinished.ts';
import { WriteLogReader } from './write-log.ts';

export type { QueueThread } from './remote-doorbell.ts';

export class RemoteQueues implements QueueGroup {
  readonly #options: RemoteQueuesOptions;
  readonly #doorbells = new Map<DeviceQueue, Doorbell>();
  readonly #deaf: (() => void)[];
  #attempts = 0;
  #left = false;
  /** Why the thread has died, if it has. */
  #death: unknown;

  /**
   * Takes the place over, has the thread make the queues, all of which have both notifiers, and
   * serves them, unless they are `asleep` until `take`. Rejects with what the thread throws, or
   * with a RangeError if main's context has no room for the guest notifiers; then nothing of the
   * queues is left behind, and the place is the caller's.
   */
  static async create(
    options: RemoteQueuesOptions,
    queues: readonly DeviceQueue[],
    asleep = false,
  ): Promise<RemoteQueues> {
    const group = new RemoteQueues(options);
    try {
      await group.#make(queues, asleep);
    } catch (error) {
      group.#endListening();
      throw error;
    }
    return group;
  }

  private constructor(options: RemoteQueuesOptions) {
    const { thread } = options;
    this.#options = options;
    this.#deaf = [
      thread.on<QueueBroken>(QUEUE_BROKEN_EVENT, (broken) => this.#told(broken)),
      thread.on<QueueIoError>(IO_ERROR_EVENT, (failed) => this.#failed(failed)),
      thread.on<Error>('died', (error) => this.#died(error)),
    ];
  }

  #died(error: Error): void {
    this.#left = true;
    this.#death = error;
    this.#tellOfDeath();
  }

  #tellOfDeath(): void {
    const first = this.#queues.find((one) => this.#get(one).awake);
    if (first) this.#options.listener.broken(first.config.index, BROKEN_ENGINE, this.#death);
  }

  /** All or none. */
  async #make(queues: readonly DeviceQueue[], asleep: boolean): Promise<void> {
    const { thread, kind, place } = this.#options;
    const message: CreateQueues = {
      kind,
      place: place.address,
      queues: queues.map(({ config, host, guest, log }) => {
        return { config, host: host!.address, guest: guest!.address, log };
      }),
      asleep,
    };
    const { kicks } = (await thread.call('create-queues', message)) as QueuesCreated;
    queues.forEach((one, i) => {
      this.#doorbells.set(one, this.#doorbell(one, kicks[i]!, !asleep));
    });
    try {
      this.#watch(queues);
    } catch (error) {
      for (const one of queues) this.#doorbells.delete(one);
      await this.#closeQueues(queues);
      throw error;
    }
  }

  #doorbell({ log, config }: DeviceQueue, kick: BottomHalfHandle, awake: boolean): Doorbell {
    const { core, onGuestWrite } = this.#options;
    const held = log !== 0 && onGuestWrite;
    const writes = held ? new WriteLogReader(core, log, config.queue, onGuestWrite) : null;
    return { kick, attempt: 0, watched: false, interrupts: 0, awake, writes };
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
      this.#tellOfDeath();
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
  }

  kick(one: DeviceQueue): void {
    const { kick, watched } = this.#get(one);
    if (this.#left) return;
    one.host!.set();
    if (!watched) scheduleRemote(this.#options.core, kick);
  }

  // ---- Interrupts -----------------------------------------------------------------------------

  /** All or none (HN-12). */
  #watch(queues: readonly DeviceQueue[]): void {
    const { context, interrupts } = this.#options;
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
  #unwatch(queues: readonly DeviceQueue[]): void {
    const { context, interrupts } = this.#options;
    if (!interrupts) return;
    for (const one of queues) context.setHandler(one.guest!, null);
    this.deliver(queues);
  }

  /**
   * What was pushed counts, whether the thread has set the notifier for it yet or is about to: the
   * handler then finds that it was told. Of what broke, the message tells.
   */
  deliver(queues: readonly DeviceQueue[]): void {
    if (!this.#options.interrupts) return;
    for (const one of queues) {
      if (!this.#get(one).awake) continue;
      one.guest!.testAndClear();
      this.#interrupt(one);
    }
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
    const { listener } = this.#options;
    const one = this.#find(queue, epoch);
    if (!one) return;
    const broken = this.#word(one, QUEUE_BROKEN);
    if (broken !== 0) listener.broken(one.config.index, broken, revived(cause));
  }

  #failed({ queue, epoch, failure }: QueueIoError): void {
    if (this.#find(queue, epoch)) this.#options.listener.ioError(failure);
  }

  /** None if it is no queue of ours, or was reset since `epoch`. */
  #find(queue: number, epoch: number): DeviceQueue | undefined {
    const one = this.#queues.find(({ config }) => config.queue === queue);
    return one && this.#word(one, QUEUE_EPOCH) === epoch ? one : undefined;
  }

  // ---- The end of requests, and of the queues -------------------------------------------------

  /** With nothing popped there is nothing to wait for: main makes the queue new by itself. */
  forget(queues: readonly DeviceQueue[]): MaybeLater {
    const busy = queues.filter((one) => !this.#left && this.#word(one, QUEUE_INUSE) !== 0);
    for (const one of queues) if (!busy.includes(one)) this.#renew(one);
    if (busy.length === 0) return;
    return this.#post('forget-queues', busy).then(
      () => {},
      () => {
        for (const one of busy) this.#renew(one); // its thread has died
      },
    );
  }

  #renew(one: DeviceQueue): void {
    const { core } = this.#options;
    const { queue } = one.config;
    if (this.#left) Atomics.store(core.i32, (queue + QUEUE_SERVING) >>> 2, 0);
    core.engine.queueReset(queue);
    one.guest!.testAndClear();
    this.#get(one).interrupts = this.#word(one, QUEUE_INTERRUPTS_LO);
  }

  async close(): Promise<void> {
    const queues = this.#queues;
    this.#endListening();
    await this.#closeQueues(queues);
    this.#unwatch(queues);
    await this.#options.place.close();
  }

  #endListening(): void {
    for (const remove of this.#deaf) remove();
  }

  async #closeQueues(queues: readonly DeviceQueue[]): Promise<void> {
    if (this.#left || queues.length === 0) return;
    try {
      await this.#post('close-queues', queues);
    } catch (error) {
      if (!isDeath(error)) throw error;
    }
  }

  // ---- Requests that wait ---------------------------------------------------------------------

  restartFailed(queues: readonly DeviceQueue[]): void {
    this.#post('restart-failed', queues).catch((error) => {
      if (!this.#left) console.warn(`vblk: restart of requests: ${(error as Error).message}`);
    });
  }

  async unfinished(queues: readonly DeviceQueue[]): Promise<Unfinished[]> {
    return (await this.#post('unfinished-requests', queues)) as Unfinished[];
  }

  async adopt(one: DeviceQueue, heads: readonly number[]): Promise<void> {
    const message: AdoptRequests = { queue: one.config.queue, heads };
    await this.#options.thread.call('adopt-requests', message);
  }

  // ---- Moves ----------------------------------------------------------------------------------

  add(queues: readonly DeviceQueue[]): Promise<void> {
    return this.#make(queues, true);
  }

  /** A thread that has died has broken the device; its requests are gone with it. */
  async handOver(queues: readonly DeviceQueue[]): Promise<Unfinished[]> {
    try {
      return (await this.#post('hand-over-queues', queues)) as Unfinished[];
    } catch (error) {
      if (!isDeath(error)) throw error;
    }
    await this.#options.thread.ended;
    return queues.map((one) => {
      Atomics.store(this.#options.core.i32, (one.config.queue + QUEUE_SERVING) >>> 2, 0);
      return { epoch: this.#word(one, QUEUE_EPOCH), failed: [], parked: [] };
    });
  }

  async take(queues: readonly DeviceQueue[], unfinished: readonly Unfinished[]): Promise<void> {
    for (const one of queues) {
      const doorbell = this.#get(one);
      doorbell.awake = true;
      doorbell.interrupts = this.#word(one, QUEUE_INTERRUPTS_LO);
      doorbell.writes?.begin();
    }
    if (this.#left) this.#tellOfDeath();
    const message: TakeQueues = { ...listOf(queues), unfinished };
    try {
      await this.#options.thread.call('take-queues', message);
    } catch (error) {
      if (!isDeath(error)) throw error; // of that, the event tells
    }
  }

  /** All that was completed here has been told when this returns. */
  remove(queues: readonly DeviceQueue[]): Promise<void> {
    this.#unwatch(queues);
    for (const one of queues) this.#doorbells.delete(one);
    return this.#closeQueues(queues);
  }

  // ---- Words and messages ---------------------------------------------------------------------

  get #queues(): DeviceQueue[] {
    return [...this.#doorbells.keys()];
  }

  #post(service: string, queues: readonly DeviceQueue[]): Promise<unknown> {
    return this.#options.thread.call(service, listOf(queues));
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

function isDeath(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'EOWNERDEAD';
}
