/**
 * Sleeping on a word of shared memory, so that any thread may end the sleep: inside the JavaScript
 * loop by `Atomics.waitAsync`, or, in a thread that may block, by `Atomics.wait`.
 */

import type { Core } from '../engine/core.ts';
import { CONTEXT_WAKE } from '../layout.ts';
import { HookSleeper, type Listener, LoopSleeper, type Sleeper } from './sleeper.ts';

interface AsyncAnswer {
  readonly async: boolean;
  readonly value: Promise<unknown> | string;
}

type WaitAsync = (words: Int32Array, index: number, value: number) => AsyncAnswer;

/** How often to look at the word, in ms, where there is no `waitAsync`. */
const LOOK_MS = 1;

/** `Atomics.waitAsync`, or null where it is missing or, as in workerd, never answers. */
function waitAsync(): WaitAsync | null {
  const agent = (globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent;
  if (agent === 'Cloudflare-Workers') return null;
  return (Atomics as unknown as { waitAsync?: WaitAsync }).waitAsync ?? null;
}

/** May a context over this core be woken by other threads? */
export function canListen(core: Core): boolean {
  return core.shared && waitAsync() !== null;
}

/**
 * May this thread block? Main threads of browsers may not, nor may edge isolates. A wait for a
 * value that is not there answers at once, and throws where waiting is forbidden.
 */
export function canBlock(core: Core, address: number): boolean {
  if (!core.shared) return false;
  const at = (address + CONTEXT_WAKE) >>> 2;
  try {
    Atomics.wait(core.i32, at, Atomics.load(core.i32, at) + 1, 0);
    return true;
  } catch {
    return false;
  }
}

/** Sleeps until the word is not `seen`, somebody notifies, or `ns` have passed (-1: never). */
export function blockOnWord(core: Core, address: number, seen: number, ns: number): void {
  const timeout = ns < 0 ? Number.POSITIVE_INFINITY : ns / 1e6;
  Atomics.wait(core.i32, (address + CONTEXT_WAKE) >>> 2, seen, timeout);
}

/**
 * Calls `woken` from the JavaScript loop once the word was counted up. There is at most one
 * outstanding `waitAsync`, used until it settles: it cannot be cancelled.
 */
export class WordListener implements Listener {
  readonly #core: Core;
  readonly #address: number;
  readonly #woken: () => void;
  readonly #waitAsync = waitAsync();
  #outstanding = false;
  #closed = false;

  constructor(core: Core, address: number, woken: () => void) {
    this.#core = core;
    this.#address = address;
    this.#woken = woken;
  }

  /**
   * Whoever counts the word up from here on is heard. Who did so before has published his work, and
   * the caller looks for work after this call.
   */
  listen(): void {
    if (this.#outstanding || this.#closed) return;
    const { i32 } = this.#core;
    const at = (this.#address + CONTEXT_WAKE) >>> 2;
    this.#outstanding = true;
    if (!this.#waitAsync) {
      this.#look(at, Atomics.load(i32, at));
      return;
    }
    let answer: AsyncAnswer;
    do answer = this.#waitAsync(i32, at, Atomics.load(i32, at));
    while (!answer.async); // counted up in between
    (answer.value as Promise<unknown>).then(this.#settled);
  }

  #look(at: number, seen: number): void {
    const timer = setInterval(() => {
      if (!this.#closed && Atomics.load(this.#core.i32, at) === seen) return;
      clearInterval(timer);
      this.#settled();
    }, LOOK_MS);
  }

  readonly #settled = (): void => {
    this.#outstanding = false;
    if (this.#closed) return;
    try {
      this.#woken();
    } catch (error) {
      // Out of the promise: a callback that throws is the platform's to report, as in any task.
      queueMicrotask(() => {
        throw error;
      });
    }
  };

  /** Leaves no waiter behind. */
  close(): void {
    this.#closed = true;
    if (this.#outstanding) Atomics.notify(this.#core.i32, (this.#address + CONTEXT_WAKE) >>> 2);
  }
}

/** Turns come from the JavaScript loop, and wakes from any thread. */
export class WordSleeper implements Sleeper {
  readonly #loop: LoopSleeper;
  readonly #listener: WordListener;
  #resting = false;

  constructor(core: Core, address: number, turn: () => void) {
    this.#loop = new LoopSleeper(turn);
    this.#listener = new WordListener(core, address, () => {
      if (!this.#resting) turn();
    });
  }

  listen(): void {
    this.#resting = false;
    this.#listener.listen();
  }

  wake(): void {
    this.#loop.wake();
  }

  sleep(ns: number): void {
    this.#loop.sleep(ns);
  }

  begin(): void {}

  rest(): void {
    this.#resting = true;
    this.#loop.rest();
  }

  close(): void {
    this.#loop.close();
    this.#listener.close();
  }
}

export type SleeperKind = 'loop' | 'hook' | 'word';

export interface SleeperHooks {
  /** Takes a turn. */
  turn(): void;
  /** Another thread wants a turn. */
  woken(): void;
  onWake?: (() => void) | undefined;
  onSleep?: ((ns: number) => void) | undefined;
}

const nothing = (): void => {};

/** The sleeper of the context at `address`. */
export function makeSleeper(
  kind: SleeperKind,
  core: Core,
  address: number,
  hooks: SleeperHooks,
): Sleeper {
  if (kind === 'loop') return new LoopSleeper(hooks.turn);
  if (kind === 'word') return new WordSleeper(core, address, hooks.turn);
  const listener = canListen(core) ? new WordListener(core, address, hooks.woken) : null;
  return new HookSleeper(hooks.onWake ?? nothing, hooks.onSleep ?? nothing, listener);
}
