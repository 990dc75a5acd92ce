/**
 * A thread that serves a queue, step by step, as src/virtio/queue-service.ts, blk-queue.ts,
 * queue-serving.ts and host-notifier.ts do. Main's half is `queue-disk.ts`; of its messages only
 * the order is left.
 *
 * Threads spin here instead of sleeping: how a sleeper is woken, other programs show.
 */

import {
  BACKEND_QUIESCE,
  NOTIFIER_FLAG,
  QUEUE_EPOCH,
  QUEUE_RUNNING,
  QUEUE_SERVING,
} from '#src/layout';
import type { QueueDisk } from './queue-disk.ts';
import { Device } from './queue-mirror.ts';
import {
  atomics,
  type EngineCall,
  type ExploredEngine,
  type Piece,
  repeat,
  until,
} from './step.ts';

/** All functions: rings are the entry's own. */
export const QUEUE_CALLS: readonly EngineCall[] = ['queuePop', 'queuePush'];

/** A step left out or in another place, on purpose. */
export interface BrokenQueue {
  /** RUNNING is set before all is there that a serving thread needs. */
  runsEarly?: boolean;
  /** A stop does not wait until the thread is out of its call. */
  stopsBlindly?: boolean;
  /** A serving thread asks whether it may before it says that it serves. */
  asksFirst?: boolean;
  /** A start attaches though the disk is drained (MC M11: too early). */
  attachesInSection?: boolean;
  /**
   * A stop detaches, then lets others run, and only then says that the device is not started (MC
   * M11: a section that ends in between attaches again).
   */
  stoppedLate?: boolean;
  /** The end of a section attaches, whether the device is started or not. */
  attachesAnyway?: boolean;
  /** Attach does not set the notifier itself (MC M8a, with a start after the stop). */
  noSelfKick?: boolean;
  /** Detach does not look at the notifier once more. */
  noTestAndClear?: boolean;
  /** A handler that still runs after detach does not ask the gate (DP-5). */
  passesGate?: boolean;
  /** What a handler has popped and may not submit is forgotten, not parked (DP-5). */
  forgetsParked?: boolean;
  /** A queue that has been handed over is served on. */
  servesAsleep?: boolean;
  /** What waits is left behind where the queue was. */
  leavesParked?: boolean;
}

/** What main posts to a thread. */
export const DETACH = 1;
export const ATTACH = 2;
export const HAND_OVER = 3;
export const TAKE = 4;
export const MAIL = 12;

/** Words of one thread that serves the queue, or will. */
export class QueueHome {
  readonly #disk: QueueDisk;
  readonly #thread: number;
  readonly #asleep: boolean;
  /** Main's messages, how many there are, and how many have been answered. */
  readonly mail: number;
  readonly sent: number;
  readonly answered: number;
  /** Number of the attach that main waits for, or that was the last to succeed; 0: detached. */
  readonly attempt: number;
  /** 1: the bottom half that serves kicks is scheduled; and the one for the gate. */
  readonly kicked: number;
  readonly gateMoved: number;
  /** 1: the thread has a handler for the notifier. */
  readonly listens: number;
  readonly lane: number;
  #engine!: ExploredEngine;
  device!: Device;
  #heard = 0;
  #epoch = 0;
  #parked = 0;
  #awake = true;

  constructor(disk: QueueDisk, thread: number, asleep: boolean) {
    const { world } = disk;
    this.#disk = disk;
    this.#thread = thread;
    this.#asleep = asleep;
    this.mail = world.arena.allocate(`mail ${thread}`, 4 * MAIL);
    this.sent = world.word('sent');
    this.answered = world.word('answered');
    this.attempt = world.word('attempt');
    this.kicked = world.word('kicked');
    this.gateMoved = world.word('gateMoved');
    this.listens = world.word('listens');
    this.lane = world.lane(`lane ${thread}`);
  }

