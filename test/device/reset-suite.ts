/** Reset and everything else that takes the ring away while requests are in flight. */
import { describe, expect, it } from 'vitest';
import type { PciTransport } from '#src/guest/pci-transport';
import { PCI_COMMAND_MASTER, VIRTIO_STATUS_DRIVER_OK } from '#src/spec';
import { expectAlive, expectUntouched, hold as holdOn } from './held.ts';
import { type EngineName, type TransportName, turns } from './machine.ts';

export function resetSuite(transport: TransportName, engine: EngineName): void {
  const hold = (kick: 'sync' | 'poll' = 'sync') => holdOn(transport, engine, { device: { kick } });

  describe(`reset; ${transport}; engine ${engine}`, () => {
    it('VC-3 BL-17 status reads 0 only when nothing is in flight; not one guest byte is touched', async () => {
      const { machine, slot, disk, blk, answered } = await hold();
      await turns();
      expect(await machine.held(disk)).toBeGreaterThan(0);
      const before = machine.snapshot();
      slot.bus.writeStatus(0);
      for (let i = 0; i < 5; i++) {
        await turns();
        expect(slot.bus.readStatus()).not.toBe(0);
      }
      disk.setRules([]);
      await machine.release(disk);
      await turns();
      expect(slot.bus.readStatus()).toBe(0);
      expectUntouched(machine, before);
      await blk.reset();
      expect(await answered).toEqual([false, false, false]);
      await expectAlive(slot);
      await machine.close();
    });

    it('VQ-11 many resets with requests in flight lose no descriptor of the device', async () => {
      const { machine, slot, disk, blk } = await hold();
      for (let round = 0; round < 20; round++) {
        await turns();
        const reset = blk.reset();
        await machine.release(disk);
        await reset;
        await blk.start();
        // As many as fit: a head in flight that was forgotten would leave no room for them.
        for (let i = 0; i < 85; i++) blk.read(i, 512).catch(() => null);
      }
      disk.setRules([]);
      const reset = blk.reset();
      await machine.release(disk);
      await reset;
      await expectAlive(slot);
      await machine.close();
    });

    it('BG-21 BL-17 a kick that nobody has served yet dies with the reset', async () => {
      const { machine, slot, disk, blk } = await hold('poll');
      let before = machine.snapshot();
      slot.bus.writeStatus(0);
      // A thread may have served it before the reset, but not afterwards.
      if (machine.threads.length > 0) before = machine.snapshot();
      disk.setRules([]);
      await machine.release(disk);
      await turns();
      expect(slot.bus.readStatus()).toBe(0);
      expectUntouched(machine, before);
      await blk.reset();
      await expectAlive(slot);
      await machine.close();
    });

    if (transport.startsWith('mmio') || transport.includes('legacy')) {
      it('MM-5 MM-6 a queue that is taken away is not touched any more', async () => {
        const { machine, slot, disk, blk } = await hold();
        await turns();
        const before = machine.snapshot();
        slot.bus.selectQueue(0);
        expect(slot.bus.disableQueue()).toBe(true);
        slot.bus.kick(0);
        disk.setRules([]);
        await machine.release(disk);
        await turns();
        slot.bus.kick(0);
        await turns();
        expect(slot.bus.readQueueEnable()).toBe(0);
        expectUntouched(machine, before);
        await blk.reset();
        await expectAlive(slot);
        await machine.close();
      });
    }

    if (transport.startsWith('pci')) {
      it('PC-8 without bus mastering not one guest byte is touched', async () => {
        const { machine, slot, disk, blk } = await hold();
        await turns();
        const before = machine.snapshot();
        const { config } = slot.bus as PciTransport;
        config.command &= ~PCI_COMMAND_MASTER;
        slot.bus.kick(0);
        disk.setRules([]);
        await machine.release(disk);
        await turns();
        slot.bus.kick(0);
        await turns();
        expectUntouched(machine, before);
        expect(slot.bus.readStatus() & VIRTIO_STATUS_DRIVER_OK).toBe(0);
        config.command |= PCI_COMMAND_MASTER;
        slot.bus.kick(0);
        await turns();
        if (!slot.device.legacy) expectUntouched(machine, before);
        await blk.reset();
        await expectAlive(slot);
        await machine.close();
      });
    }

    it('VC-3 the other disk of the core goes on while one is being reset', async () => {
      const { machine, slot, disk, blk } = await hold();
      await turns();
      slot.bus.writeStatus(0);
      const other = await machine.slot.start();
      for (let i = 0; i < 10; i++) await other.read(i, 512);
      expect(slot.bus.readStatus()).not.toBe(0);
      disk.setRules([]);
      await machine.release(disk);
      await blk.reset();
      await machine.close();
    });
  });
}
