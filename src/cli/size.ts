/** Sizes as fio and people write them: `512`, `4k`, `1.5G`. Units are powers of 1024. */

import { OptionError } from './option-error.ts';

const UNITS: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4 };

/** Bytes that `text` stands for. Throws an OptionError that names `option`. */
export function parseSize(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  const unit = UNITS[(match?.[2] ?? '').toLowerCase()];
  const bytes = match && unit !== undefined ? Number(match[1]) * 1024 ** unit : Number.NaN;
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new OptionError(option, text, 'a whole number of bytes above 0, as 512, 4k or 1.5G');
  }
  return bytes;
}

/** `1.5 GiB`: at most one digit after the point. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}
