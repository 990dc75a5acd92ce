/**
 * The registers of one virtqueue as a transport shows them to the driver (VIRTIO 1.3, 4.1.4.3,
 * 4.2.2, 4.1.4.10). A transport writes them only while the queue is not enabled: the ring is
 * latched when it is enabled, and cannot move afterwards (BG-17).
 */

import { VIRTIO_MSI_NO_VECTOR, VIRTQUEUE_MAX_SIZE } from '../spec.ts';

/** A u64 as two unsigned words. */
export interface U64Pair {
  lo: number;
  hi: number;
}

export interface QueueRegisters {
  /** Descriptors in the ring, as the driver set it; `maxSize` after reset. */
  size: number;
  /** Largest size this queue offers; 0 would be a queue that does not exist. */
  readonly maxSize: number;
  /** The driver may use the ring: queue_enable, QueueReady, or a page number that is not 0. */
  enabled: boolean;
  /** The queue was stopped and its requests are not all gone yet (RING_RESET, QueueReady 0). */
  draining: boolean;
  /** Guest addresses of the descriptor table, the available ring and the used ring. */
  readonly desc: U64Pair;
  readonly avail: U64Pair;
  readonly used: U64Pair;
  /** MSI-X vector of this queue; VIRTIO_MSI_NO_VECTOR for none. The PCI transport's. */
  vector: number;
}

/**
 * Registers of `count` queues (1 to 1024), each of at most `maxSize` descriptors (a power of two,
 * 2 to 1024). Throws RangeError.
 */
export function createQueues(count: number, maxSize: number): QueueRegisters[] {
  if (!(Number.isInteger(count) && count >= 1 && count <= 1024)) {
    throw new RangeError(`queues must be 1 to 1024, not ${count}`);
  }
  const powerOfTwo = Number.isInteger(maxSize) && (maxSize & (maxSize - 1)) === 0;
  if (!powerOfTwo || maxSize < 2 || maxSize > VIRTQUEUE_MAX_SIZE) {
    throw new RangeError(`queue size must be a power of two from 2 to 1024, not ${maxSize}`);
  }
  return Array.from({ length: count }, () => ({
    size: maxSize,
    maxSize,
    enabled: false,
    draining: false,
    desc: { lo: 0, hi: 0 },
    avail: { lo: 0, hi: 0 },
    used: { lo: 0, hi: 0 },
    vector: VIRTIO_MSI_NO_VECTOR,
  }));
}

/** Back to what a driver finds after reset (VC-3). The vector's use count is the transport's. */
export function resetQueueRegisters(queue: QueueRegisters): void {
  queue.size = queue.maxSize;
  queue.enabled = false;
  queue.draining = false;
  queue.vector = VIRTIO_MSI_NO_VECTOR;
  setAddress(queue.desc, 0);
  setAddress(queue.avail, 0);
  setAddress(queue.used, 0);
}

/**
 * Takes a queue size from the driver. A size of 0 or above `maxSize` is ignored, and so is any
 * write while the ring is in use (BG-17). A size that is no power of two is taken: the engine
 * refuses it when the queue is enabled.
 */
export function writeQueueSize(queue: QueueRegisters, size: number): void {
  if (queue.enabled || size === 0 || size > queue.maxSize) return;
  queue.size = size;
}

/** Takes one word of an address from the driver; ignored while the ring is in use. */
export function writeAddress(
  queue: QueueRegisters,
  part: 'desc' | 'avail' | 'used',
  word: 'lo' | 'hi',
  value: number,
): void {
  if (!queue.enabled) queue[part][word] = value >>> 0;
}

/**
 * Lays out the three parts of a legacy ring from one address (2.7.2): the used ring begins at the
 * next multiple of `align` bytes. `address` is a safe integer; `align` is a power of two.
 */
export function layOutLegacyRing(queue: QueueRegisters, address: number, align: number): void {
  const avail = address + queue.size * 16;
  const end = avail + 4 + queue.size * 2 + 2;
  setAddress(queue.desc, address);
  setAddress(queue.avail, avail);
  setAddress(queue.used, Math.ceil(end / align) * align);
}

/** The page number of a legacy ring as the driver wrote it; 0 while the queue is not enabled. */
export function legacyPage(queue: QueueRegisters, pageShift: number): number {
  if (!queue.enabled) return 0;
  return Math.floor((queue.desc.hi * 0x1_0000_0000 + queue.desc.lo) / 2 ** pageShift) >>> 0;
}

function setAddress(pair: U64Pair, address: number): void {
  pair.lo = address >>> 0;
  pair.hi = Math.floor(address / 0x1_0000_0000) >>> 0;
}
