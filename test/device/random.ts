/** A small seeded generator, so that a failure can be repeated: the seed is in its message. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#state = this.seed ^ 0x9e3779b9 || 1;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * limit);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  bytes(length: number): Uint8Array {
    const words = new Uint32Array(Math.ceil(length / 4));
    for (let i = 0; i < words.length; i++) words[i] = this.#next();
    return new Uint8Array(words.buffer, 0, length);
  }

  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
}

/** Runs `body` with a new seed, or with VBLK_SEED; what it throws names the seed. */
export async function seeded(body: (random: Random) => Promise<void>): Promise<void> {
  const seed = Number(process.env['VBLK_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
  try {
    await body(new Random(seed));
  } catch (cause) {
    throw new Error(`VBLK_SEED=${seed}: ${(cause as Error).message}`, { cause });
  }
}
