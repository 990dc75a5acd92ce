/**
 * Split virtqueue, driver side (VIRTIO 1.3, 2.7): the half of a ring that a guest kernel works on.
 *
 * A request is `add`ed as a chain, a batch of them is made visible by one `publish`, and
 * `needsKick` then says whether the device asked for the doorbell; that is the order of 2.7.13.
 * `collect` takes back one finished chain at a time. Nothing is allocated per request, except that
 * a head's indirect table grows to its longest chain.
 *
 * The device runs at the same time, perhaps on another thread: indices, flags and events are
 * atomic, and each store of ours that the device must see before we look at its answer is
 * sequentially consistent with that look.
 */

import {
  VIRTIO_PCI_VRING_ALIGN,
  VIRTQ_AVAIL_ALIGN,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_AVAIL_IDX,
  VIRTQ_AVAIL_RING,
  VIRTQ_DESC_ALIGN,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE_SHIFT,
  VIRTQ_USED_ALIGN,
  VIRTQ_USED_F_NO_NOTIFY,
  VIRTQ_USED_IDX,
  VIRTQ_USED_RING,
} from '../spec.ts';
import type { GuestChain } from './chain.ts';
import { GuestError } from './error.ts';
import type { GuestRam } from './ram.ts';

/** One table for all, a table of its own for each chain, or one descriptor and then a table. */
export type ChainForm = 'direct' | 'indirect' | 'mixed';

export interface GuestRingOptions {
  /** Descriptors; a power of two. */
  readonly size: number;
  /** `modern`: three parts where they please. `legacy`: one piece (2.7.2). Default modern. */
  readonly layout?: 'modern' | 'legacy';
  /** Alignment of the used part in the legacy layout, in bytes. Default 4096. */
  readonly align?: number;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIdx?: boolean;
  /** How chains are written. `indirect` and `mixed` need VIRTIO_F_INDIRECT_DESC. */
  readonly form?: ChainForm;
}

const DESC_BYTES = 1 << VIRTQ_DESC_SIZE_SHIFT;

export class GuestRing {
  readonly size: number;
  readonly eventIdx: boolean;
  /** Guest addresses of the three parts. */
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  /** How the next chains are written; may be changed between two of them. */
  form: ChainForm;
  /** Used length of the chain that `collect` returned last, in bytes. */
  written = 0;

  readonly #ram: GuestRam;
  readonly #mask: number;
  // Where the parts begin in the buffer, in units of the view they are used through.
  readonly #desc32: number;
  readonly #avail16: number;
  readonly #used16: number;
  readonly #used32: number;
  /** Links of our own: the driver never reads back what the device could have changed. */
  readonly #next: Uint16Array;
  /** Descriptors of the main table that the chain at this head takes; 0: not in flight. */
  readonly #taken: Uint16Array;
  readonly #last: Uint16Array;
  readonly #tables: Float64Array;
  readonly #tableEntries: Uint16Array;
  readonly #pages: number[] = [];
  #free = 0;
  #freeCount = 0;
  #inFlight = 0;
  #availIdx = 0;
  #publishedIdx = 0;
  #kickedIdx = 0;
  #usedIdx = 0;
  #lastUsed = 0;
  #interrupts = true;

