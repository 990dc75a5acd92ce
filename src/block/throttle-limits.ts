/**
 * The limits of a throttled disk: QEMU's words for them, what they may be, and how they lie in
 * memory. QEMU: `qapi/block-core.json` (ThrottleLimits), `util/throttle.c` (throttle_is_valid).
 */

import { OptionError } from './error.ts';
import { type DriverOptions, integerOption, parseSize } from './option.ts';

/** What is limited; `bps`: bytes per second, `iops`: requests per second. */
export const BUCKETS = [
  'bps-total',
  'bps-read',
  'bps-write',
  'iops-total',
  'iops-read',
  'iops-write',
] as const;
export type BucketName = (typeof BUCKETS)[number];

/**
 * `bps-total` and so on: the rate, 0 or missing: no limit. `-max`: the rate in a burst.
 * `-max-length`: seconds that a burst may last, default 1. Rates also as `64k`.
 */
export type ThrottleLimits = {
  readonly [Name in BucketName | `${BucketName}-max`]?: number | string;
} & { readonly [Name in `${BucketName}-max-length`]?: number } & {
  /** A request of more bytes counts as several; 0 or missing: each request is one. */
  readonly 'iops-size'?: number | string;
};

/** Limits of one bucket. */
export interface BucketLimit {
  /** Units per second; 0: no limit. */
  readonly avg: number;
  /** Units per second in a burst; 0: a burst is a tenth of a second's units. */
  readonly max: number;
  /** Seconds of a burst at `max`. */
  readonly length: number;
}

export interface CheckedLimits {
  /** In the order of BUCKETS. */
  readonly buckets: readonly BucketLimit[];
  readonly iopsSize: number;
}

/** QEMU: THROTTLE_VALUE_MAX. */
const VALUE_MAX = 1e15;
const LENGTH_MAX = 0xffff_ffff;

/** All names that `checkLimits` reads. */
export const LIMIT_NAMES: readonly string[] = [
  ...BUCKETS.flatMap((name) => [name, `${name}-max`, `${name}-max-length`]),
  'iops-size',
];

/** Reads and checks the limits. Throws an OptionError that names the first wrong one. */
export function checkLimits(options: DriverOptions): CheckedLimits {
  const buckets = BUCKETS.map((name) => checkBucket(options, name));
  for (const unit of ['bps', 'iops']) {
    for (const suffix of ['', '-max']) checkMixed(options, unit, suffix);
  }
  const iopsSize = rate(options, 'iops-size');
  if (iopsSize > 0 && buckets.slice(3).every(({ avg }) => avg === 0)) {
    throw new OptionError('iops-size', iopsSize, 'a size only with a limit of iops');
  }
  return { buckets, iopsSize };
}

/** The same as options, without what is not set. */
export function limitOptions({ buckets, iopsSize }: CheckedLimits): ThrottleLimits {
  const list: [string, number][] = [];
  BUCKETS.forEach((name, i) => {
    const { avg, max, length } = buckets[i] as BucketLimit;
    if (avg > 0) list.push([name, avg]);
    if (max > 0) list.push([`${name}-max`, max]);
    if (length !== 1) list.push([`${name}-max-length`, length]);
  });
  if (iopsSize > 0) list.push(['iops-size', iopsSize]);
  return Object.fromEntries(list) as ThrottleLimits;
}

function checkBucket(options: DriverOptions, name: BucketName): BucketLimit {
  const avg = rate(options, name);
  const max = rate(options, `${name}-max`);
  const length = integerOption(options, `${name}-max-length`, 1, 1, LENGTH_MAX);
  const given = `${name}-max`;
  if (max > 0 && avg === 0) throw new OptionError(given, max, `a burst only with '${name}'`);
  if (max > 0 && max < avg) throw new OptionError(given, max, `at least '${name}', ${avg}`);
  if (length > 1 && max === 0) {
    throw new OptionError(`${given}-length`, length, `a length only with '${given}'`);
  }
  if (max > 0 && length > VALUE_MAX / max) {
    throw new OptionError(`${given}-length`, length, `at most ${Math.floor(VALUE_MAX / max)}`);
  }
  return { avg, max, length };
}

/** A total and limits of one direction do not go together. */
function checkMixed(options: DriverOptions, unit: string, suffix: string): void {
  if (rate(options, `${unit}-total${suffix}`) === 0) return;
  for (const direction of ['read', 'write']) {
    const name = `${unit}-${direction}${suffix}`;
    const value = rate(options, name);
    if (value > 0) throw new OptionError(name, value, `none beside '${unit}-total${suffix}'`);
  }
}

function rate(options: DriverOptions, name: string): number {
  const value = options[name];
  if (value === undefined) return 0;
  const units = parseSize(value);
  if (units === undefined || units > VALUE_MAX) {
    throw new OptionError(name, value, `whole numbers from 0 to ${VALUE_MAX}, also as '64k'`);
  }
  return units;
}
