/** Cluster disks: tables, holes, claims and returns (design section 6). */

import { expect, it } from 'vitest';
import { ARENA_FREE, CLUSTER_BYTES } from '#src/layout';
import { Disk } from './disk.ts';
import { type Contestant, Machine, RAM_AT } from './machine.ts';

const GIB = 2 ** 30;
const CLUSTER = CLUSTER_BYTES;

export function clusterSuite(contestant: Contestant): void {
  function make(options: { size?: number; fresh?: number; limit?: number } = {}) {
    const machine = new Machine(contestant, { ramBytes: 4 * CLUSTER, stateBytes: 24 * CLUSTER });
    const disk = new Disk(machine, { size: 4 * GIB, fresh: 12, ...options });
    const buffer = machine.allocate(3 * CLUSTER);
    const fill = (from: number, length: number) => {
      for (let i = 0; i < length; i++) machine.u8[buffer + i] = (from + i * 31) & 0xff;
    };
    /** Bytes of the disk. */
    const bytes = (offset: number, length: number) => {
      machine.u8.fill(0xee, buffer, buffer + length + 1);
      expect(disk.read(offset, buffer, length)).toBe(length);
      expect(machine.u8[buffer + length]).toBe(0xee);
      return machine.u8.slice(buffer, buffer + length);
    };
    return { machine, disk, buffer, fill, bytes };
  }

  it('a hole reads as zeroes and stays a hole', () => {
    const { disk, bytes } = make();
    for (const offset of [0, 12345, GIB - 512, 4 * GIB - 70_000]) {
      expect(bytes(offset, 70_000).every((byte) => byte === 0)).toBe(true);
      expect(disk.allocated(offset)).toBe(0);
    }
    expect([disk.clusters, disk.claimed, disk.left.fresh]).toEqual([0, 0, 12]);
  });

  it('what is written is read again, in any part, and its surroundings are zero', () => {
    const { machine, disk, buffer, fill, bytes } = make();
    fill(1, 600);
    const written = machine.u8.slice(buffer, buffer + 600);
    expect(disk.write(1000, buffer, 600)).toBe(600);
    expect(bytes(1000, 600)).toEqual(written);
    expect(bytes(1100, 17)).toEqual(written.subarray(100, 117));
    const around = bytes(0, 3000);
    expect(around.subarray(0, 1000).every((byte) => byte === 0)).toBe(true);
    expect(around.subarray(1600).every((byte) => byte === 0)).toBe(true);
    expect([disk.clusters, disk.claimed]).toEqual([2, 2]); // with its level-2 table
    expect([disk.allocated(0), disk.allocated(CLUSTER - 1), disk.allocated(CLUSTER)]).toEqual([
      1, 1, 0,
    ]);
  });

  it('a write over three clusters, and one over the end of a level-2 table', () => {
    for (const offset of [CLUSTER - 1, GIB - CLUSTER - 1, 2 * GIB - 5]) {
      const { machine, disk, buffer, fill, bytes } = make();
      const length = CLUSTER + 10;
      fill(offset, length);
      const written = machine.u8.slice(buffer, buffer + length);
      expect(disk.write(offset, buffer, length)).toBe(length);
      expect(Buffer.compare(bytes(offset, length), written)).toBe(0);
      expect(disk.clusters).toBe(disk.claimed);
      expect(disk.clusters).toBe(offset === 2 * GIB - 5 ? 5 : offset < GIB / 2 ? 4 : 5);
    }
  });

  it('guest memory is the other end if `ram` is 1', () => {
    const { machine, disk } = make();
    const at = RAM_AT + 4096;
    for (let i = 0; i < 5000; i++) machine.ram8[at + i] = i % 251;
    expect(disk.write(CLUSTER - 100, at, 5000, 1)).toBe(5000);
    expect(disk.read(CLUSTER - 100, at + 8192, 5000, 1)).toBe(5000);
    expect(machine.ram8.slice(at + 8192, at + 13192)).toEqual(machine.ram8.slice(at, at + 5000));
    expect(disk.read(2 * CLUSTER, at, 5000, 1)).toBe(5000);
    expect(machine.ram8.slice(at, at + 5000).every((byte) => byte === 0)).toBe(true);
  });

  it('a write that finds the arena empty says how far it came', () => {
    const { disk, buffer, fill, bytes } = make({ fresh: 2 });
    fill(3, 1000);
    expect(disk.write(CLUSTER - 400, buffer, 1000)).toBe(400);
    expect([disk.clusters, disk.claimed, disk.left.fresh]).toEqual([2, 2, 0]);
    expect(disk.write(0, buffer, 1000)).toBe(1000); // allocated already
    expect(bytes(CLUSTER, 600).every((byte) => byte === 0)).toBe(true);
    const empty = make({ fresh: 0 });
    expect(empty.disk.write(0, empty.buffer, 1)).toBe(0);
    expect([empty.disk.clusters, empty.disk.claimed]).toEqual([0, 0]);
    const half = make({ fresh: 1 });
    expect(half.disk.write(0, half.buffer, 1)).toBe(0);
    expect([half.disk.clusters, half.disk.claimed]).toEqual([1, 1]); // the table
  });

  it('a limit holds: the last cluster within it is given, the next is not', () => {
    const { disk, buffer } = make({ limit: 3 });
    expect(disk.write(0, buffer, 2 * CLUSTER)).toBe(2 * CLUSTER);
    expect(disk.write(2 * CLUSTER, buffer, 1)).toBe(0);
    expect([disk.claimed, disk.left.fresh]).toEqual([3, 9]);
    disk.zero(0, CLUSTER, 1);
    expect(disk.write(2 * CLUSTER, buffer, 1)).toBe(1);
    expect(disk.write(3 * CLUSTER, buffer, 1)).toBe(0);
  });

  it('zeroing without freeing keeps the clusters', () => {
    const { machine, disk, buffer, fill, bytes } = make();
    fill(5, 2 * CLUSTER);
    const written = machine.u8.slice(buffer, buffer + 2 * CLUSTER);
    disk.write(0, buffer, 2 * CLUSTER);
    disk.zero(100, CLUSTER);
    const seen = bytes(0, 2 * CLUSTER);
    written.fill(0, 100, 100 + CLUSTER);
    expect(Buffer.compare(seen, written)).toBe(0);
    disk.zero(0, 4 * GIB);
    expect(bytes(0, 2 * CLUSTER).every((byte) => byte === 0)).toBe(true);
    expect([disk.clusters, disk.claimed]).toEqual([3, 3]);
  });

  it('freeing returns whole clusters and zeroes the parts', () => {
    const { machine, disk, buffer, fill, bytes } = make();
    fill(5, 3 * CLUSTER);
    const written = machine.u8.slice(buffer, buffer + 3 * CLUSTER);
    disk.write(0, buffer, 3 * CLUSTER);
    disk.zero(CLUSTER - 1, CLUSTER + 2, 1);
    expect([0, CLUSTER, 2 * CLUSTER].map((offset) => disk.allocated(offset))).toEqual([1, 0, 1]);
    expect([disk.clusters, disk.claimed, disk.left.free.length]).toEqual([3, 3, 1]);
    written.fill(0, CLUSTER - 1, 2 * CLUSTER + 1);
    expect(Buffer.compare(bytes(0, 3 * CLUSTER), written)).toBe(0);
  });

  it('a cluster that comes back is zero', () => {
    const { machine, disk, buffer, bytes } = make({ fresh: 2 });
    machine.u8.fill(0xaa, buffer, buffer + CLUSTER);
    disk.write(0, buffer, CLUSTER);
    disk.zero(0, CLUSTER, 1);
    machine.u8.fill(0xbb, buffer, buffer + 1);
    expect(disk.write(7 * CLUSTER + 5, buffer, 1)).toBe(1);
    const seen = bytes(7 * CLUSTER, CLUSTER);
    expect(seen[5]).toBe(0xbb);
    expect(seen.reduce((sum, byte) => sum + byte, 0)).toBe(0xbb);
  });

  it('a level-2 table goes when all it reaches is freed, and not a byte sooner', () => {
    for (const [offset, length, left] of [
      [0, GIB, 0],
      [0, GIB - 1, 2],
      [CLUSTER, GIB - CLUSTER, 1],
    ] as const) {
      const { disk, buffer } = make();
      disk.write(GIB - 1, buffer, 1);
      disk.zero(offset, length, 1);
      expect([disk.clusters, disk.claimed]).toEqual([left, left]);
      expect(disk.left.free).toHaveLength(2 - left);
    }
  });

  it('the last table and the last cluster go where the disk ends', () => {
    const size = GIB + CLUSTER + 512;
    for (const beyond of [0, 512]) {
      const { disk, buffer } = make({ size });
      disk.write(GIB + CLUSTER, buffer, 512);
      disk.zero(GIB, size - GIB - beyond, 1);
      expect(disk.clusters).toBe(beyond ? 2 : 0);
    }
  });

  it('the end of the last cluster is zeroed and the rest of it stays', () => {
    const { machine, disk, buffer, bytes } = make({ size: GIB + CLUSTER + 1024 });
    machine.u8.fill(7, buffer, buffer + 1024);
    disk.write(GIB + CLUSTER, buffer, 1024);
    disk.zero(GIB + CLUSTER + 512, 512, 1);
    const seen = bytes(GIB + CLUSTER, 1024);
    expect([seen[511], seen[512], disk.clusters]).toEqual([7, 0, 2]);
  });

  it('freed clusters are used again before fresh ones, last given back first', () => {
    const { machine, disk, buffer } = make();
    disk.write(0, buffer, 3 * CLUSTER);
    disk.zero(0, 2 * CLUSTER, 1);
    const tag = machine.word(disk.arena + ARENA_FREE) >>> 16;
    const [newest, older] = disk.left.free;
    disk.write(10 * CLUSTER, buffer, 1);
    expect(disk.left).toEqual({ fresh: 8, free: [older] });
    expect(machine.word(disk.arena + ARENA_FREE) >>> 16).toBe((tag + 1) & 0xffff);
    disk.zero(10 * CLUSTER, CLUSTER, 1);
    expect(disk.left.free).toEqual([newest, older]);
  });

  it('the tag of the free stack wraps and harms nothing', () => {
    const { machine, disk, buffer } = make({ fresh: 3 });
    disk.write(0, buffer, CLUSTER);
    disk.zero(0, CLUSTER, 1);
    const word = disk.arena + ARENA_FREE;
    machine.setWord(word, ((machine.word(word) & 0xffff) | 0xffff_0000) >>> 0);
    expect(disk.write(0, buffer, CLUSTER)).toBe(CLUSTER);
    expect(machine.word(word)).toBe(0);
    disk.zero(0, CLUSTER, 1);
    expect(disk.left.free).toHaveLength(1);
  });

  it('a disk of 1 TiB costs what is written to it', () => {
    const { machine, disk, buffer, bytes } = make({ size: 1024 * GIB });
    machine.u8.fill(0x5a, buffer, buffer + 512);
    expect(disk.write(1024 * GIB - 512, buffer, 512)).toBe(512);
    expect(disk.clusters).toBe(2);
    expect(bytes(1024 * GIB - 512, 512).every((byte) => byte === 0x5a)).toBe(true);
    expect(disk.allocated(1023 * GIB - 512)).toBe(0);
    disk.zero(0, 1024 * GIB, 1);
    expect([disk.clusters, disk.claimed]).toEqual([0, 0]);
  });
}
