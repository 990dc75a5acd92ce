/** Drivers by name: how a DriverSpec becomes a disk, on whatever thread it is opened. */

import type { Core } from '../engine/core.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { OptionError } from './error.ts';
import type { DriverOptions } from './option.ts';

/** What a driver may know of the thread that opens it. */
export interface DriverThread {
  /** The thread that may allocate from the core. */
  readonly main: boolean;
}

export const MAIN_THREAD: DriverThread = { main: true };

/**
 * Opens a disk. Throws an OptionError for a wrong option and a BlockError if the host refuses. An
 * opener that need not wait returns the driver itself, not a promise.
 */
export type OpenDriver = (
  core: Core,
  options: DriverOptions,
  thread: DriverThread,
) => BlockDriver | Promise<BlockDriver>;

const drivers = new Map<string, OpenDriver>();

/** Makes `name` known on this thread; the last registration of a name counts. */
export function registerDriver(name: string, open: OpenDriver): void {
  drivers.set(name, open);
}

/** Names that `openDriver` knows on this thread, sorted. */
export function driverNames(): string[] {
  return [...drivers.keys()].sort();
}

/** Opens the disk that `spec` describes, on the calling thread. */
export function openDriver(
  core: Core,
  spec: DriverSpec,
  thread: DriverThread = MAIN_THREAD,
): BlockDriver | Promise<BlockDriver> {
  const open = drivers.get(spec.driver);
  if (!open) throw new OptionError('driver', spec.driver, driverNames().join(', '));
  return open(core, spec.options ?? {}, thread);
}

/** Is this a driver that is open already, rather than the description of one? */
export function isOpenDriver(disk: BlockDriver | DriverSpec): disk is BlockDriver {
  return typeof (disk as Partial<BlockDriver>).submit === 'function';
}
