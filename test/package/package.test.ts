/** The packed package installs into an empty project and runs README's example. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readmeBlocks } from '../rules/readme-blocks.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = (cwd: string, command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

describe('the packed package', () => {
  let project: string;
  let files: string[];

  beforeAll(() => {
    project = mkdtempSync(join(tmpdir(), 'vblk-package-'));
    const packed = run(
      root,
      'npm',
      'pack',
      '--json',
      '--ignore-scripts',
      '--pack-destination',
      project,
    );
    const [entry] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
    files = entry.files.map(({ path }) => path);
    writeFileSync(join(project, 'package.json'), '{"private": true, "type": "module"}');
    run(project, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', entry.filename);
  }, 120_000);

  afterAll(() => rmSync(project, { recursive: true, force: true }));

  it('holds what runs and nothing else', () => {
    const allowed =
      /^(build\/dist\/.*\.js(\.map)?|build\/.*\.(d\.ts|wasm)|package\.json|README\.md|LICENSE(-APACHE)?|NOTICE|CHANGELOG\.md)$/;
    expect(files.filter((path) => !allowed.test(path))).toEqual([]);
    expect(files).toContain('build/core.wasm');
    expect(files).toContain('build/core.shared.wasm');
    expect(files.filter((path) => path.includes('debug'))).toEqual([]);
  });

  it("runs README's first example", () => {
    const example = readmeBlocks().find(({ language }) => language === 'js');
    writeFileSync(join(project, 'example.js'), example?.text ?? 'throw new Error("no example")');
    expect(run(project, 'node', 'example.js')).toBe('hello from the ring\n');
  });

  it('exports what package.json says, in Node', () => {
    const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const names = Object.keys(exports).filter((name) => !/\.(wasm|json)$/.test(name));
    const script = names
      .map((name) => `await import('vblk${name.slice(1)}');`)
      .concat("console.log('all');")
      .join('\n');
    writeFileSync(join(project, 'exports.js'), script);
    expect(run(project, 'node', 'exports.js')).toBe('all\n');
  });

  it('installs the command', () => {
    expect(run(project, 'npx', '--no-install', 'vblk', '--help')).toMatch(/vblk bench/);
    const short = ['--drive', 'memory', '--size', '1m', '--runtime', '0.05', '--json'];
    const results = JSON.parse(run(project, 'npx', '--no-install', 'vblk', 'bench', ...short));
    expect(JSON.stringify(results)).toMatch(/"wasm".*"js"/);
  });

  it('has types that a strict project accepts', () => {
    writeFileSync(
      join(project, 'typed.ts'),
      "import { Core, VirtioBlk } from 'vblk';\nimport { openCore } from 'vblk/node';\n" +
        'const core: Core = await openCore({ engine: "js" });\nvoid core;\nvoid VirtioBlk;\n',
    );
    const tsc = join(root, 'node_modules/.bin/tsc');
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2023'];
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
    run(project, tsc, ...options, ...types, 'typed.ts');
  });
});
