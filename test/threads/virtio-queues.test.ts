/** Devices whose queues are served by IOThreads, with a guest that gives main no turn, or too many. */
import { describe, expect, it } from 'vitest';
import type { GuestBlk } from '#src/guest/blk';
import type { GuestPci } from '#src/guest/pci';
import { CONTEXT_RUNS } from '#src/layout';
import { VIRTIO_BLK_S_OK, VIRTIO_BLK_T_IN, VIRTIO_F_EVENT_IDX } from '#src/spec';
import { type EngineName, Machine, type Slot, turns } from '../device/machine.ts';
import { Random } from '../device/random.ts';
import { expectSameBytes } from '../device/same-bytes.ts';

const PATIENCE_MS = 20_000;
const engines = ['wasm, IOThread', 'js, IOThread'] as const;

/** One read, as firmware does it: a kick, and then nothing but looks at the used ring. */
function spinRead(blk: GuestBlk, sector: number, bytes: number, queue = 0) {
  const done = blk.request({ type: VIRTIO_BLK_T_IN, sector, in: bytes, queue });
  const ring = blk.rings[queue]!;
  return {
    /** True when the device has answered. */
    look: () => blk.ram.loadIndex(ring.used + 2) === (ring.availIndex & 0xffff),
    done,
  };
}

function spinUntil(condition: () => boolean): void {
  for (const until = Date.now() + PATIENCE_MS; !condition(); ) {
    if (Date.now() > until) throw new Error('the guest spins for ever');
  }
}

describe.each(engines)('queues on IOThreads; engine %s', (engine: EngineName) => {
  it('HN-13 HN-15 historic bug 29 four machines read the boot sector at once, kicking right after the start, and spin', async () => {
    const machines = await Promise.all([1, 2, 3, 4].map(() => Machine.open({ engine })));
    const boot = new Random(29).bytes(512);
    for (const { slot } of machines) {
      const blk = await slot.start({ interrupts: false });
      await blk.write(0, boot);
      await blk.reset();
    }
    for (let round = 0; round < 5; round++) {
      const guests = machines.map(({ slot }) =>
        slot.driver({ interrupts: false, without: [VIRTIO_F_EVENT_IDX] }),
      );
      for (const blk of guests) {
        await blk.reset();
        blk.negotiate();
        blk.setUpQueues();
      }
      // From here on main runs nothing but the four guests.
      const reads = guests.map((blk) => {
        blk.driverOk();
        return spinRead(blk, 0, 512);
      });
      for (const { look } of reads) spinUntil(look);
      for (const [i, blk] of guests.entries()) {
        blk.poll();
        const { status, data } = await reads[i]!.done;
        expect(status).toBe(VIRTIO_BLK_S_OK);
        expectSameBytes(data, boot);
      }
      for (const blk of guests) await blk.reset();
    }
    for (const machine of machines) await machine.close();
  });

  it('DP-7 resets at any moment: afterwards not one byte is written, and the next driver is served', async () => {
    const machine = await Machine.open({ engine, regionBytes: 1 << 20 });
    const { slot } = machine;
    const random = new Random(7);
    for (let cycle = 0; cycle < 60; cycle++) {
      const blk = await slot.start({ interrupts: false });
      const dropped = Array.from({ length: 20 }, (_, i) => blk.read(i * 8, 4096).catch(() => null));
      slot.bus.kick(0);
      for (let spin = random.below(20_000); spin > 0; spin--) blk.ram.loadIndex(0);
      slot.bus.writeStatus(0);
      const before = machine.snapshot();
      await turns();
      machine.snapshot().forEach((bytes, i) => {
        expectSameBytes(bytes, before[i]!, `cycle ${cycle}, region ${i}`);
      });
      await blk.reset();
      await Promise.all(dropped);
    }
    const blk = await slot.start();
    const data = random.bytes(2048);
    await blk.write(9, data);
    expectSameBytes(await blk.read(9, 2048), data);
    await machine.close();
  });

  it('HN-9 AP-7 a thread that polls is served requests one by one, and is found again after a rest', async () => {
    const machine = await Machine.open({ engine });
    machine.threads[0]!.set({ 'poll-max-ns': 200_000 });
    const blk = await machine.start({ interrupts: false });
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 300; i++) {
        const { look, done } = spinRead(blk, i, 512);
        spinUntil(look);
        blk.poll();
        expect((await done).status).toBe(VIRTIO_BLK_S_OK);
      }
      await new Promise((resolve) => setTimeout(resolve, 30)); // it sleeps
    }
    expect(blk.rings[0]!.inFlight).toBe(0);
    await machine.close();
  });

  it('DP-5 BB-2 drains amid requests of a polling thread: none runs inside, all are answered', async () => {
    const machine = await Machine.open({ engine });
    machine.threads[0]!.set({ 'poll-max-ns': 200_000 });
    const { backend } = machine.slot;
    const blk = await machine.start();
    const operations = () => backend.stats().read.operations;
    let answered = 0;
    for (let round = 0; round < 40; round++) {
      const reads = Array.from({ length: 30 }, (_, i) => blk.read(i * 3, 512));
      for (const read of reads) void read.then(() => answered++);
      if (round % 2) await turns();
      backend.drainedBegin();
      await backend.idle();
      const before = operations();
      const late = blk.read(1000, 512);
      await turns();
      expect(operations()).toBe(before);
      backend.drainedEnd();
      await Promise.all([...reads, late]);
    }
    expect(answered).toBe(40 * 30);
    await machine.close();
  });

  it('HN-11 an interrupt that comes while its vector is masked comes at the unmask', async () => {
    const machine = await Machine.open({ engine, transport: 'pci modern, MSI-X' });
    const { slot } = machine;
    const blk = await slot.start();
    const { config } = slot.bus as GuestPci & {
      config: { maskMsix(v: number, on: boolean): void };
    };
    const [config0, queue0] = [0, 1];
    config.maskMsix(queue0, true);
    const before = slot.interrupts.length;
    const read = blk.read(0, 512);
    await turns();
    expect(slot.interrupts.length).toBe(before);
    config.maskMsix(queue0, false);
    await turns();
    expect(slot.interrupts.slice(before)).toEqual([queue0]);
    expect(config0).toBe(0);
    await read;
    await machine.close();
  });
});

