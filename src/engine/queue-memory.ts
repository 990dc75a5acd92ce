/** The memory of one virtqueue: its words, records, lists and segment blocks (`layout.ts`). */

import {
  BLOCK_SIZE,
  CHAIN_BLOCKS_MAX,
  PLAIN_SIZE,
  QUEUE_BATCH,
  QUEUE_BLOCK_COUNT,
  QUEUE_BLOCKS,
  QUEUE_CAPACITY,
  QUEUE_DONE,
  QUEUE_PLAIN,
  QUEUE_RECORDS,
  QUEUE_REGIONS,
  QUEUE_SCSI,
  QUEUE_SIZE,
  RECORD_SIZE,
  SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_SIZE,
} from '../layout.ts';
import { VIRTQUEUE_MAX_SIZE } from '../spec.ts';
import { type Core, CoreError } from './core.ts';

export interface QueueMemory {
  /** Address of the QUEUE_* words. */
  readonly address: number;
  /** Gives all of it back; the queue must not be served any more. */
  free(): void;
}

/**
 * Allocates a queue for rings of up to `capacity` descriptors (a power of two, at most 1024) and
 * resets it. There are as many blocks as heads, plus one longest chain, so that short requests
 * never stall a queue. With `scsi` it has a SCSI table, as command queues of virtio-scsi need. Main
 * only. Throws CoreError EINVAL or ENOMEM.
 */
export function createQueue(core: Core, capacity: number, scsi = false): QueueMemory {
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > VIRTQUEUE_MAX_SIZE) {
    throw new CoreError('EINVAL', `a queue of ${capacity} descriptors`);
  }
  const blocks = capacity + CHAIN_BLOCKS_MAX;
  const records = align64(QUEUE_SIZE);
  const batch = records + capacity * RECORD_SIZE;
  const done = batch + capacity * 4;
  const plain = align64(done + capacity * 4);
  const firstBlock = plain + PLAIN_SIZE;
  // One block of memory, aligned to a cache line as its records and segment blocks then are.
  const table = firstBlock + blocks * BLOCK_SIZE;
  const tableBytes = scsi ? capacity * (SCSI_REQUEST_SIZE + SCSI_RESPONSE_SIZE) : 0;
  const address = core.allocate(table + tableBytes, 64);
  const { u32 } = core;
  const set = (field: number, value: number): void => {
    u32[(address + field) >>> 2] = value;
  };
  set(QUEUE_REGIONS, core.regions);
  set(QUEUE_RECORDS, address + records);
  set(QUEUE_BATCH, address + batch);
  set(QUEUE_DONE, address + done);
  set(QUEUE_PLAIN, address + plain);
  set(QUEUE_CAPACITY, capacity);
  set(QUEUE_BLOCKS, address + firstBlock);
  set(QUEUE_BLOCK_COUNT, blocks);
  set(QUEUE_SCSI, scsi ? address + table : 0);
  core.engine.queueReset(address);
  return { address, free: () => core.free(address) };
}

function align64(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}
