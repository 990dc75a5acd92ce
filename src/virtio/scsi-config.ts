/**
 * What a virtio-scsi host tells its driver: the configuration space and the feature bits (VIRTIO
 * 1.3, 5.6.3 and 5.6.4; SC-21). Main thread, but for the sizes, which command queues read.
 */

import type { Core } from '../engine/core.ts';
import { SCSI_BUS_SIZES } from '../layout.ts';
import {
  VIRTIO_F_ANY_LAYOUT,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_NOTIFY_ON_EMPTY,
  VIRTIO_F_RING_RESET,
  VIRTIO_SCSI_CDB_DEFAULT_SIZE,
  VIRTIO_SCSI_CONFIG_CDB_SIZE,
  VIRTIO_SCSI_CONFIG_CMD_PER_LUN,
  VIRTIO_SCSI_CONFIG_EVENT_INFO_SIZE,
  VIRTIO_SCSI_CONFIG_MAX_CHANNEL,
  VIRTIO_SCSI_CONFIG_MAX_LUN,
  VIRTIO_SCSI_CONFIG_MAX_SECTORS,
  VIRTIO_SCSI_CONFIG_MAX_TARGET,
  VIRTIO_SCSI_CONFIG_NUM_QUEUES,
  VIRTIO_SCSI_CONFIG_SEG_MAX,
  VIRTIO_SCSI_CONFIG_SENSE_SIZE,
  VIRTIO_SCSI_CONFIG_SIZE,
  VIRTIO_SCSI_EVENT_SIZE,
  VIRTIO_SCSI_F_CHANGE,
  VIRTIO_SCSI_F_HOTPLUG,
  VIRTIO_SCSI_SENSE_DEFAULT_SIZE,
} from '../spec.ts';
import { loadLittle, storeLittle, type Width } from './config-space.ts';
import type { FeatureWords } from './feature-bits.ts';
import type { ScsiSettings } from './scsi-options.ts';

const MAX_TARGET = 255;
const MAX_LUN = 16_383;
/** Both are more than any command and any sense data need. */
const CDB_SIZE_END = 256;
const SENSE_SIZE_END = 65_536;

/** Widths of the fields from offset 0 on, for big-endian legacy guests. */
export const SCSI_CONFIG_FIELDS: readonly number[] = [4, 4, 4, 4, 4, 4, 4, 2, 2, 4];

/** What the driver may choose, in bytes. */
export interface ScsiSizes {
  readonly sense: number;
  readonly cdb: number;
}

export class ScsiConfig {
  readonly bytes = new Uint8Array(VIRTIO_SCSI_CONFIG_SIZE);
  readonly #core: Core;
  /** Address of the bus's words. */
  readonly #bus: number;

  constructor(core: Core, bus: number, settings: ScsiSettings) {
    this.#core = core;
    this.#bus = bus;
    this.#u32(VIRTIO_SCSI_CONFIG_NUM_QUEUES, settings.numQueues);
    this.#u32(VIRTIO_SCSI_CONFIG_SEG_MAX, settings.segMax);
    this.#u32(VIRTIO_SCSI_CONFIG_MAX_SECTORS, settings.maxSectors);
    this.#u32(VIRTIO_SCSI_CONFIG_CMD_PER_LUN, settings.cmdPerLun);
    this.#u32(VIRTIO_SCSI_CONFIG_EVENT_INFO_SIZE, VIRTIO_SCSI_EVENT_SIZE);
    storeLittle(this.bytes, VIRTIO_SCSI_CONFIG_MAX_CHANNEL, 2, 0);
    storeLittle(this.bytes, VIRTIO_SCSI_CONFIG_MAX_TARGET, 2, MAX_TARGET);
    this.#u32(VIRTIO_SCSI_CONFIG_MAX_LUN, MAX_LUN);
    this.reset();
  }

  /** The sizes are the default ones. */
  reset(): void {
    this.sizes = { sense: VIRTIO_SCSI_SENSE_DEFAULT_SIZE, cdb: VIRTIO_SCSI_CDB_DEFAULT_SIZE };
  }

  get sizes(): ScsiSizes {
    return sizesIn(this.bytes);
  }

  /** Less than 65,536, and less than 256. */
  set sizes({ sense, cdb }: ScsiSizes) {
    this.#u32(VIRTIO_SCSI_CONFIG_SENSE_SIZE, sense);
    this.#u32(VIRTIO_SCSI_CONFIG_CDB_SIZE, cdb);
    // One word, so that a batch finds two sizes that go together (BG-18).
    Atomics.store(this.#core.i32, (this.#bus + SCSI_BUS_SIZES) >>> 2, (sense << 16) | cdb);
  }

  /**
   * The driver writes: of the two sizes, those bytes that are written. False: the value cannot be,
   * and nothing has changed.
   */
  write(offset: number, width: Width, value: number): boolean {
    const bytes = this.bytes.slice();
    storeLittle(bytes, offset, width, value);
    const sizes = sizesIn(bytes);
    if (sizes.sense >= SENSE_SIZE_END || sizes.cdb >= CDB_SIZE_END) return false;
    this.sizes = sizes;
    return true;
  }

  #u32(offset: number, value: number): void {
    storeLittle(this.bytes, offset, 4, value);
  }
}

function sizesIn(bytes: Uint8Array): ScsiSizes {
  return {
    sense: loadLittle(bytes, VIRTIO_SCSI_CONFIG_SENSE_SIZE, 4),
    cdb: loadLittle(bytes, VIRTIO_SCSI_CONFIG_CDB_SIZE, 4),
  };
}

/** The features of the device and of its rings; no command has data in both directions. */
export function scsiFeatures({ hotplug, paramChange }: ScsiSettings): FeatureWords {
  const offered: [bit: number, on: boolean][] = [
    [VIRTIO_SCSI_F_HOTPLUG, hotplug],
    [VIRTIO_SCSI_F_CHANGE, paramChange],
    [VIRTIO_F_NOTIFY_ON_EMPTY, true],
    [VIRTIO_F_ANY_LAYOUT, true],
    [VIRTIO_F_INDIRECT_DESC, true],
    [VIRTIO_F_EVENT_IDX, true],
  ];
  const lo = offered.reduce((word, [bit, on]) => (on ? word | (1 << bit) : word), 0) >>> 0;
  return { lo, hi: 1 << (VIRTIO_F_RING_RESET & 31) };
}
