/**
 * A request written descriptor by descriptor, legal or not, into queue 0 of a running driver.
 *
 * Scratch memory: | header 16 | .. | status | .. | data 4 KiB | .. | table 1100 entries |
 */
import {
  VIRTIO_BLK_T_IN,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE_SHIFT,
} from '../spec.ts';
import type { GuestBlk } from './blk.ts';
import type { GuestRing } from './ring.ts';

export const SCRATCH_BYTES = 0x8000;
/** Where in the scratch memory the status byte of a drafted request lies. */
export const SCRATCH_STATUS = 0x20;
const SCRATCH_DATA = 0x1000;
const SCRATCH_TABLE = 0x2000;

export const NEXT = VIRTQ_DESC_F_NEXT;
export const WRITE = VIRTQ_DESC_F_WRITE;
export const INDIRECT = VIRTQ_DESC_F_INDIRECT;

/** Guest address as two words, and length in bytes: what a descriptor says of its buffer. */
export type Buffer = readonly [lo: number, hi: number, length: number];

export class Draft {
  readonly guest: GuestBlk;
  readonly ring: GuestRing;
  readonly header: Buffer;
  readonly status: Buffer;
  /** One sector of data. */
  readonly data: Buffer;
  /** Guest address of the table that `entry` writes. */
  readonly tableAt: number;

  /** Begins with the header of a read of sector 0 and a status that nobody wrote. */
  constructor(guest: GuestBlk, scratch: number) {
    this.guest = guest;
    this.ring = guest.rings[0]!;
    this.header = bufferAt(scratch, 16);
    this.status = bufferAt(scratch + SCRATCH_STATUS, 1);
    this.data = bufferAt(scratch + SCRATCH_DATA, 512);
    this.tableAt = scratch + SCRATCH_TABLE;
    guest.ram.fill(scratch, SCRATCH_STATUS + 16, 0xff);
    this.request(VIRTIO_BLK_T_IN, 0);
  }

  request(type: number, sector: number): this {
    const [lo] = this.header;
    this.guest.ram.setU32(lo, type);
    this.guest.ram.setU32(lo + 4, 0);
    this.guest.ram.setU64(lo + 8, sector);
    return this;
  }

  /** Writes a descriptor of the ring's table. */
  desc(index: number, buffer: Buffer, flags: number, next = 0): this {
    this.ring.describe(this.ring.desc, index, buffer, flags, next);
    return this;
  }

  /** Writes a descriptor of the table in scratch memory. */
  entry(index: number, buffer: Buffer, flags: number, next = 0): this {
    this.ring.describe(this.tableAt, index, buffer, flags, next);
    return this;
  }

  /** The table in scratch memory as a buffer of `entries` descriptors. */
  table(entries: number): Buffer {
    return bufferAt(this.tableAt, entries << VIRTQ_DESC_SIZE_SHIFT);
  }

  /** A read of one sector in the first three entries of the table. */
  fillTable(): this {
    return this.entry(0, this.header, NEXT, 1)
      .entry(1, this.data, NEXT | WRITE, 2)
      .entry(2, this.status, WRITE);
  }

  /** Offers `head`, publishes and kicks, whether the device wants the kick or not. */
  send(head = 0): void {
    this.ring.offer(head);
    this.show();
  }

  /** Publishes and kicks. */
  show(): void {
    this.ring.publish();
    this.guest.transport.kick(0);
  }
}

export function bufferAt(address: number, length: number): Buffer {
  return [address >>> 0, Math.floor(address / 2 ** 32), length];
}
