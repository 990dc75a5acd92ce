/** Where clusters come from: the core feeds arenas, the engine claims from them, nothing is lost. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Core, type CoreOptions } from '#src/engine/core';
import { createJsEngine } from '#src/engine/js';
import {
  ARENA_CLAIMED,
  ARENA_LIMIT,
  ARENA_SIZE,
  CLUSTER_BYTES,
  DISK_ARENA,
  DISK_L1,
  DISK_SIZE,
  DISK_SIZE_HI,
  DISK_SIZE_LO,
} from '#src/layout';

const module = new WebAssembly.Module(
  readFileSync(fileURLToPath(new URL('../../build/core.wasm', import.meta.url))),
);
const kinds: [string, CoreOptions][] = [
  ['wasm', { engine: 'wasm', module }],
  ['js', { engine: 'js' }],
];

/** A disk of `clusters` clusters with an arena of its own; its first write claims a table as well. */
function makeDisk(core: Core, clusters: number) {
  const arena = core.allocate(ARENA_SIZE);
  const disk = core.allocate(DISK_SIZE);
  const size = clusters * CLUSTER_BYTES;
  const word = (at: number) => core.u32[at >>> 2] as number;
  const set = (at: number, value: number) => {
    core.u32[at >>> 2] = value;
  };
  const l1 = core.allocate(Math.ceil(size / 2 ** 30) * 4);
  set(disk + DISK_L1, l1);
  set(disk + DISK_SIZE_LO, size % 2 ** 32);
  set(disk + DISK_SIZE_HI, Math.floor(size / 2 ** 32));
  set(disk + DISK_ARENA, arena);
  const source = core.allocate(8);
  return {
    arena,
    address: disk,
    word,
    set,
    /** Writes 8 bytes into cluster `n`; returns how many of them found room. */
    touch(n: number): number {
      core.u8.fill(n + 1, source, source + 8);
      const offset = n * CLUSTER_BYTES + 100;
      return core.engine.clusterWrite(
        disk,
        offset % 2 ** 32,
        Math.floor(offset / 2 ** 32),
        source,
        8,
        0,
      );
    },
    /** Address of cluster `n`, 0 for a hole. */
    clusterAt: (n: number) => word(word(l1) + n * 4),
    free: () => core.engine.clusterZero(disk, 0, 0, size % 2 ** 32, Math.floor(size / 2 ** 32), 1),
  };
}

describe.each(kinds)('cluster arenas (%s)', (_name, options) => {
  it('hand out each cluster once, whatever was left when they grew', () => {
    const core = Core.openSync(options);
    const disk = makeDisk(core, 64);
    expect(disk.touch(0)).toBe(0);
    let written = 0;
    for (const clusters of [2, 3, 1, 5]) {
      expect(core.growClusters(disk.arena, clusters)).toBe(true);
      if (clusters === 3) core.memory.grow(1); // an emulator's page: the next range does not touch
      if (clusters !== 1) while (disk.touch(written) === 8) written++;
      else core.memory.grow(1);
    }
    expect(written).toBe(2 + 3 + 1 + 5 - 1); // all but the one that became the table
    const addresses = new Set(Array.from({ length: written }, (_, n) => disk.clusterAt(n)));
    expect(addresses.size).toBe(written);
    for (const [n, at] of [...addresses].entries()) {
      expect(at % CLUSTER_BYTES).toBe(0);
      expect(core.u8[at + 99]).toBe(0);
      expect(core.u8[at + 100]).toBe(n + 1);
    }
    expect(disk.word(disk.arena + ARENA_CLAIMED)).toBe(11);
  });

  it('stop at their limit, exactly', () => {
    const core = Core.openSync(options);
    const disk = makeDisk(core, 8);
    core.growClusters(disk.arena, 8);
    disk.set(disk.arena + ARENA_LIMIT, 3);
    expect([0, 1, 2].map((n) => disk.touch(n))).toEqual([8, 8, 0]);
    expect(disk.word(disk.arena + ARENA_CLAIMED)).toBe(3);
  });

  it('say no where memory cannot grow, and keep what they have', () => {
    const core = Core.openSync({ ...options, maxBytes: 4 * CLUSTER_BYTES });
    const disk = makeDisk(core, 8);
    expect(core.growClusters(disk.arena, 4)).toBe(false);
    expect(core.growClusters(disk.arena, 2)).toBe(true);
    expect(core.growClusters(disk.arena, 2)).toBe(false);
    expect([disk.touch(0), disk.touch(1)]).toEqual([8, 0]);
  });

  it('come back from a closed disk for the next one, zeroed', () => {
    const core = Core.openSync(options);
    const first = makeDisk(core, 8);
    core.growClusters(first.arena, 6);
    for (let n = 0; n < 4; n++) expect(first.touch(n)).toBe(8);
    first.free();
    expect(first.word(first.arena + ARENA_CLAIMED)).toBe(0);
    core.reclaimClusters(first.arena);
    expect(first.touch(0)).toBe(0); // nothing is left in the old arena
    const length = core.memory.buffer.byteLength;
    const second = makeDisk(core, 8);
    expect(core.growClusters(second.arena, 6)).toBe(true);
    expect(core.memory.buffer.byteLength).toBe(length);
    for (let n = 0; n < 5; n++) expect(second.touch(n)).toBe(8);
    expect(second.touch(5)).toBe(0);
    const at = second.clusterAt(4);
    const bytes = core.u8.subarray(at, at + CLUSTER_BYTES);
    expect(bytes.reduce((sum, byte) => sum + byte, 0)).toBe(8 * 5);
  });
});

it('js engine: zeroes what lies in memory that another thread has grown a moment ago', () => {
  const shared = new URL('../../build/core.shared.wasm', import.meta.url);
  const core = Core.openSync({ engine: 'js', module: readFileSync(shared), shared: true });
  const clusters = 4;
  const disk = makeDisk(core, clusters);
  const before = core.memory.buffer;
  expect(core.growClusters(disk.arena, 64)).toBe(true);
  for (let n = 0; n < clusters; n++) disk.touch(n);
  const table = disk.word(disk.word(disk.address + DISK_L1));
  expect(Math.min(table, disk.clusterAt(0))).toBeGreaterThanOrEqual(before.byteLength);

  // The platform goes on showing the memory as it was for some looks.
  for (const free of [0, 1]) {
    let looks = 0;
    const late = {
      grow: () => 0,
      get buffer() {
        return looks++ < 5 ? before : core.memory.buffer;
      },
    };
    const engine = createJsEngine(late, late);
    const clusterAt = disk.clusterAt(free);
    engine.clusterZero(disk.address, free * CLUSTER_BYTES, 0, CLUSTER_BYTES, 0, free);
    if (free) expect(disk.clusterAt(free)).toBe(0);
    else
      expect(core.u8.subarray(clusterAt, clusterAt + 200).every((byte) => byte === 0)).toBe(true);
  }
});
