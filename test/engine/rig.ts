/** A machine with one queue and an enabled ring, ready for a test. */

import { expect } from 'vitest';
import type { Engine } from '#src/engine/engine';
import {
  QUEUE_BROKEN,
  QUEUE_F_EVENT_IDX,
  QUEUE_F_INDIRECT,
  QUEUE_FREE_COUNT,
  QUEUE_INUSE,
} from '#src/layout';
import { type Contestant, Machine, type MachineOptions, RAM_AT } from './machine.ts';
import { type Buffer, RawRing, WRITE } from './raw-ring.ts';

export const EVENT_IDX = QUEUE_F_EVENT_IDX;
export const INDIRECT = QUEUE_F_INDIRECT;

export interface RigOptions extends MachineOptions {
  num?: number;
  capacity?: number;
  blocks?: number;
  features?: number;
}

export interface Rig {
  machine: Machine;
  engine: Engine;
  queue: number;
  ring: RawRing;
  /** First address that no ring uses: room for buffers and tables. */
  room: number;
}

export function rig(contestant: Contestant, options: RigOptions = {}): Rig {
  const { num = 8, features = 0 } = options;
  const machine = new Machine(contestant, options);
  const queue = machine.createQueue(options.capacity ?? num, options.blocks);
  const ring = new RawRing(machine, queue, num, RAM_AT);
  expect(ring.enable(features)).toBe(0);
  return { machine, engine: machine.engine, queue, ring, room: Math.ceil(ring.end / 4096) * 4096 };
}

/** A queue's word. */
export function queueWord({ machine, queue }: Rig, field: number): number {
  return machine.word(queue + field);
}

export function brokenBy(r: Rig): number {
  return queueWord(r, QUEUE_BROKEN);
}

/** Nothing in flight, and `free` blocks. */
export function expectIdle(r: Rig, free: number): void {
  expect(queueWord(r, QUEUE_INUSE)).toBe(0);
  expect(queueWord(r, QUEUE_FREE_COUNT)).toBe(free);
}

/** Offers one chain of `buffers` at head 0 and pops it. Returns what pop returns. */
export function popOne(r: Rig, buffers: readonly Buffer[]): number {
  r.ring.chain(0, buffers);
  r.ring.offer(0);
  return r.engine.queuePop(r.queue, 8);
}

/** A chain of header, `length` bytes of data at `at`, and status, in three descriptors. */
export function request(room: number, at: number, length: number, flags: number): Buffer[] {
  return [
    { at: room, length: 16 },
    { at, length, flags },
    { at: room + 16, length: 1, flags: WRITE },
  ];
}
