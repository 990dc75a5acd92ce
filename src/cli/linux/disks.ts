/** Disks of ours in a guest, and what the host sees of them. Runs in Node and in browsers. */

import { attachVirtioBlk, type V86Blk, type V86BlkOptions } from '../../adapter/v86.ts';
import type { V86Instance } from '../../adapter/v86-machine.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { MemoryDriver } from '../../block/memory.ts';
import { PatternDisk } from './pattern-disk.ts';

const READ_ONLY_BYTES = 4 << 20;
const CHUNK_BYTES = 1 << 20;

export interface DiskOptions extends Pick<V86BlkOptions, 'engine' | 'bar' | 'mode'> {
  /** Bytes of the disk to write to. */
  readonly size: number;
  /** IOThreads that serve it; the guest's memory is shared then. Default: none. */
  readonly iothreads?: number | undefined;
}

/** The two disks of a demonstration: `vda` and `vdb` in the guest. */
export interface Disks {
  readonly writable: V86Blk;
  readonly readOnly: V86Blk;
  /** The writable one is served by an IOThread. */
  readonly threaded: boolean;
}

/**
 * Attaches an empty memory disk, and one to look at that has a core of its own; that one is always
 * served by the guest's thread.
 */
export async function attachDisks(emulator: V86Instance, options: DiskOptions): Promise<Disks> {
  const { size, iothreads, ...how } = options;
  const disk = { driver: 'memory', options: { size } };
  const threads = iothreads ? { iothreads } : {};
  const serial = 'vblk-memory';
  const writable = await attachVirtioBlk(emulator, { ...how, ...threads, disk, serial });
  const pattern = new PatternDisk(READ_ONLY_BYTES);
  const readOnly = await attachVirtioBlk(emulator, { ...how, disk: pattern });
  return { writable, readOnly, threaded: iothreads !== undefined };
}

/** SHA-256 of a whole disk as the host reads it, in hexadecimal. */
export async function diskSha256(backend: BlockBackend): Promise<string> {
  const bytes = new Uint8Array(backend.size);
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    await backend.io.read(at, bytes.subarray(at, at + CHUNK_BYTES));
  }
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Clusters of 64 KiB that a memory disk holds in the host, its tables among them. */
export function clustersOf(backend: BlockBackend): number {
  return (backend.driver as MemoryDriver).clusters;
}
