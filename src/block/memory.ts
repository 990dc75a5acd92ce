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
  CLUSTER_L2_ENTRIES,
  DISK_ARENA,
  DISK_CLUSTERS,
  DISK_L1,
  DISK_SEVERAL,
  DISK_SIZE,
  DISK_SIZE_HI,
  DISK_SIZE_LO,
} from '../layout.ts';
import { EINVAL, ENOMEM, ENOSPC, EPERM } from '../spec.ts';
import {
  type BlockDriver,
  type BlockRequest,
  type DriverSpec,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_MAY_UNMAP,
} from './driver.ts';
import { OptionError } from './error.ts';
import { checkNames, type DriverOptions, integerOption, sizeOption } from './option.ts';

export interface MemoryOptions {
  /** Bytes, a multiple of 512. Not with `attach`. */
  size?: number | string;
  /** Bytes of core memory that clusters and their tables may take; default: what there is. */
  limit?: number | string;
  /** Core address of a memory disk that is open already (`clusterDisk`): the same once more. */
  attach?: number;
}

/** The arena grows by as much as it holds, within these bounds, in clusters. */
const GROW_MIN = 16;
const GROW_MAX = 256;
/** 2^32, to split an offset into words. */
const WORD = 0x1_0000_0000;

export class MemoryDriver implements BlockDriver {
  readonly driver = 'memory';
  readonly settles = 'inline';
  readonly threads = 'any';
  readonly readOnly = false;
  readonly alignment = 1;
  readonly fua = true;
  /** Core address of the disk's words (DISK_*). */
  readonly clusterDisk: number;
  readonly #core: Core;
  readonly #arena: number;
  /** Entries of the level-1 table, which never shrinks; 0 for a disk that another driver owns. */
  #l1Count: number;

  /**
   * A new disk; or, with `attach`, the one whose words lie there, from whatever thread: it stays
   * its creator's. Throws what `core.allocate` throws if there is no memory for the tables.
   */
  constructor(core: Core, size: number, limit = 0, attach = 0) {
    this.#core = core;
    this.clusterDisk = attach || core.allocate(DISK_SIZE);
    this.#l1Count = attach ? 0 : l1Entries(size);
    if (!attach) {
      this.#set(this.clusterDisk + DISK_L1, core.allocate(this.#l1Count * 4));
      this.#set(this.clusterDisk + DISK_ARENA, core.allocate(ARENA_SIZE));
      this.#publishSize(size);
    }
    this.#arena = this.#word(DISK_ARENA);
    if (limit) this.#set(this.#arena + ARENA_LIMIT, Math.floor(limit / CLUSTER_BYTES));
  }

  get size(): number {
    return this.#word(DISK_SIZE_HI) * WORD + this.#word(DISK_SIZE_LO);
  }

  get share(): DriverSpec {
    return { driver: this.driver, options: { attach: this.clusterDisk } };
  }

  /** Only one thread that is alone frees clusters: another might be copying from one. */
  several(several: boolean): void {
    Atomics.store(this.#core.u32, (this.clusterDisk + DISK_SEVERAL) >>> 2, several ? 1 : 0);
  }

  /** Clusters of 64 KiB in use, tables included. */
  get clusters(): number {
    return this.#word(DISK_CLUSTERS);
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
        this.#zero(offset, length, (request.flags & REQ_MAY_UNMAP) !== 0 && this.#alone);
        return 0;
    }
  }

