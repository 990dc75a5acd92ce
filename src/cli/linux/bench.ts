/** `npm run linux -- --bench`: our disks against v86's own IDE disk, in one guest. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import {
  attachVirtioBlk,
  type V86Blk,
  type V86BlkOptions,
  type V86Instance,
} from '../../adapter/v86.ts';
import { formatTable } from '../table.ts';
import type { DeviceCostRequest } from './device-cost.ts';
import { Guest, type GuestImages, type V86Constructor } from './guest.ts';
import { CASES, type MeasuredCase, measure } from './measure.ts';
import type { DeviceCost } from './stopwatch.ts';

export interface BenchOptions {
  readonly images: GuestImages;
  readonly engine?: V86BlkOptions['engine'];
  /** IOThreads for each disk; the guest's memory is shared then. Default: none. */
  readonly iothreads?: number | undefined;
  /** Rounds of each case. */
  readonly rounds: number;
}

const DISK_BYTES = 32 << 20;
const BARS = ['io', 'memory'] as const;
/** v86's own disk, and ours in the order of BARS. */
const DISKS = ['sda', 'vda', 'vdb'] as const;
const COST_CASE: MeasuredCase = { mode: 'randread', block: 4096, count: 10_000 };

/** Boots guests with the disks, and prints what they take as the results come in. */
export async function bench(
  V86: V86Constructor,
  options: BenchOptions,
  print: (text: string) => void,
): Promise<void> {
  const { rounds } = options;
  print(`O_DIRECT, one request at a time, ${rounds} rounds; us per request: best, median`);
  print(await timings(V86, options));
  if (options.iothreads !== undefined) return; // the guest's thread does not serve
  print('\nin the device, as the host sees it: us per random read of 4 KiB, and accesses');
  print(await deviceCosts(options));
}

/** All disks in one guest. */
async function timings(V86: V86Constructor, options: BenchOptions): Promise<string> {
  const { images, rounds, iothreads } = options;
  const disks: V86Blk[] = [];
  const attach = async (emulator: V86Instance) => {
    for (const bar of BARS) disks.push(await attachDisk(emulator, bar, options));
  };
  const ideDisk = new ArrayBuffer(DISK_BYTES);
  const shared = iothreads !== undefined;
  const guest = await Guest.boot(V86, { images, ideDisk, attach, shared });
  try {
    const rows = [['', "v86's IDE", '', 'port I/O', '', '', 'memory BAR', '', '']];
    for (const measured of CASES) {
      const cells = [`${measured.mode} ${measured.block / 1024} KiB`];
      for (const { disk, ...timing } of await measure(guest, DISKS, measured, rounds)) {
        cells.push((timing.min / 1000).toFixed(1), (timing.median / 1000).toFixed(1));
        if (disk !== DISKS[0]) cells.push(`${timing.ratio.toFixed(2)}x`);
      }
      rows.push(cells);
    }
    return formatTable(rows);
  } finally {
    await guest.destroy();
    for (const disk of disks) await disk.detach();
  }
}

/** Each kind of BAR in a thread of its own, so that neither the other nor its watching costs it. */
async function deviceCosts(options: BenchOptions): Promise<string> {
  const rows = [['', 'best', 'median', "v86's part", 'writes', 'reads', 'turns', 'polls']];
  for (const bar of BARS) {
    const { own, v86, ...accesses } = await deviceCost(bar, options);
    const { registerWrites, registerReads, turns, polls } = accesses;
    rows.push([
      bar === 'io' ? 'port I/O' : 'memory BAR',
      ...[own.best, own.median, v86.median].map((ns) => (ns / 1000).toFixed(2)),
      ...[registerWrites, registerReads, turns, polls].map((count) => count.toFixed(2)),
    ]);
  }
  return formatTable(rows);
}

async function deviceCost(
  bar: (typeof BARS)[number],
  { images, engine }: BenchOptions,
): Promise<DeviceCost> {
  const { mode, block, count } = COST_CASE;
  const command = `odirect /dev/vda ${mode} ${block} ${count}`;
  const workerData: DeviceCostRequest = { images, engine, bar, size: DISK_BYTES, command };
  const worker = new Worker(new URL('./device-cost.js', import.meta.url), { workerData });
  try {
    const [cost] = (await once(worker, 'message')) as [DeviceCost]; // rejects if it throws
    return cost;
  } finally {
    await worker.terminate();
  }
}

function attachDisk(
  emulator: V86Instance,
  bar: (typeof BARS)[number],
  { engine, iothreads }: BenchOptions,
): Promise<V86Blk> {
  const disk = { driver: 'memory', options: { size: DISK_BYTES } };
  const threads = iothreads === undefined ? {} : { iothreads };
  return attachVirtioBlk(emulator, { engine, bar, ...threads, disk });
}
