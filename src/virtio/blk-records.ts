/**
 * The records of one block queue as TypeScript reads them: what the engine's `blkPop` found in
 * each chain, addressed by head (layout: record, segment block). Home thread of the queue.
 */

import type { SegmentVector } from '../block/io-vector.ts';
import {
  BLOCK_FIRST,
  BLOCK_SEGMENTS,
  RECORD_IN_BYTES,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
  RECORD_SECTOR_HI,
  RECORD_SECTOR_LO,
  RECORD_SEGMENTS,
  RECORD_STATUS,
  RECORD_TYPE,
  RECORD_WRITTEN,
  SEGMENT_LENGTH,
  SEGMENT_SIZE,
} from '../layout.ts';
import { VIRTIO_BLK_OUTHDR_SIZE } from '../spec.ts';
import { RingRecords } from './ring-records.ts';

const SEGMENT_WORDS = SEGMENT_SIZE / 4;

export class BlkRecords extends RingRecords {
  /** Type as the driver wrote it. */
  type(head: number): number {
    return this.get(head, RECORD_TYPE);
  }

  sectorLo(head: number): number {
    return this.get(head, RECORD_SECTOR_LO);
  }

  /** First sector; exact up to 2^53, and far beyond any disk above. */
  sector(head: number): number {
    return this.get(head, RECORD_SECTOR_HI) * 0x1_0000_0000 + this.get(head, RECORD_SECTOR_LO);
  }

  /** Device-readable bytes after the header. */
  outBytes(head: number): number {
    return this.get(head, RECORD_OUT_BYTES) - VIRTIO_BLK_OUTHDR_SIZE;
  }

  /** Device-writable bytes before the status byte. */
  inBytes(head: number): number {
    return this.get(head, RECORD_IN_BYTES) - 1;
  }

  /**
   * Says how the request ended. `filled`: bytes written from the start of the writable part, data
   * only. The used length counts bytes from the start without a gap, so the status byte is part of
   * it only if all before it was written (VQ-6; 2.7.8.2: an overestimate is forbidden).
   */
  finish(head: number, status: number, filled: number): void {
    const data = this.inBytes(head);
    this.set(head, RECORD_STATUS, status);
    this.set(head, RECORD_WRITTEN, filled >= data ? data + 1 : filled);
  }

  /**
   * Appends the data of a read or write to a driver's vector: all readable bytes after the header,
   * or all writable ones before the status byte. Header and status may share segments with data.
   */
  appendData(vector: SegmentVector, head: number, write: boolean): void {
    const skip = write ? VIRTIO_BLK_OUTHDR_SIZE : 0;
    this.append(vector, head, write, skip, write ? this.outBytes(head) : this.inBytes(head));
  }

  /**
   * Where the data of a read or write begins in guest RAM's buffer if it lies in one segment, as
   * `appendData` would append it; else -1.
   */
  dataStart(head: number, write: boolean, bytes: number): number {
    const slot = write ? 1 : this.get(head, RECORD_OUT_COUNT);
    if (slot >= BLOCK_SEGMENTS) return -1;
    const segment =
      (this.get(head, RECORD_SEGMENTS) >>> 2) + (BLOCK_FIRST >>> 2) + slot * SEGMENT_WORDS;
    // To the disk the header must be the whole of the first segment, and data all of the second.
    if (write && this.segmentLength(head, 0) !== VIRTIO_BLK_OUTHDR_SIZE) return -1;
    if (this.u32[segment + (SEGMENT_LENGTH >>> 2)]! < bytes) return -1;
    return this.u32[segment]!;
  }
}
