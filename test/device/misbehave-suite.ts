/**
 * What bad guests do (rows BG): each misbehaviour of `src/guest` on a device that shares its core
 * with another one, which must not notice.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FaultDriver } from '#src/block/fault';
import type { GuestBlk, GuestBlkOptions } from '#src/guest/blk';
import {
  MISBEHAVIOURS,
  type Misbehaviour,
  SCRATCH_BYTES,
  SCRATCH_STATUS,
} from '#src/guest/misbehave';
import { QUEUE_BROKEN, QUEUE_LAST_AVAIL, QUEUE_SERVING } from '#src/layout';
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from '#src/spec';
import {
  type EngineName,
  HOLD,
  isLegacy,
  Machine,
  type Slot,
  slowDisk,
  type TransportName,
  turns,
} from './machine.ts';
import { expectSameBytes } from './same-bytes.ts';

const TITLES: Readonly<Record<string, string>> = {
  'BG-1': 'BG-1 a head that the ring does not have breaks the queue, the last one does not',
  'BG-2': 'BG-2 a next outside its table breaks the queue, the last entry does not',
  'BG-3': 'BG-3 a loop breaks the queue, a chain as long as its table does not',
  'BG-4': 'BG-4 avail.idx too far ahead breaks the queue, a full ring does not',
  'BG-5': 'BG-5 more outstanding than the ring holds breaks the queue',
  'BG-6': 'BG-6 a buffer of no bytes breaks the queue, one of one byte does not',
  'BG-7': 'BG-7 a readable buffer after a writable one breaks the queue',
  'BG-8': 'BG-8 a wrong size of an indirect table breaks the queue, 16 bytes do not',
  'BG-9': 'BG-9 nested, chained and unwanted indirect tables break the queue',
  'BG-10': 'BG-10 addresses outside RAM break the queue, the last byte of RAM does not',
  'BG-11': 'BG-11 1025 segments and 4 GiB break the queue, 1024 segments do not',
  'BG-12': 'BG-12 missing or short headers break the queue, 16 bytes do not',
  'BG-14': 'BG-14 kicks of what is not there are ignored',
  'BG-15': 'BG-15 what changes while in flight is not read again',
  'BG-16': 'BG-16 rings over one another and over data hurt only their own guest',
  'BG-17': 'BG-17 wrong sizes and addresses of rings are ignored or refused',
  'BG-19': 'BG-19 queue_enable of anything but 1 is an error',
  'BG-20': 'BG-20 features after FEATURES_OK and unknown ones do not count',
};

/** A driver with all features, and one with the plainest ring. */
const DRIVERS: readonly GuestBlkOptions[] = [
  {},
  { without: [VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC] },
];

export function misbehaveSuite(transport: TransportName, engine: EngineName): void {
  describe(`bad guests; ${transport}; engine ${engine}`, () => {
    let bench: Bench;
    beforeAll(async () => {
      bench = await Bench.open(transport, engine);
    });
    afterAll(() => bench.machine.close());

    for (const [row, title] of Object.entries(TITLES)) {
      if (row === 'BG-19' && !transport.startsWith('pci modern')) continue;
      it(title, async () => {
        let done = 0;
        for (const misbehaviour of MISBEHAVIOURS.filter((one) => one.row === row)) {
          for (const driver of DRIVERS) done += await bench.play(misbehaviour, driver);
        }
        expect(done).toBeGreaterThan(0);
      });
    }
  });
}

/** A fast disk, a slow one for what must stay in flight, and the one that must not notice. */
class Bench {
  readonly machine: Machine;
  readonly fast: Slot;
  readonly slow: Slot;
  readonly other: Slot;
  readonly #slowDriver: FaultDriver;
  #otherGuest!: GuestBlk;
  #writes = 0;

  private constructor(machine: Machine, slow: Slot, other: Slot, slowDriver: FaultDriver) {
    this.machine = machine;
    this.fast = machine.slot;
    this.slow = slow;
    this.other = other;
    this.#slowDriver = slowDriver;
  }

  static async open(transport: TransportName, engine: EngineName): Promise<Bench> {
    // A chain of 4 GiB in 1024 segments takes a region of more than 4 MiB; once is enough.
    const regionBytes = transport.startsWith('mmio') ? 5 << 20 : 1 << 20;
    const machine = await Machine.open({ transport, engine, regionBytes });
    const driver = await slowDisk(machine.core);
    const slow = await machine.add({ transport, disk: driver });
    const bench = new Bench(machine, slow, await machine.add({ transport }), driver);
    bench.#otherGuest = await bench.other.start();
    return bench;
  }

