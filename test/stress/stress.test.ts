/** One fiftieth of `npm run stress`. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('./run.mjs', import.meta.url));

describe.each(['wasm', 'js'])('a fiftieth of npm run stress, %s engine', (engine) => {
  it('historic bug 1: two Workers ping-pong, kick, start and stop; no count is off', async () => {
    const run = promisify(execFile)('node', [script, '--share', '50', '--engine', engine]);
    const lines = (await run).stdout.trim().split('\n');
    const [head, ...scenarios] = lines.map((line) => JSON.parse(line));
    console.log(`seed ${head.seed}`);
    expect(scenarios).toMatchObject([
      { scenario: 'bottom halves', engine, count: 20_000, runs: [10_000, 10_000] },
      { scenario: 'kicks', engine, count: 200_000 },
      { scenario: 'lives', engine, count: 20 },
    ]);
    // Both ways of waiting were taken.
    expect(scenarios[1].polled).toBeGreaterThan(0);
    expect(Math.min(...scenarios[1].sleeps)).toBeGreaterThan(0);
  }, 120_000);
});
