/**
 * The driver's side of a split ring at the level of bytes, for tests that need each of them. Places
 * are addresses in the buffer of guest RAM; in a machine as made they are guest addresses, too.
 */

import {
  BLOCK_FIRST,
  BLOCK_NEXT,
  BLOCK_SEGMENTS,
  QUEUE_BATCH,
  QUEUE_DONE,
  QUEUE_RECORDS,
  RECORD_IN_COUNT,
  RECORD_OUT_COUNT,
  RECORD_SEGMENTS,
  RECORD_SIZE,
} from '#src/layout';
import { VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from '#src/spec';
import type { Machine } from './machine.ts';

export const NEXT = VIRTQ_DESC_F_NEXT;
export const WRITE = VIRTQ_DESC_F_WRITE;
const TWO_32 = 2 ** 32;

export interface Buffer {
  /** Guest address; as two words where a number cannot hold it. */
  at: number | readonly [low: number, high: number];
  length: number;
  flags?: number;
  next?: number;
}

export interface Segment {
  address: number;
  length: number;
}

export class RawRing {
  readonly machine: Machine;
  readonly queue: number;
  readonly num: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  #idx = 0;

  /** A ring of `num` descriptors whose three parts lie one after the other from `place` on. */
  constructor(machine: Machine, queue: number, num: number, place: number) {
    this.machine = machine;
    this.queue = queue;
    this.num = num;
    this.desc = Math.ceil(place / 16) * 16;
    this.avail = this.desc + num * 16;
    this.used = Math.ceil((this.avail + 6 + num * 2) / 4) * 4;
  }

  /** First address behind the ring. */
  get end(): number {
    return this.used + 6 + this.num * 8;
  }

  /** Latches the ring with QUEUE_F_* features. */
  enable(features = 0): number {
    const { engine } = this.machine;
    const { queue, num, desc, avail, used } = this;
    return engine.queueEnable(queue, num, features, desc, 0, avail, 0, used, 0);
  }

  /** Writes a descriptor into the table at `table`, at any alignment. */
  describe(index: number, buffer: Buffer, table: number = this.desc): void {
    const { at, length, flags = 0, next = 0 } = buffer;
    const [low, high] = typeof at === 'number' ? [at % TWO_32, Math.floor(at / TWO_32)] : at;
    const view = new DataView(this.machine.ram.buffer, table + index * 16, 16);
    view.setUint32(0, low, true);
    view.setUint32(4, high, true);
    view.setUint32(8, length, true);
    view.setUint16(12, flags, true);
    view.setUint16(14, next, true);
  }

  /** Writes a chain into consecutive descriptors from `head` on; NEXT is added between them. */
  chain(head: number, buffers: readonly Buffer[], table: number = this.desc): void {
    buffers.forEach((buffer, i) => {
      const last = i === buffers.length - 1;
      const flags = (buffer.flags ?? 0) | (last ? 0 : NEXT);
      this.describe(head + i, { next: last ? 0 : head + i + 1, ...buffer, flags }, table);
    });
  }

  /** Puts heads into the available ring and publishes them. */
  offer(...heads: number[]): void {
    for (const head of heads) this.setSlot(this.#idx++, head);
    this.publish(this.#idx);
  }

  /** Writes one entry of the available ring. */
  setSlot(index: number, head: number): void {
    const slot = (this.avail + 4 + (index % this.num) * 2) >>> 1;
    this.machine.ram16[slot] = head;
  }

  /** Sets avail.idx, and continues from there. */
  publish(idx: number): void {
    this.#idx = idx & 0xffff;
    this.machine.ram16[(this.avail + 2) >>> 1] = idx;
  }

  get availIdx(): number {
    return this.machine.ram16[(this.avail + 2) >>> 1]!;
  }

  set availFlags(flags: number) {
    this.machine.ram16[this.avail >>> 1] = flags;
  }

  set usedEvent(idx: number) {
    this.machine.ram16[(this.avail + 4 + this.num * 2) >>> 1] = idx;
  }

  get usedFlags(): number {
    return this.machine.ram16[this.used >>> 1]!;
  }

  get usedIdx(): number {
    return this.machine.ram16[(this.used + 2) >>> 1]!;
  }

  get availEvent(): number {
    return this.machine.ram16[(this.used + 4 + this.num * 8) >>> 1]!;
  }

  /** The element that was the `index`-th to be used. */
  usedElement(index: number): { id: number; length: number } {
    const at = (this.used + 4 + (index % this.num) * 8) >>> 2;
    return { id: this.machine.ram32[at]!, length: this.machine.ram32[at + 1]! };
  }

  // ---- What the engine made of it ---------------------------------------------------------------

  /** Address of the record of `head`. */
  record(head: number): number {
    return this.machine.word(this.queue + QUEUE_RECORDS) + head * RECORD_SIZE;
  }

  /** A word of the record of `head`. */
  field(head: number, offset: number): number {
    return this.machine.word(this.record(head) + offset);
  }

  /** The scatter list of `head`. */
  segments(head: number): Segment[] {
    const list: Segment[] = [];
    const count = this.field(head, RECORD_OUT_COUNT) + this.field(head, RECORD_IN_COUNT);
    let block = this.field(head, RECORD_SEGMENTS);
    for (let i = 0; i < count; i++) {
      const slot = i % BLOCK_SEGMENTS;
      if (i > 0 && slot === 0) block = this.machine.word(block + BLOCK_NEXT);
      const at = block + BLOCK_FIRST + slot * 8;
      list.push({ address: this.machine.word(at), length: this.machine.word(at + 4) });
    }
    return list;
  }

  /** Address of the list of heads popped last. */
  get listAt(): number {
    return this.machine.word(this.queue + QUEUE_BATCH);
  }

  /** The `index`-th head of the last batch. */
  batch(index: number): number {
    return this.machine.word(this.listAt + index * 4);
  }

  /** Lists heads to be pushed; returns how many. */
  done(...heads: number[]): number {
    const list = this.machine.word(this.queue + QUEUE_DONE);
    heads.forEach((head, i) => {
      this.machine.setWord(list + i * 4, head);
    });
    return heads.length;
  }

  push(...heads: number[]): number {
    return this.machine.engine.queuePush(this.queue, this.done(...heads));
  }
}
