import { readFileSync } from 'node:fs';
import { join } from 'node:path';

type Target = string | { [condition: string]: Target };

function pick(target: Target | undefined, conditions: string[]): string | undefined {
  if (typeof target !== 'object') return target;
  for (const [condition, inner] of Object.entries(target)) {
    if (condition !== 'default' && !conditions.includes(condition)) continue;
    const found = pick(inner, conditions);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * The file, relative to `root`, that a bundler with these conditions takes for `subpath` (`.` or
 * `./name`) of the package at `root`.
 */
export function packageExport(root: string, subpath: string, conditions: string[]): string {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const file = pick(exports[subpath], conditions);
  if (file === undefined) throw new Error(`the package exports no ${subpath}`);
  return file.replace(/^\.\//, '');
}
