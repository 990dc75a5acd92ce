/**
 * What a virtio-blk device tells its driver: the configuration space and the feature bits
 * (VIRTIO 1.3, 5.2.3 and 5.2.4; QEMU: `virtio_blk_update_config`, `virtio_blk_get_features`).
 */

import {
  SECTOR_SHIFT,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_GEOMETRY,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SCSI,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_NOTIFY_ON_EMPTY,
  VIRTIO_F_RING_RESET,
} from '../spec.ts';
import type { BlkSettings } from './blk-options.ts';
import { storeLittle } from './config-space.ts';

// struct virtio_blk_config, offsets in bytes:
//
//    0 capacity u64        16 cylinders u16      24 physical_block_exp u8   32 writeback u8
//    8 size_max u32        18 heads u8           25 alignment_offset u8     33 unused u8
//   12 seg_max u32         19 sectors u8         26 min_io_size u16         34 num_queues u16
//                          20 blk_size u32       28 opt_io_size u32
//   --- 36: ends here without DISCARD and WRITE_ZEROES
//   36 max_discard_sectors u32   40 max_discard_seg u32   44 discard_sector_alignment u32
//   --- 48: ends here with DISCARD alone
//   48 max_write_zeroes_sectors u32   52 max_write_zeroes_seg u32   56 may_unmap u8   57 unused[3]
//   --- 60
const CAPACITY = 0;
const SEG_MAX = 12;
const CYLINDERS = 16;
const HEADS = 18;
const SECTORS = 19;
const BLK_SIZE = 20;
const PHYSICAL_BLOCK_EXP = 24;
const MIN_IO_SIZE = 26;
const OPT_IO_SIZE = 28;
/** The only field that a driver may write (BL-12). */
export const CONFIG_WRITEBACK = 32;
const NUM_QUEUES = 34;
const MAX_DISCARD_SECTORS = 36;
const MAX_DISCARD_SEG = 40;
const DISCARD_SECTOR_ALIGNMENT = 44;
const MAX_WRITE_ZEROES_SECTORS = 48;
const MAX_WRITE_ZEROES_SEG = 52;
const WRITE_ZEROES_MAY_UNMAP = 56;

const SIZE_BASE = 36;
const SIZE_DISCARD = 48;
const SIZE_WRITE_ZEROES = 60;

/** Widths of the fields from offset 0 on, for big-endian legacy guests. */
export const CONFIG_FIELDS: readonly number[] = [
  8, 4, 4, 2, 1, 1, 4, 1, 1, 2, 4, 1, 1, 2, 4, 4, 4, 4, 4, 1, 1, 1, 1,
];

/** What of the configuration space may change while the device lives. */
export interface BlkState {
  /** Sectors of 512 bytes. */
  readonly capacity: number;
  readonly writeCache: boolean;
}

/** The configuration space; it is as long as the offered features need it to be (BL-11). */
export class BlkConfig {
  readonly bytes: Uint8Array;
  readonly #blockSectors: number;

  constructor(settings: BlkSettings) {
    const { discard, writeZeroes, logicalBlockSize, physicalBlockSize } = settings;
    this.bytes = new Uint8Array(
      writeZeroes ? SIZE_WRITE_ZEROES : discard ? SIZE_DISCARD : SIZE_BASE,
    );
    this.#blockSectors = logicalBlockSize >>> SECTOR_SHIFT;
    this.#u32(SEG_MAX, settings.segMax);
    this.#u32(BLK_SIZE, logicalBlockSize);
    this.bytes[PHYSICAL_BLOCK_EXP] = Math.log2(physicalBlockSize / logicalBlockSize);
    this.#u16(MIN_IO_SIZE, settings.minIoSize / logicalBlockSize);
    this.#u32(OPT_IO_SIZE, settings.optIoSize / logicalBlockSize);
    this.#u16(NUM_QUEUES, settings.numQueues);
    if (discard) {
      this.#u32(MAX_DISCARD_SECTORS, settings.maxDiscardSectors);
      this.#u32(MAX_DISCARD_SEG, 1);
      this.#u32(DISCARD_SECTOR_ALIGNMENT, this.#blockSectors);
    }
    if (writeZeroes) {
      this.#u32(MAX_WRITE_ZEROES_SECTORS, settings.maxWriteZeroesSectors);
      this.#u32(MAX_WRITE_ZEROES_SEG, 1);
      this.bytes[WRITE_ZEROES_MAY_UNMAP] = 1;
    }
  }

  /** Fills in what may have changed. A part of a logical block at the end is not shown. */
  update(state: BlkState): Uint8Array {
    const sectors = state.capacity - (state.capacity % this.#blockSectors);
    this.#u32(CAPACITY, sectors >>> 0);
    this.#u32(CAPACITY + 4, Math.floor(sectors / 0x1_0000_0000));
    const { cylinders, heads, perTrack } = geometry(sectors);
    this.#u16(CYLINDERS, cylinders);
    this.bytes[HEADS] = heads;
    this.bytes[SECTORS] = perTrack;
    this.bytes[CONFIG_WRITEBACK] = state.writeCache ? 1 : 0;
    return this.bytes;
  }

  #u16(offset: number, value: number): void {
    storeLittle(this.bytes, offset, 2, value);
  }

  #u32(offset: number, value: number): void {
    storeLittle(this.bytes, offset, 4, value);
  }
}

/** The physical geometry that fits a disk best (QEMU: `guess_chs_for_size`). */
function geometry(capacity: number): { cylinders: number; heads: number; perTrack: number } {
  const heads = 16;
  const perTrack = 63;
  const cylinders = Math.floor(capacity / (heads * perTrack));
  return { cylinders: Math.min(Math.max(cylinders, 2), 16383), heads, perTrack };
}

/** Feature bits 32 to 63 that the device offers: one queue can be reset alone (VC-7). */
export const BLK_FEATURES_HIGH = 1 << (VIRTIO_F_RING_RESET & 31);

/**
 * Feature bits 0 to 31 that the device offers (BL-13); VERSION_1 is the interface's affair.
 * `writeCache`: the backend's when the device was made. SCSI and NOTIFY_ON_EMPTY: legacy only.
 */
export function blkFeatures(
  settings: BlkSettings,
  disk: { readonly readOnly: boolean; readonly writeCache: boolean },
): number {
  const offered: [bit: number, on: boolean][] = [
    [VIRTIO_BLK_F_SEG_MAX, true],
    [VIRTIO_BLK_F_GEOMETRY, true],
    [VIRTIO_BLK_F_BLK_SIZE, true],
    [VIRTIO_BLK_F_TOPOLOGY, true],
    [VIRTIO_BLK_F_SCSI, true],
    [VIRTIO_BLK_F_RO, disk.readOnly],
    [VIRTIO_BLK_F_FLUSH, disk.writeCache || settings.configWce],
    [VIRTIO_BLK_F_CONFIG_WCE, settings.configWce],
    [VIRTIO_BLK_F_MQ, settings.numQueues > 1],
    [VIRTIO_BLK_F_DISCARD, settings.discard],
    [VIRTIO_BLK_F_WRITE_ZEROES, settings.writeZeroes],
    [VIRTIO_F_NOTIFY_ON_EMPTY, true],
    [VIRTIO_F_INDIRECT_DESC, true],
    [VIRTIO_F_EVENT_IDX, true],
  ];
  return offered.reduce((word, [bit, on]) => (on ? word | (1 << bit) : word), 0) >>> 0;
}
