/** The memory that virtual threads share: who has which bytes, by name, and what a state is. */

import * as layout from '#src/layout';
import type { Step } from './step.ts';

const PAGES = 4;
/** Programs use the first page; fibers of the wasm engine have their stacks behind it. */
export const ARENA_BYTES = 65536;

interface Area {
  readonly name: string;
  readonly address: number;
  readonly bytes: number;
  /** Prefix of the constants in layout.ts that name its fields. */
  readonly fields: string;
}

export interface AreaOptions {
  fields?: string;
  align?: number;
  /**
   * One thread alone writes it. Then its bytes follow from what that thread has seen, and they are
   * no part of a state of their own.
   */
  own?: boolean;
}

export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly words: Int32Array;
  readonly halves: Uint16Array;
  readonly #areas: Area[] = [];
  /** Word indexes: first and end of each range that belongs to a state. */
  readonly #hashed: number[] = [];
  #next = 64;
  #initial = new Int32Array(0);

  constructor(memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES })) {
    this.memory = memory;
    this.words = new Int32Array(memory.buffer);
    this.halves = new Uint16Array(memory.buffer);
  }

  /** Zeroed bytes. */
  allocate(name: string, bytes: number, options: AreaOptions = {}): number {
    const { align = 8, own = false, fields = '' } = options;
    const address = Math.ceil(this.#next / align) * align;
    this.#next = address + bytes;
    if (this.#next > ARENA_BYTES) throw new Error(`no room for ${name}`);
    this.#areas.push({ name, address, bytes, fields });
    if (!own) this.#hashed.push(address >>> 2, (this.#next + 3) >>> 2);
    return address;
  }

  word(address: number): number {
    return this.words[address >>> 2] as number;
  }

  setWord(address: number, value: number): void {
    this.words[address >>> 2] = value;
  }

  /** Does one step to the memory. Returns what the thread gets: the old value, or 0. */
  perform({ operation, address, value, expected, when }: Step): number {
    const { words, halves } = this;
    const at = address >>> 2;
    switch (operation) {
      case 'load32':
        return words[at] as number;
      case 'load16':
        return halves[address >>> 1] as number;
      case 'store16':
        halves[address >>> 1] = value;
        return 0;
      case 'store32':
        words[at] = value;
        return 0;
      case 'acquire':
        words[at] = 1;
        return 0;
      case 'until':
        return Number(when?.());
      case 'woken':
      case 'enter':
      case 'again':
      case 'leave':
        return 0;
      default:
        return change(words, at, operation, value, expected);
    }
  }

  /** Every execution begins with what is there now. */
  seal(): void {
    this.#initial = this.words.slice(0, Math.ceil(this.#next / 4));
  }

  reset(): void {
    this.words.set(this.#initial);
  }

  /** 53 bits of what is in memory, mixed with two words of the caller's. */
  hash(one: number, other: number): number {
    const { words } = this;
    const ranges = this.#hashed;
    for (let i = 0; i < ranges.length; i += 2) {
      const end = ranges[i + 1] as number;
      for (let at = ranges[i] as number; at < end; at++) {
        const word = words[at] as number;
        one = Math.imul(one ^ word, 0x01000193);
        one ^= one >>> 15;
        other = Math.imul(other + word, 0x85ebca6b);
        other ^= other >>> 13;
      }
    }
    return (one >>> 0) * 0x200000 + (other & 0x1fffff);
  }

  /** `context.NOTIFY_ME` for an address in an area whose fields layout.ts names. */
  nameOf(address: number): string {
    const area = this.#areas.find((a) => address >= a.address && address < a.address + a.bytes);
    if (!area) return `0x${address.toString(16)}`;
    const offset = address - area.address;
    if (area.bytes <= 4 && offset === 0) return area.name;
    const field = area.fields && fieldAt(area.fields, offset);
    return `${area.name}.${field || offset}`;
  }
}

/** The constant of layout.ts called `prefix...` that is `offset`; arrays of areas repeat. */
function fieldAt(prefix: string, offset: number): string | undefined {
  const constants = Object.entries(layout as unknown as Record<string, number>);
  const size = constants.find(([name]) => name === `${prefix}SIZE`)?.[1] ?? 0;
  const index = size > 0 ? Math.floor(offset / size) : 0;
  const within = offset - index * size;
  const found = constants.find(([name, value]) => {
    return name.startsWith(prefix) && value === within && name !== `${prefix}SIZE`;
  });
  if (!found) return undefined;
  const field = found[0].slice(prefix.length);
  return index > 0 ? `${index}.${field}` : field;
}

/** Writes what `operation` makes of the word and returns the old one. */
function change(
  words: Int32Array,
  at: number,
  operation: Step['operation'],
  value: number,
  expected: number,
): number {
  const old = words[at] as number;
  if (operation === 'add32') words[at] = old + value;
  else if (operation === 'sub32') words[at] = old - value;
  else if (operation === 'and32') words[at] = old & value;
  else if (operation === 'or32') words[at] = old | value;
  else if (operation === 'exchange32') words[at] = value;
  else if (operation !== 'compareExchange32') throw new Error(`${operation} changes no word`);
  else if (old === (expected | 0)) words[at] = value;
  return old;
}
