/**
 * v86's own `save_state` and `restore_state`, with our disks in them. v86 keeps of a device that it
 * does not know the configuration space only; so its CPU's state gets one slot more, with the bytes
 * of a `MachineState`: the devices, their unfinished requests, and memory disks' contents. Disks in
 * files keep their files.
 */

import type { BlockBackend } from '../block/backend.ts';
import { memoryDisks, memoryState } from '../block/memory-state.ts';
import { MachineState, type StateHandler } from '../machine/machine-state.ts';
import { StateError } from '../machine/state-error.ts';
import type { VirtioPci } from '../virtio/virtio-pci.ts';
import { cpuOf, type V86Cpu, type V86Instance } from './v86-machine.ts';
import type { PciSlot } from './v86-pci.ts';

/** A device that is attached. */
export interface V86StateDevice {
  readonly name: string;
  readonly state: StateHandler;
  readonly pci: VirtioPci;
  readonly place: PciSlot;
  /** Its disks as they are now. */
  disks(): readonly V86StateDisk[];
}

export interface V86StateDisk {
  /** Tells it from others of its device. */
  readonly name: string;
  readonly backend: BlockBackend;
}

/** What v86 has for it, if it is not a part of one, as in tests of other things. */
interface StatefulCpu extends V86Cpu {
  get_state?(): unknown[];
  set_state?(state: unknown[]): void;
}

interface StatefulV86 extends V86Instance {
  save_state?(): Promise<ArrayBuffer>;
  restore_state?(state: ArrayBuffer): Promise<void>;
  is_running?(): boolean;
  stop?(): Promise<void>;
  run?(): Promise<void>;
}

/** Number of our slot in the array that is the CPU's state: v86 0.5.462 uses 0 to 91. */
export const STATE_SLOT = 128;

/** Has the states of `emulator` carry `device`, until what is returned is called. */
export function carryInStates(emulator: V86Instance, device: V86StateDevice): () => void {
  return V86States.of(emulator).add(device);
}

class V86States {
  static readonly #all = new WeakMap<V86Cpu, V86States>();

  readonly #emulator: StatefulV86;
  readonly #cpu: StatefulCpu;
  readonly #parts = new MachineState();
  readonly #devices = new Set<V86StateDevice>();
  /** Takes the sections of memory disks out of `#parts`. */
  #memory: (() => void)[] = [];
  /** Puts v86's own functions back. */
  #unwrap: (() => void)[] = [];
  /** Saved by `save_state`, which may wait; `get_state` may not. */
  #prepared: Uint8Array | null = null;
  /** What the last `set_state` began and could not wait for. */
  #applying: Promise<void> | null = null;
  /** `restore_state` tells how that ends. */
  #awaited = false;

  static of(emulator: V86Instance): V86States {
    const cpu = cpuOf(emulator);
    let states = V86States.#all.get(cpu);
    if (!states) {
      states = new V86States(emulator, cpu);
      V86States.#all.set(cpu, states);
    }
    return states;
  }

  private constructor(emulator: V86Instance, cpu: V86Cpu) {
    this.#emulator = emulator;
    this.#cpu = cpu;
  }

