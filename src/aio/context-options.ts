/** What a context is made with. */

import type { Clock, Clocks } from './clock.ts';
import type { ContextSizes } from './context-block.ts';
import type { SleeperKind } from './word-sleeper.ts';

export interface AioContextOptions extends ContextSizes {
  /** For messages; default `main`. */
  name?: string;
  /**
   * `word`: turns come from the JavaScript loop and from other threads (default where the memory
   * is shared). `loop`: from the JavaScript loop alone. `hook`: the owner calls `turn()`.
   */
  sleeper?: SleeperKind;
  /** With `hook`: a turn is wanted. */
  onWake?: () => void;
  /** With `hook`: no turn is wanted for `ns` nanoseconds (-1: for ever), unless `onWake` comes. */
  onSleep?: (ns: number) => void;
  /** Real time for the timers and for busy polling. */
  clock?: Clock;
  /** All clocks, in place of `clock`: contexts of a thread may have them together. */
  clocks?: Clocks;
  /** A block that main made with `AioContext.allocate`; sizes are the block's then. */
  block?: number;
  /** For tests: the rule that only the home thread polls is off (NT-12). */
  anyThreadMayPoll?: boolean;
}
