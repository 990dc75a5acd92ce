/** IOThreads in other runtimes: the wake-ups work there, and the process ends when it may. */
import { describe, expect, it } from 'vitest';
import { runScript, runtimes } from './runtimes.ts';

const EXIT_MS = 2000;

for (const runtime of runtimes) {
  const skip = !runtime.installed && !process.env.CI;
  describe.skipIf(skip)(`${runtime.name} (npm ci --prefix test/matrix)`, () => {
    const died = "iothread 'io0' died: as it was told to";
    it.each([
      ['wasm', 'stop', []],
      ['js', 'stop', []],
      ['wasm', 'leave', []],
      ['wasm', 'crash', [died]],
    ])(
      'WT-4 bottom halves through an IOThread, %s engine; then: %s',
      async (engine, end, said) => {
        const run = await runScript(runtime, 'io-thread.mjs', engine, end);
        expect({ lines: run.lines, errors: run.errors, status: run.status }).toEqual({
          lines: [engine, '10000 10000 slept', ...said, 'done'],
          errors: '',
          status: 0,
        });
        expect(run.lingered).toBeLessThan(EXIT_MS);
      },
      60_000,
    );

    it.each([
      ['wasm', 'memory'],
      ['js', 'memory'],
      ['wasm', 'file'],
    ])(
      '10,000 verified requests through an IOThread, %s engine, %s disk',
      async (engine, driver) => {
        const run = await runScript(runtime, 'requests.mjs', engine, driver);
        expect({ lines: run.lines, errors: run.errors, status: run.status }).toEqual({
          lines: [engine, '10000 verified; the thread was kicked', 'done'],
          errors: '',
          status: 0,
        });
        expect(run.lingered).toBeLessThan(EXIT_MS);
      },
      60_000,
    );
  });
}
