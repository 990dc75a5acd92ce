/**
 * Event notifiers: saturating flags that one side sets and the watching context clears (NT-9).
 * Host notifiers (a guest's kick) and guest notifiers (an interrupt) are such flags.
 * QEMU: `util/event_notifier-posix.c`, without the file descriptor.
 */

import type { Core } from '../engine/core.ts';
import { NOTIFIER_FLAG, NOTIFIER_SIZE, NOTIFIER_WATCHER } from '../layout.ts';

export class EventNotifier {
  readonly name: string;
  readonly #core: Core;
  /** Core address of its words; 0 after `close`. */
  #address: number;
  /** Wakes the sleeper of the watching context, if it lives on this thread. */
  #wakeWatcher: (() => void) | null = null;

  /** Home thread (it allocates). `active` starts it set. */
  constructor(core: Core, name = 'notifier', active = false) {
    this.#core = core;
    this.name = name;
    this.#address = core.allocate(NOTIFIER_SIZE);
    if (active) core.engine.notifierSet(this.#address);
  }

  get address(): number {
    return this.#address;
  }

  /** Sets the flag and notifies the watcher. Idempotent; a no-op after `close`. Any thread. */
  set(): void {
    if (this.#address === 0) return;
    if (this.#core.engine.notifierSet(this.#address) === 1) this.#wakeWatcher?.();
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
   * Says which context is to be notified; 0 and null for none. For `AioContext.setHandler`.
   * A kick that still reads the old watcher is caught by the self-kick of attach and the
   * test-and-clear of detach (HN-2, HN-8).
   */
  watch(context: number, wake: (() => void) | null): void {
    if (this.#address === 0) return;
    this.#wakeWatcher = wake;
    Atomics.store(this.#core.i32, (this.#address + NOTIFIER_WATCHER) >>> 2, context);
  }

  close(): void {
    if (this.#address === 0) return;
    this.watch(0, null);
    this.#core.free(this.#address);
    this.#address = 0;
  }
}
