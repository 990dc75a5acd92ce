/** Options of `vblk bench`, in the words of fio and, for threads and queues, of QEMU. */

import { parseArgs } from 'node:util';
import { VIRTQUEUE_MAX_SIZE } from '../../spec.ts';
import { OptionError } from '../option-error.ts';
import { parseSize } from '../size.ts';
import { DEVICES, type DeviceName } from './device.ts';

export type EngineName = 'wasm' | 'js';

/** How requests go: fio's `rw`. */
export const WORKLOADS = ['read', 'write', 'randread', 'randwrite', 'randrw'] as const;
export type Workload = (typeof WORKLOADS)[number];

/** What is driven: `memory`, `null`, `temp` (a temporary file), or a file by path. */
export type Drive =
  | { readonly kind: 'memory' | 'null' | 'temp' }
  | { readonly kind: 'file'; readonly filename: string };

export interface BenchOptions {
  readonly device: DeviceName;
  readonly drives: readonly Drive[];
  readonly rw: Workload;
  /** Bytes per request. */
  readonly bs: number;
  /** Requests in flight, of each job. */
  readonly iodepth: number;
  /** Jobs that the guest runs at once; job n uses queue n modulo `numQueues`. */
  readonly numjobs: number;
  /** Threads that serve the queues, which go round; 0: the guest's own thread does. */
  readonly iothreads: number;
  readonly numQueues: number;
  /** Longest busy polling of an IOThread, ns. */
  readonly pollMaxNs: number;
  /** Bytes of the disk that are used; null: 64 MiB, and all of a file by path. */
  readonly size: number | null;
  /** Seconds per drive and engine. */
  readonly runtime: number;
  readonly engines: readonly EngineName[];
  /** Read back and compare what was written. */
  readonly verify: boolean;
  /** Print results as JSON instead of a table. */
  readonly json: boolean;
}

export const BENCH_USAGE = `Usage: vblk bench [options]

Drives a virtio disk through real virtqueues, with the WebAssembly and the TypeScript engine in
turn, and prints what each request costs.

  --drive KIND     memory, temp (a temporary file), null, or file:PATH; may be given several times
                   (default: memory and temp)
  --device NAME    virtio-blk (default), or virtio-scsi: a disk on a SCSI host
  --rw KIND        read, write, randread, randwrite or randrw (default randread)
  --bs SIZE        bytes per request, a multiple of 512 up to 1m (default 4k)
  --iodepth N      requests in flight, of each job, 1 to 256 (default 64)
  --numjobs N      jobs at once, 1 to 64; job n uses queue n modulo --num-queues (default: one per
                   queue)
  --iothreads N    threads that serve the queues, 0 to 16 (default 0: the guest's own thread does)
  --num-queues N   queues of the device, 1 to 64 (default: one per job, or per IOThread)
  --poll-max-ns N  longest busy polling of an IOThread before it sleeps, ns (default 32768)
  --size SIZE      bytes of the disk that are used (default 64m; of file:PATH all there are)
  --runtime SEC    seconds per drive and engine (default 2)
  --engine NAME    wasm, js or both (default both)
  --verify         read all of it back and compare (default); --no-verify: do not
  --json           print the results as JSON
  --help           this text

Sizes: 512, 4k, 1.5G. PATH must exist. With read and randread it is only read; the others destroy
what it holds.`;

const BS_MAX = 1 << 20;
const IODEPTH_MAX = 256;
const NUMJOBS_MAX = 64;
const IOTHREADS_MAX = 16;
const POLL_MAX_NS = 32_768;
const POLL_MAX_NS_MAX = 0xffff_ffff;
/** Header, data and status. */
export const DESCRIPTORS = 3;
/** Bytes that are used of a drive without a size of its own. */
export const DEFAULT_SIZE = 64 << 20;
/** READ (10) and WRITE (10) have 32 bits for a sector. */
const SCSI_MAX = 2 ** 41;
/** What a memory disk may take: a core's memory ends at 4 GiB. */
const MEMORY_MAX = 3 * 2 ** 30;
/** Most blocks of a drive: the bench remembers how often each was written. */
const BLOCKS_MAX = 2 ** 26;
const RUNTIME_MAX = 3600;

function oneOf<T extends string>(option: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw new OptionError(option, text, allowed.join(', '));
  return found;
}

function number(option: string, text: string, least: number, most: number, whole: boolean): number {
  const value = Number(text);
  const fits = text.trim() !== '' && value >= least && value <= most;
  if (!fits || (whole && !Number.isInteger(value))) {
    throw new OptionError(
      option,
      text,
      `${whole ? 'a whole number' : 'a number'}, ${least} to ${most}`,
    );
  }
  return value;
}

function parseDrive(text: string): Drive {
  if (text.startsWith('file:') && text.length > 5) return { kind: 'file', filename: text.slice(5) };
  if (text === 'memory' || text === 'null' || text === 'temp') return { kind: text };
  throw new OptionError('--drive', text, 'memory, temp, null, file:PATH');
}