  constructor(ram: GuestRam, options: GuestRingOptions) {
    const { size, layout = 'modern', align = VIRTIO_PCI_VRING_ALIGN } = options;
    this.#ram = ram;
    this.size = size;
    this.#mask = size - 1;
    this.eventIdx = options.eventIdx ?? false;
    this.form = options.form ?? 'direct';
    const availBytes = VIRTQ_AVAIL_RING + 2 * size + 2;
    const usedBytes = VIRTQ_USED_RING + 8 * size + 2;
    if (layout === 'legacy') {
      const usedAt = Math.ceil((size * DESC_BYTES + availBytes) / align) * align;
      this.desc = this.#allocate(usedAt + usedBytes, Math.max(align, VIRTIO_PCI_VRING_ALIGN), 0);
      this.avail = this.desc + size * DESC_BYTES;
      this.used = this.desc + usedAt;
    } else {
      // No better aligned than the standard demands, so that a device that wants more is found.
      this.desc = this.#allocate(size * DESC_BYTES, 2 * VIRTQ_DESC_ALIGN, VIRTQ_DESC_ALIGN);
      this.avail = this.#allocate(availBytes, 2 * VIRTQ_AVAIL_ALIGN, VIRTQ_AVAIL_ALIGN);
      this.used = this.#allocate(usedBytes, 2 * VIRTQ_USED_ALIGN, VIRTQ_USED_ALIGN);
    }
    this.#desc32 = ram.offset(this.desc, size * DESC_BYTES) >>> 2;
    this.#avail16 = ram.offset(this.avail, availBytes) >>> 1;
    this.#used16 = ram.offset(this.used, usedBytes) >>> 1;
    this.#used32 = this.#used16 >>> 1;
    this.#next = new Uint16Array(size);
    this.#taken = new Uint16Array(size);
    this.#last = new Uint16Array(size);
    this.#tables = new Float64Array(size);
    this.#tableEntries = new Uint16Array(size);
    this.reset();
  }

  /** Descriptors of the main table that are free. */
  get freeCount(): number {
    return this.#freeCount;
  }

  /** Chains added and not collected. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** The next avail.idx to publish, a free-running u16. Setting it skips or repeats slots. */
  get availIndex(): number {
    return this.#availIdx;
  }

  set availIndex(index: number) {
    this.#availIdx = index & 0xffff;
  }

  /** The next used.idx to collect, a free-running u16. */
  get usedIndex(): number {
    return this.#lastUsed;
  }

  /** Forgets all chains and zeroes the ring. Only while the device does not know the ring. */
  reset(): void {
    this.#ram.fill(this.desc, this.size * DESC_BYTES, 0);
    this.#ram.fill(this.avail, VIRTQ_AVAIL_RING + 2 * this.size + 2, 0);
    this.#ram.fill(this.used, VIRTQ_USED_RING + 8 * this.size + 2, 0);
    for (let i = 0; i < this.size; i++) this.#next[i] = i + 1;
    this.#taken.fill(0);
    this.#free = 0;
    this.#freeCount = this.size;
    this.#inFlight = 0;
    this.#availIdx = this.#publishedIdx = this.#kickedIdx = 0;
    this.#usedIdx = this.#lastUsed = 0;
    this.#interrupts = true;
  }

