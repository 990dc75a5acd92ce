/**
 * Which clusters of an overlay are in its top, for all threads that have it open: words in core
 * memory. The map in the top is written by flushes, from these words.
 *
 *   | flusher | cluster size | clusters | header dirty | states | counts | buffers | taken |
 *   | size | base limit | map clusters | data offset: lo/hi | pillow | others |
 *   | slot of the next header |
 *
 *   states: 2 bits per cluster      counts: { changes, durable } per block of the map
 *
 * A cluster goes from absent to busy by compare-and-swap, which is a claim: whoever made it, and
 * nobody else, writes the cluster's place in the top, and makes it present, or absent again.
 * Present ones stay so, but for `commit`. Sizes change in drained sections. Main allocates.
 */

import type { Core } from '../engine/core.ts';
import { CLUSTERS_PER_BLOCK, MAP_BLOCK, refusal, SLOT_BYTES } from './overlay-header.ts';

export const ABSENT = 0;
/** Somebody fills it: read from the base, do not write. */
export const BUSY = 1;
export const PRESENT = 2;
export type ClusterState = typeof ABSENT | typeof BUSY | typeof PRESENT;

const FLUSHER = 0; // number of the thread that writes the map, or 0. Any (atomic)
const CLUSTER_SIZE = 4;
const CLUSTERS = 8;
const HEADER_DIRTY = 12; // the header below is not in the top yet. Main; cleared by the flusher
const STATES = 16; // core address
const COUNTS = 20; // core address
const BUFFERS = 24; // core address of buffers for copies, or 0
const TAKEN = 28; // a bit for each buffer that is in use. Any (atomic)
const SIZE = 32;
const BASE_LIMIT = 40;
const MAP_CLUSTERS = 48;
const DATA_OFFSET = 56;
const PILLOW = 64; // always 0
const OTHERS = 68; // overlays of other threads that are open. Any (atomic)
const HEADER = 72;
const MAP_BYTES = HEADER + SLOT_BYTES;
/** Buffers in core memory, for disks that other threads serve. */
const BUFFER_COUNT = 16;
const WORD = 0x1_0000_0000;

/** What the words begin with. */
export interface MapShape {
  readonly clusterSize: number;
  readonly size: number;
  readonly baseLimit: number;
  readonly mapClusters: number;
  readonly dataOffset: number;
}

export class OverlayMap {
  /** Core address of the words. */
  readonly address: number;
  readonly clusterSize: number;
  readonly #core: Core;

  /** The words of an overlay that is open already lie at `address`. */
  constructor(core: Core, address: number) {
    this.#core = core;
    this.address = address;
    this.clusterSize = this.#get(CLUSTER_SIZE);
  }

  /** New words; `buffers`: with room for copies. Main. Throws as `resize`. */
  static create(core: Core, shape: MapShape, buffers: boolean): OverlayMap {
    const address = core.allocate(MAP_BYTES);
    core.u32[(address + CLUSTER_SIZE) >>> 2] = shape.clusterSize;
    const map = new OverlayMap(core, address);
    try {
      map.#setWide(MAP_CLUSTERS, shape.mapClusters);
      map.#setWide(DATA_OFFSET, shape.dataOffset);
      map.#setWide(BASE_LIMIT, shape.baseLimit);
      if (buffers) map.#set(BUFFERS, core.allocate(BUFFER_COUNT * shape.clusterSize, 4096));
      map.resize(shape.size);
      return map;
    } catch (thrown) {
      map.free();
      throw thrown;
    }
  }

  /** Frees the words. Main, after all threads have closed the overlay. */
  free(): void {
    for (const field of [STATES, COUNTS, BUFFERS]) {
      const address = this.#get(field);
      if (address) this.#core.free(address);
    }
    this.#core.free(this.address);
  }

