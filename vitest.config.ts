import { defineConfig } from 'vitest/config';

/** Tests that are threads themselves: one file at a time, so that they have the cores. */
const THREADS = [
  'test/threads/**/*.test.ts',
  'test/stress/**/*.test.ts',
  'test/storm/**/*.test.ts',
];
/** Long ones that wait for nobody: two at a time. */
const LONG = [
  'test/block/**/*.test.ts',
  'test/device/**/*.test.ts',
  'test/engine/**/*.test.ts',
  'test/explore/**/*.test.ts',
  'test/linux/**/*.test.ts',
  'test/scsi/**/*.test.ts',
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
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...NEVER, ...THREADS, ...LONG],
        },
      },
      {
        extends: true,
        test: {
          name: 'long',
          include: LONG,
          exclude: NEVER,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
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
