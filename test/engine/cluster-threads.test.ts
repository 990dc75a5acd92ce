/**
 * Two threads in one cluster disk, one with each engine: a cluster is claimed once, hung in once,
 * and none is lost or used twice.
 */

import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { createJsEngine } from '#src/engine/js';
import { CLUSTER_BYTES, CLUSTER_L2_ENTRIES, DISK_L1 } from '#src/layout';
import { Disk } from './disk.ts';
import { coreModule, Machine, wasmShared } from './machine.ts';

const CLUSTERS = 96;
const GIB = 2 ** 30;

/** Writes to each of `offsets`, from one end or the other, with `clusterWrite` of the module. */
const writer = `
const { workerData, parentPort } = require('node:worker_threads');
const { module, memory, disk, offsets, buffer, start } = workerData;
const engine = new WebAssembly.Instance(module, { env: { memory } }).exports;
const words = new Int32Array(memory.buffer);
Atomics.add(words, start >>> 2, 1);
while (Atomics.load(words, start >>> 2) < 2);
let short = 0;
for (const offset of offsets) {
  const [lo, hi] = [offset % 2 ** 32, Math.floor(offset / 2 ** 32)];
  if (engine.clusterWrite(disk, lo, hi, buffer, 8, 0) !== 8) short++;
}
parentPort.postMessage(short);
`;

it('clusters claimed by a wasm and a js engine at the same time', async () => {
  for (let round = 0; round < 5; round++) {
    const machine = new Machine(wasmShared, { stateBytes: (CLUSTERS + 12) * CLUSTER_BYTES });
    // One more than is used: a thread may hold one that it is about to lose the race with.
    const disk = new Disk(machine, { size: 4 * GIB, fresh: CLUSTERS + 4 + 1 });
    const offsets = Array.from({ length: CLUSTERS }, (_, i) => (i % 4) * GIB + i * CLUSTER_BYTES);
    const [mine, theirs, start] = [64, 64, 64].map((bytes) => machine.allocate(bytes));
    machine.u8.fill(1, mine!, mine! + 8);
    machine.u8.fill(2, theirs!, theirs! + 8);
    const memory = machine.state;
    const common = { module: coreModule(true), memory, disk: disk.address, start };
    const workerData = { ...common, buffer: theirs, offsets: offsets.map((at) => at + 8) };
    const worker = new Worker(writer, { eval: true, workerData });
    const answer = new Promise<number>((resolve, reject) =>
      worker.once('message', resolve).once('error', reject),
    );
    const js = createJsEngine(memory, memory);
    const words = new Int32Array(memory.buffer);
    Atomics.add(words, start! >>> 2, 1);
    while (Atomics.load(words, start! >>> 2) < 2);
    for (const at of offsets) {
      const written = js.clusterWrite(
        disk.address,
        at % 2 ** 32,
        Math.floor(at / 2 ** 32),
        mine!,
        8,
        0,
      );
      expect(written).toBe(8);
    }
    expect(await answer).toBe(0);

    const seen = new Set<number>();
    const l1 = machine.word(disk.address + DISK_L1);
    for (let table = 0; table < 4; table++) {
      const address = machine.word(l1 + table * 4);
      seen.add(address);
      for (let i = 0; i < CLUSTER_L2_ENTRIES; i++) {
        const cluster = machine.word(address + i * 4);
        if (cluster === 0) continue;
        seen.add(cluster);
        expect([...machine.u8.subarray(cluster, cluster + 17)]).toEqual([
          ...Array(8).fill(1),
          ...Array(8).fill(2),
          0,
        ]);
      }
    }
    expect([seen.size, disk.clusters, disk.claimed]).toEqual(Array(3).fill(CLUSTERS + 4));
    const { fresh, free } = disk.left;
    expect([fresh + free.length, free.some((n) => seen.has(n * CLUSTER_BYTES))]).toEqual([
      1,
      false,
    ]);
  }
}, 60_000);