  add(device: V86StateDevice): () => void {
    const { name, state, place } = device;
    const remove = this.#parts.add(`${name} in PCI slot ${place.slot}`, state);
    if (this.#devices.size === 0) this.#wrap();
    this.#devices.add(device);
    return () => {
      if (!this.#devices.delete(device)) return;
      remove();
      this.#findMemory();
      if (this.#devices.size > 0) return;
      for (const step of this.#unwrap) step();
      this.#unwrap = [];
    };
  }

  /** Before each save and load: there may be another medium by now, or a filter above it. */
  #findMemory(): void {
    for (const remove of this.#memory.splice(0)) remove();
    for (const device of this.#devices) {
      for (const disk of device.disks()) this.#addMemory(device, disk);
    }
  }

  #addMemory({ place }: V86StateDevice, { name, backend }: V86StateDisk): void {
    memoryDisks(backend.driver).forEach((driver, i) => {
      const id = `memory disk ${i}${name} in PCI slot ${place.slot}`;
      this.#memory.push(this.#parts.add(id, memoryState(backend.core, driver)));
    });
  }

  // ---- v86's functions ------------------------------------------------------------------------

  #wrap(): void {
    this.#replace(this.#cpu, 'get_state', (before) => () => {
      const state = before();
      state[STATE_SLOT] = this.#prepared ?? this.#saveNow();
      return state;
    });
    this.#replace(this.#cpu, 'set_state', (before) => (state) => this.#restore(state, before));
    this.#replace(this.#emulator, 'save_state', (before) => () => {
      return this.#atRest(async () => {
        const release = this.#parts.hold(); // until v86 has copied guest memory, too
        try {
          this.#findMemory();
          this.#prepared = await this.#parts.save();
          return await before();
        } finally {
          this.#prepared = null;
          release();
        }
      });
    });
    this.#replace(this.#emulator, 'restore_state', (before) => (state) => {
      return this.#atRest(async () => {
        this.#applying = null;
        this.#awaited = true;
        try {
          await before(state);
          await this.#applying;
        } finally {
          this.#awaited = false;
        }
      });
    });
  }

  /** On the instance: v86's own function stays in its prototype. */
  #replace<T extends object, K extends keyof T>(
    target: T,
    name: K,
    make: (before: NonNullable<T[K]>) => T[K],
  ): void {
    const original = target[name] as ((...values: unknown[]) => unknown) | undefined;
    if (!original) return;
    const own = Object.getOwnPropertyDescriptor(target, name);
    const ours = make(original.bind(target) as NonNullable<T[K]>);
    target[name] = ours;
    this.#unwrap.push(() => {
      if (target[name] !== ours) return; // somebody else has come after us
      if (own) Object.defineProperty(target, name, own);
      else delete target[name];
    });
  }

  // ---- Save and restore -----------------------------------------------------------------------

  /** With the CPU stopped and nothing in flight; then all is as it was before. */
  async #atRest<T>(step: () => Promise<T>): Promise<T> {
    const emulator = this.#emulator;
    const wasRunning = emulator.is_running?.() ?? false;
    if (wasRunning) await emulator.stop?.();
    const backends = this.#drainedBegin();
    try {
      for (const backend of backends) await backend.idle();
      return await step();
    } finally {
      for (const backend of backends) backend.drainedEnd();
      if (wasRunning) await emulator.run?.();
    }
  }

  #drainedBegin(): BlockBackend[] {
    const disks = [...this.#devices].flatMap((device) => device.disks());
    const backends = [...new Set(disks.map(({ backend }) => backend))];
    for (const backend of backends) backend.drainedBegin();
    return backends;
  }

  /** For those who ask the CPU itself: whatever would have to be waited for is refused. */
  #saveNow(): Uint8Array {
    const backends = this.#drainedBegin();
    try {
      this.#findMemory();
      const saved = this.#parts.save();
      if (saved instanceof Uint8Array) return saved;
      saved.catch(() => {});
      throw new StateError('EBUSY', 'requests wait for a disk: save with emulator.save_state');
    } finally {
      for (const backend of backends) backend.drainedEnd();
    }
  }

  /**
   * A state that is not for these disks is refused before anything has changed. The disks are
   * drained until it is in place: a device that has started serves nothing from the old contents.
   */
  #restore(state: unknown[], before: (state: unknown[]) => void): void {
    const saved = state[STATE_SLOT];
    this.#findMemory();
    const apply = saved instanceof Uint8Array ? this.#parts.load(saved) : () => {};
    const backends = this.#drainedBegin();
    const finish = (): void => {
      for (const { place } of this.#devices) place.refresh();
      for (const backend of backends) backend.drainedEnd();
    };
    let later: void | Promise<void>;
    try {
      for (const { pci, place } of this.#devices) {
        pci.functionReset(); // from here on nothing of what was touches guest memory
        place.refresh();
      }
      before(state);
      later = apply();
    } catch (error) {
      finish();
      throw error;
    }
    if (later) this.#finishLater(later.finally(finish));
    else finish();
  }

  #finishLater(applying: Promise<void>): void {
    this.#applying = applying;
    applying.catch((error) => {
      if (!this.#awaited) console.warn(`vblk: state of v86: ${(error as Error).message}`);
    });
  }
}
