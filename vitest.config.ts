import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What needs the cores for itself: one file at a time. */
const THREADS = [
  'test/threads/**/*.test.ts',
  'test/stress/**/*.test.ts',
  'test/storm/**/*.test.ts',
];
/** Whole devices whose queues lie on threads that sleep when they have nothing to do. */
const PATIENT = ['test/threads/virtio-{legacy,mmio,pci}.test.ts', 'test/threads/block-*.test.ts'];
/** The long ones begin first, so that none of them ends alone. */
const LONG = [
  'test/linux/**/*.test.ts',
  'test/explore/**/*.test.ts',
  'test/bench/**/*.test.ts',
  ...PATIENT,
  'test/block/**/*.test.ts',
  'test/device/**/*.test.ts',
  'test/engine/**/*.test.ts',
  'test/scsi/**/*.test.ts',
  'test/matrix/**/*.test.ts',
];
/** They put modules of the build in the place of others, or load them anew. */
const MOCKED = [
  'test/adapter/web.test.ts',
  'test/engine/steps.test.ts',
  'test/explore/same-steps.test.ts',
];
const BUILD = fileURLToPath(new URL('build/', import.meta.url)).replace(/[^\w/]/g, '\\$&');
/** The build is run as it ships, by Node itself: vitest transforms and loads the tests alone. */
const AS_IT_SHIPS = { deps: { external: [new RegExp(`^${BUILD}`)] } };
const NEVER = ['test/matrix/node_modules/**', 'node_modules/**', 'build/**'];

/** Two at a time, and the long ones, which wait for nobody, before the others. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ project }: TestSpecification) => Number(project.name === 'long');
    return sorted.sort((one, other) => isLong(other) - isLong(one));
  }
}

export default defineConfig({
  test: {
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/quick-equality.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    sequence: { sequencer: LongFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...NEVER, ...THREADS, ...LONG, ...MOCKED],
          server: AS_IT_SHIPS,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'long',
          include: LONG,
          exclude: [...NEVER, ...MOCKED],
          server: AS_IT_SHIPS,
          maxWorkers: 2,
        },
      },
      { extends: true, test: { name: 'mocked', include: MOCKED, maxWorkers: 2 } },
      {
        extends: true,
        test: {
          name: 'threads',
          include: THREADS,
          exclude: [...NEVER, ...PATIENT],
          server: AS_IT_SHIPS,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
