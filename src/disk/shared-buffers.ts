/**
 * Buffers that the device reads and writes in place: pieces of guest RAM as the caller's own
 * Uint8Arrays. In a memory that is not shared they would be detached whenever it grows; there they
 * are ordinary buffers, and copied like any other.
 */

import { OptionError } from '../block/error.ts';
import type { Core } from '../engine/core.ts';
import { GuestError } from '../guest/error.ts';
import { GuestRam } from '../guest/ram.ts';
import { DiskError } from './error.ts';
import { PAGE, toPages } from './queue-place.ts';

/** The guest RAM to allot, as plain numbers. */
export interface BufferPlace {
  /** Guest address. */
  readonly at: number;
  readonly bytes: number;
  /** A guest address plus `shift` is an offset into the core's RAM. */
  readonly shift: number;
}

export class SharedBuffers {
  readonly #core: Core;
  readonly #place: BufferPlace;
  readonly #ram: GuestRam | null;
  /** After a growth the memory has another object for the same bytes. */
  readonly #known = new WeakSet<object>();
  #any = false;

  constructor(core: Core, place: BufferPlace) {
    this.#core = core;
    this.#place = place;
    const { at, bytes, shift } = place;
    const region = { guest: at, size: bytes, offset: at + shift };
    const memory = { buffer: () => core.ram.buffer, regions: [region] };
    this.#ram = core.shared && bytes > 0 ? new GuestRam(memory) : null;
  }

  /** A zeroed buffer. Throws DiskError ENOMEM. */
  alloc(bytes: number): Uint8Array {
    if (!Number.isSafeInteger(bytes) || bytes < 1) {
      throw new OptionError('bytes', bytes, 'whole numbers from 1');
    }
    if (!this.#core.shared) return new Uint8Array(bytes);
    const at = this.#take(bytes, bytes < PAGE ? 64 : PAGE);
    const { buffer } = this.#core.ram;
    this.#known.add(buffer);
    this.#any = true;
    return new Uint8Array(buffer as ArrayBuffer, at + this.#place.shift, bytes);
  }

  #take(bytes: number, align: number): number {
    try {
      if (!this.#ram) throw new GuestError('ENOMEM', 'nothing was set aside');
      return this.#ram.allocate(bytes, align);
    } catch (error) {
      if (!(error instanceof GuestError) || error.code !== 'ENOMEM') throw error;
      const used = this.#ram?.allocatedBytes ?? 0;
      const room = `${used} of ${this.#place.bytes} are in use; see alloc-bytes`;
      throw new DiskError('ENOMEM', `no room for ${bytes} bytes: ${room}`);
    }
  }

  /** Takes back what `alloc` gave; no request may use it. */
  free(buffer: Uint8Array): void {
    if (!this.#core.shared) return;
    const at = this.addressOf(buffer);
    if (at === 0) throw new OptionError('buffer', buffer, 'what alloc returned');
    this.#ram!.free(at);
  }

  /** Sets `bytes` aside for somebody else to allot. Throws DiskError ENOMEM. */
  reserve(bytes: number): BufferPlace {
    const { shift } = this.#place;
    if (bytes === 0) return { at: 0, bytes, shift };
    return { at: this.#take(toPages(bytes), PAGE), bytes: toPages(bytes), shift };
  }

  giveBack({ at, bytes }: BufferPlace): void {
    if (bytes > 0) this.#ram!.free(at);
  }

  /** Guest address of bytes in a buffer of `alloc`'s, or 0. */
  addressOf(buffer: Uint8Array): number {
    if (!this.#any || !this.#known.has(buffer.buffer)) return 0;
    const { at, bytes, shift } = this.#place;
    const guest = buffer.byteOffset - shift;
    return guest >= at && guest + buffer.length <= at + bytes ? guest : 0;
  }
}
