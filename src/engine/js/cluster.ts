/**
 * Cluster disks: a memory disk as a two-level table of 64 KiB clusters (design section 6). A slot
 * is filled once, by compare-and-swap, and emptied only where no other thread is inside the disk;
 * what a cluster holds is the guest's business, as on any disk.
 */

import {
  CLUSTER_BYTES,
  CLUSTER_L1_SHIFT,
  CLUSTER_L2_ENTRIES,
  DISK_ARENA,
  DISK_CLUSTERS,
  DISK_L1,
  DISK_SIZE_HI,
  DISK_SIZE_LO,
} from '../../layout.ts';
import { add, compareExchange, exchange, load, sub } from '../atomics.ts';
import { claim, giveBack } from './arena.ts';
import { ramToState, stateToRam } from './copy.ts';
import { TWO_32 } from './regions.ts';
import type { Views } from './views.ts';

const CLUSTER = CLUSTER_BYTES;
const TABLE_SPAN = 2 ** CLUSTER_L1_SHIFT;

/** A byte offset from its two words. Disks are smaller than 2^53 bytes. */
export function offsetOf(lo: number, hi: number): number {
  return (hi >>> 0) * TWO_32 + (lo >>> 0);
}

function l1Slot(v: Views, disk: number, offset: number): number {
  return v.u32[(disk + DISK_L1) >>> 2]! + Math.floor(offset / TABLE_SPAN) * 4;
}

function l2Slot(table: number, offset: number): number {
  return table + (Math.floor(offset / CLUSTER) & (CLUSTER_L2_ENTRIES - 1)) * 4;
}

/** What a slot named, in sight: another thread may have grown the memory for it. */
function inSight(v: Views, cluster: number): number {
  if (cluster !== 0) v.upTo(cluster + CLUSTER);
  return cluster;
}

/** Address of the cluster at `offset`, or 0 for a hole. */
function clusterAt(v: Views, disk: number, offset: number): number {
  const table = load(v.i32, l1Slot(v, disk, offset)) >>> 0;
  if (table === 0) return 0;
  const slot = l2Slot(inSight(v, table), offset);
  return inSight(v, load(v.i32, slot) >>> 0);
}

/** As `clusterAt`, and fills holes. 0 if the arena is empty. */
function ownCluster(v: Views, disk: number, offset: number): number {
  const table = fill(v, disk, l1Slot(v, disk, offset));
  return table === 0 ? 0 : fill(v, disk, l2Slot(table, offset));
}

/** What the slot holds, after putting a cluster of zeroes there if it held none. */
function fill(v: Views, disk: number, slot: number): number {
  const present = load(v.i32, slot);
  if (present !== 0) return inSight(v, present >>> 0);
  const arena = v.u32[(disk + DISK_ARENA) >>> 2]!;
  const cluster = claim(v, arena);
  if (cluster === 0) return 0;
  inSight(v, cluster);
  const winner = compareExchange(v.i32, slot, 0, cluster | 0);
  if (winner !== 0) {
    giveBack(v, arena, cluster);
    return inSight(v, winner >>> 0);
  }
  add(v.i32, disk + DISK_CLUSTERS, 1);
  return cluster;
}

/** Bytes from `offset` to the end of its cluster, `left` at most. */
function pieceAt(offset: number, left: number): number {
  return Math.min(left, CLUSTER - (offset % CLUSTER));
}

export function clusterRead(
  v: Views,
  disk: number,
  offset: number,
  address: number,
  length: number,
  ram: number,
): number {
  for (let done = 0; done < length; ) {
    const piece = pieceAt(offset + done, length - done);
    const cluster = clusterAt(v, disk, offset + done);
    const from = cluster + ((offset + done) % CLUSTER);
    const to = address + done;
    if (cluster === 0) (ram !== 0 ? v.ram8 : v.u8).fill(0, to, to + piece);
    else if (ram !== 0) stateToRam(v, to, from, piece);
    else v.u8.copyWithin(to, from, from + piece);
    done += piece;
  }
  return length;
}

export function clusterWrite(
  v: Views,
  disk: number,
  offset: number,
  address: number,
  length: number,
  ram: number,
): number {
  for (let done = 0; done < length; ) {
    const piece = pieceAt(offset + done, length - done);
    const cluster = ownCluster(v, disk, offset + done);
    if (cluster === 0) return done;
    const to = cluster + ((offset + done) % CLUSTER);
    const from = address + done;
    if (ram !== 0) ramToState(v, to, from, piece);
    else v.u8.copyWithin(to, from, from + piece);
    done += piece;
  }
  return length;
}

export function clusterZero(
  v: Views,
  disk: number,
  offset: number,
  length: number,
  free: number,
): void {
  const end = offset + length;
  while (offset < end) {
    const slot = l1Slot(v, disk, offset);
    const table = inSight(v, load(v.i32, slot) >>> 0);
    const start = Math.floor(offset / TABLE_SPAN) * TABLE_SPAN;
    const stop = Math.min(end, start + TABLE_SPAN);
    if (table !== 0) {
      zeroTable(v, disk, table, offset, stop, free);
      const reach = Math.min(start + TABLE_SPAN, diskBytes(v, disk));
      if (free !== 0 && offset === start && stop >= reach) freeCluster(v, disk, slot);
    }
    offset = stop;
  }
}

function diskBytes(v: Views, disk: number): number {
  return offsetOf(v.u32[(disk + DISK_SIZE_LO) >>> 2]!, v.u32[(disk + DISK_SIZE_HI) >>> 2]!);
}

/** Zeroes from `offset` to `stop`, both within the reach of one level-2 table. */
function zeroTable(
  v: Views,
  disk: number,
  table: number,
  offset: number,
  stop: number,
  free: number,
): void {
  while (offset < stop) {
    const slot = l2Slot(table, offset);
    const start = offset % CLUSTER;
    const piece = pieceAt(offset, stop - offset);
    const whole = start === 0 && (piece === CLUSTER || offset + piece >= diskBytes(v, disk));
    if (free !== 0 && whole) {
      freeCluster(v, disk, slot);
    } else {
      const cluster = inSight(v, load(v.i32, slot) >>> 0);
      if (cluster !== 0) v.u8.fill(0, cluster + start, cluster + start + piece);
    }
    offset += piece;
  }
}

/** Empties a slot and gives what was in it back. No other thread is inside the disk. */
function freeCluster(v: Views, disk: number, slot: number): void {
  const cluster = inSight(v, exchange(v.i32, slot, 0) >>> 0);
  if (cluster === 0) return;
  giveBack(v, v.u32[(disk + DISK_ARENA) >>> 2]!, cluster);
  sub(v.i32, disk + DISK_CLUSTERS, 1);
}

export function clusterAllocated(v: Views, disk: number, offset: number): number {
  return clusterAt(v, disk, offset) === 0 ? 0 : 1;
}
