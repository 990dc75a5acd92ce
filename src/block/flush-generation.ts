/**
 * Which flushes may be skipped (BB-24), by three words of the backend. Any thread.
 *
 * DIRTY says that a write has ended which no flush has covered that began after it. A flush clears
 * it before the driver is asked, and sets it again if the driver fails. So DIRTY is 0 while a flush
 * is under way, too: a second one may be skipped only if none was, all the time it looked. What the
 * engine writes to a cluster disk is not noted: that is memory, where a flush does nothing.
 * QEMU: `bs->write_gen`, `bs->flushed_gen` in `bdrv_co_flush`.
 */

import {
  BACKEND_DIRTY,
  BACKEND_F_SHARED,
  BACKEND_FLAGS,
  BACKEND_FLUSHES_BEGUN,
  BACKEND_FLUSHES_ENDED,
} from '../layout.ts';

/** A write-like request has ended, and its owner has not been told. At most one store. */
export function noteWrite(words: Uint32Array, backend: number): void {
  const dirty = (backend + BACKEND_DIRTY) >>> 2;
  if (Atomics.load(words, dirty) === 0) Atomics.store(words, dirty, 1);
}

/**
 * All that was written before is on stable storage already. Never so of a disk that other backends
 * write to: their words are not these.
 */
export function isFlushed(words: Uint32Array, backend: number): boolean {
  if ((words[(backend + BACKEND_FLAGS) >>> 2] as number) & BACKEND_F_SHARED) return false;
  const begun = (backend + BACKEND_FLUSHES_BEGUN) >>> 2;
  const before = Atomics.load(words, begun);
  if (before !== Atomics.load(words, (backend + BACKEND_FLUSHES_ENDED) >>> 2)) return false;
  if (Atomics.load(words, (backend + BACKEND_DIRTY) >>> 2) !== 0) return false;
  return Atomics.load(words, begun) === before;
}

/** Before the driver is asked to flush; pairs with `flushEnded`. */
export function flushBegins(words: Uint32Array, backend: number): void {
  Atomics.add(words, (backend + BACKEND_FLUSHES_BEGUN) >>> 2, 1);
  Atomics.store(words, (backend + BACKEND_DIRTY) >>> 2, 0);
}

/** It has ended; `covered`: with success. */
export function flushEnded(words: Uint32Array, backend: number, covered: boolean): void {
  if (!covered) Atomics.store(words, (backend + BACKEND_DIRTY) >>> 2, 1);
  Atomics.add(words, (backend + BACKEND_FLUSHES_ENDED) >>> 2, 1);
}
