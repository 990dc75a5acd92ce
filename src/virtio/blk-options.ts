/**
 * Options of a virtio-blk device in QEMU's words, and what they come to for one backend. What is
 * wrong throws an `OptionError` that names the option, its value and what is allowed (BL-21).
 * QEMU: `virtio_blk_properties`, `virtio_blk_device_realize`, `blkconf_blocksizes`.
 */

import type { BlockBackend } from '../block/backend.ts';
import { logicalBlockSizeOption, physicalBlockSizeOption } from '../block/block-size.ts';
import { OptionError } from '../block/error.ts';
import type { Core } from '../engine/core.ts';
import { BACKEND_BLOCK_SECTORS, BACKEND_F_NO_MEDIUM, BACKEND_FLAGS } from '../layout.ts';
import type { Machine } from '../machine/machine.ts';
import { SECTOR_SHIFT, VIRTQUEUE_MAX_SIZE } from '../spec.ts';
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
import { REQUEST_SECTORS_MAX } from './queue-config.ts';
import type { QueueThread } from './remote-doorbell.ts';
import type { MappingOptions, VqMapping } from './vq-mapping.ts';

export interface VirtioBlkOptions {
  /** The device's name in events. Default: none. */
  id?: string;
  /** The device stops and goes on with it. Default: the backend's. */
  machine?: Machine;
  /** What the guest sees in /sys/block/vda/serial; 20 bytes of it. Default: empty. */
  serial?: string;
  /** Descriptors of each queue; a power of two. Default 256. */
  'queue-size'?: number;
  /** Default 1. `auto`: one for each of `vcpus`, at most 1024 (BL-20). */
  'num-queues'?: number | 'auto';
  /** CPUs of the guest, for `num-queues` `auto` on a PCI device. Default 1, right for MMIO. */
  vcpus?: number;
  /** The thread that serves all queues; without it main does. For `VirtioBlk.realize`. */
  iothread?: QueueThread;
  /**
   * Threads for the queues: `vqs` name the queues of each, or of none, and then they go round. For
   * `VirtioBlk.realize`.
   */
  'iothread-vq-mapping'?: readonly VqMapping[];
  /**
   * A kick sets a notifier for whoever serves the queue (default true). Off, it is served before
   * the doorbell's write returns, whatever `kick` says; not with queues on IOThreads.
   */
  ioeventfd?: boolean;
  /**
   * Who watches for interrupts of queues that set a notifier for them: main, which tells the
   * transport (default), or a thread that is told the notifiers' addresses. With `client` all
   * queues have both notifiers, on whatever thread.
   */
  guestNotifier?: 'main' | 'client';
  /** Most data segments of a request that the driver is told of. Default: queue-size - 2. */
  'seg-max'?: number;
  /** The driver may switch the write cache (CONFIG_WCE). Default true. */
  'config-wce'?: boolean;
  /** Offer DISCARD. Default true. */
  discard?: boolean;
  /** Offer WRITE_ZEROES. Default true. */
  'write-zeroes'?: boolean;
  /** Longest DISCARD and WRITE_ZEROES, in sectors. Default: just under 2 GiB. */
  'max-discard-sectors'?: number;
  'max-write-zeroes-sectors'?: number;
  /** Merge neighbouring requests of one batch. Default true. */
  'request-merging'?: boolean;
  /** Bytes. Default: the backend's, else 512. */
  logical_block_size?: number;
  /** Bytes. Default: the logical one. */
  physical_block_size?: number;
  /** Bytes; hints for the driver. 0 (default): none. */
  min_io_size?: number;
  opt_io_size?: number;
  /**
   * Of queues that main serves. `sync` (default): a kick is served before the doorbell's write
   * returns. `poll`: it sets a notifier, and the context's next turn serves it; for an emulator
   * with a poll point.
   */
  kick?: 'sync' | 'poll';
  /** Byte order of a guest on the legacy interface. Default little. */
  legacyEndian?: 'little' | 'big';
  /**
   * Called for each buffer that the device writes to, with its address in `core.ram` and its
   * length, before the driver hears that it was used: for an emulator that must forget code it has
   * translated from there. Rings are not told of. For queues on IOThreads it is called from the
   * context's turn, and the driver sees used buffers only after that; perhaps with all of guest
   * memory, if a queue has written to more than its log holds.
   */
  onGuestWrite?: GuestWriteListener;
}

/** The options with their defaults, checked against each other and the backend. */
export interface BlkSettings extends QueueSettings {
  readonly id: string | undefined;
  readonly machine: Machine | null;
  readonly serial: string;
  readonly numQueues: number;
  readonly segMax: number;
  readonly configWce: boolean;
  readonly discard: boolean;
  readonly writeZeroes: boolean;
  readonly maxDiscardSectors: number;
  readonly maxWriteZeroesSectors: number;
  readonly requestMerging: boolean;
  /** Bytes, as all sizes here. */
  readonly logicalBlockSize: number;
  readonly physicalBlockSize: number;
  readonly minIoSize: number;
  readonly optIoSize: number;
  readonly legacyEndian: 'little' | 'big';
}

/** A chain has 1024 segments at most: header and status go off. */
const SEG_MAX_LIMIT = VIRTQUEUE_MAX_SIZE - 2;

