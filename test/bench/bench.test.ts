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

  const beside = (name: string) =>
    ['wasm', 'wasm, virtio-blk', 'js', 'js, virtio-blk'].map((who) => `${name} ${who} ns/request`);
  const costs = (name: string) => ['wasm', 'js'].map((who) => `${name} cost/${who} times the time`);

  it.each(['scsi/null/1', 'scsi/null/4'])('%s beside the same on virtio-blk', (name) => {
    expect(names(results(name, '--rounds', '1'))).toEqual([...beside(name), ...costs(name)]);
  });

  it.each([1, 2])('scsi/threads/%d: each command, on so many IOThreads', (count) => {
    const name = `scsi/threads/${count}`;
    const found = results(name, '--rounds', '2', '--turn', '2', '--warm', '8');
    const loud = names(found.filter((result) => !result.case.endsWith('/quiet')));
    expect(loud).toEqual([...beside(name), `${name} ruler ns/round trip`, ...costs(name)]);
  });

  it('compares file reads with a bare loop in 15 rounds or more', () => {
    const found = results('file/randread', '--rounds', '1');
    expect(names(found)).toEqual(
      ['wasm', 'js', 'readSync'].map(
        (contestant) => `file/randread/4k/64 ${contestant} ns/request`,
      ),
    );
    expect(found.every(({ samples }) => samples >= 15)).toBe(true);
  });

  it('idle-poll/64 finds what is there', () => {
    const found = names(results('idle-poll', '--rounds', '1'));
    expect(found).toEqual(['wasm', 'js'].map((engine) => `idle-poll/64 ${engine} ns/request`));
  });

  it.each([1, 64])('bottom-half/one/%d runs what it schedules', (count) => {
    const name = `bottom-half/one/${count}`;
    const found = names(results(name, '--rounds', '1'));
    expect(found).toEqual(['wasm', 'js', 'array'].map((who) => `${name} ${who} ns/request`));
  });

  it.each(['ring/split/direct/3/4', 'bottom-half/one/1', 'device/null/64'])(
    '--against: the engines of two builds in %s, and how they compare round by round',
    (name) => {
      const here = fileURLToPath(new URL('../..', import.meta.url));
      const found = results(name, '--rounds', '2', '--against', here);
      expect(names(found)).toEqual([
        ...['wasm', 'js', 'wasm, against', 'js, against'].map((who) => `${name} ${who} ns/request`),
        `${name} wasm/wasm, against times as fast`,
        `${name} js/js, against times as fast`,
      ]);
      expect(found.every(({ samples }) => samples === 2)).toBe(true);
    },
  );

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

