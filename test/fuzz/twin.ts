/** One of two engines that are compared: a guarded memory, a queue, a disk and a lane. */

import type { Engine } from '#src/engine/engine';
import {
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_LO,
  BACKEND_DISK,
  BACKEND_SIZE,
  BLOCK_FIRST,
  BLOCK_SIZE,
  CLUSTER_BYTES,
  DISK_L1,
  LANE_SIZE,
  QUEUE_CAPACITY,
  QUEUE_FREE,
  QUEUE_RECORDS,
  RECORD_FREE,
  RECORD_SIZE,
  RECORD_STATE,
} from '#src/layout';
import { Disk } from '../engine/disk.ts';
import { type Contestant, Machine, RAM_AT, type Region } from '../engine/machine.ts';
import { CAPACITY, RAM_BYTES, regionMaps } from './generator.ts';

const PAGE = 65536;
const GUARD = 0xa5;
export const DISK_BYTES = 8 * CLUSTER_BYTES;
const FRESH = 6;
const SCRATCH_BYTES = 8192;

/** One of the two. */
export class Twin {
  readonly machine: Machine;
  readonly engine: Engine;
  readonly queue: number;
  readonly backend: number;
  readonly lane: number;
  /** Room for copies. */
  readonly scratch: number;
  readonly disk: Disk;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly ram8: Uint8Array;
  /** Structures: from the region table to the end of the blocks, and where the disk's follow. */
  readonly structures: [number, number];
  readonly records: number;
  /** Words of the region table for each map of the generator. */
  readonly #tables: Uint32Array[];

  constructor(contestant: Contestant) {
    this.machine = new Machine(contestant, {
      ramBytes: PAGE,
      stateBytes: (FRESH + 2) * PAGE,
      guardBytes: PAGE,
    });
    const { machine } = this;
    this.engine = machine.engine;
    this.u8 = machine.u8;
    this.u32 = machine.u32;
    this.f64 = new Float64Array(machine.u8.buffer);
    this.ram8 = machine.ram8;
    this.queue = machine.createQueue(CAPACITY);
    this.backend = machine.allocate(BACKEND_SIZE);
    this.lane = machine.allocate(LANE_SIZE);
    this.scratch = machine.allocate(SCRATCH_BYTES);
    this.disk = new Disk(machine, { size: DISK_BYTES, fresh: FRESH });
    this.structures = [machine.regions, machine.word(this.disk.address + DISK_L1) + 64];
    this.records = machine.word(this.queue + QUEUE_RECORDS);
    machine.setWord(this.backend + BACKEND_DISK, this.disk.address);
    machine.setWord(this.backend + BACKEND_BLOCK_SECTORS, 1);
    machine.setWide(this.backend + BACKEND_CAPACITY_LO, DISK_BYTES / 512);
    this.#tables = regionMaps(RAM_AT).map((map) => this.#tableOf(map));
    this.#fillGuards();
  }

  #tableOf(map: Region[]): Uint32Array {
    const { machine } = this;
    machine.setRegions(map);
    return this.u32.slice(machine.regions >>> 2, this.queue >>> 2);
  }

  mapRegions(map: number): void {
    this.u32.set(this.#tables[map]!, this.machine.regions >>> 2);
  }

  #guards(): [Uint8Array, number, number][] {
    const { machine, u8, ram8 } = this;
    const [ram, state] = [RAM_AT + RAM_BYTES, machine.stateAt];
    const list: [Uint8Array, number, number][] = [
      [ram8, 0, RAM_AT],
      [ram8, ram, state],
      [u8, machine.stateEnd, machine.stateEnd + PAGE],
    ];
    // What one buffer holds is nobody's in the other.
    if (u8.buffer !== ram8.buffer) list.push([ram8, state, ram8.length], [u8, 0, state]);
    return list;
  }

  #fillGuards(): void {
    for (const [bytes, start, end] of this.#guards()) bytes.fill(GUARD, start, end);
  }

  /** The first byte outside guest RAM and structures that was changed, or -1. */
  trespass(): number {
    for (const [bytes, start, end] of this.#guards()) {
      if (Buffer.compare(bytes.subarray(start, end), guardBytes.subarray(0, end - start)) !== 0) {
        return bytes.findIndex((byte, i) => i >= start && i < end && byte !== GUARD);
      }
    }
    return -1;
  }

  word(field: number): number {
    return this.u32[(this.queue + field) >>> 2]!;
  }

  inFlight(head: number): boolean {
    const record = (this.records + head * RECORD_SIZE) >>> 2;
    return this.u32[record + (RECORD_STATE >>> 2)] !== RECORD_FREE;
  }

  /**
   * Zeroes what the contract leaves open: records that are free, segments of free blocks. Needed
   * after a chain broke halfway.
   */
  scrub(): void {
    const { u32 } = this;
    for (let head = this.word(QUEUE_CAPACITY) - 1; head >= 0; head--) {
      if (this.inFlight(head)) continue;
      const record = (this.records + head * RECORD_SIZE) >>> 2;
      u32.fill(0, record, record + (RECORD_SIZE >>> 2));
    }
    for (let block = this.word(QUEUE_FREE); block !== 0; block = u32[block >>> 2]!) {
      u32.fill(0, (block + BLOCK_FIRST) >>> 2, (block + BLOCK_SIZE) >>> 2);
    }
  }
}

const guardBytes = Buffer.alloc((FRESH + 8) * PAGE, GUARD);
