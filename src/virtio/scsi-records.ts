/**
 * The records of one command queue of virtio-scsi: what the engine's `scsiPop` found in each chain,
 * and the response that `scsiPush` is to write (layout: SCSI table). Home thread of the queue.
 */

import type { SegmentVector } from '../block/io-vector.ts';
import type { Core } from '../engine/core.ts';
import {
  QUEUE_CAPACITY,
  QUEUE_SCSI,
  RECORD_IN_BYTES,
  RECORD_OUT_BYTES,
  RECORD_WRITTEN,
  SCSI_REQUEST_CDB,
  SCSI_REQUEST_CDB_SIZE,
  SCSI_REQUEST_IN_BYTES,
  SCSI_REQUEST_LUN,
  SCSI_REQUEST_OUT_BYTES,
  SCSI_REQUEST_SIZE,
  SCSI_REQUEST_TAG,
  SCSI_RESPONSE_QUALIFIER,
  SCSI_RESPONSE_RESIDUAL,
  SCSI_RESPONSE_SENSE,
  SCSI_RESPONSE_SENSE_LENGTH,
  SCSI_RESPONSE_SIZE,
} from '../layout.ts';
import type { ScsiRequest } from '../scsi/request.ts';
import { RingRecords } from './ring-records.ts';

/** No command has such an address (SC-8). */
export const NO_TARGET = -1;

export class ScsiRecords extends RingRecords {
  readonly #core: Core;
  /** Core addresses of the tables of requests and responses. */
  readonly #requests: number;
  readonly #responses: number;

  constructor(core: Core, queue: number) {
    super(core, queue);
    this.#core = core;
    const capacity = this.u32[(queue + QUEUE_CAPACITY) >>> 2]!;
    this.#requests = this.u32[(queue + QUEUE_SCSI) >>> 2]!;
    this.#responses = this.#requests + capacity * SCSI_REQUEST_SIZE;
  }

  /** The word with which the header begins: target, and LUN. */
  lunWord(head: number): number {
    return this.u32[(this.#request(head) + SCSI_REQUEST_LUN) >>> 2]!;
  }

  tagLo(head: number): number {
    return this.u32[(this.#request(head) + SCSI_REQUEST_TAG) >>> 2]!;
  }

  tagHi(head: number): number {
    return this.u32[(this.#request(head) + SCSI_REQUEST_TAG + 4) >>> 2]!;
  }

  /** Bytes of data-out and data-in. */
  outBytes(head: number): number {
    return this.u32[(this.#request(head) + SCSI_REQUEST_OUT_BYTES) >>> 2]!;
  }

  inBytes(head: number): number {
    return this.u32[(this.#request(head) + SCSI_REQUEST_IN_BYTES) >>> 2]!;
  }

  /** Bytes of CDB that the driver gave, of a command that was begun or restored. */
  cdbSize(head: number): number {
    return this.u32[(this.#request(head) + SCSI_REQUEST_CDB_SIZE) >>> 2]! >>> 24;
  }

  setCdbSize(head: number, bytes: number): void {
    const at = (this.#request(head) + SCSI_REQUEST_CDB_SIZE) >>> 2;
    this.u32[at] = (this.u32[at]! & 0xff_ffff) | (bytes << 24);
  }

  copyCdb(head: number, into: Uint8Array): void {
    const at = this.#request(head) + SCSI_REQUEST_CDB;
    const { u8 } = this.#core;
    for (let i = 0; i < into.length; i++) into[i] = u8[at + i]!;
  }

  /** Makes `vector` `length` bytes of data from `at` on; so many are there. */
  data(vector: SegmentVector, head: number, out: boolean, at: number, length: number): void {
    const all = this.get(head, out ? RECORD_OUT_BYTES : RECORD_IN_BYTES);
    const skip = all - (out ? this.outBytes(head) : this.inBytes(head));
    vector.reset(this.#core.ramU8);
    this.append(vector, head, out, skip + at, length);
  }

  /** Says how a command ended. `code`: VIRTIO_SCSI_S_*. */
  respond(head: number, code: number, request: ScsiRequest): void {
    const { sense, senseLength, residual, status, transferred } = request;
    const { u32 } = this;
    const at = this.#response(head);
    u32[(at + SCSI_RESPONSE_SENSE_LENGTH) >>> 2] = senseLength;
    u32[(at + SCSI_RESPONSE_RESIDUAL) >>> 2] = residual;
    u32[(at + SCSI_RESPONSE_QUALIFIER) >>> 2] = (code << 24) | (code === 0 ? status << 16 : 0);
    if (senseLength > 0) this.#core.u8.set(sense, at + SCSI_RESPONSE_SENSE);
    this.set(head, RECORD_WRITTEN, this.inBytes(head) > 0 ? transferred : 0);
  }

  #request(head: number): number {
    return this.#requests + head * SCSI_REQUEST_SIZE;
  }

  #response(head: number): number {
    return this.#responses + head * SCSI_RESPONSE_SIZE;
  }
}

/**
 * Target of a header's first word, or NO_TARGET: its first byte is 1, flat addressing is one level.
 */
export function targetOf(lunWord: number): number {
  const format = (lunWord >>> 16) & 0xff;
  if ((lunWord & 0xff) !== 1 || (format !== 0 && format >>> 6 !== 1)) return NO_TARGET;
  return (lunWord >>> 8) & 0xff;
}

/** LUN of a header's first word: 14 bits. */
export function lunOf(lunWord: number): number {
  return ((lunWord >>> 8) & 0x3f00) | (lunWord >>> 24);
}
