/**
 * A core inside v86: its state lies in arenas at the end of v86's own memory, guest RAM is a window
 * of that memory, and its context turns at v86's poll point.
 */

import { AioContext } from '../aio/context.ts';
import { LoopSleeper } from '../aio/sleeper.ts';
import { Core, type Region } from '../engine/core.ts';
import { isShared } from '../engine/linear-memory.ts';
import type { CoreModule } from '../engine/wasm.ts';
import { REGION_ALIGN } from '../layout.ts';
import { loadCoreModule } from './load-module.ts';
import { cpuOf, type V86Cpu, type V86Instance } from './v86-machine.ts';
import { V86PollPoint } from './v86-poll.ts';
import { unsharePictures } from './v86-screen.ts';

export interface V86CoreOptions {
  /** Default `auto`. */
  readonly engine?: 'auto' | 'wasm' | 'js';
  /** The core module, compiled or as bytes. Default: the package's own, read or fetched. */
  readonly module?: CoreModule;
}

/** Guest addresses from here to 0xBFFFF are the screen's, not RAM. */
const SCREEN_START = 0xa0000;
/** From here on all is RAM again; firmware lies there, and SeaBIOS keeps its stack in it. */
const FIRMWARE_START = 0xc0000;
/** Turns that one poll point gives a context that keeps having more to do. */
const TURNS_MAX = 8;

export class V86Core {
  readonly core: Core;
  readonly context: AioContext;
  readonly #cpu: V86Cpu;
  /** Where guest address 0 lies in the memory. */
  readonly #ramOffset: number;
  readonly #machine: { readonly idle?: boolean };
  readonly #pollPoint: V86PollPoint;
  readonly #removePoll: () => void;
  /** Turns from the JavaScript loop, when the CPU is not running. */
  readonly #sleeper: LoopSleeper;
  /** A turn is wanted now. */
  #wanted = true;
  /** Milliseconds until one is wanted in any case. */
  #sleep = Number.POSITIVE_INFINITY;
  #turning = false;

  /**
   * Makes a core on the memory of `emulator`, whose `emulator-ready` has fired. Throws CoreError,
   * and an Error if this v86 is not the one we know.
   */
  static async open(emulator: V86Instance, options: V86CoreOptions = {}): Promise<V86Core> {
    const cpu = cpuOf(emulator);
    const regions = guestRegions(cpu);
    const { engine = 'auto' } = options;
    const memory = cpu.wasm_memory;
    if (isShared(memory)) unsharePictures(cpu);
    const module = options.module ?? (await defaultModule(engine, memory));
    const core = await Core.open({ engine, module, memory });
    core.setRegions(regions);
    return new V86Core(emulator, cpu, core);
  }

  private constructor(emulator: V86Instance, cpu: V86Cpu, core: Core) {
    this.core = core;
    this.#cpu = cpu;
    this.#ramOffset = cpu.mem8.byteOffset;
    this.#machine = emulator.v86!;
    this.#sleeper = new LoopSleeper(() => this.#turn());
    this.context = new AioContext(core, {
      name: 'v86',
      sleeper: 'hook',
      onWake: this.#onWake,
      onSleep: this.#onSleep,
    });
    this.#pollPoint = V86PollPoint.of(cpu);
    this.#removePoll = this.#pollPoint.add(() => this.#turn());
  }

  /**
   * To be told of guest memory before the guest may run what was written there, by its address in
   * the core's memory: v86 forgets what it has translated from it.
   */
  readonly guestWritten = (address: number, length: number): void => {
    const guest = address - this.#ramOffset;
    this.#cpu.jit_dirty_cache(guest, guest + length);
  };

  /** Everything that uses core or context is closed by then. */
  close(): void {
    this.#removePoll();
    this.#sleeper.close();
    this.context.close();
  }

  /**
   * While the CPU runs, its poll point is brought near. Otherwise the guest halts or stands,
   * perhaps for long: an interrupt raised from the JavaScript loop ends a halt.
   */
  readonly #onWake = (): void => {
    this.#wanted = true;
    if (this.#turning) return;
    if (this.#machine.idle === false) this.#pollPoint.hasten();
    else this.#sleeper.wake();
  };

  readonly #onSleep = (ns: number): void => {
    this.#sleep = ns < 0 ? Number.POSITIVE_INFINITY : ns / 1e6;
  };

  /** Returns how many milliseconds it may take until the next call. */
  #turn(): number {
    if (!this.#isWanted() && this.#sleep === Number.POSITIVE_INFINITY) return this.#sleep;
    this.#turning = true;
    try {
      for (let turns = 0; turns < TURNS_MAX; turns++) {
        this.#wanted = false;
        this.context.turn();
        if (!this.#isWanted()) return this.#sleep;
      }
      return 0;
    } finally {
      this.#turning = false;
    }
  }

  /**
   * Other threads cannot call `#onWake`: what they want is in the context's words. Whatever they
   * say after this look is found at the next poll point, one slice of the CPU later at most; or,
   * if the CPU halts before, `Atomics.waitAsync` answers in the JavaScript loop (GS-7).
   */
  #isWanted(): boolean {
    return this.#wanted || (this.core.shared && this.context.wanted);
  }
}

async function defaultModule(
  engine: string,
  memory: WebAssembly.Memory,
): Promise<CoreModule | undefined> {
  return engine === 'js' ? undefined : loadCoreModule(isShared(memory));
}

/** Where guest RAM lies: all addresses below `memory_size` but the screen's. */
function guestRegions(cpu: V86Cpu): Region[] {
  const offset = cpu.mem8.byteOffset;
  if (offset % REGION_ALIGN !== 0) {
    throw new Error(
      `v86 has guest RAM at offset ${offset} of its memory, which is no multiple of ` +
        `${REGION_ALIGN}: this version of v86 is not supported`,
    );
  }
  const bytes = cpu.memory_size[0]!;
  return [
    { guest: 0, size: SCREEN_START, offset },
    { guest: FIRMWARE_START, size: bytes - FIRMWARE_START, offset: offset + FIRMWARE_START },
  ];
}
