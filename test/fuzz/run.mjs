/**
 * Compiles the fuzzer, which Node 20 cannot load as TypeScript, and starts it. Options as in run.ts:
 * --rings COUNT, --seed INTEGER. Needs `npm run build` before.
 */

import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);
const out = new URL(`build/fuzz-${process.pid}/`, root);
process.chdir(fileURLToPath(root));
process.on('exit', () => rmSync(out, { recursive: true, force: true }));
const project = ['-p', 'test/fuzz/tsconfig.json', '--outDir', fileURLToPath(out)];
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', ...project], {
  stdio: 'inherit',
});
await import(new URL('fuzz/run.js', out).href);
