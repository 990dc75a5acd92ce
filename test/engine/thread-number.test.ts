/** Instances over one memory: their numbers, and how any of them feeds cluster arenas. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Core, type CoreOptions } from '#src/engine/core';
import { noteRange, readRanges } from '#src/engine/ranges';
import {
  ARENA_FREE,
  ARENA_FRESH,
  ARENA_SIZE,
  CLUSTER_BYTES,
  CORE_HEADER_RANGES,
  CORE_HEADER_THREADS,
  DISK_ARENA,
  DISK_CLUSTERS,
  DISK_L1,
  DISK_SIZE,
  DISK_SIZE_LO,
  RANGES_COUNT,
  RANGES_MAX,
  RANGES_SIZE,
} from '#src/layout';

const PAGE = CLUSTER_BYTES;
const build = new URL('../../build/', import.meta.url);
const module = new WebAssembly.Module(
  readFileSync(fileURLToPath(new URL('core.shared.wasm', build))),
);
const kinds: [string, CoreOptions][] = [
  ['wasm', { engine: 'wasm', module, shared: true }],
  ['js', { engine: 'js', shared: true }],
];

const word = (core: Core, at: number) => core.u32[at >>> 2] as number;

/** Cluster numbers that an arena still has: the fresh range, and the stack. */
function left(core: Core, arena: number): number[] {
  const fresh = word(core, arena + ARENA_FRESH);
  const numbers: number[] = [];
  for (let n = fresh & 0xffff; n < fresh >>> 16; n++) numbers.push(n);
  let top = word(core, arena + ARENA_FREE) & 0xffff;
  for (; top !== 0; top = word(core, top * PAGE) & 0xffff) numbers.push(top);
  return numbers;
}

describe.each(kinds)('instances (%s)', (_name, options) => {
  it('NT-5 each has the next number, whoever made it', async () => {
    const core = await Core.open(options);
    expect(core.thread).toBe(1);
    const second = await Core.attach(core.handle());
    const third = await Core.attach(second.handle());
    expect([second.thread, third.thread, core.thread]).toEqual([2, 3, 1]);
    expect(word(core, core.header + CORE_HEADER_THREADS)).toBe(3);
    expect(Core.openSync(options).thread).toBe(1);
  });

  it('an attached one feeds an arena, and main takes none of that for guest memory', async () => {
    const core = await Core.open(options);
    const arena = core.allocate(ARENA_SIZE);
    const other = await Core.attach(core.handle());
    const before = core.memory.buffer.byteLength;
    expect(other.growClusters(arena, 2)).toBe(true);
    expect(core.growClusters(arena, 1)).toBe(true);
    expect(other.growClusters(arena, 3)).toBe(true);
    const first = before / PAGE;
    expect(left(core, arena)).toEqual([0, 1, 2, 3, 4, 5].map((n) => first + n));
    for (const [page, refused] of [
      [0, true],
      [1, true],
      [2, true],
      [3, true],
      [5, true],
      [6, false],
    ] as const) {
      if (page === 6) core.memory.grow(1);
      const region = { guest: 0, size: PAGE, offset: before + page * PAGE };
      const set = () => core.setRegions([region]);
      if (refused)
        expect(set, `page ${page}`).toThrow(expect.objectContaining({ code: 'EOVERLAP' }));
      else expect(set).not.toThrow();
    }
  });

  it('what a closed disk gave back is there for all of them, before memory grows', async () => {
    const core = await Core.open(options);
    const [first, second] = [core.allocate(ARENA_SIZE), core.allocate(ARENA_SIZE)];
    const other = await Core.attach(core.handle());
    for (let round = 0; round < 4; round++) {
      expect(other.growClusters(first, 4)).toBe(true);
      const length = core.memory.buffer.byteLength;
      const clusters = left(core, first);
      core.reclaimClusters(first);
      expect(other.growClusters(second, 3)).toBe(true);
      expect(core.growClusters(second, 1)).toBe(true);
      expect(core.memory.buffer.byteLength).toBe(length);
      expect(left(core, second).sort()).toEqual(clusters.sort());
      if (round < 3) core.reclaimClusters(second);
    }
    expect(other.growClusters(first, 1)).toBe(true); // there is none left
    expect(left(core, second)).not.toContain(left(core, first)[0]);
  });

  it('one grows as far as the first one may, and then says no', async () => {
    const core = await Core.open({ ...options, maxBytes: 6 * PAGE });
    const arena = core.allocate(ARENA_SIZE);
    const other = await Core.attach((await Core.attach(core.handle())).handle());
    const room = 6 - core.memory.buffer.byteLength / PAGE;
    expect(other.growClusters(arena, room + 1)).toBe(false);
    expect(other.growClusters(arena, room)).toBe(true);
    expect(other.growClusters(arena, 1)).toBe(false);
    expect(left(core, arena)).toHaveLength(room);
  });

  it('a table of ranges that is full refuses, and nothing is fed', async () => {
    const core = await Core.open(options);
    const arena = core.allocate(ARENA_SIZE);
    const other = await Core.attach(core.handle());
    core.u32[word(core, core.header + CORE_HEADER_RANGES) >>> 2] = RANGES_MAX;
    expect(other.growClusters(arena, 1)).toBe(false);
    expect(left(core, arena)).toEqual([]);
  });
});

