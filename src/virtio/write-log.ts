/**
 * What the thread of a queue wrote to guest memory, told to main before the driver can see that it
 * was written: for an emulator that translates code, which has to forget what it has translated
 * from there, and can do so on its own thread alone. The queue is enabled with QUEUE_F_HELD:
 *
 *     home: logs and writes; pushes; `commit`;     main: `publish` takes what was committed,
 *           sets the guest notifier                      tells of the writes, stores used.idx
 *
 * An entry may stand in the log before its bytes are written, but is committed only after. Nothing
 * waits: what does not fit is counted as lost, and main then tells of all of guest memory.
 */

import type { Core } from '../engine/core.ts';
import {
  QUEUE_EPOCH,
  QUEUE_USED_IDX,
  WRITE_LOG_ENTRIES,
  WRITE_LOG_FIRST,
  WRITE_LOG_HEAD,
  WRITE_LOG_LOST,
  WRITE_LOG_TAIL,
  WRITE_LOG_USED,
} from '../layout.ts';
import type { GuestWriteListener } from './guest-write.ts';

/** No address. */
const NOWHERE = -1;

/** The home thread's side. Inside (`QueueServing`), so that no reset comes in between. */
export class WriteLog {
  readonly #core: Core;
  readonly #address: number;
  readonly #queue: number;
  #tail: number;
  #lost: number;
  /** The end of the last entry, to which the next may be joined unless it was committed. */
  #end = NOWHERE;

  /** Addresses of the log and of the queue's words. */
  constructor(core: Core, address: number, queue: number) {
    this.#core = core;
    this.#address = address;
    this.#queue = queue;
    this.#tail = this.#load(WRITE_LOG_TAIL);
    this.#lost = this.#load(WRITE_LOG_LOST);
  }

  readonly add: GuestWriteListener = (address, length) => {
    const { u32 } = this.#core;
    if (address === this.#end) {
      u32[this.#entry(this.#tail - 1) + 1]! += length;
      this.#end += length;
      return;
    }
    if (((this.#tail - this.#load(WRITE_LOG_HEAD)) | 0) === WRITE_LOG_ENTRIES) {
      this.#lost += 1;
      return;
    }
    const at = this.#entry(this.#tail);
    u32[at] = address;
    u32[at + 1] = length;
    this.#tail = (this.#tail + 1) >>> 0;
    this.#end = address + length;
  };

  /** After a push, once the bytes of all that it pushed are written. */
  readonly commit = (): void => {
    const { i32, u32 } = this.#core;
    const used = u32[(this.#queue + QUEUE_USED_IDX) >>> 2]!;
    const epoch = Atomics.load(i32, (this.#queue + QUEUE_EPOCH) >>> 2);
    this.#store(WRITE_LOG_LOST, this.#lost);
    this.#store(WRITE_LOG_TAIL, this.#tail);
    this.#store(WRITE_LOG_USED, (epoch << 16) | used);
    this.#end = NOWHERE;
  };

  #entry(number: number): number {
    return entryAt(this.#address, number);
  }

  #load(field: number): number {
    return Atomics.load(this.#core.u32, (this.#address + field) >>> 2);
  }

  #store(field: number, value: number): void {
    Atomics.store(this.#core.i32, (this.#address + field) >>> 2, value);
  }
}

/** Main's side. */
export class WriteLogReader {
  readonly #core: Core;
  readonly #address: number;
  readonly #queue: number;
  readonly #tell: GuestWriteListener;
  #head: number;
  #lost: number;
  /** WRITE_LOG_USED as last published. */
  #used: number;

  /** A log in zeroed memory; `tell` is called with each piece that was written to. */
  constructor(core: Core, address: number, queue: number, tell: GuestWriteListener) {
    this.#core = core;
    this.#address = address;
    this.#queue = queue;
    this.#tell = tell;
    this.#head = this.#load(WRITE_LOG_HEAD);
    this.#lost = this.#load(WRITE_LOG_LOST);
    this.#used = this.#load(WRITE_LOG_USED);
  }

  /** The queue was served without this log until now. Nobody serves it. */
  begin(): void {
    const { i32, u32 } = this.#core;
    const epoch = Atomics.load(u32, (this.#queue + QUEUE_EPOCH) >>> 2);
    const used = u32[(this.#queue + QUEUE_USED_IDX) >>> 2]!;
    this.#used = ((epoch << 16) | used) >>> 0;
    Atomics.store(i32, (this.#address + WRITE_LOG_USED) >>> 2, this.#used);
  }

  /**
   * Tells of all writes that were committed, then shows the driver the buffers that they are of.
   * True if it wants an interrupt. If nothing was committed, nothing happens.
   */
  publish(): boolean {
    // Before the log: what is published is in it. Pairs with `commit`.
    const used = this.#load(WRITE_LOG_USED);
    if (!this.#read() && used === this.#used) return false;
    this.#used = used;
    const epoch = Atomics.load(this.#core.u32, (this.#queue + QUEUE_EPOCH) >>> 2);
    if (used >>> 16 !== (epoch & 0xffff)) return false; // of a ring that was reset since
    return this.#core.engine.queuePublish(this.#queue, used & 0xffff) === 1;
  }

  /** False if there was nothing. */
  #read(): boolean {
    const before = this.#head;
    const tail = this.#load(WRITE_LOG_TAIL);
    const lost = this.#load(WRITE_LOG_LOST);
    for (; this.#head !== tail; this.#head = (this.#head + 1) >>> 0) {
      const { u32 } = this.#core; // what is told may grow the memory
      const at = entryAt(this.#address, this.#head);
      this.#tell(u32[at]!, u32[at + 1]!);
    }
    Atomics.store(this.#core.i32, (this.#address + WRITE_LOG_HEAD) >>> 2, tail);
    if (lost === this.#lost) return tail !== before;
    this.#lost = lost;
    for (const { offset, size } of this.#core.regionList) this.#tell(offset, size);
    return true;
  }

  #load(field: number): number {
    return Atomics.load(this.#core.u32, (this.#address + field) >>> 2);
  }
}

/** Index of an entry's first word. */
function entryAt(log: number, number: number): number {
  const place = number & (WRITE_LOG_ENTRIES - 1);
  return ((log + WRITE_LOG_FIRST) >>> 2) + 2 * place;
}
