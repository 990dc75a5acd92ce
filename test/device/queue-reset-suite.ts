/** One queue taken away and given back while its requests are in flight (VC-7, MM-5). */
import { describe, expect, it } from 'vitest';
import { GuestChain } from '#src/guest/chain';
import {
  VIRTIO_F_RING_RESET,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_PCI_COMMON_Q_MSIX,
  VIRTIO_PCI_COMMON_Q_SELECT,
} from '#src/spec';
import { expectAlive, expectServed, expectUntouched, hold, letGo } from './held.ts';
import { type EngineName, type Slot, type TransportName, turns } from './machine.ts';

export function queueResetSuite(transport: TransportName, engine: EngineName): void {
  const held = () => hold(transport, engine);
  /** `queue_reset`, `queue_enable` and the size of queue 0. */
  const registers = ({ bus }: Slot) => {
    bus.selectQueue(0);
    return [bus.readQueueReset(), bus.readQueueEnable(), bus.readQueueSize()];
  };

  describe(`queue reset; ${transport}; engine ${engine}`, () => {
    it('VC-7 a queue that is reset reads 1 until its requests are gone, and then is as new', async () => {
      const scene = await hold(transport, engine, { guest: { queueSize: 16 } });
      const { machine, slot, disk, blk } = scene;
      expect(blk.has(VIRTIO_F_RING_RESET)).toBe(true);
      await turns();
      expect(await machine.held(disk)).toBeGreaterThan(0);
      const before = machine.snapshot();
      slot.bus.selectQueue(0);
      slot.bus.writeQueueReset();
      for (let i = 0; i < 3; i++) {
        expect(registers(slot)).toEqual([1, 0, 256]);
        slot.bus.kick(0);
        await turns();
      }
      await letGo(scene);
      expect(registers(slot)).toEqual([0, 0, 256]);
      slot.bus.kick(0);
      await turns();
      expectUntouched(machine, before);
      await blk.reset();
      expect(await scene.answered).toEqual([false, false, false]);
      await expectAlive(slot);
      await machine.close();
    });

    it('VC-7 L13 with a new ring elsewhere, enabled at once, the old requests answer nobody', async () => {
      const scene = await hold(transport, engine);
      const { machine, slot, disk, blk } = scene;
      await turns();
      const held = await machine.held(disk);
      const [old] = blk.rings;
      slot.bus.selectQueue(0);
      slot.bus.writeQueueReset();
      const ring = blk.createRing(0);
      expect([ring.desc, ring.used]).not.toEqual([old!.desc, old!.used]);
      // A driver that does not wait: it is served when the last old request is gone.
      const { ram } = machine;
      const [header, data, status] = [16, 512, 1].map((bytes) => ram.allocate(bytes, 16));
      ram.fill(header!, 16, 0); // read sector 0
      ram.setU8(status!, 0xa5);
      ring.add(new GuestChain().out(header!, 16).in(data!, 512).in(status!, 1));
      ring.publish();
      const oldUsed = ram.loadIndex(old!.used + 2);
      slot.bus.setUpQueue(0, ring, blk.vectorOf(0));
      expect(registers(slot).slice(0, 2)).toEqual([0, 1]);
      const before = machine.snapshot();
      slot.bus.kick(0);
      await turns();
      expect(await machine.held(disk)).toBe(held);
      expectUntouched(machine, before);
      await letGo(scene);
      expect([ram.getU8(status!), ram.loadIndex(ring.used + 2)]).toEqual([0, 1]);
      expect(ram.loadIndex(old!.used + 2)).toBe(oldUsed);
      await blk.reset();
      expect(await scene.answered).toEqual([false, false, false]);
      await expectAlive(slot);
      await machine.close();
    });

    it('VC-7 resets in a storm of requests lose none of the device’s descriptors', async () => {
      const scene = await held();
      const { machine, slot, disk, blk } = scene;
      for (let round = 0; round < 15; round++) {
        // As many as fit: one that was forgotten would leave no room for them.
        for (let i = 0; i < 85; i++) blk.read(i, 512).catch(() => null);
        await turns();
        const reset = blk.resetQueue(0);
        if (round % 2) await turns();
        await machine.release(disk);
        await reset;
      }
      await letGo(scene);
      await expectServed(blk, 40);
      expect(slot.backend.stats().read.operations).toBeGreaterThan(0);
      await blk.reset();
      await machine.close();
    });

    it('VC-7 only that queue: its neighbour goes on', async () => {
      const scene = await hold(transport, engine, {
        device: { 'num-queues': 2 },
        guest: { queues: 2 },
      });
      const { machine, blk } = scene;
      await turns();
      const reset = blk.resetQueue(0);
      const read = blk.request({ type: 0, sector: 5, in: 512, queue: 1 });
      await letGo(scene);
      await reset;
      expect((await read).status).toBe(0);
      expect(await scene.answered).toEqual([false, false, false]);
      await expectServed(blk, 70);
      await machine.close();
    });

    it('VC-7 without a request in flight it is over when the write returns', async () => {
      const scene = await held();
      const { machine, slot, blk } = scene;
      await letGo(scene);
      blk.poll();
      await scene.answered;
      slot.bus.selectQueue(0);
      slot.bus.writeQueueReset();
      // A thread says for itself that it is through.
      if (machine.threads.length > 0) await turns();
      expect(registers(slot)).toEqual([0, 0, 256]);
      await blk.reset();
      await expectAlive(slot);
      await machine.close();
    });

    if (transport === 'pci modern, MSI-X') {
      it('VC-7 PC-7 its vector is forgotten, and no longer in use', async () => {
        const { machine, slot, blk } = await held();
        const fn = slot.function as import('#src/virtio/virtio-pci').VirtioPci;
        const vector = () => {
          fn.barWrite(4, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
          return fn.barRead(4, VIRTIO_PCI_COMMON_Q_MSIX, 2);
        };
        expect(vector()).toBe(1);
        slot.bus.selectQueue(0);
        slot.bus.writeQueueReset();
        expect(vector()).toBe(VIRTIO_MSI_NO_VECTOR);
        const reset = blk.reset();
        await machine.release(slot.backend.driver as never);
        await reset;
        await machine.close();
      });
    }
  });
}
