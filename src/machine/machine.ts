/**
 * The machine around the devices: does it run, who is told when it stops and goes on, and in which
 * order (VM-1). It drives no CPU by itself: an emulator's CPUs, devices and disks are added to it.
 * Main thread. QEMU: `system/cpus.c` (`do_vm_stop`, `vm_prepare_start`), `system/runstate.c`.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import { MachineEvents } from './events.ts';
import { MachineState, type StateHandler } from './machine-state.ts';
import { isStoppedState, type RunState, type StoppedState } from './run-state.ts';
import { StateError } from './state-error.ts';
import { StopRequest } from './stop-request.ts';

/** A CPU, or all of an emulator's. A promise is waited for. */
export interface MachineCpu {
  /** When it is over the CPU executes nothing. */
  pause(): void | Promise<void>;
  resume(): void | Promise<void>;
}

/** A disk, as far as a machine that stops is concerned: a `BlockBackend`. */
export interface MachineDisk {
  drainedBegin(): void;
  /** Ends what `drainedBegin` began, also of a disk that has been removed or closed meanwhile. */
  drainedEnd(): void;
  /** Resolves when no request is in flight. */
  idle(): Promise<void>;
  /** Makes durable what has been written. */
  flush(): Promise<void>;
  /** The machine goes on: old errors are forgotten (BB-20). */
  resetIostatus?(): void;
}

/** Called when the machine has just been set going, or is being stopped. A promise is awaited. */
export type RunStateHandler = (running: boolean, state: RunState) => void | Promise<void>;

/** Depth of a device on the machine's own bus, and of a disk behind a host bus adapter. */
export const DEPTH_BUS_DEVICE = 1;
export const DEPTH_DISK_OF_HBA = 2;

export interface MachineOptions {
  /** Milliseconds since 1970, for the events. Default: the host's clock. */
  readonly now?: () => number;
}

interface Registered {
  readonly depth: number;
  readonly handler: RunStateHandler;
}

export class Machine {
  readonly context: AioContext;
  readonly events: MachineEvents;
  #state: RunState = 'running';
  /** In the order in which they are told that the machine goes on. */
  #handlers: Registered[] = [];
  readonly #cpus = new Set<MachineCpu>();
  readonly #disks = new Set<MachineDisk>();
  readonly #parts = new MachineState();
  readonly #fences = new Set<() => Promise<void>>();
  /** The last of the transitions that were asked for: there is one at a time. */
  #line: Promise<unknown> = Promise.resolve();
  #inLine = 0;
  /** An error wants the machine to stop, and it has not stopped yet. */
  #request: StopRequest | null = null;
  readonly #requested: BottomHalf;
  #closed = false;
  /** Numbers of devices without an id. */
  #anonymous = 0;

  /** The context is main's. Throws a RangeError if it has no bottom half left. */
  constructor(context: AioContext, options: MachineOptions = {}) {
    this.context = context;
    this.events = new MachineEvents(options.now ?? Date.now);
    this.#requested = context.bottomHalf('machine stop', () => this.#request?.release());
  }

  /** Gives its bottom half back. Nothing is added to it any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#request?.drop();
    this.#request = null;
    this.#requested.delete();
  }

  get state(): RunState {
    return this.#state;
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  // ---- Who takes part -------------------------------------------------------------------------

  /** A CPU, which is taken to run if the machine does. Returns what removes it. */
  addCpu(cpu: MachineCpu): () => void {
    this.#cpus.add(cpu);
    return () => {
      this.#cpus.delete(cpu);
    };
  }

  /**
   * Has `handler` called when the machine goes on: the least `depth` first, then in the order of
   * these calls; and when it stops: the other way round (VM-1). Depth is the device's in the tree
   * of devices. Returns what removes it, at any time: it is not called any more from then on.
   */
  addRunStateHandler(name: string, depth: number, handler: RunStateHandler): () => void {
    if (!Number.isInteger(depth) || depth < 0) {
      throw new RangeError(`run state handler '${name}': depth ${depth} is no whole number from 0`);
    }
    const registered: Registered = { depth, handler };
    const after = this.#handlers.findIndex((other) => other.depth > depth);
    this.#handlers.splice(after < 0 ? this.#handlers.length : after, 0, registered);
    return () => {
      this.#handlers = this.#handlers.filter((other) => other !== registered);
    };
  }

