/** The device side of a split ring, as small as it can be: what GuestRing's tests look through. */
import type { GuestRam } from '#src/guest/ram';
import type { GuestRing } from '#src/guest/ring';

export interface SeenBuffer {
  address: number;
  length: number;
  write: boolean;
}

export class ToyDevice {
  readonly ram: GuestRam;
  readonly ring: GuestRing;
  lastAvail = 0;
  usedIdx = 0;

  constructor(ram: GuestRam, ring: GuestRing) {
    this.ram = ram;
    this.ring = ring;
  }

  get availIdx(): number {
    return this.ram.loadIndex(this.ring.avail + 2);
  }

  get usedEvent(): number {
    return this.ram.loadIndex(this.ring.avail + 4 + 2 * this.ring.size);
  }

  set availEvent(index: number) {
    this.ram.storeIndex(this.ring.used + 4 + 8 * this.ring.size, index);
  }

  /** The next chain, its indirect tables resolved, or null. */
  pop(): { head: number; buffers: SeenBuffer[]; tables: number } | null {
    if (this.availIdx === this.lastAvail) return null;
    const slot = this.lastAvail % this.ring.size;
    this.lastAvail = (this.lastAvail + 1) & 0xffff;
    const head = this.ram.loadIndex(this.ring.avail + 4 + 2 * slot);
    const buffers: SeenBuffer[] = [];
    let table = this.ring.desc;
    let tables = 0;
    for (let index = head, more = true; more; ) {
      const at = table + 16 * index;
      const flags = this.ram.loadIndex(at + 12);
      const address = this.ram.getU32(at) + this.ram.getU32(at + 4) * 2 ** 32;
      if (flags & 4) {
        table = address;
        index = 0;
        tables++;
        continue;
      }
      buffers.push({ address, length: this.ram.getU32(at + 8), write: (flags & 2) !== 0 });
      more = (flags & 1) !== 0;
      index = this.ram.loadIndex(at + 14);
    }
    return { head, buffers, tables };
  }

  push(head: number, written: number): void {
    const element = this.ring.used + 4 + 8 * (this.usedIdx % this.ring.size);
    this.ram.setU32(element, head);
    this.ram.setU32(element + 4, written);
    this.usedIdx = (this.usedIdx + 1) & 0xffff;
    this.ram.storeIndex(this.ring.used + 2, this.usedIdx);
  }
}
