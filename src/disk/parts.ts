/**
 * What a disk without an emulator is put together from: a core with guest RAM for rings and slots,
 * a context, the disk, the threads, a virtio-blk device, and a driver that has it running. Main.
 */

import { AioContext } from '../aio/context.ts';
import { IOThread, type IOThreadOptions } from '../aio/io-thread.ts';
import { Undo } from '../aio/undo.ts';
import type { WorkerLike } from '../aio/worker-port.ts';
import { BlockBackend } from '../block/backend.ts';
import type { BlockDriver, DriverSpec } from '../block/driver.ts';
import { OptionError } from '../block/error.ts';
import { isOpenDriver } from '../block/registry.ts';
import type { Core, CoreOptions } from '../engine/core.ts';
import { GuestBlk } from '../guest/blk.ts';
import { GuestRam } from '../guest/ram.ts';
import { GuestRing } from '../guest/ring.ts';
import { SECTOR_SIZE } from '../spec.ts';
import { VirtioBlk, type VirtioBlkOptions } from '../virtio/virtio-blk.ts';
import { claimDiskRam, type DiskRam, diskRamBytes } from './disk-ram.ts';
import { type DiskOptions, type DiskSettings, readDiskOptions, threadParams } from './options.ts';
import { layOut, PAGE, placeBytes, type QueuePlace, ringMemory } from './queue-place.ts';
import { DirectTransport, type TransportEvents } from './transport.ts';

const LARGE_BLOCK = 4096;

type StartOptions = Omit<IOThreadOptions, 'worker'> & {
  createWorker?: (() => WorkerLike) | undefined;
};

/** What a platform knows and this room does not. */
export interface DiskPlatform {
  openCore(options: CoreOptions): Promise<Core>;
  /** Missing: only `createWorker` can make Workers. */
  startIOThread?: (core: Core, options: StartOptions) => Promise<IOThread>;
}

export interface DiskParts {
  readonly core: Core;
  readonly settings: DiskSettings;
  readonly context: AioContext;
  readonly backend: BlockBackend;
  readonly device: VirtioBlk;
  readonly transport: DirectTransport;
  /** Those that serve, in the order in which the queues go round; none: main does. */
  readonly threads: readonly IOThread[];
  readonly ram: DiskRam;
  readonly places: readonly QueuePlace[];
  /** Takes everything down; nothing is in flight. */
  readonly undo: Undo;
}

/** Opens the disk and has the device running, with the queues set up that are the disk's own. */
export async function openParts(
  disk: DriverSpec | BlockDriver,
  options: DiskOptions,
  platform: DiskPlatform,
  events: TransportEvents,
): Promise<DiskParts> {
  const start = platform.startIOThread ?? startOwn(options);
  const settings = readDiskOptions(options, start !== undefined && canShare());
  const undo = new Undo();
  try {
    const core = options.core ?? (await openCore(options, settings, platform));
    const context = new AioContext(core, { name: 'disk' });
    undo.add(() => context.close());
    const backend = await openBackend(core, context, disk, settings);
    undo.add(() => backend.close());
    const ram = claimDiskRam(core, settings, options.core === undefined);
    undo.add(() => ram.free());
    const threads = await openThreads(core, backend, disk, options, settings, start, undo);
    const words = deviceOptions(settings, threads);
    const device = await VirtioBlk.realize(core, context, backend, words);
    undo.add(() => device.close());
    const transport = new DirectTransport(device, events);
    const places = placesOf(device, settings, ram);
    await startDriver(core, transport, places.slice(0, settings.own));
    return { core, settings, context, backend, device, transport, threads, ram, places, undo };
  } catch (error) {
    await undo.all().catch(() => {}); // what went wrong first is what the caller must know
    throw error;
  }
}

/** Main threads of pages that are not isolated have no shared memory. */
function canShare(): boolean {
  const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean };
  return typeof SharedArrayBuffer !== 'undefined' && crossOriginIsolated !== false;
}

