import type { LinearMemory } from '../engine.ts';

/**
 * Typed arrays over the two memories: `state` (queues, records, segments, clusters, contexts) and
 * `ram` (guest memory, rings included). Both may be one memory, and then the arrays are the same
 * objects. An emulator or a `grow` may put another buffer in place between two calls, never within
 * one, so each exported call asks `fresh` once. Only a shared memory grows at any time, when other
 * threads need clusters; old views of it stay good, and `upTo` is for addresses beyond them.
 */
export class Views {
  readonly #state: LinearMemory;
  readonly #ram: LinearMemory;
  #stateBuffer!: ArrayBufferLike;
  #ramBuffer!: ArrayBufferLike;

  u8!: Uint8Array;
  u32!: Uint32Array;
  i32!: Int32Array;
  f64!: Float64Array;
  ram8!: Uint8Array;
  ram16!: Uint16Array;
  ram32!: Uint32Array;

  /** Four words for what cannot be read in place: descriptors or headers that are not aligned. */
  readonly scratch = new Uint32Array(4);
  readonly scratch8 = new Uint8Array(this.scratch.buffer);
  /** The scatter list being written: word indexes of its last block and of its next segment. */
  block = 0;
  at = 0;
  /** The indirect table at hand (chain.ts): word index, and bytes by which it is not aligned. */
  base = 0;
  skew = 0;
  /** The first region (near.ts): guest address in two words, place in RAM, and near bytes; i32. */
  nearLo = 0;
  nearHi = 0;
  nearOffset = 0;
  nearBytes = 0;

  constructor(state: LinearMemory, ram: LinearMemory) {
    this.#state = state;
    this.#ram = ram;
    this.#remake();
  }

  /** The views, over the buffers of this moment. */
  fresh(): this {
    const moved = this.#state.buffer !== this.#stateBuffer;
    if (moved || (this.#ram !== this.#state && this.#ram.buffer !== this.#ramBuffer)) {
      this.#remake();
    }
    return this;
  }

  /**
   * The views, over at least `end` bytes of state. Another thread may have grown a shared memory in
   * the middle of a call, and a platform may take a moment to show that here; but whoever was told
   * of an address can wait for it.
   */
  upTo(end: number): this {
    while (this.u8.length < end) this.fresh();
    return this;
  }

  /** Nothing is copied between two memories when there is only one. */
  get single(): boolean {
    return this.u8 === this.ram8;
  }

  #remake(): void {
    const state = this.#state.buffer;
    const ram = this.#ram.buffer;
    const same = state === ram;
    this.#stateBuffer = state;
    this.#ramBuffer = ram;
    this.u8 = new Uint8Array(state);
    this.u32 = new Uint32Array(state, 0, Math.floor(state.byteLength / 4));
    this.i32 = new Int32Array(state, 0, Math.floor(state.byteLength / 4));
    this.f64 = new Float64Array(state, 0, Math.floor(state.byteLength / 8));
    this.ram8 = same ? this.u8 : new Uint8Array(ram);
    this.ram16 = new Uint16Array(ram, 0, Math.floor(ram.byteLength / 2));
    this.ram32 = same ? this.u32 : new Uint32Array(ram, 0, Math.floor(ram.byteLength / 4));
  }
}
