/** Disks without an emulator in browsers. */

import type { BlockDriver, DriverSpec } from '../block/driver.ts';
import { type Disk, openDisk as openDiskOn } from '../disk/disk.ts';
import type { DiskOptions } from '../disk/options.ts';
import { openCore } from './load-module.ts';
import { startIOThread } from './web-threads.ts';

/** Opens a disk for the page's own use, with the package's module and Workers. */
export function openDisk(disk: DriverSpec | BlockDriver, options: DiskOptions = {}): Promise<Disk> {
  return openDiskOn(disk, options, { openCore, startIOThread });
}
