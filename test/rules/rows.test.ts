/** test/rows.md: every behaviour row that is built, with the title of the test that holds it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const testFolder = fileURLToPath(new URL('..', import.meta.url));

/** Rows that are built: `VQ-1..14` is each of them. */
const built = [
  ...['BH-1..15', 'NT-1..12', 'GS-1..7', 'TM-1..7', 'FD-1..5', 'AP-1..11', 'CO-1..10'],
  ...['CO-12..13', 'TP-1..7', 'WT-1..7', 'BB-1..18', 'BB-19..25', 'BB-27..28'],
  ...['VQ-1..14', 'BG-1..21', 'VC-1..9', 'PC-1..10', 'MM-1..8', 'HN-1..16', 'BL-1..22'],
  ...['DP-1..14', 'VM-1..9', 'SC-1..24', 'SD-1..17'],
].flatMap((range) => {
  const [, name, first, last] = /^([A-Z]+)-(\d+)(?:\.\.(\d+))?$/.exec(range) as RegExpExecArray;
  const count = Number(last ?? first) - Number(first) + 1;
  return Array.from({ length: count }, (_, i) => `${name}-${Number(first) + i}`);
});

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'node_modules') return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? files(path) : [path];
  });
}

/** `| VQ-3 | VQ-3: pop order ... |` */
const table = readFileSync(join(testFolder, 'rows.md'), 'utf8')
  .split('\n')
  .flatMap((line) => {
    const match = /^\|\s*([A-Z]{2}-\d+)\s*\|\s*(.+?)\s*\|$/.exec(line);
    return match ? [{ row: match[1] as string, title: match[2] as string }] : [];
  });

describe('the table of rows', () => {
  it('names a test for every row that is built', () => {
    const named = new Set(table.map(({ row }) => row));
    expect(built.filter((row) => !named.has(row))).toEqual([]);
  });

  it('names only tests that exist', () => {
    const sources = files(testFolder)
      .filter((path) => path.endsWith('.ts') && !path.endsWith('rows.test.ts'))
      .map((path) => readFileSync(path, 'utf8').replaceAll("\\'", "'"))
      .join('\n');
    const missing = table.filter(({ title }) => !sources.includes(title.replaceAll('\\|', '|')));
    expect(missing).toEqual([]);
  });
});
