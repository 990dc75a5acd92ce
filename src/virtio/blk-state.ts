/**
 * A virtio-blk device in a saved state (VM-5, VM-6, BL-19). The disk's contents are the backend's.
 * QEMU: `virtio_blk_save_device`, `virtio_blk_load_device`.
 */

import type { StateHandler } from '../machine/machine-state.ts';
import { SECTOR_SIZE } from '../spec.ts';
import { type KindState, queueDeviceState } from './queue-device-state.ts';
import type { RequestFormat, WaitingRequest } from './ring-places.ts';
import type { VirtioBlk } from './virtio-blk.ts';
import type { VirtioMmio } from './virtio-mmio.ts';
import type { VirtioPci } from './virtio-pci.ts';

const VERSION = 1;

/** What saves and loads `blk`, which lies behind `transport`; null: its registers are called. */
export function blkState(blk: VirtioBlk, transport: VirtioPci | VirtioMmio | null): StateHandler {
  return queueDeviceState(blk, transport, kindState(blk));
}

function kindState(blk: VirtioBlk): KindState<boolean, WaitingRequest> {
  const { backend, settings } = blk;
  return {
    version: VERSION,
    requests: requestFormat(blk),
    checkAtRest(busy) {
      if (blk.serving && !backend.quiesced) busy('takes requests: stop the machine first');
      if (backend.inFlight > 0) busy('has requests in flight');
    },
    writeIdentity(writer) {
      writer.u32(settings.logicalBlockSize).u64(sectors(blk));
    },
    checkIdentity(reader) {
      const { logicalBlockSize } = settings;
      reader.expect('logical_block_size', reader.u32('logical_block_size'), logicalBlockSize);
      reader.expect('capacity', `${reader.u64('capacity')} sectors`, `${sectors(blk)} sectors`);
    },
    write: (writer) => void writer.bool(backend.writeCache),
    read: (reader) => reader.bool('write cache'),
    // What a driver has chosen since it started (BL-14).
    started(writeCache) {
      backend.writeCache = writeCache;
    },
  };
}

/** The guest's memory says what a request is. */
function requestFormat({ core: { engine } }: VirtioBlk): RequestFormat<WaitingRequest> {
  return {
    waits: () => true,
    put: () => {},
    read: (_reader, _field, head) => ({ head }),
    restore: (queue, { head }) => engine.blkRestore(queue, head),
  };
}

function sectors(blk: VirtioBlk): number {
  return Math.floor(blk.backend.size / SECTOR_SIZE);
}
