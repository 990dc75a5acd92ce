/** What a backend is made with. */

import type { ErrorOptions } from './backend-errors.ts';
import type { LaneOptions } from './lane-options.ts';

export interface BackendOptions extends LaneOptions, ErrorOptions {
  /** In events and errors. Default: `drive` and a number. */
  name?: string;
  /** Refuses writes although the driver would take them. */
  readOnly?: boolean;
  /** A volatile write cache: writes need a flush to be durable (default true). */
  writeCache?: boolean;
  /** Bytes of the smallest request a guest may make: a power of two from 512, default 512. */
  logicalBlockSize?: number;
  /**
   * Serves requests that are smaller than the disk's blocks by reading, changing and writing back
   * whole ones (BB-23). Default: such a disk is refused, since that costs more than larger blocks.
   */
  readModifyWrite?: boolean;
  /** Told what a disk does without on another thread; default `console.warn`. */
  onWarning?: (message: string) => void;
}
