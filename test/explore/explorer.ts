/**
 * Every order in which the threads of a program can take their steps, or many at random. Executions
 * are run anew from the beginning, since a generator cannot be copied; a state that was reached
 * before in another way is not gone on from (its hash: shared memory, and what each thread has
 * seen), and of two steps that commute one order is enough (sleep sets, kept with the states as
 * in Godefroid, Partial-Order Methods, 1996, chapter 5). A step on a word that only its thread
 * uses is taken at once; which words those are is found out on the way, and an exploration that
 * was wrong about one begins anew.
 */

import type { Arena } from './arena.ts';
import { Execution, independent, isLoad, type Run } from './execution.ts';
import type { Step } from './step.ts';

export interface Scene {
  readonly arena: Arena;
  /** Begins a new execution; the arena has been reset. */
  start(): Run;
  /** Plain code after a step may be interrupted: for programs whose threads share plain words. */
  readonly fine?: boolean;
  /** Explores both orders of all steps: for programs whose plain code is not one thread's alone. */
  readonly allOrders?: boolean;
}

export interface Failure {
  readonly why: string;
  /** Each step: the thread, and what it did. */
  readonly schedule: readonly string[];
}

export interface Report {
  readonly states: number;
  readonly executions: number;
  readonly steps: number;
  readonly failure?: Failure;
}

/** No program here takes as many steps: one that does goes round for ever. */
const LONGEST = 3000;
const MOST_STATES = 400_000;

/** Which threads have read and written each word so far, in any execution. */
class Touched {
  readonly #readers = new Map<number, number>();
  readonly #writers = new Map<number, number>();
  /** Words of several threads, one of which writes. */
  readonly shared = new Set<number>();
  /** Some thread spins, and may look at any word. */
  #watched = false;

