/**
 * Requests that meet a closed gate: parked by their home thread, brought back by a bottom half when
 * main has opened it again (src/block/lane.ts, lane-gate.ts, lane-service.ts, backend-gate.ts,
 * drain.ts). QEMU has one list for all threads and a lock around it (MC M4); here each home thread
 * has a list of its own, and main tells each of them, whether something is parked there or not.
 */

import { BACKEND_QUIESCE, LANE_IN_FLIGHT } from '#src/layout';
import { HOME_CALLS, Home, schedule } from '../mirror.ts';
import { atomics, type EngineCall, type ExploredEngine, type Piece, repeat } from '../step.ts';
import type { Program, World } from '../world.ts';

const CALLS: readonly EngineCall[] = [
  ...HOME_CALLS,
  'gateEnter',
  'gateLeave',
  'gateClose',
  'gateOpen',
  'gateInFlight',
];

export interface BrokenParking {
  /** Home is told before the gate opens, finds it closed, and is not told again. */
  toldBeforeOpen?: boolean;
  /**
   * Main tells only who has said that something is parked, and home says so after the gate has
   * refused it (MC M4a: the list is looked at, and what comes later is nobody's).
   */
  toldIfParked?: boolean;
  /** What comes back looks at the gate, and counts itself in afterwards (MC M4c). */
  countsLate?: boolean;
  /** The list is in shared words, and main takes it without an order to home (MC M4d). */
  mainTakesList?: boolean;
  /** A leave wakes main only if main has said that it waits, which it says late (MC M5a). */
  wakesWhoWaits?: boolean;
  /** Who is refused was counted for a moment, and does not wake main. */
  refusalIsSilent?: boolean;
  /** Main looks who is in flight, has a turn, and then says that it waits (MC M6a). */
  looksFirst?: boolean;
  /** A leave wakes main before it counts down (MC M6b). */
  wakesFirst?: boolean;
  /** What is parked waits for an end of any section, not of the outermost. */
  innerEndTells?: boolean;
}

export interface Parking {
  lanes?: number;
  requests?: number;
  /** Drained sections, one after the other; and how deep each is nested. */
  sections?: number;
  depth?: number;
  /** Does main wait until nothing is in flight? If not, it looks at nothing either. */
  polls?: boolean;
}

/** What the threads share. */
class Disk {
  readonly world: World;
  readonly broken: BrokenParking;
  /** Main's context: slot 0 looks again who is in flight. */
  readonly context: number;
  readonly backend: number;
  readonly lanes: Lane[];
  readonly inside: number;
  /** 1: main has said that it waits; of `wakesWhoWaits` alone. */
  readonly waits: number;

  constructor(world: World, { lanes = 1, requests = 1 }: Parking, broken: BrokenParking) {
    this.world = world;
    this.broken = broken;
    this.context = world.context('main');
    this.backend = world.backend();
    this.inside = world.word('inside');
    this.waits = world.word('waits');
    this.lanes = Array.from({ length: lanes }, (_, n) => new Lane(this, n + 1, requests));
  }
}

/** One home thread, its lane and whoever submits there. */
class Lane {
  readonly context: number;
  readonly address: number;
  /** Of `toldIfParked` and `mainTakesList`: the list's length, and what main has taken of it. */
  readonly listed: number;
  readonly taken: number;
  readonly #disk: Disk;
  readonly #thread: number;
  readonly #requests: number;
  #engine!: ExploredEngine;
  #parked = 0;
  #done = 0;

  constructor(disk: Disk, thread: number, requests: number) {
    const { world } = disk;
    this.#disk = disk;
    this.#thread = thread;
    this.#requests = requests;
    this.context = world.context(`home ${thread}`, { slots: 2 });
    this.address = world.lane(`lane ${thread}`);
    this.listed = world.word('listed');
    this.taken = world.word('taken');
  }