it('an attached instance on memory that is not shared feeds nothing', async () => {
  const core = await Core.open({ engine: 'js' });
  const arena = core.allocate(ARENA_SIZE);
  const other = await Core.attach(core.handle());
  expect(() => other.growClusters(arena, 1)).toThrow(expect.objectContaining({ code: 'EPERM' }));
});

describe('the table of ranges', () => {
  const table = 16;
  const make = () => new Uint32Array((table + RANGES_SIZE) / 4 + 4);
  const pages = (u32: Uint32Array) =>
    readRanges(u32, table).map(({ start, end }) => [start / PAGE, end / PAGE]);

  it('joins a range to the one that it continues, and to no other', () => {
    const u32 = make();
    for (const [first, end] of [
      [3, 5],
      [9, 10],
      [5, 7],
      [10, 60000],
      [1, 3],
    ] as const) {
      expect(noteRange(u32, table, first, end)).toBe(true);
    }
    expect(pages(u32)).toEqual([
      [3, 7],
      [9, 60000],
      [1, 3],
    ]);
  });

  it('holds as many as it has places, and stays in them', () => {
    const u32 = make();
    for (let n = 0; n < RANGES_MAX; n++) {
      expect(noteRange(u32, table, 2 * n + 1, 2 * n + 2)).toBe(true);
    }
    for (let i = 0; i < 2; i++) expect(noteRange(u32, table, 4000, 4001)).toBe(false);
    expect(noteRange(u32, table, 2, 3)).toBe(true);
    expect(pages(u32)).toHaveLength(RANGES_MAX);
    expect(u32.at(-4)).toBe(0);
  });

  it('leaves out what is claimed but not filled', () => {
    const u32 = make();
    noteRange(u32, table, 3, 4);
    u32[(table + RANGES_COUNT) >>> 2] = 2;
    expect(pages(u32)).toEqual([[3, 4]]);
  });
});

const feeder = `
const { workerData, parentPort } = require('node:worker_threads');
const { url, handle, arena, times, start } = workerData;
import(url).then(async ({ Core }) => {
  const core = await Core.attach(handle);
  Atomics.add(core.i32, start >>> 2, 1);
  while (Atomics.load(core.i32, start >>> 2) < 3);
  for (let i = 0; i < times; i++) if (!core.growClusters(arena, 1 + (i % 3))) throw new Error('no');
  parentPort.postMessage(core.thread);
});
`;

