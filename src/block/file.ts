/**
 * The file disk: a raw image in a file, or a block device of the host. Given a file system shaped
 * as `node:fs`; this file names no platform. QEMU: `block/file-posix.c`.
 *
 * The size of a disk is the file's, rounded down to 512 bytes: a tail of fewer is never touched.
 * With `size` it is that; what lies behind the file's end reads as zeroes.
 */

import type { AioContext } from '../aio/context.ts';
import { acquirePool } from '../aio/context-pool.ts';
import type { WorkerLike } from '../aio/worker-port.ts';
import type { Core } from '../engine/core.ts';
import type { BlockDriver } from './driver.ts';
import { BlockError, OptionError } from './error.ts';
import { SyncFileDriver } from './file-sync.ts';
import type { FileHost } from './file-system.ts';
import { ThreadsFileDriver } from './file-threads.ts';
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
import type { DriverThread, OpenDriver } from './registry.ts';

export type { FileHost, FileStat, FileSystem } from './file-system.ts';

export interface FileOptions {
  filename: string;
  /**
   * `sync`: in the serving thread (default). For slow disks `uv`: in libuv's pool, or `threads`: in
   * a pool of Workers of the serving thread's own, which needs shared memory.
   */
  aio?: 'sync' | 'uv' | 'threads';
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
  /** A descriptor of the file, which is open already and stays the caller's. */
  fd?: number;
  /** `device:inode` that the file must have. */
  identity?: string;
}

const NAMES = [
  'filename',
  'aio',
  'parallel',
  'direct',
  'readonly',
  'create',
  'size',
  'discard',
  'fd',
  'identity',
];
const AIO = ['sync', 'uv', 'threads'] as const;

/** The opener of file disks on this host, for `registerDriver('file', ...)`. */
export function fileDriver(host: FileHost): OpenDriver {
  return (core, options, thread) => openFile(host, core, options, thread);
}

function openFile(
  host: FileHost,
  core: Core,
  options: DriverOptions,
  thread: DriverThread,
): BlockDriver | Promise<BlockDriver> {
  checkNames(options, 'file', NAMES);
  const aio = choiceOption(options, 'aio', 'sync', AIO);
  const parallel = integerOption(options, 'parallel', 32, 1, 1024);
  if (aio === 'threads') checkThreads(host, core, thread);
  const file = openImage(host, options);
  if (aio === 'threads') return openThreads(host, core, file, thread);
  return aio === 'uv' ? new UvFileDriver(file, parallel) : new SyncFileDriver(file);
}

function openImage(host: FileHost, options: DriverOptions): OpenFile {
  const readOnly = booleanOption(options, 'readonly', false);
  const create = booleanOption(options, 'create', false);
  if (create && readOnly) throw new OptionError('create', true, 'false for a read-only disk');
  const given = options['identity'];
  return new OpenFile(host, {
    filename: stringOption(options, 'filename'),
    fd: integerOption(options, 'fd', undefined, 0, 0x7fffffff),
    identity: given === undefined ? undefined : stringOption(options, 'identity'),
    direct: booleanOption(options, 'direct', false),
    readOnly,
    create,
    size: sizeOption(options, 'size', undefined, { unit: 512, min: 512 }),
    unmap: choiceOption(options, 'discard', 'unmap', ['unmap', 'ignore'] as const) === 'unmap',
  });
}

function checkThreads(host: FileHost, core: Core, thread: DriverThread): void {
  const refuse = (why: string): never => {
    throw new OptionError('aio', 'threads', `sync, uv; threads needs ${why}`);
  };
  if (!core.shared) refuse('a core with shared memory');
  if (!host.createPoolWorker) refuse('a host that makes Workers for file disks');
  if (!host.descriptorsCross) refuse('descriptors that work on all threads');
  if (!thread.context) refuse('an AioContext that the disk is opened for');
}

/**
 * The pool is made with the context's first such disk. If it cannot be had, a disk that is opened
 * fails to; one that was open, and comes to this thread now, reads and writes on it (TP-7).
 */
async function openThreads(
  host: FileHost,
  core: Core,
  file: OpenFile,
  thread: DriverThread,
): Promise<BlockDriver> {
  const context = thread.context as AioContext;
  const createWorker = () => (host.createPoolWorker as () => WorkerLike)();
  const block = thread.pool === undefined ? {} : { block: thread.pool };
  try {
    const pool = await acquirePool(context, { createWorker, ...block });
    return new ThreadsFileDriver(core, context, file, pool);
  } catch (cause) {
    if (!thread.warn) {
      file.close();
      throw new BlockError('EAGAIN', 'open', { cause });
    }
    thread.warn(`no thread pool for '${file.filename}', aio=sync instead: ${cause}`);
    return new SyncFileDriver(file);
  }
}
