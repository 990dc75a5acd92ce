/**
 * A Linux that writes and verifies all the time, while the host does to its disk what a host may do:
 * drains, throttles, resizes, moves it between threads, stops the machine and lets it go on, saves
 * and restores. Then the disk is unplugged, and the machine still stops and goes on.
 */

import { afterAll, beforeAll, expect, it } from 'vitest';
import { attachVirtioBlk, type V86Blk, V86Core, type V86Instance } from '#src/adapter/v86';
import { type V86Runner, v86Cpu } from '#src/adapter/v86-cpu';
import { startThreads } from '#src/adapter/v86-threads';
import type { IOThread } from '#src/aio/io-thread';
import type { ThrottleDriver } from '#src/block/throttle';
import { diskSha256 } from '#src/cli/linux/disks';
import { Guest } from '#src/cli/linux/guest';
import { wholeDisk } from '#src/cli/linux/steps';
import { Machine } from '#src/machine/machine';
import { describeOn, findMachine } from './available.ts';

const MIB = 1 << 20;
const SECTOR = 512;
const TIMEOUT_MS = 120_000;

/**
 * Rounds of: 256 KiB of random bytes to one of 16 places, read back from the disk, compared. Prints
 * rounds and failures when it is told to stop.
 */
const LOAD = `
round=0; bad=0
while [ ! -e /tmp/stop ]; do
  at=$((round % 16 * 4))
  dd if=/dev/urandom of=/tmp/blob bs=64k count=4 || bad=$((bad + 1))
  dd if=/tmp/blob of=/dev/vda bs=64k seek=$at count=4 oflag=direct conv=notrunc || bad=$((bad + 1))
  dd if=/dev/vda of=/tmp/back bs=64k skip=$at count=4 iflag=direct || bad=$((bad + 1))
  cmp /tmp/blob /tmp/back || bad=$((bad + 1))
  round=$((round + 1))
  echo $round >/tmp/round
done
echo $round $bad >/tmp/result
`;

/** What else of v86 the host uses. */
interface Runner extends V86Runner {
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
}

const machine = await findMachine();

