/**
 * A host notifier attached to an IOThread and detached from it, with a kick in every place
 * (src/virtio/remote-queues.ts, src/virtio/host-notifier.ts). The thread that runs the guest's CPU
 * is main, so a doorbell and a step of main do not run at the same time: one lock for both.
 */

import { CONTEXT_HANDLERS, HANDLER_NOTIFIER, NOTIFIER_FLAG, NOTIFIER_WATCHER } from '#src/layout';
import { Home, kick } from '../mirror.ts';
import { Device, Driver } from '../queue-mirror.ts';
import { atomics, type EngineCall, type Piece, repeat, until } from '../step.ts';
import type { Program, Ring, World } from '../world.ts';

/** All functions: rings are the entry's own. */
const CALLS: readonly EngineCall[] = ['queuePop', 'queuePush'];
const WATCH: readonly EngineCall[] = [
  'bhTake',
  'bhNext',
  'bhPending',
  'pollBegin',
  'pollEnd',
  'waitEnter',
  'waitLeave',
  'accept',
  'handlerReady',
  'handlerPending',
  'notifierSet',
  'notifierWatch',
];

export interface BrokenAttach {
  /** Detach does not look at the notifier once more (MC M8a). */
  noTestAndClear?: boolean;
  /** Main stops setting the notifier only after detach has looked at it (MC M8b). */
  testBeforeDeassign?: boolean;
  /** Attach leaves notifications as detach left them (MC M7d). */
  noEnable?: boolean;
  /** Attach does not set the notifier itself (MC M7e). */
  noSelfKick?: boolean;
}

/** What main posts to the IOThread. */
const DETACH = 1;
const ATTACH = 2;

/** The notifier and the queue of one disk, on main and on the IOThread, which spins. */
class Disk {
  readonly #world: World;
  readonly #broken: BrokenAttach;
  readonly #context: number;
  readonly #host: number;
  readonly #ring: Ring;
  readonly #lock: number;
  /** 1: the IOThread watches the notifier, as far as main knows. */
  readonly #watched: number;
  /** 1: main has scheduled the bottom half that serves a kick to a notifier without a watcher. */
  readonly #kicked: number;
  /** The newest message of main's, and the newest answered. */
  readonly #posted: number;
  readonly #answered: number;
  #device!: Device;
  #heard = 0;

