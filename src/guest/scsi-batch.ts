/** Batches of SCSI commands for load generators. */

import { SCSI_READ_10, SCSI_WRITE_BIT, VIRTIO_SCSI_FIRST_COMMAND_QUEUE } from '../spec.ts';
import { GuestBatch } from './batch.ts';
import type { Framing } from './frame.ts';
import type { GuestScsi } from './scsi.ts';
import { ScsiFrame } from './scsi-frame.ts';

export interface GuestScsiBatchOptions {
  /** Which command queue, from 0. */
  readonly queue?: number;
  /** Commands at once. */
  readonly depth: number;
  /** Most data bytes of a command, in each direction. */
  readonly bytes: number;
  /** Bytes of a logical block. Default 512. */
  readonly blockSize?: number;
  readonly framing?: Framing;
}

export class GuestScsiBatch extends GuestBatch<ScsiFrame> {
  readonly blockSize: number;
  readonly #scsi: GuestScsi;
  readonly #framing: Framing;
  readonly #cdb = new Uint8Array(10);

  /** The device runs, and its sizes stay as they are. */
  constructor(scsi: GuestScsi, options: GuestScsiBatchOptions) {
    const { depth, bytes, queue = 0, blockSize = 512, framing = 'plain' } = options;
    const sizes = { cdb: scsi.cdbSize, sense: scsi.senseSize, out: bytes, in: bytes };
    const first = VIRTIO_SCSI_FIRST_COMMAND_QUEUE;
    super(scsi, first + queue, depth, () => new ScsiFrame(scsi.ram, sizes));
    this.#scsi = scsi;
    this.blockSize = blockSize;
    this.#framing = framing;
  }

  /** Adds READ (10) or WRITE (10) of `blocks` blocks from `lba` on; false if there is no room. */
  transfer(slot: number, lun: Uint8Array, write: boolean, lba: number, blocks: number): boolean {
    const cdb = this.#cdb;
    cdb[0] = write ? SCSI_READ_10 | SCSI_WRITE_BIT : SCSI_READ_10;
    cdb[2] = lba >>> 24;
    cdb[3] = lba >>> 16;
    cdb[4] = lba >>> 8;
    cdb[5] = lba;
    cdb[7] = blocks >>> 8;
    cdb[8] = blocks;
    const bytes = blocks * this.blockSize;
    return this.add(slot, lun, cdb, write ? bytes : 0, write ? 0 : bytes);
  }

  /** Adds any command to the ring; false if it has no room. Sizes in bytes. */
  add(slot: number, lun: Uint8Array, cdb: Uint8Array, outBytes: number, inBytes: number): boolean {
    const frame = this.frames[slot]!;
    frame.prepare(lun, this.#scsi.nextTag(), cdb, outBytes, inBytes, this.#framing);
    return this.addFrame(slot, frame);
  }

  /** Response and status of the slot's last command, both 0: it went well. */
  succeeded(slot: number): boolean {
    const frame = this.frames[slot]!;
    return frame.code === 0 && frame.status === 0;
  }
}
