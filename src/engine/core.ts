/**
 * The core: one memory, one engine over it, and who owns which of its bytes.
 *
 * The memory is the core's own or an emulator's. In either it grows at the end, by us or by the
 * emulator, and every growth may replace `memory.buffer`. So keep offsets, not views.
 */

import { CORE_HEADER_RANGES, CORE_HEADER_SIZE, CORE_HEADER_SPARE, RANGES_SIZE } from '../layout.ts';
import { Allocator, type Range } from './allocator.ts';
import { drainArena, feedArena, pop, push } from './cluster-supply.ts';
import { CoreError } from './core-error.ts';
import { checkEngine, checkHeader, takeThreadNumber, writeHeader } from './core-header.ts';
import type { Engine, LinearMemory } from './engine.ts';
import { createJsEngine } from './js.ts';
import { isShared, isWasmMemory, PAGE_BYTES, PAGES_MAX, pagesFor } from './linear-memory.ts';
import type { EngineChoice } from './pick.ts';
import { type CoreOptions, makePlan, type Plan } from './plan.ts';
import { noteRange, readRanges } from './ranges.ts';
import {
  checkRegions,
  REGION_TABLE_BYTES,
  type Region,
  readRegions,
  writeRegions,
} from './regions.ts';
import { createWasmEngine, createWasmEngineSync } from './wasm.ts';

export { CoreError, type CoreErrorCode } from './core-error.ts';
export type { EngineChoice } from './pick.ts';
export type { CoreOptions } from './plan.ts';
export type { Region } from './regions.ts';
export type { CoreModule } from './wasm.ts';

/** What another thread needs to work in the same core. Plain; cloneable if the memory is shared. */
export interface CoreHandle {
  readonly memory: LinearMemory;
  readonly ram: LinearMemory;
  readonly header: number;
  readonly regions: number;
  /** Bytes to which the memory may grow. */
  readonly maximum: number;
  readonly module: WebAssembly.Module | null;
  readonly engine: EngineChoice;
}

interface EngineAndModule {
  engine: Engine;
  module: WebAssembly.Module | null;
}

export class Core {
  /** Its methods are the module's raw exports: call them as `core.engine.queuePop(...)`. */
  readonly engine: Engine;
  /** Which engine runs and why. */
  readonly choice: EngineChoice;
  /** Where all structures lie. */
  readonly memory: LinearMemory;
  /** Where guest RAM lies: the same object, unless the guest's is a buffer of its own. */
  readonly ram: LinearMemory;
  readonly shared: boolean;
  /**
   * After a growth an old view of state either has length 0 or still shows the same bytes: one may
   * be kept until then. False only for plain buffers, which are copied.
   */
  readonly viewsDetach: boolean;
  /** As `viewsDetach`, of guest RAM. */
  readonly ramViewsDetach: boolean;
  /** Address of the core header. */
  readonly header: number;
  /** Address of the region table. */
  readonly regions: number;
  /**
   * Number of this instance, from 1 on. An instance works on one thread, and its number stands for
   * that thread: it says which contexts are at home here.
   */
  readonly thread: number;

  readonly #module: WebAssembly.Module | null;
  readonly #allocator: Allocator | null;
  readonly #maximum: number;
  /** Ranges of the memory that are the core's: arenas and clusters. */
  readonly #arenas: Range[] = [];
  #regionList: readonly Region[] = [];
  #buffer: ArrayBuffer | SharedArrayBuffer | null = null;
  #length = 0;
  #u8!: Uint8Array;
  #u16!: Uint16Array;
  #u32!: Uint32Array;
  #i32!: Int32Array;
  /** Buffers of the memory of which views were made. */
  readonly #buffers = new WeakSet<ArrayBuffer | SharedArrayBuffer>();
  #ramBuffer: ArrayBuffer | SharedArrayBuffer | null = null;
  #ramLength = 0;
  #ramU8!: Uint8Array;

  /**
   * Makes a core. Throws CoreError: ENOTSUP for an engine or memory the platform has not, EMODULE
   * for a module that is not of the memory's kind, EABI for one of another version, ENOMEM.
   */
  static async open(options: CoreOptions = {}): Promise<Core> {
    const plan = makePlan(options);
    if (plan.choice.engine === 'wasm') {
      try {
        const memory = plan.memory as WebAssembly.Memory;
        return Core.#finish(plan, await createWasmEngine(options.module!, memory));
      } catch (error) {
        plan.choice = choiceAfter(error, options);
      }
    }
    return Core.#finish(plan, jsEngine(plan));
  }

  /** As `open`, at once. */
  static openSync(options: CoreOptions = {}): Core {
    const plan = makePlan(options);
    if (plan.choice.engine === 'wasm') {
      try {
        const memory = plan.memory as WebAssembly.Memory;
        return Core.#finish(plan, createWasmEngineSync(options.module!, memory));
      } catch (error) {
        plan.choice = choiceAfter(error, options);
      }
    }
    return Core.#finish(plan, jsEngine(plan));
  }

