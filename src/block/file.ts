/**
 * The file disk: a raw image in a file, or a block device of the host. Given a file system shaped
 * as `node:fs`; this file names no platform. QEMU: `block/file-posix.c`.
 *
 * The size of a disk is the file's, rounded down to 512 bytes: a tail of fewer is never touched.
 * With `size` it is that; what lies behind the file's end reads as zeroes.
 */

import type { Core } from '../engine/core.ts';
import { OptionError } from './error.ts';
import { SyncFileDriver } from './file-sync.ts';
import type { FileHost } from './file-system.ts';
import { UvFileDriver } from './file-uv.ts';
import { OpenFile } from './open-file.ts';
import {
  booleanOption,
  checkNames,
  choiceOption,
  type DriverOptions,
  integerOption,
  sizeOption,
  stringOption,
} from './option.ts';
import type { OpenDriver } from './registry.ts';

export type { FileHost, FileStat, FileSystem } from './file-system.ts';

export interface FileOptions {
  filename: string;
  /** `sync`: in the serving thread (default). `uv`: in libuv's pool, for slow disks. */
  aio?: 'sync' | 'uv';
  /** Requests at once with `aio: 'uv'`; default 32. */
  parallel?: number;
  /** O_DIRECT; default false. */
  direct?: boolean | 'on' | 'off';
  readonly?: boolean | 'on' | 'off';
  /** Makes a missing file, and extends one that is shorter than `size`. */
  create?: boolean | 'on' | 'off';
  /** Bytes of the disk, a multiple of 512; default: the file's, rounded down to 512. */
  size?: number | string;
  /** What DISCARD does: free space where it can (default), or nothing. */
  discard?: 'unmap' | 'ignore';
}

const NAMES = ['filename', 'aio', 'parallel', 'direct', 'readonly', 'create', 'size', 'discard'];

/** The opener of file disks on this host, for `registerDriver('file', ...)`. */
export function fileDriver(host: FileHost): OpenDriver {
  return (_core: Core, options: DriverOptions) => openFile(host, options);
}

function openFile(host: FileHost, options: DriverOptions): SyncFileDriver | UvFileDriver {
  checkNames(options, 'file', NAMES);
  const aio = choiceOption(options, 'aio', 'sync', ['sync', 'uv'] as const);
  const parallel = integerOption(options, 'parallel', 32, 1, 1024);
  const readOnly = booleanOption(options, 'readonly', false);
  const create = booleanOption(options, 'create', false);
  if (create && readOnly) throw new OptionError('create', true, 'false for a read-only disk');
  const file = new OpenFile(host, {
    filename: stringOption(options, 'filename'),
    direct: booleanOption(options, 'direct', false),
    readOnly,
    create,
    size: sizeOption(options, 'size', undefined, { unit: 512, min: 512 }),
    unmap: choiceOption(options, 'discard', 'unmap', ['unmap', 'ignore'] as const) === 'unmap',
  });
  return aio === 'uv' ? new UvFileDriver(file, parallel) : new SyncFileDriver(file);
}
