/** Who may touch guest memory for a queue, and until when (src/virtio/queue-serving.ts). */

import { QUEUE_EPOCH, QUEUE_READY, QUEUE_RUNNING, QUEUE_SERVING } from '#src/layout';
import { Device, Driver } from '../queue-mirror.ts';
import { atomics, type EngineCall, type Piece, repeat, scope, until } from '../step.ts';
import type { Program } from '../world.ts';

/** All functions: rings are the entry's own. */
const CALLS: readonly EngineCall[] = ['queuePop', 'queuePush'];

export interface BrokenServing {
  /** Home asks whether it may before it says that it serves. */
  askFirst?: boolean;
  /** Main waits until home is out, and only then stops the queue. */
  waitFirst?: boolean;
}

/**
 * Main quiesces a queue, whose ring then is the guest's again, while home serves it, `calls` times.
 */
export function quiesceAgainstServe({ calls = 2 } = {}, broken: BrokenServing = {}): Program {
  return {
    name: 'the first half of a reset against a thread that serves',
    calls: CALLS,
    build(world) {
      const ring = world.ring();
      const { queue } = ring;
      const returned = world.word('returned');
      world.arena.setWord(queue + QUEUE_RUNNING, 1);
      world.settle(new Driver(world, ring).publish());
      return () => {
        const device = new Device(world, ring, world.engine(0));
        function* touch(): Piece {
          if ((yield* atomics.load(returned)) !== 0) throw new Error("touches the guest's memory");
        }
        function* mayServe(): Piece<boolean> {
          if ((yield* atomics.load(queue + QUEUE_EPOCH)) !== 0) return false;
          return (yield* atomics.load(queue + QUEUE_RUNNING)) === 1;
        }
        function* enter(): Piece {
          const early = broken.askFirst === true && (yield* mayServe());
          yield* atomics.store(queue + QUEUE_SERVING, 1);
          if (broken.askFirst ? early : yield* mayServe()) {
            yield* touch();
            const count = yield* device.take();
            if (count > 0) yield* device.give(count);
            yield* touch();
          }
          yield* atomics.store(queue + QUEUE_SERVING, 0);
        }
        let called = 0;
        function* call(): Piece {
          called += 1;
          yield* scope(enter(), () => device.served);
        }
        const home = repeat(
          () => called === calls,
          () => called * 2 + device.served,
          call,
        );
        function* main(): Piece {
          const out = () => world.arena.word(queue + QUEUE_SERVING) === 0;
          if (broken.waitFirst) yield* until(out);
          yield* atomics.store(queue + QUEUE_RUNNING, 0);
          yield* atomics.store(queue + QUEUE_READY, 0);
          yield* atomics.add(queue + QUEUE_EPOCH, 1);
          if (!broken.waitFirst) yield* until(out);
          yield* atomics.add(queue + QUEUE_EPOCH, 1);
          yield* atomics.store(returned, 1);
        }
        return { threads: { home, main: main() }, final: () => undefined };
      };
    },
  };
}
