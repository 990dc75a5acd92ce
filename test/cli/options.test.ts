import { describe, expect, it } from 'vitest';
import { parseBenchOptions } from '#src/cli/bench/options';
import { vblk } from './command.ts';

describe('options of vblk bench', () => {
  it('have the defaults that the usage names', () => {
    expect(parseBenchOptions([])).toEqual({
      drives: [{ kind: 'memory' }, { kind: 'temp' }],
      rw: 'randread',
      bs: 4096,
      iodepth: 64,
      size: null,
      runtime: 2,
      engines: ['wasm', 'js'],
      verify: true,
      json: false,
    });
  });

  it('are taken as they are given', () => {
    const args = '--drive null --drive file:/a:b --rw randrw --bs 8k --iodepth 3 --size 1.5M';
    const more = '--runtime 0.25 --engine js --no-verify --json';
    expect(parseBenchOptions(`${args} ${more}`.split(' '))).toEqual({
      drives: [{ kind: 'null' }, { kind: 'file', filename: '/a:b' }],
      rw: 'randrw',
      bs: 8192,
      iodepth: 3,
      size: 1.5 * 2 ** 20,
      runtime: 0.25,
      engines: ['js'],
      verify: false,
      json: true,
    });
    expect(parseBenchOptions(['--size=1g', '--verify'])).toMatchObject({ size: 2 ** 30 });
  });

  // One of each kind by the command itself; then the same messages without a process each.
  it.each([
    [['bench', '--rw', 'rread'], `--rw: 'rread' is not allowed; allowed: read, write, randread`],
    [['bench', '--sise', '1m'], `--sise: '--sise' is not allowed; allowed: --drive, --rw, --bs`],
    [['bench', '--drive', 'file:/no/such'], `--drive: 'file:/no/such' is not allowed; allowed: `],
    [['bensh'], `command: 'bensh' is not allowed; allowed: bench`],
  ])('vblk %j is refused with exit code 2', (args, message) => {
    const { status, stdout, stderr } = vblk(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`vblk: ${message}`);
  });

  it.each([
    ['--drive floppy', `--drive: 'floppy' is not allowed; allowed: memory, temp, null, file:PATH`],
    ['--drive file:', `--drive: 'file:' is not allowed`],
    ['--bs 1000', `--bs: '1000' is not allowed; allowed: a multiple of 512, 512 to 1m`],
    ['--bs 2m', `--bs: '2m' is not allowed`],
    ['--bs huge', `--bs: 'huge' is not allowed; allowed: a whole number of bytes above 0`],
    ['--iodepth 0', `--iodepth: '0' is not allowed; allowed: a whole number, 1 to 256`],
    ['--iodepth 257', `--iodepth: '257' is not allowed`],
    ['--iodepth 1.5', `--iodepth: '1.5' is not allowed`],
    [
      '--size 10000',
      `--size: '10000' is not allowed; allowed: multiples of --bs, 4096, from 262144`,
    ],
    ['--size 252k', `--size: '258048' is not allowed`],
    ['--size 4g', `--size: '4294967296' is not allowed`],
    ['--runtime 0', `--runtime: '0' is not allowed; allowed: a number, 0.05 to 3600`],
    ['--runtime soon', `--runtime: 'soon' is not allowed`],
    ['--runtime', `--runtime: '' is not allowed; allowed: a value, as in --runtime VALUE`],
    ['--engine both,js', `--engine: 'both,js' is not allowed; allowed: wasm, js, both`],
    ['--verify=maybe', `--verify: 'maybe' is not allowed; allowed: --verify or --no-verify`],
    ['--no-rw', `--no-rw: '--no-rw' is not allowed; allowed: --drive`],
    ['memory', `argument: 'memory' is not allowed; allowed: --drive`],
  ])('%s is refused by name', (args, message) => {
    expect(() => parseBenchOptions(args.split(' '))).toThrow(message);
  });

  it('a size at either limit is taken: one block per request in flight, 3 GiB in memory', () => {
    expect(parseBenchOptions(['--size', '256k'])).toMatchObject({ size: 262_144 });
    expect(parseBenchOptions(['--size', '3g'])).toMatchObject({ size: 3 * 2 ** 30 });
    expect(parseBenchOptions(['--size', '4g', '--drive', 'null'])).toMatchObject({
      size: 2 ** 32,
    });
  });

  it('--help and --version tell what they should, with exit code 0', () => {
    const help = vblk('bench', '--help');
    expect(help.status).toBe(0);
    for (const option of ['--drive', '--rw', '--bs', '--iodepth', '--size', '--runtime']) {
      expect(help.stdout).toContain(option);
    }
    expect(vblk('--help').stdout).toContain('vblk bench');
    expect(vblk('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
