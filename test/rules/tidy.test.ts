/** Rules of the house that a machine can hold. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)));
const code = tracked.filter((file) => /\.(ts|mjs|js)$/.test(file));
const read = (file: string) => readFileSync(join(root, file), 'utf8');

describe('house rules', () => {
  it('has no file whose name says nothing', () => {
    const names = /^(utils?|common|misc|helpers?)\./;
    expect(tracked.filter((file) => names.test(basename(file)))).toEqual([]);
  });

  it('keeps source files within 400 lines', () => {
    // Two are tables of numbers, each in one place.
    const tables = new Set(['src/spec.ts', 'src/layout.ts']);
    const sources = code.filter((file) => /^(src|assembly)\//.test(file) && !tables.has(file));
    const long = sources.filter((file) => read(file).split('\n').length > 420);
    expect(long).toEqual([]);
  });

  it('keeps lines of code within 100 columns', () => {
    const long = code
      .filter((file) => /^(src|assembly)\//.test(file))
      .flatMap((file) =>
        read(file)
          .split('\n')
          .flatMap((line, i) => (line.length > 100 ? [`${file}:${i + 1}`] : [])),
      );
    expect(long).toEqual([]);
  });

  it('never reads shared control words through a DataView (historic bug 23)', () => {
    const rooms = /^src\/(engine|aio|virtio|guest|block)\//;
    const found = code.filter((file) => rooms.test(file) && /new DataView/.test(read(file)));
    expect(found).toEqual([]);
  });

  it('leaves no unfinished work behind', () => {
    const words = new RegExp(
      `\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['X', 'XX'].join('')})\\b`,
    );
    expect(code.filter((file) => words.test(read(file)))).toEqual([]);
    const skipped = new RegExp(`\\b(it|describe|test)\\.(${['on', 'ly'].join('')}|todo)\\b`);
    expect(code.filter((file) => skipped.test(read(file)))).toEqual([]);
  });
});
