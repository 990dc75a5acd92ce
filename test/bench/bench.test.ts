/** `npm run bench` writes what others read: the format is held here, no time is. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'vblk-bench-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Result {
  case: string;
  contestant: string;
  unit: string;
  min: number;
  samples: number;
}

function bench(...args: string[]) {
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', timeout: 120_000 });
}

/** What one process has measured; `only`: parts of the names of cases. */
function results(only: readonly string[], ...args: string[]): Result[] {
  const json = join(folder, 'results.json');
  const { status, stderr } = bench('--only', only.join(','), '--json', json, ...args);
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
  return file.results;
}

const names = (list: readonly Result[]) =>
  list.map((result) => `${result.case} ${result.contestant} ${result.unit}`);
const per = (name: string, unit: string, ...contestants: string[]) =>
  contestants.map((who) => `${name} ${who} ${unit}`);

/** Cases that are measured together before their tests: to start takes longer than to measure. */
function measured(cases: readonly string[], ...args: string[]): (name: string) => Result[] {
  let all: Result[];
  beforeAll(() => {
    all = results(cases, ...args);
  }, 120_000);
  return (name) => all.filter((result) => result.case === name);
}

describe('npm run bench', () => {
  const ring = ['ring/split/indirect/18/64', 'memory/4k/shared/16', 'ring/split/direct/18/32'];
  const device = ['device/memory/4k/64', 'device/null/1'];
  const scsi = ['scsi/null/1', 'scsi/null/4'];
  const bottomHalves = ['bottom-half/one/1', 'bottom-half/one/64'];
  const all = ['parse/1', ...ring, ...device, ...scsi, 'file/randread', 'idle-poll'];
  const of = measured([...all, ...bottomHalves], '--rounds', '2');

  it('writes cases, contestants, unit, minimum, median and samples', () => {
    for (const name of ['parse/1', 'parse/16']) {
      expect(names(of(name))).toEqual(per(name, 'ns/request', 'wasm', 'js', 'naive'));
      expect(of(name).every(({ samples }) => samples === 2)).toBe(true);
    }
  });

  // One of each kind: each checks that its contestants did the work.
  it.each(ring)('%s has three contestants that do the same', (name) => {
    expect(names(of(name))).toEqual(per(name, 'ns/request', 'wasm', 'js', 'naive'));
  });

  it.each(device)('%s goes through the whole device', (name) => {
    expect(names(of(name)).slice(0, 2)).toEqual(per(name, 'ns/request', 'wasm', 'js'));
  });

  it.each(scsi)('%s beside the same on virtio-blk', (name) => {
    expect(names(of(name))).toEqual([...beside(name), ...costs(name)]);
  });

  it('compares file reads with a bare loop in 15 rounds or more', () => {
    const name = 'file/randread/4k/64';
    expect(names(of(name))).toEqual(per(name, 'ns/request', 'wasm', 'js', 'readSync'));
    expect(of(name).every(({ samples }) => samples >= 15)).toBe(true);
  });

  it('idle-poll/64 finds what is there', () => {
    const found = names(of('idle-poll/64'));
    expect(found).toEqual(per('idle-poll/64', 'ns/request', 'wasm', 'js'));
  });

  it.each(bottomHalves)('%s runs what it schedules', (name) => {
    expect(names(of(name))).toEqual(per(name, 'ns/request', 'wasm', 'js', 'array'));
  });

  it('--only: the cases that contain it, and no others', () => {
    const found = results(['parse/16'], '--rounds', '1');
    expect(names(found)).toEqual(per('parse/16', 'ns/request', 'wasm', 'js', 'naive'));
  });

  it('--against: says what is missing where there is no build', () => {
    const { status, stderr } = bench('--against', folder);
    expect(status).toBe(2);
    expect(stderr).toBe(`--against: '${folder}' has no package.json: a checkout that is built\n`);
  });

  it('names what is wrong with its options', () => {
    const { status, stderr } = bench('--rounds', 'many');
    expect(status).toBe(2);
    expect(stderr).toContain(`--rounds: 'many' is not allowed; allowed: a whole number from 1`);
    for (const name of ['--turn', '--idle']) {
      const { status, stderr } = bench(name, '0');
      expect({ status, stderr }).toEqual({
        status: 2,
        stderr: `${name}: '0' is not allowed; allowed: a number above 0\n`,
      });
    }
    expect(bench('--only', 'nothing-like-it').status).toBe(2);
  });
});

/** SCSI commands, and the same on virtio-blk. */
const beside = (name: string) =>
  per(name, 'ns/request', ...['wasm', 'js'].flatMap((one) => [one, `${one}, virtio-blk`]));
const costs = (name: string) => per(name, 'times the time', 'cost/wasm', 'cost/js');
const figures = (name: string, ...who: string[]) =>
  who.flatMap((one) => [
    `${name} kicks/${one} kicks/request`,
    `${name} interrupts/${one} interrupts/request`,
  ]);
/** Rounds and turns of cases with threads. */
const SHORT = ['--rounds', '2', '--turn', '2', '--warm', '8'];