  /** Another thread opens the overlay, or closes it. One that has died counts as being there. */
  countOther(by: 1 | -1): void {
    Atomics.add(this.#core.i32, (this.address + OTHERS) >>> 2, by);
  }

  get others(): number {
    return this.#get(OTHERS);
  }

  /** Core address of a word that never changes, to sleep on. */
  get pillow(): number {
    return this.address + PILLOW;
  }

  /** Bytes of the overlay. */
  get size(): number {
    return this.#getWide(SIZE);
  }

  /** What lies behind it and is not in the top reads as zeroes. */
  get baseLimit(): number {
    return this.#getWide(BASE_LIMIT);
  }

  set baseLimit(bytes: number) {
    this.#setWide(BASE_LIMIT, bytes);
  }

  get dataOffset(): number {
    return this.#getWide(DATA_OFFSET);
  }

  get mapClusters(): number {
    return this.#getWide(MAP_CLUSTERS);
  }

  get clusters(): number {
    return this.#get(CLUSTERS);
  }

  /**
   * Has the words for a disk of `size` bytes. Clusters that are cut off become absent. Drained.
   * Throws what `core.allocate` throws, and EFBIG for more clusters than a word can count.
   */
  resize(size: number): void {
    const clusters = Math.ceil(size / this.clusterSize);
    if (clusters >= WORD) throw refusal('EFBIG', `the overlay has ${clusters} clusters`);
    for (let cut = clusters; cut < this.clusters; cut++) {
      if (!this.#change(cut, PRESENT, ABSENT)) continue;
      Atomics.add(this.#core.u32, this.#countAt(blockOf(cut)), 1);
    }
    this.#extend(STATES, Math.ceil(clusters / 16) * 4);
    this.#extend(COUNTS, blocksOf(clusters) * 8);
    this.#set(CLUSTERS, clusters);
    this.#setWide(SIZE, size);
  }

  /** Room for `bytes` bytes of what the word `field` points to. */
  #extend(field: number, bytes: number): void {
    const old = this.#get(field);
    const kept = field === STATES ? Math.ceil(this.clusters / 16) : blocksOf(this.clusters) * 2;
    if (old && bytes <= kept * 4) return;
    const address = this.#core.allocate(bytes);
    if (old) {
      this.#core.u32.copyWithin(address >>> 2, old >>> 2, (old >>> 2) + kept);
      this.#core.free(old);
    }
    this.#set(field, address);
  }

  // ---- Clusters ---------------------------------------------------------------------------------

  state(cluster: number): ClusterState {
    const word = Atomics.load(this.#core.u32, this.#stateAt(cluster));
    return ((word >>> shiftOf(cluster)) & 3) as ClusterState;
  }

  /** Makes an absent cluster busy. False if it is not absent. */
  claim(cluster: number): boolean {
    return this.#change(cluster, ABSENT, BUSY);
  }

  /** A claim has ended: the cluster is in the top, or still is not. */
  release(cluster: number, present: boolean): void {
    this.#change(cluster, BUSY, present ? PRESENT : ABSENT);
    // Last: who finds all changes durable may leave the map as it is.
    if (present) Atomics.add(this.#core.u32, this.#countAt(blockOf(cluster)), 1);
  }

  /** Nothing is in the top any more, neither here nor in its map. Drained. */
  clear(): void {
    const { u32 } = this.#core;
    u32.fill(0, this.#stateAt(0), this.#stateAt(0) + Math.ceil(this.clusters / 16));
    u32.fill(0, this.#countAt(0), this.#countAt(blocksOf(this.clusters)));
  }

  #change(cluster: number, from: ClusterState, to: ClusterState): boolean {
    const { u32 } = this.#core;
    const at = this.#stateAt(cluster);
    const shift = shiftOf(cluster);
    for (;;) {
      const word = Atomics.load(u32, at);
      if (((word >>> shift) & 3) !== from) return false;
      const next = ((word & ~(3 << shift)) | (to << shift)) >>> 0;
      if (Atomics.compareExchange(u32, at, word, next) === word) return true;
    }
  }

  // ---- The map in the top -----------------------------------------------------------------------

  /** Does the top's map lack a cluster, or the top a header? */
  get dirty(): boolean {
    return this.headerDirty || this.dirtyBlocks().length > 0;
  }

  dirtyBlocks(): number[] {
    const { u32 } = this.#core;
    const dirty: number[] = [];
    const end = blocksOf(this.clusters);
    for (let block = 0, at = this.#countAt(0); block < end; block++, at += 2) {
      if (Atomics.load(u32, at) !== Atomics.load(u32, at + 1)) dirty.push(block);
    }
    return dirty;
  }

  /** A block of the map as it is now, and how many changes at least it shows. */
  snapshot(block: number): { bytes: Uint8Array; changes: number } {
    const bytes = new Uint8Array(MAP_BLOCK);
    const changes = Atomics.load(this.#core.u32, this.#countAt(block));
    const first = block * CLUSTERS_PER_BLOCK;
    const count = Math.min(CLUSTERS_PER_BLOCK, this.clusters - first);
    for (let i = 0; i < count; i++) {
      if (this.state(first + i) !== PRESENT) continue;
      bytes[i >>> 3]! |= 1 << (i & 7);
    }
    return { bytes, changes };
  }

  /** Takes a block of the map as it stands in the top. Before anybody uses the overlay. */
  load(block: number, bytes: Uint8Array): void {
    const first = block * CLUSTERS_PER_BLOCK;
    for (let i = 0; i < CLUSTERS_PER_BLOCK && first + i < this.clusters; i++) {
      if (!((bytes[i >>> 3] as number) & (1 << (i & 7)))) continue;
      this.#change(first + i, ABSENT, PRESENT);
    }
  }

  /** The block is on stable storage with so many changes. The flusher. */
  durable(block: number, changes: number): void {
    Atomics.store(this.#core.u32, this.#countAt(block) + 1, changes);
  }

  /** The header that is to be written with the next flush, as a slot. Main, drained. */
  setHeader(slot: Uint8Array): void {
    this.#core.u8.set(slot, this.address + HEADER);
    this.#set(HEADER_DIRTY, 1);
  }

  get headerDirty(): boolean {
    return this.#get(HEADER_DIRTY) !== 0;
  }

  header(): Uint8Array {
    return this.#core.u8.slice(this.address + HEADER, this.address + HEADER + SLOT_BYTES);
  }

  headerDurable(): void {
    this.#set(HEADER_DIRTY, 0);
  }

  /** One thread at a time writes the map: a block written late would take clusters back. */
  beginFlush(): boolean {
    const { u32, thread } = this.#core;
    return Atomics.compareExchange(u32, (this.address + FLUSHER) >>> 2, 0, thread) === 0;
  }

  endFlush(): void {
    this.#set(FLUSHER, 0);
  }

  // ---- Buffers in core memory -------------------------------------------------------------------

  /** Address of a buffer of a cluster's size, or 0 if all are in use. */
  takeBuffer(): number {
    const { u32 } = this.#core;
    const at = (this.address + TAKEN) >>> 2;
    for (;;) {
      const taken = Atomics.load(u32, at);
      const free = ~taken & ((1 << BUFFER_COUNT) - 1);
      if (free === 0) return 0;
      const bit = free & -free;
      if (Atomics.compareExchange(u32, at, taken, (taken | bit) >>> 0) !== taken) continue;
      return this.#get(BUFFERS) + Math.log2(bit) * this.clusterSize;
    }
  }

  giveBuffer(address: number): void {
    const bit = 1 << ((address - this.#get(BUFFERS)) / this.clusterSize);
    Atomics.and(this.#core.u32, (this.address + TAKEN) >>> 2, ~bit >>> 0);
  }

  // ---- Words ------------------------------------------------------------------------------------

  #stateAt(cluster: number): number {
    return (this.#get(STATES) >>> 2) + (cluster >>> 4);
  }

  #countAt(block: number): number {
    return (this.#get(COUNTS) >>> 2) + block * 2;
  }

  #get(field: number): number {
    return Atomics.load(this.#core.u32, (this.address + field) >>> 2);
  }

  #set(field: number, value: number): void {
    Atomics.store(this.#core.u32, (this.address + field) >>> 2, value);
  }

  #getWide(field: number): number {
    return this.#get(field + 4) * WORD + this.#get(field);
  }

  #setWide(field: number, value: number): void {
    this.#set(field, value >>> 0);
    this.#set(field + 4, Math.floor(value / WORD));
  }
}

function shiftOf(cluster: number): number {
  return (cluster & 15) * 2;
}

function blockOf(cluster: number): number {
  return Math.floor(cluster / CLUSTERS_PER_BLOCK);
}

/** Blocks of the map that so many clusters have bits in. */
export function blocksOf(clusters: number): number {
  return Math.ceil(clusters / CLUSTERS_PER_BLOCK);
}
