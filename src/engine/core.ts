/**
 * The core: one memory, one engine over it, and who owns which of its bytes.
 *
 * The memory is the core's own or an emulator's. In either it grows at the end, by us or by the
 * emulator, and every growth may replace `memory.buffer`. So keep offsets, not views.
 */

import {
  ABI_VERSION,
  CORE_HEADER_ABI,
  CORE_HEADER_LAYOUT,
  CORE_HEADER_MAGIC,
  CORE_HEADER_SIZE,
  CORE_MAGIC,
  LAYOUT_SUM,
} from '../layout.ts';
import { Allocator, type Range } from './allocator.ts';
import { drainArena, feedArena, push } from './cluster-supply.ts';
import { CoreError } from './core-error.ts';
import type { Engine, LinearMemory } from './engine.ts';
import { createJsEngine } from './js.ts';
import { isShared, isWasmMemory, PAGE_BYTES, pagesFor } from './linear-memory.ts';
import type { EngineChoice } from './pick.ts';
import { type CoreOptions, makePlan, type Plan } from './plan.ts';
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

  readonly #module: WebAssembly.Module | null;
  readonly #allocator: Allocator | null;
  readonly #maximum: number;
  /** Ranges of the memory that are the core's: arenas and clusters. */
  readonly #arenas: Range[] = [];
  /** Clusters that a closed disk gave back. */
  #spare: number[] = [];
  #regionList: readonly Region[] = [];
  #buffer: ArrayBuffer | SharedArrayBuffer | null = null;
  #length = 0;
  #u8!: Uint8Array;
  #u16!: Uint16Array;
  #u32!: Uint32Array;
  #i32!: Int32Array;
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
   * allocate. Throws EABI if memory and program are of different versions, and names both.
   */
  static async attach(handle: CoreHandle): Promise<Core> {
    const { memory, ram, module } = handle;
    checkHeader(memory, handle.header);
    const made =
      handle.engine.engine === 'js' || !module
        ? { engine: createJsEngine(memory, ram), module: null }
        : await createWasmEngine(module, memory as WebAssembly.Memory);
    return new Core({ memory, ram, choice: handle.engine, maximum: 0 }, made, handle);
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
      return;
    }
    this.#allocator = new Allocator((bytes) => this.#growArena(bytes));
    if (plan.arena) {
      this.#arenas.push(plan.arena);
      // Address 0 is null, so a memory of our own begins with bytes that nobody gets.
      this.#allocator.give({ start: plan.arena.start || GAP, end: plan.arena.end });
    }
    this.header = this.allocate(CORE_HEADER_SIZE);
    this.u32[(this.header + CORE_HEADER_MAGIC) >>> 2] = CORE_MAGIC;
    this.u32[(this.header + CORE_HEADER_ABI) >>> 2] = ABI_VERSION;
    this.u32[(this.header + CORE_HEADER_LAYOUT) >>> 2] = LAYOUT_SUM;
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
    }
    return this.#ramU8;
  }

  #refresh(): void {
    const buffer = this.memory.buffer;
    if (buffer === this.#buffer && buffer.byteLength === this.#length) return;
    this.#buffer = buffer;
    this.#length = buffer.byteLength;
    this.#u8 = new Uint8Array(buffer);
    this.#u16 = new Uint16Array(buffer, 0, this.#length >>> 1);
    this.#u32 = new Uint32Array(buffer, 0, this.#length / 4);
    this.#i32 = new Int32Array(buffer, 0, this.#length / 4);
  }

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
   * Adds `clusters` zeroed clusters to a cluster arena; false if memory cannot grow by that much.
   * What the arena still had stays usable.
   */
  growClusters(arena: number, clusters: number): boolean {
    this.#owner();
    while (clusters > 0 && this.#spare.length > 0) {
      push(this.u32, arena, this.#spare.pop() as number);
      clusters--;
    }
    if (clusters <= 0) return true;
    const range = this.#grow(clusters);
    if (!range) return false;
    feedArena(this.u32, arena, range.start / PAGE_BYTES, range.end / PAGE_BYTES);
    return true;
  }

  /** Takes back what no disk has claimed of an arena that is about to be freed. */
  reclaimClusters(arena: number): void {
    this.#owner();
    this.#spare = this.#spare.concat(drainArena(this.u32, arena));
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

  /** Grows the memory by `pages`. Between two growths the emulator may have grown it, too. */
  #grow(pages: number): Range | null {
    const current = this.memory.buffer.byteLength;
    if (current + pages * PAGE_BYTES > this.#maximum) return null;
    let start: number;
    try {
      start = this.memory.grow(pages) * PAGE_BYTES;
    } catch {
      return null;
    }
    const range = { start, end: start + pages * PAGE_BYTES };
    const last = this.#arenas.at(-1);
    if (last && last.end === start) last.end = range.end;
    else this.#arenas.push({ ...range });
    return range;
  }

  // ---- Guest memory -----------------------------------------------------------------------------

  /**
   * Says where guest memory lies. Offsets count from the start of `ram`. Only while no queue is
   * being served; rings enabled before keep their old places. Throws CoreError as `checkRegions`
   * does, and then nothing has changed.
   */
  setRegions(list: readonly Region[]): void {
    this.#owner();
    const arenas = this.ram === this.memory ? this.#arenas : [];
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

function checkEngine(engine: Engine): void {
  if (engine.abi() !== ABI_VERSION) {
    const message = `the module is of ABI ${engine.abi()}, this program of ABI ${ABI_VERSION}`;
    throw new CoreError('EABI', message);
  }
  if (engine.layoutSum() !== LAYOUT_SUM) {
    const message = `the module's structures add up to ${engine.layoutSum()}, not ${LAYOUT_SUM}`;
    throw new CoreError('EABI', message);
  }
}

function checkHeader(memory: LinearMemory, header: number): void {
  if (header <= 0 || header % 4 !== 0 || header + CORE_HEADER_SIZE > memory.buffer.byteLength) {
    throw new CoreError('EINVAL', `no core header can be at ${header}`);
  }
  const u32 = new Uint32Array(memory.buffer, header, CORE_HEADER_SIZE / 4);
  const [magic, abi, sum] = [CORE_HEADER_MAGIC, CORE_HEADER_ABI, CORE_HEADER_LAYOUT].map(
    (at) => u32[at >>> 2] as number,
  ) as [number, number, number];
  if (magic !== CORE_MAGIC) {
    const message = `there is no core at ${header}: magic is 0x${magic.toString(16)}`;
    throw new CoreError('EABI', message);
  }
  if (abi !== ABI_VERSION) {
    const message = `the memory is of ABI ${abi}, this program of ABI ${ABI_VERSION}`;
    throw new CoreError('EABI', message);
  }
  if (sum !== LAYOUT_SUM) {
    const message = `the memory's structures add up to ${sum}, not ${LAYOUT_SUM}`;
    throw new CoreError('EABI', message);
  }
}
