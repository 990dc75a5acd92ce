/** A virtio-scsi host of ours in a guest, with two disks and a CD. Runs in Node and in browsers. */

import { attachVirtioScsi, type V86Scsi, type V86ScsiOptions } from '../../adapter/v86.ts';
import type { V86Instance } from '../../adapter/v86-machine.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { DriverSpec } from '../../block/driver.ts';
import type { LogicalUnit } from '../../scsi/logical-unit.ts';
import { fillPattern } from './pattern-disk.ts';

const SMALL_BYTES = 4 << 20;
const CD_BYTES = 2 << 20;

export interface ScsiDiskOptions extends Pick<V86ScsiOptions, 'engine' | 'bar'> {
  /** Bytes of the disk that gets a file system. */
  readonly size: number;
  /** IOThreads that serve the commands; the guest's memory is shared then. Default: none. */
  readonly iothreads?: number | undefined;
}

/** The disks of a demonstration, and how the host was attached: others are attached so, too. */
export interface ScsiDisks {
  readonly host: V86Scsi;
  /** Target 0, LUN 0. */
  readonly disk: LogicalUnit;
  /** Target 0, LUN 9: the LUNs in between are absent. */
  readonly small: LogicalUnit;
  /** Target 3, LUN 0. */
  readonly cd: LogicalUnit;
  readonly how: Pick<V86ScsiOptions, 'engine' | 'bar' | 'iothreads'>;
}

export async function attachScsiDisks(
  emulator: V86Instance,
  { size, iothreads, engine, bar }: ScsiDiskOptions,
): Promise<ScsiDisks> {
  const how = {
    ...(engine && { engine }),
    ...(bar && { bar }),
    ...(iothreads !== undefined && { iothreads }),
  };
  const host = await attachVirtioScsi(emulator, {
    ...how,
    units: [
      { disk: memoryDisk(size), 'scsi-id': 0, lun: 0, serial: 'vblk-scsi' },
      { disk: memoryDisk(SMALL_BYTES), 'scsi-id': 0, lun: 9 },
      // The disk takes writes, so that it can be filled. The CD drive takes none.
      { disk: memoryDisk(CD_BYTES), kind: 'cd', readonly: false, 'scsi-id': 3, lun: 0 },
    ],
  });
  const [disk, small, cd] = host.units as [LogicalUnit, LogicalUnit, LogicalUnit];
  await burn(cd.backend, 0);
  return { host, disk, small, cd, how };
}

export function memoryDisk(size: number = SMALL_BYTES): DriverSpec {
  return { driver: 'memory', options: { size } };
}

/** Fills a disk with a pattern; another `start` makes another one. */
export async function burn({ io, size }: BlockBackend, start: number): Promise<void> {
  const bytes = new Uint8Array(size);
  fillPattern(bytes, start);
  await io.write(0, bytes);
}