  /**
   * Another instance over the memory of a core that exists, here or in another thread. It cannot
   * allocate; it can feed cluster arenas if the memory is shared. Throws EABI if memory and program
   * are of different versions, and names both.
   */
  static async attach(handle: CoreHandle): Promise<Core> {
    const { memory, ram, module, maximum } = handle;
    checkHeader(memory, handle.header);
    const made =
      handle.engine.engine === 'js' || !module
        ? { engine: createJsEngine(memory, ram), module: null }
        : await createWasmEngine(module, memory as WebAssembly.Memory);
    return new Core({ memory, ram, choice: handle.engine, maximum }, made, handle);
  }

  static #finish(plan: Plan, made: EngineAndModule): Core {
    const core = new Core(plan, made, null);
    if (plan.region) core.setRegions([plan.region]);
    return core;
  }

  private constructor(
    plan: Plan,
    made: EngineAndModule,
    attached: { header: number; regions: number } | null,
  ) {
    this.engine = made.engine;
    this.#module = made.module;
    this.choice = plan.choice;
    this.memory = plan.memory;
    this.ram = plan.ram;
    this.shared = isShared(plan.memory);
    this.viewsDetach = isWasmMemory(plan.memory);
    this.ramViewsDetach = isWasmMemory(plan.ram);
    this.#maximum = plan.maximum;
    checkEngine(this.engine);
    if (attached) {
      this.#allocator = null;
      this.header = attached.header;
      this.regions = attached.regions;
      this.#regionList = readRegions(this.u32, this.regions);
      this.thread = takeThreadNumber(this.u32, this.header);
      return;
    }
    this.#allocator = new Allocator((bytes) => this.#growArena(bytes));
    if (plan.arena) {
      this.#arenas.push(plan.arena);
      // Address 0 is null, so a memory of our own begins with bytes that nobody gets.
      this.#allocator.give({ start: plan.arena.start || GAP, end: plan.arena.end });
    }
    this.header = this.allocate(CORE_HEADER_SIZE);
    const ranges = this.allocate(RANGES_SIZE);
    writeHeader(this.u32, this.header, ranges);
    this.thread = takeThreadNumber(this.u32, this.header);
    this.regions = this.allocate(REGION_TABLE_BYTES);
  }

  // ---- Views: remade when the memory has grown; never keep one over a call that may grow it -----

  get u8(): Uint8Array {
    this.#refresh();
    return this.#u8;
  }

  get u16(): Uint16Array {
    this.#refresh();
    return this.#u16;
  }

  get u32(): Uint32Array {
    this.#refresh();
    return this.#u32;
  }

  get i32(): Int32Array {
    this.#refresh();
    return this.#i32;
  }

  /**
   * `view` of state if it still works, else a new one: for hot paths, since to look `memory.buffer`
   * up costs more than most of what is done with it. See `viewsDetach`.
   */
  keepU32(view: Uint32Array): Uint32Array {
    return view.length === 0 || !this.viewsDetach ? this.u32 : view;
  }

  /** The buffer that guest RAM lies in; a region's offset counts from its first byte. */
  get ramU8(): Uint8Array {
    const buffer = this.ram.buffer;
    if (buffer !== this.#ramBuffer || buffer.byteLength !== this.#ramLength) {
      this.#ramBuffer = buffer;
      this.#ramLength = buffer.byteLength;
      this.#ramU8 = new Uint8Array(buffer);
      if (this.ram === this.memory) this.#buffers.add(buffer);
    }
    return this.#ramU8;
  }

  /**
   * Does `view` show core memory? Of a shared memory one of ours may be older than the last growth,
   * which was another thread's: it shows the same bytes as before.
   */
  shows(view: Uint8Array): boolean {
    const { buffer } = view;
    return buffer === this.memory.buffer || (this.shared && this.#buffers.has(buffer));
  }

  #refresh(): void {
    const buffer = this.memory.buffer;
    if (buffer === this.#buffer && buffer.byteLength === this.#length) return;
    this.#buffer = buffer;
    this.#length = buffer.byteLength;
    this.#buffers.add(buffer);
    this.#u8 = new Uint8Array(buffer);
    this.#u16 = new Uint16Array(buffer, 0, this.#length >>> 1);
    this.#u32 = new Uint32Array(buffer, 0, this.#length / 4);
    this.#i32 = new Int32Array(buffer, 0, this.#length / 4);
  }

  /**
   * A view of at least `bytes`. Another thread may have grown a shared memory, and a platform may
   * take a moment to show that here.
   */
  readonly #upTo = (bytes: number): Uint32Array => {
    for (;;) {
      const u32 = this.u32;
      if (u32.byteLength >= bytes) return u32;
    }
  };

  // ---- Memory: main only ------------------------------------------------------------------------

  /**
   * Returns the address of `bytes` zeroed bytes at a multiple of `align` (a power of two, at least
   * 8). Throws ENOMEM when memory cannot grow, EPERM in an attached core.
   */
  allocate(bytes: number, align = 8): number {
    const address = this.#owner().take(bytes, align);
    this.u8.fill(0, address, address + bytes);
    return address;
  }

  /** Gives back what `allocate` returned. */
  free(address: number): void {
    this.#owner().release(address);
  }

  /** Bytes allocated and not freed, blocks rounded up to 8. Clusters are not among them. */
  get allocatedBytes(): number {
    return this.#owner().bytes;
  }

  /**
   * Adds `clusters` clusters to a cluster arena: those of closed disks, then new ones. If memory
   * cannot grow by as many as are missing, there are fewer; false if there are none. What the arena
   * still had stays usable. In an attached core, too, if the memory is shared; throws EPERM if it
   * is not.
   */
  growClusters(arena: number, clusters: number): boolean {
    if (!this.shared) this.#owner();
    let added = 0;
    for (; added < clusters; added++) {
      const spare = pop(this.#upTo, this.header + CORE_HEADER_SPARE);
      if (spare === 0) break;
      push(this.#upTo, arena, spare);
    }
    if (added === clusters) return true;
    const range = this.#grow(clusters - added);
    if (!range) return added > 0;
    feedArena(this.#upTo, arena, range.start / PAGE_BYTES, range.end / PAGE_BYTES);
    return true;
  }

  /** Takes back what no disk has claimed of an arena that is about to be freed: all may use it. */
  reclaimClusters(arena: number): void {
    this.#owner();
    const spare = this.header + CORE_HEADER_SPARE;
    for (const cluster of drainArena(this.#upTo, arena)) push(this.#upTo, spare, cluster);
  }

  #owner(): Allocator {
    if (this.#allocator) return this.#allocator;
    throw new CoreError('EPERM', 'only the core that was opened allocates, not an attached one');
  }

  #growArena(bytes: number): Range {
    const range = this.#grow(pagesFor(bytes));
    if (range) return range;
    throw new CoreError('ENOMEM', `the memory cannot grow by ${bytes} bytes`);
  }

  /**
   * Grows the memory by `pages`, and notes that they are the core's. Between two growths the
   * emulator, or another thread, may have grown it, too.
   */
  #grow(pages: number): Range | null {
    const current = this.memory.buffer.byteLength;
    if (current + pages * PAGE_BYTES > this.#maximum) return null;
    let first: number;
    try {
      first = this.memory.grow(pages);
    } catch {
      return null;
    }
    const end = first + pages;
    if (end > PAGES_MAX) return null; // another thread was faster, in a memory without a maximum
    const range = { start: first * PAGE_BYTES, end: end * PAGE_BYTES };
    if (!this.#allocator) return noteRange(this.u32, this.#ranges, first, end) ? range : null;
    const last = this.#arenas.at(-1);
    if (last && last.end === range.start) last.end = range.end;
    else this.#arenas.push({ ...range });
    return range;
  }

  /** Address of the table of ranges. */
  get #ranges(): number {
    return this.u32[(this.header + CORE_HEADER_RANGES) >>> 2] as number;
  }

  // ---- Guest memory -----------------------------------------------------------------------------

  /**
   * Says where guest memory lies. Offsets count from the start of `ram`. Only while no queue is
   * being served; rings enabled before keep their old places. Throws CoreError as `checkRegions`
   * does, and then nothing has changed.
   */
  setRegions(list: readonly Region[]): void {
    this.#owner();
    const own = () => [...this.#arenas, ...readRanges(this.u32, this.#ranges)];
    const arenas = this.ram === this.memory ? own() : [];
    const regions = checkRegions(list, this.ram.buffer.byteLength, arenas);
    writeRegions(this.u32, this.regions, regions);
    this.#regionList = regions;
  }

  /** Sorted by guest address. */
  get regionList(): readonly Region[] {
    return this.#regionList;
  }

  /** For `Core.attach`. */
  handle(): CoreHandle {
    return {
      memory: this.memory,
      ram: this.ram,
      header: this.header,
      regions: this.regions,
      maximum: this.#maximum,
      module: this.#module,
      engine: this.choice,
    };
  }
}

/** First address that a memory of our own gives away. */
const GAP = 64;

/**
 * What `auto` takes if the platform forbids to compile a module. Any other error is thrown on: it
 * is the caller's to know of.
 */
function choiceAfter(error: unknown, options: CoreOptions): EngineChoice {
  const forbidden =
    error instanceof CoreError &&
    error.cause instanceof Error &&
    error.cause.name === 'CompileError' &&
    /disallowed|not allowed|code generation|unsafe-eval/i.test(error.cause.message);
  if (!forbidden || (options.engine ?? 'auto') !== 'auto') throw error;
  return { engine: 'js', reason: 'the platform forbids to compile WebAssembly' };
}

function jsEngine(plan: Plan): EngineAndModule {
  return { engine: createJsEngine(plan.memory, plan.ram), module: null };
}