  /** A cluster that is cut off returns to the arena, and reads as zeroes if the disk grows. */
  truncate(size: number): number {
    if (this.#l1Count === 0) return -EPERM;
    if (!Number.isSafeInteger(size) || size < 0 || size % 512 !== 0) return -EINVAL;
    const old = this.size;
    if (size < old) this.#zero(size, old - size, true);
    else if (!this.#extendTable(l1Entries(size))) return -ENOMEM;
    this.#publishSize(size);
    return 0;
  }

  close(): void {
    const core = this.#core;
    if (this.#l1Count === 0) return;
    this.#l1Count = 0;
    if (this.size > 0) this.#zero(0, this.size, true);
    core.free(this.#word(DISK_L1));
    core.free(this.clusterDisk);
    core.reclaimClusters(this.#arena);
    core.free(this.#arena);
  }

  /** No other thread has a lane to the disk. */
  get #alone(): boolean {
    return Atomics.load(this.#core.u32, (this.clusterDisk + DISK_SEVERAL) >>> 2) === 0;
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
        : this.#copy(request.op, request.offset + done, bytes, start, length);
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

  /** As `#move`, for buffers that are not in core memory, where the engine cannot reach them. */
  #copy(op: number, offset: number, bytes: Uint8Array, start: number, length: number): number {
    let done = 0;
    while (done < length) {
      const within = (offset + done) % CLUSTER_BYTES;
      const part = Math.min(CLUSTER_BYTES - within, length - done);
      const view = bytes.subarray(start + done, start + done + part);
      let cluster = this.#clusterAt(offset + done);
      if (op === OP_WRITE) {
        if (!cluster) cluster = this.#claimAt(offset + done);
        if (!cluster) break;
        this.#bytesUpTo(cluster + within + part).set(view, cluster + within);
      } else if (cluster) {
        const from = cluster + within;
        view.set(this.#bytesUpTo(from + part).subarray(from, from + part));
      } else view.fill(0);
      done += part;
    }
    return done;
  }

  /** Core memory to at least `end`: another thread has grown it that far, if this one has not. */
  #bytesUpTo(end: number): Uint8Array {
    for (;;) {
      const { u8 } = this.#core;
      if (u8.length >= end) return u8;
    }
  }

  /** Address of the cluster that holds a byte of the disk, or 0 for a hole. */
  #clusterAt(offset: number): number {
    const l1 = this.#word(DISK_L1) + Math.floor(offset / 2 ** CLUSTER_L1_SHIFT) * 4;
    const table = Atomics.load(this.#core.u32, l1 >>> 2);
    if (table === 0) return 0;
    this.#bytesUpTo(table + CLUSTER_BYTES);
    const entry = Math.floor(offset / CLUSTER_BYTES) % CLUSTER_L2_ENTRIES;
    return Atomics.load(this.#core.u32, (table >>> 2) + entry);
  }

  /** As `#clusterAt`, after the engine has filled the hole; 0 if there is no cluster left. */
  #claimAt(offset: number): number {
    // One byte of anything: the caller writes over it at once.
    return this.#move(OP_WRITE, offset, this.clusterDisk, 1, 0) === 1 ? this.#clusterAt(offset) : 0;
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
    if (!this.#alone) return;
    const first = roundUp(offset);
    const end = offset + length;
    const last = end === this.size ? end : end - (end % CLUSTER_BYTES);
    if (first < last) this.#zero(first, last - first, true);
  }

  /** With `free`, clusters and tables that lie in the range wholly return to the arena. */
  #zero(offset: number, length: number, free: boolean): void {
    const { engine } = this.#core;
    const [lo, hi] = [offset >>> 0, high(offset)];
    engine.clusterZero(this.clusterDisk, lo, hi, length >>> 0, high(length), free ? 1 : 0);
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
    const old = this.#word(DISK_L1);
    core.u32.copyWithin(table >>> 2, old >>> 2, (old >>> 2) + this.#l1Count);
    core.free(old);
    this.#set(this.clusterDisk + DISK_L1, table);
    this.#l1Count = count;
    return true;
  }

  #publishSize(size: number): void {
    this.#set(this.clusterDisk + DISK_SIZE_LO, size >>> 0);
    this.#set(this.clusterDisk + DISK_SIZE_HI, high(size));
  }

  /** One of the disk's words. */
  #word(field: number): number {
    return this.#core.u32[(this.clusterDisk + field) >>> 2] as number;
  }

  #set(address: number, value: number): void {
    this.#core.u32[address >>> 2] = value;
  }
}

export function openMemory(core: Core, options: DriverOptions): MemoryDriver {
  checkNames(options, 'memory', ['size', 'limit', 'attach']);
  const attach = integerOption(options, 'attach', 0, 8, 0xffff_fffc);
  if (attach) return new MemoryDriver(core, 0, 0, attach);
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
