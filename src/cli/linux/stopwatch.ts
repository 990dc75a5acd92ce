/**
 * What a disk costs the host: time spent in the device itself, and what the guest asked of it.
 *
 * The device is all that is not v86's: it begins where v86 calls a handler of ours (a port, device
 * memory, the poll point) and ends where that returns. What it calls of v86's is not the device,
 * but a clock that is read around each such call would cost the device half a microsecond per
 * request. So windows alternate: one times our handlers with all that they call, the next times
 * v86's part of that, and the device's own time is the difference.
 */

import type { V86Blk, V86Instance } from '../../adapter/v86.ts';
import { cpuOf, type V86Cpu } from '../../adapter/v86-machine.ts';
import { median } from './measure.ts';

/** Per request; times in nanoseconds, of the best window and of the middle one. */
export interface DeviceCost {
  /** Inside the device, without v86's part. */
  readonly own: { readonly best: number; readonly median: number };
  /** What v86 did for the device: the interrupt line, forgetting translated code. */
  readonly v86: { readonly best: number; readonly median: number };
  /** The guest's writes and reads of registers: each is an exit of its CPU. */
  readonly registerWrites: number;
  readonly registerReads: number;
  /** Turns of the device's context. */
  readonly turns: number;
  /** Poll points: where turns are taken, and interrupts that a store could not raise. */
  readonly polls: number;
}

/** What a window counts; `ours` or `v86` and `timers` are 0, as the window's kind is. */
const COUNTS = ['ours', 'v86', 'timers', 'writes', 'reads', 'turns', 'polls'] as const;
type Counts = Record<(typeof COUNTS)[number], number>;

/** Register writes per sample: so few that most samples meet no other work of the machine's. */
const WINDOW_WRITES = 50;
const BLOCK_SHIFT = 17; // v86 maps device memory in blocks of 128 KiB

/** A method of v86's or ours; none takes more than two arguments. */
type Method = (this: unknown, a: number, b: number) => unknown;
type Wrapper = (method: Method, self: unknown, a: number, b: number) => unknown;
type IsOurs = (address: number) => boolean;

/** Watches a disk by standing between v86 and the device, on both ways. */
export class Stopwatch {
  readonly #cpu: V86Cpu;
  #disk: V86Blk | undefined;
  #served = 0;
  /** This window times what v86 does for the device, and not our handlers. */
  #timesV86 = false;
  /** Times in milliseconds. */
  #counts = zeroes();
  /** Averages per request of each window there was, by what it timed. */
  #ours: Counts[] = [];
  #v86s: Counts[] = [];
  /** v86 is in the middle of a call of ours. */
  #inside = false;
  /** How much of a reading of the clock lies in the time that it ends. */
  readonly #clockMs = clockCost();

  /** Before anything is attached to `emulator`: it must stand between v86's timers and us. */
  constructor(emulator: V86Instance) {
    this.#cpu = cpuOf(emulator);
    const { pci } = this.#cpu.devices;
    this.#leaveOut(pci, 'raise_irq', 'v86');
    this.#leaveOut(pci, 'lower_irq', 'v86');
    this.#leaveOut(this.#cpu, 'jit_dirty_cache', 'v86');
    this.#leaveOut(this.#cpu, 'run_hardware_timers', 'timers'); // v86 does that anyway
  }

  /** Starts to watch `disk`, whose BARs have their addresses by now and keep them. */
  start(disk: V86Blk): void {
    this.#disk = disk;
    this.#served = served(disk);
    for (const { index, kind, size } of disk.pci.bars) {
      const base = disk.pci.barAddress(index);
      if (base === null) continue;
      if (kind === 'io') this.#watchPorts(base, size);
      else this.#watchMemory(base, size);
    }
    this.#timeTurns(disk.context);
  }

  /** Forgets the windows so far. */
  clear(): void {
    this.#ours = [];
    this.#v86s = [];
  }

