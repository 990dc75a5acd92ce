/**
 * The memory disk: clusters in core memory, which the engine serves in place (layout: cluster
 * disk). A cluster that was never written costs nothing and reads as zeroes. This side does what
 * the engine hands back: it grows the arena, answers ENOSPC, discards, truncates.
 */

import type { Core } from '../engine/core.ts';
import {
  ARENA_CLAIMED,
  ARENA_LIMIT,
  ARENA_SIZE,
  CLUSTER_BYTES,
  CLUSTER_L1_SHIFT,
  DISK_ARENA,
  DISK_CLUSTERS,
  DISK_L1,
  DISK_SIZE,
  DISK_SIZE_HI,
  DISK_SIZE_LO,
} from '../layout.ts';
import { EINVAL, ENOMEM, ENOSPC } from '../spec.ts';
import {
  type BlockDriver,
  type BlockRequest,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_MAY_UNMAP,
} from './driver.ts';
import { OptionError } from './error.ts';
import { checkNames, type DriverOptions, sizeOption } from './option.ts';

export interface MemoryOptions {
  /** Bytes, a multiple of 512. */
  size: number | string;
  /** Bytes of core memory that clusters and their tables may take; default: what there is. */
  limit?: number | string;
}

/** The arena grows by as much as it holds, within these bounds, in clusters. */
const GROW_MIN = 16;
const GROW_MAX = 256;
/** 2^32, to split an offset into words. */
const WORD = 0x1_0000_0000;

export class MemoryDriver implements BlockDriver {
  readonly driver = 'memory';
  readonly settles = 'inline';
  /** Only main may grow the arena. */
  readonly threads = 'one';
  readonly readOnly = false;
  readonly alignment = 1;
  readonly fua = true;
  /** Core address of the disk's words (DISK_*). */
  readonly clusterDisk: number;
  readonly #core: Core;
  readonly #arena: number;
  #size: number;
  #l1: number;
  /** Entries of the level-1 table; never shrinks. */
  #l1Count: number;
  /** A cluster's worth of core memory for buffers that lie elsewhere; 0 until one comes. */
  #staging = 0;

  /** Throws what `core.allocate` throws if there is no memory for the tables. */
  constructor(core: Core, size: number, limit = 0) {
    this.#core = core;
    this.#size = size;
    this.#l1Count = l1Entries(size);
    this.#l1 = core.allocate(this.#l1Count * 4);
    this.clusterDisk = core.allocate(DISK_SIZE);
    this.#arena = core.allocate(ARENA_SIZE);
    this.#word(this.#arena + ARENA_LIMIT, Math.floor(limit / CLUSTER_BYTES));
    this.#word(this.clusterDisk + DISK_ARENA, this.#arena);
    this.#publish();
  }

  get size(): number {
    return this.#size;
  }

  /** Clusters of 64 KiB in use, tables included. */
  get clusters(): number {
    return this.#core.u32[(this.clusterDisk + DISK_CLUSTERS) >>> 2] as number;
  }

  submit(request: BlockRequest): number {
    const { op, offset, length } = request;
    switch (op) {
      case OP_READ:
      case OP_WRITE:
        return this.#transfer(request);
      case OP_FLUSH:
        return 0;
      case OP_DISCARD:
        this.#discard(offset, length);
        return 0;
      case OP_WRITE_ZEROES:
        this.#zero(offset, length, request.flags & REQ_MAY_UNMAP ? 1 : 0);
        return 0;
    }
  }

  /** A cluster that is cut off returns to the arena, and reads as zeroes if the disk grows. */
  truncate(size: number): number {
    if (!Number.isSafeInteger(size) || size < 0 || size % 512 !== 0) return -EINVAL;
    if (size < this.#size) {
      this.#zero(size, this.#size - size, 1);
    } else if (!this.#extendTable(l1Entries(size))) {
      return -ENOMEM;
    }
    this.#size = size;
    this.#publish();
    return 0;
  }

