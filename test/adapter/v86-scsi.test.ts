import { describe, expect, it, onTestFinished } from 'vitest';
import {
  attachVirtioScsi,
  V86Core,
  type V86ScsiOptions,
  type V86ScsiUnitOptions,
} from '#src/adapter/v86';
import { BlockBackend } from '#src/block/backend';
import { GuestPci } from '#src/guest/pci';
import { GuestRam } from '#src/guest/ram';
import { GuestScsi, scsiLun } from '#src/guest/scsi';
import { FakeV86, functionIn, RAM_OFFSET } from './fake-v86.ts';

const disk = { driver: 'memory', options: { size: 1 << 20 } };
const unit: V86ScsiUnitOptions = { disk, 'scsi-id': 0, lun: 0 };
const LUN = scsiLun(0, 0);
const GOOD = { response: 0, status: 0 };
const block = (seed: number) => Uint8Array.from({ length: 512 }, (_, n) => n * seed);
const transfer = (opcode: number, lba: number) => [opcode, 0, 0, 0, 0, lba, 0, 0, 1, 0];
const read = (lba: number) => transfer(0x28, lba);
const write = (lba: number) => transfer(0x2a, lba);

/** A host on a fake v86. */
async function attach(options: V86ScsiOptions = {}, v86 = new FakeV86()) {
  const host = await attachVirtioScsi(v86, options);
  onTestFinished(() => host.detach());
  const open = async (commandQueues = 1) => {
    const transport = GuestPci.open(functionIn(v86, host.slot));
    const guest = await GuestScsi.open(transport, new GuestRam(host.core), {
      commandQueues,
      relax: () => {
        v86.poll();
        return new Promise((resolve) => setImmediate(resolve));
      },
    });
    return guest;
  };
  return { v86, host, open };
}

/** The first commands to a unit that was just plugged in report that its power has come on. */
async function ready(guest: GuestScsi): Promise<void> {
  const attentions: number[] = [];
  for (;;) {
    const { status, sense } = await guest.command(LUN, [0, 0, 0, 0, 0, 0]);
    if (status === 0) break;
    attentions.push(sense[12]!);
  }
  expect(attentions).toContain(0x29);
}

describe.each(['wasm', 'js'] as const)('virtio-scsi on v86, %s', (engine) => {
  it.each(['io', 'memory'] as const)('serves a driver, %s BAR', async (bar) => {
    const { v86, host, open } = await attach({ engine, bar, units: [unit] });
    expect(host.core.choice.engine).toBe(engine);
    expect(host.core.memory).toBe(v86.memory);
    const kinds = host.pci.bars.map(({ kind }) => kind);
    expect(kinds).toEqual(bar === 'io' ? ['io', 'io'] : ['io', 'memory']);
    const guest = await open();
    await ready(guest);
    const written = await guest.command(LUN, write(3), { dataOut: block(7) });
    expect(written).toMatchObject(GOOD);
    const back = await guest.command(LUN, read(3), { dataIn: 512 });
    expect(back).toMatchObject({ ...GOOD, data: block(7), residual: 0 });
    const held = new Uint8Array(512);
    await host.units[0]!.backend.io.read(3 * 512, held);
    expect(held).toEqual(block(7));
  });

  it('tells v86 of what it wrote to guest RAM', async () => {
    const { v86, open } = await attach({ engine, units: [unit] });
    const guest = await open();
    await ready(guest);
    await guest.command(LUN, write(0), { dataOut: block(3) });
    v86.dirtied.length = 0;
    await guest.command(LUN, read(0), { dataIn: 512 });
    const texts = v86.dirtied.map(([from, to]) => v86.cpu.mem8.slice(from, to).join());
    expect(texts).toContain(block(3).join());
  });

  it('SC-17 plugs in and unplugs while a driver is there, and tells it', async () => {
    const { host, open } = await attach({ engine });
    const guest = await open();
    const bytes = host.core.allocatedBytes;
    const told = guest.nextEvent();
    const plugged = await host.plug(unit);
    expect(await told).toMatchObject({ event: 1, reason: 1 });
    await ready(guest);
    expect(await guest.command(LUN, read(0), { dataIn: 512 })).toMatchObject(GOOD);
    expect(host.units).toEqual([plugged]);
    const gone = guest.nextEvent();
    await host.unplug(plugged);
    expect(await gone).toMatchObject({ event: 1, reason: 2 });
    expect((await guest.command(LUN, read(0), { dataIn: 512 })).response).not.toBe(0);
    expect(host.units).toEqual([]);
    expect(host.core.allocatedBytes).toBe(bytes);
    expect(() => plugged.backend.io.read(0, new Uint8Array(512))).toThrow();
  });

  it('SC-19 starts as many threads as it is told, with a command queue each', async () => {
    const v86 = new FakeV86(RAM_OFFSET, true);
    const { host, open } = await attach({ engine, iothreads: 2, units: [unit] }, v86);
    const { threads } = host.scsi.settings;
    expect(threads.map((thread) => thread === null)).toEqual([true, true, false, false]);
    expect(new Set(threads).size).toBe(3);
    const guest = await open(2);
    await ready(guest);
    for (const queue of [0, 1]) {
      await guest.command(LUN, write(queue), { dataOut: block(queue + 2), queue });
      const back = await guest.command(LUN, read(queue), { dataIn: 512, queue: 1 - queue });
      expect(back).toMatchObject({ ...GOOD, data: block(queue + 2) });
    }
  });
});

