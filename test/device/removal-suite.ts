/**
 * What the bus does to a function with requests in flight: function-level reset, sleep, removal.
 * And what the host does to the disk: it grows and shrinks.
 */
import { describe, expect, it } from 'vitest';
import { GuestError } from '#src/guest/error';
import type { PciTransport } from '#src/guest/pci-transport';
import {
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_PM,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_PM_CTRL,
  PCI_PM_D0,
  PCI_PM_D3HOT,
  VIRTIO_BLK_CONFIG_CAPACITY,
} from '#src/spec';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import { expectAlive, expectServed, expectUntouched, hold, letGo } from './held.ts';
import {
  type EngineName,
  HOLD,
  Machine,
  type Slot,
  slowDisk,
  type TransportName,
  turns,
} from './machine.ts';
import { Random } from './random.ts';
import { expectSameBytes } from './same-bytes.ts';

const COMMAND = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
const SECTORS = 8192;

export function removalSuite(transport: TransportName, engine: EngineName): void {
  const held = () => hold(transport, engine);

  describe(`removal; ${transport}; engine ${engine}`, () => {
    if (transport.startsWith('pci')) busSuite(held);

    it('BL-22 SC-3 taken off the bus with a request of ten seconds in flight: nobody is there any more, no guest byte is touched, and all is given back', async () => {
      const machine = await Machine.open({ transport, engine, disk: { driver: 'null' } });
      await machine.slot.start();
      const { core, context } = machine;
      const bytes = core.allocatedBytes;
      const handlers = [...context.handlers];
      const { scene, bytesThere } = await plug(machine, transport);
      expect(bytesThere).toBeGreaterThan(bytes);
      const { slot, answered } = scene;
      const before = machine.snapshot();
      slot.function.remove();
      expectGone(slot);
      let closed = false;
      const closing = slot.device.close().then(() => {
        closed = true;
      });
      for (let i = 0; i < 5; i++) {
        slot.bus.kick(0);
        await turns();
        expect(closed).toBe(false); // the ten seconds are not over
      }
      await letGo(scene);
      await closing;
      await slot.backend.close();
      expectUntouched(machine, before);
      expectGone(slot);
      expect(core.allocatedBytes).toBe(bytes);
      expect(context.handlers).toEqual(handlers);
      scene.blk.abandon();
      expect(await answered).toEqual([false, false]);
      await machine.slot.blk!.read(0, 512); // its neighbour goes on
      machine.slots.pop();
      await machine.close();
    });

    it('BL-22 what ends after the removal and before the device is closed touches nothing', async () => {
      const scene = await held();
      const { machine, slot, blk } = scene;
      await turns();
      const before = machine.snapshot();
      slot.function.remove();
      await letGo(scene);
      expectUntouched(machine, before);
      expectGone(slot);
      blk.abandon();
      expect(await scene.answered).toEqual([false, false, false]);
      await machine.close();
    });

    it('BL-22 a driver that goes on with a device that is closed reaches nothing, and is refused', async () => {
      const machine = await Machine.open({ transport, engine });
      const { core, slot } = machine;
      await slot.start();
      const closing = slot.device.close();
      await expectRefused(slot);
      await closing;
      await slot.backend.close();
      const blocks = Array.from({ length: 200 }, () => core.allocate(4096));
      for (const block of blocks) core.u8.fill(0xa5, block, block + 4096);
      await expectRefused(slot);
      slot.function.remove();
      for (const block of blocks) {
        expect(core.u8.subarray(block, block + 4096).every((byte) => byte === 0xa5)).toBe(true);
        core.free(block);
      }
      machine.slots.pop();
      await machine.close();
    });

    it('BL-22 plugged and unplugged again and again, each time with requests in flight', async () => {
      const machine = await Machine.open({ transport, engine, disk: { driver: 'null' } });
      let bytes = 0;
      for (let round = 0; round < 4; round++) {
        const { scene } = await plug(machine, transport);
        const { slot, blk } = scene;
        if (round % 2) slot.function.remove();
        const closing = slot.device.close();
        await letGo(scene);
        await closing;
        await slot.backend.close();
        blk.abandon();
        machine.slots.pop();
        if (round === 0) bytes = machine.core.allocatedBytes;
        else expect(machine.core.allocatedBytes).toBe(bytes);
      }
      const slot = await machine.add({ transport });
      await expectAlive(slot);
      await machine.close();
    });

    it('BL-18 VC-4 a disk that grows and shrinks under I/O: one interrupt each, and the driver sees its size', async () => {
      const scene = await held();
      const { machine, slot, blk } = scene;
      let changes = 0;
      blk.onConfigChange = () => changes++;
      await turns();
      expect(await machine.held(scene.disk)).toBeGreaterThan(0);
      const grown = slot.backend.resize(2 * SECTORS * 512); // waits for what is in flight
      await turns();
      expect(slot.bus.readConfig(VIRTIO_BLK_CONFIG_CAPACITY, 4)).toBe(SECTORS);
      await letGo(scene);
      await grown;
      blk.poll();
      expect(await scene.answered).toEqual([true, true, true]);
      await turns();
      expect([changes, blk.capacity]).toEqual([1, 2 * SECTORS]);
      await machine.close();
    });

    it('BL-18 BL-4 I/O beyond the old end is well after growth, and beyond the new end refused after a shrink, all amid requests', async () => {
      const machine = await Machine.open({ transport, engine });
      const { slot } = machine;
      const blk = await slot.start();
      const random = new Random(18);
      const data = random.bytes(1024);
      const sizes = [2 * SECTORS, SECTORS / 2, 3 * SECTORS, SECTORS / 4];
      for (const sectors of sizes) {
        const before = blk.capacity;
        const few = Math.min(before, sectors);
        const load = Array.from({ length: 40 }, (_, i) => {
          const sector = random.below(few - 8);
          return i % 2 ? blk.read(sector, 4096) : blk.write(sector, data);
        });
        await slot.backend.resize(sectors * 512);
        await Promise.all(load);
        await turns();
        expect(blk.capacity).toBe(sectors);
        await blk.write(sectors - 2, data);
        expectSameBytes(await blk.read(sectors - 2, 1024), data);
        await expect(blk.read(sectors - 1, 1024)).rejects.toThrow(/EIO/);
        await expect(blk.write(sectors, data)).rejects.toThrow(/EIO/);
        if (before > sectors) await expect(blk.read(before - 2, 1024)).rejects.toThrow(/EIO/);
      }
      await machine.close();
    });
  });
}

