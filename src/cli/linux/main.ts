/** `npm run linux`: boots Debian's kernel in v86 and shows what it does with disks of ours. */

import { parseArgs } from 'node:util';

import {
  attachVirtioBlk,
  enableHotplug,
  type V86Blk,
  type V86BlkOptions,
  type V86Instance,
} from '../../adapter/v86.ts';
import { bench } from './bench.ts';
import { BOOT_SECTOR_FAILED, BOOT_SECTOR_OK, bootSectors } from './boot-sector.ts';
import { MissingError } from './debian.ts';
import { attachDisks, type Disks } from './disks.ts';
import { Guest, type GuestImages, type V86Constructor } from './guest.ts';
import { linuxImages, loadV86 } from './images.ts';
import { DONE } from './initramfs.ts';
import { attachScsiDisks, type ScsiDisks } from './scsi-disks.ts';
import { SCSI_STEPS, scsiScene } from './scsi-steps.ts';
import { DEVICE_STEPS, deviceScene, FILE_SYSTEM_STEPS, type Step } from './steps.ts';

const USAGE = `npm run linux -- [--bench | --scsi] [--engine auto|wasm|js] [--bar io|memory]
                 [--iothread]

  --bench     times O_DIRECT reads and writes in the guest, against v86's own disk
  --scsi      disks on a virtio-scsi host, which come and go
  --engine    what serves the disks (default: auto)
  --bar       how the guest reaches their registers (default: io)
  --iothread  the disk is served by a Worker, on memory that it shares with the guest
`;

const DISK_BYTES = 32 << 20;
const BENCH_ROUNDS = 25;
const BOOT_SECTOR_TIMEOUT_MS = 60_000;

type Choice = Pick<V86BlkOptions, 'engine' | 'bar'> & { readonly iothreads: number | undefined };

interface Options extends Choice {
  readonly bench: boolean;
  readonly scsi: boolean;
  readonly help: boolean;
}

async function main(args: string[]): Promise<void> {
  const options = parseOptions(args);
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  const images = await linuxImages((line) => console.log(line));
  const V86 = await loadV86();
  const { engine, bar, iothreads } = options;
  if (options.bench) {
    const choice = { images, engine, iothreads, rounds: BENCH_ROUNDS };
    await bench(V86, choice, (text) => console.log(text));
    return;
  }
  if (options.scsi) {
    await showScsi(V86, images, { engine, bar, iothreads });
    return;
  }
  await showBootSector(V86, images, { engine, bar, iothreads });
  await showLinux(V86, images, { engine, bar, iothreads });
}

/** The BIOS boots from the disk and works it with a driver of its own. */
async function showBootSector(
  V86: V86Constructor,
  { bios, vgaBios, wasm }: GuestImages,
  { engine, bar, iothreads }: Choice,
): Promise<void> {
  console.log('a boot sector, through the virtio driver of SeaBIOS');
  let attached: V86Blk | undefined;
  const attach = async (emulator: V86Instance) => {
    const disk = { driver: 'memory', options: { size: DISK_BYTES } };
    const threads = iothreads ? { iothreads } : {};
    attached = await attachVirtioBlk(emulator, { engine, bar, ...threads, disk });
    await attached.backend.io.write(0, bootSectors('hello from the disk'));
  };
  const shared = iothreads !== undefined;
  const options = { images: { bios, vgaBios, wasm }, attach, shared, onLine };
  const guest = await Guest.powerOn(V86, options);
  try {
    const verdict = new RegExp(`(${BOOT_SECTOR_OK}|${BOOT_SECTOR_FAILED})\r\n`);
    const [, line] = await guest.waitFor(verdict, BOOT_SECTOR_TIMEOUT_MS);
    if (line !== BOOT_SECTOR_OK) throw new Error('the boot sector failed');
  } finally {
    await guest.destroy();
    await attached?.detach();
  }
}

async function showLinux(V86: V86Constructor, images: GuestImages, choice: Choice): Promise<void> {
  console.log('Linux');
  let disks: Disks | undefined;
  const attach = async (emulator: V86Instance) => {
    disks = await attachDisks(emulator, { ...choice, size: DISK_BYTES });
  };
  const started = performance.now();
  const shared = choice.iothreads !== undefined;
  const guest = await Guest.boot(V86, { images, attach, shared, onLine });
  try {
    const { engine, reason } = disks!.writable.core.choice;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`booted in ${seconds} s; the disks are served by the ${engine} engine (${reason})`);
    if (disks!.threaded) console.log('and the one to write to by an IOThread');
    await show([...FILE_SYSTEM_STEPS, ...DEVICE_STEPS], deviceScene(guest, disks!));
  } finally {
    await guest.destroy();
    await disks?.writable.detach();
    await disks?.readOnly.detach();
  }
}

/** Disks on a host that the guest's kernel plugs and unplugs by ACPI. */
async function showScsi(V86: V86Constructor, images: GuestImages, choice: Choice): Promise<void> {
  console.log('Linux on a virtio-scsi host');
  let disks: ScsiDisks | undefined;
  const attach = async (emulator: V86Instance) => {
    enableHotplug(emulator);
    disks = await attachScsiDisks(emulator, { ...choice, size: DISK_BYTES });
  };
  const shared = choice.iothreads !== undefined;
  const guest = await Guest.boot(V86, { images, attach, shared, acpi: true, onLine });
  try {
    const { engine, reason } = disks!.host.core.choice;
    console.log(`booted; the disks are served by the ${engine} engine (${reason})`);
    await guest.ask('dmesg -c >/dev/null'); // v86 has no machine-check registers
    await show([...FILE_SYSTEM_STEPS, ...SCSI_STEPS], await scsiScene(guest, disks!));
  } finally {
    await guest.destroy();
    await disks?.host.detach();
  }
}

async function show<S>(steps: readonly Step<S>[], scene: S): Promise<void> {
  for (const step of steps) {
    console.log(`  ${step.title}`);
    console.log(`    ${await step.run(scene)}`);
  }
}

function onLine(line: string): void {
  if (line !== '' && !line.startsWith(DONE)) console.log(`    | ${line}`);
}

/** Exits with 2 for an option that is not there, or a value that it does not take. */
function parseOptions(args: string[]): Options {
  try {
    const { values } = parseArgs({
      args,
      options: {
        bench: { type: 'boolean', default: false },
        scsi: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        engine: { type: 'string', default: 'auto' },
        bar: { type: 'string', default: 'io' },
        iothread: { type: 'boolean', default: false },
      },
    });
    return {
      bench: values.bench,
      scsi: values.scsi,
      help: values.help,
      engine: oneOf('engine', values.engine, ['auto', 'wasm', 'js'] as const),
      iothreads: values.iothread ? 1 : undefined,
      bar: oneOf('bar', values.bar, ['io', 'memory'] as const),
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((choice) => choice === value);
  if (found === undefined) throw new Error(`--${name} ${value}: allowed are ${allowed.join(', ')}`);
  return found;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof MissingError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