describe('attachVirtioScsi', () => {
  it('SC-24 shares a core with others, and gives everything back', async () => {
    const v86 = new FakeV86();
    const host = await V86Core.open(v86);
    const bytes = host.core.allocatedBytes;
    const backend = await BlockBackend.open(host.core, host.context, disk);
    const first = await attachVirtioScsi(v86, { host, units: [unit, { disk: backend }] });
    const second = await attachVirtioScsi(v86, { host, slot: 20, mode: 'modern' });
    expect([first.slot, second.slot]).toEqual([8, 20]);
    expect(first.units.map(({ config }) => [config.scsiId, config.lun])).toEqual([
      [0, 0],
      [1, 0],
    ]);
    await first.detach();
    await backend.io.write(0, block(1)); // still open: it was not ours
    await backend.close();
    await second.detach();
    expect(host.core.allocatedBytes).toBe(bytes);
    await expect(second.plug(unit)).rejects.toThrow('taken off');
    expect(host.core.allocatedBytes).toBe(bytes);
    host.close();
  });

  it('leaves nothing behind when an option is wrong', async () => {
    const v86 = new FakeV86();
    const wrong = (options: object) => attachVirtioScsi(v86, options as V86ScsiOptions);
    await expect(wrong({ num_queues: 0 })).rejects.toThrow('num_queues');
    await expect(wrong({ units: [{ disk, lun: 16_384 }] })).rejects.toThrow('lun');
    await expect(wrong({ units: [unit, unit] })).rejects.toThrow('lun');
    await expect(wrong({ units: [{ disk: { driver: 'tape' } }] })).rejects.toThrow('tape');
    await expect(wrong({ units: [{ disk, heads: 4 }] })).rejects.toThrow('heads');
    expect(v86.cpu.devices.pci.device_spaces.some(Boolean)).toBe(false);
    expect((await attachVirtioScsi(v86)).slot).toBe(8);
  });

  it('a unit that is refused leaves the others as they are', async () => {
    const { host } = await attach({ units: [unit] });
    const bytes = host.core.allocatedBytes;
    await expect(host.plug(unit)).rejects.toThrow('lun');
    expect(host.units).toHaveLength(1);
    expect(host.core.allocatedBytes).toBe(bytes);
  });

  it('a CD is read only, unless whoever fills it wants to write', async () => {
    const { host } = await attach();
    const cd = await host.plug({ disk, kind: 'cd' });
    expect([cd.config.type, cd.backend.readOnly]).toEqual(['cd', true]);
    const filled = await host.plug({ disk, kind: 'cd', readonly: false });
    expect(filled.backend.readOnly).toBe(false);
    const hd = await host.plug({ disk });
    expect([hd.config.type, hd.backend.readOnly]).toEqual(['hd', false]);
  });
});
