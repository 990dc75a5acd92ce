/**
 * SCSI hosts and their disks come and go while Linux probes them, in any order, on main and on two
 * IOThreads, with the machine stopped and going on in between. VBLK_ROUNDS: how many hosts.
 */

import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  attachVirtioScsi,
  enableHotplug,
  V86Core,
  type V86Instance,
  type V86Scsi,
  type V86ScsiOptions,
} from '#src/adapter/v86';
import { type V86Runner, v86Cpu } from '#src/adapter/v86-cpu';
import { startThreads } from '#src/adapter/v86-threads';
import type { IOThread } from '#src/aio/io-thread';
import { Guest } from '#src/cli/linux/guest';
import { memoryDisk } from '#src/cli/linux/scsi-disks';
import { hostDeparted, nameOf, noOops } from '#src/cli/linux/scsi-steps';
import { Machine } from '#src/machine/machine';
import { describeOn, findMachine } from './available.ts';

const ROUNDS = Number(process.env['VBLK_ROUNDS'] ?? 4);
const BOOT_TIMEOUT_MS = 240_000;
const ROUND_TIMEOUT_MS = 120_000;

const machine = await findMachine();

describeOn(machine, 'Linux while SCSI hosts come and go', ({ images, V86 }) => {
  let guest: Guest;
  let core: V86Core;
  let threads: IOThread[];
  let vm: Machine;

  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  beforeAll(async () => {
    const attach = async (emulator: V86Instance) => {
      expect(enableHotplug(emulator)).toBe(true);
      core = await V86Core.open(emulator);
      vm = new Machine(core.context);
      threads = await startThreads(core.core, 2, undefined);
    };
    guest = await Guest.boot(V86, { images, attach, shared: true, acpi: true }, BOOT_TIMEOUT_MS);
    vm.addCpu(v86Cpu(guest.emulator as unknown as V86Runner));
    await guest.ask('load scsi'); // no host is there yet
    await guest.ask('dmesg -c >/dev/null'); // v86 has no machine-check registers
  }, 2 * BOOT_TIMEOUT_MS);
  afterAll(async () => {
    await guest?.destroy();
    for (const thread of threads ?? []) await thread.stop();
    vm?.close();
    await core?.close();
  });

  const mappings = (): V86ScsiOptions[] => [
    {},
    { iothread: threads[0]! },
    { num_queues: 2, 'iothread-vq-mapping': threads.map((iothread) => ({ iothread })) },
  ];

  const plugHost = (round: number): Promise<V86Scsi> => {
    const mapping = mappings()[round % 3]!;
    const units = [0, 1].map((scsiId) => ({ disk: memoryDisk(), 'scsi-id': scsiId, lun: 0 }));
    const options = { ...mapping, host: core, machine: vm, units };
    return attachVirtioScsi(guest.emulator, options);
  };

  const stopAndCont = async () => {
    await vm.stop();
    await pause(5);
    await vm.cont();
  };

  /** What happens between the coming of a host and its going; Linux probes meanwhile. */
  const ORDERS: readonly ((host: V86Scsi, at: number) => Promise<void>)[] = [
    async (host) => {
      await host.unplug(host.units[0]!);
      await nameOf(guest, host, host.units[0]!);
      await host.unplug(host.units[0]!);
    },
    async (host, at) => {
      await pause(at);
      const late = await host.plug({ disk: memoryDisk(), 'scsi-id': 0, lun: 7 });
      await host.unplug(host.units[0]!);
      await stopAndCont();
      await nameOf(guest, host, late);
    },
    async (_host, at) => {
      await pause(at); // it goes while Linux looks for its disks
    },
    async (host, at) => {
      const name = await nameOf(guest, host, host.units[1]!);
      const read = `while dd if=/dev/${name} of=/dev/null bs=64k iflag=direct; do :; done`;
      await guest.ask(`(${read}) >/dev/null 2>&1 </dev/null &`);
      await pause(at);
      await host.unplug(host.units[1]!);
      await stopAndCont();
    },
    async (host, at) => {
      await pause(5 * at);
      await host.unplug(host.units[0]!);
      await stopAndCont();
    },
    async () => {}, // nor has Linux found the host yet
  ];

  it.each(Array.from({ length: ROUNDS }, (_, round) => [round]))(
    'SC-24 SC-17 VM-1 round %d: it all goes, and nothing is left behind',
    async (round) => {
      const before = core.core.allocatedBytes;
      const host = await plugHost(round);
      await ORDERS[round % ORDERS.length]!(host, (round * 37) % 200);
      await host.eject();
      await hostDeparted(guest, host);
      expect(host.units).toEqual([]);
      expect(core.core.allocatedBytes).toBe(before);
      await noOops(guest);
      expect(await guest.ask('ls /sys/block | grep ^sd || true')).toBe('');
    },
    ROUND_TIMEOUT_MS,
  );
});