/** One more disk, with requests that wait in it. */
async function plug(machine: Machine, transport: TransportName) {
  const disk = await slowDisk(machine.core);
  const slot = await machine.add({ transport, disk });
  const blk = await slot.start({ interrupts: false });
  disk.setRules(HOLD);
  const requests = [blk.read(0, 4096), blk.write(64, new Uint8Array(1024).fill(3))];
  const answered = Promise.all(
    requests.map((request) =>
      request.then(
        () => true,
        () => false,
      ),
    ),
  );
  await turns();
  expect(await machine.held(disk)).toBeGreaterThan(0);
  const scene = { machine, slot, disk, blk, answered };
  return { scene, bytesThere: machine.core.allocatedBytes };
}

/** All that the guest reads is ones, and no interrupt is up. */
function expectGone(slot: Slot): void {
  const fn = slot.function;
  expect(slot.level).toBe(false);
  if (fn instanceof VirtioMmio) {
    for (const at of [0, 4, 0x70, 0x100]) expect(fn.read(at, 4)).toBe(0xffffffff);
    return;
  }
  for (const at of [0, 4, 0x10, 0x40]) expect(fn.configRead(at, 4)).toBe(0xffffffff);
  for (const bar of [0, 1, 4]) expect(fn.barRead(bar, 0, 2)).toBe(0xffff);
  expect(fn.barAddress(4)).toBe(null);
}

function busSuite(held: () => ReturnType<typeof hold>): void {
  const capability = ({ bus }: Slot, id: number): number => {
    const [at] = (bus as PciTransport).config.capabilities(id);
    return at!;
  };

  it('PC-10 VC-3 FLR: status reads 0 only when nothing is in flight; not one guest byte is touched', async () => {
    const scene = await held();
    const { machine, slot } = scene;
    await turns();
    const before = machine.snapshot();
    const { config } = slot.bus as PciTransport;
    config.write(capability(slot, PCI_CAP_ID_AF) + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR);
    for (let i = 0; i < 5; i++) {
      await turns();
      expect(slot.bus.readStatus()).not.toBe(0);
    }
    config.command = COMMAND; // the bus driver does not wait: nothing may come of it
    slot.bus.kick(0);
    await letGo(scene);
    expectUntouched(machine, before);
    expect(slot.bus.readStatus()).toBe(0);
    const { blk } = scene;
    await blk.reset();
    expect(await scene.answered).toEqual([false, false, false]);
    slot.probeAgain();
    await expectAlive(slot);
    await machine.close();
  });

  it('PC-10 D3hot: nothing new is taken, what was taken is finished, its interrupt and the rest come in D0', async () => {
    const scene = await held();
    const { machine, slot, blk, disk } = scene;
    await turns();
    const taken = await machine.held(disk);
    expect(taken).toBeGreaterThan(0);
    const { config } = slot.bus as PciTransport;
    const power = capability(slot, PCI_CAP_ID_PM) + PCI_PM_CTRL;
    const used = blk.rings[0]!.used + 2;
    const status = slot.bus.readStatus();
    config.write(power, 2, PCI_PM_D3HOT);
    const late = blk.read(7, 512); // published; its doorbell reaches nobody
    await turns();
    expect(await machine.held(disk)).toBe(taken);
    await letGo(scene);
    expect(machine.ram.loadIndex(used)).toBe(1 + 3); // the first write, and what was taken
    expect(slot.level).toBe(false);
    config.write(power, 2, PCI_PM_D0);
    expect(slot.bus.readStatus()).toBe(status);
    expect(await scene.answered).toEqual([true, true, true]);
    await late;
    await expectServed(blk, 33);
    await machine.close();
  });
}

/** A reset succeeds, and whatever the driver does next has no effect; nothing is thrown at its CPU. */
async function expectRefused(slot: Slot): Promise<void> {
  const guest = slot.driver({ interrupts: false });
  await guest.reset();
  const refusal = await guest.start().catch((error) => error); // a legacy driver is told nothing
  if (refusal) expect(refusal).toBeInstanceOf(GuestError);
  slot.bus.kick(0);
  expect([slot.device.status, slot.device.started]).toEqual([0, false]);
  guest.abandon();
}
