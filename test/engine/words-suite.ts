/** Bottom-half lists, notify words, notifiers and the gate (behaviour 3.1, 3.2; design 7). */

import { expect, it } from 'vitest';
import {
  BACKEND_QUIESCE,
  BACKEND_SIZE,
  BH_DELETED,
  BH_FLAGS_MASK,
  BH_GENERATION_SHIFT,
  BH_IDLE,
  BH_ONESHOT,
  BH_PENDING,
  BH_SCHEDULED,
  CONTEXT_BH_LIST,
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  CONTEXT_READY_HEAD,
  CONTEXT_READY_TAIL,
  CONTEXT_SIZE,
  CONTEXT_SLOT_COUNT,
  CONTEXT_SLOTS,
  CONTEXT_WAKE,
  LANE_IN_FLIGHT,
  LANE_SIZE,
  NOTIFIER_FLAG,
  NOTIFIER_SIZE,
  NOTIFIER_WATCHER,
  SLOT_FLAGS,
  SLOT_SIZE,
} from '#src/layout';
import { type Contestant, Machine } from './machine.ts';

const S = BH_SCHEDULED;
const P = BH_PENDING;

export function wordsSuite(contestant: Contestant): void {
  function make(slots = 8) {
    const machine = new Machine(contestant);
    const { engine } = machine;
    const context = machine.allocate(CONTEXT_SIZE);
    const table = machine.allocate(slots * SLOT_SIZE);
    machine.setWord(context + CONTEXT_SLOTS, table);
    machine.setWord(context + CONTEXT_SLOT_COUNT, slots);
    const at = (slot: number) => table + slot * SLOT_SIZE + SLOT_FLAGS;
    return {
      machine,
      engine,
      context,
      word: (field: number) => machine.word(context + field),
      flags: (slot: number) => machine.word(at(slot)) & BH_FLAGS_MASK,
      generation: (slot: number) => machine.word(at(slot)) >>> BH_GENERATION_SHIFT,
      setFlags: (slot: number, value: number) => machine.setWord(at(slot), value),
      schedule: (slot: number, flags = S, generation = 0) =>
        engine.bhEnqueue(context, slot, generation, flags),
      cancel: (slot: number, generation = 0) => engine.bhCancel(context, slot, generation),
      /** One poll: what was scheduled so far, as [slot, flags] in the order it would run. */
      poll: () => {
        engine.bhTake(context);
        const taken: [slot: number, flags: number][] = [];
        for (let next = engine.bhNext(context); next >= 0; next = engine.bhNext(context)) {
          taken.push([next & 0xffff, next >>> 16]);
        }
        return taken;
      },
      next: () => engine.bhNext(context),
      take: () => engine.bhTake(context),
      pending: () => engine.bhPending(context),
    };
  }

  it('BH-1 schedule sets the flags, puts the slot on the list once, and always notifies', () => {
    const bh = make();
    expect(bh.schedule(3)).toBe(0);
    expect([bh.flags(3), bh.word(CONTEXT_BH_LIST), bh.word(CONTEXT_NOTIFIED)]).toEqual([
      P | S,
      4,
      1,
    ]);
    bh.engine.accept(bh.context);
    expect(bh.schedule(3)).toBe(0);
    expect(bh.word(CONTEXT_NOTIFIED)).toBe(1); // although it was pending already
    bh.schedule(5);
    bh.engine.prepare(bh.context);
    expect(bh.schedule(3)).toBe(1);
    expect(bh.poll()).toEqual([
      [3, P | S],
      [5, P | S],
    ]);
  });

  it('BH-2 a slot leaves the list before its flags are cleared: a schedule from then on counts', () => {
    const bh = make();
    bh.schedule(1);
    bh.take();
    expect(bh.next()).toBe(1 + ((P | S) << 16));
    expect([bh.flags(1), bh.word(CONTEXT_READY_HEAD), bh.word(CONTEXT_READY_TAIL)]).toEqual([
      0, 0, 0,
    ]);
    bh.schedule(1); // from inside its callback
    expect(bh.next()).toBe(-1);
    expect(bh.poll()).toEqual([[1, P | S]]);
    expect(bh.poll()).toEqual([]);
  });

  it('BH-3 ten schedules before a run are one run', () => {
    const bh = make();
    for (let i = 0; i < 10; i++) bh.schedule(2);
    expect(bh.poll()).toHaveLength(1);
    expect(bh.poll()).toHaveLength(0);
  });

  it('BH-4 what is scheduled during a poll waits for the next', () => {
    const bh = make();
    bh.schedule(1);
    bh.take();
    bh.schedule(2);
    expect([bh.next() & 0xffff, bh.next()]).toEqual([1, -1]);
    expect(bh.poll()).toEqual([[2, P | S]]);
  });

  it('BH-5 cancel clears SCHEDULED; the slot stays pending and may be scheduled again', () => {
    const bh = make();
    bh.schedule(4);
    bh.cancel(4);
    expect(bh.flags(4)).toBe(P);
    expect(bh.pending()).toBe(0);
    bh.schedule(4);
    expect(bh.poll()).toEqual([[4, P | S]]);
    bh.schedule(4);
    bh.cancel(4);
    expect(bh.poll()).toEqual([[4, P]]);
    bh.cancel(4);
    expect(bh.flags(4)).toBe(0);
  });

  it('BH-6 a deleted slot is not to run, and leaves the queue free, one generation on', () => {
    const bh = make();
    bh.schedule(6);
    bh.schedule(6, BH_DELETED);
    expect(bh.pending()).toBe(0);
    expect(bh.poll()).toEqual([[6, P | S | BH_DELETED]]);
    expect([bh.flags(6), bh.generation(6)]).toEqual([0, 1]);
    expect(bh.schedule(6)).toBe(-1);
    expect(bh.poll()).toEqual([]);
    expect(bh.schedule(6, S, 1)).toBe(0);
    expect(bh.poll()).toEqual([[6, P | S]]);
  });

  it('BH-7 a oneshot slot is free after it was taken', () => {
    const bh = make();
    bh.schedule(0, S | BH_ONESHOT);
    expect(bh.poll()).toEqual([[0, P | S | BH_ONESHOT]]);
    expect([bh.flags(0), bh.generation(0)]).toEqual([0, 1]);
    expect(bh.schedule(0)).toBe(-1);
  });

  it('BH-6 BH-7 a generation has 24 bits and wraps; a stale one does nothing', () => {
    const bh = make();
    bh.setFlags(2, 0xffffff00);
    expect(bh.schedule(2, S, 0)).toBe(-1);
    expect(bh.word(CONTEXT_NOTIFIED)).toBe(0);
    expect(bh.schedule(2, S | BH_ONESHOT, 0xffffff)).toBe(0);
    bh.cancel(2, 0xfffffe);
    expect(bh.flags(2)).toBe(P | S | BH_ONESHOT);
    expect(bh.poll()).toHaveLength(1);
    expect([bh.flags(2), bh.generation(2)]).toEqual([0, 0]);
  });

  it('BH-8 a nested poll goes on with what the outer one has left', () => {
    const bh = make();
    for (const slot of [1, 2, 3]) bh.schedule(slot);
    bh.take();
    expect(bh.next() & 0xffff).toBe(1);
    bh.schedule(4);
    expect(bh.poll().map(([slot]) => slot)).toEqual([2, 3, 4]); // inside the callback of 1
    expect(bh.next()).toBe(-1);
  });

  it('BH-9 TM-1 what is ready but not yet run counts as pending, idle ones less', () => {
    const bh = make();
    expect(bh.pending()).toBe(0);
    bh.schedule(1, S | BH_IDLE);
    expect(bh.pending()).toBe(1);
    bh.take();
    expect(bh.pending()).toBe(1);
    bh.schedule(2);
    expect(bh.pending()).toBe(2);
    bh.take();
    expect(bh.pending()).toBe(2);
    expect([bh.next() & 0xffff, bh.next() & 0xffff]).toEqual([1, 2]);
    expect(bh.pending()).toBe(0);
  });

  it('BH-9 one to run at once is found behind idle and cancelled ones', () => {
    const bh = make();
    bh.schedule(1, S | BH_IDLE);
    bh.schedule(2);
    bh.schedule(3);
    bh.cancel(3);
    expect(bh.pending()).toBe(2);
    bh.cancel(2);
    expect(bh.pending()).toBe(1);
    bh.cancel(1);
    expect(bh.pending()).toBe(0);
  });

  it('BH-10 oldest first, within a poll and over two takes', () => {
    const bh = make();
    for (const slot of [5, 0, 7]) bh.schedule(slot);
    bh.take();
    for (const slot of [2, 1]) bh.schedule(slot);
    expect(bh.poll().map(([slot]) => slot)).toEqual([5, 0, 7, 2, 1]);
  });

  it('BH-11 idle is told to whoever takes the slot; a normal schedule takes it away (BH-12)', () => {
    const bh = make();
    bh.schedule(1, S | BH_IDLE);
    expect(bh.poll()).toEqual([[1, P | S | BH_IDLE]]);
    expect(bh.flags(1)).toBe(0);
    bh.schedule(1, S | BH_IDLE);
    bh.schedule(1);
    expect(bh.pending()).toBe(2);
    expect(bh.poll()).toEqual([[1, P | S]]);
    bh.schedule(1);
    bh.schedule(1, S | BH_IDLE);
    expect(bh.poll()).toEqual([[1, P | S | BH_IDLE]]);
  });

  it('BH-1 many slots through many polls, each run as often as it was scheduled', () => {
    const bh = make(64);
    let seed = 7;
    const random = (n: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return (seed >>> 8) % n;
    };
    let [wanted, ran] = [0, 0];
    for (let round = 0; round < 500; round++) {
      const slots = new Set<number>();
      for (let i = random(20); i > 0; i--) slots.add(random(64));
      for (const slot of slots) bh.schedule(slot);
      wanted += slots.size;
      const taken = bh.poll().map(([slot]) => slot);
      expect(taken).toEqual([...slots]);
      ran += taken.length;
    }
    expect(ran).toBe(wanted);
  });

  it('NT-1 notify sets notified, and says wake only if somebody prepares or sleeps', () => {
    const { engine, context, machine, word } = make();
    expect(engine.notify(context)).toBe(0);
    expect(word(CONTEXT_NOTIFIED)).toBe(1);
    engine.prepare(context);
    expect(word(CONTEXT_NOTIFY_ME)).toBe(1);
    expect(engine.notify(context)).toBe(1);
    engine.prepare(context);
    engine.check(context);
    expect([word(CONTEXT_NOTIFY_ME), word(CONTEXT_NOTIFIED)]).toEqual([0, 0]);
    machine.setWord(context + CONTEXT_NOTIFY_ME, 2); // a blocking poll
    expect(engine.notify(context)).toBe(1);
    engine.prepare(context);
    engine.check(context);
    expect(word(CONTEXT_NOTIFY_ME)).toBe(2);
    engine.notify(context);
    engine.accept(context);
    expect([word(CONTEXT_NOTIFIED), word(CONTEXT_WAKE)]).toEqual([0, 0]);
  });

  it('NT-9 a notifier is a flag that stays set, and tells its watcher', () => {
    const { machine, engine, context, word } = make();
    const notifier = machine.allocate(NOTIFIER_SIZE);
    for (let i = 0; i < 3; i++) expect(engine.notifierSet(notifier)).toBe(0);
    expect(machine.word(notifier + NOTIFIER_FLAG)).toBe(1);
    expect(word(CONTEXT_NOTIFIED)).toBe(0); // nobody watches
    expect([0, 1, 2].map(() => engine.notifierTestAndClear(notifier))).toEqual([1, 0, 0]);
    machine.setWord(notifier + NOTIFIER_WATCHER, context);
    expect(engine.notifierSet(notifier)).toBe(0);
    expect(word(CONTEXT_NOTIFIED)).toBe(1);
    engine.prepare(context);
    expect(engine.notifierSet(notifier)).toBe(1);
    expect(engine.notifierTestAndClear(notifier)).toBe(1);
  });

  it('the gate counts in and out, and says whom to wake', () => {
    const { machine, engine } = make();
    const lane = machine.allocate(LANE_SIZE);
    const backend = machine.allocate(BACKEND_SIZE);
    expect(engine.gateEnter(lane, backend, 3)).toBe(1);
    expect(engine.gateEnter(lane, backend, 2)).toBe(1);
    expect(engine.gateInFlight(lane)).toBe(5);
    expect(engine.gateLeave(lane, backend, 1)).toBe(0);
    expect(engine.gateClose(backend)).toBe(1);
    expect(engine.gateClose(backend)).toBe(2);
    expect(engine.gateEnter(lane, backend, 7)).toBe(0);
    expect(machine.word(lane + LANE_IN_FLIGHT)).toBe(4);
    expect(engine.gateLeave(lane, backend, 3)).toBe(1);
    expect(engine.gateLeave(lane, backend, 1)).toBe(1);
    expect(engine.gateOpen(backend)).toBe(1);
    expect(engine.gateEnter(lane, backend, 1)).toBe(0);
    expect(engine.gateOpen(backend)).toBe(0);
    expect(machine.word(backend + BACKEND_QUIESCE)).toBe(0);
    expect(engine.gateEnter(lane, backend, 1)).toBe(1);
  });
}
