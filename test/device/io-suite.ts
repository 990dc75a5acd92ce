/** Verified random I/O: one transport, one engine, one disk. */
import { describe, expect, it } from 'vitest';
import type { BlkRequest, GuestBlk } from '#src/guest/blk';
import { rangeSegment } from '#src/guest/blk';
import { FRAMINGS } from '#src/guest/frame';
import type { ChainForm } from '#src/guest/ring';
import {
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
} from '#src/spec';
import { type DiskName, type EngineName, Machine, type TransportName } from './machine.ts';
import { type Random, seeded } from './random.ts';
import { expectSameBytes } from './same-bytes.ts';

const DISK_BYTES = 1 << 20;
const SECTORS = DISK_BYTES / 512;
const CANARY = 0xa5;
const ROUNDS = 10;

/** A request, what it must leave on the disk, and what it must read. */
interface Step {
  readonly request: BlkRequest;
  readonly sector: number;
  readonly bytes: number;
  readonly after: Uint8Array | null;
}

/** Random machines, random requests, held against a model. */
export function ioSuite(transport: TransportName, engine: EngineName, disk: DiskName): void {
  describe(`${transport}; engine ${engine}; disk ${disk}`, () => {
    it('BL-1 random requests in any framing equal a model and touch no other guest byte', () =>
      seeded(async (random) => {
        const machine = await openRandom(random, { transport, engine, disk });
        const blk = machine.slot.blk!;
        const canaries = plantCanaries(machine);
        const model = new Uint8Array(DISK_BYTES);
        for (let round = 0; round < ROUNDS; round++) await playRound(blk, model, random);
        expectSameBytes(await blk.read(0, DISK_BYTES / 2), model.subarray(0, DISK_BYTES / 2));
        for (const [address, bytes] of canaries) {
          expectSameBytes(machine.ram.read(address, bytes), new Uint8Array(bytes).fill(CANARY));
        }
        expect(blk.rings[0]!.inFlight).toBe(0);
        await machine.close();
      }));
  });
}

/** A machine of random make: ring, features, interrupts or polling, merging, kick. */
async function openRandom(
  random: Random,
  what: { transport: TransportName; engine: EngineName; disk: DiskName },
): Promise<Machine> {
  const machine = await Machine.open({
    ...what,
    diskBytes: DISK_BYTES,
    regionBytes: 2 << 20,
    device: {
      'queue-size': random.pick([16, 64, 256]),
      'request-merging': random.pick([true, false]),
      kick: random.pick(['sync', 'poll'] as const),
    },
  });
  const optional = [VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC];
  await machine.start({
    interrupts: random.pick([true, false]),
    without: optional.filter(() => random.below(3) === 0),
    ...(random.below(2) && { queueSize: 16 }),
  });
  return machine;
}

function plantCanaries(machine: Machine): [address: number, bytes: number][] {
  return [1, 100, 4096, 7].map((bytes) => {
    const address = machine.ram.allocate(bytes, 1);
    machine.ram.fill(address, bytes, CANARY);
    return [address, bytes];
  });
}

/** Some requests that do not touch one another's sectors, behind one doorbell. */
async function playRound(blk: GuestBlk, model: Uint8Array, random: Random): Promise<void> {
  const forms: ChainForm[] = blk.has(VIRTIO_F_INDIRECT_DESC)
    ? ['direct', 'indirect', 'mixed']
    : ['direct'];
  blk.rings[0]!.form = random.pick(forms);
  const steps: Step[] = [];
  for (let n = 1 + random.below(40); n > 0; n--) {
    const step = randomStep(random, blk.has(VIRTIO_BLK_F_FLUSH));
    if (steps.every((other) => apart(step, other))) steps.push(step);
  }
  const results = await blk.requestAll(steps.map((step) => step.request));
  for (const [i, { request, sector, bytes, after }] of steps.entries()) {
    const { status, data, written } = results[i]!;
    expect(status).toBe(0);
    const at = sector * 512;
    if (request.type === VIRTIO_BLK_T_IN) expectSameBytes(data, model.subarray(at, at + bytes));
    expect(written).toBe((request.type === VIRTIO_BLK_T_IN ? bytes : 0) + 1);
    if (after) model.set(after, at);
  }
}

function apart(a: Step, b: Step): boolean {
  return a.sector * 512 >= b.sector * 512 + b.bytes || b.sector * 512 >= a.sector * 512 + a.bytes;
}

function randomStep(random: Random, canFlush: boolean): Step {
  const framing = random.pick(FRAMINGS);
  const sectors = random.pick([1, 1, 2, 3, 8, 16, 33, 128]);
  const sector = random.below(SECTORS - sectors + 1);
  const bytes = sectors * 512;
  const kind = random.below(20);
  if (kind === 0 && canFlush) {
    const request = { type: VIRTIO_BLK_T_FLUSH, framing };
    return { request, sector: 0, bytes: 0, after: null };
  }
  if (kind < 3) {
    const out = rangeSegment(sector, sectors, random.below(2));
    const request = { type: VIRTIO_BLK_T_WRITE_ZEROES, out, framing };
    return { request, sector, bytes, after: new Uint8Array(bytes) };
  }
  if (kind < 11) {
    const out = random.bytes(bytes);
    return { request: { type: VIRTIO_BLK_T_OUT, sector, out, framing }, sector, bytes, after: out };
  }
  const request = { type: VIRTIO_BLK_T_IN, sector, in: bytes, framing };
  return { request, sector, bytes, after: null };
}
