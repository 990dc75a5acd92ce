/**
 * Queues that the main thread serves itself: a kick is served before the doorbell's write returns
 * (HN-13), or from the context's next turn if they have host notifiers. Main thread.
 */

import type { AioContext } from '../aio/context.ts';
import type { BackendLane } from '../block/lane.ts';
import type { Core } from '../engine/core.ts';
import { BROKEN_ENGINE } from '../layout.ts';
import type { GuestWriteListener } from './blk-options.ts';
import { BlkQueue, type BlkQueueEvents } from './blk-queue.ts';
import type { MaybeLater } from './device-hooks.ts';
import { HostNotifier } from './host-notifier.ts';
import type { DeviceQueue, QueueGroup, QueueListener } from './queue-group.ts';

interface Served {
  readonly queue: BlkQueue;
  readonly host: HostNotifier | null;
}

export class LocalQueues implements QueueGroup {
  readonly left = false;
  readonly #context: AioContext;
  readonly #lane: BackendLane;
  readonly #listener: QueueListener;
  readonly #served = new Map<DeviceQueue, Served>();

  /** Takes the lane over. Throws what the context throws when it is full. */
  constructor(
    core: Core,
    context: AioContext,
    lane: BackendLane,
    queues: readonly DeviceQueue[],
    listener: QueueListener,
    onGuestWrite: GuestWriteListener | null,
  ) {
    this.#context = context;
    this.#lane = lane;
    this.#listener = listener;
    try {
      for (const one of queues) {
        // As if it came by message.
        const config = structuredClone(one.config);
        const events = eventsOf(one, listener, onGuestWrite);
        const queue = new BlkQueue(config, core, context, lane, events);
        const host = one.host && new HostNotifier(this.#context, one.host, queue);
        this.#served.set(one, { queue, host });
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  checkOutside(queues: readonly DeviceQueue[]): void {
    if (!queues.some((one) => this.#get(one).queue.inside)) return;
    throw new Error('blk: a queue cannot be detached by its own driver');
  }

  /** If one cannot be attached none is: all kicks are served inline then, until the next start. */
  attach(queues: readonly DeviceQueue[]): void {
    try {
      for (const one of queues) this.#get(one).host?.attach();
    } catch (error) {
      this.detach(queues);
      const [client] = queues.filter(({ guest }) => guest);
      // A client sets the notifier by itself: nobody would hear it.
      if (client) this.#listener.broken(client.config.index, BROKEN_ENGINE, error);
    }
  }

  detach(queues: readonly DeviceQueue[]): void {
    for (const one of queues) this.#get(one).host?.detach();
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

  close(): void {
    for (const { queue, host } of this.#served.values()) {
      host?.detach();
      queue.close();
    }
    this.#served.clear();
    this.#lane.close();
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
): BlkQueueEvents {
  const { guest } = one;
  if (!guest) return { ...callsOf(listener), onGuestWrite };
  return {
    interrupt: () => guest.set(),
    broken: (index, reason, cause) => {
      listener.broken(index, reason, cause);
      guest.set(); // whoever watches it finds the queue broken
    },
    onGuestWrite,
  };
}

function callsOf(listener: QueueListener) {
  return {
    interrupt: (index: number) => listener.interrupt(index),
    broken: (index: number, reason: number, cause: unknown) =>
      listener.broken(index, reason, cause),
  };
}
