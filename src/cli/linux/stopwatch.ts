/** What a disk costs the host: time spent in the device itself, and what the guest asked of it. */

import type { V86Blk, V86Instance } from '../../adapter/v86.ts';
import { cpuOf, type V86Cpu } from '../../adapter/v86-machine.ts';

/** Averages per request. */
export interface DeviceCost {
  /** Nanoseconds inside the device, without v86's part. */
  readonly ns: number;
  /** Nanoseconds that v86 took meanwhile: the interrupt line, forgetting translated code. */
  readonly v86Ns: number;
  /** The guest's writes and reads of registers: each is an exit of its CPU. */
  readonly registerWrites: number;
  readonly registerReads: number;
  /** Turns of the device's context. */
  readonly turns: number;
}

/** Register writes per sample: so few that most samples meet no other work of the machine's. */
const WINDOW_WRITES = 50;

/** Watches a disk by standing in front of its registers and of its context's turns. */
export class Stopwatch {
  /** One sample per window. */
  readonly samples: DeviceCost[] = [];
  readonly #disk: V86Blk;
  #served: number;
  #ms = 0;
  #v86Ms = 0;
  /** Inside the device. */
  #inside = false;
  #writes = 0;
  #reads = 0;
  #turns = 0;
  /** What reading the clock twice takes: not the device's. */
  readonly #clockMs = clockCost();

  constructor(emulator: V86Instance, disk: V86Blk) {
    this.#disk = disk;
    this.#served = served(disk);
    this.#watchDevice(disk);
    this.#watchV86(cpuOf(emulator));
  }

  #watchDevice({ pci, context }: V86Blk): void {
    const { barRead, barWrite } = pci;
    const { turn } = context;
    pci.barRead = (bar, offset, width) => {
      this.#reads++;
      const start = this.#enter();
      const value = barRead.call(pci, bar, offset, width);
      this.#leave(start);
      return value;
    };
    pci.barWrite = (bar, offset, width, value) => {
      if (this.#writes === WINDOW_WRITES) this.#endWindow();
      this.#writes++;
      const start = this.#enter();
      barWrite.call(pci, bar, offset, width, value);
      this.#leave(start);
    };
    context.turn = () => {
      this.#turns++;
      const start = this.#enter();
      const progress = turn.call(context);
      this.#leave(start);
      return progress;
    };
  }

  #watchV86(cpu: V86Cpu): void {
    const { pci } = cpu.devices;
    const { raise_irq: raise, lower_irq: lower } = pci;
    const { jit_dirty_cache: forget } = cpu;
    pci.raise_irq = (id) => {
      const start = performance.now();
      raise.call(pci, id);
      this.#addV86(start);
    };
    pci.lower_irq = (id) => {
      const start = performance.now();
      lower.call(pci, id);
      this.#addV86(start);
    };
    cpu.jit_dirty_cache = (from, to) => {
      const start = performance.now();
      forget.call(cpu, from, to);
      this.#addV86(start);
    };
  }

  #enter(): number {
    this.#inside = true;
    return performance.now();
  }

  #leave(start: number): void {
    this.#ms += performance.now() - start - this.#clockMs;
    this.#inside = false;
  }

  /** Both readings of the clock lie inside the device's time. */
  #addV86(start: number): void {
    if (!this.#inside) return;
    this.#v86Ms += performance.now() - start - this.#clockMs;
    this.#ms -= 2 * this.#clockMs;
  }

  #endWindow(): void {
    const now = served(this.#disk);
    const requests = now - this.#served;
    this.#served = now;
    if (requests > 0) {
      this.samples.push({
        ns: ((this.#ms - this.#v86Ms) * 1e6) / requests,
        v86Ns: (this.#v86Ms * 1e6) / requests,
        registerWrites: this.#writes / requests,
        registerReads: this.#reads / requests,
        turns: this.#turns / requests,
      });
    }
    this.#ms = this.#v86Ms = this.#writes = this.#reads = this.#turns = 0;
  }
}

/** Reads and writes done so far. */
function served({ backend }: V86Blk): number {
  const { read, write } = backend.stats();
  return read.operations + write.operations;
}

/** What two readings in a row differ by, at best, on average over a while. */
function clockCost(): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 100; round++) {
    let sum = 0;
    for (let n = 0; n < 100; n++) {
      const start = performance.now();
      sum += performance.now() - start;
    }
    best = Math.min(best, sum / 100);
  }
  return best;
}
