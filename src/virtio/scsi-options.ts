/**
 * Options of a virtio-scsi host in QEMU's words, and what they come to. What is wrong throws an
 * `OptionError` that names the option, its value and what is allowed (BL-20, BL-21).
 * QEMU: `virtio_scsi_properties`, `virtio_scsi_common_realize`.
 */

import type { Machine } from '../machine/machine.ts';
import { VIRTIO_SCSI_FIRST_COMMAND_QUEUE, VIRTQUEUE_MAX_SIZE } from '../spec.ts';
import type { QueueSettings } from './data-plane.ts';
import type { GuestWriteListener } from './guest-write.ts';
import {
  checkMappingNames,
  checkNames,
  choice,
  flag,
  idOption,
  integer,
  listener,
  queueSizeOption,
  queuesOption,
  threadsOption,
} from './option.ts';
import type { QueueThread } from './remote-doorbell.ts';
import type { MappingOptions, VqMapping } from './vq-mapping.ts';

export interface VirtioScsiOptions {
  /** The device's name in events. Default: none. */
  id?: string;
  /** The device, and the disks on it, stop and go on with it. */
  machine?: Machine;
  /** Command queues. Default 1. `auto`: one for each of `vcpus`, at most 1022 (BL-20). */
  num_queues?: number | 'auto';
  /** CPUs of the guest, for `num_queues` `auto` on a PCI device. Default 1, right for MMIO. */
  vcpus?: number;
  /** Descriptors of each queue; a power of two. Default 256. */
  virtqueue_size?: number;
  /** The thread that serves all command queues; without it main does. For `VirtioScsi.realize`. */
  iothread?: QueueThread;
  /** Threads for the command queues, which are numbered from 0. For `VirtioScsi.realize`. */
  'iothread-vq-mapping'?: readonly VqMapping[];
  /** As of virtio-blk. Default true. */
  ioeventfd?: boolean;
  /** Most data segments of a command that the driver is told of. Default: virtqueue_size - 2. */
  seg_max?: number;
  /** Most sectors of a command that the driver is told of. Default 65535. */
  max_sectors?: number;
  /** Most commands at once to one unit that the driver is told of. Default 128. */
  cmd_per_lun?: number;
  /** Offer events of disks that come and go. Default true. */
  hotplug?: boolean;
  /** Offer events of disks that change. Default true. */
  param_change?: boolean;
  /** Of queues that main serves; as of virtio-blk. Default `sync`. */
  kick?: 'sync' | 'poll';
  /** Byte order of a guest on the legacy interface. Default little. */
  legacyEndian?: 'little' | 'big';
  /** As of virtio-blk. */
  onGuestWrite?: GuestWriteListener;
}

/** The options with their defaults. */
export interface ScsiSettings extends QueueSettings {
  readonly id: string | undefined;
  readonly machine: Machine | null;
  /** Command queues. `threads` begin with those of control and event queue, which are main's. */
  readonly numQueues: number;
  readonly segMax: number;
  readonly maxSectors: number;
  readonly cmdPerLun: number;
  readonly hotplug: boolean;
  readonly paramChange: boolean;
  readonly legacyEndian: 'little' | 'big';
}

const NAMES: readonly (keyof VirtioScsiOptions)[] = [
  'id',
  'machine',
  'num_queues',
  'vcpus',
  'virtqueue_size',
  'iothread',
  'iothread-vq-mapping',
  'ioeventfd',
  'seg_max',
  'max_sectors',
  'cmd_per_lun',
  'hotplug',
  'param_change',
  'kick',
  'legacyEndian',
  'onGuestWrite',
];

export function readScsiOptions(options: VirtioScsiOptions): ScsiSettings {
  checkNames(options, NAMES);
  const queueSize = queueSizeOption('virtqueue_size', options.virtqueue_size ?? 256);
  const { num_queues: queues = 1, vcpus = 1 } = options;
  const numQueues = queuesOption('num_queues', queues, vcpus, VIRTIO_SCSI_FIRST_COMMAND_QUEUE);
  const segMax = options.seg_max ?? queueSize - 2;
  return {
    id: idOption(options.id),
    machine: options.machine ?? null,
    numQueues,
    queueSize,
    threads: [null, null, ...threadsOption(options, numQueues)],
    ioeventfd: flag(options, 'ioeventfd'),
    guestNotifier: 'main',
    segMax: integer('seg_max', segMax, 1, VIRTQUEUE_MAX_SIZE - 2),
    maxSectors: integer('max_sectors', options.max_sectors ?? 0xffff, 1, 0xffffffff),
    cmdPerLun: integer('cmd_per_lun', options.cmd_per_lun ?? 128, 1, 0xffffffff),
    hotplug: flag(options, 'hotplug'),
    paramChange: flag(options, 'param_change'),
    kick: choice('kick', options.kick ?? 'sync', ['sync', 'poll']),
    legacyEndian: choice('legacyEndian', options.legacyEndian ?? 'little', ['little', 'big']),
    onGuestWrite: listener(options.onGuestWrite),
  };
}

/** By number of the queue: the threads of another mapping, for a device that is there. */
export function scsiThreadsForMapping(
  mapping: MappingOptions,
  { ioeventfd, onGuestWrite, numQueues }: ScsiSettings,
): (QueueThread | null)[] {
  checkMappingNames(mapping);
  const options = { ...mapping, ioeventfd, ...(onGuestWrite && { onGuestWrite }) };
  return [null, null, ...threadsOption(options, numQueues)];
}
