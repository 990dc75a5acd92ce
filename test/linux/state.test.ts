/** Linux saved with its disks by v86 itself, and restored: into the same emulator and a fresh one. */

import { afterAll, expect, it } from 'vitest';
import '#src/adapter/node';
import { attachVirtioBlk, type V86Blk, type V86Instance } from '#src/adapter/v86';
import { diskSha256 } from '#src/cli/linux/disks';
import { Guest, type V86Emulator } from '#src/cli/linux/guest';
import { wholeDisk } from '#src/cli/linux/steps';
import { describeOn, findMachine } from './available.ts';

interface StatefulEmulator extends V86Emulator {
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
}

const DISK_BYTES = 4 << 20;
const TIMEOUT_MS = 240_000;
const machine = await findMachine();

describeOn(machine, 'Linux on our disk, saved and restored', ({ images, V86 }) => {
  const guests: Guest[] = [];
  afterAll(() => Promise.all(guests.map((guest) => guest.destroy())));

  it.each([
    ['wasm', undefined],
    ['js', 1],
  ] as const)(
    'VM-5 BL-19 goes back to what it was and on from there: %s engine, %s IOThreads',
    async (engine, iothreads) => {
      const disks: V86Blk[] = [];
      const attach = async (emulator: V86Instance) => {
        const disk = { driver: 'memory', options: { size: DISK_BYTES } };
        const threads = iothreads === undefined ? {} : { iothreads };
        disks.push(await attachVirtioBlk(emulator, { engine, ...threads, disk }));
      };
      const options = { images, attach, shared: iothreads !== undefined };
      const guest = await Guest.boot(V86, options, 200_000);
      guests.push(guest);
      const emulator = guest.emulator as StatefulEmulator;
      /** What Linux reads from the disk itself is what the host has there. */
      const digest = async (one: Guest, number: number) => {
        await one.ask('sync; echo 3 >/proc/sys/vm/drop_caches');
        return wholeDisk(one, 'vda', () => diskSha256(disks[number]!.backend));
      };
      const random = (at: number) =>
        `dd if=/dev/urandom of=/dev/vda bs=64k count=8 seek=${at} conv=fsync,notrunc 2>/dev/null`;

      await guest.ask(random(0));
      const before = await digest(guest, 0);
      const state = await emulator.save_state();
      await guest.ask(random(4));
      expect(await digest(guest, 0)).not.toBe(before);

      // While it writes: what is in flight then belongs to a time that never was.
      await guest.ask(`(while :; do ${random(16)}; done) >/dev/null 2>&1 & sleep 0.2`);
      await emulator.restore_state(state);
      expect(await digest(guest, 0)).toBe(before);
      await guest.ask(random(24));
      expect(await digest(guest, 0)).not.toBe(before);

      const fresh = await Guest.powerOn(V86, options);
      guests.push(fresh);
      await (fresh.emulator as StatefulEmulator).restore_state(state);
      expect(await digest(fresh, 1)).toBe(before);
      await fresh.ask(random(8));
      expect(await digest(fresh, 1)).not.toBe(before);
      const log = await fresh.ask('dmesg');
      expect(log).not.toMatch(/I\/O error|blk_update_request|nobody cared/);
    },
    TIMEOUT_MS,
  );
});
