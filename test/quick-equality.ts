/**
 * Teaches `toEqual` to compare bytes as bytes: vitest's own comparison goes by elements and takes
 * seconds for a megabyte. Short ones are left to it, which says best what differs.
 */
import { expect } from 'vitest';

const SHORT_BYTES = 256;

expect.addEqualityTesters([
  (a: unknown, b: unknown): boolean | undefined => {
    if (!(a instanceof Uint8Array && b instanceof Uint8Array)) return undefined;
    if (Math.max(a.length, b.length) <= SHORT_BYTES) return undefined;
    return Buffer.compare(a, b) === 0;
  },
]);
