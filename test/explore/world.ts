/** What programs are made of: contexts, notifiers, disks' words in an arena, and the engine. */

import {
  BACKEND_SIZE,
  BLOCK_SIZE,
  CHAIN_BLOCKS_MAX,
  CONTEXT_COROUTINE_COUNT,
  CONTEXT_COROUTINES,
  CONTEXT_HANDLER_COUNT,
  CONTEXT_HANDLER_END,
  CONTEXT_HANDLERS,
  CONTEXT_HOME,
  CONTEXT_SIZE,
  CONTEXT_SLOT_COUNT,
  CONTEXT_SLOTS,
  COROUTINE_SIZE,
  HANDLER_NOTIFIER,
  HANDLER_SIZE,
  LANE_SIZE,
  NOTIFIER_SIZE,
  POOL_CAPACITY,
  POOL_CONTEXT,
  POOL_REQUESTS,
  POOL_RING,
  POOL_SIZE,
  QUEUE_BATCH,
  QUEUE_BLOCK_COUNT,
  QUEUE_BLOCKS,
  QUEUE_CAPACITY,
  QUEUE_DONE,
  QUEUE_F_EVENT_IDX,
  QUEUE_RECORDS,
  QUEUE_REGIONS,
  QUEUE_SIZE,
  RECORD_SIZE,
  REGION_SIZE,
  REGION_SIZE_LO,
  REGIONS_COUNT,
  REGIONS_FIRST,
  SLOT_SIZE,
  WORK_SIZE,
} from '#src/layout';
import {
  VIRTQ_AVAIL_RING,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_FLAGS,
  VIRTQ_DESC_LEN,
  VIRTQ_USED_RING,
} from '#src/spec';
import { ARENA_BYTES, Arena } from './arena.ts';
import type { Run } from './execution.ts';
import { type EngineMaker, forgetful, settle } from './explored.ts';
import type { Scene } from './explorer.ts';
import type { EngineCall, ExploredEngine, Piece } from './step.ts';

/** Two or three threads of a protocol. */
export interface Program {
  /** The row it shows, and what it does. */
  readonly name: string;
  /** The functions of the engine that it calls. */
  readonly calls: readonly EngineCall[];
  /** Lays out the memory; what it returns begins an execution. */
  build(world: World): () => Run;
  /** As in `Scene`. */
  readonly fine?: boolean;
  readonly allOrders?: boolean;
}

/** Home of the contexts that a program makes, unless it says otherwise. */
export const HOME = 1;

export interface ContextOptions {
  slots?: number;
  coroutines?: number;
  /** Notifiers that its handlers watch, place by place. */
  handlers?: readonly number[];
  home?: number;
}

export class World {
  readonly arena = new Arena();
  readonly #make: (thread: number) => ExploredEngine;
  /** By thread: the same for all executions, since a call leaves nothing behind in them. */
  readonly #engines = new Map<number, ExploredEngine>();

  constructor(make: EngineMaker) {
    this.#make = make(this.arena);
  }

  /** The engine as one thread calls it; each thread of a program has a number of its own. */
  engine(thread: number): ExploredEngine {
    let engine = this.#engines.get(thread);
    if (!engine) this.#engines.set(thread, (engine = forgetful(this.#make(thread))));
    return engine;
  }

  /** Runs a piece of set-up to its end. */
  settle<T>(piece: Piece<T>): T {
    return settle(this.arena, piece);
  }

  /** A word of the program's own. */
  word(name: string, value = 0): number {
    const address = this.arena.allocate(name, 4, { align: 4 });
    this.arena.setWord(address, value);
    return address;
  }

  context(name: string, options: ContextOptions = {}): number {
    const { slots = 1, coroutines = 0, handlers = [], home = HOME } = options;
    const { arena } = this;
    const context = arena.allocate(name, CONTEXT_SIZE, { fields: 'CONTEXT_' });
    const table = arena.allocate(`${name}'s slot`, slots * SLOT_SIZE, { fields: 'SLOT_' });
    arena.setWord(context + CONTEXT_HOME, home);
    arena.setWord(context + CONTEXT_SLOTS, table);
    arena.setWord(context + CONTEXT_SLOT_COUNT, slots);
    if (coroutines > 0) {
      const places = arena.allocate(`${name}'s coroutine`, coroutines * COROUTINE_SIZE, {
        fields: 'COROUTINE_',
      });
      arena.setWord(context + CONTEXT_COROUTINES, places);
      arena.setWord(context + CONTEXT_COROUTINE_COUNT, coroutines);
    }
    if (handlers.length > 0) {
      const places = arena.allocate(`${name}'s handler`, handlers.length * HANDLER_SIZE, {
        fields: 'HANDLER_',
      });
      arena.setWord(context + CONTEXT_HANDLERS, places);
      arena.setWord(context + CONTEXT_HANDLER_COUNT, handlers.length);
      arena.setWord(context + CONTEXT_HANDLER_END, handlers.length);
      handlers.forEach((notifier, place) => {
        arena.setWord(places + place * HANDLER_SIZE + HANDLER_NOTIFIER, notifier);
      });
    }
    return context;
  }

