/**
 * The mirrors of JavaScript's steps take the steps of what ships: the classes of src/ run on a
 * memory of the test's, and what they ask of `Atomics` is written down.
 */

import { afterEach, expect, it, vi } from 'vitest';
import type { BottomHalf } from '#src/aio/bottom-half';
import { RangeLocker as ShippedLocker } from '#src/block/range-locks';
import type { Core } from '#src/engine/core';
import { QUEUE_EPOCH, QUEUE_READY, QUEUE_RUNNING, QUEUE_SERVING } from '#src/layout';
import { QueueServing, quiesceQueues, setRunning } from '#src/virtio/queue-serving';
import { jsEngine } from './explored.ts';
import { RangeLocker, RangeTable } from './programs/ranges.ts';
import { QueueDisk } from './queue-disk.ts';
import type { Piece } from './step.ts';
import { World } from './world.ts';

type Label = (word: number) => string | undefined;

const make = await jsEngine();

afterEach(() => {
  vi.restoreAllMocks();
});

/** What `run` asks of `Atomics`, words by their labels; those without one are left out. */
function shipped(label: Label, run: () => void): string[] {
  const seen: string[] = [];
  for (const name of ['load', 'store', 'add', 'sub', 'exchange', 'compareExchange'] as const) {
    const real = Atomics[name] as unknown as (...args: unknown[]) => number;
    vi.spyOn(Atomics, name).mockImplementation(((words: Int32Array, at: number, ...rest: []) => {
      const word = label(at * 4);
      if (word !== undefined) seen.push(`${name}32 ${word}`);
      return real(words, at, ...rest);
    }) as never);
  }
  run();
  vi.restoreAllMocks();
  return seen;
}

/** The steps of a piece, up to its end or to where it would wait. */
function mirrored(world: World, label: Label, piece: Piece<unknown>): string[] {
  const seen: string[] = [];
  for (let next = piece.next(0); !next.done; ) {
    const step = next.value;
    if (step.operation === 'until' && !step.when?.()) break;
    const word = step.operation === 'until' ? undefined : label(step.address);
    if (word !== undefined) seen.push(`${step.operation} ${word}`);
    next = piece.next(world.arena.perform(step));
  }
  return seen;
}

function coreOf(world: World): Core {
  const { words: i32 } = world.arena;
  const u32 = new Uint32Array(i32.buffer);
  const engine = { visitBegin: () => 0 };
  return { i32, u32, viewsDetach: false, engine } as unknown as Core;
}

/** Of a queue's words those that say who may touch guest memory. */
function queueWords(queue: number): Label {
  const fields = { QUEUE_EPOCH, QUEUE_READY, QUEUE_RUNNING, QUEUE_SERVING };
  return (address) => Object.entries(fields).find(([, field]) => queue + field === address)?.[0];
}

it('DP-14 a thread that serves says so, then asks for the epoch and RUNNING', () => {
  const world = new World(make);
  const disk = new QueueDisk(world, {});
  const [home] = disk.homes;
  const { queue } = disk.ring;
  world.arena.setWord(home!.kicked, 1);
  const label = queueWords(queue);
  const steps = mirrored(world, label, home!.run());
  const serving = new QueueServing(coreOf(world), queue);
  const real = shipped(label, () => {
    serving.enter();
    expect(serving.running).toBe(false);
    serving.leave();
  });
  expect(steps).toEqual(real);
  expect(real).toHaveLength(4);
});

it('VC-3 the first half of a reset: RUNNING, READY, EPOCH, wait, EPOCH', () => {
  const world = new World(make);
  const disk = new QueueDisk(world, {}, { running: true });
  const { queue } = disk.ring;
  const label: Label = (address) => {
    const word = queueWords(queue)(address);
    return word === 'QUEUE_SERVING' ? undefined : word; // the mirror spins on it
  };
  const steps = mirrored(world, label, disk.reset(world.engine(0)));
  const core = coreOf(world);
  const real = shipped(label, () => {
    setRunning(core, [queue], false);
    quiesceQueues(core, [queue]);
  });
  expect(steps.slice(0, real.length)).toEqual(real);
  expect(real).toHaveLength(5);
});

it.each([
  ['free', [], 4],
  ['taken', [0], 3],
  ['taken in part', [1], 12],
])('BB-23 a range of two blocks that is %s: lock and unlock', (_, taken, least) => {
  const world = new World(make);
  const table = new RangeTable(world, 2, 2);
  for (const lock of taken) world.arena.setWord(table.locks[lock]!, 1);
  const mirror = new RangeLocker(world, world.engine(0), table, 0);
  const own: Label = (address) => {
    if (address === table.visitors) return 'visitors';
    const lock = table.locks.indexOf(address);
    if (lock >= 0) return `lock ${lock}`;
    const seat = table.seats.findIndex(({ waiting }) => waiting === address);
    return seat < 0 ? undefined : `waiting ${seat}`;
  };
  function* both(): Piece {
    if (yield* mirror.lock([0, 1])) yield* mirror.unlock([0, 1]);
  }
  const steps = mirrored(world, own, both());

  const other = new World(make);
  const core = coreOf(other);
  const address = 4096;
  for (const lock of taken) core.i32[address / 4 + 1 + lock] = 1;
  const retry = { handle: { context: 0, slot: 0, generation: 0 } } as unknown as BottomHalf;
  const locker = new ShippedLocker(core, address, 1, retry);
  // As in src/block/range-locks.ts: visitors, 64 locks, seats of five words.
  const theirs: Label = (at) => {
    const word = (at - address) / 4;
    if (word === 0) return 'visitors';
    if (word <= 2) return `lock ${word - 1}`;
    return word === 65 || word === 70 ? `waiting ${(word - 65) / 5}` : undefined;
  };
  const real = shipped(theirs, () => {
    if (locker.lock(0, 2)) locker.unlock(0, 2);
  });
  expect(steps).toEqual(real);
  expect(real.length).toBeGreaterThanOrEqual(least);
});
