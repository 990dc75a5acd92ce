/** Options of a disk without an emulator, in QEMU's words. What is wrong throws an OptionError. */

import type { IOThread } from '../aio/io-thread.ts';
import type { IOThreadParams } from '../aio/io-thread-options.ts';
import type { WorkerLike } from '../aio/worker-port.ts';
import { OptionError } from '../block/error.ts';
import type { Core, CoreModule } from '../engine/core.ts';

export interface DiskOptions extends IOThreadParams {
  /**
   * Threads that serve the disk: how many to start, or which; the latter belong to `core`. Default
   * 1 where memory can be shared and the disk be opened by another thread, else 0: the caller's
   * thread serves it.
   */
  iothreads?: number | readonly IOThread[];
  /**
   * Queues. The disk itself takes one per thread that serves, and each client of `connect` one of
   * the others. Default: 4 for clients where the memory is shared.
   */
  queues?: number;
  engine?: 'auto' | 'wasm' | 'js';
  /** The core module; default: the package's own, where a platform's `openDisk` knows it. */
  module?: CoreModule | undefined;
  /** Makes the Worker of an IOThread, where the package's own entry is not the one. */
  createWorker?: (() => WorkerLike) | undefined;
  /** A core to live in, with guest RAM enough; it stays the caller's. Default: one of its own. */
  core?: Core | undefined;
  /** Share the memory although no IOThread serves, for clients. Default: with IOThreads. */
  shared?: boolean;
  /** Descriptors of a queue, three for each request under way. Default 256: 85 requests. */
  'queue-size'?: number;
  /** Bytes that a request moves at most; longer ones are cut. Default 65536. */
  'slot-size'?: number;
  /** Bytes set aside for `alloc`. Default 16 MiB. */
  'alloc-bytes'?: number;
  /** Refuses writes. Default false. */
  readonly?: boolean;
  /** Writes need a flush to be durable. Default true. */
  'write-cache'?: boolean;
  /** Bytes of which offsets and lengths are multiples. Default: what the disk wants, or 512. */
  logical_block_size?: number;
  /** Merge neighbouring requests of one batch. Default true. */
  'request-merging'?: boolean;
}

/** The options with their defaults. */
export interface DiskSettings {
  readonly threads: number | readonly IOThread[];
  /** Nobody asked for threads: where they cannot be had, none will do. */
  readonly threadsOptional: boolean;
  readonly queues: number;
  /** Queues that the disk itself uses. */
  readonly own: number;
  readonly shared: boolean;
  readonly queueSize: number;
  readonly slotBytes: number;
  readonly allocBytes: number;
  readonly readOnly: boolean;
  readonly writeCache: boolean;
  readonly blockSize: number | undefined;
  readonly merging: boolean;
}

const NAMES: readonly (keyof DiskOptions)[] = [
  'iothreads',
  'queues',
  'engine',
  'module',
  'createWorker',
  'core',
  'shared',
  'queue-size',
  'slot-size',
  'alloc-bytes',
  'readonly',
  'write-cache',
  'logical_block_size',
  'request-merging',
];
const THREAD_NAMES: readonly string[] = [
  'poll-max-ns',
  'poll-grow',
  'poll-shrink',
  'aio-max-batch',
  'thread-pool-min',
  'thread-pool-max',
];

const THREADS_MAX = 64;
const QUEUES_MAX = 1024;
const CLIENTS = 4;
/** A slot is in one piece of guest RAM. */
const SLOT_MAX = 16 * 1024 * 1024;
const ALLOC_BYTES = 16 * 1024 * 1024;
const ALLOC_MAX = 1024 * 1024 * 1024;