  /** Plays one misbehaviour, if this driver can, and recovers. Returns how many were played. */
  async play(misbehaviour: Misbehaviour, options: GuestBlkOptions): Promise<number> {
    const slot = misbehaviour.slow ? this.slow : this.fast;
    slot.enabled = true;
    const guest = await slot.start(options);
    if (misbehaviour.applies?.(guest) === false) return 0;
    const scratch = this.machine.ram.allocate(SCRATCH_BYTES);
    try {
      await this.#run(misbehaviour, slot, guest, scratch);
      await this.#roundTrip(this.#otherGuest);
      slot.enabled = true;
      if (misbehaviour.expect !== 'ignored') await guest.start();
      await this.#roundTrip(guest);
    } catch (cause) {
      const { row, name } = misbehaviour;
      throw new Error(`${row}, ${name}: ${(cause as Error).message}`, { cause });
    } finally {
      await guest.reset();
      this.machine.ram.free(scratch);
    }
    return 1;
  }

  async #run(bad: Misbehaviour, slot: Slot, guest: GuestBlk, scratch: number): Promise<void> {
    let configInterrupts = 0;
    guest.onConfigChange = () => configInterrupts++;
    // Heads that the ring's books do not know come back: nobody collects them.
    slot.enabled = bad.expect === 'breaks' || bad.expect === 'ignored';
    if (bad.slow) this.#slowDriver.setRules(HOLD);
    const before = this.machine.snapshot();
    if (bad.slow && this.machine.threads.length > 0) waitWhenKicked(this.machine, slot);
    await bad.run(guest, scratch);
    await turns();
    if (bad.slow) {
      this.#slowDriver.setRules([]);
      await this.machine.release(this.#slowDriver);
      await turns();
    }
    if (bad.expect === 'breaks') {
      expect(guest.needsReset).toBe(!isLegacy(slot.options.transport!));
      const told = guest.needsReset && bad.row !== 'BG-17'; // that one is found before DRIVER_OK
      expect(configInterrupts).toBe(told ? 1 : 0);
      this.#expectDead(guest, scratch);
      this.#expectUntouched(before, guest, scratch);
    }
    if (bad.expect === 'served') this.#expectServed(guest, scratch, bad.answers?.(guest) ?? 1);
    if (bad.expect === 'ignored') expect(guest.needsReset).toBe(false);
  }

  /** Nothing was served and nothing will be: kick again. */
  #expectDead(guest: GuestBlk, scratch: number): void {
    guest.transport.kick(0);
    const ring = guest.rings[0]!;
    expect(this.machine.ram.loadIndex(ring.used + 2)).toBe(0);
    if (ring.availIndex > 0) ring.offer(0);
    ring.publish();
    guest.transport.kick(0);
    expect(this.machine.ram.loadIndex(ring.used + 2)).toBe(0);
    expect([0, 0xff]).toContain(this.machine.ram.getU8(scratch + SCRATCH_STATUS));
  }

  #expectServed(guest: GuestBlk, scratch: number, answers: number): void {
    expect(guest.needsReset).toBe(false);
    expect(this.machine.ram.loadIndex(guest.rings[0]!.used + 2)).toBe(answers);
    expect(this.machine.ram.getU8(scratch + SCRATCH_STATUS)).toBe(0);
  }

  /** No byte of guest RAM has changed but scratch memory and rings. */
  #expectUntouched(before: readonly Uint8Array[], guest: GuestBlk, scratch: number): void {
    const { ram } = this.machine;
    const after = this.machine.snapshot();
    for (const bytes of [before, after]) {
      mask(ram.regions, bytes, scratch, SCRATCH_BYTES);
      for (const { desc, avail, used, size } of guest.rings) {
        mask(ram.regions, bytes, desc, 16 * size);
        mask(ram.regions, bytes, avail, 6 + 2 * size);
        mask(ram.regions, bytes, used, 6 + 8 * size);
      }
    }
    after.forEach((bytes, i) => {
      expectSameBytes(bytes, before[i]!, `guest RAM region ${i}`);
    });
  }

  async #roundTrip(guest: GuestBlk): Promise<void> {
    const data = new Uint8Array(512).fill(++this.#writes);
    await guest.write(this.#writes % 8, data);
    expectSameBytes(await guest.read(this.#writes % 8, 512), data);
  }
}

/** As on one thread: when the doorbell has been written, requests are in flight. */
function waitWhenKicked({ core }: Machine, { bus, device, blk }: Slot): void {
  const kick = bus.kick;
  bus.kick = (index) => {
    kick.call(bus, index);
    bus.kick = kick;
    const queue = device.queueConfigs[index]!.queue;
    const word = (field: number) => Atomics.load(core.u32, (queue + field) >>> 2);
    const published = blk!.rings[index]!.availIndex & 0xffff;
    const until = Date.now() + 5000;
    while (Date.now() < until) {
      const popped = word(QUEUE_LAST_AVAIL) === published || word(QUEUE_BROKEN) !== 0;
      if (popped && word(QUEUE_SERVING) === 0) return;
    }
  };
}

function mask(
  regions: readonly { guest: number; size: number }[],
  bytes: readonly Uint8Array[],
  address: number,
  length: number,
): void {
  regions.forEach(({ guest, size }, i) => {
    const from = Math.max(0, address - guest);
    const to = Math.min(size, address - guest + length);
    if (from < to) bytes[i]!.fill(0, from, to);
  });
}
