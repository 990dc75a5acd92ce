/** Reading the options of a DriverSpec. What is wrong throws an OptionError. */

import { OptionError } from './error.ts';

/** Options as a DriverSpec carries them: plain, cloneable data. */
export type DriverOptions = Readonly<Record<string, unknown>>;

const SUFFIXES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  p: 1024 ** 5,
};

/**
 * Bytes of a size: a whole number, or a string as QEMU takes it (`512`, `64k`, `1.5G`; factors of
 * 1024). Undefined if it is neither, negative, not whole or not a safe integer.
 */
export function parseSize(value: unknown): number | undefined {
  let bytes = value;
  if (typeof value === 'string') {
    const parts = /^(\d+(?:\.\d+)?)([kmgtp]?)$/i.exec(value);
    if (!parts) return undefined;
    bytes = Number(parts[1]) * (SUFFIXES[(parts[2] as string).toLowerCase()] as number);
  }
  return Number.isSafeInteger(bytes) && (bytes as number) >= 0 ? (bytes as number) : undefined;
}

/** Refuses options that the driver does not know. */
export function checkNames(options: DriverOptions, driver: string, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    throw new OptionError(`${driver}.${name}`, options[name], `the options ${known.join(', ')}`);
  }
}

/** A size in bytes, a multiple of `unit` and at least `min`; `fallback` if it is not given. */
export function sizeOption<T extends number | undefined>(
  options: DriverOptions,
  name: string,
  fallback: T,
  rule: { unit?: number; min?: number } = {},
): number | T {
  const value = options[name];
  if (value === undefined) return fallback;
  const { unit = 1, min = 0 } = rule;
  const bytes = parseSize(value);
  if (bytes === undefined || bytes % unit !== 0 || bytes < min) {
    const multiple = unit > 1 ? `, a multiple of ${unit}` : '';
    const least = min > 0 ? `, at least ${min}` : '';
    throw new OptionError(name, value, `bytes, as 4096, '64k' or '1.5G'${multiple}${least}`);
  }
  return bytes;
}

/** A whole number from `min` to `max`. */
export function integerOption<T extends number | undefined>(
  options: DriverOptions,
  name: string,
  fallback: T,
  min: number,
  max: number,
): number | T {
  const value = options[name];
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    throw new OptionError(name, value, `whole numbers from ${min} to ${max}`);
  }
  return value as number;
}

/** A boolean, or QEMU's words `on` and `off`. */
export function booleanOption(options: DriverOptions, name: string, fallback: boolean): boolean {
  const value = options[name];
  if (value === undefined) return fallback;
  if (value === true || value === 'on') return true;
  if (value === false || value === 'off') return false;
  throw new OptionError(name, value, 'true, false, on, off');
}

/** One of some words. */
export function choiceOption<T extends string>(
  options: DriverOptions,
  name: string,
  fallback: T,
  choices: readonly T[],
): T {
  const value = options[name];
  if (value === undefined) return fallback;
  if (choices.includes(value as T)) return value as T;
  throw new OptionError(name, value, choices.join(', '));
}

/** A string that must be there. */
export function stringOption(options: DriverOptions, name: string): string {
  const value = options[name];
  if (typeof value === 'string' && value.length > 0) return value;
  throw new OptionError(name, value, 'a string that is not empty');
}
