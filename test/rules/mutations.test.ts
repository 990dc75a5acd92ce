/** The table of `npm run mutate` fits the sources and the tests as they are now. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type Mutant, mutants, roomSteps, steps } from '../mutate/table.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const contents = new Map<string, string>();

function read(file: string): string {
  const known = contents.get(file) ?? readFileSync(join(root, file), 'utf8');
  contents.set(file, known);
  return known;
}

/** The texts of a folder's files, in which the titles of its tests stand. */
function titlesIn(folder: string): string {
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(`${folder}/${name}`).replaceAll("\\'", "'"))
    .join('\n');
}

/** Historic bugs (numbers of their list): all but those of other devices. */
const historicBugs = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
  ...[18, 19, 20, 21, 22, 23, 24, 26, 27, 28, 29],
];

const isOfEngine = ({ name }: Mutant): boolean => /^(wasm|js)\//.test(name);

describe('the table of mutants', () => {
  it('has a name for each row, and no name twice', () => {
    const names = mutants.map(({ name }) => name);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
    expect(names.length).toBeGreaterThan(0);
  });

  it('names texts that are found exactly once, and replaces them by others', () => {
    const edits = mutants.flatMap(({ name, edits }) => edits.map((edit) => ({ name, ...edit })));
    const wrong = edits.filter(({ file, text }) => read(file).split(text).length !== 2);
    expect(wrong.map(({ name, file, text }) => ({ name, file, text }))).toEqual([]);
    expect(edits.filter(({ text, replacement }) => text === replacement)).toEqual([]);
  });

  it('breaks each step in both engines, or says why only one has it', () => {
    const lonely = steps.filter((step) => !(step.wasm && step.js) && !step.only);
    expect(lonely.map(({ name }) => name)).toEqual([]);
  });

  it('breaks the engines only in rows of the engines', () => {
    const engines = /^(assembly|src\/engine\/js)\//;
    for (const { name, edits } of mutants.filter((mutant) => !isOfEngine(mutant))) {
      expect(
        edits.filter(({ file }) => engines.test(file)),
        name,
      ).toEqual([]);
    }
    expect(roomSteps.length).toBeGreaterThan(0);
  });

  it('names test files and titles that exist', () => {
    const files = new Set(mutants.flatMap(({ tests }) => tests));
    expect([...files].filter((file) => !existsSync(join(root, file)))).toEqual([]);
    expect(mutants.filter(({ tests, titles }) => !tests.length || !titles.length)).toEqual([]);
    const missing = mutants.flatMap(({ name, tests, titles }) => {
      const folders = [...new Set(tests.map((file) => dirname(file)))];
      const text = folders.map(titlesIn).join('\n');
      return titles.filter((title) => !text.includes(title)).map((title) => ({ name, title }));
    });
    expect(missing).toEqual([]);
  });

  it('lets a row run only tests that its broken engine takes part in', () => {
    for (const { name, edits, filter } of mutants.filter(isOfEngine)) {
      const [engine] = name.split('/');
      const folder = engine === 'wasm' ? 'assembly/' : 'src/engine/js/';
      expect(
        edits.map(({ file }) => file.startsWith(folder)),
        name,
      ).toEqual([true]);
      expect(filter.startsWith(`(${engine}, `), name).toBe(true);
    }
  });
});

describe('historic bugs', () => {
  it.each(historicBugs)('number %i has a test with its number in the title', (number) => {
    // What a call begins with, on its line or on the next one.
    const title = new RegExp(`(\\(|^)\\s*['"\`][^\\n]*historic bug ${number}\\b`, 'm');
    const folders = ['aio', 'block', 'engine', 'machine', 'threads', 'virtio'];
    const texts = folders.map((folder) => titlesIn(`test/${folder}`));
    expect(texts.some((text) => title.test(text))).toBe(true);
  });

  it.each(historicBugs)('number %i comes back in a row that such a test notices', (number) => {
    const rows = mutants.filter(({ name }) => name.split('/')[1] === `historic bug ${number}`);
    expect(rows).not.toEqual([]);
    const noticed = new RegExp(`historic bug ${number}\\b`);
    for (const { name, titles } of rows) {
      expect(
        titles.filter((title) => !noticed.test(title)),
        name,
      ).toEqual([]);
    }
  });

  it('comes back in both engines where the engines are what was mended', () => {
    for (const number of [2, 4, 22, 23, 24]) {
      const rows = mutants.filter(({ name }) => name.includes(`/historic bug ${number}/`));
      const engines = new Set(rows.filter(isOfEngine).map(({ name }) => name.split('/')[0]));
      expect([...engines].sort(), `bug ${number}`).toEqual(['js', 'wasm']);
    }
  });
});
