/** Numbers 0 to 2^32 - 1, the same sequence for each contestant (xorshift32). */
export class Random {
  #state = 0x2545f491;

  next(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }
}
