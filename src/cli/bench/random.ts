/** Numbers 0 to 2^32 - 1, the same sequence for each contestant (xorshift32). */
export class Random {
  #state: number;

  /** Each `stream` of numbers is another one. */
  constructor(stream = 0) {
    this.#state = 0x2545f491 ^ Math.imul(stream, 0x9e3779b1) || 1;
  }

  next(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }
}
