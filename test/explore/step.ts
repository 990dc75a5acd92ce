/**
 * One step of a thread under exploration: what it is about to do to shared memory. A thread is a
 * generator; it yields each step before it happens, the scheduler decides when, does it, and hands
 * the result back. Everything between two steps is the thread's own.
 */

import type { Engine } from '#src/engine/engine';

/** The first ten as in assembly/atomics.ts; then what only JavaScript does. */
export type Operation =
  | 'load16'
  | 'store16'
  | 'load32'
  | 'store32'
  | 'add32'
  | 'sub32'
  | 'and32'
  | 'or32'
  | 'exchange32'
  | 'compareExchange32'
  /** `Atomics.wait`: blocks if the word is `expected`, until somebody notifies it. */
  | 'wait'
  /** `Atomics.notify` without a count: wakes all that wait on the word. */
  | 'notify'
  /** Spins until `when()` holds; may read any memory. */
  | 'until'
  /** Waits until the word is 0 and sets it to 1. */
  | 'acquire'
  /** A sleeper that was notified goes on. */
  | 'woken'
  /** The plain code behind a step, where a program wants that to be a step of its own. */
  | 'continue'
  /** No steps: what a thread remembers; see `scope`. */
  | 'enter'
  | 'again'
  | 'leave';

export interface Step {
  readonly operation: Operation;
  readonly address: number;
  /** What it is given besides the address. */
  readonly value: number;
  readonly expected: number;
  readonly when?: () => number | boolean;
}

/** A piece of a thread that results in a T. */
export type Piece<T = void> = Generator<Step, T, number>;

function* step(operation: Operation, address: number, value = 0, expected = 0): Piece<number> {
  return yield { operation, address, value, expected };
}

/** What JavaScript does to shared words, as pieces of a thread. Addresses in bytes. */
export const atomics = {
  load: (address: number) => step('load32', address),
  store: (address: number, value: number) => step('store32', address, value),
  add: (address: number, value: number) => step('add32', address, value),
  sub: (address: number, value: number) => step('sub32', address, value),
  exchange: (address: number, value: number) => step('exchange32', address, value),
  compareExchange: (address: number, expected: number, value: number) =>
    step('compareExchange32', address, value, expected),
  load16: (address: number) => step('load16', address),
  store16: (address: number, value: number) => step('store16', address, value),
  wait: (address: number, expected: number) => step('wait', address, 0, expected),
  notify: (address: number) => step('notify', address),
  acquire: (address: number) => step('acquire', address),
  release: (address: number) => step('store32', address),
};

/** Spins until `when()` is not 0 or false, and returns that. It may look at any memory. */
export function* until(when: () => number | boolean): Piece<number> {
  return yield { operation: 'until', address: 0, value: 0, expected: 0, when };
}

/**
 * Runs `piece`; afterwards the thread remembers of it only the result. Two executions in which it
 * went another way to the same result are then the same state. That must be true: what the piece
 * leaves in variables of the thread is part of the result, or is told by `known`.
 */
export function* scope<T>(piece: Piece<T>, known?: () => number): Piece<T> {
  yield* step('enter', 0);
  const result = yield* piece;
  yield* step('leave', 0, known ? known() : Number(result ?? 0));
  return result;
}

/** Repeats `round` until `done()`; between two rounds the thread remembers only `known()`. */
export function* repeat(done: () => boolean, known: () => number, round: () => Piece): Piece {
  yield* step('enter', 0);
  while (!done()) {
    yield* step('again', 0, known());
    yield* round();
  }
  yield* step('leave', 0, known());
}

type Call<F> = F extends (...args: infer A) => unknown ? (...args: A) => Piece<number> : never;

/** Names of the engine's functions. */
export type EngineCall = Exclude<keyof Engine, 'kind'>;

/** The engine as one thread calls it: each function is a piece of that thread. */
export type ExploredEngine = { readonly [Name in EngineCall]: Call<Engine[Name]> };