describe('queues on two IOThreads', () => {
  it('BB-3 DP-8 four queues of two threads and one disk: every request is answered, by its own', async () => {
    const machine = await Machine.open({
      engine: 'wasm, two IOThreads',
      device: { 'num-queues': 4 },
    });
    const blk = await machine.start({ queues: 4 });
    const random = new Random(3);
    const sectors = Array.from({ length: 400 }, (_, i) => i);
    const contents = sectors.map(() => random.bytes(512));
    const { slot } = machine as { slot: Slot };
    for (let at = 0; at < sectors.length; at += 80) {
      const part = sectors.slice(at, at + 80);
      const answers = await blk.requestAll(
        part.map((i) => ({ type: 1, sector: i, out: contents[i]!, queue: i % 4 })),
      );
      expect(answers.every(({ status }) => status === VIRTIO_BLK_S_OK)).toBe(true);
    }
    for (let at = 0; at < sectors.length; at += 80) {
      const part = sectors.slice(at, at + 80);
      const answers = await blk.requestAll(
        part.map((i) => ({ type: 0, sector: i, in: 512, queue: (i + 1) % 4 })),
      );
      answers.forEach(({ data }, n) => {
        expectSameBytes(data, contents[at + n]!);
      });
    }
    expect(slot.backend.stats()).toMatchObject({
      read: { operations: 400 },
      write: { operations: 400 },
    });
    expect(
      machine.threads.map(({ context }) => machine.core.u32[(context + CONTEXT_RUNS) >>> 2]! > 0),
    ).toEqual([true, true]);
    await machine.close();
  });

  it('WT-5 a thread of a device that runs is not stopped', async () => {
    const machine = await Machine.open({ engine: 'js, IOThread' });
    await expect(machine.threads[0]!.stop()).rejects.toThrow(/in use by .*virtio-blk/);
    const blk = await machine.start();
    await blk.read(0, 512);
    await machine.close();
  });
});
