/**
 * A SCSI bus on one of the threads that serve its command queues: its units there, the queues by
 * which their commands come, and what main asks of them. A request is touched only here (SC-1), so
 * that a walk over all requests of a unit is a message to each thread that may have some, answered
 * when it is done (SC-4). All methods: the thread. QEMU: `scsi_device_for_each_req_async`.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import type { BackendLane } from '../block/lane.ts';
import type { Core } from '../engine/core.ts';
import type {
  BusMessage,
  BusMessages,
  CommandMatch,
  MaybeLater,
  UnitFailure,
} from './bus-messages.ts';
import type { ScsiFailure } from './unit.ts';
import { ScsiUnits } from './units.ts';

/** A command queue of the HBA's. */
export interface CommandSource {
  /**
   * Asks for the end of its commands that match. How many there were, once the driver has been
   * given all of them back.
   */
  cancel(match: CommandMatch, response: 'aborted' | 'reset'): MaybeLater<number>;
  /** How many such commands has it? */
  count(match: CommandMatch): number;
}

export class ScsiHome {
  readonly core: Core;
  readonly context: AioContext;
  /** Core address of the bus's words. */
  readonly bus: number;
  readonly units: ScsiUnits;
  readonly sources = new Set<CommandSource>();
  readonly #tell: (failure: UnitFailure) => void;
  readonly #laneAt: (address: number) => BackendLane;
  readonly #bottomHalf: BottomHalf;
  #failures: UnitFailure[] = [];

  /** `tell` is called outside of all handlers. Throws a RangeError if the context is full. */
  constructor(
    core: Core,
    context: AioContext,
    bus: number,
    laneAt: (address: number) => BackendLane,
    tell: (failure: UnitFailure) => void,
  ) {
    this.core = core;
    this.context = context;
    this.bus = bus;
    this.units = new ScsiUnits(core);
    this.#tell = tell;
    this.#laneAt = laneAt;
    this.#bottomHalf = context.bottomHalf('scsi errors', () => this.#tellFailures());
  }

  /** Has no units any more. */
  close(): void {
    this.#tellFailures();
    this.#bottomHalf.delete();
  }

  /** Does what main asks for. */
  on<M extends BusMessage>(
    message: M,
    payload: BusMessages[M]['payload'],
  ): MaybeLater<BusMessages[M]['answer']> {
    const step = this.#steps[message] as (payload: BusMessages[M]['payload']) => never;
    return step(payload);
  }

  readonly #steps: {
    [M in BusMessage]: (payload: BusMessages[M]['payload']) => MaybeLater<BusMessages[M]['answer']>;
  } = {
    open: () => {},
    close: () => this.close(),
    plug: ({ config, lane }) => {
      const unit = this.units.plug(config, this.#laneAt(lane));
      unit.onFailure = (failure) => this.#failed(failure);
    },
    unplug: ({ target, lun }) => this.units.unplug(target, lun),
    cancel: ({ response, ...match }) =>
      sum([...this.sources], (one) => one.cancel(match, response)),
    count: (match) => [...this.sources].reduce((all, one) => all + one.count(match), 0),
    run: ({ running }) => this.#run(running),
    heard: () => this.#tellFailures(),
  };

  /** Failed requests of the unit, and all that waited while the machine was stopped (VM-3). */
  #run(running: boolean): void {
    this.units.running = running;
    if (!running) {
      this.#tellFailures();
      return;
    }
    for (const unit of [...this.units]) {
      unit.restartFailed();
      unit.resume();
    }
  }

  #failed({ unit, operation, errno, action }: ScsiFailure): void {
    this.#failures.push({ unit: unit.config.words, operation, errno, action });
    this.#bottomHalf.schedule();
  }

  #tellFailures(): void {
    const failures = this.#failures;
    this.#failures = [];
    for (const failure of failures) this.#tell(failure);
  }
}

/** Asks all at once; a promise only if one of them answers later. */
export function sum<T>(all: readonly T[], ask: (one: T) => MaybeLater<number>): MaybeLater<number> {
  const answers = all.map(ask);
  const add = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  if (answers.every((answer) => typeof answer === 'number')) return add(answers as number[]);
  return Promise.all(answers).then(add);
}
