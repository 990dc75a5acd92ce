/**
 * What a queue has to tell the control plane, kept until it is outside of its handler loop:
 * interrupts, failures, and that it broke. Belongs to one `RingQueue` and its home thread.
 */

import { deferCall } from '../aio/defer-call.ts';
import { BROKEN_ENGINE, QUEUE_BROKEN } from '../layout.ts';
import type { QueueEvents, RingConfig } from './data-plane.ts';
import type { IoFailure } from './io-failure.ts';
import type { RingRecords } from './ring-records.ts';

/** Where it stands whether a push wanted an interrupt. */
interface Pushes {
  interrupt: boolean;
}

export class QueueNews {
  readonly #config: RingConfig;
  readonly #records: RingRecords;
  readonly #pushes: Pushes;
  readonly #events: QueueEvents;
  readonly #failures: IoFailure[] = [];
  #brokenTold = false;
  #cause: unknown;

  constructor(config: RingConfig, records: RingRecords, pushes: Pushes, events: QueueEvents) {
    this.#config = config;
    this.#records = records;
    this.#pushes = pushes;
    this.#events = events;
  }

  /** Something is to be told that no push will tell of. */
  get urgent(): boolean {
    return this.#cause !== undefined || this.#failures.length > 0;
  }

  /** A new epoch: the queue is as new. Failures of the last one are still told of. */
  begin(): void {
    this.#brokenTold = false;
    this.#cause = undefined;
  }

  failed(failure: IoFailure): void {
    this.#failures.push(failure);
  }

  /**
   * The engine itself failed, or a driver threw: this queue is dead until reset, and nothing
   * else. Not through the engine, which may be what is broken.
   */
  threw(error: unknown): void {
    this.#cause ??= error ?? new Error('something threw nothing');
    this.#records.refresh();
    const at = (this.#config.queue + QUEUE_BROKEN) >>> 2;
    Atomics.compareExchange(this.#records.u32, at, 0, BROKEN_ENGINE);
  }

  /** The records' view is fresh; what is called here may grow the memory. */
  tell(): void {
    const { index, queue } = this.#config;
    const broken = Atomics.load(this.#records.u32, (queue + QUEUE_BROKEN) >>> 2);
    if (this.#pushes.interrupt) {
      this.#pushes.interrupt = false;
      deferCall(this.#interrupt, index); // several queues in one section: once each at its end
    }
    if (this.#failures.length > 0) this.#tellFailures();
    if (broken === 0 || this.#brokenTold) return;
    this.#brokenTold = true;
    this.#events.broken(index, broken, this.#cause);
  }

  #tellFailures(): void {
    for (const failure of this.#failures.splice(0)) this.#events.ioError?.(failure);
  }

  readonly #interrupt = (index: number): void => this.#events.interrupt(index);
}
