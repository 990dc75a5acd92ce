/**
 * A virtio-blk device in a saved state: its registers and its transport's, where each queue stands
 * in its ring, and the requests that were popped and not answered (VM-5, VM-6, BL-19). The disk's
 * contents are the backend's; guest memory is whoever's it is, and must be as it was saved before
 * the state is put in place. QEMU: `virtio_blk_save_device`, `virtio_blk_load_device`.
 */

import type { StateHandler } from '../machine/machine-state.ts';
import { StateError } from '../machine/state-error.ts';
import type { StateReader } from '../machine/state-reader.ts';
import type { StateWriter } from '../machine/state-writer.ts';
import { SECTOR_SIZE } from '../spec.ts';
import {
  putPlace,
  type QueuePlace,
  readPlace,
  requestsInFlight,
  restoreRing,
} from './blk-rings.ts';
import {
  checkIdentity,
  type DeviceState,
  readDevice,
  restoreDevice,
  startDevice,
  writeDevice,
  writeIdentity,
} from './device-state.ts';
import { mmioState } from './mmio-state.ts';
import { pciState } from './pci-state.ts';
import { noTransport, type RestoredTransport, type TransportState } from './transport-state.ts';
import type { VirtioBlk } from './virtio-blk.ts';
import { VirtioMmio } from './virtio-mmio.ts';
import { VirtioPci } from './virtio-pci.ts';

const VERSION = 1;

interface BlkState {
  readonly device: DeviceState;
  readonly transport: RestoredTransport;
  readonly writeCache: boolean;
  /** By number of the queue. */
  readonly places: readonly QueuePlace[];
}

/** What saves and loads `blk`, which lies behind `transport`; null: its registers are called. */
export function blkState(blk: VirtioBlk, transport: VirtioPci | VirtioMmio | null): StateHandler {
  const own = transportState(blk, transport);
  return {
    version: VERSION,
    save: (writer) => save(writer, blk, own),
    load: (reader) => {
      const state = read(reader, blk, own);
      return () => apply(blk, own, state);
    },
  };
}

function transportState(blk: VirtioBlk, transport: VirtioPci | VirtioMmio | null): TransportState {
  if (transport instanceof VirtioPci) return pciState(transport);
  if (transport instanceof VirtioMmio) return mmioState(transport);
  return noTransport(() => blk.reset());
}

// ---- Save --------------------------------------------------------------------------------------

/** A promise only if requests wait, which the queues' threads must be asked for. */
function save(
  writer: StateWriter,
  blk: VirtioBlk,
  transport: TransportState,
): void | Promise<void> {
  checkAtRest(blk);
  blk.deliver(); // what was completed is told of: an interrupt is the transport's then
  const finish = (heads: readonly (readonly number[])[]): void => {
    blk.deliver();
    write(writer, blk, transport, heads);
  };
  if (blk.brokenReason !== 0 || requestsInFlight(blk) === 0) finish(blk.queues.map(() => []));
  else return blk.unfinished().then(finish);
}

function checkAtRest(blk: VirtioBlk): void {
  if (blk.resetting || blk.queues.some(({ draining }) => draining)) busy('is being reset');
  if (blk.serving && !blk.backend.quiesced) busy('takes requests: stop the machine first');
  if (blk.backend.inFlight > 0) busy('has requests in flight');
}

function busy(what: string): never {
  throw new StateError('EBUSY', `the device ${what}`);
}

function write(
  writer: StateWriter,
  blk: VirtioBlk,
  transport: TransportState,
  heads: readonly (readonly number[])[],
): void {
  writeIdentity(writer, blk, blk.offeredFeatures());
  writer.u32(blk.settings.logicalBlockSize).u64(sectors(blk));
  writeDevice(writer, blk);
  transport.save(writer);
  writer.bool(blk.backend.writeCache);
  blk.queues.forEach((_, index) => {
    putPlace(writer, blk, index, heads[index]!);
  });
}

function sectors(blk: VirtioBlk): number {
  return Math.floor(blk.backend.size / SECTOR_SIZE);
}

// ---- Load --------------------------------------------------------------------------------------

function read(reader: StateReader, blk: VirtioBlk, transport: TransportState): BlkState {
  checkIdentity(reader, blk, blk.offeredFeatures());
  const { logicalBlockSize } = blk.settings;
  reader.expect('logical_block_size', reader.u32('logical_block_size'), logicalBlockSize);
  reader.expect('capacity', `${reader.u64('capacity')} sectors`, `${sectors(blk)} sectors`);
  const device = readDevice(reader, blk);
  const restored = transport.load(reader, device.legacy);
  const writeCache = reader.bool('write cache');
  const places = device.queues.map((_, index) => readPlace(reader, device, index));
  return { device, transport: restored, writeCache, places };
}

/** Whatever fails here leaves a device that was reset. A promise only if one is needed. */
function apply(blk: VirtioBlk, transport: TransportState, state: BlkState): void | Promise<void> {
  transport.reset();
  if (blk.resetting) return blk.idle().then(() => restore(blk, transport, state));
  return restore(blk, transport, state);
}

function restore(blk: VirtioBlk, transport: TransportState, state: BlkState): void | Promise<void> {
  const undo = (error: unknown): never => {
    transport.reset();
    throw error;
  };
  try {
    restoreRegisters(blk, state);
    const waiting = state.places.flatMap(({ heads }, index) => (heads.length > 0 ? [index] : []));
    if (blk.brokenReason !== 0 || waiting.length === 0) return start(blk, state);
    const adopted = waiting.map((index) => blk.adopt(index, state.places[index]!.heads));
    return Promise.all(adopted).then(() => start(blk, state), undo);
  } catch (error) {
    undo(error);
  }
}

/** Nobody hears of interrupts meanwhile: which of them the driver has heard of is in the state. */
function restoreRegisters(blk: VirtioBlk, { device, transport, places }: BlkState): void {
  const attached = blk.transport;
  blk.transport = null;
  try {
    transport.before();
    if (!restoreDevice(blk, device)) {
      throw new StateError('EINVAL', 'status and features are none that a driver can reach');
    }
    device.queues.forEach(({ enabled }, index) => {
      if (enabled) restoreRing(blk, index, places[index]!);
    });
  } finally {
    blk.transport = attached;
  }
  transport.after();
}

function start(blk: VirtioBlk, { device, writeCache }: BlkState): void {
  startDevice(blk, device);
  blk.backend.writeCache = writeCache; // what a driver has chosen since it started (BL-14)
}
