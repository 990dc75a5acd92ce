/** v86 and its disks in a machine. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { attachVirtioBlk, V86Core, v86Cpu } from '#src/adapter/v86';
import { BlockBackend } from '#src/block/backend';
import { GuestBlk } from '#src/guest/blk';
import { GuestPci } from '#src/guest/pci';
import { GuestRam } from '#src/guest/ram';
import { Machine } from '#src/machine/machine';
import { FakeV86, functionIn } from '../adapter/fake-v86.ts';

/** As much of an emulator as `v86Cpu` calls: its stop takes until the slice ends. */
function runner(running: boolean) {
  const calls: string[] = [];
  return {
    calls,
    is_running: () => running,
    stop: async () => {
      calls.push('stop');
      await new Promise((resolve) => setImmediate(resolve));
      running = false;
      calls.push('stopped');
    },
    run: async () => {
      running = true;
      calls.push('run');
    },
  };
}

const full = {
  driver: 'fault',
  options: {
    image: { driver: 'memory', options: { size: 1 << 20 } },
    rules: [{ op: 'write', action: 'fail', errno: 'ENOSPC', count: 1 }],
  },
} as const;

describe('v86 in a machine', () => {
  it('VM-1 the CPU has stopped before the devices are told, and runs after them', async () => {
    const host = await V86Core.open(new FakeV86(), { engine: 'js' });
    const machine = new Machine(host.context);
    const emulator = runner(true);
    machine.addCpu(v86Cpu(emulator));
    machine.addRunStateHandler('device', 1, (on) => void emulator.calls.push(`device ${on}`));
    await machine.stop();
    await machine.cont();
    expect(emulator.calls).toEqual(['stop', 'stopped', 'device false', 'device true', 'run']);
    machine.close();
    await host.close();
  });

  it('a CPU that did not run is left alone', async () => {
    const host = await V86Core.open(new FakeV86(), { engine: 'js' });
    const machine = new Machine(host.context);
    const emulator = runner(false);
    machine.addCpu(v86Cpu(emulator));
    await machine.stop();
    await machine.cont();
    expect(emulator.calls).toEqual([]);
    machine.close();
    await host.close();
  });

  it('BB-19 attachVirtioBlk with werror: a full host stops the machine, and the guest notices nothing', async () => {
    const v86 = new FakeV86();
    const host = await V86Core.open(v86, { engine: 'js' });
    const machine = new Machine(host.context);
    const disk = await attachVirtioBlk(v86, { host, machine, disk: full, werror: 'enospc' });
    onTestFinished(async () => {
      await disk.detach();
      machine.close();
      await host.close();
    });
    const transport = GuestPci.open(functionIn(v86, disk.slot));
    const guest = await GuestBlk.open(transport, new GuestRam(disk.core), {
      relax: async () => {
        v86.poll();
        await new Promise((resolve) => setImmediate(resolve));
      },
    });
    const log: string[] = [];
    machine.events.on('STOP', () => {
      log.push(machine.state);
      void machine.cont();
    });
    machine.events.on('RESUME', () => void log.push('resumed'));
    await guest.write(0, new Uint8Array(512).fill(7));
    expect(log).toEqual(['io-error', 'resumed']);
  });

  it('a BlockBackend has policies of its own; without a machine nothing can stop', async () => {
    const v86 = new FakeV86();
    const host = await V86Core.open(v86, { engine: 'js' });
    const backend = await BlockBackend.open(host.core, host.context, full);
    await expect(attachVirtioBlk(v86, { host, disk: backend, rerror: 'report' })).rejects.toThrow(
      "rerror: 'report' is not allowed; allowed: none: the BlockBackend has its own",
    );
    await expect(attachVirtioBlk(v86, { host, disk: full, werror: 'stop' })).rejects.toThrow(
      "werror: 'stop' is not allowed",
    );
    await backend.close();
    await host.close();
  });
});
