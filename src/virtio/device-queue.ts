/**
 * What a queue has where it is served: scratch memory, notifiers, a write log, as that place needs
 * them. The ring's own words are the device's, wherever the queue is served. Main thread.
 */

import { EventNotifier } from '../aio/event-notifier.ts';
import { Undo } from '../aio/undo.ts';
import type { Core } from '../engine/core.ts';
import { WRITE_LOG_SIZE } from '../layout.ts';
import type { QueueBase, QueueSettings, RingConfig } from './data-plane.ts';
import type { DeviceQueue } from './queue-group.ts';

export interface QueuePlace {
  readonly index: number;
  readonly queue: number;
  readonly remote: boolean;
}

export class OwnedQueue<Config extends RingConfig = RingConfig> implements DeviceQueue {
  readonly config: Config;
  readonly host: EventNotifier | null;
  readonly guest: EventNotifier | null;
  readonly log: number;
  features = 0;
  readonly #core: Core;
  readonly #undo = new Undo();
  /** Notifiers that a client of the device knows: the same wherever the queue is served. */
  readonly #clients: Undo;

  /**
   * Queue `index`, whose words lie at `queue`, for another thread if `remote`. `before`: the same
   * queue where it is served now. Throws CoreError ENOMEM; then nothing is left behind.
   */
  constructor(
    core: Core,
    base: QueueBase<Config>,
    settings: QueueSettings,
    { index, queue, remote }: QueuePlace,
    before: OwnedQueue<Config> | null = null,
  ) {
    const { guestNotifier, ioeventfd, kick, onGuestWrite } = settings;
    this.#core = core;
    this.#clients = before ? before.#clients : new Undo();
    const client = guestNotifier === 'client';
    try {
      const scratch = base.scratchBytes > 0 ? this.#allocate(base.scratchBytes) : 0;
      this.config = { ...base.config(index, queue), scratch } as Config;
      const host = remote || client || (ioeventfd && kick === 'poll');
      const notifiers = client ? this.#clients : this.#undo;
      const kept = client ? before : null;
      this.host = kept ? kept.host : this.#notifier(notifiers, `kick ${index}`, host);
      const guest = remote || client;
      this.guest = kept ? kept.guest : this.#notifier(notifiers, `interrupt ${index}`, guest);
      this.log = remote && onGuestWrite ? this.#allocate(WRITE_LOG_SIZE) : 0;
    } catch (error) {
      this.leave();
      if (!before) this.#clients.now();
      throw error;
    }
  }

  #allocate(bytes: number): number {
    const address = this.#core.allocate(bytes);
    this.#undo.add(() => this.#core.free(address));
    return address;
  }

  #notifier(undo: Undo, name: string, needed: boolean): EventNotifier | null {
    if (!needed) return null;
    const made = new EventNotifier(this.#core, `virtio-blk ${name}`);
    undo.add(() => made.close());
    return made;
  }

  /** The queue is served elsewhere. */
  leave(): void {
    this.#undo.now();
  }

  /** The queue is served no more. */
  close(): void {
    this.leave();
    this.#clients.now();
  }
}
