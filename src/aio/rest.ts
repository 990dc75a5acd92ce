/**
 * What a context does when it has nothing to do: it makes sure of that, and goes to sleep in one of
 * two ways. Inside a foreign loop it says for how long no turn is wanted (GS-1); a thread that may
 * block busy-polls and then sleeps (NT-2). Each is one half of a protocol with `notify` (NT-1).
 */

import type { Core } from '../engine/core.ts';
import { CONTEXT_NOTIFIED, CONTEXT_POLL_READY, CONTEXT_SLEEPS, CONTEXT_WAKE } from '../layout.ts';
import type { ContextWords } from './context-block.ts';
import type { PollMode } from './poll-mode.ts';
import type { Sleeper } from './sleeper.ts';
import type { TimerGroup } from './timer.ts';
import { blockOnWord } from './word-sleeper.ts';

/** An idle bottom half waits no longer than this (BH-12). */
const IDLE_NS = 10_000_000;

export class Rest {
  readonly #core: Core;
  readonly #words: ContextWords;
  readonly #timers: TimerGroup;
  readonly #polling: PollMode;
  readonly #sleeper: Sleeper;

  constructor(
    core: Core,
    words: ContextWords,
    timers: TimerGroup,
    polling: PollMode,
    sleeper: Sleeper,
  ) {
    this.#core = core;
    this.#words = words;
    this.#timers = timers;
    this.#polling = polling;
    this.#sleeper = sleeper;
  }

  /** See `AioContext.timeout`. */
  timeout(): number {
    const pending = this.#core.engine.bhPending(this.#words.address);
    if (pending === 2 || this.#words.get(CONTEXT_POLL_READY) !== 0) return 0;
    const timers = this.#timers.timeout;
    if (pending === 0) return timers;
    return timers < 0 ? IDLE_NS : Math.min(IDLE_NS, timers);
  }

  /** Has anybody notified since it was last accepted? */
  get notified(): boolean {
    return this.#words.load(CONTEXT_NOTIFIED) !== 0;
  }

  /** Is the notifier of a handler set? Its notify may have been accepted long ago. */
  get #event(): boolean {
    return this.#core.engine.handlerPending(this.#words.address) === 1;
  }

  /**
   * The thread goes back to a foreign loop: `wake` if a turn is wanted at once. Bit 0 comes first,
   * then the timeout: a notify in between is seen by one of the two (MC M2).
   */
  prepare(wake: () => void): void {
    this.#core.engine.prepare(this.#words.address);
    this.#polling.stop(); // what its last look finds makes the timeout 0 (GS-5)
    this.#polling.resetClock();
    this.#sleeper.listen();
    const timeout = this.timeout();
    if (timeout === 0 || this.notified || this.#event) {
      wake();
      return;
    }
    this.#words.add(CONTEXT_SLEEPS);
    this.#sleeper.sleep(timeout);
  }

  /** Returns when there is something to do, or nothing was found where it may not `sleep`. */
  await(spin: boolean, sleep: boolean): void {
    const polling = this.#polling;
    polling.startClock();
    let timeout = this.timeout();
    let found = timeout === 0 || this.#event;
    if (found && polling.on) polling.collect();
    if (!found && spin) {
      found = polling.spin(timeout);
      timeout = this.timeout();
    }
    // Poll mode ends before the sleep: from then on events notify; one more look is owed (AP-7).
    if (!found && sleep) found = timeout === 0 || this.notified || polling.stop();
    if (!found && sleep) this.#block();
    else this.#core.engine.accept(this.#words.address);
    if (found || sleep) polling.stopClock();
  }

  #block(): void {
    const { engine } = this.#core;
    const { address } = this.#words;
    const seen = this.#words.load(CONTEXT_WAKE) | 0;
    const timeout = this.timeout(); // the end of poll mode may have armed a timer
    // Who notifies from here on finds notify_me set, and counts up after `seen` was read.
    if (engine.waitEnter(address) === 1 && timeout !== 0) {
      this.#words.add(CONTEXT_SLEEPS);
      blockOnWord(this.#core, address, seen, timeout);
    }
    engine.waitLeave(address);
  }
}
