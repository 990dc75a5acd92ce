/** Marsaglia's xorshift32: small, fast, and the same on every machine. */
export class Random {
  #state;

  /** Any seed but 0; 0 is taken for 1. */
  constructor(seed) {
    this.#state = seed >>> 0 || 1;
  }

  /** 32 random bits, never all zero. */
  next() {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** 0 to n - 1. */
  below(n) {
    return (this.next() >>> 3) % n;
  }
}
