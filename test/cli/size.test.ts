import { describe, expect, it } from 'vitest';
import { OptionError } from '#src/cli/option-error';
import { formatSize, parseSize } from '#src/cli/size';

describe('sizes on the command line', () => {
  it.each([
    ['512', 512],
    ['4k', 4096],
    ['4K', 4096],
    ['4KiB', 4096],
    ['4kb', 4096],
    ['1m', 1 << 20],
    ['1.5G', 1.5 * 2 ** 30],
    ['2t', 2 ** 41],
    ['0.5k', 512],
    [' 8 '.trim(), 8],
  ])('%s is %d bytes', (text, bytes) => expect(parseSize('--size', text)).toBe(bytes));

  it.each(['', '0', '-1', '4x', '4kk', 'k', '1.5', '0.3k', '1e3', '0x10', '99999t'])(
    '%j is refused by name',
    (text) => {
      const attempt = () => parseSize('--bs', text);
      expect(attempt).toThrow(OptionError);
      expect(attempt).toThrow(`--bs: '${text}' is not allowed; allowed: `);
    },
  );

  it.each([
    [512, '512 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [64 << 20, '64 MiB'],
    [2 ** 42, '4 TiB'],
    [2 ** 52, '4096 TiB'],
  ])('%d bytes are written %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));
});