  close(): void {
    const core = this.#core;
    if (this.#l1 === 0) return;
    if (this.#size > 0) this.#zero(0, this.#size, 1);
    core.free(this.#l1);
    core.free(this.clusterDisk);
    if (this.#staging) core.free(this.#staging);
    core.reclaimClusters(this.#arena);
    core.free(this.#arena);
    this.#l1 = 0;
  }

  /** Bytes moved, or -ENOSPC if not even one could be written. */
  #transfer(request: BlockRequest): number {
    const { bytes, count, starts, lengths } = request.vector;
    const { buffer, byteOffset } = bytes; // growing may detach `bytes`: take its place before
    const ram = buffer === this.#core.ram.buffer;
    const core = ram || buffer === this.#core.memory.buffer;
    let done = 0;
    for (let i = 0; i < count; i++) {
      const length = lengths[i] as number;
      const start = starts[i] as number;
      const moved = core
        ? this.#move(request.op, request.offset + done, byteOffset + start, length, ram ? 1 : 0)
        : this.#stage(request.op, request.offset + done, bytes, start, length);
      done += moved;
      if (moved < length) return done > 0 ? done : -ENOSPC;
    }
    return done;
  }

  /** Moves bytes between the disk and the core's memory, growing the arena as need be. */
  #move(op: number, offset: number, address: number, length: number, ram: number): number {
    const engine = this.#core.engine;
    const disk = this.clusterDisk;
    if (op === OP_READ) {
      return engine.clusterRead(disk, offset >>> 0, high(offset), address, length, ram);
    }
    let done = 0;
    for (;;) {
      const at = offset + done;
      const left = length - done;
      done += engine.clusterWrite(disk, at >>> 0, high(at), address + done, left, ram);
      if (done === length || !this.#growArena()) return done;
    }
  }

  /** As `#move`, for buffers that are not in core memory: by way of one that is. */
  #stage(op: number, offset: number, bytes: Uint8Array, start: number, length: number): number {
    const core = this.#core;
    if (!this.#staging) this.#staging = core.allocate(CLUSTER_BYTES);
    let done = 0;
    while (done < length) {
      const part = Math.min(CLUSTER_BYTES, length - done);
      const at = start + done;
      if (op === OP_WRITE) core.u8.set(bytes.subarray(at, at + part), this.#staging);
      const moved = this.#move(op, offset + done, this.#staging, part, 0);
      if (op === OP_READ) {
        bytes.set(core.u8.subarray(this.#staging, this.#staging + moved), at);
      }
      done += moved;
      if (moved < part) break;
    }
    return done;
  }

  /** False if the limit is reached or the memory cannot grow. */
  #growArena(): boolean {
    const claimed = this.#core.u32[(this.#arena + ARENA_CLAIMED) >>> 2] as number;
    const limit = this.#core.u32[(this.#arena + ARENA_LIMIT) >>> 2] as number;
    const left = limit === 0 ? GROW_MAX : limit - claimed;
    let clusters = Math.min(Math.max(GROW_MIN, claimed), GROW_MAX, left);
    // A memory that is nearly at its maximum may have room for fewer.
    for (; clusters >= 1; clusters = Math.floor(clusters / 2)) {
      if (this.#core.growClusters(this.#arena, clusters)) return true;
    }
    return false;
  }

  /** Frees the whole clusters of a range (the last may end with the disk), and nothing else. */
  #discard(offset: number, length: number): void {
    const first = roundUp(offset);
    const end = offset + length;
    const last = end === this.#size ? end : end - (end % CLUSTER_BYTES);
    if (first < last) this.#zero(first, last - first, 1);
  }

  /** With `free`, clusters and tables that lie in the range wholly return to the arena. */
  #zero(offset: number, length: number, free: number): void {
    const { engine } = this.#core;
    const disk = this.clusterDisk;
    engine.clusterZero(disk, offset >>> 0, high(offset), length >>> 0, high(length), free);
  }

  #extendTable(count: number): boolean {
    if (count <= this.#l1Count) return true;
    const core = this.#core;
    let table: number;
    try {
      table = core.allocate(count * 4);
    } catch {
      return false;
    }
    const old = this.#l1 >>> 2;
    core.u32.copyWithin(table >>> 2, old, old + this.#l1Count);
    core.free(this.#l1);
    this.#l1 = table;
    this.#l1Count = count;
    return true;
  }

  #publish(): void {
    this.#word(this.clusterDisk + DISK_L1, this.#l1);
    this.#word(this.clusterDisk + DISK_SIZE_LO, this.#size >>> 0);
    this.#word(this.clusterDisk + DISK_SIZE_HI, high(this.#size));
  }

  #word(address: number, value: number): void {
    this.#core.u32[address >>> 2] = value;
  }
}

export function openMemory(core: Core, options: DriverOptions): MemoryDriver {
  checkNames(options, 'memory', ['size', 'limit']);
  const size = sizeOption(options, 'size', undefined, { unit: 512, min: 512 });
  if (size === undefined) {
    throw new OptionError('size', undefined, 'bytes, a multiple of 512, at least 512');
  }
  return new MemoryDriver(core, size, sizeOption(options, 'limit', 0, { min: CLUSTER_BYTES }));
}

function l1Entries(size: number): number {
  return Math.max(1, Math.ceil(size / 2 ** CLUSTER_L1_SHIFT));
}

function roundUp(offset: number): number {
  return Math.ceil(offset / CLUSTER_BYTES) * CLUSTER_BYTES;
}

/** The upper word of an offset. */
function high(offset: number): number {
  return Math.floor(offset / WORD);
}