  /** Submits all requests, then polls until they are done. */
  *run(): Piece {
    const engine = this.#disk.world.engine(this.#thread);
    this.#engine = engine;
    this.#parked = 0;
    this.#done = 0;
    const callbacks = [() => this.#gateMoved(), () => this.#opened()];
    const self = new Home(engine, this.context, { callbacks });
    const known = () => this.#done * 16 + this.#parked;
    let submitted = 0;
    yield* repeat(
      () => submitted === this.#requests,
      () => submitted * 64 + known(),
      function* (this: Lane): Piece {
        submitted += 1;
        yield* this.#submit();
      }.bind(this),
    );
    yield* self.pollUntil(() => this.#done === this.#requests, known);
  }

  /** `OpenedLane.look`. */
  *#gateMoved(): Piece {
    if ((yield* atomics.load(this.#disk.backend + BACKEND_QUIESCE)) !== 0) return;
    yield* schedule(this.#engine, this.context, 1);
  }

  /** `BackendLane.#tellOpen`, and what its listeners do: each request comes by the usual way. */
  *#opened(): Piece {
    const { backend, broken } = this.#disk;
    if ((yield* atomics.load(backend + BACKEND_QUIESCE)) !== 0) return;
    let count = this.#parked;
    if (broken.mainTakesList) {
      count = yield* atomics.load(this.taken);
      yield* atomics.store(this.taken, 0);
    }
    this.#parked -= count;
    for (; count > 0; count--) yield* this.#submit(broken.countsLate);
  }

  /** `LaneGate.enter` and `leave`; a request that is refused is parked. */
  *#submit(countsLate = false): Piece {
    const { backend, broken, inside } = this.#disk;
    const engine = this.#engine;
    if (countsLate) {
      yield* atomics.add(this.address + LANE_IN_FLIGHT, 1);
    } else if ((yield* engine.gateEnter(this.address, backend, 1)) === 0) {
      if (!broken.refusalIsSilent) yield* this.#wakeMain();
      yield* this.#park();
      return;
    }
    yield* atomics.add(inside, 1);
    yield* atomics.sub(inside, 1);
    if (broken.wakesFirst) yield* this.#wakeMain();
    const closed = yield* engine.gateLeave(this.address, backend, 1);
    if (closed === 1 && !broken.wakesFirst) yield* this.#wakeMain();
    this.#done += 1;
  }

  *#park(): Piece {
    const { broken } = this.#disk;
    this.#parked += 1;
    if (!broken.toldIfParked && !broken.mainTakesList) return;
    const length = yield* atomics.load(this.listed);
    yield* atomics.store(this.listed, length + 1);
  }

  *#wakeMain(): Piece {
    const { broken, context, waits } = this.#disk;
    if (broken.wakesWhoWaits && (yield* atomics.load(waits)) === 0) return;
    yield* schedule(this.#engine, context);
  }
}

/** `BlockBackend`, on main. */
class Main {
  readonly #disk: Disk;
  readonly #options: Parking;
  readonly #engine: ExploredEngine;
  readonly #self: Home;
  /** Somebody waits in `untilQuiet`. */
  #waiter = false;

  constructor(disk: Disk, options: Parking) {
    this.#disk = disk;
    this.#options = options;
    this.#engine = disk.world.engine(0);
    this.#self = new Home(this.#engine, disk.context, { callbacks: [() => this.#lookAgain()] });
  }

  *run(): Piece {
    const { sections = 1, depth = 1, polls = true } = this.#options;
    let section = 0;
    yield* repeat(
      () => section === sections,
      () => section,
      function* (this: Main): Piece {
        section += 1;
        for (let n = 0; n < depth; n++) yield* this.#begin();
        if (polls) yield* this.#idle();
        if (polls) yield* this.#check();
        for (let n = 0; n < depth; n++) {
          yield* this.#end();
          if (polls && n + 1 < depth) yield* this.#check();
        }
      }.bind(this),
    );
  }

  *#check(): Piece {
    if ((yield* atomics.load(this.#disk.inside)) !== 0) throw new Error('a request in a section');
  }

  *#begin(): Piece {
    if ((yield* this.#engine.gateClose(this.#disk.backend)) === 1) yield* this.#gateMoved();
  }

  *#end(): Piece {
    const { backend, broken } = this.#disk;
    if (broken.toldBeforeOpen) yield* this.#gateMoved();
    const left = yield* this.#engine.gateOpen(backend);
    if (broken.innerEndTells ? left > 0 : left === 0 && !broken.toldBeforeOpen) {
      yield* this.#gateMoved();
    }
  }

  /** `RemoteLane.gateMoved`, for every lane. */
  *#gateMoved(): Piece {
    const { broken, lanes } = this.#disk;
    for (const lane of lanes) {
      if (broken.toldIfParked || broken.mainTakesList) {
        const listed = yield* atomics.load(lane.listed);
        if (broken.toldIfParked && listed === 0) continue;
        yield* atomics.store(lane.listed, 0);
        const taken = yield* atomics.load(lane.taken);
        yield* atomics.store(lane.taken, taken + listed);
      }
      yield* schedule(this.#engine, lane.context);
    }
  }

  *#isBusy(): Piece<boolean> {
    for (const { address } of this.#disk.lanes) {
      if ((yield* this.#engine.gateInFlight(address)) !== 0) return true;
    }
    return false;
  }

  /** `untilQuiet`, in one turn of main: who leaves later is heard in a later one. */
  *#idle(): Piece {
    const { broken, waits } = this.#disk;
    if (!(yield* this.#isBusy())) return;
    if (broken.looksFirst) yield* this.#self.poll(false);
    this.#waiter = true;
    if (broken.wakesWhoWaits) yield* atomics.store(waits, 1);
    yield* this.#self.pollUntil(
      () => !this.#waiter,
      () => 0,
    );
    if (broken.wakesWhoWaits) yield* atomics.store(waits, 0);
  }

  *#lookAgain(): Piece {
    if (this.#waiter) this.#waiter = yield* this.#isBusy();
  }
}

/**
 * BB-8: home threads submit while main drains; each request is done once, none in a section. Main
 * sleeps until somebody wakes it.
 */
export function parking(options: Parking = {}, broken: BrokenParking = {}): Program {
  return {
    name: 'requests that are parked while main drains',
    calls: CALLS,
    build(world) {
      const disk = new Disk(world, options, broken);
      return () => {
        const threads: Record<string, Piece> = { main: new Main(disk, options).run() };
        for (const [n, lane] of disk.lanes.entries()) threads[`home ${n + 1}`] = lane.run();
        const { lanes, inside } = disk;
        return {
          threads,
          final() {
            const left = [inside, ...lanes.map(({ address }) => address)];
            const counts = left.map((at) => world.arena.word(at));
            return counts.every((count) => count === 0) ? undefined : `in flight: ${counts}`;
          },
        };
      };
    },
  };
}
