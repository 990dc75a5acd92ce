/** Drivers by name: how a DriverSpec becomes a disk, on whatever thread it is opened. */

import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { BlockError, OptionError } from './error.ts';
import type { DriverOptions } from './option.ts';

/** What a driver may know of the thread that opens it. */
export interface DriverThread {
  /** The thread that may allocate from the core. */
  readonly main: boolean;
  /** Whose polls settle what settles later; missing if the caller has none. */
  readonly context?: AioContext;
  /** Not on main: core address of a pool's words (`allocatePool`), for drivers that want a pool. */
  readonly pool?: number;
  /**
   * Set where a disk that is open already is opened once more: a driver that cannot have what it
   * was asked for makes do with less and says so, instead of failing (TP-7).
   */
  readonly warn?: (message: string) => void;
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
  if (spec.module !== undefined) return openFromModule(core, spec, spec.module, thread);
  const open = drivers.get(spec.driver);
  if (!open) throw new OptionError('driver', spec.driver, driverNames().join(', '));
  return open(core, spec.options ?? {}, thread);
}

async function openFromModule(
  core: Core,
  spec: DriverSpec,
  module: string,
  thread: DriverThread,
): Promise<BlockDriver> {
  let open: unknown;
  try {
    open = ((await import(module)) as { default?: unknown }).default;
  } catch (cause) {
    throw new BlockError('ENOENT', 'open', { cause });
  }
  if (typeof open !== 'function') {
    throw new OptionError('module', module, 'a module whose default export opens a driver');
  }
  return (open as OpenDriver)(core, spec.options ?? {}, thread);
}

/** Is this a driver that is open already, rather than the description of one? */
export function isOpenDriver(disk: BlockDriver | DriverSpec): disk is BlockDriver {
  return typeof (disk as Partial<BlockDriver>).submit === 'function';
}
