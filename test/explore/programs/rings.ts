/** Kicks and interrupts that are suppressed, by flags or by event index, against ring and poll. */

import { CONTEXT_HANDLERS, NOTIFIER_WATCHER } from '#src/layout';
import { Home, kick } from '../mirror.ts';
import { type BrokenDriver, Device, Driver, pollRing } from '../queue-mirror.ts';
import { atomics, type EngineCall, type Piece, repeat } from '../step.ts';
import type { Program } from '../world.ts';

/** All functions: rings are the entry's own. */
const CALLS: readonly EngineCall[] = ['queuePop', 'queuePush'];

interface RingOptions {
  eventIdx?: boolean;
  /** How many chains the driver publishes, one after the other. */
  count?: number;
}

/** The driver collects nothing meanwhile, so that all it publishes must fit. */
const sizeFor = (count: number) => Math.max(2, 2 ** Math.ceil(Math.log2(count)));

const suppressedBy = (eventIdx: boolean) => (eventIdx ? 'event index' : 'flags');

/**
 * VQ-9: the driver publishes and kicks if it is asked to; the device sleeps between two kicks. No
 * chain is left behind.
 */
export function kickAgainstServe(
  { eventIdx = false, count = 2 }: RingOptions = {},
  broken: BrokenDriver = {},
): Program {
  return {
    name: `kicks suppressed by ${suppressedBy(eventIdx)} against a device that serves`,
    calls: CALLS,
    build(world) {
      const host = world.notifier('host');
      const context = world.context('context', { handlers: [host] });
      world.arena.setWord(host + NOTIFIER_WATCHER, context);
      const ring = world.ring({ eventIdx, num: sizeFor(count) });
      return () => {
        const engine = world.engine(0);
        const device = new Device(world, ring, engine);
        const home = new Home(engine, context, { handlers: [() => device.serve()] });
        const known = () => device.served;
        return {
          threads: {
            driver: publishAll(new Driver(world, ring, broken), count, function* () {
              yield* kick(world.engine(1), host, context);
            }),
            device: home.pollUntil(() => device.served === count, known),
          },
          final: () => undefined,
        };
      };
    },
  };
}

function publishAll(driver: Driver, count: number, doorbell: () => Piece): Piece {
  let published = 0;
  return repeat(
    () => published === count,
    () => published,
    function* () {
      published += 1;
      if (yield* driver.publish()) yield* doorbell();
    },
  );
}

export interface BrokenPolling extends BrokenDriver {
  /** No look at the ring after notifications were turned on (MC M7a). */
  noLastLook?: boolean;
  /** Busy polling ends with notifications still off. */
  endLeavesOff?: boolean;
}

/**
 * AP-7, HN-9: the device busy-polls with kicks turned off, ends that before it sleeps, and looks
 * once more.
 */
export function busyPolling(
  { eventIdx = false, count = 2 }: RingOptions = {},
  broken: BrokenPolling = {},
): Program {
  return {
    name: `begin and end of busy polling, kicks suppressed by ${suppressedBy(eventIdx)}`,
    calls: CALLS,
    build(world) {
      const host = world.notifier('host');
      const context = world.context('context', { handlers: [host] });
      world.arena.setWord(host + NOTIFIER_WATCHER, context);
      const ring = world.ring({ eventIdx, num: sizeFor(count) });
      pollRing(world, world.arena.word(context + CONTEXT_HANDLERS), ring);
      return () => {
        const engine = world.engine(0);
        const device = new Device(world, ring, engine);
        let [polling, ready] = [false, false];
        /** The end of poll mode (src/aio/poll-mode.ts, `stop`). */
        function* stop(): Piece<boolean> {
          polling = false;
          if (!broken.endLeavesOff) yield* device.setNotification(true);
          if (broken.noLastLook) return false;
          ready = (yield* engine.queueEmpty(ring.queue)) === 0;
          return ready;
        }
        const home = new Home(engine, context, {
          handlers: [() => device.serve()],
          beforeSleep: stop,
        });
        function* round(): Piece {
          if (!polling) yield* device.setNotification(false);
          polling = true;
          const place = yield* engine.pollSpin(context, 1);
          if (place >= 0) {
            yield* device.serve();
            return;
          }
          yield* home.poll();
          if (!ready) return;
          ready = false;
          yield* device.serve();
        }
        const known = () => device.served * 2 + Number(polling);
        return {
          threads: {
            driver: publishAll(new Driver(world, ring, broken), count, function* () {
              yield* kick(world.engine(1), host, context);
            }),
            device: repeat(() => device.served === count, known, round),
          },
          final: () => undefined,
        };
      };
    },
  };
}

/**
 * VQ-7, VQ-8: the device pushes one chain after the other; the driver sleeps until an interrupt,
 * which it asks for only when it has collected all there is.
 */
export function interruptAgainstCollect(
  { eventIdx = false, count = 2 }: RingOptions = {},
  broken: BrokenDriver = {},
): Program {
  return {
    name: `interrupts suppressed by ${suppressedBy(eventIdx)} against a driver that collects`,
    calls: CALLS,
    build(world) {
      const ring = world.ring({ eventIdx, num: sizeFor(count) });
      const interrupts = world.word('interrupts');
      const setUp = new Driver(world, ring);
      setUp.refuseInterrupts();
      for (let i = 0; i < count; i++) world.settle(setUp.publish());
      return () => {
        const driver = new Driver(world, ring, broken);
        function* interrupt(): Piece {
          yield* atomics.add(interrupts, 1);
          yield* atomics.notify(interrupts);
        }
        const device = new Device(world, ring, world.engine(0), interrupt);
        function* serve(): Piece {
          const taken = yield* device.take();
          for (let i = 0; i < taken; i++) yield* device.give(1, i);
        }
        function* round(): Piece {
          const seen = yield* atomics.load(interrupts);
          if ((yield* driver.collect()) === count) return;
          if (yield* driver.askForInterrupt()) return;
          yield* atomics.wait(interrupts, seen);
        }
        const known = () => driver.collected;
        return {
          threads: {
            device: serve(),
            driver: repeat(() => driver.collected === count, known, round),
          },
          final: () => undefined,
        };
      };
    },
  };
}
