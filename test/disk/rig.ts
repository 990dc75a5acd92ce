/** Disks of these tests. */

import { openDisk } from '#src/adapter/node';
import type { FaultDriver, FaultRule } from '#src/block/fault';
import type { Disk } from '#src/disk/disk';
import type { DiskOptions } from '#src/disk/options';

export const engines = ['wasm', 'js'] as const;
export const MIB = 1024 * 1024;

export function memoryDisk(options: DiskOptions, size = MIB): Promise<Disk> {
  return openDisk({ driver: 'memory', options: { size } }, options);
}

/** A memory disk behind rules; a rule that delays without `ms` holds until `release`. */
export function faultDisk(rules: FaultRule[], options: DiskOptions, size = MIB): Promise<Disk> {
  const image = { driver: 'memory', options: { size } };
  const fault = { image, rules, 'may-delay': true };
  return openDisk({ driver: 'fault', options: fault }, options);
}

/** The fault driver of a disk that main serves. */
export function faultOf(disk: Disk): FaultDriver {
  return disk.backend.driver as FaultDriver;
}

export function pattern(bytes: number, seed: number): Uint8Array {
  const buffer = new Uint8Array(bytes);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    buffer[i] = state >>> 24;
  }
  return buffer;
}

/** Turns of the JavaScript loop until `condition` holds; the test's timeout ends a vain wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** What a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => error,
  );
}

/** What all of a disk has that reads and writes with promises. */
interface Readable {
  readonly size: number;
  read(buffer: Uint8Array, offset: number): Promise<void>;
  write(buffer: Uint8Array, offset: number): Promise<void>;
  writeZeroes(offset: number, length: number): Promise<void>;
  flush(): Promise<void>;
}

/**
 * `rounds` of writes and zeroes at random, disjoint places of `from .. to`, all at once, and then
 * as many reads across them; each is held against a copy of the disk.
 */
export async function exercise(
  disk: Readable,
  seed: number,
  { rounds = 20, from = 0, to = disk.size } = {},
): Promise<void> {
  const random = randomOf(seed);
  const mirror = new Uint8Array(to - from);
  await disk.read(mirror, from);
  for (let round = 0; round < rounds; round++) {
    const under: Promise<void>[] = [];
    for (let at = 0; at < mirror.length; ) {
      const sectors = Math.min(1 + Math.floor(random() ** 4 * 400), (mirror.length - at) / 512);
      const end = at + sectors * 512;
      const kind = random();
      if (kind < 0.5) {
        mirror.set(pattern(end - at, random() * 1e9), at);
        under.push(disk.write(mirror.slice(at, end), from + at));
      } else if (kind < 0.6) {
        mirror.fill(0, at, end);
        under.push(disk.writeZeroes(from + at, end - at));
      }
      at = end;
    }
    under.push(disk.flush());
    await Promise.all(under);
    await Promise.all(Array.from({ length: 40 }, () => readSome(disk, mirror, from, random)));
  }
}

async function readSome(
  disk: Readable,
  mirror: Uint8Array,
  from: number,
  random: () => number,
): Promise<void> {
  const sectors = mirror.length / 512;
  const first = Math.floor(random() * sectors);
  const count = 1 + Math.floor(random() ** 3 * (sectors - first - 1));
  const buffer = new Uint8Array(count * 512);
  await disk.read(buffer, from + first * 512);
  const expected = mirror.subarray(first * 512, (first + count) * 512);
  if (Buffer.compare(buffer, expected) !== 0) {
    throw new Error(`${count} sectors from ${first} on are not what was written`);
  }
}

export function randomOf(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
