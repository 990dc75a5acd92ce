/** v86 with its memory shared with Workers: what it does with that memory by itself. */

import { afterAll, expect, it } from 'vitest';
import { cpuOf } from '#src/adapter/v86-machine';
import { BOOT_SECTOR_FAILED, BOOT_SECTOR_OK, bootSectors } from '#src/cli/linux/boot-sector';
import { Guest, type V86Emulator } from '#src/cli/linux/guest';
import { describeOn, findMachine } from './available.ts';
import { staleCodeSectors } from './stale-code.ts';

interface StatefulEmulator extends V86Emulator {
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
  stop(): Promise<void>;
}

const machine = await findMachine();

describeOn(machine, 'v86 on shared memory', ({ images: all, V86 }) => {
  const { bios, vgaBios, wasm } = all;
  const guests: Guest[] = [];
  afterAll(() => Promise.all(guests.map((guest) => guest.destroy())));

  async function bootFrom(sectors: Uint8Array, ready: RegExp) {
    const disk = new Uint8Array(1 << 20);
    disk.set(sectors);
    const images = { bios, vgaBios, wasm };
    const options = { images, ideDisk: disk.buffer, memorySize: 32 << 20, shared: true };
    const guest = await Guest.powerOn(V86, options);
    guests.push(guest);
    await guest.waitFor(ready, 60_000);
    return { guest, disk };
  }

  it('boots from its own disk, and writes to it', async () => {
    const verdict = new RegExp(`(${BOOT_SECTOR_OK}|${BOOT_SECTOR_FAILED})\r\n`);
    const { guest, disk } = await bootFrom(bootSectors('shared'), verdict);
    expect(cpuOf(guest.emulator).wasm_memory.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(guest.serial).toBe(`read: shared\r\n${BOOT_SECTOR_OK}\r\n`);
    expect(disk.slice(1024, 1536)).toEqual(disk.slice(512, 1024).map((byte) => byte ^ 0xff));
  }, 90_000);

  it('runs translated code, and forgets it', async () => {
    const { guest } = await bootFrom(staleCodeSectors(), /\n/);
    expect(guest.serial).toBe('AB\n');
  }, 90_000);

  it('saves its state and restores it', async () => {
    const { guest } = await bootFrom(staleCodeSectors(), /\n/);
    const emulator = guest.emulator as StatefulEmulator;
    await emulator.stop();
    const cpu = cpuOf(emulator);
    const code = cpu.mem8.slice(0x7c00, 0x7e00);
    const state = await emulator.save_state();
    expect(state).toBeInstanceOf(ArrayBuffer);
    cpu.mem8.fill(0xcc, 0x7c00, 0x7e00);
    await emulator.restore_state(state);
    expect(cpu.mem8.slice(0x7c00, 0x7e00)).toEqual(code);
  }, 90_000);
});
