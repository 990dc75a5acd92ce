/** What Linux does with disks of ours: one boot, and several looks at those of each kind of BAR. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '#src/adapter/node';
import { attachVirtioBlk, type V86Blk, type V86Instance } from '#src/adapter/v86';
import type { IOThread } from '#src/aio/io-thread';
import { attachDisks, type Disks, diskSha256 } from '#src/cli/linux/disks';
import { Guest } from '#src/cli/linux/guest';
import {
  DEVICE_STEPS,
  type DeviceScene,
  deviceScene,
  FILE_SYSTEM_STEPS,
  functionFolder,
  type Step,
  wholeDisk,
} from '#src/cli/linux/steps';
import type { EngineKind } from '#src/engine/engine';
import type { Machine } from './available.ts';

const DISK_BYTES = 6 << 20;
/** Of 1 MiB each, in the file system on the disk. */
const FILES = 4;
const FILE_BYTES = 4 << 20;
const STEP_TIMEOUT_MS = 120_000;

type Bar = 'io' | 'memory';

export interface DiskSuiteOptions {
  /** Three disks behind each, in one guest. Default: both. */
  readonly bars?: readonly Bar[];
  /** IOThreads that serve the disks to write to. Default: none. */
  readonly iothreads?: number;
}

/** The disks behind one kind of BAR; the guest calls them by `names`, in this order. */
interface BarDisks {
  readonly disks: Disks;
  readonly file: V86Blk;
  readonly names: readonly [string, string, string];
}

export function diskSuite(
  { images, V86 }: Machine,
  engine: EngineKind,
  { bars = ['io', 'memory'], iothreads }: DiskSuiteOptions = {},
): void {
  const threads = iothreads === undefined ? {} : { iothreads };
  const shared = iothreads !== undefined;
  const folder = mkdtempSync(join(tmpdir(), 'vblk-disk-'));
  const all: BarDisks[] = [];
  let guest: Guest;

  beforeAll(async () => {
    const attach = async (emulator: V86Instance) => {
      for (const [index, bar] of bars.entries()) {
        const disks = await attachDisks(emulator, { engine, bar, size: DISK_BYTES, iothreads });
        const filename = join(folder, bar);
        const options = { filename, create: true, size: FILE_BYTES, aio: 'uv' };
        const disk = { driver: 'file', options };
        const file = await attachVirtioBlk(emulator, { engine, bar, ...threads, disk });
        const [a, b, c] = 'abcdef'.slice(3 * index);
        all.push({ disks, file, names: [`vd${a}`, `vd${b}`, `vd${c}`] });
      }
    };
    guest = await Guest.boot(V86, { images, attach, shared });
  }, 200_000);
  afterAll(async () => {
    await guest?.destroy();
    for (const { file } of all) await file.detach();
    rmSync(folder, { recursive: true, force: true });
  });

  const numbered = bars.map((bar, index) => [bar, index] as const);
  describe.each(numbered)('%s BAR', (bar, index) =>
    barSuite({ engine, bar, shared }, () => ({ guest, mine: all[index] as BarDisks })),
  );

  // Last, since whoever is found again takes the first name that is free.
  it.each(numbered)('%s BAR: goes away with nothing left behind', async (_, index) => {
    const { disks, names } = all[index] as BarDisks;
    const found = async () => (await guest.ask('ls /sys/block')).split(/\s+/);
    const gone: readonly string[] = names.slice(0, 2);
    const others = (await found()).filter((name) => !gone.includes(name));
    expect(others).toContain(names[2]);
    const remove = [disks.writable, disks.readOnly].map(
      (disk) => `echo 1 >${functionFolder(disk)}/remove`,
    );
    await guest.ask(remove.join('; '));
    await disks.writable.detach();
    await disks.readOnly.detach();
    expect(await found()).toEqual(others);
    await guest.ask('echo 1 >/sys/bus/pci/rescan');
    expect(await found()).toEqual(others);
  });
}

interface BarOptions {
  readonly engine: EngineKind;
  readonly bar: Bar;
  readonly shared: boolean;
}

/** What one kind of BAR has behind it. `booted` is called once the guest is up. */
function barSuite(
  { engine, bar, shared }: BarOptions,
  booted: () => { guest: Guest; mine: BarDisks },
): void {
  let guest: Guest;
  let disks: Disks;
  let file: V86Blk;
  let names: BarDisks['names'];
  let scene: DeviceScene;

  beforeAll(() => {
    const { guest: up, mine } = booted();
    guest = up;
    ({ disks, file, names } = mine);
    scene = { ...deviceScene(guest, disks, [names[0], names[1]]), files: FILES };
  });

  // What a step says is for people; it throws if anything is wrong.
  const runStep = async (step: Step<DeviceScene>) => void (await step.run(scene));

  it('is the engine and the BAR asked for, with its serial', async () => {
    for (const { core, pci } of [disks.writable, disks.readOnly, file]) {
      expect(core.choice.engine).toBe(engine);
      expect(pci.bars.find(({ index }) => index === 4)!.kind).toBe(bar);
    }
    expect(await guest.ask(`cat /sys/block/${names[0]}/serial`)).toBe('vblk-memory');
    const paths = names.map((name) => `/sys/block/${name}/size`);
    const sizes = await guest.ask(`cat ${paths.join(' ')}`);
    expect(sizes.split('\n')).toEqual([DISK_BYTES / 512, 8192, FILE_BYTES / 512].map(String));
  });

  it.each(FILE_SYSTEM_STEPS)('$title', runStep, STEP_TIMEOUT_MS);

  it.each(DEVICE_STEPS)('$title', runStep, STEP_TIMEOUT_MS);

  it(
    'waits for a disk that answers through the JavaScript loop',
    async () => {
      const [memory, , slow] = names;
      const copy = `dd if=/dev/${memory} of=/dev/${slow} bs=64k count=16 conv=fsync 2>/dev/null`;
      await guest.ask(copy);
      await guest.ask(`dd if=/dev/urandom of=/dev/${slow} bs=4k seek=300 count=16 conv=fsync`);
      await guest.ask('echo 3 >/proc/sys/vm/drop_caches');
      const digest = await wholeDisk(guest, slow, () => diskSha256(file.backend));
      expect(digest).toMatch(/^SHA-256 [0-9a-f]{64}$/);
    },
    STEP_TIMEOUT_MS,
  );

  it.runIf(shared)('DP-8 is served by IOThreads of its own', () => {
    expect(disks.readOnly.blk.settings.threads).toEqual([null]);
    const threads = [disks.writable, file].map(({ blk }) => blk.settings.threads[0] as IOThread);
    expect(new Set(threads).size).toBe(2);
    for (const thread of threads) {
      const { users, sleeps, pollHits } = thread.info();
      expect(users).toContain('virtio-blk');
      expect(sleeps + pollHits).toBeGreaterThan(10); // it has been waiting for kicks
    }
  });
}
