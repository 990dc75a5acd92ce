/** Disks that come and go while Linux runs, by ACPI. */

import { afterAll, beforeAll, expect, it } from 'vitest';
import { attachVirtioBlk, enableHotplug, type V86Blk, type V86Instance } from '#src/adapter/v86';
import { diskSha256 } from '#src/cli/linux/disks';
import { Guest } from '#src/cli/linux/guest';
import { wholeDisk } from '#src/cli/linux/steps';
import { describeOn, findMachine } from './available.ts';

const DISK_BYTES = 4 << 20;
const TIMEOUT_MS = 120_000;

const machine = await findMachine();

describeOn(machine, 'Linux, disks plugged and unplugged by ACPI', ({ images, V86 }) => {
  let guest: Guest;
  let first: V86Blk;

  const plug = (emulator: V86Instance): Promise<V86Blk> => {
    const disk = { driver: 'memory', options: { size: DISK_BYTES } };
    return attachVirtioBlk(emulator, { disk });
  };
  const until = (condition: string) =>
    guest.ask(`for i in $(seq 100); do ${condition} && exit 0; sleep 0.1; done; exit 1`);
  const writeAndVerify = async (name: string, { backend }: V86Blk) => {
    await guest.ask(`dd if=/dev/urandom of=/dev/${name} bs=64k conv=fsync 2>/dev/null; true`);
    await guest.ask('echo 3 >/proc/sys/vm/drop_caches');
    await wholeDisk(guest, name, () => diskSha256(backend));
  };
  const kernelErrors = () => guest.ask('dmesg -r | grep -E "^<[0-3]>" || true');

  beforeAll(async () => {
    const attach = async (emulator: V86Instance) => {
      expect(enableHotplug(emulator)).toBe(true);
      first = await plug(emulator);
    };
    guest = await Guest.boot(V86, { images, attach, acpi: true });
    await guest.ask('dmesg -c >/dev/null'); // v86 has no machine-check registers
  }, 150_000);
  afterAll(async () => {
    await guest?.destroy();
    await first?.detach();
  });

  it(
    'BL-22 plugged while it runs, ejected, and plugged again: each time it works',
    async () => {
      await until('[ -e /sys/block/vda ]');
      await writeAndVerify('vda', first);
      for (let round = 0; round < 2; round++) {
        const blk = await plug(guest.emulator);
        await until('[ -e /sys/block/vdb ]');
        await writeAndVerify('vdb', blk);
        await blk.eject();
        await until('[ ! -e /sys/block/vdb ]');
      }
      await writeAndVerify('vda', first);
      expect(await kernelErrors()).toBe('');
    },
    TIMEOUT_MS,
  );

  it(
    'BL-22 the guest ejects a disk by itself',
    async () => {
      const blk = await plug(guest.emulator);
      await until('[ -e /sys/block/vdb ]');
      await guest.ask(`echo 0 >/sys/bus/pci/slots/${blk.slot}/power`);
      await blk.ejected;
      expect(await guest.ask('echo /sys/block/vd*')).toBe('/sys/block/vda');
      expect(await kernelErrors()).toBe('');
    },
    TIMEOUT_MS,
  );

  it(
    'BL-22 removed in the guest, detached, and plugged again into the same slot',
    async () => {
      const blk = await plug(guest.emulator);
      await until('[ -e /sys/block/vdb ]');
      await guest.ask(`echo 1 >/sys/bus/pci/devices/0000:00:0${blk.slot}.0/remove`);
      await blk.detach();
      const again = await plug(guest.emulator);
      expect(again.slot).toBe(blk.slot);
      await until('[ -e /sys/block/vdb ]');
      await writeAndVerify('vdb', again);
      await again.eject();
      expect(await kernelErrors()).toBe('');
    },
    TIMEOUT_MS,
  );
});
