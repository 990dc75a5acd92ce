/** Clusters claimed, given back and hung in while another thread does the same before each step. */

import { expect, it } from 'vitest';
import { SERVE_INTERRUPT, SERVE_WAKE } from '#src/engine/engine';
import {
  ARENA_FREE,
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_LO,
  BACKEND_DISK,
  BACKEND_QUIESCE,
  BACKEND_SIZE,
  CLUSTER_BYTES,
  DISK_L1,
  LANE_IN_FLIGHT,
  LANE_SIZE,
} from '#src/layout';
import { VIRTIO_BLK_T_OUT } from '#src/spec';
import { atEachStep, witness } from './atomic-steps.ts';
import { Disk, type DiskOptions } from './disk.ts';
import { type Contestant, Machine, RAM_AT } from './machine.ts';
import { WRITE } from './raw-ring.ts';
import { rig } from './rig.ts';

const CLUSTER = CLUSTER_BYTES;
const SIZE = 64 * CLUSTER;

export function stepsClusterSuite(contestant: Contestant): void {
  function make(options: Partial<DiskOptions> = {}) {
    const machine = new Machine(contestant, { ramBytes: 65536, stateBytes: 16 * CLUSTER });
    const disk = new Disk(machine, { size: SIZE, fresh: 8, ...options });
    const buffer = machine.allocate(64);
    machine.u8.fill(0xaa, buffer, buffer + 64);
    const touch = (n: number, at = 0) => disk.write(n * CLUSTER + at, buffer, 8);
    /** Address of cluster `n`, 0 for a hole. */
    const clusterAt = (n: number) => {
      const table = machine.word(machine.word(disk.address + DISK_L1));
      return table === 0 ? 0 : machine.word(table + n * 4);
    };
    return { machine, disk, touch, clusterAt, result: 0, other: -1 };
  }
  type Scene = ReturnType<typeof make>;
  const scene =
    (options: Partial<DiskOptions>, prepare: (s: Scene) => void, cluster = 1) =>
    () => {
      const s = make(options);
      prepare(s);
      const action = () => {
        s.result = s.touch(cluster);
      };
      return Object.assign(s, { action });
    };

  /** Every cluster in use is in use once, none is free as well, and the figures are right. */
  function expectWhole(s: Scene, step: string): void {
    const used = Array.from({ length: 64 }, (_, n) => s.clusterAt(n)).filter((at) => at !== 0);
    const table = s.machine.word(s.machine.word(s.disk.address + DISK_L1));
    const all = [...used, ...(table === 0 ? [] : [table])].map((at) => at / CLUSTER);
    const { free } = s.disk.left;
    expect(new Set([...all, ...free]).size, step).toBe(all.length + free.length);
    expect([s.disk.clusters, s.disk.claimed], step).toEqual([all.length, all.length]);
    for (const at of used) {
      expect([...s.machine.u8.subarray(at + 16, at + 20)], step).toEqual([0, 0, 0, 0]);
    }
  }

  it('fresh clusters: another thread claims meanwhile, and neither gets the other’s', () => {
    atEachStep(
      scene({}, () => {}),
      (s) => void s.touch(2),
      (s, step) => {
        expect([s.result, s.touch(2)], step).toEqual([8, 8]);
        expectWhole(s, step);
      },
    );
  });

  it('returned clusters: another thread claims meanwhile, and both are zeroed', () => {
    const prepare = (s: Scene) => {
      for (const n of [3, 4, 5]) {
        s.touch(n);
        s.touch(n, 16);
      }
      s.disk.zero(0, 6 * CLUSTER, 1);
    };
    atEachStep(
      scene({}, prepare),
      (s) => void s.touch(2),
      (s, step) => {
        expect(s.result, step).toBe(8);
        expectWhole(s, step);
      },
    );
  });

  it('one hole, two writers: one cluster is hung in, the other goes back', () => {
    for (const prepare of [() => {}, (s: Scene) => void s.touch(3)]) {
      atEachStep(
        scene({}, prepare),
        (s) => void s.touch(1, 8),
        (s, step) => {
          expect(s.result, step).toBe(8);
          s.touch(1, 8);
          const at = s.clusterAt(1);
          expect([...s.machine.u8.subarray(at, at + 17)], step).toEqual([
            ...Array(16).fill(0xaa),
            0,
          ]);
          expectWhole(s, step);
        },
      );
    }
  });

  it('a limit holds while two claim at once', () => {
    atEachStep(
      scene({ limit: 3 }, (s) => void s.touch(0)),
      (s) => {
        s.other = s.touch(2);
      },
      (s, step) => {
        if (s.other >= 0) expect(s.result + s.other, step).toBe(8);
        expect(s.disk.claimed, step).toBe(3);
        expectWhole(s, step);
      },
    );
  });

  it('what a claim took to no end is given back: the last cluster is not lost', () => {
    atEachStep(
      scene({ fresh: 3 }, (s) => void s.touch(0)),
      (s) => {
        s.other = s.touch(2);
      },
      (s, step) => {
        if (s.other >= 0) expect(s.result + s.other, step).toBe(8);
        expectWhole(s, step);
      },
    );
  });

  it('the tag: a stack that looks unchanged, but is not, is not popped', () => {
    // Free: A over B over C. Others take A and B and give A back, while we take A.
    atEachStep(
      scene({}, (s) => {
        for (const n of [3, 4, 5, 6]) s.touch(n);
        s.disk.zero(3 * CLUSTER, 3 * CLUSTER, 1);
      }),
      (s) => {
        s.touch(7);
        s.touch(8);
        s.disk.zero(7 * CLUSTER, CLUSTER, 1);
      },
      (s, step) => {
        expect(s.result, step).toBe(8);
        s.touch(9);
        expectWhole(s, step);
      },
    );
  });

  it('the tag counts up when a cluster is given back, too', () => {
    atEachStep(
      () => {
        const s = make();
        for (const n of [3, 4, 5]) s.touch(n);
        s.disk.zero(3 * CLUSTER, CLUSTER, 1);
        return Object.assign(s, { action: () => s.disk.zero(4 * CLUSTER, CLUSTER, 1) });
      },
      (s) => {
        s.touch(6);
        s.disk.zero(6 * CLUSTER, CLUSTER, 1);
      },
      (s, step) => {
        expectWhole(s, step);
        expect(s.disk.left.free, step).toHaveLength(2);
      },
    );
    const s = make();
    s.touch(3);
    const before = s.machine.word(s.disk.arena + ARENA_FREE) >>> 16;
    s.disk.zero(3 * CLUSTER, CLUSTER, 1);
    expect(s.machine.word(s.disk.arena + ARENA_FREE) >>> 16).toBe(before + 1);
  });

  it('a batch is served inside the gate: it is counted until its answers are out', () => {
    const makeServed = () => {
      const r = rig(contestant, { stateBytes: 12 * 65536 });
      const { machine, engine, queue, ring } = r;
      const disk = new Disk(machine, { size: 1 << 20, fresh: 4 });
      const backend = machine.allocate(BACKEND_SIZE);
      const lane = machine.allocate(LANE_SIZE);
      machine.setWord(backend + BACKEND_DISK, disk.address);
      machine.setWord(backend + BACKEND_BLOCK_SECTORS, 1);
      machine.setWide(backend + BACKEND_CAPACITY_LO, 2048);
      const at = RAM_AT + 8192;
      machine.ram32[at >>> 2] = VIRTIO_BLK_T_OUT;
      ring.chain(0, [
        { at, length: 16 },
        { at: at + 512, length: 512 },
        { at: at + 16, length: 1, flags: WRITE },
      ]);
      ring.offer(0);
      expect(engine.blkPop(queue, 8)).toBe(1);
      const s = { ...r, disk, backend, lane, result: -1, seen: -1 };
      const action = () => {
        s.result = engine.clusterServe(queue, 1, backend, lane);
      };
      return Object.assign(s, { action });
    };
    atEachStep(
      makeServed,
      (s) => {
        s.engine.gateClose(s.backend);
        s.seen = s.engine.gateInFlight(s.lane);
      },
      (s, step) => {
        const served = (s.result & 0xffff) === 0;
        expect(s.ring.usedIdx, step).toBe(served ? 1 : 0);
        if (s.seen < 0) expect(s.result).toBe(SERVE_INTERRUPT);
        else if (!served) expect(s.result, step).toBe(1 + SERVE_WAKE);
        else if (s.seen === 0)
          expect(step).toMatch(/load32$/); // after the last look at the gate
        else expect(s.result, step).toBe(SERVE_INTERRUPT + SERVE_WAKE);
        expect(s.engine.gateInFlight(s.lane), step).toBe(0);
        expect(s.disk.clusters, step).toBe(served ? 2 : 0);
      },
    );
    const s = makeServed();
    const steps = witness.watch(s.action);
    const at = (address: number, operation: string) =>
      steps.findIndex((step) => step.address === address && step.operation === operation);
    const lane = s.lane + LANE_IN_FLIGHT;
    const order = [
      at(lane, 'add32'),
      at(s.backend + BACKEND_QUIESCE, 'load32'),
      at(s.machine.word(s.disk.address + DISK_L1), 'compareExchange32'),
      at(s.ring.used + 2, 'store16'),
      at(lane, 'sub32'),
    ];
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order).not.toContain(-1);
  });
}
