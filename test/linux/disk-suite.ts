/** What Linux does with disks of ours: one boot for each kind of BAR, and several looks at it. */

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
  type Step,
  wholeDisk,
} from '#src/cli/linux/steps';
import type { EngineKind } from '#src/engine/engine';
import type { Machine } from './available.ts';

const DISK_BYTES = 16 << 20;
const FILE_BYTES = 4 << 20;
const STEP_TIMEOUT_MS = 120_000;

export interface DiskSuiteOptions {
  /** Each takes a boot. Default: both. */
  readonly bars?: readonly ('io' | 'memory')[];
  /** IOThreads that serve the disks to write to. Default: none. */
  readonly iothreads?: number;
}

export function diskSuite(
  { images, V86 }: Machine,
  engine: EngineKind,
  { bars = ['io', 'memory'], iothreads }: DiskSuiteOptions = {},
): void {
  const threads = iothreads === undefined ? {} : { iothreads };
  const shared = iothreads !== undefined;

  describe.each(bars)('%s BAR', (bar) => {
    const folder = mkdtempSync(join(tmpdir(), 'vblk-disk-'));
    let guest: Guest;
    let disks: Disks;
    let file: V86Blk;
    let scene: DeviceScene;

    beforeAll(async () => {
      const attach = async (emulator: V86Instance) => {
        disks = await attachDisks(emulator, { engine, bar, size: DISK_BYTES, iothreads });
        const filename = join(folder, 'disk');
        const options = { filename, create: true, size: FILE_BYTES, aio: 'uv' };
        const disk = { driver: 'file', options };
        file = await attachVirtioBlk(emulator, { engine, bar, ...threads, disk });
      };
      guest = await Guest.boot(V86, { images, attach, shared });
      scene = deviceScene(guest, disks);
    }, 200_000);
    afterAll(async () => {
      await guest?.destroy();
      await file?.detach();
      rmSync(folder, { recursive: true, force: true });
    });

    // What a step says is for people; it throws if anything is wrong.
    const runStep = async (step: Step<DeviceScene>) => void (await step.run(scene));

    it('is the engine and the BAR asked for, with its serial', async () => {
      for (const { core, pci } of [disks.writable, disks.readOnly, file]) {
        expect(core.choice.engine).toBe(engine);
        expect(pci.bars.find(({ index }) => index === 4)!.kind).toBe(bar);
      }
      expect(await guest.ask('cat /sys/block/vda/serial')).toBe('vblk-memory');
      const sizes = await guest.ask('cat /sys/block/vd[abc]/size');
      expect(sizes.split('\n')).toEqual([DISK_BYTES / 512, 8192, FILE_BYTES / 512].map(String));
    });

    it.each(FILE_SYSTEM_STEPS)('$title', runStep, STEP_TIMEOUT_MS);

    it.each(DEVICE_STEPS)('$title', runStep, STEP_TIMEOUT_MS);

    it(
      'waits for a disk that answers through the JavaScript loop',
      async () => {
        await guest.ask('dd if=/dev/vda of=/dev/vdc bs=64k count=16 conv=fsync 2>/dev/null');
        await guest.ask('dd if=/dev/urandom of=/dev/vdc bs=4k seek=300 count=16 conv=fsync');
        await guest.ask('echo 3 >/proc/sys/vm/drop_caches');
        const digest = await wholeDisk(guest, 'vdc', () => diskSha256(file.backend));
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

    it('goes away with nothing left behind', async () => {
      const remove = [disks.writable, disks.readOnly].map(
        ({ slot }) => `echo 1 >/sys/bus/pci/devices/0000:00:0${slot}.0/remove`,
      );
      await guest.ask(remove.join('; '));
      await disks.writable.detach();
      await disks.readOnly.detach();
      expect(await guest.ask('echo /sys/block/vd*')).toBe('/sys/block/vdc');
      await guest.ask('echo 1 >/sys/bus/pci/rescan');
      expect(await guest.ask('echo /sys/block/vd*')).toBe('/sys/block/vdc');
    });
  });
}