const OPTIONS = {
  drive: { type: 'string', multiple: true },
  device: { type: 'string', default: 'virtio-blk' },
  rw: { type: 'string', default: 'randread' },
  bs: { type: 'string', default: '4k' },
  iodepth: { type: 'string', default: '64' },
  numjobs: { type: 'string' },
  iothreads: { type: 'string', default: '0' },
  'num-queues': { type: 'string' },
  'poll-max-ns': { type: 'string' },
  size: { type: 'string' },
  runtime: { type: 'string', default: '2' },
  engine: { type: 'string', default: 'both' },
  verify: { type: 'boolean', default: true },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** Null if help was asked for. Throws an OptionError for anything wrong. */
export function parseBenchOptions(args: readonly string[]): BenchOptions | null {
  const { values, tokens } = parseArgs({
    args: [...args],
    options: OPTIONS,
    allowNegative: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) checkToken(token);
  if (values.help) return null;
  const text = values as Record<string, string | undefined>;
  const drives = ((values.drive as string[] | undefined) ?? ['memory', 'temp']).map(parseDrive);
  const iodepth = number('--iodepth', text['iodepth']!, 1, IODEPTH_MAX, true);
  const threads = parseThreads(text, iodepth);
  const bs = parseSize('--bs', text['bs']!);
  if (bs % 512 !== 0 || bs > BS_MAX) {
    throw new OptionError('--bs', text['bs']!, 'a multiple of 512, 512 to 1m');
  }
  const device = oneOf('--device', text['device']!, DEVICES);
  const size = text['size'] === undefined ? null : parseSize('--size', text['size']);
  for (const drive of drives) {
    if (size !== null || drive.kind !== 'file') {
      const requests = { device, bs, iodepth, numjobs: threads.numjobs };
      checkSize(size ?? DEFAULT_SIZE, requests, drive.kind === 'memory');
    }
  }
  const engine = oneOf('--engine', text['engine']!, ['wasm', 'js', 'both']);
  return {
    device,
    drives,
    rw: oneOf('--rw', text['rw']!, WORKLOADS),
    bs,
    iodepth,
    ...threads,
    size,
    runtime: number('--runtime', text['runtime']!, 0.05, RUNTIME_MAX, false),
    engines: engine === 'both' ? ['wasm', 'js'] : [engine],
    verify: Boolean(values.verify),
    json: Boolean(values.json),
  };
}

type Threads = Pick<BenchOptions, 'iothreads' | 'numQueues' | 'numjobs' | 'pollMaxNs'>;

/** No queue is without a job, no thread without a queue, and every ring holds its requests. */
function parseThreads(text: Record<string, string | undefined>, iodepth: number): Threads {
  const whole = (name: string, least: number, most: number): number | undefined =>
    text[name] === undefined ? undefined : number(`--${name}`, text[name], least, most, true);
  const iothreads = whole('iothreads', 0, IOTHREADS_MAX)!;
  const jobs = whole('numjobs', 1, NUMJOBS_MAX);
  const numQueues = whole('num-queues', 1, NUMJOBS_MAX) ?? jobs ?? Math.max(1, iothreads);
  const numjobs = jobs ?? numQueues;
  if (numQueues > numjobs) {
    throw new OptionError('--num-queues', String(numQueues), `1 to ${numjobs}, which is --numjobs`);
  }
  if (iothreads > numQueues) {
    const allowed = `0 to ${numQueues}, which is --num-queues`;
    throw new OptionError('--iothreads', String(iothreads), allowed);
  }
  const fit = Math.floor(VIRTQUEUE_MAX_SIZE / DESCRIPTORS / iodepth);
  if (Math.ceil(numjobs / numQueues) > fit) {
    const allowed = `at most ${fit} per queue with --iodepth ${iodepth}`;
    throw new OptionError('--numjobs', String(numjobs), allowed);
  }
  const pollMaxNs = whole('poll-max-ns', 0, POLL_MAX_NS_MAX);
  if (pollMaxNs !== undefined && iothreads === 0) {
    throw new OptionError('--poll-max-ns', String(pollMaxNs), 'none without --iothreads');
  }
  return { iothreads, numQueues, numjobs, pollMaxNs: pollMaxNs ?? POLL_MAX_NS };
}

/** Each request in flight has a block of its own. Throws an OptionError that names `--size`. */
export function checkSize(
  size: number,
  { device, bs, iodepth, numjobs }: Pick<BenchOptions, 'device' | 'bs' | 'iodepth' | 'numjobs'>,
  inMemory = false,
): void {
  const least = bs * iodepth * numjobs;
  const addressed = device === 'virtio-scsi' ? SCSI_MAX : Number.MAX_SAFE_INTEGER;
  const most = Math.min(bs * BLOCKS_MAX, inMemory ? MEMORY_MAX : addressed);
  if (size % bs === 0 && size >= least && size <= most) return;
  const product = '--bs times --iodepth times --numjobs';
  const allowed = `multiples of --bs, ${bs}, from ${least} (${product}) to ${most}`;
  throw new OptionError('--size', String(size), allowed);
}

type Token = NonNullable<ReturnType<typeof parseArgs>['tokens']>[number];

/** Refuses what the table does not list, and options without their value. */
function checkToken(token: Token): void {
  const known = Object.keys(OPTIONS).map((name) => `--${name}`);
  if (token.kind === 'positional') {
    throw new OptionError('argument', token.value, known.join(', '));
  }
  if (token.kind !== 'option') return;
  const negated = token.rawName.startsWith('--no-');
  const name = token.name.replace(/^no-/, '') as keyof typeof OPTIONS;
  const option = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
  if (!option || (negated && option.type !== 'boolean')) {
    throw new OptionError(token.rawName, token.rawName, known.join(', '));
  }
  if (option.type === 'string' && token.value === undefined) {
    throw new OptionError(token.rawName, '', `a value, as in ${token.rawName} VALUE`);
  }
  if (option.type === 'boolean' && token.value !== undefined) {
    throw new OptionError(token.rawName, token.value, `--${name} or --no-${name}, without a value`);
  }
}
