/**
 * A SCSI bus: which logical units there are, on which threads their commands are served, and what
 * is done to all of those at once. It knows nothing of the HBA but `ScsiBusEvents`. Main thread.
 *
 * Plug and unplug (SC-17, SC-9): every thread that may get commands has the unit before any command
 * can find it, and no command can find it before its requests are purged. The caller has one of
 * them go on at a time. QEMU: `hw/scsi/scsi-bus.c`.
 */

import type { AioContext } from '../aio/context.ts';
import { Undo } from '../aio/undo.ts';
import type { BlockBackend, LaneThread } from '../block/backend.ts';
import { OptionError } from '../block/error.ts';
import type { Core } from '../engine/core.ts';
import {
  LUN_HIDDEN,
  LUN_LEAVING,
  LUN_REALIZED,
  SCSI_BUS_ATTENTION,
  SCSI_BUS_SIZE,
} from '../layout.ts';
import { DEPTH_DISK_OF_HBA, type Machine } from '../machine/machine.ts';
import type {
  BusMessage,
  BusMessages,
  CommandMatch,
  MaybeLater,
  UnitFailure,
} from './bus-messages.ts';
import { type BusPlace, ifAlive, LocalBusPlace, RemoteBusPlace } from './bus-place.ts';
import { ATTENTION_RESET } from './codes.ts';
import { sum } from './home.ts';
import { LogicalUnit } from './logical-unit.ts';
import { setBusAttention } from './lun-words.ts';
import {
  LUN_MAX,
  readScsiUnitOptions,
  type ScsiUnitOptions,
  type ScsiUnitSettings,
  type ScsiUnitType,
  TARGET_MAX,
} from './unit-options.ts';

/** The HBA, as its bus sees it. */
export interface ScsiBusEvents {
  /** The first of the disks is drained: listen to no queue (DP-4). Never waits. */
  drainedBegin(): void;
  drainedEnd(): void;
  /** `attention`: asc << 8 | ascq. */
  changed(unit: LogicalUnit, attention: number): void;
}

export interface ScsiBusOptions {
  readonly machine: Machine | null;
  /** Of the HBA, for messages and events. */
  readonly path: string;
}

/** The thread that serves a queue; null: main. */
type Place = LaneThread | null;

export class ScsiBus {
  /** Core address of the words that all units share. */
  readonly address: number;
  readonly #core: Core;
  readonly #context: AioContext;
  readonly #events: ScsiBusEvents;
  readonly #options: ScsiBusOptions;
  readonly #units = new Map<LogicalUnit, Undo>();
  readonly #places = new Map<Place, BusPlace>();
  /** Disks in drained sections. */
  #drained = 0;
  /** By section that was begun here: the disks that are in it. */
  readonly #sections: BlockBackend[][] = [];
  readonly #leaveMachine: () => void;

