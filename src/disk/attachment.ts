/**
 * A claimed queue on the thread of its client: an instance of the core, a context of its own, the
 * claim, and the two notifiers. What waits and how is the client's.
 */

import { AioContext } from '../aio/context.ts';
import { EventNotifier } from '../aio/event-notifier.ts';
import type { AioHandler } from '../aio/handlers.ts';
import { Core } from '../engine/core.ts';
import { CLAIM_OPEN, CLAIM_RELEASED, Claim } from './claim.ts';
import { DiskError } from './error.ts';
import type { DiskHandle } from './handle.ts';
import { Shape } from './shape.ts';
import { SharedBuffers } from './shared-buffers.ts';

export class Attachment {
  readonly core: Core;
  readonly handle: DiskHandle;
  readonly shape: Shape;
  readonly buffers: SharedBuffers;
  readonly context: AioContext;
  readonly #claim: Claim;
  readonly #host: EventNotifier;
  readonly #guest: EventNotifier;
  #closed = false;

  /**
   * Takes the handle. `check` may refuse before anything has happened. Throws DiskError EBUSY for
   * one that is used, ESTALE, ESHUTDOWN or EOWNERDEAD for one whose time is over, and what
   * `Core.attach` throws.
   */
  static async open(handle: DiskHandle, check: (core: Core) => void): Promise<Attachment> {
    const core = await Core.attach(handle.core);
    check(core);
    new Claim(core, handle.claim).open(handle.generation);
    return new Attachment(core, handle);
  }

  private constructor(core: Core, handle: DiskHandle) {
    const { place, claim, context: block } = handle;
    this.core = core;
    this.handle = handle;
    this.shape = new Shape(core, handle.shape);
    this.buffers = new SharedBuffers(core, handle.buffers);
    this.#claim = new Claim(core, claim);
    this.context = new AioContext(core, { name: `disk client ${place.index}`, block });
    this.#host = EventNotifier.at(core, place.host, `kick ${place.index}`);
    this.#guest = EventNotifier.at(core, place.guest, `interrupt ${place.index}`);
  }

  readonly kick = (): void => this.#host.set();

  /** Calls the handler for interrupts, and when the queue is lost. */
  listen(handler: AioHandler): void {
    this.context.setHandler(this.#guest, handler);
  }

  /** Why nothing comes back from the queue any more, or null. */
  readonly lost = (): Error | null => {
    if (this.#closed) return new DiskError('ESHUTDOWN', 'the client was closed');
    return this.#claim.lost(this.handle.generation);
  };

  /** Nothing is in flight. Gives the queue back, unless it was taken. */
  close(): void {
    if (this.#closed) return;
    const lost = this.lost();
    this.#closed = true;
    // The words of a queue that was taken may be somebody else's by now: not even a goodbye.
    if (lost) return;
    this.context.setHandler(this.#guest, null);
    this.context.close();
    this.#claim.move(this.handle.generation, CLAIM_OPEN, CLAIM_RELEASED);
  }
}
