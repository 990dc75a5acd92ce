/** Requests that wait in the disk while something takes their ring away. */
import { expect } from 'vitest';
import type { FaultDriver } from '#src/block/fault';
import type { GuestBlk, GuestBlkOptions } from '#src/guest/blk';
import type { VirtioBlkOptions } from '#src/virtio/virtio-blk';
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

export interface Held {
  readonly machine: Machine;
  readonly slot: Slot;
  readonly disk: FaultDriver;
  readonly blk: GuestBlk;
  /** Settles when each of the requests has: true if it was answered. */
  readonly answered: Promise<boolean[]>;
}

export interface HoldOptions {
  readonly device?: VirtioBlkOptions;
  readonly guest?: GuestBlkOptions;
}

/**
 * Two reads and a write that wait in the disk, on a driver with its interrupts off. The machine's
 * first disk is another one, which nothing holds.
 */
export async function hold(
  transport: TransportName,
  engine: EngineName,
  options: HoldOptions = {},
): Promise<Held> {
  const machine = await Machine.open({ transport, engine, disk: { driver: 'null' } });
  const disk = await slowDisk(machine.core);
  const slot = await machine.add({ transport, disk, device: options.device ?? {} });
  const blk = await slot.start({ interrupts: false, ...options.guest });
  await blk.write(0, new Random(5).bytes(4096));
  disk.setRules(HOLD);
  const requests = [
    blk.read(0, 4096),
    blk.write(64, new Uint8Array(1024).fill(3)),
    blk.read(3, 512),
  ];
  const answered = Promise.all(
    requests.map((request) =>
      request.then(
        () => true,
        () => false,
      ),
    ),
  );
  return { machine, slot, disk, blk, answered };
}

/** The disk holds no more, and all that comes of it has happened. */
export async function letGo({ machine, disk }: Held): Promise<void> {
  disk.setRules([]);
  await machine.release(disk);
  await turns();
}

/** Not a byte of guest RAM has changed since `before` was taken. */
export function expectUntouched(machine: Machine, before: readonly Uint8Array[]): void {
  machine.snapshot().forEach((bytes, i) => {
    expectSameBytes(bytes, before[i]!, `guest RAM region ${i}`);
  });
}

/** A driver that starts anew finds a disk that works. */
export async function expectAlive(slot: Slot): Promise<void> {
  const blk = await slot.start();
  await expectServed(blk, 9);
  await blk.reset();
}

/** What is written is read back. */
export async function expectServed(blk: GuestBlk, sector: number): Promise<void> {
  const data = new Random(sector).bytes(2048);
  await blk.write(sector, data);
  expectSameBytes(await blk.read(sector, 2048), data);
  expect(blk.needsReset).toBe(false);
}
