/**
 * The host notifier (ioeventfd) of one queue, in the context that serves it: a flag that the
 * doorbell sets, and the handler that serves the ring when it is set, or, while the context
 * busy-polls, when buffers are in the ring. Home thread of the context.
 * QEMU: `virtio_queue_aio_attach_host_notifier` and its callbacks, hw/virtio/virtio.c.
 */

import type { AioContext } from '../aio/context.ts';
import type { EventNotifier } from '../aio/event-notifier.ts';
import type { DataPlane } from './data-plane.ts';

export class HostNotifier {
  readonly #context: AioContext;
  readonly #notifier: EventNotifier;
  readonly #queue: DataPlane;
  #attached = false;
  /** Busy polling would find buffers that cannot be served now, and find them again. */
  #blocked = false;

  constructor(context: AioContext, notifier: EventNotifier, queue: DataPlane) {
    this.#context = context;
    this.#notifier = notifier;
    this.#queue = queue;
  }

  get attached(): boolean {
    return this.#attached;
  }

  /**
   * Serves the queue from now on. Who attaches asks the driver for kicks before, whatever the last
   * detach left, and also if nobody can listen for them (HN-8); what was published before is served
   * as if it had been kicked for (HN-3). Throws what the context throws when it is full; then
   * nothing has happened (HN-4).
   */
  attach(): void {
    if (this.#attached) return;
    this.#blocked = false;
    this.#listen();
    this.#attached = true;
    this.#queue.onServed = (blocked) => this.#served(blocked);
    this.#notifier.set();
  }

  /**
   * Serves the queue no more. A kick that was there first is served now, unless the queue has been
   * stopped (HN-2). Notifications stay as they are (HN-8).
   */
  detach(): void {
    if (!this.#attached) return;
    this.#attached = false;
    this.#queue.onServed = null;
    this.#context.setHandler(this.#notifier, null);
    if (this.#notifier.testAndClear()) this.#queue.kick();
  }

  #listen(): void {
    const queue = this.#queue;
    const read = () => queue.kick();
    if (this.#blocked) {
      this.#context.setHandler(this.#notifier, { read });
      return;
    }
    this.#context.setHandler(this.#notifier, {
      read,
      poll: {
        queue: queue.config.queue,
        begin: () => queue.setNotification(false),
        ready: () => queue.serve(),
        end: () => queue.setNotification(true),
      },
    });
  }

  /** While requests wait for a gate or for room, the queue comes back to them by itself. */
  #served(blocked: boolean): void {
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.#listen();
    if (blocked) this.#queue.setNotification(true); // `end` is not called for a replaced handler
  }
}
