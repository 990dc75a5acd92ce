/**
 * The contestant that one would write first: a virtqueue read through DataView, an object per
 * descriptor, element and request, BigInt where the standard has a u64, one request at a time.
 *
 * It does the work that the engines do, check by check: head in range and not in flight, chains
 * that end, no INDIRECT in INDIRECT, readable before writable, no empty buffer, less than 4 GiB,
 * every buffer inside a region of guest RAM; used elements, then used.idx, then the question
 * whether the driver wants an interrupt, both ways.
 */
import * as spec from '#src/spec';

const LITTLE = true;

export class NaiveQueue {
  /**
   * @param {ArrayBufferLike} buffer
   * @param {{guest: number, size: number, offset: number}[]} regions of guest RAM
   * @param {{num: number, desc: number, avail: number, used: number, eventIdx?: boolean}} ring
   *   its guest addresses
   */
  constructor(buffer, regions, { num, desc, avail, used, eventIdx = false }) {
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
    this.regions = regions.map(({ guest, size, offset }) => ({
      start: BigInt(guest),
      end: BigInt(guest + size),
      offset,
    }));
    this.num = num;
    this.eventIdx = eventIdx;
    this.desc = this.translate(BigInt(desc), num * 16);
    this.avail = this.translate(BigInt(avail), spec.VIRTQ_AVAIL_RING + num * 2);
    this.used = this.translate(BigInt(used), spec.VIRTQ_USED_RING + num * 8);
    this.lastAvail = 0;
    this.usedIdx = 0;
    this.signalledUsed = null;
    this.inFlight = new Map();
  }

  /** Where a guest range lies in the buffer. */
  translate(address, length) {
    const region = this.regions.find(
      ({ start, end }) => address >= start && address + BigInt(length) <= end,
    );
    if (!region) throw new Error(`guest address ${address} is not in RAM`);
    return region.offset + Number(address - region.start);
  }

  descriptor(table, index) {
    const at = table + index * 16;
    return {
      address: this.view.getBigUint64(at, LITTLE),
      length: this.view.getUint32(at + spec.VIRTQ_DESC_LEN, LITTLE),
      flags: this.view.getUint16(at + spec.VIRTQ_DESC_FLAGS, LITTLE),
      next: this.view.getUint16(at + spec.VIRTQ_DESC_NEXT, LITTLE),
    };
  }

  pop() {
    const published = this.view.getUint16(this.avail + spec.VIRTQ_AVAIL_IDX, LITTLE);
    const available = (published - this.lastAvail) & 0xffff;
    if (available === 0) return null;
    if (available > this.num) throw new Error('more chains than descriptors');
    const slot = this.avail + spec.VIRTQ_AVAIL_RING + (this.lastAvail % this.num) * 2;
    const head = this.view.getUint16(slot, LITTLE);
    if (head >= this.num) throw new Error('head out of range');
    if (this.inFlight.has(head)) throw new Error('head in flight twice');
    const element = this.collect(head);
    this.inFlight.set(head, element);
    this.lastAvail = (this.lastAvail + 1) & 0xffff;
    return element;
  }

  collect(head) {
    const element = { head, out: [], in: [] };
    let table = this.desc;
    let entries = this.num;
    let index = head;
    let indirect = false;
    let total = 0;
    for (let steps = 1; ; steps++) {
      if (index >= entries || steps > entries) throw new Error('the chain does not end');
      const { address, length, flags, next } = this.descriptor(table, index);
      if (flags & spec.VIRTQ_DESC_F_INDIRECT) {
        if (indirect || flags & spec.VIRTQ_DESC_F_NEXT || length === 0 || length % 16 !== 0) {
          throw new Error('bad indirect table');
        }
        table = this.translate(address, length);
        entries = length / 16;
        index = 0;
        steps = 0;
        indirect = true;
        continue;
      }
      if (length === 0) throw new Error('empty buffer');
      total += length;
      if (total >= 2 ** 32) throw new Error('the chain is too long');
      const buffer = { address: this.translate(address, length), length };
      if (flags & spec.VIRTQ_DESC_F_WRITE) element.in.push(buffer);
      else if (element.in.length > 0) throw new Error('readable after writable');
      else element.out.push(buffer);
      if (!(flags & spec.VIRTQ_DESC_F_NEXT)) return element;
      index = next;
    }
  }

  /** Gives an element back. True if the driver wants an interrupt. */
  push(element, written) {
    if (!this.inFlight.delete(element.head)) throw new Error('not in flight');
    const slot = this.used + spec.VIRTQ_USED_RING + (this.usedIdx % this.num) * 8;
    this.view.setUint32(slot, element.head, LITTLE);
    this.view.setUint32(slot + 4, written, LITTLE);
    const old = this.signalledUsed;
    this.usedIdx = (this.usedIdx + 1) & 0xffff;
    this.view.setUint16(this.used + spec.VIRTQ_USED_IDX, this.usedIdx, LITTLE);
    this.signalledUsed = this.usedIdx;
    if (this.eventIdx) {
      const event = this.view.getUint16(this.avail + spec.VIRTQ_AVAIL_RING + this.num * 2, LITTLE);
      if (old === null) return true;
      return ((this.usedIdx - event - 1) & 0xffff) < ((this.usedIdx - old) & 0xffff);
    }
    const flags = this.view.getUint16(this.avail + spec.VIRTQ_AVAIL_FLAGS, LITTLE);
    return !(flags & spec.VIRTQ_AVAIL_F_NO_INTERRUPT);
  }

  /** Header and status of a block request with the usual framing. */
  parse(element) {
    const header = element.out[0];
    if (!header || header.length < 16 || element.in.length === 0) throw new Error('no header');
    const status = element.in[element.in.length - 1];
    return {
      type: this.view.getUint32(header.address, LITTLE),
      sector: this.view.getBigUint64(header.address + 8, LITTLE),
      data: element.in.slice(0, -1),
      status: status.address + status.length - 1,
      element,
    };
  }

  /** A read from `disk`, one Uint8Array for the whole of it. */
  serve(request, disk) {
    const bytes = request.data.reduce((sum, { length }) => sum + length, 0);
    let offset = Number(request.sector) * spec.SECTOR_SIZE;
    if (request.type !== spec.VIRTIO_BLK_T_IN || offset + bytes > disk.length) {
      return this.answer(request, spec.VIRTIO_BLK_S_IOERR, 0);
    }
    for (const { address, length } of request.data) {
      this.bytes.set(disk.subarray(offset, offset + length), address);
      offset += length;
    }
    return this.answer(request, spec.VIRTIO_BLK_S_OK, bytes + 1);
  }

  answer(request, status, written) {
    this.view.setUint8(request.status, status);
    return this.push(request.element, written);
  }
}
