/**
 * A queue as main sees it, step by step, as src/virtio/queue-set.ts, remote-queues.ts and
 * queue-move.ts do; and the guest, whose CPU main's thread runs.
 */

import { QUEUE_EPOCH, QUEUE_READY, QUEUE_RUNNING, QUEUE_SERVING } from '#src/layout';
import {
  ATTACH,
  type BrokenQueue,
  DETACH,
  HAND_OVER,
  MAIL,
  QueueHome,
  TAKE,
} from './queue-home.ts';
import { Driver } from './queue-mirror.ts';
import { atomics, type ExploredEngine, type Piece, until } from './step.ts';
import type { Ring, World } from './world.ts';

/** A queue, its notifier, the gate of its disk, and what main knows of them. */
export class QueueDisk {
  readonly world: World;
  readonly broken: BrokenQueue;
  /** Do requests pass a gate? */
  readonly gated: boolean;
  readonly ring: Ring;
  readonly host: number;
  readonly backend: number;
  readonly homes: readonly QueueHome[];
  /** Requests inside the gate; a thread serves; guest memory may be touched. */
  readonly inside: number;
  readonly owner: number;
  readonly may: number;
  /** Requests that are handed over. */
  readonly waiting: number;
  /** One turn of main at a time, or a doorbell: the guest's CPU runs there, too. */
  readonly #turn: number;
  /** Main's own, in `#turn`: flags, and which home has the queue. */
  readonly #started: number;
  readonly #attached: number;
  readonly #drained: number;
  readonly #place: number;

  constructor(
    world: World,
    broken: BrokenQueue,
    { homes = 1, gated = false, running = false } = {},
  ) {
    this.world = world;
    this.broken = broken;
    this.gated = gated;
    this.ring = world.ring();
    this.host = world.notifier('host');
    this.backend = world.backend();
    this.inside = world.word('inside');
    this.owner = world.word('owner');
    this.may = world.word('may', Number(running));
    this.waiting = world.word('waiting');
    this.#turn = world.word('turn');
    this.#started = world.word('started', Number(running));
    this.#attached = world.word('attached', Number(running));
    this.#drained = world.word('drained');
    this.#place = world.word('place');
    this.homes = Array.from({ length: homes }, (_, n) => new QueueHome(this, n + 1, n > 0));
    const { arena } = world;
    arena.setWord(this.ring.queue + QUEUE_RUNNING, Number(running));
    if (!running) return;
    // As after the first message.
    const [home] = this.homes as [QueueHome];
    arena.setWord(home.listens, 1);
    arena.setWord(home.attempt, -1);
  }

  /** The threads, to be begun with others. */
  threads(): Record<string, Piece> {
    return Object.fromEntries(this.homes.map((home, n) => [`home ${n + 1}`, home.run()]));
  }

  // ---- Main -------------------------------------------------------------------------------------

  /** A turn of main; nothing else of main's runs meanwhile. */
  *#inTurn(step: () => Piece): Piece {
    yield* atomics.acquire(this.#turn);
    yield* step();
    yield* atomics.release(this.#turn);
  }

  #get(word: number): number {
    return this.world.arena.word(word);
  }

