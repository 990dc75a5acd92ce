/**
 * The poll point: where, between two slices of v86's CPU, the host's side gets its turn. v86 comes
 * by after 100,003 instructions, at once when the guest halts, and soon when it is asked to.
 */

import { type V86Cpu, V86Word } from './v86-machine.ts';

/**
 * Called at each poll point; may raise and lower interrupts and touch guest RAM. Returns how many
 * milliseconds a halted guest may sleep before the next call; Infinity if it does not matter.
 */
export type Poller = () => number;

/** Instructions of a slice: LOOP_COUNTER in v86's src/rust/cpu/cpu.rs. */
const SLICE_INSTRUCTIONS = 100_003;

export class V86PollPoint {
  static readonly #points = new WeakMap<V86Cpu, V86PollPoint>();
  readonly #counter: V86Word;
  #pollers: Poller[] = [];
  /** The count of instructions is ahead by a slice. */
  #hastened = false;

  /** The one poll point of `cpu`. */
  static of(cpu: V86Cpu): V86PollPoint {
    let point = V86PollPoint.#points.get(cpu);
    if (!point) {
      point = new V86PollPoint(cpu);
      V86PollPoint.#points.set(cpu, point);
    }
    return point;
  }

  private constructor(cpu: V86Cpu) {
    this.#counter = new V86Word(cpu, cpu.instruction_counter);
    const runTimers = cpu.run_hardware_timers;
    cpu.run_hardware_timers = (acpi, now) => {
      if (this.#hastened) this.#counter.value -= SLICE_INSTRUCTIONS;
      this.#hastened = false;
      let sleep = Number.POSITIVE_INFINITY;
      for (const poller of this.#pollers) sleep = Math.min(sleep, poller());
      return Math.min(sleep, runTimers.call(cpu, acpi, now));
    };
  }

  /** Adds a poller, which runs after those added before. Returns the way to remove it. */
  add(poller: Poller): () => void {
    this.#pollers = [...this.#pollers, poller];
    return () => {
      this.#pollers = this.#pollers.filter((other) => other !== poller);
    };
  }

  /**
   * From inside a device's callback: the slice ends within a few instructions. v86 looks at its
   * count of instructions after each piece of translated code, so we put that forward, and back
   * at the poll point. Waiting for the guest to halt costs it two switches of context per request.
   */
  hasten(): void {
    if (this.#hastened) return;
    this.#hastened = true;
    this.#counter.value += SLICE_INSTRUCTIONS;
  }
}
