/** The table of `npm run mutate` fits the sources and the tests as they are now. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { mutants, steps } from '../mutate/table.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const contents = new Map<string, string>();

function read(file: string): string {
  const known = contents.get(file) ?? readFileSync(join(root, file), 'utf8');
  contents.set(file, known);
  return known;
}

describe('the table of mutants', () => {
  it('has a name for each row, and no name twice', () => {
    const names = mutants.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(0);
  });

  it('names texts that are found exactly once, and replaces them by others', () => {
    const wrong = mutants.filter(({ file, text }) => read(file).split(text).length !== 2);
    expect(wrong.map(({ name, file, text }) => ({ name, file, text }))).toEqual([]);
    expect(mutants.filter(({ text, replacement }) => text === replacement)).toEqual([]);
  });

  it('breaks each step in both engines, or says why only one has it', () => {
    const lonely = steps.filter((step) => !(step.wasm && step.js) && !step.only);
    expect(lonely.map(({ name }) => name)).toEqual([]);
  });

  it('names test files and titles that exist', () => {
    const files = new Set(mutants.flatMap(({ tests }) => tests));
    expect([...files].filter((file) => !existsSync(join(root, file)))).toEqual([]);
    expect(mutants.filter(({ tests, titles }) => !tests.length || !titles.length)).toEqual([]);
    const suites = readdirSync(join(root, 'test/engine'))
      .filter((name) => name.endsWith('.ts'))
      .map((name) => read(`test/engine/${name}`).replaceAll("\\'", "'"))
      .join('\n');
    const titles = new Set(mutants.flatMap((mutant) => mutant.titles));
    expect([...titles].filter((title) => !suites.includes(title))).toEqual([]);
  });

  it('lets a row run only tests that its broken engine takes part in', () => {
    for (const { name, file, filter } of mutants) {
      const [engine] = name.split('/');
      expect(file.startsWith(engine === 'wasm' ? 'assembly/' : 'src/engine/js/'), name).toBe(true);
      expect(filter.startsWith(`${engine}, `), name).toBe(true);
    }
  });
});
