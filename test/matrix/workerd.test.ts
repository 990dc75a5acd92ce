import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import { edgeSuite } from './edge-suite.ts';
import { startWorkerd } from './workerd.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const installed = existsSync(new URL('node_modules/workerd', import.meta.url));

describe.skipIf(!installed && !process.env.CI)('workerd (npm ci --prefix test/matrix)', () => {
  edgeSuite(() => startWorkerd(root));
});
