import { describe, expect, it } from 'vitest';
import { parseBenchOptions } from '#src/cli/bench/options';
import { vblk } from './command.ts';

describe('options of vblk bench', () => {
  it('have the defaults that the usage names', () => {
    expect(parseBenchOptions([])).toEqual({
      device: 'virtio-blk',
      drives: [{ kind: 'memory' }, { kind: 'temp' }],
      rw: 'randread',
      bs: 4096,
      iodepth: 64,
      numjobs: 1,
      iothreads: 0,
      numQueues: 1,
      pollMaxNs: 32768,
      size: null,
      runtime: 2,
      engines: ['wasm', 'js'],
      verify: true,
      json: false,
    });
  });

  it('are taken as they are given', () => {
    const args = '--drive null --drive file:/a:b --rw randrw --bs 8k --iodepth 3 --size 1.5M';
    const threads = '--iothreads 2 --num-queues 3 --numjobs 5 --poll-max-ns 0';
    const more = `--runtime 0.25 --engine js --no-verify --json --device virtio-scsi ${threads}`;
    expect(parseBenchOptions(`${args} ${more}`.split(' '))).toEqual({
      device: 'virtio-scsi',
      drives: [{ kind: 'null' }, { kind: 'file', filename: '/a:b' }],
      rw: 'randrw',
      bs: 8192,
      iodepth: 3,
      numjobs: 5,
      iothreads: 2,
      numQueues: 3,
      pollMaxNs: 0,
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
    [
      ['bench', '--sise', '1m'],
      `--sise: '--sise' is not allowed; allowed: --drive, --device, --rw`,
    ],
    [['bench', '--drive', 'file:/no/such'], `--drive: 'file:/no/such' is not allowed; allowed: `],
    [['bench', '--iothreads', 'two'], `--iothreads: 'two' is not allowed; allowed: a whole number`],
    [['bench', '--numjobs', '65'], `--numjobs: '65' is not allowed; allowed: a whole number, 1 to`],
    [['bensh'], `command: 'bensh' is not allowed; allowed: bench`],
  ])('vblk %j is refused with exit code 2', (args, message) => {
    const { status, stdout, stderr } = vblk(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`vblk: ${message}`);
  });

  it.each([
    ['--drive floppy', `--drive: 'floppy' is not allowed; allowed: memory, temp, null, file:PATH`],
    ['--device floppy', `--device: 'floppy' is not allowed; allowed: virtio-blk, virtio-scsi`],
    [
      '--device virtio-scsi --drive null --bs 1m --size 2049g',
      `--size: '${2049 * 2 ** 30}' is not allowed`,
    ],
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
    ['--iothreads=-1', `--iothreads: '-1' is not allowed; allowed: a whole number, 0 to 16`],
    ['--iothreads 17', `--iothreads: '17' is not allowed; allowed: a whole number, 0 to 16`],
    ['--iothreads', `--iothreads: '' is not allowed; allowed: a value, as in --iothreads VALUE`],
    [
      '--iothreads 3 --num-queues 2',
      `--iothreads: '3' is not allowed; allowed: 0 to 2, which is --num-queues`,
    ],
    ['--num-queues 0', `--num-queues: '0' is not allowed; allowed: a whole number, 1 to 64`],
    ['--num-queues 65', `--num-queues: '65' is not allowed`],
    [
      '--num-queues 3 --numjobs 2',
      `--num-queues: '3' is not allowed; allowed: 1 to 2, which is --numjobs`,
    ],
    ['--numjobs 0', `--numjobs: '0' is not allowed; allowed: a whole number, 1 to 64`],
    [
      '--numjobs 6 --num-queues 1',
      `--numjobs: '6' is not allowed; allowed: at most 5 per queue with --iodepth 64`,
    ],
    [
      '--numjobs 3 --num-queues 2 --iodepth 171',
      `--numjobs: '3' is not allowed; allowed: at most 1`,
    ],
    ['--poll-max-ns 1', `--poll-max-ns: '1' is not allowed; allowed: none without --iothreads`],
    [
      '--iothreads 1 --poll-max-ns 4294967296',
      `--poll-max-ns: '4294967296' is not allowed; allowed: a whole number, 0 to 4294967295`,
    ],
    ['--size 508k --numjobs 2', `--size: '520192' is not allowed; allowed: multiples of --bs`],
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

  it.each([
    ['--iothreads 2', 2, 2, 2],
    ['--numjobs 3', 0, 3, 3],
    ['--num-queues 4', 0, 4, 4],
    ['--iothreads 2 --numjobs 4', 2, 4, 4],
    ['--iothreads 2 --num-queues 2 --numjobs 4', 2, 2, 4],
    ['--numjobs 10 --num-queues 2', 0, 2, 10],
    ['--numjobs 64 --iothreads 16', 16, 64, 64],
  ])('%s gives every thread a queue and every queue a job', (args, ...numbers) => {
    const { iothreads, numQueues, numjobs } = parseBenchOptions(args.split(' '))!;
    expect([iothreads, numQueues, numjobs]).toEqual(numbers);
  });

  it('a ring may be full of requests', () => {
    const args = '--numjobs 5 --num-queues 1 --iodepth 68 --size 2m';
    expect(parseBenchOptions(args.split(' '))).toMatchObject({ numjobs: 5, iodepth: 68 });
  });

  it('a size at either limit is taken: one block per request in flight, 3 GiB in memory', () => {
    expect(parseBenchOptions(['--size', '256k'])).toMatchObject({ size: 262_144 });
    expect(parseBenchOptions(['--size', '512k', '--numjobs', '2'])).toMatchObject({
      size: 524_288,
    });
    expect(parseBenchOptions(['--size', '3g'])).toMatchObject({ size: 3 * 2 ** 30 });
    expect(parseBenchOptions(['--size', '4g', '--drive', 'null'])).toMatchObject({
      size: 2 ** 32,
    });
    const scsi = '--device virtio-scsi --drive null --bs 1m --size';
    expect(parseBenchOptions(`${scsi} 2048g`.split(' '))).toMatchObject({ size: 2 ** 41 });
  });

  it('--help and --version tell what they should, with exit code 0', () => {
    const help = vblk('bench', '--help');
    expect(help.status).toBe(0);
    for (const option of [
      '--drive',
      '--device',
      '--rw',
      '--bs',
      '--iodepth',
      '--size',
      '--runtime',
    ]) {
      expect(help.stdout).toContain(option);
    }
    for (const option of ['--numjobs', '--iothreads', '--num-queues', '--poll-max-ns']) {
      expect(help.stdout).toContain(option);
    }
    expect(vblk('--help').stdout).toContain('vblk bench');
    expect(vblk('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
