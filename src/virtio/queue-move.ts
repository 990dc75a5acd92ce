/**
 * Queues change the thread that serves them (design section 7). While the old threads go on
 * serving, the new ones open lanes and make the queues, asleep; whoever refuses, refuses here, and
 * nothing has changed. Then, in a drained section:
 *
 *     the backend drains         the old thread listens no more, nothing is in a lane
 *     old thread: hand over      touches the queue no more; says what was popped and waits
 *     main                       tells what the queue has completed; the new thread has it now
 *     new thread: take           what waits is the new thread's
 *     the backend goes on        the new thread listens, and is kicked once (HN-8)
 *
 * Main thread.
 */

import { Undo } from '../aio/undo.ts';
import type { Core } from '../engine/core.ts';
import { QUEUE_F_HELD, QUEUE_FEATURES } from '../layout.ts';
import type { QueueGate, RingConfig } from './data-plane.ts';
import type { OwnedQueue } from './device-queue.ts';
import type { DeviceQueue, QueueGroup } from './queue-group.ts';
import type { QueueThread } from './remote-queues.ts';
import type { Unfinished } from './unfinished.ts';

/** The thread that serves a queue; null: main. */
export type Place = QueueThread | null;

/** What a move needs of the set of queues, and changes there. */
export interface MovingQueues<Config extends RingConfig> {
  readonly core: Core;
  readonly gate: QueueGate;
  /** By number of the queue. */
  readonly queues: OwnedQueue<Config>[];
  readonly threads: Place[];
  readonly groups: Map<Place, QueueGroup>;
  make(index: number, thread: Place, before: OwnedQueue<Config>): OwnedQueue<Config>;
  /** A group with these queues, asleep. */
  open(thread: Place, queues: readonly DeviceQueue[]): Promise<QueueGroup>;
  /** Closes a group. */
  close(thread: Place): Promise<void>;
  /** Queues change hands until this resolves. */
  handingOver(over: Promise<void>): void;
}

export class QueueMove<Config extends RingConfig> {
  readonly #set: MovingQueues<Config>;
  /** By number of the queue: where it goes, and what it will have there. */
  readonly #targets: ReadonlyMap<number, Place>;
  readonly #fresh = new Map<number, OwnedQueue<Config>>();
  /** What closes what is left behind. */
  readonly #left = new Undo();

  constructor(set: MovingQueues<Config>, targets: ReadonlyMap<number, Place>) {
    this.#set = set;
    this.#targets = targets;
  }

  /** Rejects if a thread refuses; then nothing has changed. */
  async prepare(): Promise<void> {
    const { groups, queues } = this.#set;
    const undo = new Undo();
    try {
      for (const [index, thread] of this.#targets) {
        const fresh = this.#set.make(index, thread, queues[index]!);
        undo.add(() => fresh.leave());
        this.#fresh.set(index, fresh);
      }
      for (const [thread, indexes] of byPlace(this.#targets)) {
        const own = indexes.map((index) => this.#fresh.get(index)!);
        const group = groups.get(thread);
        if (group) {
          await group.add(own);
          undo.add(() => group.remove(own));
        } else {
          groups.set(thread, await this.#set.open(thread, own));
          undo.add(() => this.#set.close(thread));
        }
      }
    } catch (error) {
      await undo.all();
      throw error;
    }
  }

  /** After `prepare`. When this resolves the new threads serve the queues. */
  async swap(): Promise<void> {
    const { gate } = this.#set;
    gate.drainedBegin();
    try {
      await gate.idle();
      const over = this.#handOver();
      this.#set.handingOver(over.catch(() => {}));
      await over;
    } finally {
      gate.drainedEnd();
    }
  }

  async #handOver(): Promise<void> {
    const { groups, queues, threads } = this.#set;
    const places = byPlace(new Map([...this.#targets.keys()].map((i) => [i, threads[i]!])));
    const waiting = new Map<number, Unfinished>();
    const answers = [...places].map(async ([thread, indexes]) => {
      const group = groups.get(thread)!;
      const unfinished = await group.handOver(indexes.map((index) => queues[index]!));
      for (const [i, index] of indexes.entries()) waiting.set(index, unfinished[i]!);
    });
    await Promise.all(answers);
    for (const [thread, indexes] of places) this.#leave(thread, indexes);
    for (const [index, thread] of this.#targets) this.#arrive(index, thread);
    const taken = [...byPlace(this.#targets)].map(([thread, indexes]) => {
      const unfinished = indexes.map((index) => waiting.get(index)!);
      return groups.get(thread)!.take(
        indexes.map((index) => queues[index]!),
        unfinished,
      );
    });
    await Promise.all(taken);
  }

  /** All that was completed there has been told when this returns. */
  #leave(thread: Place, indexes: readonly number[]): void {
    const group = this.#set.groups.get(thread)!;
    const gone = indexes.map((index) => this.#set.queues[index]!);
    const removed = Promise.resolve(group.remove(gone));
    removed.catch(() => {}); // `finish` tells
    for (const one of gone) this.#left.add(() => one.leave());
    this.#left.add(() => removed);
  }

  #arrive(index: number, thread: Place): void {
    const { core, queues, threads } = this.#set;
    const fresh = this.#fresh.get(index)!;
    const held = fresh.log === 0 ? 0 : QUEUE_F_HELD;
    const features = (fresh.config.queue + QUEUE_FEATURES) >>> 2;
    fresh.features = (queues[index]!.features & ~QUEUE_F_HELD) | held;
    core.u32[features] = (core.u32[features]! & ~QUEUE_F_HELD) | held;
    queues[index] = fresh;
    threads[index] = thread;
  }

  /**
   * After `swap`: closes what nobody uses any more, whatever fails; then throws what failed first.
   */
  async finish(): Promise<void> {
    const { groups, threads } = this.#set;
    const unused = [...groups.keys()].filter((thread) => !threads.includes(thread));
    const undo = new Undo();
    undo.add(() => Promise.all(unused.map((thread) => this.#set.close(thread))));
    undo.add(() => this.#left.all());
    await undo.all();
  }
}

function byPlace(queues: ReadonlyMap<number, Place>): Map<Place, number[]> {
  const places = new Map<Place, number[]>();
  for (const [index, thread] of queues) {
    const indexes = places.get(thread) ?? [];
    indexes.push(index);
    places.set(thread, indexes);
  }
  return places;
}
