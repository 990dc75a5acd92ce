/** What Linux does with a virtio-scsi host of ours: one boot, and a script of steps. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enableHotplug, type V86Instance } from '#src/adapter/v86';
import type { IOThread } from '#src/aio/io-thread';
import { Guest } from '#src/cli/linux/guest';
import { attachScsiDisks, type ScsiDisks } from '#src/cli/linux/scsi-disks';
import { SCSI_STEPS, type ScsiScene, scsiScene } from '#src/cli/linux/scsi-steps';
import { FILE_SYSTEM_STEPS, type Step } from '#src/cli/linux/steps';
import type { EngineKind } from '#src/engine/engine';
import type { Machine } from './available.ts';

const DISK_BYTES = 6 << 20;
/** Of 1 MiB each, in the file system on the disk. */
const FILES = 4;
const BOOT_TIMEOUT_MS = 240_000;
const STEP_TIMEOUT_MS = 240_000;

export interface ScsiSuiteOptions {
  /** A host behind each, in one guest. */
  readonly bars: readonly ('io' | 'memory')[];
  /** IOThreads that serve the commands. Default: none. */
  readonly iothreads?: number;
}

export function scsiSuite(
  { images, V86 }: Machine,
  engine: EngineKind,
  { bars, iothreads }: ScsiSuiteOptions,
): void {
  const shared = iothreads !== undefined;
  const all: ScsiDisks[] = [];
  let guest: Guest;

  beforeAll(async () => {
    const attach = async (emulator: V86Instance) => {
      expect(enableHotplug(emulator)).toBe(true);
      for (const bar of bars) {
        const how = { engine, bar, size: DISK_BYTES, iothreads };
        all.push(await attachScsiDisks(emulator, how));
      }
    };
    const options = { images, attach, shared, acpi: true };
    guest = await Guest.boot(V86, options, BOOT_TIMEOUT_MS);
    await guest.ask('dmesg -c >/dev/null'); // v86 has no machine-check registers
  }, 2 * BOOT_TIMEOUT_MS);
  afterAll(async () => {
    await guest?.destroy();
    for (const { host } of all) await host.detach();
  });

  const numbered = bars.map((bar, index) => [bar, index] as const);
  describe.each(numbered)('%s BAR', (bar, index) => {
    let disks: ScsiDisks;
    let scene: ScsiScene;

    beforeAll(async () => {
      disks = all[index] as ScsiDisks;
      scene = { ...(await scsiScene(guest, disks)), files: FILES };
    }, BOOT_TIMEOUT_MS);

    // What a step says is for people; it throws if anything is wrong.
    const runStep = async (step: Step<ScsiScene>) => void (await step.run(scene));

    it('is the engine, the BAR and the threads asked for', () => {
      const { core, pci, scsi } = disks.host;
      expect(core.choice.engine).toBe(engine);
      expect(pci.bars.find(({ index }) => index === 4)!.kind).toBe(bar);
      const [control, event, ...commands] = scsi.settings.threads;
      expect([control, event]).toEqual([null, null]); // they stay on main
      expect(commands).toHaveLength(iothreads ?? 1);
      expect(commands.every((thread) => (thread !== null) === shared)).toBe(true);
    });

    it.each(FILE_SYSTEM_STEPS)('$title', runStep, STEP_TIMEOUT_MS);

    it.each(SCSI_STEPS)('$title', runStep, STEP_TIMEOUT_MS);

    it.runIf(shared)('SC-1 the commands went through the IOThreads', () => {
      const thread = disks.host.scsi.settings.threads[2] as IOThread;
      const { sleeps, pollHits } = thread.info();
      expect(sleeps + pollHits).toBeGreaterThan(10);
    });

    it(
      'SC-24 goes away with its disks, and nothing is left behind',
      async () => {
        const hosts = () => guest.ask('ls /sys/class/scsi_host | wc -l').then(Number);
        const before = await hosts();
        await disks.host.eject();
        expect(await hosts()).toBe(before - 1);
        const others = all.slice(index + 1).flatMap(({ disk, small }) => [disk, small]);
        const left = await guest.ask('ls /sys/block | grep -c ^sd || true');
        expect(Number(left)).toBe(others.length);
        expect(disks.host.units).toEqual([]);
      },
      STEP_TIMEOUT_MS,
    );
  });
}