  /** Hears, serves, and waits for more. */
  run(): Piece {
    const { world, ring } = this.#disk;
    this.#engine = world.engine(this.#thread);
    this.device = new Device(world, ring, this.#engine);
    this.#heard = 0;
    this.#epoch = 0;
    this.#parked = 0;
    this.#awake = !this.#asleep;
    const known = () => {
      const queue = this.#epoch * 8 + this.#parked * 2 + Number(this.#awake);
      return (queue * 16 + this.#heard) * 16 + this.device.served;
    };
    return repeat(() => false, known, this.#turn.bind(this));
  }

  *#turn(): Piece {
    const { world, host } = this.#disk;
    const word = (address: number) => world.arena.word(address);
    const what = yield* until(() => {
      if (word(this.sent) !== this.#heard) return 1;
      if (word(this.kicked) !== 0) return 2;
      if (word(this.gateMoved) !== 0) return 3;
      return word(this.listens) !== 0 && word(host + NOTIFIER_FLAG) !== 0 ? 4 : 0;
    });
    if (what === 1) yield* this.#hear();
    else if (what === 4) yield* this.#read();
    else {
      yield* atomics.store(what === 2 ? this.kicked : this.gateMoved, 0);
      yield* this.#serve();
    }
  }

  *#hear(): Piece {
    const { world } = this.#disk;
    const message = world.arena.word(this.mail + 4 * this.#heard);
    this.#heard += 1;
    if (message === DETACH) yield* this.#detach();
    else if (message === ATTACH) yield* this.#attach();
    else if (message === HAND_OVER) yield* this.#handOver();
    else yield* this.#take();
    yield* atomics.store(this.answered, this.#heard);
  }

  // ---- `HostNotifier` ---------------------------------------------------------------------------

  *#read(): Piece {
    if ((yield* this.#engine.notifierTestAndClear(this.#disk.host)) === 1) yield* this.#serve();
  }

  /** `BlkQueue.setNotification`, and `HostNotifier.attach`. */
  *#attach(): Piece {
    const { broken, host } = this.#disk;
    if (this.#awake) {
      const current = yield* this.#enter();
      if (yield* this.#mayServe(current)) yield* this.device.setNotification(true);
      yield* this.#leave();
    }
    yield* atomics.store(this.listens, 1);
    if (!broken.noSelfKick) yield* this.#engine.notifierSet(host);
  }

  *#detach(): Piece {
    yield* atomics.store(this.listens, 0);
    if (!this.#disk.broken.noTestAndClear) yield* this.#read();
  }

  // ---- `BlkQueue.handOver` and `take` -----------------------------------------------------------

  *#handOver(): Piece {
    const { broken, waiting } = this.#disk;
    yield* this.#detach();
    yield* atomics.store(waiting, broken.leavesParked ? 0 : this.#parked);
    this.#parked = 0;
    if (!broken.servesAsleep) this.#awake = false;
  }

  *#take(): Piece {
    this.#awake = true;
    this.#epoch = yield* atomics.load(this.#disk.ring.queue + QUEUE_EPOCH);
    this.#parked = yield* atomics.load(this.#disk.waiting);
    yield* this.#serve();
  }

  // ---- `BlkQueue.serve` -------------------------------------------------------------------------

  *#enter(): Piece<boolean> {
    const { ring } = this.#disk;
    yield* atomics.store(ring.queue + QUEUE_SERVING, 1);
    return (yield* atomics.load(ring.queue + QUEUE_EPOCH)) === this.#epoch;
  }

  *#mayServe(current: boolean): Piece<boolean> {
    const { queue } = this.#disk.ring;
    if (!current) {
      this.#parked = 0;
      this.#epoch = yield* atomics.load(queue + QUEUE_EPOCH);
    }
    return (yield* atomics.load(queue + QUEUE_RUNNING)) === 1;
  }

  *#leave(): Piece {
    yield* atomics.store(this.#disk.ring.queue + QUEUE_SERVING, 0);
  }

  *#serve(): Piece {
    const { broken, ring } = this.#disk;
    if (!this.#awake) return;
    const early = broken.asksFirst && (yield* atomics.load(ring.queue + QUEUE_RUNNING)) === 1;
    const may = yield* this.#mayServe(yield* this.#enter());
    if (broken.asksFirst ? early : may) yield* this.#handle();
    yield* this.#leave();
  }

  *#handle(): Piece {
    const { owner } = this.#disk;
    if (!(yield* this.#gateIsOpen())) return;
    yield* this.#touch();
    if ((yield* atomics.exchange(owner, 1)) !== 0) throw new Error('two threads serve the queue');
    for (let more = 1; more !== 0; ) {
      yield* this.device.setNotification(false);
      const emptied = yield* this.#serveRing();
      more = yield* this.device.setNotification(true);
      if (!emptied) more = 0;
    }
    yield* this.#touch();
    yield* atomics.store(owner, 0);
  }

  *#touch(): Piece {
    if ((yield* atomics.load(this.#disk.may)) === 0) throw new Error("touches the guest's memory");
  }

  *#gateIsOpen(): Piece<boolean> {
    const { backend, broken, gated } = this.#disk;
    if (!gated || broken.passesGate) return true;
    return (yield* atomics.load(backend + BACKEND_QUIESCE)) === 0;
  }

  /** False if the gate is closed. */
  *#serveRing(): Piece<boolean> {
    if (this.#parked > 0) {
      const count = this.#parked;
      this.#parked = 0;
      if (!(yield* this.#submit(count))) return false;
    }
    while (yield* this.#gateIsOpen()) {
      const count = yield* this.device.take();
      if (count === 0) return true;
      yield* this.#submit(count);
    }
    return false;
  }

  /** Passes the gate with what was popped, or parks it. */
  *#submit(count: number): Piece<boolean> {
    const { backend, broken, gated, inside } = this.#disk;
    const engine = this.#engine;
    if (!gated) {
      yield* this.device.give(count);
      return true;
    }
    if (!broken.passesGate && (yield* engine.gateEnter(this.lane, backend, 1)) === 0) {
      if (!broken.forgetsParked) this.#parked += count;
      return false;
    }
    yield* atomics.add(inside, 1);
    yield* this.device.give(count);
    yield* atomics.sub(inside, 1);
    if (!broken.passesGate) yield* engine.gateLeave(this.lane, backend, 1);
    return true;
  }
}
