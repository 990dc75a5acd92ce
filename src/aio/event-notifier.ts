/**
 * Event notifiers: saturating flags that one side sets and the watching context clears (NT-9).
 * Host notifiers (a guest's kick) and guest notifiers (an interrupt) are such flags.
 * QEMU: `util/event_notifier-posix.c`, without the file descriptor.
 */

import type { Core } from '../engine/core.ts';
import { NOTIFIER_FLAG, NOTIFIER_SIZE, NOTIFIER_WATCHER } from '../layout.ts';
import { wakeContext } from './wake.ts';

export class EventNotifier {
  readonly name: string;
  readonly #core: Core;
  readonly #owned: boolean;
  /** Core address of its words; 0 after `close`. */
  #address: number;
  /** Removes its handler. */
  #unwatch: (() => void) | null = null;

  /** Main (it allocates). `active` starts it set. */
  constructor(core: Core, name = 'notifier', active = false, address = 0) {
    this.#core = core;
    this.name = name;
    this.#owned = address === 0;
    this.#address = address || core.allocate(NOTIFIER_SIZE);
    if (active) this.set();
  }

  /** The notifier at `address`, which main has made and will close. Any thread. */
  static at(core: Core, address: number, name?: string): EventNotifier {
    return new EventNotifier(core, name, false, address);
  }

  get address(): number {
    return this.#address;
  }

  /** Sets the flag and notifies the watcher. Idempotent; a no-op after `close`. Any thread. */
  set(): void {
    if (this.#address === 0 || this.#core.engine.notifierSet(this.#address) !== 1) return;
    const watcher = Atomics.load(this.#core.u32, (this.#address + NOTIFIER_WATCHER) >>> 2);
    // Whoever has taken the watcher away meanwhile looks at the flag himself (HN-2).
    if (watcher !== 0) wakeContext(this.#core, watcher);
  }

  /** Is the flag set? A hint: only `testAndClear` takes it. */
  get isSet(): boolean {
    if (this.#address === 0) return false;
    return Atomics.load(this.#core.i32, (this.#address + NOTIFIER_FLAG) >>> 2) !== 0;
  }

  /** Clears the flag completely and says whether it was set. False after `close`. */
  testAndClear(): boolean {
    return this.#address !== 0 && this.#core.engine.notifierTestAndClear(this.#address) === 1;
  }

  /**
   * Says which context is to be notified, and how to remove the handler there; 0 and null for none.
   * For `AioContext.setHandler`. A kick that still reads the old watcher is caught by the self-kick
   * of attach and the test-and-clear of detach (HN-2, HN-8).
   */
  watch(context: number, unwatch: (() => void) | null): void {
    if (this.#address === 0) return;
    this.#unwatch = unwatch;
    this.#core.engine.notifierWatch(this.#address, context);
  }

  /** A handler that it still has is removed. The words stay if main's own notifier is elsewhere. */
  close(): void {
    if (this.#address === 0) return;
    this.#unwatch?.();
    if (this.#owned) {
      this.watch(0, null);
      this.#core.free(this.#address);
    }
    this.#address = 0;
  }
}