  notifier(name: string): number {
    return this.arena.allocate(name, NOTIFIER_SIZE, { fields: 'NOTIFIER_' });
  }

  backend(): number {
    return this.arena.allocate('backend', BACKEND_SIZE, { fields: 'BACKEND_' });
  }

  lane(name: string): number {
    return this.arena.allocate(name, LANE_SIZE, { fields: 'LANE_' });
  }

  /** A thread pool of `capacity` requests, whose completions schedule the context's slot 0. */
  pool(context: number, capacity: number): number {
    const { arena } = this;
    const pool = arena.allocate('pool', POOL_SIZE, { fields: 'POOL_' });
    arena.setWord(pool + POOL_CAPACITY, capacity);
    arena.setWord(pool + POOL_RING, arena.allocate('ring', 4 * capacity));
    const requests = arena.allocate('request', capacity * WORK_SIZE, { fields: 'WORK_' });
    arena.setWord(pool + POOL_REQUESTS, requests);
    arena.setWord(pool + POOL_CONTEXT, context);
    return pool;
  }

  /** An enabled queue whose descriptors are all filled in: head n is a chain of its own. */
  ring({ num = 2, eventIdx = false } = {}): Ring {
    const { arena } = this;
    const own = { own: true, align: 16 };
    const buffer = arena.allocate('buffer', 4, own);
    const regions = arena.allocate('regions', REGIONS_FIRST + 2 * REGION_SIZE, own);
    arena.setWord(regions + REGIONS_COUNT, 1);
    arena.setWord(regions + REGIONS_FIRST + REGION_SIZE_LO, ARENA_BYTES);
    const desc = arena.allocate('desc', 16 * num, own);
    for (let head = 0; head < num; head++) {
      arena.setWord(desc + 16 * head, buffer);
      arena.setWord(desc + 16 * head + VIRTQ_DESC_LEN, 4);
      arena.setWord(desc + 16 * head + VIRTQ_DESC_FLAGS, VIRTQ_DESC_F_WRITE);
    }
    const avail = arena.allocate('avail', VIRTQ_AVAIL_RING + 2 * num + 2, { align: 4 });
    const used = arena.allocate('used', VIRTQ_USED_RING + 8 * num + 2, { align: 4 });
    const queue = arena.allocate('queue', QUEUE_SIZE, { fields: 'QUEUE_' });
    const blocks = CHAIN_BLOCKS_MAX + num;
    arena.setWord(queue + QUEUE_REGIONS, regions);
    arena.setWord(
      queue + QUEUE_RECORDS,
      arena.allocate('records', num * RECORD_SIZE, { fields: 'RECORD_' }),
    );
    arena.setWord(queue + QUEUE_BATCH, arena.allocate('batch', num * 4));
    arena.setWord(queue + QUEUE_DONE, arena.allocate('done', num * 4));
    arena.setWord(queue + QUEUE_CAPACITY, num);
    arena.setWord(queue + QUEUE_BLOCKS, arena.allocate('blocks', blocks * BLOCK_SIZE, own));
    arena.setWord(queue + QUEUE_BLOCK_COUNT, blocks);
    const engine = this.engine(0);
    this.settle(engine.queueReset(queue));
    const features = eventIdx ? QUEUE_F_EVENT_IDX : 0;
    const broken = this.settle(
      engine.queueEnable(queue, num, features, desc, 0, avail, 0, used, 0),
    );
    if (broken !== 0) throw new Error(`the queue broke with ${broken}`);
    return { queue, num, eventIdx, desc, avail, used, heads: avail + VIRTQ_AVAIL_RING };
  }

  /** The slot's words, for a check at the end. */
  slotAt(context: number, slot: number): number {
    return (this.arena.word(context + CONTEXT_SLOTS) >>> 0) + slot * SLOT_SIZE;
  }
}

/** What `World.ring` makes: a queue of `num` descriptors, the device's side and the driver's. */
export interface Ring {
  readonly queue: number;
  readonly num: number;
  readonly eventIdx: boolean;
  /** Addresses of the descriptors, the available and the used ring. */
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  /** Where the driver puts the head of its n-th chain; each chain is one buffer of 4 bytes. */
  readonly heads: number;
}

/** A program with an engine: ready to be explored. */
export function sceneOf(program: Program, make: EngineMaker): Scene {
  const world = new World(make);
  const start = program.build(world);
  world.arena.seal();
  const { fine, allOrders } = program;
  return { arena: world.arena, start, fine: fine ?? false, allOrders: allOrders ?? false };
}
