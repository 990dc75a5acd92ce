/**
 * One thread's view of a SCSI bus: the units that it serves, by address, and its requests. What
 * other threads are told of plugs and unplugs they do to their own (SC-8 to SC-10).
 *
 * All methods: the table's thread.
 */

import type { BackendLane } from '../block/lane.ts';
import type { Core } from '../engine/core.ts';
import { countResidual } from './answer.ts';
import { type ScsiRequest, ScsiRequestPool, type ScsiResponse } from './request.ts';
import { answerAbsentLun } from './target.ts';
import { EMULATED_MAX, type ScsiThread, ScsiUnit } from './unit.ts';
import { LUN_MAX, type ScsiUnitConfig, TARGET_MAX } from './unit-options.ts';

/** `find`: the target has other LUNs, or none that commands find. */
export type Absent = 'absent-lun' | 'absent-target';

export class ScsiUnits implements ScsiThread {
  readonly core: Core;
  readonly scratch = new Uint8Array(EMULATED_MAX);
  running = true;
  readonly #pool = new ScsiRequestPool();
  readonly #units = new Map<number, ScsiUnit>();

  constructor(core: Core) {
    this.core = core;
  }

  /** A request to fill in and submit, from the pool. */
  request(): ScsiRequest {
    return this.#pool.take();
  }

  /** Takes a unit in, realized or not. Throws if its address is taken. */
  plug(config: ScsiUnitConfig, lane: BackendLane): ScsiUnit {
    const { scsiId, lun } = config;
    const at = place(scsiId, lun);
    if (this.#units.has(at)) throw new Error(`LUN ${lun} of target ${scsiId} is taken`);
    const unit = new ScsiUnit(this, config, lane);
    this.#units.set(at, unit);
    return unit;
  }

  /** Takes it out. All its requests have been answered. */
  unplug(target: number, lun: number): void {
    const unit = this.#units.get(place(target, lun));
    if (!unit) throw new Error(`there is no LUN ${lun} of target ${target}`);
    unit.close();
    this.#units.delete(place(target, lun));
  }

  /** The unit at an address, whether commands find it or not. */
  at(target: number, lun: number): ScsiUnit | undefined {
    return this.#units.get(place(target, lun));
  }

  /** All units, whether commands find them or not. */
  [Symbol.iterator](): IterableIterator<ScsiUnit> {
    return this.#units.values();
  }

  /** The unit that commands to this address find (SC-9). */
  find(target: number, lun: number): ScsiUnit | Absent {
    const unit = this.#units.get(place(target, lun));
    if (unit?.words.realized) return unit;
    for (const { config, words } of this.#units.values()) {
      if (config.scsiId === target && words.realized) return 'absent-lun';
    }
    return 'absent-target';
  }

  lunsOf(target: number): readonly number[] {
    const found: number[] = [];
    for (const { config, words } of this.#units.values()) {
      if (config.scsiId === target && words.realized) found.push(config.lun);
    }
    return found.sort((a, b) => a - b);
  }

  lunsReported(target: number): void {
    for (const { config, words } of this.#units.values()) {
      if (config.scsiId === target) words.clearReportedLunsChanged();
    }
  }

  /** Begins a request for an address; `done` may be called before this returns. */
  submit(request: ScsiRequest, target: number, lun: number): void {
    const unit = this.find(target, lun);
    if (unit instanceof ScsiUnit) {
      unit.start(request);
      return;
    }
    if (unit === 'absent-target') {
      this.answer(request, 'bad-target');
      return;
    }
    request.begin(null);
    answerAbsentLun(this, request, target, lun);
    end(request);
  }

  /** Ends a request that no unit has been given; `done` is called before this returns. */
  answer(request: ScsiRequest, response: ScsiResponse): void {
    request.begin(null);
    request.response = response;
    end(request);
  }

  /** Cancels a request wherever it is; as `ScsiUnit.cancel`. */
  cancel(request: ScsiRequest, response: 'aborted' | 'reset' = 'aborted'): void {
    request.unit?.cancel(request, response);
  }
}

function end(request: ScsiRequest): void {
  countResidual(request);
  request.place = 'ended';
  request.done(request);
}

function place(target: number, lun: number): number {
  if (target > TARGET_MAX || lun > LUN_MAX) return -1;
  return target * (LUN_MAX + 1) + lun;
}
