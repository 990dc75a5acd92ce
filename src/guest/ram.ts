/**
 * Guest RAM as the guest sees it: physical addresses, and an allocator of its pages.
 *
 * Addresses are safe integers. Words that the device reads or writes too while we work (ring
 * indices, flags, events) go through `loadIndex` and `storeIndex`, the rest through plain views.
 */
import { GuestError } from './error.ts';

/** A piece of guest RAM: `size` bytes at guest address `guest` lie at `offset` of the buffer. */
export interface GuestRegion {
  readonly guest: number;
  readonly size: number;
  readonly offset: number;
}

/** Where guest RAM lies. `buffer()` may return another object after any growth. */
export interface GuestMemory {
  buffer(): ArrayBuffer | SharedArrayBuffer;
  readonly regions: readonly GuestRegion[];
}

/** As a core describes its guest RAM. */
export interface GuestMemoryOwner {
  readonly ram: { readonly buffer: ArrayBuffer | SharedArrayBuffer };
  readonly regionList: readonly GuestRegion[];
}

interface FreeRange {
  start: number;
  end: number;
}

/** The first page is not given out: address 0 means "none" in many registers. */
const PAGE = 4096;

export class GuestRam {
  /** Views over the whole buffer. Call `refresh` before use if anything may have grown. */
  u8!: Uint8Array;
  u16!: Uint16Array;
  u32!: Uint32Array;
  readonly #memory: GuestMemory;
  #buffer!: ArrayBuffer | SharedArrayBuffer;
  readonly #free: FreeRange[];
  readonly #allocated = new Map<number, number>();
  #bytes = 0;

  /** All of RAM but its first page is free to be allocated. */
  constructor(memory: GuestMemory | GuestMemoryOwner) {
    this.#memory = 'regionList' in memory ? memoryOf(memory) : memory;
    this.#free = this.regions
      .map(({ guest, size }) => ({ start: Math.max(guest, PAGE), end: guest + size }))
      .filter(({ start, end }) => start < end)
      .sort((a, b) => a.start - b.start);
    this.refresh();
  }

  get regions(): readonly GuestRegion[] {
    return this.#memory.regions;
  }

  /** Bytes given out and not freed, rounding included. */
  get allocatedBytes(): number {
    return this.#bytes;
  }

  /** Remakes the views if the memory has another buffer by now. */
  refresh(): void {
    const buffer = this.#memory.buffer();
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
  }

  /** Is the range inside one region? Both in bytes. */
  contains(guest: number, length: number): boolean {
    return this.#regionOf(guest, length) !== undefined;
  }

  /** Where a range that lies in one region begins in the buffer. Throws EFAULT otherwise. */
  offset(guest: number, length: number): number {
    const region = this.#regionOf(guest, length);
    if (!region) throw fault(guest, length);
    return region.offset + (guest - region.guest);
  }

  /** A copy of `length` bytes; the range may span regions that follow one another. */
  read(guest: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.readInto(bytes, guest);
    return bytes;
  }

  /** Fills `bytes` from guest address `guest` on. */
  readInto(bytes: Uint8Array, guest: number): void {
    this.refresh();
    for (let done = 0; done < bytes.length; ) {
      const [from, length] = this.#piece(guest + done, bytes.length - done);
      bytes.set(this.u8.subarray(from, from + length), done);
      done += length;
    }
  }

  write(guest: number, bytes: Uint8Array): void {
    this.refresh();
    for (let done = 0; done < bytes.length; ) {
      const [to, length] = this.#piece(guest + done, bytes.length - done);
      this.u8.set(bytes.subarray(done, done + length), to);
      done += length;
    }
  }

  fill(guest: number, length: number, value: number): void {
    this.refresh();
    for (let done = 0; done < length; ) {
      const [to, piece] = this.#piece(guest + done, length - done);
      this.u8.fill(value, to, to + piece);
      done += piece;
    }
  }

