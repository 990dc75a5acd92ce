/**
 * A digest of 64 bits, to notice that data is not what it was. It stands against accidents, not
 * against somebody who wants to deceive. The mixing is MurmurHash3's, twice with two seeds.
 */

const SEEDS = [0x9747b28c, 0x3c6ef372] as const;
const [C1, C2] = [0xcc9e2d51, 0x1b873593] as const;

export class Digest {
  #low: number = SEEDS[0];
  #high: number = SEEDS[1];
  #words = 0;

  /** Adds bytes: a multiple of 4, at an address that is one. */
  add(bytes: Uint8Array): this {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    let low = this.#low;
    let high = this.#high;
    for (let i = 0; i < words.length; i++) {
      const mixed = rotate(Math.imul(words[i] as number, C1), 15);
      low = (Math.imul(rotate(low ^ Math.imul(mixed, C2), 13), 5) + 0xe6546b64) | 0;
      high = (Math.imul(rotate(high ^ mixed ^ low, 17), 9) + 0x38495ab5) | 0;
    }
    this.#low = low;
    this.#high = high;
    this.#words += words.length;
    return this;
  }

  /** The digest of all that was added, as 16 digits. */
  get text(): string {
    return [this.#low ^ this.#words, this.#high ^ this.#words]
      .map((half) => (finish(half) >>> 0).toString(16).padStart(8, '0'))
      .join('');
  }
}

/** The digest of a text. */
export function digestOf(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4 + 4);
  padded.set(bytes, 4);
  padded[0] = bytes.length % 4;
  return new Digest().add(padded).text;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function finish(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