describe('npm run bench across threads', () => {
  const short = ['--rounds', '2', '--turn', '2', '--warm', '8'];
  /** Whether there are quiet rounds is the machine's affair. */
  const loud = (list: ReturnType<typeof results>) =>
    names(list.filter((result) => !result.case.endsWith('/quiet')));
  const per = (name: string, unit: string, ...contestants: string[]) =>
    contestants.map((who) => `${name} ${who} ${unit}`);

  it('bottom-half/two: as many runs on either side', () => {
    expect(loud(results('bottom-half/two', ...short))).toEqual([
      ...per('bottom-half/two/1', 'ns/request', 'wasm', 'js', 'wait'),
      'bottom-half/two/1 ruler ns/round trip',
      ...per('bottom-half/two/1', 'times as fast', 'wasm/wait', 'js/wait'),
      ...per('bottom-half/two/64', 'ns/request', 'wasm', 'js'),
      'bottom-half/two/64 ruler ns/round trip',
    ]);
  });

  it.each([
    ['asleep', 'wait'],
    ['polling', 'spin'],
    ['oversubscribed', 'wait'],
  ])('kick/%s beside a bare ping-pong', (mode, bare) => {
    const name = `kick/${mode}`;
    expect(loud(results(name, ...short))).toEqual([
      ...per(name, 'ns/request', 'wasm', 'js', bare),
      `${name} ruler ns/round trip`,
      ...per(name, 'times as fast', `wasm/${bare}`, `js/${bare}`),
    ]);
  });

  const figures = (name: string, ...who: string[]) =>
    who.flatMap((one) => [
      `${name} kicks/${one} kicks/request`,
      `${name} interrupts/${one} interrupts/request`,
    ]);

  it.each([
    ['end-to-end/null/4', []],
    ['end-to-end/memory/16', ['memcpy']],
    ['end-to-end/memory/64', ['memcpy']],
  ])('%s: every byte and every request', (name, bare) => {
    const found = results(name, ...short);
    expect(loud(found)).toEqual([
      ...per(name, 'ns/request', 'wasm', 'js', ...bare),
      `${name} ruler ns/round trip`,
      ...bare.flatMap((other) => per(name, 'times as fast', `wasm/${other}`, `js/${other}`)),
      ...figures(name, 'wasm', 'js'),
    ]);
  });

  it.each(['bottom-half/two/64', 'end-to-end/memory/16'])('--against: two builds in %s', (name) => {
    const here = fileURLToPath(new URL('../..', import.meta.url));
    const found = loud(results(name, ...short, '--against', here));
    const who = ['wasm', 'js', 'wasm, against', 'js, against'];
    expect(found).toEqual([
      ...per(name, 'ns/request', ...who),
      `${name} ruler ns/round trip`,
      ...(name.startsWith('end') ? figures(name, ...who) : []),
      ...per(name, 'times as fast', 'wasm/wasm, against', 'js/js, against'),
    ]);
  });

  it('end-to-end/file/64 beside bare readers, with one IOThread and with two', () => {
    const name = 'end-to-end/file/64';
    const found = loud(results(name, ...short));
    expect(found).toEqual([
      ...per(name, 'ns/request', 'wasm', 'js', 'readSync'),
      `${name} ruler ns/round trip`,
      ...per(name, 'times as fast', 'wasm/readSync', 'js/readSync'),
      ...figures(name, 'wasm', 'js'),
      ...['wasm', 'js', 'readSync'].flatMap((who) =>
        per(`${name}/two`, 'ns/request', `${who}-1`, `${who}-2`),
      ),
      `${name}/two ruler ns/round trip`,
      `${name}/two gain/readSync times as fast`,
      ...['wasm', 'js'].flatMap((who) => [
        `${name}/two gain/${who} times as fast`,
        `${name}/two gain/${who}/readSync of its gain`,
      ]),
      ...figures(`${name}/two`, 'wasm-1', 'wasm-2', 'js-1', 'js-2'),
    ]);
  });
});

describe('idle devices', () => {
  it('100 of them take no turn', () => {
    const found = results('idle/100', '--idle', '0.2');
    expect(names(found)).toEqual(
      ['wasm', 'js'].flatMap((who) => [`idle/100 ${who} ms/s`, `idle-turns/100 ${who} turns`]),
    );
    const turns = found.filter((result) => result.case === 'idle-turns/100');
    expect(turns.map((result) => (result as unknown as { min: number }).min)).toEqual([0, 0]);
  });
});

describe('sizes and memory', () => {
  it('says what one more IOThread and one more queue take', () => {
    expect(names(results('rss/iothread'))).toEqual(
      ['wasm', 'js'].flatMap((who) => [
        `rss/iothread ${who} bytes`,
        `core-memory/iothread ${who} bytes`,
      ]),
    );
    const found = results('core-memory/queue');
    const more = found.filter((result) => result.case === 'core-memory/queue');
    expect(names(more)).toEqual(['wasm', 'js'].map((who) => `core-memory/queue ${who} bytes`));
    for (const result of more) {
      const { min } = result as unknown as { min: number };
      expect(min).toBeGreaterThan(4096);
      expect(min).toBeLessThan(65_536);
    }
  });

  it('each release module is under 20 kB', () => {
    const found = results('size/core');
    expect(names(found)).toEqual(['size/core.wasm wasm bytes', 'size/core.shared.wasm wasm bytes']);
    for (const result of found) expect(result).toHaveProperty('min');
    const sizes = found.map((result) => (result as unknown as { min: number }).min);
    expect(Math.max(...sizes)).toBeLessThan(20_000);
  });

  it('a device with one queue of 256 takes under 64 KiB of core memory', () => {
    const found = results('core-memory/queue-256');
    const sizes = found.map((result) => (result as unknown as { min: number }).min);
    expect(sizes).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThan(65_536);
    expect(Math.min(...sizes)).toBeGreaterThan(4096);
  });
});
