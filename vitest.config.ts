import { defineConfig } from 'vitest/config';

/** Tests that are threads themselves: one file at a time, so that they have the cores. */
const THREADS = [
  'test/threads/**/*.test.ts',
  'test/stress/**/*.test.ts',
  'test/storm/**/*.test.ts',
];
const NEVER = ['test/matrix/node_modules/**', 'node_modules/**', 'build/**'];

export default defineConfig({
  test: {
    globalSetup: ['test/global-setup.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: [...NEVER, ...THREADS] },
      },
      {
        extends: true,
        test: {
          name: 'threads',
          include: THREADS,
          exclude: NEVER,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
