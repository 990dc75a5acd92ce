/**
 * A client of a disk in another thread that waits: each call returns when it is done, and the
 * thread sleeps meanwhile. What SQLite in WebAssembly needs.
 */

import { canBlock } from '../aio/word-sleeper.ts';
import type { Core } from '../engine/core.ts';
import {
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_F_UNMAP,
} from '../spec.ts';
import { Attachment } from './attachment.ts';
import { DiskError, statusError } from './error.ts';
import type { DiskHandle } from './handle.ts';
import { realm } from './realm.ts';
import { RequestRing } from './request-ring.ts';
import { movesData, type Shape } from './shape.ts';

export class DiskClientSync {
  readonly #attachment: Attachment;
  readonly #shape: Shape;
  readonly #requests: RequestRing;
  /** By slot: where in the call its part begins, and how long it is, in bytes. */
  readonly #starts: Float64Array;
  readonly #lengths: Float64Array;
  // The call under way.
  #type = 0;
  #buffer: Uint8Array | null = null;
  #direct = 0;
  #offset = 0;
  #error: unknown = null;

  /**
   * Opens the client that `Disk.connect` made the handle for. Rejects with DiskError ENOTSUP on a
   * thread that may not wait (a browser's main thread), EDEADLK on the one that serves the queue;
   * the handle is still good then. EBUSY if it is used already; ESTALE, ESHUTDOWN or EOWNERDEAD if
   * the queue is there no more.
   */
  static async open(handle: DiskHandle): Promise<DiskClientSync> {
    const attachment = await Attachment.open(handle, (core) => checkThread(core, handle));
    return new DiskClientSync(attachment);
  }

  private constructor(attachment: Attachment) {
    const { core, handle, shape } = attachment;
    this.#attachment = attachment;
    this.#shape = shape;
    const requests = new RequestRing(core, handle.place, attachment.kick);
    this.#requests = requests;
    this.#starts = new Float64Array(requests.slots);
    this.#lengths = new Float64Array(requests.slots);
    attachment.context.leaveLoop(); // only its own polls bring turns
    attachment.listen({
      read: () => {},
      poll: {
        test: () => requests.finished,
        ready: () => {},
        begin: () => void requests.ring.setInterrupts(false),
        end: () => void requests.ring.setInterrupts(true), // one more look follows
      },
    });
  }

  /** Bytes of the disk. */
  get size(): number {
    return this.#shape.size;
  }

  /** Bytes of which all offsets and lengths are multiples. */
  get blockSize(): number {
    return this.#shape.numbers.blockSize;
  }

  get readOnly(): boolean {
    return this.#shape.numbers.readOnly;
  }

  /** Fills `buffer` from byte `offset` on. Throws as `AsyncDisk.read` rejects. */
  readSync(buffer: Uint8Array, offset: number): void {
    this.#call(VIRTIO_BLK_T_IN, buffer, offset, buffer.length, 0);
  }

  writeSync(buffer: Uint8Array, offset: number): void {
    this.#call(VIRTIO_BLK_T_OUT, buffer, offset, buffer.length, 0);
  }

  /** Makes durable what was written before. */
  flushSync(): void {
    this.#call(VIRTIO_BLK_T_FLUSH, null, 0, 0, 0);
  }

  discardSync(offset: number, length: number): void {
    this.#call(VIRTIO_BLK_T_DISCARD, null, offset, length, 0);
  }

  writeZeroesSync(offset: number, length: number, { unmap = false } = {}): void {
    const flags = unmap ? VIRTIO_BLK_WRITE_ZEROES_F_UNMAP : 0;
    this.#call(VIRTIO_BLK_T_WRITE_ZEROES, null, offset, length, flags);
  }

  /** A zeroed buffer that is used without a copy, see `AsyncDisk.alloc`. */
  alloc(bytes: number): Uint8Array {
    return this.#attachment.buffers.alloc(bytes);
  }

  free(buffer: Uint8Array): void {
    this.#attachment.buffers.free(buffer);
  }

  /** Gives the queue back. */
  close(): void {
    this.#attachment.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // ---- A call ---------------------------------------------------------------------------------

  #call(
    type: number,
    buffer: Uint8Array | null,
    offset: number,
    length: number,
    flags: number,
  ): void {
    this.#shape.check(type, offset, length);
    this.#check();
    if (length === 0 && type !== VIRTIO_BLK_T_FLUSH) return;
    this.#type = type;
    this.#buffer = buffer;
    this.#direct = buffer ? this.#attachment.buffers.addressOf(buffer) : 0;
    this.#offset = offset;
    this.#error = null;
    this.#run(length, flags);
    this.#buffer = null;
    if (this.#error !== null) throw this.#error;
  }

  /** Issues as many parts as there are slots, waits for some, and goes on with the next. */
  #run(length: number, flags: number): void {
    const requests = this.#requests;
    const { context } = this.#attachment;
    let issued = this.#issue(0, length, flags);
    while (requests.inFlight > 0) {
      if (!requests.finished) {
        context.poll(true);
        this.#check();
      }
      this.#collect();
      if (issued < length && this.#error === null) issued = this.#issue(issued, length, flags);
    }
  }

  /** From byte `issued` on; returns how far it came. A flush is a part without bytes. */
  #issue(issued: number, length: number, flags: number): number {
    const requests = this.#requests;
    const type = this.#type;
    const most = this.#shape.partMax(type, requests.slotBytes, this.#direct !== 0);
    requests.begin();
    do {
      const slot = requests.take();
      if (slot < 0) break;
      const part = Math.min(length - issued, most);
      this.#starts[slot] = issued;
      this.#lengths[slot] = part;
      this.#issuePart(slot, issued, part, flags);
      issued += part;
    } while (issued < length);
    requests.publish();
    return issued;
  }

  #issuePart(slot: number, start: number, part: number, flags: number): void {
    const requests = this.#requests;
    const type = this.#type;
    const offset = this.#offset + start;
    const own = requests.addressOf(slot);
    const direct = this.#direct;
    let bytes = part;
    if (type === VIRTIO_BLK_T_OUT && direct === 0) requests.fill(slot, this.#buffer!, start, part);
    else if (part > 0 && !movesData(type)) bytes = requests.fillRange(slot, offset, part, flags);
    requests.issue(slot, type, offset, direct === 0 ? own : direct + start, bytes);
  }

  #collect(): void {
    const requests = this.#requests;
    const type = this.#type;
    requests.begin();
    for (let slot = requests.collect(); slot >= 0; slot = requests.collect()) {
      const start = this.#starts[slot]!;
      const part = this.#lengths[slot]!;
      const status = requests.status(slot);
      requests.give(slot);
      if (status !== VIRTIO_BLK_S_OK) {
        this.#error ??= statusError(type, status, this.#offset + start, part);
      } else if (type === VIRTIO_BLK_T_IN && this.#direct === 0) {
        requests.drainTo(slot, this.#buffer!, start, part);
      }
    }
  }

  #check(): void {
    const lost = this.#attachment.lost();
    if (lost) throw lost;
  }
}

/** Before the handle is used up. */
function checkThread(core: Core, handle: DiskHandle): void {
  if (handle.server === realm) {
    const message = 'this thread serves the queue and would wait for itself: use DiskClient';
    throw new DiskError('EDEADLK', message);
  }
  if (!canBlock(core, handle.context)) {
    throw new DiskError('ENOTSUP', 'this thread may not wait (Atomics.wait): use DiskClient');
  }
}
