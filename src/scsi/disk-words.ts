/** What a unit reads of its backend's words (BACKEND_*), and the write cache. Any thread. */

import { type ErrorAction, errorAction, policyOf } from '../block/error-policy.ts';
import type { Core } from '../engine/core.ts';
import {
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_F_WRITE_CACHE,
  BACKEND_FLAGS,
} from '../layout.ts';
import { SECTOR_SIZE } from '../spec.ts';

export class DiskWords {
  readonly #core: Core;
  readonly #backend: number;
  #u32: Uint32Array;

  /** `backend`: core address. */
  constructor(core: Core, backend: number) {
    this.#core = core;
    this.#backend = backend;
    this.#u32 = core.u32;
  }

  /** Bytes. */
  get capacity(): number {
    const u32 = this.#words();
    const hi = u32[(this.#backend + BACKEND_CAPACITY_HI) >>> 2]!;
    return (hi * 0x1_0000_0000 + u32[(this.#backend + BACKEND_CAPACITY_LO) >>> 2]!) * SECTOR_SIZE;
  }

  get readOnly(): boolean {
    return (this.#flags() & BACKEND_F_READ_ONLY) !== 0;
  }

  get hasMedium(): boolean {
    return (this.#flags() & BACKEND_F_NO_MEDIUM) === 0;
  }

  get writeCache(): boolean {
    return (this.#flags() & BACKEND_F_WRITE_CACHE) !== 0;
  }

  /** For writes that come after it, of all threads. */
  set writeCache(on: boolean) {
    const at = (this.#backend + BACKEND_FLAGS) >>> 2;
    if (on) Atomics.or(this.#words(), at, BACKEND_F_WRITE_CACHE);
    else Atomics.and(this.#words(), at, ~BACKEND_F_WRITE_CACHE);
  }

  /** What the policy says to `errno` (positive) of a read, or of anything else. */
  actionFor(isRead: boolean, errno: number): ErrorAction {
    return errorAction(policyOf(this.#words(), this.#backend, isRead), errno);
  }

  #flags(): number {
    return Atomics.load(this.#words(), (this.#backend + BACKEND_FLAGS) >>> 2);
  }

  #words(): Uint32Array {
    return (this.#u32 = this.#core.keepU32(this.#u32));
  }
}
