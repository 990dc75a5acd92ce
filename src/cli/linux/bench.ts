/** `npm run linux -- --bench`: our disks against v86's own IDE disk, in one guest. */

import {
  attachVirtioBlk,
  type V86Blk,
  type V86BlkOptions,
  type V86Instance,
} from '../../adapter/v86.ts';
import { formatTable } from '../table.ts';
import { Guest, type GuestImages, type V86Constructor } from './guest.ts';
import { CASES, type MeasuredCase, measure, median } from './measure.ts';
import { type DeviceCost, Stopwatch } from './stopwatch.ts';

export interface BenchOptions {
  readonly images: GuestImages;
  readonly engine?: V86BlkOptions['engine'];
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
  print('\nin the device, as the host sees it: us per random read of 4 KiB, and accesses');
  print(await deviceCosts(V86, options));
}

/** All disks in one guest. */
async function timings(V86: V86Constructor, options: BenchOptions): Promise<string> {
  const { images, rounds } = options;
  const attach = async (emulator: V86Instance) => {
    for (const bar of BARS) await attachDisk(emulator, bar, options);
  };
  const guest = await Guest.boot(V86, { images, ideDisk: new ArrayBuffer(DISK_BYTES), attach });
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
  }
}

/** Each kind of BAR in a guest of its own, so that the watching costs the other one nothing. */
async function deviceCosts(V86: V86Constructor, options: BenchOptions): Promise<string> {
  const rows = [['', 'best', 'median', "v86's part", 'writes', 'reads', 'turns']];
  for (const bar of BARS) {
    const samples = await deviceCost(V86, bar, options);
    const all = (what: keyof DeviceCost) => samples.map((cost) => cost[what]);
    rows.push([
      bar === 'io' ? 'port I/O' : 'memory BAR',
      (Math.min(...all('ns')) / 1000).toFixed(2),
      (median(all('ns')) / 1000).toFixed(2),
      (median(all('v86Ns')) / 1000).toFixed(2),
      ...(['registerWrites', 'registerReads', 'turns'] as const).map((what) =>
        median(all(what)).toFixed(2),
      ),
    ]);
  }
  return formatTable(rows);
}

async function deviceCost(
  V86: V86Constructor,
  bar: (typeof BARS)[number],
  options: BenchOptions,
): Promise<DeviceCost[]> {
  let watch: Stopwatch | undefined;
  const attach = async (emulator: V86Instance) => {
    watch = new Stopwatch(emulator, await attachDisk(emulator, bar, options));
  };
  const guest = await Guest.boot(V86, { images: options.images, attach });
  try {
    const { mode, block, count } = COST_CASE;
    const command = `odirect /dev/vda ${mode} ${block} ${count}`;
    await guest.ask(command); // v86 and the JavaScript engine translate
    watch!.samples.length = 0;
    await guest.ask(command);
    return watch!.samples;
  } finally {
    await guest.destroy();
  }
}

function attachDisk(
  emulator: V86Instance,
  bar: (typeof BARS)[number],
  { engine }: BenchOptions,
): Promise<V86Blk> {
  const disk = { driver: 'memory', options: { size: DISK_BYTES } };
  return attachVirtioBlk(emulator, { engine, bar, disk });
}