/** `canThread`: this platform can start IOThreads and share memory. */
export function readDiskOptions(options: DiskOptions, canThread: boolean): DiskSettings {
  checkNames(options, [...NAMES, ...THREAD_NAMES]);
  const { iothreads } = options;
  const threads = iothreads ?? (canThread && options.shared !== false && !options.core ? 1 : 0);
  const count = threadCount(threads);
  const shared = sharedOption(options, count, threads);
  const least = Math.max(1, count);
  const queues = integer('queues', options.queues ?? least + (shared ? CLIENTS : 0), 1, QUEUES_MAX);
  return {
    threads,
    threadsOptional: iothreads === undefined,
    queues,
    own: Math.min(queues, least),
    shared,
    queueSize: queueSize(options['queue-size'] ?? 256),
    slotBytes: slotSize(options['slot-size'] ?? 65_536),
    allocBytes: integer('alloc-bytes', options['alloc-bytes'] ?? ALLOC_BYTES, 0, ALLOC_MAX),
    readOnly: flag(options, 'readonly', false),
    writeCache: flag(options, 'write-cache', true),
    blockSize: options.logical_block_size,
    merging: flag(options, 'request-merging', true),
  };
}

/** The options of threads that are to be started. */
export function threadParams(options: DiskOptions): IOThreadParams {
  const given = Object.entries(options).filter(([name]) => THREAD_NAMES.includes(name));
  return Object.fromEntries(given);
}

/** What a client is to have, with the defaults. */
export interface ConnectSettings {
  /** Bytes for its `alloc`. */
  readonly bytes: number;
  /** ns for which it busy-polls before it sleeps. */
  readonly pollMaxNs: number;
}

const CONNECT_NAMES = ['alloc', 'worker', 'poll-max-ns'];
/** It stands in a word. */
const POLL_NS_MAX = 0xffff_ffff;

/** The options of `Disk.connect`. */
export function readConnectOptions(options: object): ConnectSettings {
  checkNames(options, CONNECT_NAMES);
  const { alloc = 0, 'poll-max-ns': ns = 0 } = options as Record<string, number>;
  return {
    bytes: integer('alloc', alloc, 0, ALLOC_MAX),
    pollMaxNs: integer('poll-max-ns', ns, 0, POLL_NS_MAX),
  };
}

function checkNames(options: object, known: readonly string[]): void {
  for (const [name, value] of Object.entries(options)) {
    if (known.includes(name)) continue;
    throw new OptionError(name, value, `the options ${known.join(', ')}`);
  }
}

function threadCount(threads: number | readonly IOThread[]): number {
  if (typeof threads === 'number') return integer('iothreads', threads, 0, THREADS_MAX);
  if (Array.isArray(threads) && threads.length > 0) return threads.length;
  throw new OptionError('iothreads', threads, `0 to ${THREADS_MAX}, or a list of IOThreads`);
}

function sharedOption(
  options: DiskOptions,
  count: number,
  threads: number | readonly IOThread[],
): boolean {
  if (options.core) {
    if (typeof threads === 'number' && threads > 0 && !options.core.shared) {
      throw new OptionError('core', options.core, 'cores in shared memory, with iothreads');
    }
    return options.core.shared;
  }
  if (typeof threads !== 'number') {
    throw new OptionError('core', undefined, 'the core that the iothreads were started for');
  }
  if (count > 0 && options.shared === false) {
    throw new OptionError('shared', false, 'true: iothreads share the memory');
  }
  return options.shared ?? count > 0;
}

function queueSize(size: number): number {
  if (Number.isInteger(Math.log2(size)) && size >= 4 && size <= 1024) return size;
  throw new OptionError('queue-size', size, 'powers of two from 4 to 1024');
}

function slotSize(size: number): number {
  const fits = Number.isInteger(size) && size % 4096 === 0 && size >= 4096 && size <= SLOT_MAX;
  if (fits) return size;
  throw new OptionError('slot-size', size, `multiples of 4096 up to ${SLOT_MAX}`);
}

function integer(option: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new OptionError(option, value, `whole numbers from ${min} to ${max}`);
}

type Flag = 'readonly' | 'write-cache' | 'request-merging';

function flag(options: DiskOptions, option: Flag, otherwise: boolean): boolean {
  const value = options[option] ?? otherwise;
  if (typeof value === 'boolean') return value;
  throw new OptionError(option, value, 'true, false');
}