describeOn(machine, 'Linux at work while the host is at work, too', ({ images, V86 }) => {
  let guest: Guest;
  let host: V86Core;
  let disk: V86Blk;
  let threads: IOThread[];
  let vm: Machine;
  const events: string[] = [];

  const runner = () => guest.emulator as unknown as Runner;
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  /** The load has come further by `rounds`: nothing hangs. */
  const progress = async (rounds = 2) => {
    const now = Number(await guest.ask('cat /tmp/round'));
    const wait = `[ $(cat /tmp/round) -ge ${now + rounds} ] && exit 0; sleep 0.1`;
    await guest.ask(`for i in $(seq 200); do ${wait}; done; exit 1`);
  };
  const kernelErrors = () => guest.ask('dmesg -r | grep -E "^<[0-3]>" || true');

  beforeAll(async () => {
    const attach = async (emulator: V86Instance) => {
      host = await V86Core.open(emulator);
      vm = new Machine(host.context);
      for (const name of ['STOP', 'RESUME', 'DEVICE_DELETED'] as const) {
        vm.events.on(name, () => events.push(name));
      }
      threads = await startThreads(host.core, 2, undefined);
      const memory = { driver: 'memory', options: { size: 16 * MIB } };
      disk = await attachVirtioBlk(emulator, {
        host,
        machine: vm,
        iothread: threads[0]!,
        disk: { driver: 'throttle', options: { file: memory } },
      });
    };
    guest = await Guest.boot(V86, { images, attach, shared: true });
    vm.addCpu(v86Cpu(runner()));
    await guest.ask('dmesg -c >/dev/null; echo 0 >/tmp/round');
    await guest.ask(`cat >/tmp/load.sh <<'END'\n${LOAD}END`);
    await guest.ask('setsid sh /tmp/load.sh >/tmp/load.log 2>&1 </dev/null &');
    await progress(1);
  }, 200_000);
  afterAll(async () => {
    await guest?.destroy();
    await disk?.detach();
    for (const thread of threads ?? []) await thread.stop();
    vm?.close();
    await host?.close();
  });

  it(
    'DP-3 DP-4 drains, nested ones, too: nothing runs inside, all goes on after',
    async () => {
      const { backend } = disk;
      for (let round = 0; round < 12; round++) {
        await pause(20);
        backend.drainedBegin();
        if (round % 3 === 0) backend.drainedBegin();
        await backend.idle();
        const before = backend.stats();
        await pause(10);
        expect(backend.stats()).toEqual(before);
        backend.drainedEnd();
        if (round % 3 === 0) backend.drainedEnd();
      }
      await progress();
    },
    TIMEOUT_MS,
  );

  it(
    'BB-28 limits that come and go, and a drain while they hold requests back',
    async () => {
      const { backend } = disk;
      const throttle = backend.driver as ThrottleDriver;
      throttle.setLimits({ 'bps-total': 512 * 1024 });
      await pause(300);
      await backend.drain();
      throttle.setLimits({});
      await progress();
    },
    TIMEOUT_MS,
  );

  it(
    'BL-18 grows and shrinks under the load: the guest notices, and uses what is new',
    async () => {
      const { backend } = disk;
      const size = () => guest.ask('cat /sys/block/vda/size').then(Number);
      const noticed = async (bytes: number) => {
        await backend.resize(bytes);
        const wait = `[ $(cat /sys/block/vda/size) = ${bytes / SECTOR} ] && exit 0; sleep 0.1`;
        await guest.ask(`for i in $(seq 100); do ${wait}; done; exit 1`);
      };
      expect(await size()).toBe((16 * MIB) / SECTOR);
      await noticed(32 * MIB);
      const beyond = 'bs=1M seek=16 count=16 oflag=direct conv=notrunc';
      await guest.ask(`dd if=/dev/zero of=/dev/vda ${beyond}`);
      await guest.ask('dd if=/dev/vda of=/dev/null bs=1M skip=31 count=1 iflag=direct');
      await noticed(24 * MIB);
      const past = 'dd if=/dev/vda of=/dev/null bs=1M skip=30 count=1 iflag=direct 2>&1';
      expect(await guest.ask(`${past} || true`)).toMatch(/^0\+0 records in/m);
      await noticed(20 * MIB);
      await progress();
    },
    TIMEOUT_MS,
  );

  it(
    'moves between main and two IOThreads under the load',
    async () => {
      const [first, second] = threads;
      const places = [{ iothread: second! }, {}, { iothread: first! }, { iothread: second! }];
      for (const place of [...places, ...places]) {
        await disk.blk.changeMapping(place);
        await progress(1);
      }
    },
    TIMEOUT_MS,
  );

  it(
    'VM-1 VM-3 stops and goes on: while it is stopped the disk does not change',
    async () => {
      for (let round = 0; round < 3; round++) {
        await vm.stop();
        const before = await diskSha256(disk.backend);
        await pause(100);
        expect(await diskSha256(disk.backend)).toBe(before);
        await vm.cont();
        await progress(1);
      }
      expect(events).toEqual(['STOP', 'RESUME', 'STOP', 'RESUME', 'STOP', 'RESUME']);
    },
    TIMEOUT_MS,
  );

  it(
    'VM-5 BL-19 is saved under the load, goes on, and goes back to what was saved, disk and all',
    async () => {
      const emulator = runner();
      const state = await emulator.save_state();
      await guest.ask('touch /tmp/after');
      await progress();
      await emulator.stop();
      await emulator.restore_state(state);
      await emulator.run();
      expect((await guest.run('[ -e /tmp/after ]')).status).not.toBe(0);
      await progress();
    },
    TIMEOUT_MS,
  );

  it(
    'has lost nothing: each byte read back as written, guest and host agree, no error in the log',
    async () => {
      await guest.ask('touch /tmp/stop');
      const done = '[ -e /tmp/result ] && exit 0; sleep 0.1';
      await guest.ask(`for i in $(seq 300); do ${done}; done; exit 1`);
      const [rounds, bad] = (await guest.ask('cat /tmp/result')).split(' ').map(Number);
      expect(rounds).toBeGreaterThan(10);
      expect(bad).toBe(0);
      await guest.ask('echo 3 >/proc/sys/vm/drop_caches');
      await wholeDisk(guest, 'vda', () => diskSha256(disk.backend));
      expect(await kernelErrors()).toBe('');
    },
    TIMEOUT_MS,
  );

  it(
    'BL-22 HN-16 is unplugged, and the machine still stops and goes on',
    async () => {
      const slot = disk.slot.toString(16).padStart(2, '0');
      await guest.ask(`echo 1 >/sys/bus/pci/devices/0000:00:${slot}.0/remove`);
      await disk.detach();
      expect(events.at(-1)).toBe('DEVICE_DELETED');
      for (let round = 0; round < 2; round++) {
        await vm.stop();
        await pause(20);
        await vm.cont();
        expect(await guest.ask('echo /sys/block/vd*')).toBe('/sys/block/vd*');
      }
      expect(await kernelErrors()).toBe('');
    },
    TIMEOUT_MS,
  );
});
