/**
 * Queues that the main thread serves itself: a kick is served before the doorbell's write returns
 * (HN-13), or from the context's next turn if they have host notifiers. Main thread.
 */

import type { AioContext } from '../aio/context.ts';
import { BROKEN_ENGINE } from '../layout.ts';
import type { DataPlane, LocalPlace, QueueEvents } from './data-plane.ts';
import type { MaybeLater } from './device-hooks.ts';
import type { GuestWriteListener } from './guest-write.ts';
import { HostNotifier } from './host-notifier.ts';
import type { IoFailure } from './io-failure.ts';
import type { DeviceQueue, QueueGroup, QueueListener } from './queue-group.ts';
import type { Unfinished } from './unfinished.ts';

interface Served {
  readonly queue: DataPlane;
  readonly host: HostNotifier | null;
}

export class LocalQueues implements QueueGroup {
  readonly left = false;
  readonly #context: AioContext;
  readonly #place: LocalPlace;
  readonly #listener: QueueListener;
  readonly #onGuestWrite: GuestWriteListener | null;
  readonly #served = new Map<DeviceQueue, Served>();

  /**
   * Takes the place over. Throws what the context throws when it is full: then it has closed it.
   */
  constructor(
    context: AioContext,
    place: LocalPlace,
    queues: readonly DeviceQueue[],
    listener: QueueListener,
    onGuestWrite: GuestWriteListener | null,
    asleep = false,
  ) {
    this.#context = context;
    this.#place = place;
    this.#listener = listener;
    this.#onGuestWrite = onGuestWrite;
    try {
      this.#make(queues, asleep);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #make(queues: readonly DeviceQueue[], asleep: boolean): void {
    const made: DeviceQueue[] = [];
    try {
      for (const one of queues) {
        this.#served.set(one, this.#serve(one, asleep));
        made.push(one);
      }
    } catch (error) {
      this.remove(made);
      throw error;
    }
  }

  #serve(one: DeviceQueue, asleep: boolean): Served {
    // As if it came by message.
    const config = structuredClone(one.config);
    const events = eventsOf(one, this.#listener, this.#onGuestWrite);
    const queue = this.#place.serve(config, events, asleep);
    const host = one.host && new HostNotifier(this.#context, one.host, queue);
    return { queue, host };
  }

  checkOutside(queues: readonly DeviceQueue[]): void {
    if (!queues.some((one) => this.#get(one).queue.inside)) return;
    throw new Error('a queue cannot be detached by its own driver');
  }

  /**
   * If one cannot be attached none is: all kicks are served inline then, until the next start. The
   * driver may have published just before it was asked for kicks, and will not kick for that: a
   * queue without a notifier that would be set looks at its ring by itself (HN-3).
   */
  attach(queues: readonly DeviceQueue[]): void {
    for (const one of queues) this.#get(one).queue.setNotification(true); // HN-8
    try {
      for (const one of queues) this.#get(one).host?.attach();
    } catch (error) {
      this.detach(queues);
      const [client] = queues.filter(({ guest }) => guest);
      // A client sets the notifier by itself: nobody would hear it.
      if (client) this.#listener.broken(client.config.index, BROKEN_ENGINE, error);
    }
    for (const one of queues) {
      const { queue, host } = this.#get(one);
      if (!host?.attached) queue.serveLater();
    }
  }

  detach(queues: readonly DeviceQueue[]): void {
    for (const one of queues) this.#get(one).host?.detach();
  }

  deliver(queues: readonly DeviceQueue[]): void {
    for (const one of queues) this.#get(one).queue.flush();
  }

  kick(one: DeviceQueue): void {
    const { queue, host } = this.#get(one);
    if (host?.attached) one.host?.set();
    else queue.kick();
  }

  forget(queues: readonly DeviceQueue[]): MaybeLater {
    const later = queues.map((one) => this.#get(one).queue.forget()).filter((gone) => gone);
    if (later.length > 0) return Promise.all(later).then(() => {});
  }

  restartFailed(queues: readonly DeviceQueue[]): void {
    for (const one of queues) this.#get(one).queue.restartFailed();
  }

  async unfinished(queues: readonly DeviceQueue[]): Promise<Unfinished[]> {
    return queues.map((one) => this.#get(one).queue.unfinished());
  }

  async adopt(one: DeviceQueue, heads: readonly number[]): Promise<void> {
    this.#get(one).queue.adopt(heads);
  }

  async add(queues: readonly DeviceQueue[]): Promise<void> {
    this.#make(queues, true);
  }

  async handOver(queues: readonly DeviceQueue[]): Promise<Unfinished[]> {
    this.detach(queues);
    return queues.map((one) => this.#get(one).queue.handOver());
  }

  async take(queues: readonly DeviceQueue[], unfinished: readonly Unfinished[]): Promise<void> {
    queues.forEach((one, i) => {
      this.#get(one).queue.take(structuredClone(unfinished[i]!));
    });
  }

  remove(queues: readonly DeviceQueue[]): void {
    for (const one of queues) {
      const { queue, host } = this.#get(one);
      this.#served.delete(one);
      host?.detach();
      queue.close();
    }
  }

  close(): void {
    this.remove([...this.#served.keys()]);
    this.#place.close();
  }

  #get(one: DeviceQueue): Served {
    return this.#served.get(one)!;
  }
}

/** On one thread a message is a direct call. */
function eventsOf(
  one: DeviceQueue,
  listener: QueueListener,
  onGuestWrite: GuestWriteListener | null,
): QueueEvents {
  const { guest } = one;
  if (!guest) return { ...callsOf(listener), onGuestWrite };
  return {
    interrupt: () => guest.set(),
    broken: (index, reason, cause) => {
      listener.broken(index, reason, cause);
      guest.set(); // whoever watches it finds the queue broken
    },
    ioError: (failure) => listener.ioError(failure),
    onGuestWrite,
  };
}

function callsOf(listener: QueueListener) {
  return {
    interrupt: (index: number) => listener.interrupt(index),
    broken: (index: number, reason: number, cause: unknown) =>
      listener.broken(index, reason, cause),
    ioError: (failure: IoFailure) => listener.ioError(failure),
  };
}