  constructor(world: World, broken: BrokenAttach) {
    this.#world = world;
    this.#broken = broken;
    this.#host = world.notifier('host');
    this.#context = world.context('context', { handlers: [this.#host] });
    world.arena.setWord(this.#host + NOTIFIER_WATCHER, this.#context);
    this.#ring = world.ring();
    this.#lock = world.word('lock');
    this.#watched = world.word('watched', 1);
    this.#kicked = world.word('kicked');
    this.#posted = world.word('posted');
    this.#answered = world.word('answered');
  }

  /** The guest publishes and rings the doorbell, if it is asked to. */
  *guest(): Piece {
    const driver = new Driver(this.#world, this.#ring);
    if (!(yield* driver.publish())) return;
    yield* atomics.acquire(this.#lock);
    const watched = yield* atomics.load(this.#watched);
    yield* this.#world.engine(1).notifierSet(this.#host);
    if (watched === 0) yield* atomics.store(this.#kicked, 1);
    yield* atomics.release(this.#lock);
  }

  /** Main: `RemoteQueues`. */
  *setWatched(watched: boolean): Piece {
    yield* atomics.acquire(this.#lock);
    yield* atomics.store(this.#watched, Number(watched));
    yield* atomics.release(this.#lock);
  }

  *post(message: number): Piece {
    yield* atomics.store(this.#posted, message);
    yield* until(() => this.#world.arena.word(this.#answered) === message);
  }

  /** The IOThread, until it has heard `last` and has served one request. */
  *io(last: number, { polling = false } = {}): Piece {
    const engine = this.#world.engine(0);
    this.#device = new Device(this.#world, this.#ring, engine);
    this.#heard = 0;
    const handlers = [() => this.#device.serve()];
    const home = new Home(engine, this.#context, { handlers });
    const { arena } = this.#world;
    if (polling) yield* this.#device.setNotification(false);
    const something = () => {
      if (arena.word(this.#posted) !== this.#heard) return 1;
      if (arena.word(this.#kicked) !== 0) return 2;
      return this.#attached() && arena.word(this.#host + NOTIFIER_FLAG) !== 0 ? 3 : 0;
    };
    yield* repeat(
      () => this.#heard === last && this.#device.served === 1,
      () => this.#heard * 4 + this.#device.served,
      function* (this: Disk): Piece {
        const what = yield* until(something);
        if (what === 1) yield* this.#hear();
        else if (what === 2) yield* this.#serveKick();
        else yield* home.poll(false);
      }.bind(this),
    );
  }

  *#hear(): Piece {
    const message = yield* atomics.load(this.#posted);
    yield* message === DETACH ? this.#detach() : this.#attach();
    this.#heard = message;
    yield* atomics.store(this.#answered, message);
  }

  *#serveKick(): Piece {
    yield* atomics.store(this.#kicked, 0);
    yield* this.#device.serve();
  }

  /** `HostNotifier.attach`. */
  *#attach(): Piece {
    const engine = this.#world.engine(0);
    this.#place(this.#host);
    yield* engine.notifierWatch(this.#host, this.#context);
    if (!this.#broken.noEnable) yield* this.#device.setNotification(true);
    if (!this.#broken.noSelfKick) yield* engine.notifierSet(this.#host);
  }

  /** `HostNotifier.detach`. */
  *#detach(): Piece {
    const engine = this.#world.engine(0);
    this.#place(0);
    yield* engine.notifierWatch(this.#host, 0);
    if (this.#broken.noTestAndClear) return;
    if ((yield* engine.notifierTestAndClear(this.#host)) === 1) yield* this.#device.serve();
  }

  #place(notifier: number): void {
    const { arena } = this.#world;
    arena.setWord(arena.word(this.#context + CONTEXT_HANDLERS) + HANDLER_NOTIFIER, notifier);
  }

  #attached(): boolean {
    const { arena } = this.#world;
    return arena.word(arena.word(this.#context + CONTEXT_HANDLERS) + HANDLER_NOTIFIER) !== 0;
  }
}

/** HN-2: the notifier is detached while the guest publishes and kicks. */
export function detachAgainstKick(broken: BrokenAttach = {}): Program {
  return {
    name: 'detach of a host notifier against a kick',
    calls: CALLS,
    build(world) {
      const disk = new Disk(world, broken);
      return () => {
        function* main(): Piece {
          if (!broken.testBeforeDeassign) yield* disk.setWatched(false);
          yield* disk.post(DETACH);
          if (broken.testBeforeDeassign) yield* disk.setWatched(false);
        }
        const threads = { io: disk.io(DETACH), guest: disk.guest(), main: main() };
        return { threads, final: () => undefined };
      };
    },
  };
}

/**
 * HN-8: a drain detaches the notifier of an IOThread that busy-polls, so that the end of polling
 * never comes, and attaches it again, while the guest publishes.
 */
export function drainWhilePolling(broken: BrokenAttach = {}): Program {
  return {
    name: 'detach and attach of a host notifier in poll mode against a kick',
    calls: CALLS,
    build(world) {
      const disk = new Disk(world, broken);
      return () => {
        function* main(): Piece {
          yield* disk.setWatched(false);
          yield* disk.post(DETACH);
          yield* disk.post(ATTACH);
          yield* disk.setWatched(true);
        }
        const io = disk.io(ATTACH, { polling: true });
        return { threads: { io, guest: disk.guest(), main: main() }, final: () => undefined };
      };
    },
  };
}

/** NT-9: a notifier is set while its context begins to watch it, and then sleeps. */
export function setAgainstWatch(): Program {
  return {
    name: 'a notifier that is set while a context begins to watch it',
    calls: WATCH,
    build(world) {
      const event = world.notifier('event');
      const context = world.context('context', { handlers: [event] });
      return () => {
        let handled = 0;
        function* handler(): Piece {
          handled += 1;
        }
        function* home(): Piece {
          const engine = world.engine(0);
          yield* engine.notifierWatch(event, context);
          const self = new Home(engine, context, { handlers: [handler] });
          const known = () => handled;
          yield* self.pollUntil(() => handled > 0, known);
        }
        return {
          threads: { home: home(), setter: kick(world.engine(1), event, context) },
          final: () => (handled === 1 ? undefined : `${handled} calls of the handler`),
        };
      };
    },
  };
}
