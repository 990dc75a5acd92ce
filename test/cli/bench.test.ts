/** Real runs of `vblk bench`, short ones. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import '#src/adapter/node';
import { StampedContents } from '#src/cli/bench/contents';
import { Job } from '#src/cli/bench/job';
import { WORKLOADS, type Workload } from '#src/cli/bench/options';
import { vblk } from './command.ts';

const SHORT = ['--runtime', '0.05', '--size', '1m'];
const folder = mkdtempSync(join(tmpdir(), 'vblk-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly drive: string;
  readonly engine: string;
  readonly verified: boolean;
  readonly requests: number;
  readonly seconds: number;
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly latencyNs: { readonly p50: number; readonly p99: number };
  readonly kicks: number;
  readonly interrupts: number;
  readonly ratioToJs: number | null;
}

function bench(...args: string[]): Result[] {
  const { status, stdout, stderr } = vblk('bench', '--json', ...SHORT, ...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const report = JSON.parse(stdout);
  expect(report.version).toBe(1);
  return report.results;
}

describe('vblk bench', () => {
  it('drives memory, temp and null with both engines and says what each request cost', () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('vblk-bench-'));
    const results = bench('--drive', 'memory', '--drive', 'temp', '--drive', 'null');
    expect(results.map(({ drive, engine }) => `${drive} ${engine}`)).toEqual(
      ['memory', 'temp', 'null'].flatMap((drive) => [`${drive} wasm`, `${drive} js`]),
    );
    for (const result of results) {
      const { drive, engine, requests, seconds, latencyNs } = result;
      expect(result.verified).toBe(drive !== 'null');
      expect(requests).toBeGreaterThanOrEqual(64);
      expect(seconds).toBeGreaterThanOrEqual(0.05);
      expect(result.iops).toBeCloseTo(requests / seconds, 3);
      expect(result.bytesPerSecond).toBeCloseTo((requests / seconds) * 4096, 0);
      expect(latencyNs.p50).toBeGreaterThan(0);
      expect(latencyNs.p99).toBeGreaterThanOrEqual(latencyNs.p50);
      // A batch of 64 takes one doorbell and one interrupt.
      expect(result.kicks).toBe(Math.ceil(requests / 64));
      expect(result.interrupts).toBe(result.kicks);
      expect(result.ratioToJs === null).toBe(engine === 'js');
    }
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith('vblk-bench-'));
    expect(after.filter((name) => !before.includes(name))).toEqual([]);
  });

  it('prints a table, and what was verified', () => {
    const { status, stdout, stderr } = vblk('bench', ...SHORT, '--drive', 'memory');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('randread, 4 KiB requests, depth 64');
    expect(lines[2]!.split(/ {2,}/)).toEqual([
      'drive',
      'engine',
      'IOPS',
      'MiB/s',
      'p50 us',
      'p99 us',
      'kicks/req',
      'irqs/req',
      'wasm/js',
    ]);
    expect(lines[4]).toMatch(/^memory +wasm +[\d,]+ +\d+ +[\d.]+ +[\d.]+ +0\.016 +0\.016 +[\d.]+$/);
    expect(lines[5]).toMatch(/^memory +js +[\d,]+ +\d+ +[\d.]+ +[\d.]+ +0\.016 +0\.016$/);
    expect(lines.at(-2)).toBe('memory: all 1 MiB were read back and are right.');
  });

  it.each([
    ["the guest's thread", ''],
    ['two IOThreads', '--iothreads 2 --numjobs 3 --num-queues 2 --iodepth 16'],
  ])('drives a disk on virtio-scsi, served by %s', (_, threads) => {
    const more = threads.split(' ').filter(Boolean);
    const args = ['--device', 'virtio-scsi', '--rw', 'randrw', ...more, '--json'];
    const { status, stdout, stderr } = vblk('bench', ...SHORT, ...args, '--drive', 'memory');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const report = JSON.parse(stdout);
    expect(report.device).toBe('virtio-scsi');
    expect((report.results as Result[]).map(({ engine }) => engine)).toEqual(['wasm', 'js']);
    for (const { requests, verified } of report.results as Result[]) {
      expect(requests).toBeGreaterThanOrEqual(48);
      expect(verified).toBe(true);
    }
  });

  it('has the queues served by IOThreads, each job on a queue', () => {
    const threads = ['--iothreads', '2', '--numjobs', '3', '--num-queues', '2', '--iodepth', '16'];
    const args = [...SHORT, ...threads, '--poll-max-ns', '1000', '--rw', 'randrw', '--json'];
    const drives = ['--drive', 'memory', '--drive', 'temp', '--drive', 'null'];
    const { status, stdout, stderr } = vblk('bench', ...args, ...drives);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const report = JSON.parse(stdout);
    const asked = { iothreads: 2, numjobs: 3, 'num-queues': 2, 'poll-max-ns': 1000, iodepth: 16 };
    expect(report).toMatchObject({ version: 1, ...asked });
    expect(report.results).toHaveLength(6);
    for (const { drive, requests, verified } of report.results as Result[]) {
      expect(requests).toBeGreaterThanOrEqual(48);
      expect(verified).toBe(drive !== 'null');
    }
  });

  it('says in the table how many threads, queues and jobs there were', () => {
    const threads = ['--iothreads', '1', '--numjobs', '2', '--iodepth', '8', '--engine', 'wasm'];
    const { status, stdout } = vblk('bench', ...SHORT, ...threads, '--drive', 'memory');
    expect(status).toBe(0);
    const [head] = stdout.split('\n');
    expect(head).toBe('randread, 4 KiB requests, depth 8, 2 jobs, 2 queues, 1 IOThread');
    const scsi = vblk('bench', ...SHORT, '--device', 'virtio-scsi', '--drive', 'null');
    expect(scsi.stdout.split('\n')[0]).toBe('randread, 4 KiB requests, depth 64, virtio-scsi');
  });

  it('only reads a file that is only to be read, and compares it with the file', () => {
    const filename = join(folder, 'only-read');
    const bytes = Uint8Array.from({ length: 400_000 }, (_, i) => (i * 31) % 253);
    writeFileSync(filename, bytes);
    const args = ['bench', '--json', '--runtime', '0.05', '--drive', `file:${filename}`];
    const { status, stdout } = vblk(...args, '--rw', 'read');
    expect(status).toBe(0);
    const { results } = JSON.parse(stdout);
    expect(results[0]).toMatchObject({ drive: filename, size: 97 * 4096, verified: true });
    expect(readFileSync(filename).equals(bytes)).toBe(true);
  });

  it('writes a file by name, which keeps what was written last', () => {
    const filename = join(folder, 'written');
    writeFileSync(filename, new Uint8Array(1 << 20));
    const [wasm, js] = bench('--drive', `file:${filename}`, '--rw', 'randwrite');
    expect(wasm!.verified && js!.verified).toBe(true);
    const words = new Uint32Array(new Uint8Array(readFileSync(filename)).buffer);
    for (let sector = 0; sector < 2048; sector++) expect(words[sector * 128]).toBe(sector);
  });

  it('refuses a file that is shorter than its requests in flight', () => {
    const filename = join(folder, 'short');
    writeFileSync(filename, new Uint8Array(5000));
    const { status, stderr } = vblk('bench', '--drive', `file:${filename}`);
    expect(status).toBe(2);
    expect(stderr).toContain(`vblk: --size: '4096' is not allowed`);
  });
});

describe('a bench job', () => {
  const alone = {
    device: 'virtio-blk' as const,
    iothreads: 0,
    numQueues: 1,
    numjobs: 1,
    pollMaxNs: 0,
  };
  const options = { bs: 4096, iodepth: 16, size: 1 << 20, ...alone };
  const open = (disk: Parameters<typeof Job.open>[0], rw: Workload) =>
    Job.open(disk, 'wasm', { ...options, rw }, new StampedContents(256, 4096));
  const memory = { driver: 'memory', options: { size: 1 << 20 } };

  it.each(WORKLOADS)('%s does requests and leaves the disk right', async (rw) => {
    const job = await open(memory, rw);
    await job.fill();
    await job.run(10);
    await job.verify();
    expect(job.figures.requests).toBeGreaterThanOrEqual(16);
    expect(job.figures.latency.total).toBe(job.figures.requests);
    await job.close();
  });

  it.each(['sync', 'uv'])('drives a file with aio=%s', async (aio) => {
    const filename = join(folder, `job-${aio}`);
    const disk = { driver: 'file', options: { filename, size: 1 << 20, create: true, aio } };
    const job = await open(disk, 'randrw');
    await job.fill();
    await job.run(20);
    await job.verify();
    expect(job.figures.requests).toBeGreaterThanOrEqual(16);
    await job.close();
  });

  it.each([
    [0, 2, 4],
    [1, 1, 3],
    [2, 3, 3],
  ])('on %d IOThreads with %d queues, %d jobs', async (iothreads, numQueues, numjobs) => {
    const threads = { iothreads, numQueues, numjobs, pollMaxNs: 8000 };
    const contents = new StampedContents(256, 4096);
    const job = await Job.open(memory, 'wasm', { ...options, ...threads, rw: 'randrw' }, contents);
    await job.fill();
    await job.run(20);
    await job.verify();
    expect(job.figures.requests).toBeGreaterThanOrEqual(16 * numjobs);
    expect(job.figures.latency.total).toBe(job.figures.requests);
    await job.close();
  });

  it('finds a disk that loses writes', async () => {
    const job = await open({ driver: 'null', options: { size: 1 << 20 } }, 'write');
    await job.fill();
    await expect(job.verify()).rejects.toThrow(/verify: the data at byte \d+ of the disk is wrong/);
  });

  it.each([
    ['virtio-blk', 'status 1'],
    ['virtio-scsi', 'response 0, status 2'],
  ] as const)('%s: fails if a request does', async (device, outcome) => {
    const rules = [{ op: 'read', action: 'fail', skip: 20 }];
    const disk = { driver: 'fault', options: { image: memory, rules } };
    const contents = new StampedContents(256, 4096);
    const job = await Job.open(disk, 'wasm', { ...options, device, rw: 'randread' }, contents);
    await job.fill();
    await expect(job.run(50)).rejects.toThrow(`ended with ${outcome}`);
  });
});
