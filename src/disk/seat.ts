/**
 * A queue for a client, on main's side: it is offered, claimed by a client somewhere, taken back,
 * made new and offered again. Main thread.
 */

import { AioContext } from '../aio/context.ts';
import { EventNotifier } from '../aio/event-notifier.ts';
import { setPollParams } from '../aio/poll-params.ts';
import { type Spinner, spinners } from '../aio/spinners.ts';
import type { Core } from '../engine/core.ts';
import { GuestRam } from '../guest/ram.ts';
import { GuestRing } from '../guest/ring.ts';
import { NOTIFIER_WATCHER } from '../layout.ts';
import type { VirtioBlk } from '../virtio/virtio-blk.ts';
import {
  CLAIM_FREE,
  CLAIM_OFFERED,
  CLAIM_OPEN,
  CLAIM_RELEASED,
  CLAIM_SIZE,
  Claim,
} from './claim.ts';
import type { ConnectSettings } from './options.ts';
import { type QueuePlace, ringMemory } from './queue-place.ts';
import type { BufferPlace, SharedBuffers } from './shared-buffers.ts';
import type { DirectTransport } from './transport.ts';

/** A client's context has one handler and no bottom halves of ours. */
const CONTEXT_SIZES = { slots: 8, handlers: 4, coroutines: 1 };

export interface Offer {
  readonly claim: number;
  readonly generation: number;
  readonly context: number;
  readonly buffers: BufferPlace;
}

export class Seat {
  readonly place: QueuePlace;
  readonly #core: Core;
  readonly #device: VirtioBlk;
  readonly #transport: DirectTransport;
  readonly #address: number;
  readonly #claim: Claim;
  readonly #buffers: SharedBuffers;
  #lent: BufferPlace | null = null;
  #spinner: Spinner | null = null;
  /** Context of the last client, and of the one before: somebody may be about to wake that. */
  #context = 0;
  #retired = 0;

  constructor(
    place: QueuePlace,
    core: Core,
    device: VirtioBlk,
    transport: DirectTransport,
    buffers: SharedBuffers,
  ) {
    this.#core = core;
    this.#device = device;
    this.#transport = transport;
    this.#buffers = buffers;
    this.place = place;
    this.#address = core.allocate(CLAIM_SIZE);
    this.#claim = new Claim(core, this.#address);
  }

  get generation(): number {
    return this.#claim.generation;
  }

  /** Nobody has it, or can get it by a handle. */
  get vacant(): boolean {
    return !this.taken && this.#claim.state !== CLAIM_OFFERED;
  }

  /** A client has it. */
  get taken(): boolean {
    return this.#claim.state === CLAIM_OPEN;
  }

  /**
   * Makes the queue new, whatever its last client left, and offers it. Throws DiskError ENOMEM if
   * there are no `bytes` left, and what the core throws; then nothing is on offer.
   */
  async offer({ bytes, pollMaxNs }: ConnectSettings): Promise<Offer> {
    await this.reset();
    const core = this.#core;
    const { place } = this;
    this.#forget();
    const lent = this.#buffers.reserve(bytes);
    try {
      this.#context = AioContext.allocate(core, CONTEXT_SIZES);
    } catch (error) {
      this.#buffers.giveBack(lent);
      throw error;
    }
    this.#lent = lent;
    const ram = new GuestRam(ringMemory(core, place));
    this.#transport.setUpQueue(
      place.index,
      new GuestRing(ram, { size: place.ringSize, eventIdx: true }),
    );
    const generation = this.#claim.offer();
    this.#letPoll(pollMaxNs);
    return { claim: this.#address, generation, context: this.#context, buffers: lent };
  }

  /**
   * The client spins like an IOThread, and as those only while there are cores enough. It is not
   * counted when it has closed.
   */
  #letPoll(ns: number): void {
    const core = this.#core;
    const context = this.#context;
    if (ns === 0) return;
    this.#spinner = {
      wanted: () => (this.vacant ? 0 : ns),
      allow: (polling) => setPollParams(core, context, { maxNs: polling ? ns : 0 }),
    };
    spinners.add(this.#spinner);
  }

  /** Does the thread that serves the queue watch for kicks? Else a client's are not heard. */
  get heard(): boolean {
    return Atomics.load(this.#core.u32, (this.place.host + NOTIFIER_WATCHER) >>> 2) !== 0;
  }

  /**
   * Takes the queue from the client of `generation`, who is told if he lives: `state` is why
   * (CLAIM_*). False if it is not his any more.
   */
  revoke(generation: number, state: number): boolean {
    if (!this.#claim.revoke(generation, state)) return false;
    EventNotifier.at(this.#core, this.place.guest).set();
    return true;
  }

  /** Nothing touches the ring and the slots any more, and no request of theirs is in flight. */
  async reset(): Promise<void> {
    const { index } = this.place;
    const registers = this.#device.queues[index]!;
    if (!registers.enabled && !registers.draining) return;
    this.#device.disableQueue(index);
    while (registers.draining) await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** What the last client had. One that did not close may live on: nobody else is given it. */
  #forget(): void {
    if (this.#spinner) spinners.remove(this.#spinner);
    this.#spinner = null;
    if (this.#retired !== 0) AioContext.release(this.#core, this.#retired);
    const released = this.#claim.state === CLAIM_RELEASED;
    if (released && this.#lent) this.#buffers.giveBack(this.#lent);
    this.#retired = released ? this.#context : 0;
    this.#lent = null;
    this.#context = 0;
  }

  /** The device is closed. What a client has open stays: it may still look at it. */
  close(): void {
    const { state } = this.#claim;
    this.#forget();
    if (this.#retired !== 0) AioContext.release(this.#core, this.#retired);
    if (state === CLAIM_FREE || state === CLAIM_RELEASED) this.#core.free(this.#address);
  }
}
