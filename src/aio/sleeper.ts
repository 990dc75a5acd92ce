/**
 * How a context sleeps between two turns (design section 5). A context inside a foreign loop never
 * blocks it: it asks for a turn, now or at a time, and gives the thread back.
 */

export interface Sleeper {
  /** A turn is wanted as soon as may be. Called at most once between two turns. */
  wake(): void;
  /** A turn is wanted in `ns` nanoseconds at the latest; -1: no time bound. */
  sleep(ns: number): void;
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

  close(): void {
    this.#clearTimeout();
    this.#pending?.();
    this.#pending = null;
  }

  #clearTimeout(): void {
    if (this.#timeout !== null) clearTimeout(this.#timeout);
    this.#timeout = null;
  }
}

/**
 * The owner calls `AioContext.turn()`: an emulator's poll point, or a test. `onWake` tells it that
 * a turn is wanted, `onSleep` for how long none is; an emulator whose poll point comes round anyway
 * needs no telling.
 */
export class HookSleeper implements Sleeper {
  readonly #onWake: () => void;
  readonly #onSleep: (ns: number) => void;

  constructor(onWake: () => void, onSleep: (ns: number) => void) {
    this.#onWake = onWake;
    this.#onSleep = onSleep;
  }

  wake(): void {
    this.#onWake();
  }

  sleep(ns: number): void {
    this.#onSleep(ns);
  }

  close(): void {}
}
