/**
 * The package exists twice in the project: in modules (`#src/...`), which tests take apart, and in
 * bundles (`vblk`), which is what is shipped. A program takes its classes from one of the two: an
 * `instanceof` or a registry of the one knows nothing of the other.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Numbers, and functions over a core that remember nothing: alike in both. */
const STATELESS = ['#src/spec', '#src/layout', '#src/engine/queue-memory'];

function programs(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : programs(path);
    return /\.(ts|mjs|js)$/.test(entry.name) ? [path] : [];
  });
}

function targets(text: string): string[] {
  const imports =
    /^(?:import|export)\s[^;]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'/gm;
  return [...text.matchAll(imports)].map((match) => (match[1] ?? match[2] ?? match[3]) as string);
}

const isBundle = (target: string) => /^vblk(\/|$)/.test(target) && !/\.wasm/.test(target);
const isModule = (target: string) =>
  /^#src\/|\/build\/(?!dist\/)/.test(target) && !STATELESS.includes(target);

/** What is wrong with a file of `folder` that imports these. */
function offences(folder: 'bench' | 'test', list: readonly string[]): string[] {
  if (folder === 'bench') return list.filter(isModule);
  return list.filter((target) => isBundle(target) || /\/bench\/[\w-]+\.mjs$/.test(target));
}

describe('bundles and modules', () => {
  it('the benches measure the bundles', () => {
    const found = programs('bench').flatMap((file) =>
      offences('bench', targets(readFileSync(join(root, file), 'utf8'))).map((t) => [file, t]),
    );
    expect(found).toEqual([]);
  });

  it('the tests import modules; bundles only in programs of their own', () => {
    const found = programs('test')
      .filter((file) => !/^test\/matrix\/\w+\.js$/.test(file))
      .flatMap((file) =>
        offences('test', targets(readFileSync(join(root, file), 'utf8'))).map((t) => [file, t]),
      );
    expect(found).toEqual([]);
  });

  it('a planted mixture is found', () => {
    expect(offences('bench', targets("import { Core } from '#src/engine/core';"))).toHaveLength(1);
    expect(offences('bench', targets("import * as spec from '#src/spec';"))).toEqual([]);
    expect(offences('test', targets("import 'vblk/node';"))).toHaveLength(1);
    expect(offences('test', targets(`await import(${"'vblk'"})`))).toHaveLength(1);
  });
});
