/** The control plane of a virtio-scsi host: configuration, features, reset, drains, moves, machine. */

import { describe, expect, it } from 'vitest';
import { OP_WRITE } from '#src/block/driver';
import { GuestChain } from '#src/guest/chain';
import {
  BROKEN_CONFIG,
  BROKEN_HEADERS,
  QUEUE_BROKEN,
  QUEUE_FREE_COUNT,
  QUEUE_INUSE,
} from '#src/layout';
import { VirtioScsi } from '#src/virtio/virtio-scsi';
import type { NearThread } from './near-thread.ts';
import { ProbeDriver } from './probe-driver.ts';
import {
  CHECK_CONDITION,
  engines,
  GOOD,
  pattern,
  ScsiRig,
  scsiLun,
  senseOf,
  TEST_UNIT_READY,
  transfer10,
} from './scsi-rig.ts';

const UNIT = scsiLun(0, 0);
const SENSE_SIZE = 20;
const CDB_SIZE = 24;
const MEMORY = { driver: 'memory', options: { size: 1 << 20 } };

describe.each(engines)('a SCSI host, %s', (engine) => {
  it('SC-21 the configuration space: each field, and the two sizes that a driver may write', async () => {
    const rig = await ScsiRig.open({ engine, scsi: { num_queues: 3, virtqueue_size: 64 } });
    const { device } = rig;
    const fields = [0, 4, 8, 12, 16, SENSE_SIZE, CDB_SIZE].map((at) => device.readConfig(at, 4));
    expect(fields).toEqual([3, 62, 0xffff, 128, 16, 96, 32]);
    expect([device.readConfig(28, 2), device.readConfig(30, 2)]).toEqual([0, 255]);
    expect([device.readConfig(32, 4), device.configLength]).toEqual([16_383, 36]);
    const guest = await rig.start();
    rig.bus.writeConfig(0, 4, 9);
    expect(device.readConfig(0, 4)).toBe(3);
    guest.writeSizes(255, 65_535);
    expect([guest.cdbSize, guest.senseSize, guest.needsReset]).toEqual([255, 65_535, false]);
    await guest.reset();
    expect([device.readConfig(CDB_SIZE, 4), device.readConfig(SENSE_SIZE, 4)]).toEqual([32, 96]);
    for (const [at, value] of [
      [CDB_SIZE, 256],
      [SENSE_SIZE, 65_536],
    ] as const) {
      await guest.start();
      rig.bus.writeConfig(at, 4, value);
      expect([device.brokenReason, guest.needsReset]).toEqual([BROKEN_CONFIG, true]);
      await guest.reset();
    }
  });

  it('BL-20 BL-21 options: queues for the CPUs, and what is wrong leaves nothing behind', async () => {
    const rig = await ScsiRig.open({ engine });
    const { core, context } = rig;
    const queues = async (vcpus: number) => {
      const device = new VirtioScsi(core, context, {
        num_queues: 'auto',
        vcpus,
        virtqueue_size: 4,
      });
      const { numQueues } = device.settings;
      await device.close();
      return numQueues;
    };
    expect([await queues(1), await queues(4)]).toEqual([1, 4]);
    const before = [core.allocatedBytes, context.bottomHalves];
    for (const [options, message] of [
      [{ num_queues: 0 }, /num_queues: 0 .* from 1 to 1022/],
      [{ num_queues: 1023 }, /num_queues: 1023/],
      [{ virtqueue_size: 3 }, /virtqueue_size: 3/],
      [{ queues: 1 }, /queues: 1 .* the options id/],
      [{ cmd_per_lun: 0 }, /cmd_per_lun: 0/],
      [{ id: '1' }, /id: .*letters/],
    ] as const) {
      expect(() => new VirtioScsi(core, context, options as object)).toThrow(message);
    }
    expect([core.allocatedBytes, context.bottomHalves]).toEqual(before);
  });

  for (const place of ['main', 'a near thread'] as const) {
    it(`BG-18 historic bug 25 sizes that change while a batch is popped are for the next one; ${place}`, async () => {
      let during: (() => void) | null = null;
      const popped: number[][] = [];
      const rig = await ScsiRig.open({
        engine,
        place,
        intercept: (original) => ({
          scsiPop(queue, max, cdbSize, senseSize) {
            popped.push([cdbSize, senseSize]);
            during?.();
            during = null;
            return original.scsiPop(queue, max, cdbSize, senseSize);
          },
        }),
      });
      await rig.plug({ disk: MEMORY });
      const guest = await rig.start();
      popped.length = 0;
      during = () => {
        rig.bus.writeConfig(CDB_SIZE, 4, 200);
        rig.bus.writeConfig(SENSE_SIZE, 4, 18);
      };
      const write = transfer10(true, 3, 1);
      const answer = await guest.command(UNIT, write, { dataOut: pattern(512) });
      expect([answer.response, answer.status, answer.residual]).toEqual([0, GOOD, 0]);
      expect(popped[0]).toEqual([32, 96]);
      guest.readSizes();
      expect([guest.cdbSize, guest.senseSize]).toEqual([200, 18]);
      const read = await guest.command(UNIT, transfer10(false, 3, 1), { dataIn: 512 });
      expect(read.data).toEqual(pattern(512));
      expect(popped.at(-1)).toEqual([200, 18]);
    });

    it(`BG-13 L10 a request without room for header or response breaks the host and leaks nothing; ${place}`, async () => {
      for (const [out, into, broken] of [
        [51, 108, 0],
        [50, 108, BROKEN_HEADERS],
        [51, 107, BROKEN_HEADERS],
      ] as const) {
        const rig = await ScsiRig.open({ engine, place });
        await rig.plug({ disk: MEMORY });
        const guest = await rig.start();
        const { queue } = rig.device.queueConfigs[2]!;
        const word = (field: number) => rig.core.u32[(queue + field) >>> 2]!;
        const free = word(QUEUE_FREE_COUNT);
        const at = guest.ram.allocate(512, 16);
        guest.ram.write(at, Uint8Array.from(UNIT));
        const answered = guest.together(() => {
          const good = guest.command(UNIT, TEST_UNIT_READY);
          guest.add(2, new GuestChain().out(at, out).in(at + 256, into), {
            finished() {},
            dropped() {},
          });
          return [good];
        });
        answered.catch(() => {});
        await rig.quiet();
        expect([word(QUEUE_BROKEN), guest.needsReset]).toEqual([broken, broken !== 0]);
        await guest.reset();
        expect([word(QUEUE_INUSE), word(QUEUE_FREE_COUNT)]).toEqual([0, free]);
        await rig.start();
        expect((await guest.command(UNIT, TEST_UNIT_READY)).status).toBe(GOOD);
      }
    });

    it(`VC-3 SC-16 a reset with commands in flight touches nothing afterwards; ${place}`, async () => {
      const rig = await ScsiRig.open({ engine, place });
      const disk = new ProbeDriver(1 << 20, 'loop');
      await rig.plug({ disk });
      const guest = await rig.start();
      for (let i = 0; i < 5; i++) {
        guest.command(UNIT, transfer10(false, i, 8), { dataIn: 4096 }).catch(() => {});
      }
      while (disk.held.length < 5) await rig.relax();
      rig.bus.writeStatus(0);
      const before = rig.ram.read(0, 1 << 20);
      await rig.quiet();
      expect(rig.bus.readStatus()).not.toBe(0);
      disk.bytes.fill(0xab);
      disk.settleAll();
      await rig.quiet();
      expect(rig.bus.readStatus()).toBe(0);
      expect(Buffer.compare(rig.ram.read(0, 1 << 20), before)).toBe(0);
      guest.abandon();
      await rig.guest.start();
      const told = await guest.command(UNIT, TEST_UNIT_READY);
      expect(senseOf(told)).toEqual([6, 0x29, 0]);
    });

    it(`DP-4 SC-1 drains of two LUNs that overlap: one detach, one attach, others served; ${place}`, async () => {
      const kick = place === 'main' ? ({ kick: 'poll' } as const) : {};
      const rig = await ScsiRig.open({ engine, place, scsi: kick });
      const disks = [new ProbeDriver(1 << 20), new ProbeDriver(1 << 20), new ProbeDriver(1 << 20)];
      for (const disk of disks) await rig.plug({ disk });
      const guest = await rig.start();
      const home = rig.near[0]?.context ?? rig.context;
      const trace: string[] = [];
      const real = home.setHandler.bind(home);
      home.setHandler = (notifier, handler) => {
        if (/kick 2/.test(notifier.name)) trace.push(handler ? 'attach' : 'detach');
        real(notifier, handler);
      };
      const [first, second] = rig.backends;
      first!.drainedBegin();
      second!.drainedBegin();
      await rig.quiet();
      const read = (target: number) =>
        guest.command(scsiLun(target, 0), transfer10(false, 0, 1), { dataIn: 512 });
      const waits = [read(0), read(1)];
      expect((await read(2)).status).toBe(GOOD); // a closed gate stops its own unit only
      first!.drainedEnd();
      await rig.quiet();
      expect(trace).toEqual(['detach']);
      expect((await waits[0]!).status).toBe(GOOD);
      expect(disks[1]!.calls).toHaveLength(0);
      second!.drainedEnd();
      expect((await waits[1]!).status).toBe(GOOD);
      await rig.quiet();
      expect(trace).toEqual(['detach', 'attach']);
    });

    it(`HN-8 VQ-10 a drain between publishing and the look whether to kick loses nothing; ${place}`, async () => {
      const rig = await ScsiRig.open({ engine, place });
      await rig.plug();
      const guest = await rig.start();
      const ring = guest.rings[2]!;
      const publish = ring.publish.bind(ring);
      const kicks: boolean[] = [];
      ring.publish = () => {
        publish();
        rig.backends[0]!.drainedBegin();
        rig.backends[0]!.drainedEnd();
        kicks.push(ring.needsKick());
      };
      for (let i = 0; i < 3; i++) {
        const read = guest.command(UNIT, transfer10(false, i, 1), { dataIn: 512 });
        expect((await read).status).toBe(GOOD);
      }
      // Main's own queues have asked for a kick when it was too late for one.
      if (place === 'main') expect(kicks).toEqual([false, false, false]);
    });

    it(`VM-1 VM-3 SC-23 a stopped machine begins nothing, not even what waited at a gate; ${place}`, async () => {
      const rig = await ScsiRig.open({ engine, place, machine: true });
      const disk = new ProbeDriver(1 << 20);
      await rig.plug({ disk });
      const guest = await rig.start();
      disk.take();
      const [backend] = rig.backends;
      backend!.drainedBegin();
      const parked = guest.command(UNIT, transfer10(true, 1, 1), { dataOut: pattern(512) });
      await rig.quiet();
      const stopped = rig.machine!.stop();
      await rig.quiet();
      backend!.drainedEnd();
      await rig.settle(stopped);
      await rig.quiet();
      const late = guest.command(UNIT, transfer10(true, 2, 1), { dataOut: pattern(512, 2) });
      await rig.quiet();
      expect(disk.take().filter(({ op }) => op === 'write')).toEqual([]);
      await rig.settle(rig.machine!.cont());
      expect([(await parked).status, (await late).status]).toEqual([GOOD, GOOD]);
      expect(disk.bytes.subarray(512, 1024)).toEqual(pattern(512));
    });

    it(`SC-7 BL-16 commands that stopped the machine go on in their own context at cont; ${place}`, async () => {
      const rig = await ScsiRig.open({ engine, place, machine: true });
      const disk = new ProbeDriver(1 << 20);
      await rig.plug({ disk, backend: { werror: 'stop' } });
      const guest = await rig.start();
      disk.answer = ({ op }) => (op === OP_WRITE ? -5 : undefined);
      const commands = [
        guest.command(UNIT, transfer10(true, 1, 1), { dataOut: pattern(512) }),
        guest.command(UNIT, transfer10(true, 5, 1), { dataOut: pattern(512, 5) }),
      ];
      const stopped = new Promise<void>((resolve) => {
        rig.machine!.events.on('STOP', () => resolve());
      });
      await rig.settle(stopped);
      await rig.quiet();
      expect(rig.machine!.state).toBe('io-error');
      disk.answer = () => undefined;
      await rig.settle(rig.machine!.cont());
      const answers = await Promise.all(commands);
      expect(answers.map(({ status }) => status)).toEqual([GOOD, GOOD]);
      expect(disk.bytes.subarray(5 * 512, 6 * 512)).toEqual(pattern(512, 5));
    });
  }

  it('SC-20 a legacy driver pads its header: data begin in the second buffer', async () => {
    for (const transport of ['pci legacy', 'mmio 2'] as const) {
      const rig = await ScsiRig.open({ engine, transport });
      const disk = new ProbeDriver(1 << 20);
      disk.bytes.set(pattern(512));
      await rig.plug({ disk });
      const guest = await rig.start();
      const at = guest.ram.allocate(2048, 16);
      guest.ram.write(at, Uint8Array.from([...UNIT, ...new Array(11).fill(0)]));
      guest.ram.write(at + 19, Uint8Array.from(transfer10(false, 0, 1)));
      // 13 bytes of padding behind the header, and 20 behind the response.
      const chain = new GuestChain()
        .out(at, 64)
        .in(at + 512, 128)
        .in(at + 1024, 512);
      const back = new Promise<void>((resolve) => {
        guest.add(2, chain, { finished: () => resolve(), dropped: () => resolve() });
      });
      guest.submit(2);
      await rig.quiet();
      guest.poll();
      await back;
      const answer = guest.ram.getU8(at + 512 + 11);
      if (transport === 'pci legacy') {
        expect(answer).toBe(0);
        expect(guest.ram.read(at + 1024, 512)).toEqual(pattern(512));
      } else expect(answer).toBe(9); // 13 bytes of data-out, as well as data-in
      await guest.reset();
    }
  });

  it("SC-19 control and event queue are main's, whoever serves commands", async () => {
    const rig = await ScsiRig.open({ engine, place: 'two near threads', scsi: { num_queues: 2 } });
    const created = rig.near.map(({ state }) => {
      const places = state.get('virtio/queues') as Map<number, { queue: { config: object } }>;
      return [...places.values()].map(({ queue }) => (queue.config as { index: number }).index);
    });
    expect(created).toEqual([[2], [3]]);
  });

  it('queues change the thread that serves them while commands run, and those that wait go along', async () => {
    const rig = await ScsiRig.open({ engine, place: 'two near threads', scsi: { num_queues: 2 } });
    const disk = new ProbeDriver(1 << 20);
    await rig.plug({ disk });
    await rig.plug({ disk: MEMORY });
    const guest = await rig.start();
    const [first, second] = rig.near as [NearThread, NearThread];
    const [backend] = rig.backends;
    for (const mapping of [{ iothread: first }, {}, { iothread: second }]) {
      backend!.drainedBegin();
      const waits = [0, 1].map((queue) =>
        guest.command(UNIT, transfer10(true, 7 + queue, 1), {
          dataOut: pattern(512, queue),
          queue,
        }),
      );
      await rig.quiet();
      const moved = rig.device.changeMapping(mapping);
      await rig.quiet();
      backend!.drainedEnd();
      await rig.settle(moved);
      const answers = await Promise.all(waits);
      expect(answers.map(({ response, status }) => [response, status])).toEqual([
        [0, GOOD],
        [0, GOOD],
      ]);
      const other = await guest.command(scsiLun(1, 0), TEST_UNIT_READY, { queue: 1 });
      expect(other.status).toBe(GOOD);
    }
    expect(first.users.filter((user) => user === 'virtio-scsi')).toEqual([]);
  });

  it('HN-16 BL-22 a host that is closed with its disks leaves nothing behind, and says so', async () => {
    const rig = await ScsiRig.open({ engine, place: 'a near thread', machine: true });
    const { core, context, machine } = rig;
    const backend = await rig.backend();
    const deleted: unknown[] = [];
    machine!.events.on('DEVICE_DELETED', ({ data }) => deleted.push(data));
    const options = { id: 'hba', machine: machine!, iothread: rig.near[0]! };
    const left: number[][] = [];
    for (let round = 0; round < 2; round++) {
      const host = await rig.settle(VirtioScsi.realize(core, context, options));
      await rig.settle(host.plug('hd', backend, { id: 'disk' }));
      await rig.settle(host.close());
      await rig.quiet();
      expect(backend.devOps).toBe(null);
      left.push([core.allocatedBytes, context.bottomHalves]);
    }
    expect(deleted.slice(0, 2)).toEqual([
      { device: 'disk', path: '/machine/peripheral/disk' },
      { device: 'hba', path: '/machine/peripheral/hba' },
    ]);
    expect(left[1]).toEqual(left[0]);
  });

  it('a driver that fails in a way of its own breaks the queue, and a reset mends it', async () => {
    const rig = await ScsiRig.open({
      engine,
      intercept: (original) => ({
        scsiPop(...args) {
          if (failing) throw new WebAssembly.RuntimeError('unreachable');
          return original.scsiPop(...args);
        },
      }),
    });
    let failing = false;
    await rig.plug();
    const guest = await rig.start();
    failing = true;
    guest.command(UNIT, TEST_UNIT_READY).catch(() => {});
    expect(guest.needsReset).toBe(true);
    expect(rig.device.brokenCause).toBeInstanceOf(WebAssembly.RuntimeError);
    failing = false;
    await guest.reset();
    await rig.start();
    expect((await guest.command(UNIT, TEST_UNIT_READY)).status).not.toBe(CHECK_CONDITION);
  });
});
