/** Latencies in buckets about 3 % wide: percentiles without keeping every value. */

const PER_OCTAVE = 24;
const BUCKETS = PER_OCTAVE * 40;

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #total = 0;

  /** Adds `count` requests that took `ns` each. */
  add(ns: number, count = 1): void {
    const bucket = Math.round(Math.log2(Math.max(1, ns)) * PER_OCTAVE);
    this.#counts[Math.min(bucket, BUCKETS - 1)]! += count;
    this.#total += count;
  }

  get total(): number {
    return this.#total;
  }

  /** Nanoseconds that `share` (0 to 1) of the requests did not exceed; 0 if there were none. */
  percentile(share: number): number {
    let left = this.#total * share;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket] as number;
      if (left <= 0 && this.#total > 0) return 2 ** (bucket / PER_OCTAVE);
    }
    return 0;
  }
}
