/**
 * A virtio-blk request in guest memory, in any framing (VIRTIO 1.3, 5.2.6 and 2.7.4): the device
 * must not care how header, data and status are cut into buffers.
 */

import { VIRTIO_BLK_OUTHDR_SIZE } from '../spec.ts';
import { GuestChain } from './chain.ts';
import type { GuestRam } from './ram.ts';

/**
 * `plain`: header, data, status, a buffer each. `split-header`: the header in 7 and 9 bytes.
 * `joined`: as few as can be: header and data to write in one, data to read and status in one.
 * `scattered`: the header in three, the data in many of odd sizes, in memory back to front.
 */
export type Framing = 'plain' | 'split-header' | 'joined' | 'scattered';
export const FRAMINGS: readonly Framing[] = ['plain', 'split-header', 'joined', 'scattered'];

/** What the status byte holds until the device writes it. */
export const STATUS_UNWRITTEN = 0xff;

/** Sizes of the buffers of a scattered request, in bytes; the last takes the rest. */
const CRUMBS = [1, 511, 3, 509, 513, 7, 1017, 64, 448, 2, 1022, 5, 2043];

/**
 * Memory for one request at a time: | header 16 | data | status |, in this order and without gaps.
 * `prepare` writes the header and lists the buffers in `chain`; nothing is allocated per request.
 */
export class RequestFrame {
  readonly chain = new GuestChain();
  /** Guest address of the header; data follows it. */
  readonly address: number;
  /** Most data bytes that fit. */
  readonly bytes: number;
  /** Data bytes of the request prepared last. */
  length = 0;
  readonly #ram: GuestRam;
  /** Buffer offset of the header. The frame lies in one region, which does not move. */
  readonly #offset: number;
  readonly #pieceAddresses = new Float64Array(CRUMBS.length + 1);
  readonly #pieceLengths = new Float64Array(CRUMBS.length + 1);
  #pieces = 0;

  constructor(ram: GuestRam, bytes: number) {
    this.#ram = ram;
    this.bytes = bytes;
    this.address = ram.allocate(VIRTIO_BLK_OUTHDR_SIZE + bytes + 1, 16);
    this.#offset = ram.offset(this.address, VIRTIO_BLK_OUTHDR_SIZE + bytes + 1);
  }

  /** Guest address of the data, if it is in one piece. */
  get data(): number {
    return this.address + VIRTIO_BLK_OUTHDR_SIZE;
  }

  /** Guest address of the status byte of the request prepared last. */
  get statusAt(): number {
    return this.data + this.length;
  }

  /** The status byte, STATUS_UNWRITTEN until the device writes it. */
  get status(): number {
    if (this.#ram.u8.length === 0) this.#ram.refresh();
    return this.#ram.u8[this.#offset + VIRTIO_BLK_OUTHDR_SIZE + this.length]!;
  }

  /**
   * Writes the header of a request with `length` bytes of data, which the device reads
   * (`toDevice`) or writes, and fills `chain` with at most `most` buffers of data.
   */
  prepare(
    type: number,
    sector: number,
    length: number,
    toDevice: boolean,
    framing: Framing = 'plain',
    most: number = CRUMBS.length,
  ): void {
    if (length > this.bytes) throw new RangeError(`${length} bytes in a frame of ${this.bytes}`);
    if (this.#ram.u8.length === 0) this.#ram.refresh();
    const { u8, u32 } = this.#ram;
    const word = this.#offset >>> 2;
    u32[word] = type;
    u32[word + 1] = 0;
    u32[word + 2] = sector;
    u32[word + 3] = sector / 4294967296;
    this.length = length;
    u8[this.#offset + VIRTIO_BLK_OUTHDR_SIZE + length] = STATUS_UNWRITTEN;
    this.#cut(length, framing === 'scattered' ? Math.min(most, CRUMBS.length) : 1);
    if (framing === 'joined') this.#chainJoined(toDevice);
    else this.#chainApart(toDevice, framing);
  }

  /** Puts `bytes` where the device will look for data; as many as were prepared. */
  setData(bytes: Uint8Array): void {
    let done = 0;
    for (let i = 0; i < this.#pieces; i++) {
      const length = this.#pieceLengths[i]!;
      this.#ram.write(this.#pieceAddresses[i]!, bytes.subarray(done, done + length));
      done += length;
    }
  }

  /** A copy of the data, in the order of the chain. */
  getData(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    let done = 0;
    for (let i = 0; i < this.#pieces; i++) {
      const length = this.#pieceLengths[i]!;
      this.#ram.readInto(bytes.subarray(done, done + length), this.#pieceAddresses[i]!);
      done += length;
    }
    return bytes;
  }

  /** Gives the memory back; the device must not have the request any more. */
  close(): void {
    this.#ram.free(this.address);
  }

  /** Cuts the data into at most `most` pieces, the first one last in memory. */
  #cut(length: number, most: number): void {
    this.#pieces = 0;
    for (let left = length; left > 0; this.#pieces++) {
      const last = this.#pieces + 1 >= most;
      const size = last ? left : Math.min(left, CRUMBS[this.#pieces]!);
      left -= size;
      this.#pieceAddresses[this.#pieces] = this.data + left;
      this.#pieceLengths[this.#pieces] = size;
    }
  }

  #chainApart(toDevice: boolean, framing: Framing): void {
    const { chain, address } = this;
    chain.clear();
    if (framing === 'plain') chain.out(address, 16);
    else if (framing === 'split-header') chain.out(address, 7).out(address + 7, 9);
    else
      chain
        .out(address, 4)
        .out(address + 4, 5)
        .out(address + 9, 7);
    for (let i = 0; i < this.#pieces; i++) {
      const at = this.#pieceAddresses[i]!;
      if (toDevice) chain.out(at, this.#pieceLengths[i]!);
      else chain.in(at, this.#pieceLengths[i]!);
    }
    chain.in(this.statusAt, 1);
  }

  #chainJoined(toDevice: boolean): void {
    const { chain, address, length } = this;
    chain.clear().out(address, toDevice ? VIRTIO_BLK_OUTHDR_SIZE + length : VIRTIO_BLK_OUTHDR_SIZE);
    if (toDevice) chain.in(this.statusAt, 1);
    else chain.in(this.data, length + 1);
  }
}
