import { afterAll, describe, expect, it } from 'vitest';
import {
  attachVirtioBlk,
  type V86Blk,
  type V86BlkOptions,
  type V86Instance,
} from '#src/adapter/v86';
import { BOOT_SECTOR_FAILED, BOOT_SECTOR_OK, bootSectors } from '#src/cli/linux/boot-sector';
import { Guest } from '#src/cli/linux/guest';
import { describeOn, findMachine } from './available.ts';
import { staleCodeSectors } from './stale-code.ts';

const machine = await findMachine();
const verdict = new RegExp(`(${BOOT_SECTOR_OK}|${BOOT_SECTOR_FAILED})\r\n`);

describeOn(machine, 'boot sector on an IDE disk', ({ images: all, V86 }) => {
  const { bios, vgaBios, wasm } = all;
  const images = { bios, vgaBios, wasm };
  const guests: Guest[] = [];
  afterAll(() => Promise.all(guests.map((guest) => guest.destroy())));

  async function bootFrom(ideDisk: ArrayBuffer): Promise<Guest> {
    const guest = await Guest.powerOn(V86, { images, ideDisk, memorySize: 32 << 20 });
    guests.push(guest);
    await guest.waitFor(verdict, 30_000);
    return guest;
  }

  it('reads one sector and writes another through the BIOS', async () => {
    const disk = new Uint8Array(1 << 20);
    disk.set(bootSectors('from the disk'));
    const guest = await bootFrom(disk.buffer);
    expect(guest.serial).toBe(`read: from the disk\r\n${BOOT_SECTOR_OK}\r\n`);
    const inverted = disk.slice(512, 1024).map((byte) => byte ^ 0xff);
    expect(disk.slice(1024, 1536)).toEqual(inverted);
    expect(disk.slice(1536).every((byte) => byte === 0)).toBe(true);
  });

  it('says so when a transfer fails', async () => {
    const disk = bootSectors('no sector 2 on this disk');
    const guest = await bootFrom(disk.buffer);
    expect(guest.serial).toContain(BOOT_SECTOR_FAILED);
  });
});

// SeaBIOS's own virtio-blk driver: it kicks, and spins on the used ring with interrupts off.
describeOn(machine, 'boot sector on our disk', ({ images: all, V86 }) => {
  const { bios, vgaBios, wasm } = all;
  const images = { bios, vgaBios, wasm };
  const guests: Guest[] = [];
  const disks: V86Blk[] = [];
  afterAll(async () => {
    await Promise.all(guests.map((guest) => guest.destroy()));
    await Promise.all(disks.map((disk) => disk.detach()));
  });

  async function bootFrom(
    sectors: Uint8Array,
    ready: RegExp,
    options: Partial<V86BlkOptions>,
  ): Promise<{ guest: Guest; disk: V86Blk }> {
    let attached: V86Blk | undefined;
    const attach = async (emulator: V86Instance) => {
      const disk = { driver: 'memory', options: { size: 1 << 20 } };
      attached = await attachVirtioBlk(emulator, { disk, ...options });
      disks.push(attached);
      await attached.backend.io.write(0, sectors);
    };
    const shared = options.iothreads !== undefined;
    const guest = await Guest.powerOn(V86, { images, attach, shared, memorySize: 32 << 20 });
    guests.push(guest);
    await guest.waitFor(ready, 60_000);
    return { guest, disk: attached! };
  }

  const engines = ['wasm', 'js'] as const;
  const places = [
    { mode: 'transitional', bar: 'io', kick: 'sync' },
    { mode: 'transitional', bar: 'memory', kick: 'sync' },
    { mode: 'modern', bar: 'memory', kick: 'sync' },
    { mode: 'legacy', bar: 'io', kick: 'sync' },
    { mode: 'transitional', bar: 'io', kick: 'poll' },
    { mode: 'transitional', bar: 'memory', kick: 'poll' },
  ] as const;
  const threads = [
    { mode: 'transitional', bar: 'io', kick: 'sync', iothreads: 1 },
    { mode: 'modern', bar: 'memory', kick: 'sync', iothreads: 1 },
    { mode: 'legacy', bar: 'io', kick: 'sync', iothreads: 1 },
  ] as const;
  const served = [...places.map((place) => ({ ...place, iothreads: undefined })), ...threads];
  const cases = engines.flatMap((engine) => served.map((place) => ({ engine, ...place })));

  it.each(cases)(
    'HN-15 is served while it spins: $engine, $mode, $bar BAR, $kick, IOThreads: $iothreads',
    async ({ iothreads, ...place }) => {
      const options = iothreads ? { ...place, iothreads } : place;
      const { guest, disk } = await bootFrom(bootSectors('from our disk'), verdict, options);
      expect(guest.serial).toBe(`read: from our disk\r\n${BOOT_SECTOR_OK}\r\n`);
      const held = new Uint8Array(4 * 512);
      await disk.backend.io.read(0, held);
      const inverted = held.slice(512, 1024).map((byte) => byte ^ 0xff);
      expect(held.slice(1024, 1536)).toEqual(inverted);
      expect(held.slice(1536).every((byte) => byte === 0)).toBe(true);
      const { operations } = disk.backend.stats().write;
      expect(operations).toBe(2); // ours, and the boot sector's
    },
    90_000,
  );

  const memory = { driver: 'memory', options: { size: 1 << 20 } };
  const faulty = (rule: object) => ({
    disk: { driver: 'fault', options: { image: memory, rules: [rule] } },
  });

  it('HN-15 is served while it spins, by a disk that answers later', async () => {
    const options = faulty({ action: 'delay', ms: 5, skip: 1 }); // the host's own write passes
    const { guest } = await bootFrom(bootSectors('some time later'), verdict, options);
    expect(guest.serial).toBe(`read: some time later\r\n${BOOT_SECTOR_OK}\r\n`);
  }, 90_000);

  it('says so when a transfer fails', async () => {
    const options = faulty({ action: 'fail', op: 'write', skip: 1 });
    const { guest } = await bootFrom(bootSectors('no writing'), verdict, options);
    expect(guest.serial).toBe(`read: no writing\r\n${BOOT_SECTOR_FAILED}\r\n`);
  }, 90_000);

  it.each(cases)(
    'runs the code that it read, not what was there: $engine, $mode, $bar BAR, $kick, IOThreads: $iothreads',
    async ({ iothreads, ...place }) => {
      const options = iothreads ? { ...place, iothreads } : place;
      const { guest } = await bootFrom(staleCodeSectors(), /\n/, options);
      expect(guest.serial).toBe('AB\n');
    },
    90_000,
  );
});

describe('boot sector', () => {
  it('takes 511 bytes of text and no more', () => {
    expect(bootSectors('x'.repeat(511))).toHaveLength(1024);
    expect(() => bootSectors('x'.repeat(512))).toThrow('512 bytes do not fit');
  });
});
