/** `npm run bench` writes what others read: the format is held here, no time is. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'vblk-bench-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

function bench(...args: string[]) {
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', timeout: 60_000 });
}

function results(only: string, ...args: string[]) {
  const json = join(folder, `${only.replaceAll('/', '-')}.json`);
  const { status, stderr } = bench('--only', only, '--json', json, ...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const file = JSON.parse(readFileSync(json, 'utf8'));
  expect(Object.keys(file)).toEqual(['version', 'machine', 'results']);
  expect(file.version).toBe(1);
  expect(file.machine).toMatchObject({ node: process.version });
  for (const result of file.results) {
    expect(Object.keys(result)).toEqual(['case', 'contestant', 'unit', 'min', 'median', 'samples']);
    expect(result.min).toBeLessThanOrEqual(result.median);
    expect(result.samples).toBeGreaterThan(0);
  }
  return file.results as { case: string; contestant: string; unit: string; samples: number }[];
}

const names = (list: { case: string; contestant: string; unit: string }[]) =>
  list.map((result) => `${result.case} ${result.contestant} ${result.unit}`);

describe('npm run bench', () => {
  it('writes cases, contestants, unit, minimum, median and samples', () => {
    const found = results('parse/1', '--rounds', '2');
    expect(names(found)).toEqual(
      ['parse/1', 'parse/16'].flatMap((name) =>
        ['wasm', 'js', 'naive'].map((contestant) => `${name} ${contestant} ns/request`),
      ),
    );
    expect(found.every(({ samples }) => samples === 2)).toBe(true);
  });

  // One of each kind: each checks that its contestants did the work.
  it.each(['ring/split/indirect/18/64', 'memory/4k/shared/16', 'ring/split/direct/18/32'])(
    '%s has three contestants that do the same',
    (name) => {
      const found = names(results(name, '--rounds', '1'));
      expect(found).toEqual(
        ['wasm', 'js', 'naive'].map((contestant) => `${name} ${contestant} ns/request`),
      );
    },
  );

  it.each(['device/memory/4k/64', 'device/null/1'])('%s goes through the whole device', (name) => {
    const found = names(results(name, '--rounds', '1'));
    expect(found).toContain(`${name} wasm ns/request`);
    expect(found).toContain(`${name} js ns/request`);
  });

  it('compares file reads with a bare loop in 15 rounds or more', () => {
    const found = results('file/', '--rounds', '1');
    expect(names(found)).toEqual(
      ['wasm', 'js', 'readSync'].map(
        (contestant) => `file/randread/4k/64 ${contestant} ns/request`,
      ),
    );
    expect(found.every(({ samples }) => samples >= 15)).toBe(true);
  });

  it('names what is wrong with its options', () => {
    const { status, stderr } = bench('--rounds', 'many');
    expect(status).toBe(2);
    expect(stderr).toContain(`--rounds: 'many' is not allowed; allowed: a whole number from 1`);
    expect(bench('--only', 'nothing-like-it').status).toBe(2);
  });
});

describe('sizes and memory', () => {
  it('each release module is under 16 kB', () => {
    const found = results('size/core');
    expect(names(found)).toEqual(['size/core.wasm wasm bytes', 'size/core.shared.wasm wasm bytes']);
    for (const result of found) expect(result).toHaveProperty('min');
    const sizes = found.map((result) => (result as unknown as { min: number }).min);
    expect(Math.max(...sizes)).toBeLessThan(16_000);
  });

  it('a device with one queue of 256 takes under 64 KiB of core memory', () => {
    const found = results('core-memory');
    const sizes = found.map((result) => (result as unknown as { min: number }).min);
    expect(sizes).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThan(65_536);
    expect(Math.min(...sizes)).toBeGreaterThan(4096);
  });
});