  #set(word: number, value: number | boolean): void {
    this.world.arena.setWord(word, Number(value));
  }

  get #home(): QueueHome {
    return this.homes[this.#get(this.#place)]!;
  }

  *#post(home: QueueHome, message: number): Piece<number> {
    const number = this.#get(home.sent);
    if (number === MAIL) throw new Error('too much mail');
    this.#set(home.mail + 4 * number, message);
    yield* atomics.store(home.sent, number + 1);
    return number + 1;
  }

  /** `QueueSet.#listen`, and `RemoteQueues.attach` and `detach`. */
  *#listen(wanted = this.#wanted): Piece {
    const home = this.#home;
    if (wanted === (this.#get(this.#attached) === 1)) return;
    this.#set(this.#attached, wanted);
    if (wanted) {
      this.#set(home.attempt, this.#get(home.sent) + 1);
      yield* this.#post(home, ATTACH);
    } else {
      this.#set(home.attempt, 0);
      yield* this.#post(home, DETACH);
    }
  }

  get #wanted(): boolean {
    const { attachesAnyway, attachesInSection } = this.broken;
    const quiet = attachesInSection || this.#get(this.#drained) === 0;
    return quiet && (attachesAnyway || this.#get(this.#started) === 1);
  }

  start(): Piece {
    return this.#inTurn(
      function* (this: QueueDisk): Piece {
        const running = this.ring.queue + QUEUE_RUNNING;
        if (this.broken.runsEarly) yield* atomics.store(running, 1);
        yield* atomics.store(this.may, 1);
        yield* atomics.store(running, 1);
        this.#set(this.#started, 1);
        yield* this.#listen();
      }.bind(this),
    );
  }

  *stop(): Piece {
    const late = this.broken.stoppedLate === true;
    if (late) yield* this.#inTurn(() => this.#listen(false));
    yield* this.#inTurn(
      function* (this: QueueDisk): Piece {
        const { queue } = this.ring;
        yield* atomics.store(queue + QUEUE_RUNNING, 0);
        if (!this.broken.stopsBlindly) yield* this.#untilOutside();
        yield* atomics.store(this.may, 0);
        this.#set(this.#started, 0);
        if (!late) yield* this.#listen();
      }.bind(this),
    );
  }

  *#untilOutside(): Piece {
    yield* until(() => this.#get(this.ring.queue + QUEUE_SERVING) === 0);
  }

  /** `QueueSet.disable`, nothing in flight: the driver has its memory again. */
  reset(engine: ExploredEngine): Piece {
    return this.#inTurn(
      function* (this: QueueDisk): Piece {
        const { queue } = this.ring;
        yield* atomics.store(queue + QUEUE_RUNNING, 0);
        this.#set(this.#started, 0);
        yield* this.#listen();
        yield* atomics.store(queue + QUEUE_RUNNING, 0);
        yield* atomics.store(queue + QUEUE_READY, 0);
        yield* atomics.add(queue + QUEUE_EPOCH, 1);
        if (!this.broken.stopsBlindly) yield* this.#untilOutside();
        yield* atomics.add(queue + QUEUE_EPOCH, 1);
        yield* atomics.store(this.may, 0);
        yield* engine.queueReset(queue);
      }.bind(this),
    );
  }

  drainedBegin(engine: ExploredEngine): Piece {
    return this.#inTurn(
      function* (this: QueueDisk): Piece {
        yield* engine.gateClose(this.backend);
        this.#set(this.#drained, 1);
        yield* this.#listen();
      }.bind(this),
    );
  }

  /** In a section: waits for what is in flight, and looks. */
  *idle(): Piece {
    const { lane } = this.homes[0]!;
    yield* until(() => this.#get(lane) === 0);
    for (let look = 0; look < 2; look++) {
      if ((yield* atomics.load(this.inside)) !== 0) throw new Error('a request in a section');
    }
  }

  drainedEnd(engine: ExploredEngine): Piece {
    return this.#inTurn(
      function* (this: QueueDisk): Piece {
        if (this.#get(this.#attached) === 1) throw new Error('attached in a drained section');
        yield* engine.gateOpen(this.backend);
        this.#set(this.#drained, 0);
        yield* this.#listen();
        for (const { gateMoved } of this.homes) yield* atomics.store(gateMoved, 1);
      }.bind(this),
    );
  }

  /** `QueueMove.swap`: the first home's queue becomes the second's. */
  *move(engine: ExploredEngine): Piece {
    const [from, to] = this.homes as [QueueHome, QueueHome];
    yield* this.drainedBegin(engine);
    yield* this.idle();
    let over = 0;
    let taken = 0;
    yield* this.#inTurn(
      function* (this: QueueDisk): Piece {
        over = yield* this.#post(from, HAND_OVER);
      }.bind(this),
    );
    yield* until(() => this.#get(from.answered) === over);
    yield* this.#inTurn(
      function* (this: QueueDisk): Piece {
        this.#set(this.#place, 1);
        taken = yield* this.#post(to, TAKE);
      }.bind(this),
    );
    yield* until(() => this.#get(to.answered) === taken);
    yield* this.drainedEnd(engine);
  }

  // ---- The guest --------------------------------------------------------------------------------

  /** Publishes one request, and rings the doorbell if it is asked to. */
  *guest(engine: ExploredEngine): Piece {
    const driver = new Driver(this.world, this.ring);
    if (yield* driver.publish()) yield* this.doorbell(engine);
  }

  /** `RemoteQueues.kick`. */
  doorbell(engine: ExploredEngine): Piece {
    return this.#inTurn(
      function* (this: QueueDisk): Piece {
        const home = this.#home;
        const attempt = this.#get(home.attempt);
        const watched = attempt !== 0 && (yield* atomics.load(home.answered)) >= attempt;
        yield* engine.notifierSet(this.host);
        if (!watched) yield* atomics.store(home.kicked, 1);
      }.bind(this),
    );
  }

  /** What is wrong when all is quiet: the requests served, or handlers that are left. */
  verdict(requests: number): string | undefined {
    const listening = this.homes.filter(({ listens }) => this.#get(listens) === 1).length;
    const wanted = this.#get(this.#started);
    if (listening !== wanted) return `${listening} handlers instead of ${wanted}`;
    const served = this.homes.reduce((sum, { device }) => sum + device.served, 0);
    return served === requests ? undefined : `${served} of ${requests} requests were served`;
  }
}