  /** A disk, drained and flushed whenever the machine stops. Returns what removes it. */
  addDrain(disk: MachineDisk): () => void {
    this.#disks.add(disk);
    return () => {
      this.#disks.delete(disk);
    };
  }

  /**
   * Whenever the machine stops `heard` is waited for, with all disks drained: it resolves when what
   * other threads have said of their requests has arrived. An error that one told of late would
   * stop the machine again that has gone on and tried the request again. Returns what removes it.
   */
  addFence(heard: () => Promise<void>): () => void {
    const fence = () => heard();
    this.#fences.add(fence);
    return () => {
      this.#fences.delete(fence);
    };
  }

  /** What saves and loads a part of the machine, by a name. Returns what removes it. */
  addState(id: string, handler: StateHandler): () => void {
    return this.#parts.add(id, handler);
  }

  /** The path of a device in the tree of devices; one without an id gets a number. */
  devicePath(id: string | undefined): string {
    if (id !== undefined) return `/machine/peripheral/${id}`;
    return `/machine/peripheral-anon/device[${this.#anonymous++}]`;
  }

  // ---- Stop and cont --------------------------------------------------------------------------

  /**
   * Stops the machine: CPUs, then devices, then STOP, then all disks are drained and flushed. One
   * that has stopped keeps its state, and its disks are drained and flushed once more. Transitions
   * come one after the other, in the order of the calls; if none is under way this one has begun
   * when `stop` returns. Rejects with what a handler, a CPU or a flush threw first; the machine has
   * stopped nevertheless. RangeError for a state that is none.
   *
   * A handler must not wait for another transition: it would wait for itself.
   */
  stop(state: StoppedState = 'paused'): Promise<void> {
    if (!isStoppedState(state)) throw new RangeError(`a machine cannot be stopped as '${state}'`);
    return this.#enqueue(() => this.#stop(state));
  }

  /**
   * Lets the machine go on: RESUME, then devices, which try again what has failed, then CPUs. One
   * that runs is left alone. If an error wants it to stop it stops first: STOP is followed by
   * RESUME (BB-19). Rejects with what a handler or a CPU threw first; the machine runs all the
   * same.
   */
  cont(): Promise<void> {
    return this.#enqueue(() => this.#cont());
  }