  /** Gives the ring's guest memory back. Only while the device does not know the ring. */
  close(): void {
    for (const page of this.#pages) this.#ram.free(page);
    for (const table of this.#tables) if (table !== 0) this.#ram.free(table);
    this.#pages.length = 0;
    this.#tables.fill(0);
  }

  /**
   * Writes `chain` into the descriptor table and its head into the next slot of the available
   * ring (2.7.13, steps 1 and 2); the device sees neither before `publish`. Returns the head, or
   * -1 if not enough descriptors are free. Indirect tables take guest memory (ENOMEM).
   */
  add(chain: GuestChain): number {
    const ram = this.#ram;
    if (this.#availIdx === this.#publishedIdx || ram.u8.length === 0) ram.refresh();
    const direct = this.#directCount(chain.count);
    const taken = direct + (direct < chain.count ? 1 : 0);
    if (taken > this.#freeCount || taken === 0) return -1;
    const head = this.#free;
    let last = head;
    for (let i = 0, at = head; i < taken; i++, at = this.#next[at]!) {
      const more = i + 1 < taken ? VIRTQ_DESC_F_NEXT : 0;
      if (i < direct) this.#describeBuffer(this.#desc32, at, chain, i, more, this.#next[at]!);
      else this.#describeTable(at, head, chain, direct);
      last = at;
    }
    this.#free = this.#next[last]!;
    this.#freeCount -= taken;
    this.#taken[head] = taken;
    this.#last[head] = last;
    this.#inFlight++;
    this.offer(head);
    return head;
  }

  /** Puts a head, in flight or not, into the next slot of the available ring. */
  offer(head: number): void {
    const slot = this.#availIdx & this.#mask;
    this.#ram.u16[this.#avail16 + (VIRTQ_AVAIL_RING >>> 1) + slot] = head;
    this.#availIdx = (this.#availIdx + 1) & 0xffff;
  }

  /** Shows the device what was added (2.7.13, steps 3 and 4). Ask `needsKick` after each. */
  publish(): void {
    this.#ram.refresh();
    this.#publishedIdx = this.#availIdx;
    // Atomic: pairs with the device's load of avail.idx before it reads slots and descriptors.
    Atomics.store(this.#ram.u16, this.#avail16 + (VIRTQ_AVAIL_IDX >>> 1), this.#availIdx);
  }

  /**
   * Does the device want the doorbell for what was published since the last call (2.7.13, step 5)?
   * The load stands after the store of `publish`; pairs with the device, which asks for kicks and
   * then looks at avail.idx once more.
   */
  needsKick(): boolean {
    const now = this.#publishedIdx;
    const before = this.#kickedIdx;
    this.#kickedIdx = now;
    if (now === before) return false;
    if (this.#ram.u8.length === 0) this.#ram.refresh();
    const { u16 } = this.#ram;
    if (this.eventIdx) {
      const event = Atomics.load(u16, this.#used16 + (VIRTQ_USED_RING >>> 1) + 4 * this.size);
      return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
    }
    return (Atomics.load(u16, this.#used16) & VIRTQ_USED_F_NO_NOTIFY) === 0;
  }

  /**
   * Takes back the oldest finished chain: its head, or -1 if there is none; `written` is its used
   * length. Throws EDEVICE if the device returns what it does not have.
   */
  collect(): number {
    const ram = this.#ram;
    if (this.#lastUsed === this.#usedIdx && !this.#look()) return -1;
    if (ram.u8.length === 0) ram.refresh();
    const slot = this.#lastUsed & this.#mask;
    const element = this.#used32 + (VIRTQ_USED_RING >>> 2) + 2 * slot;
    const head = ram.u32[element]!;
    if (head >= this.size || this.#taken[head] === 0) {
      throw new GuestError('EDEVICE', `used ring names head ${head}, which is not in flight`);
    }
    this.written = ram.u32[element + 1]!;
    this.#release(head);
    this.#lastUsed = (this.#lastUsed + 1) & 0xffff;
    if (this.#interrupts && this.eventIdx) this.#storeUsedEvent(this.#lastUsed);
    return head;
  }

  /**
   * Asks for interrupts, or asks for none, which the device may overlook (2.7.7). With `after`, the
   * interrupt may wait until that many more chains have finished (EVENT_IDX only). Returns true if
   * the ones asked for have finished already: no interrupt tells of them, so collect again.
   */
  setInterrupts(on: boolean, after = 0): boolean {
    this.#ram.refresh();
    this.#interrupts = on;
    if (this.eventIdx) {
      this.#storeUsedEvent(on ? this.#lastUsed + after : this.#lastUsed - 1);
    } else {
      Atomics.store(this.#ram.u16, this.#avail16, on ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT);
    }
    if (!on) return false;
    // After the store above; pairs with the device, which counts used.idx up and then looks.
    const index = Atomics.load(this.#ram.u16, this.#used16 + (VIRTQ_USED_IDX >>> 1));
    return ((index - this.#lastUsed) & 0xffff) > (this.eventIdx ? after : 0);
  }

  /**
   * Writes one descriptor of any table, whatever its meaning: `table` is a guest address, the
   * address described is lo + hi * 2^32.
   */
  describe(
    table: number,
    index: number,
    [lo, hi, length]: readonly [lo: number, hi: number, length: number],
    flags: number,
    next = 0,
  ): void {
    this.#ram.refresh();
    const at = (this.#ram.offset(table, (index + 1) * DESC_BYTES) >>> 2) + 4 * index;
    this.#ram.u32[at] = lo;
    this.#ram.u32[at + 1] = hi;
    this.#ram.u32[at + 2] = length;
    this.#ram.u32[at + 3] = flags | (next << 16);
  }

  /** Reads used.idx again. True if something finished. */
  #look(): boolean {
    this.#ram.refresh();
    // Atomic: pairs with the device's store of used.idx after the used elements.
    this.#usedIdx = Atomics.load(this.#ram.u16, this.#used16 + (VIRTQ_USED_IDX >>> 1));
    const finished = (this.#usedIdx - this.#lastUsed) & 0xffff;
    if (finished > this.#inFlight) {
      const index = this.#usedIdx;
      this.#usedIdx = this.#lastUsed;
      throw new GuestError('EDEVICE', `used.idx ${index}: ${this.#inFlight} chains in flight`);
    }
    return finished > 0;
  }

  #storeUsedEvent(index: number): void {
    const at = this.#avail16 + (VIRTQ_AVAIL_RING >>> 1) + this.size;
    Atomics.store(this.#ram.u16, at, index & 0xffff);
  }

  /** How many of a chain's buffers stand in the main table. */
  #directCount(count: number): number {
    if (this.form === 'indirect') return 0;
    return this.form === 'mixed' && count > 1 ? 1 : count;
  }

  #describeBuffer(
    table32: number,
    index: number,
    chain: GuestChain,
    buffer: number,
    more: number,
    next: number,
  ): void {
    const { u32 } = this.#ram;
    const at = table32 + 4 * index;
    const address = chain.addresses[buffer]!;
    u32[at] = address;
    u32[at + 1] = address / 4294967296;
    u32[at + 2] = chain.lengths[buffer]!;
    const flags = more | (buffer < chain.readable ? 0 : VIRTQ_DESC_F_WRITE);
    u32[at + 3] = flags | (more === 0 ? 0 : next << 16);
  }

  /** Fills the head's own table with the chain's buffers from `first` on, and refers to it. */
  #describeTable(index: number, head: number, chain: GuestChain, first: number): void {
    const entries = chain.count - first;
    const table = this.#tableOf(head, entries);
    const table32 = this.#ram.offset(table, entries * DESC_BYTES) >>> 2;
    for (let i = 0; i < entries; i++) {
      const more = i + 1 < entries ? VIRTQ_DESC_F_NEXT : 0;
      this.#describeBuffer(table32, i, chain, first + i, more, i + 1);
    }
    const { u32 } = this.#ram;
    const at = this.#desc32 + 4 * index;
    u32[at] = table;
    u32[at + 1] = table / 4294967296;
    u32[at + 2] = entries * DESC_BYTES;
    u32[at + 3] = VIRTQ_DESC_F_INDIRECT;
  }

  /** The indirect table of a head, with room for `entries`; kept for its next chain. */
  #tableOf(head: number, entries: number): number {
    if (this.#tableEntries[head]! < entries) {
      if (this.#tables[head] !== 0) this.#ram.free(this.#tables[head]!);
      this.#tables[head] = 0;
      this.#tableEntries[head] = 0;
      this.#tables[head] = this.#ram.allocate(entries * DESC_BYTES, VIRTQ_DESC_ALIGN);
      this.#tableEntries[head] = entries;
    }
    return this.#tables[head]!;
  }

  #release(head: number): void {
    this.#next[this.#last[head]!] = this.#free;
    this.#free = head;
    this.#freeCount += this.#taken[head]!;
    this.#taken[head] = 0;
    this.#inFlight--;
  }

  /** Memory whose address is `skew` modulo `align`. */
  #allocate(bytes: number, align: number, skew: number): number {
    const page = this.#ram.allocate(bytes + skew, align);
    this.#pages.push(page);
    return page + skew;
  }
}
