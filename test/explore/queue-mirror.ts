/**
 * The steps around a queue that are JavaScript's: a driver as in src/guest/ring.ts, and a device
 * that serves as src/virtio/blk-queue.ts does, of which only pop, push and notifications remain.
 */

import {
  HANDLER_F_POLLED,
  HANDLER_FLAGS,
  HANDLER_QUEUE,
  QUEUE_BATCH,
  QUEUE_DONE,
  QUEUE_NOTIFICATION,
} from '#src/layout';
import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_AVAIL_IDX,
  VIRTQ_USED_F_NO_NOTIFY,
  VIRTQ_USED_IDX,
  VIRTQ_USED_RING,
} from '#src/spec';
import { atomics, type ExploredEngine, type Piece, scope } from './step.ts';
import type { Ring, World } from './world.ts';

export interface BrokenDriver {
  /** The driver asks whether to kick before it publishes (MC M7b). */
  flagBeforePublish?: boolean;
  /** It looks at the used ring before it asks for interrupts, and not after. */
  lookBeforeAsking?: boolean;
}

/** The driver's side of a ring. */
export class Driver {
  readonly #world: World;
  readonly #ring: Ring;
  readonly #broken: BrokenDriver;
  #published = 0;
  collected = 0;

  constructor(world: World, ring: Ring, broken: BrokenDriver = {}) {
    this.#world = world;
    this.#ring = ring;
    this.#broken = broken;
  }

  /** Publishes the next chain. True if the device wants the doorbell for it (2.7.13). */
  *publish(): Piece<boolean> {
    const { arena } = this.#world;
    const { avail, heads, num } = this.#ring;
    const slot = this.#published % num;
    let wanted = this.#broken.flagBeforePublish && (yield* this.#wantsKick(this.#published + 1));
    arena.halves[(heads >>> 1) + slot] = slot;
    this.#published += 1;
    yield* atomics.store16(avail + VIRTQ_AVAIL_IDX, this.#published);
    if (wanted === undefined) wanted = yield* this.#wantsKick(this.#published);
    return wanted;
  }

  *#wantsKick(now: number): Piece<boolean> {
    const { used, num, eventIdx } = this.#ring;
    if (!eventIdx) return ((yield* atomics.load16(used)) & VIRTQ_USED_F_NO_NOTIFY) === 0;
    const event = yield* atomics.load16(used + VIRTQ_USED_RING + 8 * num);
    return ((now - event - 1) & 0xffff) < 1;
  }

  /** Collects what has finished. */
  *collect(): Piece<number> {
    this.collected = yield* atomics.load16(this.#ring.used + VIRTQ_USED_IDX);
    return this.collected;
  }

  /** Asks for an interrupt; true if one need not be waited for: something has finished. */
  *askForInterrupt(): Piece<boolean> {
    const { avail, used, heads, num, eventIdx } = this.#ring;
    if (this.#broken.lookBeforeAsking) yield* this.collect();
    const before = this.collected;
    if (eventIdx) yield* atomics.store16(heads + 2 * num, before);
    else yield* atomics.store16(avail, 0);
    if (this.#broken.lookBeforeAsking) return false;
    return (yield* atomics.load16(used + VIRTQ_USED_IDX)) !== before;
  }

  /** As a ring begins whose driver polls. */
  refuseInterrupts(): void {
    const { avail, heads, num, eventIdx } = this.#ring;
    const { halves } = this.#world.arena;
    if (eventIdx) halves[(heads + 2 * num) >>> 1] = 0xffff;
    else halves[avail >>> 1] = VIRTQ_AVAIL_F_NO_INTERRUPT;
  }
}

/** The device's side: the home thread of the queue. */
export class Device {
  readonly #world: World;
  readonly #ring: Ring;
  readonly #engine: ExploredEngine;
  /** Called when the driver is to be interrupted. */
  readonly #interrupt: () => Piece;
  served = 0;

  constructor(world: World, ring: Ring, engine: ExploredEngine, interrupt: () => Piece = nothing) {
    this.#world = world;
    this.#ring = ring;
    this.#engine = engine;
    this.#interrupt = interrupt;
  }

  /** VQ-10: notifications off, serve, on, and look once more, unless they were off before. */
  serve(): Piece {
    return scope(this.#serve(), () => this.served);
  }

  *#serve(): Piece {
    const { queue } = this.#ring;
    const engine = this.#engine;
    const ours = this.#word(queue + QUEUE_NOTIFICATION) === 1;
    for (let more = 1; more !== 0; ) {
      if (ours) yield* engine.queueSetNotification(queue, 0);
      for (let count = yield* this.take(); count > 0; count = yield* this.take()) {
        yield* this.give(count);
      }
      if (ours) more = yield* engine.queueSetNotification(queue, 1);
      else more = 1 - (yield* engine.queueEmpty(queue));
    }
  }

  /** Pops what is there. */
  *take(): Piece<number> {
    const count = yield* this.#engine.queuePop(this.#ring.queue, this.#ring.num);
    if (count < 0) throw new Error(`pop: ${count}`);
    return count;
  }

  /** Pushes `count` of what was popped, from the `from`-th on. */
  *give(count: number, from = 0): Piece {
    const { queue } = this.#ring;
    const { words } = this.#world.arena;
    const [batch, done] = [this.#word(queue + QUEUE_BATCH), this.#word(queue + QUEUE_DONE)];
    for (let i = 0; i < count; i++) {
      words[(done >>> 2) + i] = words[(batch >>> 2) + from + i] as number;
    }
    const wanted = yield* this.#engine.queuePush(queue, count);
    if (wanted < 0) throw new Error('push: a head that is not in flight');
    this.served += count;
    if (wanted === 1) yield* this.#interrupt();
  }

  /** Begin and end of busy polling (src/virtio/host-notifier.ts). */
  setNotification(on: boolean): Piece<number> {
    return this.#engine.queueSetNotification(this.#ring.queue, on ? 1 : 0);
  }

  #word(address: number): number {
    return this.#world.arena.word(address);
  }
}

function* nothing(): Piece {}

/** Has busy polling look at the ring, too. `handler`: address of its place. */
export function pollRing({ arena }: World, handler: number, ring: Ring): void {
  arena.setWord(handler + HANDLER_QUEUE, ring.queue);
  arena.setWord(handler + HANDLER_FLAGS, HANDLER_F_POLLED);
}
