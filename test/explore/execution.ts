/** One execution: threads over an arena, stepped one at a time by whoever calls `advance`. */

import type { Arena } from './arena.ts';
import type { Piece, Step } from './step.ts';

/** The threads of a program as they begin, and what must hold when all have ended. */
export interface Run {
  readonly threads: Readonly<Record<string, Piece>>;
  /** Threads that may sleep for ever once the others have ended. */
  readonly rest?: readonly string[];
  /** What is wrong in the end; undefined if nothing. */
  final(): string | undefined;
}

const REMEMBERING: ReadonlySet<string> = new Set(['enter', 'again', 'leave']);
const ENTERED = 0x1b873593;
const LEFT = 0x5bd1e995;
const REPEATED = 0x2545f491;
const CONTINUE: Step = { operation: 'continue', address: 0, value: 0, expected: 0 };

/** Does the step only read its word? */
export function isLoad({ operation }: Step): boolean {
  return operation === 'load32' || operation === 'load16';
}

/**
 * Do two steps of two threads commute? Plain code belongs to the step before it and is the
 * thread's own, so only the words of the steps count.
 */
export function independent(one: Step, other: Step): boolean {
  if (one.operation === 'continue' || other.operation === 'continue') return false;
  if (one.operation === 'until' || other.operation === 'until') {
    return isLoad(one) || isLoad(other) || one.operation === other.operation;
  }
  if (one.operation === 'woken' || other.operation === 'woken') return true;
  if (one.address >>> 2 !== other.address >>> 2) return true;
  return isLoad(one) && isLoad(other);
}

export class Execution {
  readonly names: readonly string[];
  readonly #arena: Arena;
  readonly #run: Run;
  readonly #threads: readonly Piece[];
  /** The next step of each thread; undefined if it has ended. */
  readonly pending: (Step | undefined)[] = [];
  /** Bit n: thread n sleeps. */
  #asleep = 0;
  /** Bit n: it was notified, and has not gone on yet. */
  #woken = 0;
  readonly #results: number[];
  /** What each thread has seen so far, in two words: from that its own state follows. */
  readonly #seen: Int32Array;
  /** What it had seen where the scopes that it is in began. */
  readonly #scopes: number[][];
  readonly #fine: boolean;

  constructor(arena: Arena, run: Run, fine: boolean) {
    this.#arena = arena;
    this.#run = run;
    this.#fine = fine;
    this.names = Object.keys(run.threads);
    this.#threads = Object.values(run.threads);
    this.#seen = new Int32Array(2 * this.names.length).fill(1);
    this.#scopes = this.names.map(() => []);
    this.#results = this.names.map(() => 0);
    for (let n = 0; n < this.#threads.length; n++) this.#resume(n, 0);
  }

  /** Bit n: thread n can take its next step. */
  enabled(): number {
    let mask = 0;
    for (let n = 0; n < this.pending.length; n++) {
      const next = this.pending[n];
      if (!next || this.#asleep & (1 << n)) continue;
      if (next.operation === 'until' && !next.when?.()) continue;
      if (next.operation === 'acquire' && this.#arena.word(next.address) !== 0) continue;
      mask |= 1 << n;
    }
    return mask;
  }

  /** Why the threads, none of which can go on, are wrong to stop here. */
  verdict(): string | undefined {
    const { rest = [] } = this.#run;
    const stuck = this.names.filter((name, n) => this.pending[n] && !rest.includes(name));
    if (stuck.length > 0) {
      const where = stuck.map((name) => `${name} at ${this.describe(this.names.indexOf(name))}`);
      return `asleep for ever: ${where.join(', ')}`;
    }
    return this.#run.final();
  }

  describe(n: number): string {
    const next = this.pending[n] as Step;
    const { operation, address, value, expected } = next;
    if (operation === 'until' || operation === 'continue') return operation;
    const operands = operation === 'compareExchange32' ? [expected, value] : [value];
    if (operation === 'wait') operands[0] = expected;
    const bare = isLoad(next) || ['notify', 'woken', 'acquire'].includes(operation);
    const given = bare ? '' : ` ${operands.map((word) => word >>> 0).join(' -> ')}`;
    return `${operation} ${this.#arena.nameOf(address)}${given}`;
  }

  /** Thread `n` takes its next step. */
  advance(n: number): void {
    const step = this.pending[n] as Step;
    if (step.operation === 'continue') {
      this.#resume(n, this.#results[n] as number);
      return;
    }
    this.#woken &= ~(1 << n);
    const result = this.#perform(n, step);
    if (result === undefined) return; // asleep
    this.#see(n, result);
    this.#results[n] = result;
    if (this.#fine) this.pending[n] = CONTINUE;
    else this.#resume(n, result);
  }

  /** A number for the state as a whole. */
  state(): number {
    let [one, other] = [0x811c9dc5, this.#asleep | (this.#woken << 16)];
    const seen = this.#seen;
    for (let i = 0; i < seen.length; i += 2) {
      one = Math.imul(one ^ (seen[i] as number), 0x01000193);
      other = Math.imul(other + (seen[i + 1] as number), 0x27d4eb2f);
      if (this.#fine && this.pending[i >>> 1] === CONTINUE) one = ~one;
    }
    return this.#arena.hash(one, other);
  }

  /** What the thread remembers begins anew: see `scope`. */
  #remember(n: number, { operation, value }: Step): void {
    const scopes = this.#scopes[n] as number[];
    const seen = this.#seen;
    if (operation === 'enter') {
      scopes.push(seen[2 * n] as number, seen[2 * n + 1] as number);
      this.#see(n, ENTERED); // or a scope that begins with another could end like it
      return;
    }
    seen[2 * n + 1] = scopes.at(-1) as number;
    seen[2 * n] = scopes.at(-2) as number;
    // Not as a step with this result would: the thread is somewhere else in its program.
    this.#see(n, operation === 'leave' ? LEFT : REPEATED);
    this.#see(n, value);
    if (operation === 'leave') scopes.length -= 2;
  }

  #see(n: number, result: number): void {
    const seen = this.#seen;
    const one = Math.imul((seen[2 * n] as number) ^ result, 0x9e3779b1);
    seen[2 * n] = one ^ (one >>> 16);
    const other = Math.imul((seen[2 * n + 1] as number) + result + 0x7f4a7c15, 0x85ebca6b);
    seen[2 * n + 1] = other ^ (other >>> 13);
  }

  #resume(n: number, result: number): void {
    const thread = this.#threads[n] as Piece;
    let next = thread.next(result);
    while (!next.done && REMEMBERING.has(next.value.operation)) {
      this.#remember(n, next.value);
      next = thread.next(0);
    }
    this.pending[n] = next.done ? undefined : next.value;
  }

  /** Does the step; undefined if the thread sleeps now. */
  #perform(n: number, step: Step): number | undefined {
    switch (step.operation) {
      case 'wait':
        if (this.#arena.word(step.address) !== step.expected) return 1;
        this.#asleep |= 1 << n;
        return undefined;
      case 'notify':
        return this.#wake(step.address);
      default:
        return this.#arena.perform(step);
    }
  }

  #wake(address: number): number {
    let woken = 0;
    for (let n = 0; n < this.pending.length; n++) {
      const sleeps = this.#asleep & (1 << n);
      if (!sleeps || this.pending[n]?.address !== address) continue;
      this.#asleep &= ~(1 << n);
      this.#woken |= 1 << n;
      this.pending[n] = { operation: 'woken', address, value: 0, expected: 0 };
      woken += 1;
    }
    return woken;
  }
}
