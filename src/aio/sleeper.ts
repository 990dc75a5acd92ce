/**
 * How a context sleeps between two turns (design section 5). A context inside a foreign loop never
 * blocks it: it asks for a turn, now or at a time, and gives the thread back.
 */

/** Home thread only: other threads go through `wakeContext`. */
export interface Sleeper {
  /** From now on a wake from another thread brings a turn, too. Before the last look for work. */
  listen(): void;
  /** A turn is wanted as soon as may be. Further wakes add nothing until the turn begins. */
  wake(): void;
  /** A turn is wanted in `ns` nanoseconds at the latest; -1: no time bound. */
  sleep(ns: number): void;
  /** A turn begins: what was asked for so far has been granted. */
  begin(): void;
  /** No turn is wanted until the next `listen`: the thread sees to itself. */
  rest(): void;
  close(): void;
}

type Cancel = () => void;

/** A macrotask as soon as the platform gives one: microtasks would starve input and output. */
function macrotask(callback: () => void): Cancel {
  const host = globalThis as {
    setImmediate?: (callback: () => void) => unknown;
    clearImmediate?: (handle: unknown) => void;
  };
  if (host.setImmediate) {
    const handle = host.setImmediate(callback);
    return () => host.clearImmediate?.(handle);
  }
  const handle = setTimeout(callback, 0);
  return () => clearTimeout(handle);
}

const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/** Turns come from the JavaScript loop: macrotasks for wake-ups, one timeout for timers. */
export class LoopSleeper implements Sleeper {
  readonly #turn: () => void;
  #pending: Cancel | null = null;
  #timeout: ReturnType<typeof setTimeout> | null = null;

  constructor(turn: () => void) {
    this.#turn = turn;
  }

  /** Nobody else is there: the memory is not shared. */
  listen(): void {}

  wake(): void {
    this.#pending ??= macrotask(() => {
      this.#pending = null;
      this.#turn();
    });
  }

  /** Milliseconds are rounded up: a timer never fires early (GS-1). */
  sleep(ns: number): void {
    this.#clearTimeout();
    if (ns < 0) return;
    const ms = Math.min(Math.ceil(ns / 1e6), LONGEST_TIMEOUT_MS);
    this.#timeout = setTimeout(() => {
      this.#timeout = null;
      this.#turn();
    }, ms);
  }

  /** A macrotask that is under way stays: to cancel one and ask again costs more than a turn. */
  begin(): void {}

  rest(): void {
    this.#clearTimeout();
    this.#pending?.();
    this.#pending = null;
  }

  close(): void {
    this.rest();
  }

  #clearTimeout(): void {
    if (this.#timeout !== null) clearTimeout(this.#timeout);
    this.#timeout = null;
  }
}

/** Hears wakes from other threads; see `WordListener`. */
export interface Listener {
  listen(): void;
  close(): void;
}

/**
 * The owner calls `AioContext.turn()`: an emulator's poll point, or a test. `onWake` tells it that
 * a turn is wanted, `onSleep` for how long none is. An emulator whose poll point comes round anyway
 * may ask `AioContext.wanted` there instead; while its CPU stands still, `onWake` is how it hears
 * of another thread (GS-7).
 */
export class HookSleeper implements Sleeper {
  readonly #onWake: () => void;
  readonly #onSleep: (ns: number) => void;
  readonly #listener: Listener | null;
  /** The owner was told and has not taken its turn yet. */
  #told = false;

  constructor(onWake: () => void, onSleep: (ns: number) => void, listener: Listener | null) {
    this.#onWake = onWake;
    this.#onSleep = onSleep;
    this.#listener = listener;
  }

  listen(): void {
    this.#listener?.listen();
  }

  wake(): void {
    if (this.#told) return;
    this.#told = true;
    this.#onWake();
  }

  sleep(ns: number): void {
    this.#onSleep(ns);
  }

  begin(): void {
    this.#told = false;
  }

  rest(): void {
    this.#told = false;
  }

  close(): void {
    this.#listener?.close();
  }
}
