/** Throws where two byte arrays differ first. vitest's own comparison takes seconds for a megabyte. */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array, what = 'bytes'): void {
  if (Buffer.compare(actual, expected) === 0) return;
  if (actual.length !== expected.length) {
    throw new Error(`${what}: ${actual.length} of them, expected ${expected.length}`);
  }
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  throw new Error(
    `${what}: at ${at} of ${actual.length} is ${actual[at]}, expected ${expected[at]}`,
  );
}
