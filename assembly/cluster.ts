// Cluster disks: a memory disk as a two-level table of 64 KiB clusters. A hole reads as zeroes;
// the first write to it claims a cluster and hangs it in by compare-and-swap.

import {
  CLUSTER_BYTES, CLUSTER_L1_SHIFT, CLUSTER_L2_ENTRIES, CLUSTER_SHIFT, DISK_ARENA, DISK_CLUSTERS,
  DISK_L1, DISK_SIZE_LO,
} from "../src/layout";
import { add32, compareExchange32, load32, store32, sub32 } from "./atomics";
import { claim, giveBack } from "./arena";

const CLUSTER_MASK: u64 = CLUSTER_BYTES - 1;
const TABLE_BYTES: u64 = 1 << CLUSTER_L1_SHIFT;

/** Address of the level-1 entry for the byte at `offset`. */
// @ts-ignore: decorator
@inline
function entry1(disk: u32, offset: u64): u32 {
  return load<u32>(disk, DISK_L1) + (<u32>(offset >> CLUSTER_L1_SHIFT) << 2);
}

/** Address of the level-2 entry for the byte at `offset`, in the table at `table`. */
// @ts-ignore: decorator
@inline
function entry2(table: u32, offset: u64): u32 {
  return table + ((<u32>(offset >> CLUSTER_SHIFT) & (CLUSTER_L2_ENTRIES - 1)) << 2);
}

/** The cluster that holds the byte at `offset`, or 0 for a hole. */
// @ts-ignore: decorator
@inline
function lookUp(disk: u32, offset: u64): u32 {
  const table = load32(entry1(disk, offset), 0);
  return table == 0 ? 0 : load32(entry2(table, offset), 0);
}

/** What `entry` points to; a hole gets a zeroed cluster. 0 if the arena is empty. */
function ensure(disk: u32, entry: u32): u32 {
  const there = load32(entry, 0);
  if (there != 0) return there;
  const arena = load<u32>(disk, DISK_ARENA);
  const cluster = claim(arena);
  if (cluster == 0) return 0;
  const other = compareExchange32(entry, 0, 0, cluster);
  if (other != 0) {
    giveBack(arena, cluster); // another thread was first: its cluster counts
    return other;
  }
  add32(disk, DISK_CLUSTERS, 1);
  return cluster;
}

/** Copies disk bytes to `address`. The range lies inside the disk. */
export function read(disk: u32, offset: u64, address: u32, length: u32): void {
  while (length != 0) {
    const within = <u32>(offset & CLUSTER_MASK);
    const piece = min(length, <u32>CLUSTER_BYTES - within);
    const cluster = lookUp(disk, offset);
    if (cluster == 0) memory.fill(address, 0, piece);
    else memory.copy(address, cluster + within, piece);
    offset += piece;
    address += piece;
    length -= piece;
  }
}

/** Copies `length` bytes at `address` to the disk. Fewer only if the arena is empty. */
export function write(disk: u32, offset: u64, address: u32, length: u32): u32 {
  let left = length;
  while (left != 0) {
    const table = ensure(disk, entry1(disk, offset));
    if (table == 0) break;
    const cluster = ensure(disk, entry2(table, offset));
    if (cluster == 0) break;
    const within = <u32>(offset & CLUSTER_MASK);
    const piece = min(left, <u32>CLUSTER_BYTES - within);
    memory.copy(cluster + within, address, piece);
    offset += piece;
    address += piece;
    left -= piece;
  }
  return length - left;
}

/** Makes `offset` up to `end` read as zeroes; `free`: no other thread is inside the disk. */
export function zero(disk: u32, offset: u64, end: u64, free: bool): void {
  while (offset < end) {
    const start = offset & ~(TABLE_BYTES - 1);
    const stop = min(start + TABLE_BYTES, end);
    const entry = entry1(disk, offset);
    const table = load32(entry, 0);
    if (table != 0) {
      zeroInTable(disk, table, offset, stop, free);
      const reach = min(start + TABLE_BYTES, load<u64>(disk, DISK_SIZE_LO));
      // Nothing of the disk is left under this table: it goes, too.
      if (free && offset == start && stop >= reach) giveUp(disk, entry, table);
    }
    offset = stop;
  }
}

function zeroInTable(disk: u32, table: u32, offset: u64, end: u64, free: bool): void {
  while (offset < end) {
    const within = <u32>(offset & CLUSTER_MASK);
    const piece = <u32>min(end - offset, <u64>(<u32>CLUSTER_BYTES - within));
    const entry = entry2(table, offset);
    const cluster = load32(entry, 0);
    if (cluster != 0) {
      // The disk's last cluster is whole where the disk ends.
      const whole = within == 0
        && (piece == <u32>CLUSTER_BYTES || offset + piece == load<u64>(disk, DISK_SIZE_LO));
      if (free && whole) giveUp(disk, entry, cluster);
      else memory.fill(cluster + within, 0, piece);
    }
    offset += piece;
  }
}

function giveUp(disk: u32, entry: u32, cluster: u32): void {
  store32(entry, 0, 0);
  giveBack(load<u32>(disk, DISK_ARENA), cluster);
  sub32(disk, DISK_CLUSTERS, 1);
}

export function isAllocated(disk: u32, offset: u64): u32 {
  return u32(lookUp(disk, offset) != 0);
}
