import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: ['test/global-setup.ts'],
    include: ['test/**/*.test.ts'],
    exclude: ['test/matrix/node_modules/**', 'node_modules/**', 'build/**'],
    pool: 'forks',
    testTimeout: 30_000,
  },
});