  /** What the windows since the last `clear` say. */
  cost(): DeviceCost {
    const times = (take: (values: number[]) => number) => {
      const ours = take(this.#ours.map((window) => window.ours));
      const v86 = take(this.#v86s.map((window) => window.v86));
      const timers = take(this.#v86s.map((window) => window.timers));
      return { own: (ours - v86 - timers) * 1e6, v86: v86 * 1e6 };
    };
    const best = times((values) => Math.min(...values));
    const middle = times(median);
    const number = (what: keyof Counts) => median(this.#ours.map((window) => window[what]));
    return {
      own: { best: best.own, median: middle.own },
      v86: { best: best.v86, median: middle.v86 },
      registerWrites: number('writes'),
      registerReads: number('reads'),
      turns: number('turns'),
      polls: number('polls'),
    };
  }

  #watchPorts(base: number, size: number): void {
    for (const port of this.#cpu.io.ports.slice(base, base + size)) {
      for (const name of ['read8', 'read16', 'read32'] as const) this.#timeReads(port, name);
      for (const name of ['write8', 'write16', 'write32'] as const) this.#timeWrites(port, name);
    }
  }

  #watchMemory(base: number, size: number): void {
    const cpu = this.#cpu;
    const block = base >>> BLOCK_SHIFT;
    const isOurs = (address: number) => address >>> 0 >= base && address >>> 0 < base + size;
    this.#timeReads(cpu.memory_map_read8, block, isOurs);
    this.#timeReads(cpu.memory_map_read32, block, isOurs);
    this.#timeWrites(cpu.memory_map_write8, block, isOurs);
    this.#timeWrites(cpu.memory_map_write32, block, isOurs);
    this.#timeWrites(cpu, 'mmap_write16', isOurs);
  }

  #timeReads(owner: object, name: PropertyKey, isOurs: IsOurs = always): void {
    replace(owner, name, (read, self, a, b) => {
      if (!isOurs(a)) return read.call(self, a, b);
      this.#counts.reads++;
      return this.#timed(read, self, a, b);
    });
  }

  #timeWrites(owner: object, name: PropertyKey, isOurs: IsOurs = always): void {
    replace(owner, name, (write, self, a, b) => {
      if (!isOurs(a)) return write.call(self, a, b);
      if (this.#counts.writes === WINDOW_WRITES) this.#endWindow();
      this.#counts.writes++;
      return this.#timed(write, self, a, b);
    });
  }

  /** Turns come at poll points; those that the JavaScript loop gives count as well. */
  #timeTurns(context: V86Blk['context']): void {
    replace(this.#cpu, 'run_hardware_timers', (run, self, a, b) => {
      this.#counts.polls++;
      return this.#timed(run, self, a, b);
    });
    replace(context, 'turn', (turn, self, a, b) => {
      this.#counts.turns++;
      return this.#inside ? turn.call(self, a, b) : this.#timed(turn, self, a, b);
    });
  }

  #timed(method: Method, self: unknown, a: number, b: number): unknown {
    this.#inside = true;
    const start = this.#timesV86 ? 0 : warmClock();
    const value = method.call(self, a, b);
    if (!this.#timesV86) this.#counts.ours += performance.now() - start - this.#clockMs;
    this.#inside = false;
    return value;
  }

  #leaveOut(owner: object, name: PropertyKey, part: 'v86' | 'timers'): void {
    replace(owner, name, (method, self, a, b) => {
      if (!this.#inside || !this.#timesV86) return method.call(self, a, b);
      const start = warmClock();
      const value = method.call(self, a, b);
      this.#counts[part] += performance.now() - start - this.#clockMs;
      return value;
    });
  }

  #endWindow(): void {
    const now = served(this.#disk!);
    const requests = now - this.#served;
    this.#served = now;
    if (requests > 0) {
      for (const what of COUNTS) this.#counts[what] /= requests;
      (this.#timesV86 ? this.#v86s : this.#ours).push(this.#counts);
    }
    this.#counts = zeroes();
    this.#timesV86 = !this.#timesV86;
  }
}

function zeroes(): Counts {
  return { ours: 0, v86: 0, timers: 0, writes: 0, reads: 0, turns: 0, polls: 0 };
}

/** Reads the clock for the second time: the first one brings its code into the CPU's caches. */
function warmClock(): number {
  performance.now();
  return performance.now();
}

const always = () => true;

/** Puts `wrapper` in the place of a method. */
function replace(owner: object, name: PropertyKey, wrapper: Wrapper): void {
  const methods = owner as Record<PropertyKey, Method>;
  const method = methods[name]!;
  methods[name] = function (this: unknown, a, b) {
    return wrapper(method, this, a, b);
  };
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
