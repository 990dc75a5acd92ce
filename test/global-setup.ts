/**
 * Builds what is out of date before the tests, which run the build: a Node 20 Worker cannot load
 * TypeScript. A folder serves as lock, so that two test runs do not build into one another.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const lock = join(root, 'build', '.lock');

function newest(...paths: string[]): number {
  return Math.max(
    ...paths.map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      if (!stat) return 0;
      if (!stat.isDirectory()) return stat.mtimeMs;
      return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
    }),
  );
}

function oldest(...paths: string[]): number {
  return Math.min(...paths.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0));
}

async function acquire(): Promise<void> {
  mkdirSync(join(root, 'build'), { recursive: true });
  for (let waited = 0; ; waited += 200) {
    try {
      return mkdirSync(lock);
    } catch {
      // A lock older than two minutes was left by a run that died.
      if (waited > 120_000) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** VBLK_NO_BUILD=1: the caller has built, perhaps something that the sources do not say. */
export default async function setup(): Promise<void> {
  if (process.env['VBLK_NO_BUILD']) return;
  await acquire();
  try {
    const sources = ['assembly', 'asconfig.json', 'src/spec.ts', 'src/layout.ts'];
    const core = ['build/core.wasm', 'build/core.shared.wasm'].map((path) => join(root, path));
    if (newest(...sources.map((path) => join(root, path))) > oldest(...core)) {
      execFileSync('npm', ['run', '--silent', 'build:core'], { cwd: root, stdio: 'inherit' });
    }
    const compiled = join(root, 'build/.tsbuildinfo');
    if (newest(join(root, 'src'), join(root, 'tsconfig.json')) > oldest(compiled)) {
      // What has wrong types is written all the same, and tested; `npm run lint` refuses it.
      spawnSync('npx', ['tsc', '-p', 'tsconfig.json'], { cwd: root, stdio: 'inherit' });
    }
    const recipe = ['package.json', 'rolldown.config.js'].map((path) => join(root, path));
    if (newest(compiled, ...recipe) > oldest(join(root, 'build/dist/index.js'))) {
      spawnSync('npm', ['run', '--silent', 'build:dist'], { cwd: root, stdio: 'inherit' });
    }
  } finally {
    rmdirSync(lock);
  }
}
