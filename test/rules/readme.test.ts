/** README's code blocks run as they stand. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readmeBlocks } from './readme-blocks.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const blocks = readmeBlocks();

describe('README', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vblk-readme-'));
    execFileSync('mkdir', [join(folder, 'node_modules')]);
    symlinkSync(root, join(folder, 'node_modules', 'vblk'));
    for (const name of ['v86', '@assemblyscript']) {
      symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const scripts = blocks.filter(({ language }) => language === 'js');
  it.each(scripts.map((block) => [block.line, block] as const))(
    'the example at line %i runs',
    (_, block) => {
      const file = join(folder, `line-${block.line}.mjs`);
      writeFileSync(file, block.text);
      const expected = /^\/\/ prints: (.*)$/m.exec(block.text)?.[1];
      const printed = execFileSync('node', [file], { encoding: 'utf8', timeout: 20_000 });
      if (expected !== undefined) expect(printed.trim()).toBe(expected);
    },
  );

  it('has examples, and the first is short', () => {
    expect(scripts.length).toBeGreaterThan(0);
    expect(scripts[0]?.text.trim().split('\n').length).toBeLessThanOrEqual(14);
  });

  it('names only scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const shell = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text);
    const names = shell.join('\n').matchAll(/npm (?:run )?(start|test|[a-z]+)\b/g);
    const known = new Set([...Object.keys(scripts), 'ci', 'install', 'pack', 'run']);
    expect([...names].map((match) => match[1]).filter((name) => !known.has(name!))).toEqual([]);
  });
});
