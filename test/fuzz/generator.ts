/**
 * Writes rings as a guest would, and as one that means harm would. Most of a ring is well-formed, so
 * that the engine gets deep into it; then single fields are spoilt, most of them by very little.
 *
 * It writes into one guest memory; whoever compares engines copies it to the other.
 */

import type { Region } from '../engine/machine.ts';
import type { Random } from './random.ts';

/** Guest RAM of the fuzzer, in bytes. The rest of its page is guard. */
export const RAM_BYTES = 32768;
/** Largest ring. */
export const CAPACITY = 16;

const [NEXT, WRITE, INDIRECT] = [1, 2, 4];
const TWO_32 = 2 ** 32;

/** Ways to map the RAM at `at`; some adjacent, some crossing or above 4 GiB. */
export function regionMaps(at: number): Region[][] {
  const page = (n: number) => at + n * 4096;
  return [
    [{ guest: at, size: RAM_BYTES, offset: at }],
    [
      { guest: 0, size: 16384, offset: page(0) },
      { guest: 16384, size: 4096, offset: page(5) },
      { guest: 20480, size: 4096, offset: page(4) },
      { guest: 24576, size: 8192, offset: page(6) },
    ],
    [{ guest: 0xffff_c000, size: RAM_BYTES, offset: page(0) }],
    [
      { guest: 4096, size: 8192, offset: page(0) },
      { guest: 0x1_0000_1000, size: 24576, offset: page(2) },
    ],
    [
      { guest: 0x4000, size: 12288, offset: page(4) },
      { guest: 0x8000, size: 16384, offset: page(0) },
    ],
  ];
}

/** First word of the headers that name a unit that there is. */
export const LUN = 0x0540_0301;

export interface RingPlace {
  num: number;
  features: number;
  /** Guest addresses. */
  desc: number;
  avail: number;
  used: number;
}

export class Generator {
  readonly random: Random;
  readonly #bytes: DataView;
  readonly #maps: Region[][];
  readonly #inFlight: (head: number) => boolean;
  /** How the memory is mapped now: a number in `regionMaps`, and that map. */
  map = 0;
  regions: Region[] = [];
  ring: RingPlace = { num: 1, features: 0, desc: 0, avail: 0, used: 0 };
  /** avail.idx as published. */
  idx = 0;
  /** What requests are made for: virtio-blk, or virtio-scsi with these sizes. */
  scsi: { cdb: number; sense: number } | null = null;
  #cursor = 0;
  /** One field in so many is spoilt; 0: none. */
  #spoil = 0;

  /** Writes into `ram`, where guest memory begins at `at`; `inFlight` is asked of heads. */
  constructor(
    random: Random,
    ram: ArrayBufferLike,
    at: number,
    inFlight: (head: number) => boolean,
  ) {
    this.random = random;
    this.#inFlight = inFlight;
    this.#bytes = new DataView(ram);
    this.#maps = regionMaps(at);
  }

  // ---- Where things lie -------------------------------------------------------------------------

  /** Chooses a map, a ring and how hostile the guest is. */
  begin(): void {
    const { random } = this;
    this.map = random.below(this.#maps.length);
    this.regions = this.#maps[this.map]!;
    this.#spoil = random.pick([0, 12, 40, 100, 300]);
    this.idx = 0;
    this.#cursor = 0;
    const num = random.pick([1, 2, 4, 8, 16, 16]);
    const features = random.below(8) | random.pick([0, 2]);
    const base = this.#start(random.pick(this.regions)) + random.below(32) * 16;
    const avail = base + num * 16;
    const used = Math.ceil((avail + 6 + num * 2) / 4) * 4;
    this.ring = { num, features, desc: base, avail, used };
    if (random.once(10)) this.#displace();
    this.#zeroRing();
  }

  /** Lays the ring somewhere else: over itself, to an end of memory, out of it, misaligned. */
  #displace(): void {
    const { random, ring } = this;
    const part = random.pick(['desc', 'avail', 'used'] as const);
    const size = { desc: ring.num * 16, avail: 4 + ring.num * 2, used: 4 + ring.num * 8 }[part];
    const region = random.pick(this.regions);
    const end = this.#start(region) + region.size - size;
    ring[part] = random.pick([
      end,
      end - 2,
      end - 4,
      end + 16,
      end + 2,
      ring[part] + random.pick([1, 2, 4, 8, 16]),
      ring[random.pick(['desc', 'avail', 'used'] as const)],
      ring[part] + TWO_32,
      this.#start(region) - 16,
    ]);
    if (random.once(6)) ring.num = random.pick([0, 3, 5, 17, 32, 0x8000_0001]);
  }

