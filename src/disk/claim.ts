/**
 * Whose a client's queue is: one word, | generation 29 | state 3 |. Main and the client change it
 * by compare-and-swap alone; a handle is good for one generation.
 *
 *     free --connect--> offered --open--> open --close--> released --connect--> ...
 *                          `--------------`-- reclaim, close of the disk --> revoked, closed, dead
 */

import type { Core } from '../engine/core.ts';
import { DiskError } from './error.ts';

export const CLAIM_FREE = 0;
export const CLAIM_OFFERED = 1;
export const CLAIM_OPEN = 2;
export const CLAIM_RELEASED = 3;
/** Main took the queue back. */
export const CLAIM_REVOKED = 4;
/** The disk was closed. */
export const CLAIM_CLOSED = 5;
/** The thread that served the queue died. */
export const CLAIM_DEAD = 6;

const STATE_BITS = 3;
const STATE_MASK = 7;
export const CLAIM_SIZE = 8;

export class Claim {
  readonly #core: Core;
  readonly #at: number;

  /** `address`: core address of the word. */
  constructor(core: Core, address: number) {
    this.#core = core;
    this.#at = address >>> 2;
  }

  get #word(): number {
    return Atomics.load(this.#core.u32, this.#at);
  }

  get state(): number {
    return this.#word & STATE_MASK;
  }

  get generation(): number {
    return this.#word >>> STATE_BITS;
  }

  /** From one state to another within a generation; false if it is not there. */
  move(generation: number, from: number, to: number): boolean {
    const before = ((generation << STATE_BITS) | from) >>> 0;
    const after = ((generation << STATE_BITS) | to) >>> 0;
    return Atomics.compareExchange(this.#core.u32, this.#at, before, after) === before;
  }

  /** Main: a new generation is on offer. Its number. */
  offer(): number {
    const generation = (this.generation + 1) & 0x1fff_ffff;
    Atomics.store(this.#core.u32, this.#at, (generation << STATE_BITS) | CLAIM_OFFERED);
    return generation;
  }

  /** Main: takes the queue from whoever has it or could get it. False if nobody has it. */
  revoke(generation: number, to: number): boolean {
    return this.move(generation, CLAIM_OPEN, to) || this.move(generation, CLAIM_OFFERED, to);
  }

  /** A client: the queue is its own from here on. Throws DiskError EBUSY or ESTALE. */
  open(generation: number): void {
    if (this.move(generation, CLAIM_OFFERED, CLAIM_OPEN)) return;
    const lost = this.lost(generation);
    if (lost) throw lost;
    throw new DiskError('EBUSY', 'this handle is used already: one client for each connect()');
  }

  /** A client: why its queue is not its own any more, or null. */
  lost(generation: number): DiskError | null {
    const word = this.#word;
    const state = word & STATE_MASK;
    if (word >>> STATE_BITS === generation && state <= CLAIM_RELEASED) return null;
    if (state === CLAIM_CLOSED) return new DiskError('ESHUTDOWN', 'the disk was closed');
    if (state === CLAIM_DEAD) {
      return new DiskError('EOWNERDEAD', 'the thread that served the queue is dead');
    }
    return new DiskError('ESTALE', 'the disk took the queue of this client back');
  }
}