  /**
   * For disks: an error is going to stop the machine. It does so before any transition that is
   * asked for from now on. To be followed by `requestStop` in the same turn.
   */
  prepareStop(): void {
    if (!this.running || this.#request || this.#closed) return;
    const request = new StopRequest();
    this.#request = request;
    this.#enqueue(async () => {
      const state = await request.released;
      if (state) await this.#stop(state);
    }).catch((error) => {
      // The disk that asked for the stop may well fail to flush.
      console.warn(`vblk: machine stopped by an error: ${(error as Error)?.message}`);
    });
  }

  /**
   * For disks, from inside a completion: stops the machine in its context's next turn. Any number
   * of calls are one stop (VM-4); none if it has stopped meanwhile.
   */
  requestStop(state: StoppedState): void {
    this.prepareStop();
    if (!this.#request) return;
    this.#request.name(state);
    this.#requested.schedule();
  }

  #enqueue(step: () => Promise<void>): Promise<void> {
    const turn = this.#inLine++ === 0 ? step() : this.#line.then(step);
    const over = () => {
      this.#inLine--;
    };
    this.#line = turn.then(over, over);
    return turn;
  }

  async #stop(state: StoppedState): Promise<void> {
    const errors: unknown[] = [];
    if (this.running) {
      this.#state = state;
      this.#request?.drop();
      this.#request = null;
      for (const cpu of [...this.#cpus]) {
        const later = attempt(errors, () => cpu.pause());
        if (later) await later;
      }
      await this.#tell(errors, [...this.#handlers].reverse(), false);
      this.events.emit('STOP', {});
    }
    await this.#drainAll(errors);
    await Promise.all([...this.#fences].map((heard) => attempt(errors, heard)));
    await this.#flushAll(errors);
    if (errors.length > 0) throw errors[0];
  }

  async #cont(): Promise<void> {
    if (this.running) return;
    const errors: unknown[] = [];
    for (const disk of this.#disks) disk.resetIostatus?.();
    this.events.emit('RESUME', {});
    this.#state = 'running';
    await this.#tell(errors, [...this.#handlers], true);
    for (const cpu of [...this.#cpus]) await attempt(errors, () => cpu.resume());
    if (errors.length > 0) throw errors[0];
  }

  /** All of them, whatever one throws. */
  async #tell(errors: unknown[], handlers: readonly Registered[], running: boolean): Promise<void> {
    const state = this.#state;
    for (const registered of handlers) {
      if (!this.#handlers.includes(registered)) continue;
      const { handler } = registered;
      const later = attempt(errors, () => handler(running, state));
      if (later) await later;
    }
  }

  // ---- Save and load --------------------------------------------------------------------------

  /**
   * The state of all that was added by `addState`, to be loaded by a machine of the same parts.
   * Guest memory and disks that keep their contents elsewhere are not in it. Rejects with a
   * StateError, EBUSY, while the machine runs, or if a disk cannot be drained and flushed, or a
   * request is in flight nevertheless (VM-8).
   */
  async save(): Promise<Uint8Array> {
    let state: Uint8Array | undefined;
    await this.#enqueue(async () => {
      this.#checkStopped('saved');
      await this.#comeToRest();
      state = await this.#parts.save();
    });
    return state as Uint8Array;
  }

  /**
   * Brings all parts to where they were. The machine is stopped, and guest memory is as it was when
   * the state was saved. Rejects with a StateError that names section and field; if the state is
   * not one for this machine nothing has changed.
   */
  load(state: Uint8Array): Promise<void> {
    return this.#enqueue(async () => {
      this.#checkStopped('loaded');
      const apply = this.#parts.load(state);
      await this.#comeToRest();
      await apply();
    });
  }

  #checkStopped(what: string): void {
    if (!this.running) return;
    throw new StateError(
      'EBUSY',
      `a state is ${what} while the machine is stopped: call stop first`,
    );
  }

  async #comeToRest(): Promise<void> {
    const errors: unknown[] = [];
    await this.#drainAll(errors);
    await this.#flushAll(errors);
    if (errors.length === 0) return;
    const [cause] = errors;
    const why = (cause as Error)?.message ?? String(cause);
    throw new StateError('EBUSY', `a disk cannot be drained: ${why}`, { cause });
  }

  // ---- Disks ----------------------------------------------------------------------------------

  /** Closes every gate, then waits: two disks cannot feed each other (BB-13). */
  async drainAll(): Promise<void> {
    const errors: unknown[] = [];
    await this.#drainAll(errors);
    if (errors.length > 0) throw errors[0];
  }

  async #drainAll(errors: unknown[]): Promise<void> {
    const disks = [...this.#disks];
    for (const disk of disks) disk.drainedBegin();
    try {
      await Promise.all(disks.map((disk) => attempt(errors, () => disk.idle())));
    } finally {
      for (const disk of disks) disk.drainedEnd();
    }
  }

  async #flushAll(errors: unknown[]): Promise<void> {
    const flushed = [...this.#disks].map((disk) => attempt(errors, () => disk.flush()));
    await Promise.all(flushed);
  }
}

/** Calls `step`, and keeps what it throws. A promise only if `step` returns one. */
function attempt(errors: unknown[], step: () => void | Promise<void>): void | Promise<void> {
  try {
    const later = step();
    return later?.catch((error) => {
      errors.push(error);
    });
  } catch (error) {
    errors.push(error);
  }
}
