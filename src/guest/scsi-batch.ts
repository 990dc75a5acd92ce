/**
 * Batches of SCSI commands for load generators: slots with memory of their own, filled, submitted
 * with one publish and one doorbell, and taken back one by one. Allocates nothing per request.
 */

import { SCSI_READ_10, SCSI_WRITE_BIT, VIRTIO_SCSI_FIRST_COMMAND_QUEUE } from '../spec.ts';
import type { ChainOwner } from './device.ts';
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

export class GuestScsiBatch implements ChainOwner {
  readonly queue: number;
  readonly depth: number;
  readonly blockSize: number;
  /** The commands' memory, by slot. */
  readonly frames: readonly ScsiFrame[];
  /** Used length of each slot's last command, in bytes. */
  readonly written: Uint32Array;
  readonly #scsi: GuestScsi;
  readonly #framing: Framing;
  readonly #cdb = new Uint8Array(10);
  readonly #slotOf: Uint16Array;
  /** Finished slots that were not taken: a circle of `depth`. */
  readonly #done: Uint16Array;
  #doneFrom = 0;
  #doneCount = 0;

  /** The device runs, and its sizes stay as they are. */
  constructor(scsi: GuestScsi, options: GuestScsiBatchOptions) {
    const { depth, bytes } = options;
    this.#scsi = scsi;
    this.queue = VIRTIO_SCSI_FIRST_COMMAND_QUEUE + (options.queue ?? 0);
    this.depth = depth;
    this.blockSize = options.blockSize ?? 512;
    this.#framing = options.framing ?? 'plain';
    const sizes = { cdb: scsi.cdbSize, sense: scsi.senseSize, out: bytes, in: bytes };
    this.frames = Array.from({ length: depth }, () => new ScsiFrame(scsi.ram, sizes));
    this.written = new Uint32Array(depth);
    this.#slotOf = new Uint16Array(scsi.rings[this.queue]!.size);
    this.#done = new Uint16Array(depth);
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
    const head = this.#scsi.add(this.queue, frame.chain, this);
    if (head < 0) return false;
    this.#slotOf[head] = slot;
    return true;
  }

  /** Publishes what was added, and rings the doorbell if the device wants it. */
  submit(): void {
    this.#scsi.submit(this.queue);
  }

  /** Polls the queues if need be; the next finished slot, or -1. */
  take(): number {
    if (this.#doneCount === 0) this.#scsi.poll();
    if (this.#doneCount === 0) return -1;
    const slot = this.#done[this.#doneFrom]!;
    this.#doneFrom = (this.#doneFrom + 1) % this.depth;
    this.#doneCount--;
    return slot;
  }

  /** Response and status of the slot's last command, both 0: it went well. */
  succeeded(slot: number): boolean {
    const frame = this.frames[slot]!;
    return frame.code === 0 && frame.status === 0;
  }

  finished(head: number, written: number): void {
    const slot = this.#slotOf[head]!;
    this.written[slot] = written;
    this.#done[(this.#doneFrom + this.#doneCount++) % this.depth] = slot;
  }

  dropped(): void {
    this.#doneCount = 0;
  }

  /** Gives the guest memory back; the device must not have any of the commands. */
  close(): void {
    for (const frame of this.frames) frame.close();
  }
}
