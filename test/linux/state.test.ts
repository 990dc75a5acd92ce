/**
 * Linux saved with its disks by v86 itself, on virtio-blk and on a virtio-scsi host, and restored:
 * into the same emulator, and into a fresh one with the other engine.
 */

import { afterAll, expect, it } from 'vitest';
import '#src/adapter/node';
import { attachVirtioBlk, attachVirtioScsi, type V86Instance } from '#src/adapter/v86';
import type { BlockBackend } from '#src/block/backend';
import { diskSha256 } from '#src/cli/linux/disks';
import { Guest, type V86Emulator } from '#src/cli/linux/guest';
import { wholeDisk } from '#src/cli/linux/steps';
import { describeOn, findMachine } from './available.ts';

interface StatefulEmulator extends V86Emulator {
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
}

const DISK_BYTES = 512 << 10;
const NAMES = ['vda', 'sda'] as const;
const TIMEOUT_MS = 240_000;
const machine = await findMachine();

describeOn(machine, 'Linux on our disk, saved and restored', ({ images, V86 }) => {
  const guests: Guest[] = [];
  afterAll(() => Promise.all(guests.map((guest) => guest.destroy())));

  it.each([
    ['wasm', 'js', undefined],
    ['js', 'wasm', 1],
  ] as const)(
    'VM-5 VM-9 BL-19 goes back to what it was and on from there: %s, then %s, %s IOThreads',
    async (engine, other, iothreads) => {
      /** By emulator, then as in NAMES. */
      const disks: (readonly BlockBackend[])[] = [];
      const attach = async (emulator: V86Instance) => {
        const disk = { driver: 'memory', options: { size: DISK_BYTES } };
        const own = {
          engine: disks.length === 0 ? engine : other,
          ...(iothreads !== undefined && { iothreads }),
        };
        const { backend } = await attachVirtioBlk(emulator, { ...own, disk });
        const host = await attachVirtioScsi(emulator, { ...own, units: [{ disk }] });
        disks.push([backend, host.units[0]!.backend]);
      };
      const options = { images, attach, shared: iothreads !== undefined };
      const guest = await Guest.boot(V86, options, 200_000);
      guests.push(guest);
      const emulator = guest.emulator as StatefulEmulator;
      /** What Linux reads from the disk itself is what the host has there. */
      const digest = async (one: Guest, number: number) => {
        await one.ask('sync; echo 3 >/proc/sys/vm/drop_caches');
        const sums: string[] = [];
        for (const [i, name] of NAMES.entries()) {
          sums.push(await wholeDisk(one, name, () => diskSha256(disks[number]![i]!)));
        }
        return sums;
      };
      const random = (at: number) =>
        NAMES.map((name) => {
          const options = `bs=16k count=8 seek=${at} conv=fsync,notrunc`;
          return `dd if=/dev/urandom of=/dev/${name} ${options} 2>/dev/null`;
        }).join('; ');
      const expectOther = (now: readonly string[], than: readonly string[]) => {
        expect(now.filter((sum, i) => sum === than[i])).toEqual([]);
      };

      await guest.ask(random(0));
      const before = await digest(guest, 0);
      const state = await emulator.save_state();
      await guest.ask(random(4));
      expectOther(await digest(guest, 0), before);

      // While it writes: what is in flight then belongs to a time that never was.
      await guest.ask(`(while :; do ${random(16)}; done) >/dev/null 2>&1 & sleep 0.2`);
      await emulator.restore_state(state);
      expect(await digest(guest, 0)).toEqual(before);
      await guest.ask(random(24));
      expectOther(await digest(guest, 0), before);

      const fresh = await Guest.powerOn(V86, options);
      guests.push(fresh);
      await (fresh.emulator as StatefulEmulator).restore_state(state);
      expect(await digest(fresh, 1)).toEqual(before);
      await fresh.ask(random(8));
      expectOther(await digest(fresh, 1), before);
      const log = await fresh.ask('dmesg');
      expect(log).not.toMatch(/I\/O error|blk_update_request|nobody cared/);
    },
    TIMEOUT_MS,
  );
});
