/** Status, features, configuration space and interrupts, by registers alone (rows VC, BL-11 on). */
import { describe, expect, it } from 'vitest';
import { hasFeature } from '#src/guest/transport';
import {
  VIRTIO_BLK_CONFIG_CAPACITY,
  VIRTIO_BLK_CONFIG_NUM_QUEUES,
  VIRTIO_BLK_CONFIG_SEG_MAX,
  VIRTIO_BLK_CONFIG_SIZE_WRITE_ZEROES,
  VIRTIO_BLK_CONFIG_WRITEBACK,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_GEOMETRY,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SCSI,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_T_IN,
  VIRTIO_F_VERSION_1,
  VIRTIO_STATUS_DRIVER_OK,
} from '#src/spec';
import {
  type EngineName,
  HOLD,
  isLegacy,
  Machine,
  type MachineOptions,
  type Slot,
  slowDisk,
  type TransportName,
  turns,
} from './machine.ts';

const SECTORS = 8192;

export function controlSuite(transport: TransportName, engine: EngineName): void {
  const where = { transport, engine };
  const legacy = isLegacy(transport);
  const on = async (options: MachineOptions, body: (slot: Slot, machine: Machine) => unknown) => {
    const machine = await Machine.open({ ...where, ...options });
    await body(machine.slot, machine);
    await machine.close();
  };

  describe(`control; ${transport}; engine ${engine}`, () => {
    it('BG-14 VC-1 VC-9 a ring is served from DRIVER_OK on, or a legacy driver’s first kick', () =>
      on({}, async (slot) => {
        const blk = slot.driver();
        await blk.reset();
        blk.negotiate();
        blk.setUpQueues();
        const read = blk.read(0, 512);
        const used = blk.rings[0]!.used + 2;
        await turns();
        expect(slot.machine.ram.loadIndex(used)).toBe(legacy ? 1 : 0);
        blk.driverOk();
        await read;
        expect(slot.machine.ram.loadIndex(used)).toBe(1);
      }));

    it('VC-1 a driver that takes DRIVER_OK away is served no more until it gives it back', () =>
      on({}, async (slot) => {
        const blk = await slot.start({ interrupts: false });
        const status = slot.bus.readStatus();
        slot.bus.writeStatus(status & ~VIRTIO_STATUS_DRIVER_OK);
        const used = blk.rings[0]!.used + 2;
        if (!legacy) {
          void blk.read(0, 512);
          await turns();
          slot.bus.kick(0);
          expect(slot.machine.ram.loadIndex(used)).toBe(0);
        }
        slot.bus.writeStatus(status);
        await blk.read(0, 512);
        expect(slot.machine.ram.loadIndex(used)).toBe(legacy ? 1 : 2);
      }));

    it('VC-1 what was answered while DRIVER_OK was away is told of when it is back', () =>
      on({}, async (_, machine) => {
        const disk = await slowDisk(machine.core);
        const slot = await machine.add({ transport, disk });
        const blk = await slot.start();
        disk.setRules(HOLD);
        const read = blk.read(0, 512);
        while ((await machine.held(disk)) === 0) await turns();
        const status = slot.bus.readStatus();
        slot.bus.writeStatus(status & ~VIRTIO_STATUS_DRIVER_OK);
        disk.setRules([]);
        await machine.release(disk);
        while (machine.ram.loadIndex(blk.rings[0]!.used + 2) === 0) await turns();
        await turns();
        expect(slot.interrupts).toEqual([]);
        slot.bus.writeStatus(status);
        await read;
        expect(slot.interrupts.length).toBeGreaterThan(0);
      }));

    it('VC-2 a modern driver must accept VERSION_1, a legacy one is not offered it', () =>
      on({}, async (slot) => {
        const blk = slot.driver();
        await blk.reset();
        expect(hasFeature(slot.bus.readDeviceFeatures(), VIRTIO_F_VERSION_1)).toBe(!legacy);
        if (legacy) return;
        expect(() => blk.negotiate(([low, high]) => [low, high & ~1])).toThrow(/EDEVICE.*refused/);
        await blk.start();
        await blk.read(0, 512);
      }));

    it('VC-3 after a reset all is as new: status, queue, interrupt, features', () =>
      on({}, async (slot) => {
        const max = () => {
          slot.bus.selectQueue(0);
          return slot.bus.readQueueSize();
        };
        const size = max();
        expect(size).toBe(256);
        const small =
          transport.startsWith('pci legacy') || transport.includes('as legacy') ? 256 : 16;
        slot.enabled = false;
        const blk = await slot.start({ queueSize: small });
        const write = blk.write(0, new Uint8Array(512));
        slot.bus.selectQueue(0);
        expect(slot.bus.readQueueEnable()).toBe(1);
        const reset = blk.reset();
        await expect(write).rejects.toThrow(/ERESET/);
        await reset;
        expect(slot.level).toBe(false);
        expect(slot.bus.readIsr()).toBe(0);
        expect(slot.bus.readStatus()).toBe(0);
        expect(max()).toBe(256);
        expect(slot.bus.readQueueEnable()).toBe(0);
        slot.enabled = true;
        await blk.start();
        await blk.read(0, 512);
      }));

    it('VC-4 BL-18 a resize interrupts after DRIVER_OK only, and the driver sees the new size', () =>
      on({}, async (slot) => {
        const blk = slot.driver();
        let changes = 0;
        blk.onConfigChange = () => changes++;
        await slot.backend.resize(2 * SECTORS * 512);
        await turns();
        expect(changes).toBe(0);
        await blk.start();
        expect(blk.capacity).toBe(2 * SECTORS);
        const generation = slot.bus.readConfigGeneration();
        const reads = Array.from({ length: 8 }, (_, i) => blk.read(i, 512));
        await slot.backend.resize(3 * SECTORS * 512);
        await Promise.all(reads);
        await turns();
        expect(changes).toBe(1);
        expect(slot.bus.readConfigGeneration() === generation).toBe(legacy);
        expect(blk.capacity).toBe(3 * SECTORS);
        await blk.write(3 * SECTORS - 1, new Uint8Array(512).fill(9));
        expect((await blk.read(3 * SECTORS - 1, 512))[511]).toBe(9);
        await expect(blk.read(3 * SECTORS, 512)).rejects.toThrow(/EIO/);
      }));

    it('VC-4 VC-6 a queue sets bit 0 of the interrupt status, a change of configuration both', () =>
      on({}, async (slot) => {
        const blk = await slot.start();
        slot.enabled = false;
        void blk.read(0, 512);
        await turns();
        expect(slot.bus.readIsr()).toBe(1);
        expect(slot.bus.readIsr()).toBe(0);
        await slot.backend.resize(2 * SECTORS * 512);
        await turns();
        expect(slot.bus.readIsr()).toBe(3);
        slot.enabled = true;
        blk.poll();
      }));

    it('VC-5 a size that changes between its two halves is found out', () =>
      on({ disk: { driver: 'null', options: { size: 2 ** 42 - 512 } } }, async (slot) => {
        const { bus } = slot;
        const blk = await slot.start();
        const generation = bus.readConfigGeneration();
        const low = bus.readConfig(VIRTIO_BLK_CONFIG_CAPACITY, 4);
        await slot.backend.resize(2 ** 42);
        // Neither may come before the other: what is shown, and the generation.
        const shown = bus.readConfig(VIRTIO_BLK_CONFIG_CAPACITY + 4, 4) === 2;
        if (!legacy) expect(bus.readConfigGeneration() !== generation).toBe(shown);
        await turns();
        const high = bus.readConfig(VIRTIO_BLK_CONFIG_CAPACITY + 4, 4);
        expect([low, high]).toEqual([0xffffffff, 2]);
        if (legacy) expect(bus.readConfig(VIRTIO_BLK_CONFIG_CAPACITY, 4)).not.toBe(low);
        else expect(bus.readConfigGeneration()).not.toBe(generation);
        expect(blk.capacity).toBe(2 ** 33);
      }));

    it('VC-5 the driver reads a size again that changed under it', () =>
      on({}, async (slot) => {
        const blk = await slot.start();
        const read = slot.bus.readConfig.bind(slot.bus);
        const halves = [0xffffffff, 2];
        // As if the device had gone from 2^33 - 1 sectors to 2^33 after the first half was read.
        slot.bus.readConfig = (offset, width) => halves.shift() ?? read(offset, width);
        const generations = [1];
        const look = slot.bus.readConfigGeneration.bind(slot.bus);
        slot.bus.readConfigGeneration = () => generations.shift() ?? look();
        expect(blk.capacity).toBe(SECTORS);
      }));

    it('BL-11 the configuration space is as long as its features, and reads in every width', () =>
      on({}, async (slot) => {
        const blk = await slot.start();
        expect(blk.capacity).toBe(SECTORS);
        expect(slot.bus.readConfig(VIRTIO_BLK_CONFIG_SEG_MAX, 4)).toBe(254);
        expect(slot.bus.readConfig(VIRTIO_BLK_CONFIG_NUM_QUEUES, 2)).toBe(1);
        for (let offset = 0; offset < VIRTIO_BLK_CONFIG_SIZE_WRITE_ZEROES; offset += 4) {
          const bytes = [0, 1, 2, 3].map((i) => slot.bus.readConfig(offset + i, 1));
          const halves = [0, 2].map((i) => slot.bus.readConfig(offset + i, 2));
          const word = slot.bus.readConfig(offset, 4);
          expect(halves).toEqual([bytes[0]! | (bytes[1]! << 8), bytes[2]! | (bytes[3]! << 8)]);
          expect(word).toBe((halves[0]! | (halves[1]! << 16)) >>> 0);
        }
        const end = VIRTIO_BLK_CONFIG_SIZE_WRITE_ZEROES;
        expect(slot.bus.readConfig(end, 1)).toBe(0xff);
        expect(slot.bus.readConfig(end, 2)).toBe(0xffff);
        expect(slot.bus.readConfig(end, 4)).toBe(0xffffffff);
      }));

    it('BL-12 of all bytes only writeback can be written', () =>
      on({}, async (slot) => {
        await slot.start();
        const size = VIRTIO_BLK_CONFIG_SIZE_WRITE_ZEROES;
        const all = () => Array.from({ length: size }, (_, i) => slot.bus.readConfig(i, 1));
        const before = all();
        for (let i = 0; i < size; i++) slot.bus.writeConfig(i, 1, before[i]! ^ 0xff);
        const changed = all().flatMap((byte, i) => (byte === before[i] ? [] : [i]));
        expect(before[VIRTIO_BLK_CONFIG_WRITEBACK]).toBe(1);
        // 1 ^ 0xff is not 0: it stays on, as 1.
        expect(changed).toEqual([]);
        slot.bus.writeConfig(VIRTIO_BLK_CONFIG_WRITEBACK, 1, 0);
        const now = all().flatMap((byte, i) => (byte === before[i] ? [] : [i]));
        expect(now).toEqual([VIRTIO_BLK_CONFIG_WRITEBACK]);
        expect(slot.backend.writeCache).toBe(false);
      }));

    it('BL-13 what is offered follows from options and disk', async () => {
      const offered = async (options: MachineOptions) => {
        let bits: number[] = [];
        await on(options, ({ bus }) => {
          const words = bus.readDeviceFeatures();
          bits = Array.from({ length: 24 }, (_, bit) => bit).filter((bit) =>
            hasFeature(words, bit),
          );
        });
        return bits;
      };
      const always = [VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_GEOMETRY, VIRTIO_BLK_F_BLK_SIZE];
      const scsi = legacy ? [VIRTIO_BLK_F_SCSI] : [];
      const plain = [...always, VIRTIO_BLK_F_TOPOLOGY, ...scsi];
      const none = { 'config-wce': false, discard: false, 'write-zeroes': false };
      const sorted = (bits: number[]) => bits.sort((a, b) => a - b);
      expect(await offered({ device: none, backend: { writeCache: false } })).toEqual(
        sorted(plain),
      );
      expect(await offered({ device: none })).toEqual(sorted([...plain, VIRTIO_BLK_F_FLUSH]));
      const usual = [
        ...plain,
        VIRTIO_BLK_F_FLUSH,
        VIRTIO_BLK_F_CONFIG_WCE,
        VIRTIO_BLK_F_DISCARD,
        VIRTIO_BLK_F_WRITE_ZEROES,
      ];
      expect(await offered({})).toEqual(sorted(usual));
      expect(await offered({ backend: { readOnly: true }, device: { 'num-queues': 2 } })).toEqual(
        sorted([...usual, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_MQ]),
      );
    });

    it('BL-14 without CONFIG_WCE the cache is on if FLUSH was agreed on; reset brings it back', () =>
      on({}, async (slot) => {
        const wce = VIRTIO_BLK_F_CONFIG_WCE;
        const blk = await slot.start({ without: [wce, VIRTIO_BLK_F_FLUSH] });
        expect(slot.backend.writeCache).toBe(false);
        await blk.reset();
        expect(slot.backend.writeCache).toBe(true);
        await slot.start({ without: [wce] });
        expect(slot.backend.writeCache).toBe(true);
      }));

    it('BL-14 with CONFIG_WCE the driver says, before DRIVER_OK too; reset brings it back', () =>
      on({}, async (slot) => {
        const blk = slot.driver();
        await blk.reset();
        blk.negotiate();
        blk.writeCache = false;
        blk.setUpQueues();
        blk.driverOk();
        expect([blk.writeCache, slot.backend.writeCache]).toEqual([false, false]);
        blk.writeCache = true;
        expect(slot.backend.writeCache).toBe(true);
        blk.writeCache = false;
        await blk.reset();
        expect(slot.backend.writeCache).toBe(true);
        if (legacy) return;
        const unflushed = await slot.start({ without: [VIRTIO_BLK_F_FLUSH] });
        expect(unflushed.writeCache).toBe(false);
      }));

    it('BL-13 four queues are served side by side', () =>
      on({ device: { 'num-queues': 4 } }, async (slot) => {
        const blk = await slot.start({ queues: 4 });
        const requests = Array.from({ length: 40 }, (_, i) => {
          return { type: VIRTIO_BLK_T_IN, sector: i, in: 512, queue: i % 4 };
        });
        const results = await blk.requestAll(requests);
        expect(results.every(({ status }) => status === 0)).toBe(true);
        expect(blk.rings.map((ring) => ring.usedIndex)).toEqual([10, 10, 10, 10]);
        expect(slot.bus.readConfig(VIRTIO_BLK_CONFIG_NUM_QUEUES, 2)).toBe(4);
      }));

    if (legacy) {
      it('VC-8 a legacy guest of the other byte order reads its own configuration', () =>
        on({ device: { legacyEndian: 'big' } }, (slot) => {
          const at = VIRTIO_BLK_CONFIG_CAPACITY;
          const bytes = Array.from({ length: 8 }, (_, i) => slot.bus.readConfig(at + i, 1));
          expect(bytes).toEqual([0, 0, 0, 0, 0, 0, SECTORS >>> 8, SECTORS & 0xff]);
        }));
    }
  });
}
