/**
 * Where the user of one queue works, as plain numbers: what a handle carries to another thread.
 *
 *   | ring | request headers, 32 bytes each | data slots |     in guest RAM, one behind the other
 *
 * A header: | request header 16 | status 1 | pad 15 |. A request takes three descriptors of the
 * ring, so there is always room in it for all slots.
 */

import type { Core } from '../engine/core.ts';
import type { GuestMemory } from '../guest/ram.ts';

export interface QueuePlace {
  /** Number of the queue in its device. */
  readonly index: number;
  /** Core address of its words (QUEUE_*). */
  readonly queue: number;
  /** Core addresses of its notifiers; 0: none, kicks and interrupts are calls. */
  readonly host: number;
  readonly guest: number;
  /** Descriptors of the ring; a power of two. */
  readonly ringSize: number;
  readonly slots: number;
  /** Bytes of a data slot. */
  readonly slotBytes: number;
  /** Guest address of the ring's memory. */
  readonly ring: number;
  readonly ringBytes: number;
  /** Guest addresses of the first header and the first data slot. */
  readonly headers: number;
  readonly data: number;
  /** A guest address of these plus `shift` is an offset into the core's RAM. */
  readonly shift: number;
}

export type PlaceSizes = Pick<QueuePlace, 'ringSize' | 'slots' | 'slotBytes' | 'ringBytes'>;

/** Descriptors of a request: header, data, status. */
const DESCRIPTORS = 3;
export const HEADER_BYTES = 32;
/** Offset of the status byte in a header. */
export const HEADER_STATUS = 16;
export const PAGE = 4096;

export function placeSizes(ringSize: number, slotBytes: number): PlaceSizes {
  // Descriptors 16 bytes each, available 2, used 8; and what aligning the three parts takes.
  const ringBytes = toPages(ringSize * 26 + 64);
  return { ringSize, slots: Math.floor(ringSize / DESCRIPTORS), slotBytes, ringBytes };
}

/** Bytes of guest RAM that a queue's user takes. */
export function placeBytes({ ringBytes, slots, slotBytes }: PlaceSizes): number {
  return ringBytes + toPages(slots * HEADER_BYTES) + toPages(slots * slotBytes);
}

/** A place that begins at guest address `at`. */
export function layOut(
  sizes: PlaceSizes,
  at: number,
): PlaceSizes & Pick<QueuePlace, 'ring' | 'headers' | 'data'> {
  const headers = at + sizes.ringBytes;
  return { ...sizes, ring: at, headers, data: headers + toPages(sizes.slots * HEADER_BYTES) };
}

/** The ring's memory as guest RAM of its own: both threads lay the ring out in it alike. */
export function ringMemory(core: Core, { ring, ringBytes, shift }: QueuePlace): GuestMemory {
  return {
    buffer: () => core.ram.buffer,
    regions: [{ guest: ring, size: ringBytes, offset: ring + shift }],
  };
}

export function toPages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}
