/** A client of a disk in another thread, with promises. */

import { AsyncDisk } from './async-disk.ts';
import { AsyncQueue } from './async-queue.ts';
import { Attachment } from './attachment.ts';
import { DiskError } from './error.ts';
import type { DiskHandle } from './handle.ts';

export class DiskClient extends AsyncDisk {
  readonly #attachment: Attachment;
  readonly #queue: AsyncQueue;
  #closing: Promise<void> | null = null;

  /**
   * Opens the client that `Disk.connect` made the handle for. Rejects with DiskError EBUSY if it
   * is used already, with ESTALE, ESHUTDOWN or EOWNERDEAD if the queue is there no more.
   */
  static async open(handle: DiskHandle): Promise<DiskClient> {
    return new DiskClient(await Attachment.open(handle, () => {}));
  }

  private constructor(attachment: Attachment) {
    super(attachment.shape, attachment.buffers);
    const { core, handle, shape, context } = attachment;
    this.#attachment = attachment;
    const queue = new AsyncQueue(core, handle.place, shape, {
      kick: attachment.kick,
      lost: attachment.lost,
      busy: () => context.ref(), // the Worker lives on while it has requests under way
      idle: () => context.unref(),
    });
    this.#queue = queue;
    attachment.listen({ read: () => queue.service() });
  }

  protected override queue(): AsyncQueue {
    if (this.#closing) throw new DiskError('ESHUTDOWN', 'the client was closed');
    const lost = this.#attachment.lost();
    if (lost) throw lost;
    return this.#queue;
  }

  /** Waits for the requests under way, and gives the queue back. New ones are refused at once. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#queue.idle();
    this.#attachment.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