  #start(region: Region): number {
    return region.guest as number;
  }

  /** Place in the buffer of a guest address, or -1. */
  #place(guest: number): number {
    for (const region of this.regions) {
      const offset = guest - this.#start(region);
      if (offset >= 0 && offset < region.size) return region.offset + offset;
    }
    return -1;
  }

  #set16(guest: number, value: number): void {
    const at = this.#place(guest);
    if (at >= 0 && this.#place(guest + 1) === at + 1) this.#bytes.setUint16(at, value, true);
  }

  #set32(guest: number, value: number): void {
    const at = this.#place(guest);
    if (at >= 0 && this.#place(guest + 3) === at + 3) this.#bytes.setUint32(at, value >>> 0, true);
  }

  #zeroRing(): void {
    const { avail, used, num } = this.ring;
    for (let i = 0; i < 6 + Math.min(num, CAPACITY) * 2; i += 2) this.#set16(avail + i, 0);
    for (let i = 0; i < 6 + Math.min(num, CAPACITY) * 8; i += 2) this.#set16(used + i, 0);
  }

  /** A guest address for `length` bytes: mostly inside, often at an end, or across two regions. */
  #buffer(length: number): number {
    const { random } = this;
    const region = random.pick(this.regions);
    const start = this.#start(region);
    if (random.once(16)) return start + region.size - Math.min(length, region.size);
    if (random.once(40)) return start + region.size - 1 - random.below(length);
    return start + random.below(Math.max(1, region.size - length));
  }

  // ---- What is in them --------------------------------------------------------------------------

  #spoilt(): boolean {
    return this.#spoil !== 0 && this.random.once(this.#spoil);
  }

  /** Writes one descriptor into the table at `table`. */
  #describe(table: number, index: number, at: number, length: number, tail: number): void {
    const { random } = this;
    const entry = table + index * 16;
    let high = Math.floor(at / TWO_32);
    let flags = tail & 0xffff;
    let next = tail >>> 16;
    if (this.#spoilt()) at = random.pick([0, at + RAM_BYTES, at - 1, TWO_32 - 1, random.next()]);
    if (this.#spoilt()) high = random.pick([high + 1, 0xffffffff, 0x80000000, 0]);
    if (this.#spoilt()) length = random.pick([0, 1, 0xffffffff, 0x80000000, length + 8, 65536]);
    if (this.#spoilt()) flags ^= random.pick([NEXT, WRITE, INDIRECT, 8, random.below(65536)]);
    if (this.#spoilt())
      next = random.pick([0, index, this.ring.num, next + 1, random.below(65536)]);
    this.#set32(entry, at % TWO_32);
    this.#set32(entry + 4, high);
    this.#set32(entry + 8, length);
    this.#set16(entry + 12, flags);
    this.#set16(entry + 14, next);
  }

  /** The buffers of a request, readable ones first. Negative lengths are writable. */
  #request(): number[] {
    if (this.scsi) return this.#command(this.scsi.cdb, this.scsi.sense);
    const { random } = this;
    const lengths: number[] = [];
    if (random.once(4)) {
      const first = 1 + random.below(16);
      lengths.push(first, ...(first < 16 ? [16 - first] : []));
    } else {
      lengths.push(16);
    }
    const sizes = [1, 7, 64, 511, 512, 513, 1024, 4096];
    for (let i = random.below(3); i > 0; i--) lengths.push(random.pick(sizes));
    for (let i = random.below(3); i > 0; i--) lengths.push(-random.pick(sizes));
    if (!random.once(12)) lengths.push(-1);
    if (this.#spoilt()) lengths.splice(random.below(lengths.length), 1);
    return lengths;
  }

  /** The same for a SCSI command. */
  #command(cdb: number, sense: number): number[] {
    const { random } = this;
    const cut = (whole: number, sign: number): number[] => {
      const length = whole + (random.once(16) ? random.pick([-1, 1, 9]) : 0);
      const first = random.once(4) ? 1 + random.below(length - 1) : length;
      return first < length ? [sign * first, sign * (length - first)] : [sign * length];
    };
    const sizes = [512, 512, 512, 1024, 4096, 7];
    const lengths = cut(19 + cdb, 1);
    const out = random.once(3);
    if (out || random.once(16)) lengths.push(random.pick(sizes));
    lengths.push(...cut(12 + sense, -1));
    if (!out || random.once(16)) lengths.push(-random.pick(sizes));
    if (random.once(8)) lengths.push(-random.pick(sizes));
    if (this.#spoilt()) lengths.splice(random.below(lengths.length), 1);
    return lengths;
  }

  /** The header of a SCSI command, most of them reads and writes for one unit. */
  #scsiHeader(at: number): void {
    const { random } = this;
    this.#set32(at, random.once(8) ? random.next() : LUN);
    for (let i = 4; i < 19; i += 4) this.#set32(at + i, random.next());
    const cdb = new Uint8Array(20);
    cdb[0] = random.pick([0x28, 0x28, 0x2a, 0x08, 0x0a, 0xa8, 0xaa, 0x88, 0x8a, random.below(256)]);
    const lba = random.below(1030);
    const blocks = random.pick([1, 1, 1, 2, 8, 0]);
    const [lbaAt, lengthAt] = cdb[0] < 0x20 ? [2, 4] : cdb[0] < 0x80 ? [4, 8] : [4, 9];
    const [low, length] = (cdb[0] & 0xf0) === 0x80 ? [8, 13] : [lbaAt, lengthAt];
    cdb[low] = lba >>> 8;
    cdb[low + 1] = lba;
    cdb[length] = blocks;
    if (random.once(8)) cdb[random.below(16)] = random.next();
    // At 19, in halves: the first byte lies behind the CRN.
    this.#set16(at + 18, (random.below(256) & 0xff) | (cdb[0] << 8));
    for (let i = 1; i < 19; i += 2) this.#set16(at + 19 + i, cdb[i]! | (cdb[i + 1]! << 8));
  }

  /** A virtio-blk header. */
  #header(at: number): void {
    if (this.scsi) {
      this.#scsiHeader(at);
      return;
    }
    const { random } = this;
    const types = [0, 1, 0, 1, 4, 8, 11, 0x80000000, 0x80000001, random.next()];
    this.#set32(at, random.pick(types));
    this.#set32(at + 4, 0);
    const far = random.pick([0xffffffff, 2047, 2048, random.next()]);
    this.#set32(at + 8, random.once(8) ? far : random.below(512));
    this.#set32(at + 12, random.once(32) ? random.pick([1, 0xffffffff]) : 0);
  }

  /** Writes `lengths` as a list linked by NEXT into `table`, from `first` on, of `entries`. */
  #list(table: number, first: number, entries: number, lengths: readonly number[]): void {
    lengths.forEach((length, i) => {
      const bytes = Math.abs(length);
      const at = this.#buffer(bytes);
      if (i === 0 && bytes >= 16) this.#header(at);
      const index = (first + i) % entries;
      const linked = i + 1 < lengths.length ? NEXT | (((index + 1) % entries) << 16) : 0;
      this.#describe(table, index, at, bytes, linked | (length < 0 ? WRITE : 0));
    });
  }

  /** Writes a chain into the ring and returns its head. */
  #chain(): number {
    const { random, ring } = this;
    const num = Math.max(1, Math.min(ring.num, CAPACITY));
    const head = this.#freeHead(num);
    const lengths = this.#request();
    const allowed = (ring.features & 2) !== 0 || random.once(30);
    if (!allowed && lengths.length > num)
      lengths.splice(0, lengths.length, ...[16, -513].slice(-num));
    if (!(allowed && random.once(3)) && lengths.length <= num) {
      this.#list(ring.desc, head, num, lengths);
      this.#cursor += lengths.length;
      return head;
    }
    const before = random.once(4) ? Math.min(random.below(3), num - 1, lengths.length - 1) : 0;
    const inside = random.once(400) ? this.#long() : lengths.slice(before);
    const table = this.#buffer(inside.length * 16);
    this.#list(table, 0, Math.max(1, inside.length), inside);
    if (before > 0) this.#list(ring.desc, head, num, lengths.slice(0, before));
    const last = (head + before) % num;
    if (before > 0) this.#link((head + before - 1) % num, last);
    const size = inside.length * 16 + (this.#spoilt() ? random.pick([8, 1, 16, 4096]) : 0);
    this.#describe(ring.desc, last, table, size, INDIRECT | (random.once(4) ? WRITE : 0));
    this.#cursor += before + 1;
    return head;
  }

  /** A head that is not in flight, if one is found soon. */
  #freeHead(num: number): number {
    for (let tries = 0; tries < 4; tries++, this.#cursor++) {
      if (!this.#inFlight(this.#cursor % num)) break;
    }
    return this.#cursor % num;
  }

  /** Gives a descriptor of the ring a NEXT. */
  #link(index: number, next: number): void {
    const entry = this.ring.desc + index * 16;
    this.#set16(entry + 12, NEXT);
    this.#set16(entry + 14, next);
  }

  /** A list around the longest one. */
  #long(): number[] {
    const { random } = this;
    const length = random.pick([1022, 1023, 1024, 1025, 1026, 400]);
    const bytes = length === 400 ? 8200 : 1;
    return Array.from({ length }, (_, i) => (i < 3 ? 16 : -bytes));
  }

  /**
   * The guest's turn: offers some chains, sets its events, perhaps scribbles. A good guest has
   * `room` for so many more, and leaves the descriptors of the `ahead` ones that wait alone.
   */
  publish(room: number, ahead: number): void {
    const { random, ring } = this;
    const num = Math.max(1, Math.min(ring.num, CAPACITY));
    const most = random.once(30) ? num + 1 : Math.max(0, Math.min(num, room));
    const start = this.#cursor;
    for (let i = random.below(most + 1); i > 0; i--) {
      // Five descriptors are enough for most requests.
      const overwrites = ahead > 0 || this.#cursor - start + Math.min(5, num) > num;
      if (overwrites && !random.once(30)) break;
      const head = this.#chain();
      const shown = this.#spoilt() ? random.pick([num, num - 1, 0xffff, head + 1]) : head;
      this.#set16(ring.avail + 4 + (this.idx % num) * 2, shown);
      this.idx = (this.idx + 1) & 0xffff;
    }
    if (this.#spoilt()) this.idx = (this.idx + random.pick([1, num, num + 1, -1, 0x8000])) & 0xffff;
    this.#set16(ring.avail + 2, this.idx);
    if (random.once(3)) this.#set16(ring.avail, random.below(2));
    const near = (this.idx + random.below(5) - 3) & 0xffff;
    this.#set16(ring.avail + 4 + num * 2, random.once(4) ? random.below(65536) : near);
    if (this.#spoilt()) this.#set32(ring.used + random.below(64), random.next());
    if (this.#spoilt()) this.#set32(ring.desc + random.below(256), random.next());
  }

  /** So that indices wrap: where a fresh ring begins to count. */
  startAt(idx: number): void {
    this.idx = idx;
    this.#set16(this.ring.avail + 2, idx);
  }
}