// Whether there are quiet rounds, which are cases of their own, is the machine's affair.
describe('npm run bench across threads', () => {
  const scsi = ['scsi/threads/1', 'scsi/threads/2'];
  const kick: [string, string][] = [
    ['kick/asleep', 'wait'],
    ['kick/polling', 'spin'],
    ['kick/oversubscribed', 'wait'],
  ];
  const endToEnd: [string, string[]][] = [
    ['end-to-end/null/4', []],
    ['end-to-end/memory/16', ['memcpy']],
    ['end-to-end/memory/64', ['memcpy']],
    ['end-to-end/file/64', ['readSync']],
  ];
  const cases = ['bottom-half/two', ...scsi, ...[...kick, ...endToEnd].map(([name]) => name)];
  const of = measured(cases, ...SHORT);

  it('bottom-half/two: as many runs on either side', () => {
    const name = 'bottom-half/two';
    expect(names(of(`${name}/1`))).toEqual([
      ...per(`${name}/1`, 'ns/request', 'wasm', 'js', 'wait'),
      `${name}/1 ruler ns/round trip`,
      ...per(`${name}/1`, 'times as fast', 'wasm/wait', 'js/wait'),
    ]);
    expect(names(of(`${name}/64`))).toEqual([
      ...per(`${name}/64`, 'ns/request', 'wasm', 'js'),
      `${name}/64 ruler ns/round trip`,
    ]);
  });

  it.each(scsi)('%s: each command, on so many IOThreads', (name) => {
    const ruler = `${name} ruler ns/round trip`;
    expect(names(of(name))).toEqual([...beside(name), ruler, ...costs(name)]);
  });

  it.each(kick)('%s beside a bare ping-pong', (name, bare) => {
    expect(names(of(name))).toEqual([
      ...per(name, 'ns/request', 'wasm', 'js', bare),
      `${name} ruler ns/round trip`,
      ...per(name, 'times as fast', `wasm/${bare}`, `js/${bare}`),
    ]);
  });

  it.each(endToEnd)('%s: every byte and every request', (name, bare) => {
    expect(names(of(name))).toEqual([
      ...per(name, 'ns/request', 'wasm', 'js', ...bare),
      `${name} ruler ns/round trip`,
      ...bare.flatMap((other) => per(name, 'times as fast', `wasm/${other}`, `js/${other}`)),
      ...figures(name, 'wasm', 'js'),
    ]);
  });

  it('end-to-end/file/64/two beside bare readers, with one IOThread and with two', () => {
    const name = 'end-to-end/file/64/two';
    expect(names(of(name))).toEqual([
      ...['wasm', 'js', 'readSync'].flatMap((who) =>
        per(name, 'ns/request', `${who}-1`, `${who}-2`),
      ),
      `${name} ruler ns/round trip`,
      `${name} gain/readSync times as fast`,
      ...['wasm', 'js'].flatMap((who) => [
        `${name} gain/${who} times as fast`,
        `${name} gain/${who}/readSync of its gain`,
      ]),
      ...figures(name, 'wasm-1', 'wasm-2', 'js-1', 'js-2'),
    ]);
  });
});

describe('npm run bench --against', () => {
  const here = fileURLToPath(new URL('../..', import.meta.url));
  const who = ['wasm', 'js', 'wasm, against', 'js, against'];
  const single = ['ring/split/direct/3/4', 'bottom-half/one/1', 'device/null/64'];
  const threads = ['bottom-half/two/64', 'end-to-end/memory/16'];
  const of = measured([...single, ...threads], ...SHORT, '--against', here);

  it.each(single)('the engines of two builds in %s, and how they compare', (name) => {
    expect(names(of(name))).toEqual([
      ...per(name, 'ns/request', ...who),
      ...per(name, 'times as fast', 'wasm/wasm, against', 'js/js, against'),
    ]);
    expect(of(name).every(({ samples }) => samples === 2)).toBe(true);
  });

  it.each(threads)('two builds in %s', (name) => {
    expect(names(of(name))).toEqual([
      ...per(name, 'ns/request', ...who),
      `${name} ruler ns/round trip`,
      ...(name.startsWith('end') ? figures(name, ...who) : []),
      ...per(name, 'times as fast', 'wasm/wasm, against', 'js/js, against'),
    ]);
  });
});

describe('figures', () => {
  const cases = ['idle/100', 'rss/iothread', 'core-memory/queue', 'size/core'];
  const of = measured(cases, '--idle', '0.2');
  const least = (name: string) => of(name).map(({ min }) => min);

  it('100 idle devices take no turn', () => {
    expect(names(of('idle/100'))).toEqual(per('idle/100', 'ms/s', 'wasm', 'js'));
    expect(names(of('idle-turns/100'))).toEqual(per('idle-turns/100', 'turns', 'wasm', 'js'));
    expect(least('idle-turns/100')).toEqual([0, 0]);
  });

  it('say what one more IOThread and one more queue take', () => {
    for (const name of ['rss/iothread', 'core-memory/iothread', 'core-memory/queue']) {
      expect(names(of(name))).toEqual(per(name, 'bytes', 'wasm', 'js'));
    }
    expect(Math.min(...least('core-memory/queue'))).toBeGreaterThan(4096);
    expect(Math.max(...least('core-memory/queue'))).toBeLessThan(65_536);
  });

  it('each release module is under 20 kB', () => {
    for (const name of ['size/core.wasm', 'size/core.shared.wasm']) {
      expect(names(of(name))).toEqual(per(name, 'bytes', 'wasm'));
      expect(Math.max(...least(name))).toBeLessThan(20_000);
    }
  });

  it('a device with one queue of 256 takes under 64 KiB of core memory', () => {
    const sizes = least('core-memory/queue-256');
    expect(sizes).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThan(65_536);
    expect(Math.min(...sizes)).toBeGreaterThan(4096);
  });
});
