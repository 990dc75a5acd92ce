/** Results of `vblk bench`: the table, and the same as JSON. */

import { formatSize } from '../size.ts';
import { formatTable } from '../table.ts';
import type { Figures } from './job.ts';
import type { BenchOptions, EngineName } from './options.ts';

export interface Row {
  readonly drive: string;
  /** Bytes of the drive that were used. */
  readonly size: number;
  readonly engine: EngineName;
  readonly figures: Figures;
  /** Everything was read back and compared. */
  readonly verified: boolean;
}

const HEAD = ['drive', 'engine', 'IOPS', 'MiB/s', 'p50 us', 'p99 us', 'kicks/req', 'irqs/req'];

const microseconds = (ns: number) => (ns / 1000).toFixed(1);
const perRequest = (count: number, { requests }: Figures) =>
  (count / Math.max(1, requests)).toFixed(3);
const iops = ({ requests, seconds }: Figures) => requests / seconds;

/** How many times the requests of js per second the same drive's wasm does, or null. */
function ratioOf(row: Row, rows: readonly Row[]): number | null {
  const js = rows.find((other) => other.drive === row.drive && other.engine === 'js');
  return row.engine === 'wasm' && js ? iops(row.figures) / iops(js.figures) : null;
}

/** `2 jobs, 2 queues, 1 IOThread`, where that is not one of each on the guest's own thread. */
function threadsText({ numjobs, numQueues, iothreads }: BenchOptions): string {
  if (numjobs === 1 && iothreads === 0) return '';
  const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;
  const parts = [count(numjobs, 'job'), count(numQueues, 'queue'), count(iothreads, 'IOThread')];
  return `, ${parts.join(', ')}`;
}

export function textReport(rows: readonly Row[], options: BenchOptions): string {
  const { device, rw, bs, iodepth } = options;
  const body = rows.map((row) => {
    const { drive, engine, figures } = row;
    return [
      drive,
      engine,
      Math.round(iops(figures)).toLocaleString('en'),
      ((iops(figures) * bs) / 2 ** 20).toFixed(0),
      microseconds(figures.latency.percentile(0.5)),
      microseconds(figures.latency.percentile(0.99)),
      perRequest(figures.kicks, figures),
      perRequest(figures.interrupts, figures),
      ratioOf(row, rows)?.toFixed(2) ?? '',
    ];
  });
  const table = formatTable([[...HEAD, 'wasm/js'], ...body]);
  const on = device === 'virtio-blk' ? '' : `, ${device}`;
  const head = `${rw}, ${formatSize(bs)} requests, depth ${iodepth}${threadsText(options)}${on}`;
  return `${head}\n\n${table}\n\n${verdict(rows)}`;
}

function verdict(rows: readonly Row[]): string {
  const drives = new Map(rows.map(({ drive, size }) => [drive, size]));
  return [...drives]
    .map(([name, size]) => {
      const checked = rows.every(({ drive, verified }) => drive !== name || verified);
      return checked
        ? `${name}: all ${formatSize(size)} were read back and are right.`
        : `${name}: ${formatSize(size)}, not verified.`;
    })
    .join('\n');
}

export function jsonReport(rows: readonly Row[], options: BenchOptions): string {
  const { device, rw, bs, iodepth, runtime, numjobs, iothreads, numQueues, pollMaxNs } = options;
  const threads = { numjobs, iothreads, 'num-queues': numQueues, 'poll-max-ns': pollMaxNs };
  const results = rows.map((row) => {
    const { drive, size, engine, figures, verified } = row;
    return {
      drive,
      size,
      engine,
      verified,
      requests: figures.requests,
      seconds: figures.seconds,
      iops: iops(figures),
      bytesPerSecond: iops(figures) * bs,
      latencyNs: {
        p50: figures.latency.percentile(0.5),
        p99: figures.latency.percentile(0.99),
      },
      kicks: figures.kicks,
      interrupts: figures.interrupts,
      ratioToJs: ratioOf(row, rows),
    };
  });
  return JSON.stringify(
    { version: 1, device, rw, bs, iodepth, ...threads, runtime, results },
    null,
    2,
  );
}
