/** Readers of options in QEMU's words. What is wrong throws an `OptionError` that names it. */

import { isPowerOfTwo } from '../block/block-size.ts';
import { OptionError } from '../block/error.ts';
import { VIRTQUEUE_MAX_SIZE } from '../spec.ts';
import type { GuestWriteListener } from './guest-write.ts';
import type { QueueThread } from './remote-doorbell.ts';
import { type MappingOptions, QUEUES_MAX, queuesFor, threadsOfQueues } from './vq-mapping.ts';

/** More than any machine has: beyond it is a mistake. */
const VCPUS_MAX = 65_536;

export function checkNames(options: object, names: readonly string[]): void {
  for (const [name, value] of Object.entries(options)) {
    if (names.includes(name)) continue;
    throw new OptionError(name, value, `the options ${names.join(', ')}`);
  }
}

/** As QEMU's `id_wellformed`. */
export function idOption(id: unknown): string | undefined {
  if (id === undefined || (typeof id === 'string' && /^[a-z][\w.-]*$/i.test(id))) return id;
  throw new OptionError('id', id, 'letters, digits, -, . and _, a letter first');
}

export function integer(option: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new OptionError(option, value, `whole numbers from ${min} to ${max}`);
}

/** One of two; default true. */
export function flag<Name extends string>(
  options: { readonly [name in Name]?: boolean },
  option: Name,
): boolean {
  const value = options[option] ?? true;
  if (typeof value === 'boolean') return value;
  throw new OptionError(option, value, 'true, false');
}

export function choice<T extends string>(option: string, value: T, allowed: readonly T[]): T {
  if (allowed.includes(value)) return value;
  throw new OptionError(option, value, allowed.join(', '));
}

export function listener(value: GuestWriteListener | undefined): GuestWriteListener | null {
  if (value === undefined || typeof value === 'function') return value ?? null;
  throw new OptionError('onGuestWrite', value, 'functions');
}

/** Descriptors of a queue (BL-20). */
export function queueSizeOption(option: string, size: number): number {
  if (!isPowerOfTwo(size) || size <= 2 || size > VIRTQUEUE_MAX_SIZE) {
    throw new OptionError(option, size, `powers of two from 4 to ${VIRTQUEUE_MAX_SIZE}`);
  }
  return size;
}

/** BL-20. `fixed`: queues that the device has besides. */
export function queuesOption(
  option: string,
  queues: number | 'auto',
  vcpus: number,
  fixed = 0,
): number {
  const cpus = integer('vcpus', vcpus, 1, VCPUS_MAX);
  if (queues === 'auto') return queuesFor(cpus, fixed);
  const most = QUEUES_MAX - fixed;
  if (typeof queues === 'string') {
    throw new OptionError(option, queues, `auto, or whole numbers from 1 to ${most}`);
  }
  return integer(option, queues, 1, most);
}

/** What threads that are not main's depend on. */
export interface ThreadOptions extends MappingOptions {
  ioeventfd?: boolean;
  guestNotifier?: 'main' | 'client';
  onGuestWrite?: GuestWriteListener;
}

/** BL-21: what threads that are not main's need. */
export function threadsOption(options: ThreadOptions, queues: number): (QueueThread | null)[] {
  const threads = threadsOfQueues(options, queues);
  if (!threads.some((thread) => thread)) return threads;
  if (!(options.ioeventfd ?? true)) {
    throw new OptionError('ioeventfd', false, 'true: queues on IOThreads need it');
  }
  if (options.onGuestWrite !== undefined && options.guestNotifier === 'client') {
    const allowed = 'none: with guestNotifier=client nobody calls it';
    throw new OptionError('onGuestWrite', 'a function', allowed);
  }
  return threads;
}

export function checkMappingNames(mapping: MappingOptions): void {
  for (const [name, value] of Object.entries(mapping)) {
    if (name === 'iothread' || name === 'iothread-vq-mapping') continue;
    throw new OptionError(name, value, 'the options iothread, iothread-vq-mapping');
  }
}
