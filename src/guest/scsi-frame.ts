/**
 * A virtio-scsi command in guest memory, in any framing (VIRTIO 1.3, 5.6.6.1 and 2.7.4): the device
 * must not care how header, data and response are cut into buffers.
 */

import { VIRTIO_SCSI_REQUEST_HEADER, VIRTIO_SCSI_RESPONSE_HEADER } from '../spec.ts';
import { GuestChain } from './chain.ts';
import type { Framing } from './frame.ts';
import type { GuestRam } from './ram.ts';

export interface ScsiSizes {
  /** Bytes of a CDB and of sense, as the configuration says. */
  readonly cdb: number;
  readonly sense: number;
  /** Most bytes of data for the device to read, and to write. */
  readonly out: number;
  readonly in: number;
}

/** What the response holds until the device writes it. */
export const RESPONSE_UNWRITTEN = 0xff;
/** A word of it. */
const UNWRITTEN = 0xffffffff;
/** Offset of the CDB in the header, in bytes. */
const CDB_AT = 19;

/** Sizes of the buffers of scattered data, in bytes; the last takes the rest. */
const CRUMBS = [1, 511, 3, 509, 513, 7, 1017];

/**
 * Memory for one command at a time: | header | data-out | response | data-in |. `prepare` writes
 * header and CDB and lists the buffers in `chain`; nothing is allocated per request.
 */
export class ScsiFrame {
  readonly chain = new GuestChain();
  readonly sizes: ScsiSizes;
  /** Guest addresses of header and response. */
  readonly header: number;
  readonly response: number;
  /** Guest addresses and lengths of the data of the command prepared last. */
  dataOut = 0;
  dataIn = 0;
  outBytes = 0;
  inBytes = 0;
  readonly #ram: GuestRam;
  readonly #headerBytes: number;
  readonly #responseBytes: number;
  /** Buffer offsets. The frame lies in one region, which does not move. */
  readonly #headerAt: number;
  readonly #responseAt: number;
  /** As many bytes of the CDB's place may not be zero. */
  #cdbBytes: number;

  constructor(ram: GuestRam, sizes: ScsiSizes) {
    this.#ram = ram;
    this.sizes = sizes;
    this.#headerBytes = VIRTIO_SCSI_REQUEST_HEADER + sizes.cdb;
    this.#responseBytes = VIRTIO_SCSI_RESPONSE_HEADER + sizes.sense;
    const front = align16(align16(this.#headerBytes) + sizes.out);
    const bytes = front + align16(this.#responseBytes) + sizes.in;
    this.header = ram.allocate(bytes, 16);
    this.response = this.header + front;
    this.#cdbBytes = sizes.cdb;
    this.#headerAt = ram.offset(this.header, bytes);
    this.#responseAt = this.#headerAt + front;
  }

  /**
   * Writes the header: `lun` of 8 bytes, a tag below 2^53, the first bytes of `cdb`. Makes the
   * response unwritten, and fills `chain`.
   */
  prepare(
    lun: Uint8Array,
    tag: number,
    cdb: Uint8Array,
    outBytes: number,
    inBytes: number,
    framing: Framing = 'plain',
    attribute = 0,
  ): void {
    const { sizes } = this;
    if (outBytes > sizes.out || inBytes > sizes.in) {
      throw new RangeError(`${outBytes} and ${inBytes} bytes in a frame for less`);
    }
    if (this.#ram.u8.length === 0) this.#ram.refresh();
    const { u8, u32 } = this.#ram;
    const at = this.#headerAt;
    const word = at >>> 2;
    u32[word] = lun[0]! | (lun[1]! << 8) | (lun[2]! << 16) | (lun[3]! << 24);
    u32[word + 1] = lun[4]! | (lun[5]! << 8) | (lun[6]! << 16) | (lun[7]! << 24);
    u32[word + 2] = tag;
    u32[word + 3] = tag / 4294967296;
    u8[at + 16] = attribute;
    u8[at + 17] = u8[at + 18] = 0;
    this.#putCdb(u8, at + CDB_AT, cdb);
    const response = this.#responseAt >>> 2;
    u32[response] = u32[response + 1] = u32[response + 2] = UNWRITTEN;
    this.outBytes = outBytes;
    this.inBytes = inBytes;
    this.#list(framing);
  }

  /** What an earlier, longer CDB has left behind it is cleared. */
  #putCdb(u8: Uint8Array, at: number, cdb: Uint8Array): void {
    const kept = Math.min(cdb.length, this.sizes.cdb);
    for (let i = 0; i < kept; i++) u8[at + i] = cdb[i]!;
    for (let i = kept; i < this.#cdbBytes; i++) u8[at + i] = 0;
    this.#cdbBytes = kept;
  }

  /** VIRTIO_SCSI_S_*, RESPONSE_UNWRITTEN until the device writes it. */
  get code(): number {
    return this.#byte(11);
  }

  /** The SCSI status: 0 is GOOD. */
  get status(): number {
    return this.#byte(10);
  }

  get residual(): number {
    return this.#ram.getU32(this.response + 4);
  }

  /** A copy of the sense data, not more than there is room for. */
  getSense(): Uint8Array {
    const length = Math.min(this.#ram.getU32(this.response), this.sizes.sense);
    return this.#ram.read(this.response + VIRTIO_SCSI_RESPONSE_HEADER, length);
  }

  setData(bytes: Uint8Array): void {
    this.#ram.write(this.dataOut, bytes);
  }

  /** A copy of the data that the device was to write. */
  getData(): Uint8Array {
    return this.#ram.read(this.dataIn, this.inBytes);
  }

  /** Gives the memory back; the device must not have the command any more. */
  close(): void {
    this.#ram.free(this.header);
  }

  #byte(at: number): number {
    if (this.#ram.u8.length === 0) this.#ram.refresh();
    return this.#ram.u8[this.#responseAt + at]!;
  }

  #list(framing: Framing): void {
    const { chain, header, response, outBytes, inBytes } = this;
    const [front, room] = [this.#headerBytes, this.#responseBytes];
    const joined = framing === 'joined';
    const crumbs = framing === 'scattered' ? CRUMBS.length : 0;
    this.dataOut = header + (joined ? front : align16(front));
    this.dataIn = response + (joined ? room : align16(room));
    chain.clear();
    if (joined) {
      chain.out(header, front + outBytes).in(response, room + inBytes);
      return;
    }
    const first = framing === 'plain' ? 0 : 7;
    if (first > 0) chain.out(header, first);
    chain.out(header + first, front - first);
    this.#cut(this.dataOut, outBytes, crumbs, false);
    const sense = framing === 'scattered' ? 5 : 0;
    if (sense > 0) chain.in(response, sense);
    chain.in(response + sense, room - sense);
    this.#cut(this.dataIn, inBytes, crumbs, true);
  }

  /** Appends `length` bytes at `at`, with `crumbs` cuts at most. */
  #cut(at: number, length: number, crumbs: number, toGuest: boolean): void {
    for (let done = 0, i = 0; done < length; i++) {
      const size = i < crumbs ? Math.min(CRUMBS[i]!, length - done) : length - done;
      if (toGuest) this.chain.in(at + done, size);
      else this.chain.out(at + done, size);
      done += size;
    }
  }
}

function align16(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}
