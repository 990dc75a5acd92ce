/**
 * Bounce buffers: page-aligned bytes for drivers that settle later, or that want aligned memory
 * where the caller's is not. So a late read never lands in a page that a guest has taken back.
 *
 * For drivers that settle through the JavaScript loop the slots lie in memories of the lane's own,
 * unshared and never grown: browsers refuse shared views, and a buffer that is replaced when the
 * core's memory grows must not be one that the host is still writing to. Another thread's answer
 * (`word`) can only land in core memory.
 */

import type { Core } from '../engine/core.ts';
import type { BlockDriver } from './driver.ts';
import { SegmentVector } from './io-vector.ts';
import { BOUNCE_BYTES, BOUNCE_SLOTS, type LaneOptions, type LanePlace } from './lane-options.ts';

const PAGE_BYTES = 65536;
/** Slots that are made at a time. */
const CHUNK = 8;

export interface BounceOptions {
  /** Bytes of a slot: a multiple of 64 KiB. Longer requests go in parts. */
  slotBytes: number;
  /** Most slots that are ever made. */
  slots: number;
  /** Slots in core memory, for drivers that another thread serves. */
  inCore: boolean;
  /** Where they lie there, if somebody else has allocated them; else 0. */
  area?: number;
}

/** The slots of a lane; `place`: what main has set aside for it. */
export function bounceFor(
  core: Core,
  driver: BlockDriver,
  options: LaneOptions,
  place: LanePlace,
): BouncePool {
  return new BouncePool(core, {
    slotBytes: options.bounceBytes ?? BOUNCE_BYTES,
    slots: options.bounceSlots ?? BOUNCE_SLOTS,
    inCore: driver.settles === 'word',
    area: place.bounce,
  });
}

export class BounceSlot {
  /** Core address, or -1 if the slot lies in a memory of its own. */
  readonly address: number;
  /** The slot as a driver's buffer: one segment. */
  readonly vector = new SegmentVector();
  readonly #own: Uint8Array | null;
  readonly #core: Core;

  constructor(core: Core, own: Uint8Array | null, address: number) {
    this.#core = core;
    this.#own = own;
    this.address = address;
  }

  /** The memory that the slot lies in, and where it starts there; not to be kept. */
  get bytes(): Uint8Array {
    return this.#own ?? this.#core.u8;
  }

  get start(): number {
    return this.#own ? 0 : this.address;
  }

  /** The first `length` bytes of the slot as a vector. */
  use(length: number): SegmentVector {
    this.vector.reset(this.bytes);
    this.vector.append(this.start, length);
    return this.vector;
  }
}

export class BouncePool {
  readonly slotBytes: number;
  readonly #core: Core;
  readonly #limit: number;
  readonly #inCore: boolean;
  readonly #area: number;
  readonly #free: BounceSlot[] = [];
  #made: BounceSlot[] = [];

  constructor(core: Core, options: BounceOptions) {
    this.#core = core;
    this.slotBytes = options.slotBytes;
    this.#limit = options.slots;
    this.#inCore = options.inCore;
    this.#area = options.area ?? 0;
  }

  /** Slots made so far. */
  get made(): number {
    return this.#made.length;
  }

  /** A slot, or null if all are in use. Throws if there is no memory for even one. */
  take(): BounceSlot | null {
    if (this.#free.length === 0 && this.#made.length < this.#limit) this.#makeSlots();
    return this.#free.pop() ?? null;
  }

  give(slot: BounceSlot): void {
    this.#free.push(slot);
  }

  /** All slots have been given back. */
  close(): void {
    if (this.#inCore && !this.#area) for (const slot of this.#made) this.#core.free(slot.address);
    this.#made = [];
    this.#free.length = 0;
  }

  #makeSlots(): void {
    const count = Math.min(CHUNK, this.#limit - this.#made.length);
    try {
      const slots = this.#inCore ? [this.#slotInCore()] : this.#ownSlots(count);
      this.#made.push(...slots);
      this.#free.push(...slots);
    } catch (thrown) {
      if (this.#made.length === 0) throw thrown;
      // Those that exist must do.
    }
  }

  #slotInCore(): BounceSlot {
    const address = this.#area
      ? this.#area + this.#made.length * this.slotBytes
      : this.#core.allocate(this.slotBytes, 4096);
    return new BounceSlot(this.#core, null, address);
  }

  #ownSlots(count: number): BounceSlot[] {
    const memory = ownMemory(count * this.slotBytes);
    return Array.from({ length: count }, (_, i) => {
      const bytes = new Uint8Array(memory, i * this.slotBytes, this.slotBytes);
      return new BounceSlot(this.#core, bytes, -1);
    });
  }
}

/** Page-aligned where the platform has WebAssembly; nothing else in JavaScript is. */
function ownMemory(bytes: number): ArrayBuffer {
  if (typeof WebAssembly === 'undefined') return new ArrayBuffer(bytes);
  const pages = Math.ceil(bytes / PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer as ArrayBuffer;
}
