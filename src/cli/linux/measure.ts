/** Times disks inside the guest against each other: O_DIRECT, one request at a time. */

import type { Guest } from './guest.ts';

export interface MeasuredCase {
  readonly mode: 'read' | 'write' | 'randread' | 'randwrite';
  /** Bytes per request. */
  readonly block: number;
  /** Requests per round. */
  readonly count: number;
}

/** Rounds are short, so that some of them meet no other work of the machine's. */
export const CASES: readonly MeasuredCase[] = [
  { mode: 'randread', block: 4096, count: 400 },
  { mode: 'read', block: 65536, count: 200 },
  { mode: 'randwrite', block: 4096, count: 400 },
  { mode: 'write', block: 65536, count: 200 },
];

/** Nanoseconds per request of one disk: the best round, and the middle one. */
export interface Timing {
  /** Its name in the guest. */
  readonly disk: string;
  readonly min: number;
  readonly median: number;
  /** How many times as fast as the first disk: minima, and the median of the rounds' ratios. */
  readonly ratio: number;
  readonly medianRatio: number;
}

/**
 * Runs `measured` on each of `disks` in turn, `rounds` times, so that what disturbs the machine
 * meanwhile disturbs all. The first two rounds are not counted: v86 is still translating.
 */
export async function measure(
  guest: Guest,
  disks: readonly string[],
  { mode, block, count }: MeasuredCase,
  rounds: number,
): Promise<Timing[]> {
  const samples = disks.map((): number[] => []);
  for (let round = -2; round < rounds; round++) {
    for (const [index, disk] of disks.entries()) {
      const elapsed = Number(await guest.ask(`odirect /dev/${disk} ${mode} ${block} ${count}`));
      if (round >= 0) samples[index]!.push(elapsed / count);
    }
  }
  const first = samples[0]!;
  return disks.map((disk, index) => {
    const own = samples[index]!;
    return {
      disk,
      min: Math.min(...own),
      median: median(own),
      ratio: Math.min(...first) / Math.min(...own),
      medianRatio: median(own.map((sample, round) => first[round]! / sample)),
    };
  });
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