const NAMES: readonly (keyof VirtioBlkOptions)[] = [
  'id',
  'machine',
  'serial',
  'queue-size',
  'num-queues',
  'vcpus',
  'iothread',
  'iothread-vq-mapping',
  'ioeventfd',
  'guestNotifier',
  'seg-max',
  'config-wce',
  'discard',
  'write-zeroes',
  'max-discard-sectors',
  'max-write-zeroes-sectors',
  'request-merging',
  'logical_block_size',
  'physical_block_size',
  'min_io_size',
  'opt_io_size',
  'kick',
  'legacyEndian',
  'onGuestWrite',
];

/** Reads `options` for a device on `backend`. Nothing is changed, whether it throws or not. */
export function readBlkOptions(
  core: Core,
  backend: BlockBackend | null | undefined,
  options: VirtioBlkOptions,
): BlkSettings {
  checkDrive(core, backend);
  checkNames(options, NAMES);
  const queueSize = queueSizeOption('queue-size', options['queue-size'] ?? 256);
  const logical = options.logical_block_size ?? ownBlockSize(core, backend);
  const logicalBlockSize = logicalBlockSizeOption(logical, backend.alignment);
  const physical = options.physical_block_size ?? logicalBlockSize;
  const { 'num-queues': queues = 1, vcpus = 1 } = options;
  const numQueues = queuesOption('num-queues', queues, vcpus);
  const threads = threadsOption(options, numQueues);
  return {
    id: idOption(options.id),
    machine: machineOption(backend, options.machine),
    serial: serialOption(options.serial ?? ''),
    queueSize,
    numQueues,
    threads,
    ioeventfd: flag(options, 'ioeventfd'),
    guestNotifier: choice('guestNotifier', options.guestNotifier ?? 'main', ['main', 'client']),
    segMax: integer('seg-max', options['seg-max'] ?? queueSize - 2, 1, SEG_MAX_LIMIT),
    configWce: flag(options, 'config-wce'),
    discard: flag(options, 'discard'),
    writeZeroes: flag(options, 'write-zeroes'),
    maxDiscardSectors: sectorLimit(options, 'max-discard-sectors', logicalBlockSize),
    maxWriteZeroesSectors: sectorLimit(options, 'max-write-zeroes-sectors', logicalBlockSize),
    requestMerging: flag(options, 'request-merging'),
    logicalBlockSize,
    physicalBlockSize: physicalBlockSizeOption(physical, logicalBlockSize),
    minIoSize: ioSize('min_io_size', options.min_io_size ?? 0, logicalBlockSize, 0xffff),
    optIoSize: ioSize('opt_io_size', options.opt_io_size ?? 0, logicalBlockSize, 0xffffffff),
    kick: choice('kick', options.kick ?? 'sync', ['sync', 'poll']),
    legacyEndian: choice('legacyEndian', options.legacyEndian ?? 'little', ['little', 'big']),
    onGuestWrite: listener(options.onGuestWrite),
  };
}

function checkDrive(
  core: Core,
  backend: BlockBackend | null | undefined,
): asserts backend is BlockBackend {
  if (!backend) throw new OptionError('drive', backend, 'an open BlockBackend');
  const flags = core.u32[(backend.address + BACKEND_FLAGS) >>> 2]!;
  if (flags & BACKEND_F_NO_MEDIUM) {
    throw new OptionError('drive', 'empty', 'a drive with a medium in it');
  }
  // Of drained sections one device alone is told.
  if (backend.devOps) throw new OptionError('drive', backend.name, 'one that no other device has');
}

function machineOption(backend: BlockBackend, machine: Machine | undefined): Machine | null {
  const own = backend.machine;
  if (!machine || !own || machine === own) return machine ?? own;
  throw new OptionError('machine', machine, "the backend's machine");
}

function serialOption(serial: unknown): string {
  if (typeof serial !== 'string' || serial.includes('\0')) {
    throw new OptionError('serial', serial, 'a string without zero characters');
  }
  return serial;
}

/** By number of the queue: the threads of another mapping, for a device that is there. */
export function threadsForMapping(
  mapping: MappingOptions,
  settings: BlkSettings,
): (QueueThread | null)[] {
  const { ioeventfd, guestNotifier, onGuestWrite, numQueues } = settings;
  checkMappingNames(mapping);
  const options = { ...mapping, ioeventfd, guestNotifier };
  return threadsOption(onGuestWrite ? { ...options, onGuestWrite } : options, numQueues);
}

/** Bytes. */
function ownBlockSize(core: Core, backend: BlockBackend): number {
  const sectors = core.u32[(backend.address + BACKEND_BLOCK_SECTORS) >>> 2]!;
  return Math.max(1, sectors) << SECTOR_SHIFT;
}

/** A hint in bytes that the driver is told in logical blocks, at most `max` of them. */
function ioSize(option: string, size: number, logical: number, max: number): number {
  if (Number.isInteger(size) && size >= 0 && size % logical === 0 && size / logical <= max) {
    return size;
  }
  throw new OptionError(option, size, `multiples of ${logical} up to ${max * logical}`);
}

/** At most what one request may have (BL-4), in whole logical blocks. */
function sectorLimit(
  options: VirtioBlkOptions,
  option: 'max-discard-sectors' | 'max-write-zeroes-sectors',
  logical: number,
): number {
  const unit = logical >>> SECTOR_SHIFT;
  const limit = REQUEST_SECTORS_MAX - (REQUEST_SECTORS_MAX % unit);
  const sectors = options[option] ?? limit;
  if (Number.isInteger(sectors) && sectors >= unit && sectors <= limit && sectors % unit === 0) {
    return sectors;
  }
  throw new OptionError(option, sectors, `multiples of ${unit} from ${unit} to ${limit}`);
}
