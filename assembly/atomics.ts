// Every word that another thread or the guest may touch goes through here: sequentially consistent
// and undivided. An exploration build swaps this file, and no other, for one that asks a scheduler
// before each step; so no other file names an atomic instruction.
//
// `atomic.fence` does not exist for this compiler. Where a store must come before a load of another
// word, both are atomic: that is the fence (comments there say "pairs with").

// @ts-ignore: decorator
@inline
export function load16(address: u32, offset: u32): u32 {
  return <u32>atomic.load<u16>(address + offset);
}

// @ts-ignore: decorator
@inline
export function store16(address: u32, offset: u32, value: u32): void {
  atomic.store<u16>(address + offset, <u16>value);
}

// @ts-ignore: decorator
@inline
export function load32(address: u32, offset: u32): u32 {
  return atomic.load<u32>(address + offset);
}

// @ts-ignore: decorator
@inline
export function store32(address: u32, offset: u32, value: u32): void {
  atomic.store<u32>(address + offset, value);
}

/** Returns the old value, as all below do. */
// @ts-ignore: decorator
@inline
export function add32(address: u32, offset: u32, value: u32): u32 {
  return atomic.add<u32>(address + offset, value);
}

// @ts-ignore: decorator
@inline
export function sub32(address: u32, offset: u32, value: u32): u32 {
  return atomic.sub<u32>(address + offset, value);
}

// @ts-ignore: decorator
@inline
export function and32(address: u32, offset: u32, value: u32): u32 {
  return atomic.and<u32>(address + offset, value);
}

// @ts-ignore: decorator
@inline
export function or32(address: u32, offset: u32, value: u32): u32 {
  return atomic.or<u32>(address + offset, value);
}

// @ts-ignore: decorator
@inline
export function exchange32(address: u32, offset: u32, value: u32): u32 {
  return atomic.xchg<u32>(address + offset, value);
}

/** Writes `value` if the word still is `expected`. */
// @ts-ignore: decorator
@inline
export function compareExchange32(address: u32, offset: u32, expected: u32, value: u32): u32 {
  return atomic.cmpxchg<u32>(address + offset, expected, value);
}
