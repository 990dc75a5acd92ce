/**
 * Which thread serves which queue: the options `iothread` and `iothread-vq-mapping` (DP-8, BL-21).
 * What is wrong throws an OptionError that names the option. QEMU: hw/virtio/iothread-vq-mapping.c.
 */

import { OptionError } from '../block/error.ts';
import type { QueueThread } from './remote-queues.ts';

/** One thread and the queues that it serves; without `vqs` the queues go round. */
export interface VqMapping {
  readonly iothread: QueueThread;
  readonly vqs?: readonly number[];
}

export interface MappingOptions {
  iothread?: QueueThread;
  'iothread-vq-mapping'?: readonly VqMapping[];
}

const MAPPING = 'iothread-vq-mapping';

/** By number of the queue: the thread that serves it, or null for main. */
export function threadsOfQueues(options: MappingOptions, queues: number): (QueueThread | null)[] {
  const { iothread } = options;
  const mapping = options[MAPPING];
  if (iothread !== undefined && mapping !== undefined) {
    throw new OptionError('iothread', nameOf(iothread), `none beside ${MAPPING}`);
  }
  if (iothread !== undefined) return new Array(queues).fill(checked('iothread', iothread));
  if (mapping === undefined) return new Array(queues).fill(null);
  if (!Array.isArray(mapping) || mapping.length === 0) {
    throw new OptionError(MAPPING, mapping, 'lists of { iothread, vqs? }, not empty');
  }
  checkThreads(mapping);
  const explicit = mapping.filter(({ vqs }) => vqs !== undefined).length;
  if (explicit === 0) return roundRobin(mapping, queues);
  if (explicit === mapping.length) return explicitly(mapping, queues);
  const [without] = mapping.filter(({ vqs }) => vqs === undefined);
  const value = `${nameOf(without!.iothread)} without vqs`;
  throw new OptionError(MAPPING, value, 'vqs for all iothreads, or for none');
}

function roundRobin(mapping: readonly VqMapping[], queues: number): QueueThread[] {
  return Array.from({ length: queues }, (_, i) => mapping[i % mapping.length]!.iothread);
}

function explicitly(mapping: readonly VqMapping[], queues: number): QueueThread[] {
  const threads: QueueThread[] = new Array(queues);
  for (const { iothread, vqs } of mapping) {
    if (!Array.isArray(vqs)) {
      throw new OptionError(MAPPING, `vqs ${vqs} for iothread '${iothread.id}'`, 'lists of queues');
    }
    for (const vq of vqs) {
      const value = `queue ${vq} for iothread '${iothread.id}'`;
      if (!Number.isInteger(vq) || vq < 0 || vq >= queues) {
        throw new OptionError(MAPPING, value, `queues from 0 to ${queues - 1}: num-queues`);
      }
      if (threads[vq]) {
        const first = threads[vq].id;
        throw new OptionError(
          MAPPING,
          value,
          `each queue once: iothread '${first}' has it already`,
        );
      }
      threads[vq] = iothread;
    }
  }
  for (let vq = 0; vq < queues; vq++) {
    if (!threads[vq]) throw new OptionError(MAPPING, `no iothread for queue ${vq}`, 'all queues');
  }
  return threads;
}

function checkThreads(mapping: readonly VqMapping[]): void {
  const ids = new Set<string>();
  for (const { iothread } of mapping) {
    const { id } = checked(MAPPING, iothread);
    if (ids.has(id)) throw new OptionError(MAPPING, `iothread '${id}' twice`, 'each iothread once');
    ids.add(id);
  }
}

function checked(option: string, thread: QueueThread): QueueThread {
  if (typeof thread === 'object' && thread !== null && typeof thread.call === 'function') {
    return thread;
  }
  throw new OptionError(option, thread, 'IOThreads that were started');
}

function nameOf(thread: QueueThread): string {
  return `iothread '${(thread as QueueThread | null)?.id}'`;
}

/**
 * `num-queues=auto` (BL-20): a queue for each of the guest's CPUs, `fixed` queues of the device
 * included in the limit of 1024. QEMU: `virtio_pci_optimal_num_queues`.
 */
export function queuesFor(vcpus: number, fixed = 0): number {
  return Math.min(vcpus, QUEUES_MAX - fixed);
}

/** Most queues of a device (QEMU: VIRTIO_QUEUE_MAX). */
export const QUEUES_MAX = 1024;