  /** True if the step shows something to be shared that was taken for one thread's own. */
  note(thread: number, step: Step): boolean {
    if (step.operation === 'until') return this.#watch();
    if (step.operation === 'continue') return false;
    const word = step.address >>> 2;
    if (this.shared.has(word)) return false;
    const table = isLoad(step) ? this.#readers : this.#writers;
    table.set(word, (table.get(word) ?? 0) | (1 << thread));
    const writers = this.#writers.get(word) ?? 0;
    const all = writers | (this.#readers.get(word) ?? 0);
    if (writers === 0 || (all & (all - 1)) === 0) return false;
    this.shared.add(word);
    return true;
  }

  #watch(): boolean {
    if (this.#watched) return false;
    this.#watched = true;
    return true;
  }

  /** Does the step commute with whatever the other threads will do? */
  isPrivate(step: Step): boolean {
    const { operation, address } = step;
    if (operation === 'woken') return true;
    if (operation === 'continue' || operation === 'until') return false;
    if (this.#watched && !isLoad(step)) return false;
    return !this.shared.has(address >>> 2);
  }
}

/** A place where the exploration may come back to. */
interface Fork {
  /** The thread that goes on. */
  thread: number;
  /** Threads still to be tried here. */
  left: number;
  /** Threads whose next step leads nowhere new from here. */
  sleep: number;
}

class Explorer {
  readonly #scene: Scene;
  readonly #touched = new Touched();
  #path: Fork[] = [];
  #anew = false;
  /** State to the sleep set it was explored with. */
  readonly #known = new Map<number, number>();
  #executions = 0;
  #steps = 0;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  run(): Report {
    let failure: Failure | undefined;
    do {
      this.#executions += 1;
      failure = this.#execute();
    } while (!failure && this.#next());
    const [executions, steps] = [this.#executions, this.#steps];
    return { states: this.#known.size, executions, steps, ...(failure ? { failure } : {}) };
  }

  #next(): boolean {
    if (!this.#anew) return this.#back();
    this.#anew = false;
    this.#path = [];
    this.#known.clear();
    return true;
  }

  /** Goes back to the last fork with a thread left to try. */
  #back(): boolean {
    const path = this.#path;
    for (let fork = path.at(-1); fork; fork = path.at(-1)) {
      if (fork.left !== 0) {
        fork.sleep |= 1 << fork.thread;
        fork.thread = lowest(fork.left);
        fork.left &= fork.left - 1;
        return true;
      }
      path.pop();
    }
    return false;
  }

  #execute(): Failure | undefined {
    const execution = begin(this.#scene);
    try {
      let sleep = 0;
      for (let depth = 0; ; depth++) {
        if (depth >= this.#path.length && !this.#fork(execution, sleep)) break;
        const fork = this.#path[depth] as Fork;
        if (depth === this.#path.length - 1 && this.#isNews(execution, fork)) return undefined;
        sleep = this.#sleepAfter(execution, fork);
        this.#steps += 1;
        execution.advance(fork.thread);
      }
      if (execution.enabled() !== 0) return undefined; // known from here on
      const why = execution.verdict();
      return why === undefined ? undefined : this.#failed(why);
    } catch (error) {
      return this.#failed((error as Error).message);
    }
  }

  #failed(why: string): Failure {
    const threads = this.#path.map(({ thread }) => thread);
    return failureOf(this.#scene, why, threads);
  }

  /** A new place. False if there is nothing to be done from here. */
  #fork(execution: Execution, sleep: number): boolean {
    const enabled = execution.enabled();
    if (enabled === 0) return false;
    if (this.#path.length > LONGEST) throw new Error('goes round for ever');
    if (this.#known.size > MOST_STATES) throw new Error('too large to explore');
    const state = execution.state();
    const before = this.#known.get(state);
    this.#known.set(state, before === undefined ? sleep : before & sleep);
    let left = (before === undefined ? enabled : enabled & before) & ~sleep;
    if (left === 0) return false;
    if (!this.#scene.allOrders) left = this.#onePrivate(execution, left) || left;
    const thread = lowest(left);
    this.#path.push({ thread, left: left & ~(1 << thread), sleep });
    return true;
  }

  /** Does the step show that a word is shared which was taken for one thread's own? */
  #isNews(execution: Execution, { thread }: Fork): boolean {
    this.#anew = this.#touched.note(thread, execution.pending[thread] as Step);
    return this.#anew;
  }

  /** The first of the threads whose step is its own affair; 0 if there is none. */
  #onePrivate(execution: Execution, threads: number): number {
    for (let rest = threads; rest !== 0; rest &= rest - 1) {
      const step = execution.pending[lowest(rest)];
      if (step && this.#touched.isPrivate(step)) return rest & -rest;
    }
    return 0;
  }

  /** Of those asleep here, the ones that stay so: their next step commutes with this one. */
  #sleepAfter(execution: Execution, { thread, sleep }: Fork): number {
    if (this.#scene.allOrders || sleep === 0) return 0;
    const step = execution.pending[thread] as Step;
    let after = 0;
    for (let rest = sleep; rest !== 0; rest &= rest - 1) {
      const other = lowest(rest);
      const its = execution.pending[other];
      if (its && independent(its, step)) after |= 1 << other;
    }
    return after;
  }
}

/** A new execution, in a memory as new. */
function begin({ arena, start, fine = false }: Scene): Execution {
  arena.reset();
  return new Execution(arena, start(), fine);
}

/** Runs a failed execution once more, to write down what was done. */
function failureOf(scene: Scene, why: string, threads: readonly number[]): Failure {
  const schedule: string[] = [];
  try {
    const execution = begin(scene);
    for (const thread of threads) {
      schedule.push(`${execution.names[thread]}: ${execution.describe(thread)}`);
      execution.advance(thread);
    }
  } catch {
    // The last step is the one that failed.
  }
  return { why, schedule };
}

function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}

/** All executions. */
export function explore(scene: Scene): Report {
  return new Explorer(scene).run();
}

/** A small generator of numbers below 2^32 (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** One execution in an order that `random` decides; a thread goes on for a while, more or less. */
function wander(scene: Scene, random: () => number): { failure?: Failure; steps: number } {
  const execution = begin(scene);
  const patience = random() % 8;
  const taken: number[] = [];
  const failed = (why: string) => ({ steps: taken.length, failure: failureOf(scene, why, taken) });
  let thread = 0;
  try {
    for (let enabled = execution.enabled(); enabled !== 0; enabled = execution.enabled()) {
      if (taken.length > LONGEST) throw new Error('goes round for ever');
      if (!(enabled & (1 << thread)) || random() % 8 >= patience) {
        for (let skip = random() % 32; skip >= 0; ) {
          thread = (thread + 1) % execution.names.length;
          if (enabled & (1 << thread)) skip -= 1;
        }
      }
      taken.push(thread);
      execution.advance(thread);
    }
    const why = execution.verdict();
    return why === undefined ? { steps: taken.length } : failed(why);
  } catch (error) {
    return failed((error as Error).message);
  }
}

/** `count` executions at random, or up to the first that fails. */
export function wanderFrom(scene: Scene, seed: number, count: number): Report {
  const random = randomFrom(seed);
  let steps = 0;
  for (let executions = 1; executions <= count; executions++) {
    const one = wander(scene, random);
    steps += one.steps;
    if (one.failure) return { states: 0, executions, steps, failure: one.failure };
  }
  return { states: 0, executions: count, steps };
}
