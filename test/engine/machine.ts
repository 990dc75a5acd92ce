/**
 * An engine with memory to work in, laid out the same way for each contestant, so that two of them
 * can be compared byte by byte: guest RAM at RAM_AT, state behind it. A contestant with two buffers
 * keeps the same addresses in both and leaves half of each unused.
 */

import { readFileSync } from 'node:fs';
import type { Engine, LinearMemory } from '#src/engine/engine';
import { createJsEngine } from '#src/engine/js';
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
  REGION_GUEST_HI,
  REGION_GUEST_LO,
  REGION_OFFSET,
  REGION_SIZE,
  REGION_SIZE_HI,
  REGION_SIZE_LO,
  REGIONS_COUNT,
  REGIONS_FIRST,
  SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_SIZE,
} from '#src/layout';

const PAGE = 65536;
const TWO_32 = 2 ** 32;
/** Address of the first byte of guest RAM. What is below belongs to nobody and stays zero. */
export const RAM_AT = PAGE;
/** Most regions that the table of a machine holds. */
const REGIONS_MAX = 8;
const TABLE_BYTES = REGIONS_FIRST + REGIONS_MAX * REGION_SIZE;

/** A place in guest RAM. `guest` may be given as two words where a number cannot hold it. */
export interface Region {
  guest: number | readonly [low: number, high: number];
  size: number;
  offset: number;
}

export interface Parts {
  engine: Engine;
  state: LinearMemory;
  ram: LinearMemory;
}

/** One engine on one kind of memory. */
export interface Contestant {
  readonly name: string;
  readonly kind: 'wasm' | 'js';
  readonly shared: boolean;
  /** RAM is neither the first nor the last region: where no fast way looks. */
  readonly between?: boolean;
  /** Memories of `pages` pages of 64 KiB, and the engine over them. */
  make(pages: number): Parts;
}

const modules = new Map<string, WebAssembly.Module>();

/** A module of build/, compiled once. */
export function coreModule(shared: boolean): WebAssembly.Module {
  const name = shared ? 'core.shared.wasm' : 'core.wasm';
  const known = modules.get(name);
  if (known) return known;
  const module = new WebAssembly.Module(readFileSync(`build/${name}`));
  modules.set(name, module);
  return module;
}

function wasmMemory(pages: number, shared: boolean): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: pages, maximum: 65536, shared });
}

function wasmParts(pages: number, shared: boolean): Parts {
  const memory = wasmMemory(pages, shared);
  const instance = new WebAssembly.Instance(coreModule(shared), { env: { memory } });
  const engine = { kind: 'wasm', ...instance.exports } as unknown as Engine;
  return { engine, state: memory, ram: memory };
}

/** A buffer that can be replaced by a longer one, as an emulator may do. */
export class PlainMemory implements LinearMemory {
  buffer: ArrayBuffer;

  constructor(pages: number) {
    this.buffer = new ArrayBuffer(pages * PAGE);
  }

  grow(pages: number): number {
    const old = this.buffer.byteLength;
    const longer = new ArrayBuffer(old + pages * PAGE);
    new Uint8Array(longer).set(new Uint8Array(this.buffer));
    this.buffer = longer;
    return old / PAGE;
  }
}

function jsParts(state: LinearMemory, ram: LinearMemory): Parts {
  return { engine: createJsEngine(state, ram), state, ram };
}

export const wasmUnshared: Contestant = {
  name: 'wasm, unshared memory',
  kind: 'wasm',
  shared: false,
  make: (pages) => wasmParts(pages, false),
};
export const wasmShared: Contestant = {
  name: 'wasm, shared memory',
  kind: 'wasm',
  shared: true,
  make: (pages) => wasmParts(pages, true),
};
export const jsOneMemory: Contestant = {
  name: 'js, one WebAssembly memory',
  kind: 'js',
  shared: false,
  make: (pages) => {
    const memory = wasmMemory(pages, false);
    return jsParts(memory, memory);
  },
};
export const jsTwoBuffers: Contestant = {
  name: 'js, two plain buffers',
  kind: 'js',
  shared: false,
  make: (pages) => jsParts(new PlainMemory(pages), new PlainMemory(pages)),
};
export const jsShared: Contestant = {
  name: 'js, shared memory',
  kind: 'js',
  shared: true,
  make: (pages) => {
    const memory = wasmMemory(pages, true);
    return jsParts(memory, memory);
  },
};
export const contestants = [wasmUnshared, wasmShared, jsOneMemory, jsTwoBuffers];

export interface MachineOptions {
  /** Bytes of guest RAM, a multiple of 64 KiB. Default 1 MiB. */
  ramBytes?: number;
  /** Bytes for structures, a multiple of 64 KiB. Default 512 KiB. */
  stateBytes?: number;
  /** Unused bytes between guest RAM and state, and behind state. A multiple of 64 KiB; default 0. */
  guardBytes?: number;
}

