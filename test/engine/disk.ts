/** A cluster disk in a machine: level-1 table, arena, and clusters at the end of state. */

import {
  ARENA_CLAIMED,
  ARENA_FREE,
  ARENA_FRESH,
  ARENA_LIMIT,
  ARENA_SIZE,
  CLUSTER_BYTES,
  CLUSTER_L1_SHIFT,
  CLUSTER_L2_ENTRIES,
  DISK_ARENA,
  DISK_CLUSTERS,
  DISK_L1,
  DISK_SIZE,
  DISK_SIZE_HI,
  DISK_SIZE_LO,
} from '#src/layout';
import type { Machine } from './machine.ts';

const TWO_32 = 2 ** 32;

export interface DiskOptions {
  /** Bytes. */
  size: number;
  /** Clusters that were never used. The machine must have that much state. */
  fresh: number;
  /** Most clusters in use; 0: as many as there are. */
  limit?: number;
}

export class Disk {
  readonly machine: Machine;
  readonly address: number;
  readonly arena: number;
  readonly size: number;

  constructor(machine: Machine, { size, fresh, limit = 0 }: DiskOptions) {
    this.machine = machine;
    this.size = size;
    this.address = machine.allocate(DISK_SIZE);
    this.arena = machine.allocate(ARENA_SIZE);
    const l1 = machine.allocate(Math.ceil(size / 2 ** CLUSTER_L1_SHIFT) * 4);
    machine.setWord(this.address + DISK_L1, l1);
    machine.setWord(this.address + DISK_ARENA, this.arena);
    machine.setWord(this.address + DISK_SIZE_LO, size % TWO_32);
    machine.setWord(this.address + DISK_SIZE_HI, Math.floor(size / TWO_32));
    machine.setWord(this.arena + ARENA_LIMIT, limit);
    const first = fresh === 0 ? 0 : machine.allocate(fresh * CLUSTER_BYTES, CLUSTER_BYTES);
    const number = first / CLUSTER_BYTES;
    machine.setWord(this.arena + ARENA_FRESH, number | ((number + fresh) << 16));
  }

  get clusters(): number {
    return this.machine.word(this.address + DISK_CLUSTERS);
  }

  get claimed(): number {
    return this.machine.word(this.arena + ARENA_CLAIMED);
  }

  /** Clusters that were never claimed, and those given back, top of the stack first. */
  get left(): { fresh: number; free: number[] } {
    const { machine } = this;
    const range = machine.word(this.arena + ARENA_FRESH);
    const free: number[] = [];
    let top = machine.word(this.arena + ARENA_FREE) & 0xffff;
    for (; top !== 0; top = machine.word(top * CLUSTER_BYTES) & 0xffff) free.push(top);
    return { fresh: (range >>> 16) - (range & 0xffff), free };
  }

  /** Addresses of the clusters in the first level-2 table, and of that table. */
  get used(): number[] {
    const { machine } = this;
    const table = machine.word(machine.word(this.address + DISK_L1));
    if (table === 0) return [];
    const slots = machine.u32.subarray(table >>> 2, (table >>> 2) + CLUSTER_L2_ENTRIES);
    return [table, ...slots.filter((cluster) => cluster !== 0)];
  }

  read(offset: number, address: number, length: number, ram = 0): number {
    const { engine } = this.machine;
    return engine.clusterRead(this.address, ...words(offset), address, length, ram);
  }

  write(offset: number, address: number, length: number, ram = 0): number {
    const { engine } = this.machine;
    return engine.clusterWrite(this.address, ...words(offset), address, length, ram);
  }

  zero(offset: number, length: number, free = 0): void {
    this.machine.engine.clusterZero(this.address, ...words(offset), ...words(length), free);
  }

  allocated(offset: number): number {
    return this.machine.engine.clusterAllocated(this.address, ...words(offset));
  }
}

function words(value: number): [number, number] {
  return [value % TWO_32, Math.floor(value / TWO_32)];
}