  getU8(guest: number): number {
    this.refresh();
    return this.u8[this.offset(guest, 1)]!;
  }

  setU8(guest: number, value: number): void {
    this.refresh();
    this.u8[this.offset(guest, 1)] = value;
  }

  /** Little-endian, at any address. */
  getU32(guest: number): number {
    const [a, b, c, d] = this.read(guest, 4);
    return (a! | (b! << 8) | (c! << 16) | (d! << 24)) >>> 0;
  }

  /** Little-endian, at any address. */
  setU32(guest: number, value: number): void {
    this.write(guest, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
  }

  setU64(guest: number, value: number): void {
    this.setU32(guest, value % 2 ** 32);
    this.setU32(guest + 4, Math.floor(value / 2 ** 32));
  }

  /** A u16 that the device may be writing; `guest` is even. Sequentially consistent. */
  loadIndex(guest: number): number {
    this.refresh();
    return Atomics.load(this.u16, this.offset(guest, 2) >>> 1);
  }

  /** A u16 that the device may be reading; `guest` is even. Sequentially consistent. */
  storeIndex(guest: number, value: number): void {
    this.refresh();
    Atomics.store(this.u16, this.offset(guest, 2) >>> 1, value & 0xffff);
  }

  /**
   * Gives out `bytes` of zeroed guest memory at a multiple of `align`, all in one region. Throws
   * ENOMEM when there is no such range.
   */
  allocate(bytes: number, align = 16): number {
    for (const [index, range] of this.#free.entries()) {
      const start = Math.ceil(range.start / align) * align;
      if (start + bytes > range.end) continue;
      const rest: FreeRange[] = [];
      if (start > range.start) rest.push({ start: range.start, end: start });
      if (start + bytes < range.end) rest.push({ start: start + bytes, end: range.end });
      this.#free.splice(index, 1, ...rest);
      this.#allocated.set(start, bytes);
      this.#bytes += bytes;
      this.fill(start, bytes, 0);
      return start;
    }
    throw new GuestError('ENOMEM', `no ${bytes} bytes of guest memory left`);
  }

  /** Takes back what `allocate` gave. Throws EFAULT for any other address. */
  free(guest: number): void {
    const bytes = this.#allocated.get(guest);
    if (bytes === undefined) throw fault(guest, 0);
    this.#allocated.delete(guest);
    this.#bytes -= bytes;
    let at = this.#free.findIndex((range) => range.start > guest);
    if (at < 0) at = this.#free.length;
    this.#free.splice(at, 0, { start: guest, end: guest + bytes });
    this.#join(at);
    if (at > 0) this.#join(at - 1);
  }

  /** Joins the free range at `index` with the one after it, if they touch within one region. */
  #join(index: number): void {
    const range = this.#free[index]!;
    const next = this.#free[index + 1];
    if (!next || next.start !== range.end) return;
    if (!this.contains(range.start, next.end - range.start)) return;
    range.end = next.end;
    this.#free.splice(index + 1, 1);
  }

  #regionOf(guest: number, length: number): GuestRegion | undefined {
    return this.#memory.regions.find(
      (region) => guest >= region.guest && guest + length <= region.guest + region.size,
    );
  }

  /** Buffer offset and length of the longest piece at `guest` that one region holds. */
  #piece(guest: number, length: number): [offset: number, length: number] {
    const region = this.#regionOf(guest, 1);
    if (!region) throw fault(guest, length);
    const inside = guest - region.guest;
    return [region.offset + inside, Math.min(length, region.size - inside)];
  }
}

function memoryOf(owner: GuestMemoryOwner): GuestMemory {
  return {
    buffer: () => owner.ram.buffer,
    get regions() {
      return owner.regionList;
    },
  };
}

function fault(guest: number, length: number): GuestError {
  return new GuestError('EFAULT', `guest address 0x${guest.toString(16)}, ${length} bytes`);
}