/** One region maps all of guest RAM, and a guest address is the RAM address of its byte. */
export class Machine {
  readonly engine: Engine;
  readonly state: LinearMemory;
  readonly ram: LinearMemory;
  readonly ramBytes: number;
  readonly stateAt: number;
  readonly stateEnd: number;
  readonly regions: number;
  #next: number;

  constructor(contestant: Contestant, options: MachineOptions = {}) {
    this.ramBytes = options.ramBytes ?? 16 * PAGE;
    const stateBytes = options.stateBytes ?? 8 * PAGE;
    const guard = options.guardBytes ?? 0;
    this.stateAt = RAM_AT + this.ramBytes + guard;
    this.stateEnd = this.stateAt + stateBytes;
    const parts = contestant.make((this.stateEnd + guard) / PAGE);
    this.engine = parts.engine;
    this.state = parts.state;
    this.ram = parts.ram;
    this.#next = this.stateAt;
    this.regions = this.allocate(TABLE_BYTES);
    const ram = { guest: RAM_AT, size: this.ramBytes, offset: RAM_AT };
    const below = { guest: 4096, size: 4096, offset: RAM_AT };
    const above = { guest: RAM_AT + this.ramBytes + PAGE, size: 4096, offset: RAM_AT };
    this.setRegions(contestant.between ? [below, ram, above] : [ram]);
  }

  // Views are made anew each time: a test may grow the memory at any point.
  get u8(): Uint8Array {
    return new Uint8Array(this.state.buffer);
  }
  get u32(): Uint32Array {
    return new Uint32Array(this.state.buffer);
  }
  get ram8(): Uint8Array {
    return new Uint8Array(this.ram.buffer);
  }
  get ram16(): Uint16Array {
    return new Uint16Array(this.ram.buffer);
  }
  get ram32(): Uint32Array {
    return new Uint32Array(this.ram.buffer);
  }

  /** A copy of all guest RAM. Compare by `Buffer.compare`: a deep comparison takes seconds. */
  guestBytes(): Uint8Array {
    return this.ram8.slice(RAM_AT, RAM_AT + this.ramBytes);
  }

  /** The word at `address` in state, as u32. */
  word(address: number): number {
    return this.u32[address >>> 2]!;
  }

  setWord(address: number, value: number): void {
    this.u32[address >>> 2] = value;
  }

  /** A u64 counter as a number. */
  wide(address: number): number {
    return this.word(address + 4) * TWO_32 + this.word(address);
  }

  setWide(address: number, value: number): void {
    this.setWord(address, value % TWO_32);
    this.setWord(address + 4, Math.floor(value / TWO_32));
  }

  /** Zeroed bytes of state, for good. */
  allocate(bytes: number, align = 64): number {
    const address = Math.ceil(this.#next / align) * align;
    this.#next = address + bytes;
    if (this.#next > this.stateEnd) throw new Error('the machine is too small');
    return address;
  }

  /** Writes the table as the core does: what is behind the last region is zero. */
  setRegions(list: readonly Region[]): void {
    this.u8.fill(0, this.regions, this.regions + TABLE_BYTES);
    this.setWord(this.regions + REGIONS_COUNT, list.length);
    list.forEach((region, index) => {
      const at = this.regions + REGIONS_FIRST + index * REGION_SIZE;
      const { guest } = region;
      const [low, high] =
        typeof guest === 'number' ? [guest % TWO_32, Math.floor(guest / TWO_32)] : guest;
      this.setWord(at + REGION_GUEST_LO, low);
      this.setWord(at + REGION_GUEST_HI, high);
      this.setWord(at + REGION_SIZE_LO, region.size % TWO_32);
      this.setWord(at + REGION_SIZE_HI, Math.floor(region.size / TWO_32));
      this.setWord(at + REGION_OFFSET, region.offset);
    });
  }

  /** Memory of a queue of up to `capacity` descriptors, reset. Returns its address. */
  createQueue(capacity: number, blocks = capacity + CHAIN_BLOCKS_MAX): number {
    const queue = this.allocate(QUEUE_SIZE);
    this.setWord(queue + QUEUE_REGIONS, this.regions);
    this.setWord(queue + QUEUE_RECORDS, this.allocate(capacity * RECORD_SIZE));
    this.setWord(queue + QUEUE_BATCH, this.allocate(capacity * 4));
    this.setWord(queue + QUEUE_DONE, this.allocate(capacity * 4));
    this.setWord(queue + QUEUE_PLAIN, this.allocate(PLAIN_SIZE));
    this.setWord(queue + QUEUE_CAPACITY, capacity);
    const scsi = this.allocate(capacity * (SCSI_REQUEST_SIZE + SCSI_RESPONSE_SIZE));
    this.setWord(queue + QUEUE_SCSI, scsi);
    this.setWord(queue + QUEUE_BLOCKS, this.allocate(blocks * BLOCK_SIZE));
    this.setWord(queue + QUEUE_BLOCK_COUNT, blocks);
    this.engine.queueReset(queue);
    return queue;
  }
}
