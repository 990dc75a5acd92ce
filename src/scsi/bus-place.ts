/**
 * A thread that serves command queues of a SCSI bus, seen from main: it has lanes to all disks of
 * the bus, and is asked by messages. Main thread.
 */

import type { AioContext } from '../aio/context.ts';
import type { BlockBackend, LaneThread, RemoteLane } from '../block/backend.ts';
import type { BackendLane } from '../block/lane.ts';
import type { Core } from '../engine/core.ts';
import {
  type BusMessage,
  type BusMessages,
  type MaybeLater,
  SCSI_ERROR_EVENT,
  type ScsiErrorTold,
  type UnitFailure,
} from './bus-messages.ts';
import { ScsiHome } from './home.ts';
import type { ScsiUnitConfig } from './unit-options.ts';

export interface BusPlace {
  /** Has the thread do what the message says. Rejects, or throws, what it throws there. */
  ask<M extends BusMessage>(
    message: M,
    payload: BusMessages[M]['payload'],
  ): MaybeLater<BusMessages[M]['answer']>;
  /** Opens the disk there, and puts the unit into the thread's table. All or nothing. */
  plug(config: ScsiUnitConfig, backend: BlockBackend): MaybeLater<void>;
  /** The other way round. All of its requests have been answered. */
  unplug(config: ScsiUnitConfig): MaybeLater<void>;
  /** All units have been unplugged. */
  close(): MaybeLater<void>;
}

/** Main's own thread. */
export class LocalBusPlace implements BusPlace {
  readonly home: ScsiHome;
  readonly #context: AioContext;
  readonly #lanes = new Map<number, BackendLane>();

  constructor(core: Core, context: AioContext, bus: number, tell: (failure: UnitFailure) => void) {
    this.#context = context;
    this.home = new ScsiHome(core, context, bus, (address) => this.#laneAt(address), tell);
  }

  #laneAt(address: number): BackendLane {
    const lane = [...this.#lanes.values()].find((one) => one.address === address);
    if (!lane) throw new Error(`no lane at ${address}`);
    return lane;
  }

  ask<M extends BusMessage>(
    message: M,
    payload: BusMessages[M]['payload'],
  ): MaybeLater<BusMessages[M]['answer']> {
    return this.home.on(message, structuredClone(payload));
  }

  plug(config: ScsiUnitConfig, backend: BlockBackend): void {
    const lane = backend.openLane(this.#context);
    this.#lanes.set(config.words, lane);
    void this.ask('plug', { config, lane: lane.address });
  }

  unplug({ words, scsiId: target, lun }: ScsiUnitConfig): void {
    void this.ask('unplug', { target, lun });
    this.#lanes.get(words)!.close();
    this.#lanes.delete(words);
  }

  close(): void {
    void this.ask('close', {});
  }
}

/** An IOThread. */
export class RemoteBusPlace implements BusPlace {
  readonly #bus: number;
  readonly #thread: LaneThread;
  readonly #lanes = new Map<number, RemoteLane>();
  readonly #deaf: () => void;

  /** Rejects with what the thread throws. */
  static async open(
    bus: number,
    thread: LaneThread,
    tell: (failure: UnitFailure) => void,
  ): Promise<RemoteBusPlace> {
    const place = new RemoteBusPlace(bus, thread, tell);
    try {
      await place.ask('open', {});
    } catch (error) {
      place.#deaf();
      throw error;
    }
    return place;
  }

  private constructor(bus: number, thread: LaneThread, tell: (failure: UnitFailure) => void) {
    this.#bus = bus;
    this.#thread = thread;
    const heard = thread.on?.<ScsiErrorTold>(SCSI_ERROR_EVENT, ({ bus: of, failure }) => {
      if (of === bus) tell(failure);
    });
    this.#deaf = heard ?? (() => {});
  }

  ask<M extends BusMessage>(
    message: M,
    payload: BusMessages[M]['payload'],
  ): Promise<BusMessages[M]['answer']> {
    const asked = this.#thread.call(`scsi-${message}`, { ...payload, bus: this.#bus });
    return asked as Promise<BusMessages[M]['answer']>;
  }

  async plug(config: ScsiUnitConfig, backend: BlockBackend): Promise<void> {
    const lane = await backend.openLaneOn(this.#thread);
    try {
      await this.ask('plug', { config, lane: lane.address });
    } catch (error) {
      await lane.close();
      throw error;
    }
    this.#lanes.set(config.words, lane);
  }

  async unplug({ words, scsiId: target, lun }: ScsiUnitConfig): Promise<void> {
    await ifAlive(this.ask('unplug', { target, lun }), undefined);
    const lane = this.#lanes.get(words)!;
    this.#lanes.delete(words);
    await lane.close();
  }

  async close(): Promise<void> {
    this.#deaf();
    await ifAlive(this.ask('close', {}), undefined);
  }
}

/** The answer, or `instead` of a thread that has died or stopped: it has nothing any more. */
export async function ifAlive<T>(answer: MaybeLater<T>, instead: T): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === 'EOWNERDEAD' || code === 'ESHUTDOWN') return instead;
    throw error;
  }
}
