/** Chains as promises, for drivers whose requests are awaited one by one. */

import type { GuestChain } from './chain.ts';
import type { ChainOwner, GuestDevice } from './device.ts';
import { GuestError } from './error.ts';

/**
 * Adds chains to a device's rings, waiting for room, and resolves when they come back. While
 * somebody waits it polls the used rings, unless the device interrupts.
 */
export class ChainCalls {
  /** Chains and others under way: as long as there are any, somebody polls. */
  pending = 0;
  /** Chains are added, but nobody is told: the owner submits. */
  plugged = false;
  readonly #device: GuestDevice;
  #pump: Promise<void> | null = null;
  /** Those that wait for room in a ring. */
  #waiting: (() => void)[] = [];

  constructor(device: GuestDevice) {
    this.#device = device;
  }

  /** Puts `chain` into the ring of `queue`; its used length. Rejects with ERESET or ENOMEM. */
  async run(queue: number, chain: GuestChain): Promise<number> {
    this.pending++;
    try {
      return await this.#add(queue, chain);
    } finally {
      this.pending--;
    }
  }

  /** Keeps polling until `promise` is settled. */
  async during<T>(promise: Promise<T>): Promise<T> {
    this.pending++;
    this.#startPump();
    try {
      return await promise;
    } finally {
      this.pending--;
    }
  }

  /** Chains came back, or the rings are gone: who waits for room looks again. */
  wake(): void {
    if (this.#waiting.length === 0) return; // nothing is allocated per request
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  async #add(queue: number, chain: GuestChain): Promise<number> {
    for (;;) {
      const ring = this.#device.rings[queue];
      if (!ring) throw new GuestError('ERESET', 'the device was reset');
      const waiter = new Waiter();
      if (this.#device.add(queue, chain, waiter) >= 0) {
        if (!this.plugged) this.#device.submit(queue);
        this.#startPump();
        return waiter.promise;
      }
      if (ring.inFlight === 0) {
        throw new GuestError('ENOMEM', `${chain.count} buffers never fit into the ring`);
      }
      const room = new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#startPump();
      await room;
    }
  }

  /** Without interrupts somebody must look at the used rings while promises are open. */
  #startPump(): void {
    if (this.#device.options.interrupts || this.#pump) return;
    this.#pump = this.#pumpUntilDone().finally(() => {
      this.#pump = null;
    });
    // Somebody may have come after it had looked for the last time.
    void this.#pump.then(() => {
      if (this.pending > 0) this.#startPump();
    });
  }

  async #pumpUntilDone(): Promise<void> {
    while (this.pending > 0) {
      if (this.#device.poll() > 0) await null;
      else await this.#device.relax();
    }
  }
}

/** A request that waits for its chain. */
class Waiter implements ChainOwner {
  readonly promise: Promise<number>;
  #resolve!: (written: number) => void;
  #reject!: (error: GuestError) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever asked sees the rejection; one that nobody awaits yet is no crash.
    this.promise.catch(() => {});
  }

  finished(_head: number, written: number): void {
    this.#resolve(written);
  }

  dropped(): void {
    this.#reject(new GuestError('ERESET', 'the device was reset'));
  }
}
