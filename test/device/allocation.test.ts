/** Nothing is allocated per request, on either side of the border, once everything is warm. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../bench/steady-state.mjs', import.meta.url));
const REQUESTS = 1_000_000;

interface SteadyState {
  readonly requests: number;
  readonly collections: number;
  readonly bytesPerRequest: number;
  readonly sampledBytesPerRequest: number;
  readonly where: Readonly<Record<string, number>>;
}

function steadyState(driver: string, engine: string, rw: string, depth: number): SteadyState {
  const args = ['--expose-gc', script, driver, engine, rw, String(depth), String(REQUESTS)];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 80_000 }));
}

describe.each(['wasm', 'js'])('a device on the %s engine', (engine) => {
  it.each([
    ['null', 'read', 64],
    ['memory', 'write', 64],
    ['null', 'write', 1],
  ] as const)(
    'allocates nothing per request: %s disk, %s, depth %d',
    (driver, rw, depth) => {
      const found = steadyState(driver, engine, rw, depth);
      expect(found.requests).toBeGreaterThanOrEqual(REQUESTS);
      expect(found.collections).toBe(0);
      expect(found.bytesPerRequest, JSON.stringify(found.where)).toBeLessThan(1);
      expect(found.sampledBytesPerRequest, JSON.stringify(found.where)).toBeLessThan(1);
    },
    90_000,
  );
});