  /** Throws CoreError ENOMEM. */
  constructor(core: Core, context: AioContext, events: ScsiBusEvents, options: ScsiBusOptions) {
    this.#core = core;
    this.#context = context;
    this.#events = events;
    this.#options = options;
    this.address = core.allocate(SCSI_BUS_SIZE);
    const { machine } = options;
    // After the HBA when the machine goes on, before it when it stops (VM-1).
    const remove = machine && [
      machine.addRunStateHandler('scsi-disk', DEPTH_DISK_OF_HBA, (running) => this.#run(running)),
      machine.addFence(async () => void (await this.#askAll('heard', {}))),
    ];
    this.#leaveMachine = () => {
      for (const step of remove ?? []) step();
    };
  }

  /** All units have been unplugged, and no thread serves it. */
  close(): void {
    this.#leaveMachine();
    this.#core.free(this.address);
  }

  // ---- Threads ----------------------------------------------------------------------------------

  /** Main is to serve command queues. Throws what lanes throw that cannot be opened. */
  openHere(): LocalBusPlace {
    const place = new LocalBusPlace(this.#core, this.#context, this.address, this.#failed);
    const undo = new Undo();
    undo.add(() => place.close());
    try {
      for (const { config, backend } of this.#units.keys()) {
        place.plug(config, backend);
        undo.add(() => place.unplug(config));
      }
    } catch (error) {
      undo.now();
      throw error;
    }
    this.#places.set(null, place);
    if (this.#isStopped) void place.ask('run', { running: false });
    return place;
  }

  /** Main serves none any more, and nothing is in flight. */
  closeHere(): void {
    const place = this.#places.get(null) as LocalBusPlace;
    this.#places.delete(null);
    for (const { config } of this.#units.keys()) place.unplug(config);
    place.close();
  }

  /** The same of another thread. Rejects if it refuses; then nothing is left behind. */
  async openOn(thread: LaneThread): Promise<void> {
    const undo = new Undo();
    try {
      const place = await RemoteBusPlace.open(this.address, thread, this.#failed);
      undo.add(() => place.close());
      for (const { config, backend } of this.#units.keys()) {
        await place.plug(config, backend);
        undo.add(() => place.unplug(config));
      }
      // From here on it hears of every stop and cont, of this one first.
      this.#places.set(thread, place);
      undo.add(() => this.#places.delete(thread));
      if (this.#isStopped) await place.ask('run', { running: false });
    } catch (error) {
      await undo.all();
      throw error;
    }
  }

  async closeOn(thread: LaneThread): Promise<void> {
    const place = this.#places.get(thread);
    this.#places.delete(thread);
    if (!place) return;
    for (const { config } of this.#units.keys()) await place.unplug(config);
    await place.close();
  }

  get #isStopped(): boolean {
    return this.#options.machine?.running === false;
  }

  // ---- Units ------------------------------------------------------------------------------------

  /** Realized or not. */
  get units(): readonly LogicalUnit[] {
    return [...this.#units.keys()];
  }

  /** What commands to that address find, as every thread does (SC-8). */
  find(target: number, lun: number): LogicalUnit | 'absent-lun' | 'absent-target' {
    const ofTarget = this.units.filter(({ config, words }) => {
      return config.scsiId === target && words.realized;
    });
    const exact = ofTarget.find(({ config }) => config.lun === lun);
    return exact ?? (ofTarget.length > 0 ? 'absent-lun' : 'absent-target');
  }

  /** Those of a target that commands find, or have found: they may be leaving. */
  unitsOf(target: number): LogicalUnit[] {
    return this.units.filter(({ config, words }) => {
      return config.scsiId === target && words.state !== LUN_HIDDEN;
    });
  }

  /**
   * Puts a disk on the bus. Commands find it when this resolves. Rejects with an OptionError, or
   * with what a thread throws that cannot open the disk; then nothing is left behind.
   */
  async plug(
    type: ScsiUnitType,
    backend: BlockBackend,
    options: ScsiUnitOptions = {},
  ): Promise<LogicalUnit> {
    const settings = readScsiUnitOptions(this.#core, type, backend, options);
    this.#checkBackend(backend);
    const at = { bus: this.address, ...this.#addressFor(settings) };
    const { machine } = this.#options;
    const path = machine?.devicePath(settings.id ?? undefined) ?? '';
    const unit = new LogicalUnit(this.#core, backend, settings, at, path);
    this.#units.set(unit, new Undo()); // its address is taken (SC-9)
    const untake = unit.take(this.#unitEvents);
    const undo = new Undo();
    undo.add(() => this.#forget(unit, untake));
    try {
      for (const place of this.#places.values()) {
        await place.plug(unit.config, backend);
        undo.add(() => place.unplug(unit.config));
      }
    } catch (error) {
      await undo.all();
      throw error;
    }
    this.#units.set(unit, this.#undoFor(unit, untake));
    unit.words.state = LUN_REALIZED;
    return unit;
  }

  /** By then other threads may serve the bus. */
  #undoFor(unit: LogicalUnit, untake: () => void): Undo {
    const undo = new Undo();
    undo.add(() => this.#forget(unit, untake));
    undo.add(async () => {
      for (const place of this.#places.values()) await place.unplug(unit.config);
    });
    return undo;
  }

  #forget(unit: LogicalUnit, untake: () => void): void {
    untake();
    this.#units.delete(unit);
    unit.free();
  }

  #checkBackend(backend: BlockBackend): void {
    if (backend.devOps) {
      throw new OptionError('drive', backend.name, 'a drive that no other device has');
    }
    const { machine } = this.#options;
    if (backend.machine && backend.machine !== machine) {
      throw new OptionError('machine', backend.name, "a drive of the controller's machine");
    }
  }

  /** As QEMU: the least target, or the least LUN of the target, that is free. */
  #addressFor({ scsiId, lun }: ScsiUnitSettings): { scsiId: number; lun: number } {
    const taken = new Set(this.units.map(({ config }) => `${config.scsiId}/${config.lun}`));
    const isFree = (target: number, unit: number) => !taken.has(`${target}/${unit}`);
    if (scsiId !== null && lun !== null) {
      if (isFree(scsiId, lun)) return { scsiId, lun };
      throw new OptionError('lun', lun, `a LUN of target ${scsiId} that is not in use`);
    }
    if (scsiId === null) {
      const unit = lun ?? 0;
      for (let id = 0; id <= TARGET_MAX; id++)
        if (isFree(id, unit)) return { scsiId: id, lun: unit };
      throw new OptionError('scsi-id', 'none', 'a bus with a free target');
    }
    for (let unit = 0; unit <= LUN_MAX; unit++) {
      if (isFree(scsiId, unit)) return { scsiId, lun: unit };
    }
    throw new OptionError('lun', 'none', `a target with a free LUN: ${scsiId} has none`);
  }

  /**
   * Takes a disk off the bus: no command finds it, its requests are canceled and answered, nothing
   * is in flight, and no thread knows it any more (SC-5, SC-17). Its backend is free then.
   */
  async unplug(unit: LogicalUnit): Promise<void> {
    const undo = this.#units.get(unit);
    if (!undo || unit.words.state !== LUN_REALIZED) {
      throw new Error(`LUN ${unit.config.lun} of target ${unit.config.scsiId} is not plugged in`);
    }
    unit.words.state = LUN_LEAVING;
    await this.purge(unit, 'aborted');
    await undo.all();
  }

  /**
   * Cancels all commands of a unit; resolves when the driver has been given them back and nothing
   * is in flight. Until then the backend's gate is closed, which holds it (SC-4, SC-5).
   */
  async purge(unit: LogicalUnit, response: 'aborted' | 'reset'): Promise<void> {
    const { scsiId: target, lun } = unit.config;
    unit.backend.drainedBegin();
    try {
      const canceled = this.cancel({ target, lun, tag: null }, response);
      await unit.backend.idle();
      await canceled;
    } finally {
      unit.backend.drainedEnd();
    }
  }

  /** LOGICAL UNIT RESET (SAM-5 7.7). */
  async resetUnit(unit: LogicalUnit): Promise<void> {
    await this.purge(unit, 'reset');
    if (this.#units.has(unit)) unit.words.resetUnit(ATTENTION_RESET);
  }

  /** The HBA was reset, and with it all requests. */
  reset(): void {
    for (const unit of this.#units.keys()) unit.words.resetUnit(ATTENTION_RESET);
  }

  /** The next command to any unit reports it, unless that unit has something of its own to say. */
  setAttention(attention: number): void {
    setBusAttention(this.#core, this.address, attention);
  }

  /** What `setAttention` has left. For a saved state; set while nobody has commands of the bus. */
  get attention(): number {
    return Atomics.load(this.#core.u32, (this.address + SCSI_BUS_ATTENTION) >>> 2);
  }

  set attention(attention: number) {
    Atomics.store(this.#core.u32, (this.address + SCSI_BUS_ATTENTION) >>> 2, attention);
  }

  // ---- Commands ---------------------------------------------------------------------------------

  /** Asks for their end: how many there were, when the driver has been given them back (SC-15). */
  cancel(match: CommandMatch, response: 'aborted' | 'reset'): MaybeLater<number> {
    return sum([...this.#places.values()], (place) => {
      return answerOf(place.ask('cancel', { ...match, response }));
    });
  }

  /** How many such commands have not been answered? */
  count(match: CommandMatch): MaybeLater<number> {
    return sum([...this.#places.values()], (place) => answerOf(place.ask('count', match)));
  }

  // ---- Machine ----------------------------------------------------------------------------------

  /** SC-7, SC-23: each thread has its own requests wait, or go on. */
  async #run(running: boolean): Promise<void> {
    await this.#askAll('run', { running });
  }

  async #askAll<M extends BusMessage>(
    message: M,
    payload: BusMessages[M]['payload'],
  ): Promise<void> {
    const asked = [...this.#places.values()].map((place) => {
      return ifAlive<unknown>(place.ask(message, payload), undefined);
    });
    await Promise.all(asked);
  }

  readonly #failed = ({ unit: words, ...failure }: UnitFailure): void => {
    const unit = this.units.find(({ config }) => config.words === words);
    unit?.backend.ioError(failure, unit.path);
  };

  // ---- Drained sections -------------------------------------------------------------------------

  /** Counted over all disks (DP-4). */
  readonly #unitEvents = {
    drainedBegin: () => {
      if (this.#drained++ === 0) this.#events.drainedBegin();
    },
    drainedEnd: () => {
      if (--this.#drained === 0) this.#events.drainedEnd();
    },
    changed: (unit: LogicalUnit, attention: number) => this.#events.changed(unit, attention),
  };

  /** Begins a section of all disks; of a bus without any, too, no queue is listened to then. */
  drainedBegin(): void {
    this.#unitEvents.drainedBegin();
    const backends = this.units.map(({ backend }) => backend);
    this.#sections.push(backends);
    for (const backend of backends) backend.drainedBegin();
  }

  /** Resolves when nothing is in flight in any. */
  async idle(): Promise<void> {
    await Promise.all(this.units.map(({ backend }) => backend.idle()));
  }

  drainedEnd(): void {
    const backends = this.#sections.pop();
    if (!backends) throw new Error('drainedEnd without drainedBegin');
    for (const backend of backends.reverse()) backend.drainedEnd();
    this.#unitEvents.drainedEnd();
  }
}

/** A thread that has died has no commands. */
function answerOf(answer: MaybeLater<number>): MaybeLater<number> {
  return typeof answer === 'number' ? answer : ifAlive(answer, 0);
}
