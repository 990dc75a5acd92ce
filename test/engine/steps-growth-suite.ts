/** A memory that another thread grows, for clusters, right before a step of a call. */

import { expect, it } from 'vitest';
import { createJsEngine } from '#src/engine/js';
import { ARENA_FREE, ARENA_FRESH, CLUSTER_BYTES } from '#src/layout';
import { witness } from './atomic-steps.ts';
import { Disk } from './disk.ts';
import { type Contestant, Machine } from './machine.ts';

const CLUSTER = CLUSTER_BYTES;

export function stepsGrowthSuite(contestant: Contestant): void {
  /** A disk with a table and one cluster, and none left: the rest of the memory is to come. */
  function make() {
    const machine = new Machine(contestant, { stateBytes: 12 * CLUSTER });
    const disk = new Disk(machine, { size: 64 * CLUSTER, fresh: 2 });
    const buffer = machine.allocate(64);
    machine.u8.fill(9, buffer, buffer + 8);
    expect(disk.write(0, buffer, 8)).toBe(8);
    return { machine, disk, buffer };
  }
  type Made = ReturnType<typeof make>;

  /** As another thread does: grows the memory and feeds the arena with what is new. */
  function feed({ machine, disk }: Made, field: number): void {
    const first = machine.state.grow(3);
    if (field === ARENA_FRESH) {
      machine.setWord(disk.arena + field, first | ((first + 3) << 16));
    } else {
      machine.setWord(first * CLUSTER, first + 1);
      machine.setWord((first + 1) * CLUSTER, 0);
      machine.setWord(disk.arena + field, first);
    }
  }

  /** Lets `act` happen before each step of `action` in turn. */
  function atEach(action: (m: Made) => void, act: (m: Made) => void, check: (m: Made) => void) {
    for (let at = 0, reached = true; reached; at++) {
      const m = make();
      let count = 0;
      reached = false;
      witness.watch(
        () => action(m),
        () => {
          if (count++ !== at) return;
          reached = true;
          act(m);
        },
      );
      if (reached) check(m);
    }
  }

  /** A write to a hole, with clusters of new memory to be had from some step on. */
  function claims(field: number): void {
    let written = 0;
    atEach(
      ({ disk, buffer }) => {
        written = disk.write(5 * CLUSTER + 3, buffer, 8);
      },
      (m) => feed(m, field),
      ({ disk, buffer, machine }) => {
        if (written === 0) expect(disk.write(5 * CLUSTER + 3, buffer, 8)).toBe(8);
        machine.u8.fill(0, buffer, buffer + 16);
        expect(disk.read(5 * CLUSTER, buffer, 16)).toBe(16);
        const bytes = [0, 0, 0, ...Array(8).fill(9), 0, 0, 0, 0, 0];
        expect([...machine.u8.subarray(buffer, buffer + 16)]).toEqual(bytes);
      },
    );
  }

  it('a fresh cluster of new memory is claimed and written in a call that began before', () => {
    claims(ARENA_FRESH);
  });

  it('a returned cluster of new memory is claimed and written in a call that began before', () => {
    claims(ARENA_FREE);
  });

  it('a cluster that another thread hung in, in new memory, is read and written', () => {
    for (const writes of [false, true]) {
      let moved = 0;
      atEach(
        ({ disk, buffer }) => {
          moved = writes ? disk.write(5 * CLUSTER, buffer, 8) : disk.read(5 * CLUSTER, buffer, 8);
        },
        (m) => {
          feed(m, ARENA_FRESH);
          const other = m.machine.allocate(8);
          m.machine.u8.fill(7, other, other + 8);
          // Another thread has an engine of its own.
          const { engine, state } = m.machine;
          const its = contestant.kind === 'js' ? createJsEngine(state, state) : engine;
          expect(its.clusterWrite(m.disk.address, 5 * CLUSTER, 0, other, 8, 0)).toBe(8);
        },
        ({ disk, buffer, machine }) => {
          const found = machine.u8[buffer];
          if (!writes) {
            expect(moved).toBe(8);
            expect([0, 7]).toContain(found);
            return;
          }
          // What found the arena empty was refused; the other one's bytes are there.
          machine.u8.fill(0, buffer, buffer + 8);
          disk.read(5 * CLUSTER, buffer, 8);
          expect(machine.u8[buffer]).toBe(moved === 8 ? 9 : 7);
        },
      );
    }
  });
}
