/** A small share of `npm run storm`. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('./run.mjs', import.meta.url));

interface Totals {
  readonly storm: string;
  readonly steps: number;
  readonly completed: number;
  readonly dropped: number;
}

async function storm(name: string, engine: string, cycles: number): Promise<Totals> {
  const args = ['--expose-gc', script, '--only', name, '--exact', '--engine', engine];
  const size = ['--cycles', `${cycles}`, '--disks', '3', '--idle', '60'];
  const { stdout } = await promisify(execFile)('node', [...args, ...size]).catch((error) => {
    throw new Error(`${error.stdout}${error.stderr}`);
  });
  const [head, totals] = stdout.trim().split('\n');
  console.log(`seed ${JSON.parse(head!).seed}`);
  return JSON.parse(totals!);
}

/** Storm, steps, and what it shows. */
const STORMS: readonly [name: string, cycles: number, rows: string][] = [
  ['driver-ok', 60, 'VC-3 BL-17 the driver resets and starts the device'],
  ['drain', 60, 'BB-6 BB-13 several places drain it, one inside the other'],
  [
    'start-drain',
    40,
    'DP-3 DP-4 historic bug 13 it is drained while the driver resets and starts it',
  ],
  ['stops', 6, 'historic bug 9 on an IOThread, stopped amid drains: afterwards nobody turns'],
  ['plug', 40, 'HN-16 disks come and go'],
  ['resize', 40, 'BL-18 the disk grows and shrinks'],
  ['queue-reset', 60, 'VC-7 MM-5 single queues are reset'],
  ['move', 40, 'DP-8 BB-17 historic bug 20 its queues go from thread to thread'],
  ['stop-cont', 30, 'BB-19 BL-16 historic bug 18 requests fail, the machine stops and goes on'],
  [
    'overlay',
    12,
    'historic bugs 1 and 2: four overlays, mostly random writes, each of them flushed',
  ],
  [
    'scsi',
    30,
    'SC-4 SC-24 historic bug 15 SCSI hosts and disks come and go while four queues ask for all LUNs',
  ],
  ['mix', 10, 'DP-7 all of it at once'],
];

describe.each(['wasm', 'js'])(
  'storms, %s engine: nothing lost, doubled or left behind',
  (engine) => {
    it.each(STORMS)(
      '%s, %i times: %s',
      async (name, cycles) => {
        const totals = await storm(name, engine, cycles);
        expect(totals.storm).toBe(name);
        expect(totals.steps).toBeGreaterThanOrEqual(cycles);
        expect(totals.completed).toBeGreaterThan(cycles);
      },
      60_000,
    );

    it('steady I/O through IOThreads exchanges no messages', async () => {
      const totals = await storm('steady', engine, 3);
      expect(totals).toMatchObject({ storm: 'steady', steps: 3, dropped: 0 });
    }, 60_000);
  },
);