it.each(kinds)(
  'three threads feed one arena at once: no cluster is lost or there twice (%s)',
  async (_name, options) => {
    const TIMES = 60;
    const core = await Core.open(options);
    const [arena, start] = [core.allocate(ARENA_SIZE), core.allocate(8)];
    const before = core.memory.buffer.byteLength;
    const url = new URL('engine/core.js', build).href;
    const workerData = { url, handle: core.handle(), arena, times: TIMES, start };
    const workers = [1, 2].map(() => new Worker(feeder, { eval: true, workerData }));
    const answers = workers.map(
      (worker) =>
        new Promise<number>((resolve, reject) => {
          worker.once('message', resolve).once('error', reject);
        }),
    );
    while (Atomics.load(core.i32, start >>> 2) < 2) await new Promise((go) => setTimeout(go, 1));
    Atomics.add(core.i32, start >>> 2, 1);
    for (let i = 0; i < TIMES; i++) expect(core.growClusters(arena, 1 + (i % 3))).toBe(true);
    expect((await Promise.all(answers)).toSorted()).toEqual([2, 3]);
    const clusters = left(core, arena);
    expect(clusters).toHaveLength(3 * TIMES * 2);
    expect(new Set(clusters).size).toBe(clusters.length);
    expect(Math.min(...clusters)).toBeGreaterThanOrEqual(before / PAGE);
    expect(Math.max(...clusters)).toBeLessThan(core.memory.buffer.byteLength / PAGE);
    // All that was grown is the core's, whoever grew it.
    for (const number of clusters) {
      const region = { guest: 0, size: PAGE, offset: number * PAGE };
      expect(() => core.setRegions([region])).toThrow(/covers the core's memory/);
    }
  },
);

const writer = `
const { workerData, parentPort } = require('node:worker_threads');
const { url, write, handle, ...rest } = workerData;
import(url).then(async ({ Core }) => {
  const core = await Core.attach(handle);
  Atomics.add(core.i32, rest.start >>> 2, 1);
  while (Atomics.load(core.i32, rest.start >>> 2) < 2);
  parentPort.postMessage(new Function('return ' + write)()(core, rest));
});
`;

interface Share {
  disk: number;
  arena: number;
  buffer: number;
  first: number;
  clusters: number;
}

/** Writes to every second cluster, and into the table that both share. Returns what went wrong. */
function write(core: Core, { disk, arena, buffer, first, clusters }: Share): string {
  for (let n = first; n < clusters; n += 2) {
    for (let tries = 0; core.engine.clusterWrite(disk, n * 65536, 0, buffer, 8, 0) !== 8; tries++) {
      if (tries > 100) return `cluster ${n} found no room`;
      if (!core.growClusters(arena, 1)) return `no growth at ${n}`;
    }
    // What the other thread has written by now lies, perhaps, where this one has not looked yet.
    core.engine.clusterRead(disk, (n ^ 1) * 65536, 0, buffer + 8, 8, 0);
    const byte = core.u8[buffer + 8] as number;
    if (byte !== 0 && byte !== 2 - first) return `cluster ${n ^ 1} reads ${byte}`;
  }
  return '';
}

it.each(kinds)(
  'two threads fill one disk, each growing the memory as it needs (%s)',
  async (_name, options) => {
    const CLUSTERS = 200;
    const core = await Core.open(options);
    const [arena, disk, start] = [ARENA_SIZE, DISK_SIZE, 8].map((bytes) => core.allocate(bytes));
    const l1 = core.allocate(8);
    for (const [at, value] of [
      [disk! + DISK_L1, l1],
      [disk! + DISK_SIZE_LO, CLUSTERS * PAGE],
      [disk! + DISK_ARENA, arena!],
    ] as const) {
      core.u32[at >>> 2] = value;
    }
    const share = (first: number) => {
      const buffer = core.allocate(16);
      core.u8.fill(first + 1, buffer, buffer + 8);
      return { disk: disk!, arena: arena!, buffer, first, clusters: CLUSTERS };
    };
    const url = new URL('engine/core.js', build).href;
    const workerData = { url, write: String(write), handle: core.handle(), start, ...share(1) };
    const mine = share(0);
    const worker = new Worker(writer, { eval: true, workerData });
    const answer = new Promise<string>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
    });
    while (Atomics.load(core.i32, start! >>> 2) < 1) await new Promise((go) => setTimeout(go, 1));
    Atomics.add(core.i32, start! >>> 2, 1);
    expect(write(core, mine)).toBe('');
    expect(await answer).toBe('');
    expect(word(core, disk! + DISK_CLUSTERS)).toBe(CLUSTERS + 1);
    const table = word(core, l1);
    const addresses = Array.from({ length: CLUSTERS }, (_, n) => word(core, table + n * 4));
    expect(new Set(addresses).size).toBe(CLUSTERS);
    for (const [n, at] of addresses.entries()) expect(core.u8[at]).toBe((n % 2) + 1);
  },
);
