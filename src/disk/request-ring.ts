/**
 * One thread's half of a queue: slots for requests, the ring they are issued to, and the doorbell.
 * It knows nothing of promises or waiting. Nothing is allocated per request.
 *
 *     take -> (fill) -> issue -> publish ... collect -> (status, drainTo) -> give
 */

import type { Core } from '../engine/core.ts';
import { GuestChain } from '../guest/chain.ts';
import { STATUS_UNWRITTEN } from '../guest/frame.ts';
import { GuestRam } from '../guest/ram.ts';
import { GuestRing } from '../guest/ring.ts';
import { SECTOR_SHIFT, VIRTIO_BLK_OUTHDR_SIZE, VIRTIO_BLK_T_OUT, VIRTQ_USED_IDX } from '../spec.ts';
import { HEADER_BYTES, HEADER_STATUS, type QueuePlace, ringMemory } from './queue-place.ts';

export class RequestRing {
  readonly ring: GuestRing;
  readonly slots: number;
  readonly slotBytes: number;
  /** Requests issued and not collected. */
  inFlight = 0;
  /** Requests issued, and doorbells rung for them. */
  issued = 0;
  kicks = 0;

  readonly #ram: GuestRam;
  readonly #kick: () => void;
  readonly #chain = new GuestChain();
  readonly #headers: number;
  readonly #data: number;
  readonly #shift: number;
  readonly #usedIndex: number;
  readonly #free: Uint16Array;
  #freeCount: number;
  /** By head: the slot of its request. */
  readonly #slotOf: Uint16Array;
  /** By slot: a view of its first bytes, as many as its last request had. */
  #views: (Uint8Array | undefined)[] = [];
  #viewed: Uint8Array | null = null;

  /**
   * The ring's memory is zeroed: nothing may have been published in it. The device may know the
   * ring already: with EVENT_IDX all that it writes before the first request is zeroes as well.
   */
  constructor(core: Core, place: QueuePlace, kick: () => void) {
    this.slots = place.slots;
    this.slotBytes = place.slotBytes;
    this.#kick = kick;
    this.#ram = new GuestRam(ringMemory(core, place));
    this.ring = new GuestRing(this.#ram, { size: place.ringSize, eventIdx: true });
    this.#usedIndex = (this.ring.used + place.shift + VIRTQ_USED_IDX) >>> 1;
    this.#headers = place.headers;
    this.#data = place.data;
    this.#shift = place.shift;
    this.#free = Uint16Array.from({ length: place.slots }, (_, slot) => slot);
    this.#freeCount = place.slots;
    this.#slotOf = new Uint16Array(place.ringSize);
  }

  /** Before slots are filled or collected in a row: the memory may have another buffer by now. */
  begin(): void {
    this.#ram.refresh();
    if (this.#viewed === this.#ram.u8) return;
    this.#viewed = this.#ram.u8;
    this.#views = [];
  }

  /** A free slot, or -1. */
  take(): number {
    return this.#freeCount === 0 ? -1 : this.#free[--this.#freeCount]!;
  }

  /** The slot is free again. */
  give(slot: number): void {
    this.#free[this.#freeCount++] = slot;
  }

  /** Guest address of a slot's data. */
  addressOf(slot: number): number {
    return this.#data + slot * this.slotBytes;
  }

  /** Copies `bytes[from .. from + length)` into the slot. Throws if they are gone. */
  fill(slot: number, bytes: Uint8Array, from: number, length: number): void {
    if (bytes.length < from + length) throw new TypeError('the buffer was detached meanwhile');
    const part = length === bytes.length ? bytes : bytes.subarray(from, from + length);
    this.#ram.u8.set(part, this.addressOf(slot) + this.#shift);
  }

  /** Copies the slot's first `length` bytes to `bytes[to ..]`. Throws if they are gone. */
  drainTo(slot: number, bytes: Uint8Array, to: number, length: number): void {
    let view = this.#views[slot];
    if (view?.length !== length) {
      const at = this.addressOf(slot) + this.#shift;
      view = this.#ram.u8.subarray(at, at + length);
      this.#views[slot] = view;
    }
    bytes.set(view, to);
  }

  /** Writes the range of a DISCARD or WRITE_ZEROES into the slot (5.2.6); its length in bytes. */
  fillRange(slot: number, offset: number, length: number, flags: number): number {
    const word = (this.addressOf(slot) + this.#shift) >>> 2;
    const { u32 } = this.#ram;
    const sector = offset / 2 ** SECTOR_SHIFT;
    u32[word] = sector;
    u32[word + 1] = sector / 2 ** 32;
    u32[word + 2] = length / 2 ** SECTOR_SHIFT;
    u32[word + 3] = flags;
    return 16;
  }

  /**
   * Puts the slot's request into the ring: of `type`, at byte `offset` of the disk, with `length`
   * bytes of data at guest address `address`, which is the slot's own or any other.
   */
  issue(slot: number, type: number, offset: number, address: number, length: number): void {
    const header = this.#headers + slot * HEADER_BYTES;
    const word = (header + this.#shift) >>> 2;
    const { u8, u32 } = this.#ram;
    const sector = offset / 2 ** SECTOR_SHIFT;
    u32[word] = type;
    u32[word + 1] = 0;
    u32[word + 2] = sector;
    u32[word + 3] = sector / 2 ** 32;
    u8[header + this.#shift + HEADER_STATUS] = STATUS_UNWRITTEN;
    const chain = this.#chain.clear().out(header, VIRTIO_BLK_OUTHDR_SIZE);
    if (length > 0 && type & VIRTIO_BLK_T_OUT) chain.out(address, length);
    else if (length > 0) chain.in(address, length);
    const head = this.ring.add(chain.in(header + HEADER_STATUS, 1));
    this.#slotOf[head] = slot;
    this.inFlight++;
    this.issued++;
  }

  /** Shows the device what was issued, and rings the doorbell if it wants that. */
  publish(): void {
    this.ring.publish();
    if (!this.ring.needsKick()) return;
    this.kicks++;
    this.#kick();
  }

  /** The slot of the oldest finished request, which is the caller's to `give`; -1: none. */
  collect(): number {
    const head = this.ring.collect();
    if (head < 0) return -1;
    this.inFlight--;
    return this.#slotOf[head]!;
  }

  /** Status byte of the slot's request. */
  status(slot: number): number {
    return this.#ram.u8[this.#headers + slot * HEADER_BYTES + HEADER_STATUS + this.#shift]!;
  }

  /** Has a request finished that was not collected? Changes nothing. */
  get finished(): boolean {
    const index = Atomics.load(this.#ram.u16, this.#usedIndex);
    return index !== this.ring.usedIndex;
  }
}
