/** Start, stop, drained sections and moves of a queue, against its handler and a kick. */

import { VIRTQ_AVAIL_IDX, VIRTQ_USED_IDX } from '#src/spec';
import { QueueDisk } from '../queue-disk.ts';
import { type BrokenQueue, QUEUE_CALLS } from '../queue-home.ts';
import type { Piece } from '../step.ts';
import type { Program, World } from '../world.ts';

/** Engine numbers of threads that are no homes of queues. */
const MAIN = 3;
const DRAINER = 4;
const GUEST = 5;

interface LifeOptions {
  /** What main does meanwhile, in turns of its own. */
  steps?: readonly ('start' | 'stop')[];
  /** Does the guest kick, too? */
  kick?: boolean;
}

type Threads = Record<string, Piece>;

function program(
  name: string,
  make: (world: World) => QueueDisk,
  threads: (disk: QueueDisk) => Threads,
  requests: number,
): Program {
  return {
    name,
    calls: QUEUE_CALLS,
    build(world) {
      const disk = make(world);
      return () => ({
        threads: { ...disk.threads(), ...threads(disk) },
        rest: disk.homes.map((_, n) => `home ${n + 1}`),
        final: () => disk.verdict(requests),
      });
    },
  };
}

/**
 * DP-14, HN-2, HN-3: a queue that runs is stopped and started again, while the guest kicks. Nothing
 * is touched after the stop has returned, and the kick is served.
 */
export function stopAgainstKick(broken: BrokenQueue = {}): Program {
  return program(
    'stop and start of a queue against a kick',
    (world) => new QueueDisk(world, broken, { running: true }),
    (disk) => {
      function* main(): Piece {
        yield* disk.stop();
        yield* disk.start();
      }
      return { main: main(), guest: disk.guest(disk.world.engine(GUEST)) };
    },
    1,
  );
}

/** DP-14, HN-3: a queue is started for the first time, kicked before, amid or after it. */
export function startAgainstKick(broken: BrokenQueue = {}): Program {
  return program(
    'start of a queue against a kick',
    (world) => new QueueDisk(world, broken),
    (disk) => ({ main: disk.start(), guest: disk.guest(disk.world.engine(GUEST)) }),
    1,
  );
}

/** VC-3: a queue is reset while a kick is served; then the driver starts it anew, and kicks. */
export function resetAgainstServe(broken: BrokenQueue = {}): Program {
  return program(
    'reset and start of a queue against its handler',
    (world) => new QueueDisk(world, broken, { running: true }),
    (disk) => {
      const { arena } = disk.world;
      const { ring } = disk;
      const engine = disk.world.engine(MAIN);
      function* main(): Piece {
        yield* disk.doorbell(engine);
        yield* disk.reset(engine);
        arena.halves[(ring.avail + VIRTQ_AVAIL_IDX) >>> 1] = 0;
        arena.halves[(ring.used + VIRTQ_USED_IDX) >>> 1] = 0;
        const { queue, num, desc, avail, used } = ring;
        yield* engine.queueEnable(queue, num, 0, desc, 0, avail, 0, used, 0);
        yield* disk.start();
        yield* disk.guest(engine);
      }
      return { main: main() };
    },
    1,
  );
}

/**
 * DP-1, DP-3, DP-4: a drained section begins and ends anywhere in stop and start. In the end there
 * is a handler if the device is started, and none if it is not.
 */
export function sectionAgainstLife(
  { steps = ['start', 'stop'], kick = false }: LifeOptions = {},
  broken: BrokenQueue = {},
): Program {
  return program(
    'start and stop of a queue against a drained section',
    (world) => new QueueDisk(world, broken, { running: steps[0] === 'stop' }),
    (disk) => {
      const { world } = disk;
      function* main(): Piece {
        for (const step of steps) yield* disk[step]();
      }
      function* drainer(): Piece {
        const engine = world.engine(DRAINER);
        yield* disk.drainedBegin(engine);
        yield* disk.drainedEnd(engine);
      }
      const threads: Threads = { main: main(), drainer: drainer() };
      if (kick) threads['guest'] = disk.guest(world.engine(GUEST));
      return threads;
    },
    Number(kick),
  );
}

/**
 * DP-5: a handler still runs when the disk is drained. What it submits is parked, what it has
 * completed goes out, and all is done once after the section.
 */
export function drainAgainstHandler(broken: BrokenQueue = {}): Program {
  return program(
    'a drained section against a handler that runs',
    (world) => new QueueDisk(world, broken, { running: true, gated: true }),
    (disk) => {
      const { world } = disk;
      function* drainer(): Piece {
        const engine = world.engine(DRAINER);
        yield* disk.drainedBegin(engine);
        yield* disk.idle();
        yield* disk.drainedEnd(engine);
      }
      return { drainer: drainer(), guest: disk.guest(world.engine(GUEST)) };
    },
    1,
  );
}

/**
 * DP-8: a queue goes from one thread to another, kicked at any point. `before`: the kick has come
 * already, and what it is for may be parked when the section begins.
 */
export function moveAgainstKick({ before = false } = {}, broken: BrokenQueue = {}): Program {
  return program(
    'a queue that changes its thread against a kick',
    (world) => {
      const disk = new QueueDisk(world, broken, { running: true, gated: true, homes: 2 });
      if (before) world.settle(disk.guest(world.engine(GUEST)));
      return disk;
    },
    (disk) => {
      const { world } = disk;
      const threads: Threads = { mover: disk.move(world.engine(MAIN)) };
      if (!before) threads['guest'] = disk.guest(world.engine(GUEST));
      return threads;
    },
    1,
  );
}
