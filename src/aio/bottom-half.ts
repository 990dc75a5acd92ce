/**
 * Bottom halves: callbacks deferred to the next poll of the context that owns them.
 *
 * A device schedules one when acting right now would be wrong: inside a register write of the
 * guest, or inside a completion of the block layer. The flags live in a slot in shared memory, so
 * that any thread may schedule by handle; the callback stays on the home thread (design section 5).
 * QEMU: `util/async.c`.
 */

import type { Core } from '../engine/core.ts';
import type { Engine } from '../engine/engine.ts';
import { BH_DELETED, BH_IDLE, BH_SCHEDULED } from '../layout.ts';
import { wakeContext } from './wake.ts';

/** What another thread needs to schedule a bottom half: plain data. Stale handles do nothing. */
export interface BottomHalfHandle {
  /** Core address of the AioContext. */
  readonly context: number;
  readonly slot: number;
  readonly generation: number;
}

/**
 * Schedules by handle, on the home thread (BH-1). Returns whether the context sleeps, so that the
 * caller must wake its sleeper.
 */
export function scheduleHandle(engine: Engine, handle: BottomHalfHandle, flags: number): boolean {
  return engine.bhEnqueue(handle.context, handle.slot, handle.generation, flags) === 1;
}

/**
 * Schedules a bottom half from any thread and wakes its context if that sleeps. False if there is
 * no such bottom half any more, or its context is closed: nothing happened. The block of a context
 * outlives its closing until main releases it, and handles must not outlive the block.
 */
export function scheduleRemote(core: Core, handle: BottomHalfHandle): boolean {
  const { engine } = core;
  const { context, slot, generation } = handle;
  // The visit keeps the context from closing between the push and the wake (FD-5).
  if (engine.visitBegin(context) === 0) return false;
  const result = engine.bhEnqueue(context, slot, generation, BH_SCHEDULED);
  if (result === 1) wakeContext(core, context);
  engine.visitEnd(context);
  return result >= 0;
}

/** Made by `AioContext.bottomHalf`. All methods: home thread; elsewhere use the handle. */
export class BottomHalf {
  readonly name: string;
  readonly handle: BottomHalfHandle;
  readonly #engine: Engine;
  readonly #wake: () => void;
  #deleted = false;

  constructor(name: string, handle: BottomHalfHandle, engine: Engine, wake: () => void) {
    this.name = name;
    this.handle = handle;
    this.#engine = engine;
    this.#wake = wake;
  }

  /** Runs the callback on the next poll. Scheduling again before then changes nothing (BH-3). */
  schedule(): void {
    this.#enqueue(BH_SCHEDULED);
  }

  /** As `schedule`, but the run is no progress and may wait for 10 ms (BH-11, BH-12). */
  scheduleIdle(): void {
    this.#enqueue(BH_SCHEDULED | BH_IDLE);
  }

  /** Forgets a pending run (BH-5). No barrier: a callback already taken may still run. */
  cancel(): void {
    const { context, slot, generation } = this.handle;
    this.#engine.bhCancel(context, slot, generation);
  }

  /** Frees the slot at the next poll; a pending run is dropped (BH-6). Once only. */
  delete(): void {
    if (this.#deleted) throw new Error(`bottom half '${this.name}' was deleted already`);
    this.#deleted = true;
    this.#enqueue(BH_DELETED);
  }

  #enqueue(flags: number): void {
    if (scheduleHandle(this.#engine, this.handle, flags)) this.#wake();
  }
}