function openCore(
  options: DiskOptions,
  settings: DiskSettings,
  platform: DiskPlatform,
): Promise<Core> {
  const { engine = 'auto', module } = options;
  const ramBytes = PAGE + diskRamBytes(settings);
  return platform.openCore({ engine, module, ramBytes, shared: settings.shared });
}

/** Some disks have blocks of 4096 bytes; unless a size is asked for, it is what the disk wants. */
async function openBackend(
  core: Core,
  context: AioContext,
  disk: DriverSpec | BlockDriver,
  { readOnly, writeCache, blockSize }: DiskSettings,
): Promise<BlockBackend> {
  const open = (logicalBlockSize: number) =>
    BlockBackend.open(core, context, disk, { readOnly, writeCache, logicalBlockSize });
  try {
    return await open(blockSize ?? SECTOR_SIZE);
  } catch (error) {
    const wanted = error instanceof OptionError && error.option === 'logical_block_size';
    if (!wanted || blockSize !== undefined) throw error;
    return open(LARGE_BLOCK);
  }
}

// ---- Threads ----------------------------------------------------------------------------------

type Start = DiskPlatform['startIOThread'];

function startOwn({ createWorker }: DiskOptions): Start {
  if (!createWorker) return undefined;
  return (core, { createWorker: _, ...rest }) =>
    IOThread.start(core, { ...rest, worker: createWorker });
}

async function openThreads(
  core: Core,
  backend: BlockBackend,
  disk: DriverSpec | BlockDriver,
  options: DiskOptions,
  settings: DiskSettings,
  start: Start,
  undo: Undo,
): Promise<readonly IOThread[]> {
  const { threads } = settings;
  if (typeof threads !== 'number') return threads;
  const { driver } = backend;
  const shareable = driver.share || (driver.threads === 'any' && !isOpenDriver(disk));
  if (threads === 0 || (settings.threadsOptional && !shareable)) return [];
  if (!start) throw new OptionError('iothreads', threads, '0 without createWorker');
  const { createWorker } = options;
  const made: IOThread[] = [];
  for (let i = 0; i < threads; i++) {
    const words = { ...threadParams(options), createWorker, id: `disk iothread ${i}` };
    // A handler for each queue, and some for whatever drivers watch.
    const thread = await start(core, { ...words, handlers: settings.queues + 64 });
    undo.add(() => thread.stop());
    made.push(thread);
  }
  return made;
}

// ---- Device and driver ------------------------------------------------------------------------

function deviceOptions(settings: DiskSettings, threads: readonly IOThread[]): VirtioBlkOptions {
  const options: VirtioBlkOptions = {
    'num-queues': settings.queues,
    'queue-size': settings.queueSize,
    'request-merging': settings.merging,
    // A client hears of interrupts by itself. Alone with the device there is nobody to tell.
    guestNotifier: settings.shared ? 'client' : 'main',
  };
  if (threads.length === 0) return options;
  return { ...options, 'iothread-vq-mapping': threads.map((iothread) => ({ iothread })) };
}

function placesOf(device: VirtioBlk, settings: DiskSettings, ram: DiskRam): QueuePlace[] {
  const bytes = placeBytes(ram.sizes);
  return device.queueConfigs.map(({ queue }, index) => {
    const { host, guest } = device.queueNotifiers[index]!;
    const memory = layOut(ram.sizes, ram.at + index * bytes);
    return { index, queue, host: settings.shared ? host : 0, guest, shift: ram.shift, ...memory };
  });
}

/** What a driver does: reset, features, queues, DRIVER_OK. */
async function startDriver(
  core: Core,
  transport: DirectTransport,
  places: readonly QueuePlace[],
): Promise<void> {
  const driver = new GuestBlk(transport, new GuestRam(core), { queues: 0 });
  await driver.reset();
  driver.negotiate();
  for (const place of places) {
    const ram = new GuestRam(ringMemory(core, place));
    transport.setUpQueue(place.index, new GuestRing(ram, { size: place.ringSize, eventIdx: true }));
  }
  driver.driverOk();
}
