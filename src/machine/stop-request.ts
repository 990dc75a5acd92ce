/**
 * A stop that an error asks for. It takes its place among the machine's transitions when it is
 * prepared, which is before the error is told of, so that a `cont` of whoever hears of the error
 * comes after the stop (BB-19). QEMU: `qemu_system_vmstop_request_prepare`.
 */

import type { StoppedState } from './run-state.ts';

export class StopRequest {
  /** Resolves when the stop may be made; null: it need not be made any more. */
  readonly released: Promise<StoppedState | null>;
  #state: StoppedState | null = null;
  #resolve!: (state: StoppedState | null) => void;

  constructor() {
    this.released = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** The first of several states counts. */
  name(state: StoppedState): void {
    this.#state ??= state;
  }

  release(): void {
    this.#resolve(this.#state);
  }

  /** Another stop came first. */
  drop(): void {
    this.#resolve(null);
  }
}
