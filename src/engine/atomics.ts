/**
 * Every word that another thread may touch goes through here, sequentially consistent. Addresses
 * are byte addresses. Twin of `assembly/atomics.ts`; an exploration build swaps this file.
 */

export function load(words: Int32Array, address: number): number {
  return Atomics.load(words, address >>> 2);
}

export function store(words: Int32Array, address: number, value: number): void {
  Atomics.store(words, address >>> 2, value);
}

/** Each of those below returns the value before the change. */
export function add(words: Int32Array, address: number, value: number): number {
  return Atomics.add(words, address >>> 2, value);
}

export function sub(words: Int32Array, address: number, value: number): number {
  return Atomics.sub(words, address >>> 2, value);
}

export function and(words: Int32Array, address: number, value: number): number {
  return Atomics.and(words, address >>> 2, value);
}

export function or(words: Int32Array, address: number, value: number): number {
  return Atomics.or(words, address >>> 2, value);
}

export function exchange(words: Int32Array, address: number, value: number): number {
  return Atomics.exchange(words, address >>> 2, value);
}

export function compareExchange(
  words: Int32Array,
  address: number,
  expected: number,
  value: number,
): number {
  return Atomics.compareExchange(words, address >>> 2, expected, value);
}

/** Ring indices and flags: u16, at an even address. */
export function load16(halves: Uint16Array, address: number): number {
  return Atomics.load(halves, address >>> 1);
}

export function store16(halves: Uint16Array, address: number, value: number): void {
  Atomics.store(halves, address >>> 1, value);
}
