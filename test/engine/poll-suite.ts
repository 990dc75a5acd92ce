/** Handlers of a context: which is ready, and busy polling (behaviour 3.2, 3.5, 3.6). */

import { expect, it } from 'vitest';
import { SPIN_NOTHING, SPIN_NOTIFIED } from '#src/engine/engine';
import {
  CONTEXT_HANDLER_END,
  CONTEXT_NOTIFIED,
  HANDLER_F_POLLED,
  NOTIFIER_FLAG,
  NOTIFIER_WATCHER,
  QUEUE_BROKEN,
  QUEUE_F_EVENT_IDX,
  QUEUE_READY,
} from '#src/layout';
import { LoopRig } from './loop-rig.ts';
import { type Contestant, RAM_AT } from './machine.ts';
import { RawRing } from './raw-ring.ts';

export function pollSuite(contestant: Contestant): void {
  const make = () => new LoopRig(contestant);

  /** A ring of four at the given handler place. */
  function withRing(place: number) {
    const r = make();
    const queue = r.machine.createQueue(4);
    const ring = new RawRing(r.machine, queue, 4, RAM_AT);
    expect(ring.enable(QUEUE_F_EVENT_IDX)).toBe(0);
    const notifier = r.handle(place, { queue });
    const spin = (rounds = 1) => r.engine.pollSpin(r.context, rounds);
    return { r, queue, ring, notifier, spin };
  }

  it('NT-9 HN-8 a notifier tells whom it was given, and from then on nobody else', () => {
    const [one, other] = [make(), make()];
    const { engine, machine } = one;
    const notifier = machine.allocate(8);
    engine.notifierWatch(notifier, one.context);
    expect(machine.word(notifier + NOTIFIER_WATCHER)).toBe(one.context);
    expect(machine.word(notifier + NOTIFIER_FLAG)).toBe(0);
    engine.notifierSet(notifier);
    expect(one.word(CONTEXT_NOTIFIED)).toBe(1);
    engine.accept(one.context);
    engine.notifierWatch(notifier, 0);
    expect(engine.notifierSet(notifier)).toBe(0);
    expect(one.word(CONTEXT_NOTIFIED)).toBe(0);
    expect(other.word(CONTEXT_NOTIFIED)).toBe(0);
  });

  it('NT-9 the ready handlers in order, each once: its flag is cleared', () => {
    const r = make();
    const notifiers = [0, 2, 3, 5].map((place) => r.handle(place));
    const ready = (from: number) => r.engine.handlerReady(r.context, from);
    expect(ready(0)).toBe(-1);
    for (const at of [3, 1]) r.engine.notifierSet(notifiers[at]!);
    expect(r.engine.handlerPending(r.context)).toBe(1);
    expect(ready(0)).toBe(2);
    expect(r.machine.word(notifiers[1]! + NOTIFIER_FLAG)).toBe(0);
    expect(ready(3)).toBe(5);
    expect([ready(0), r.engine.handlerPending(r.context)]).toEqual([-1, 0]);
  });

  it('NT-9 places before `from`, and from the end of those in use on, are not looked at', () => {
    const r = make();
    const notifiers = [0, 1, 2].map((place) => r.handle(place));
    for (const notifier of notifiers) r.engine.notifierSet(notifier);
    expect(r.engine.handlerReady(r.context, 3)).toBe(-1);
    expect(r.engine.handlerReady(r.context, 2)).toBe(2);
    r.engine.notifierSet(notifiers[2]!);
    r.set(CONTEXT_HANDLER_END, 2);
    expect(r.engine.handlerReady(r.context, 2)).toBe(-1);
    expect([0, 1, 2].map((from) => r.engine.handlerReady(r.context, from))).toEqual([0, 1, -1]);
    expect(r.engine.handlerPending(r.context)).toBe(0);
    expect(r.engine.pollSpin(r.context, 1)).toBe(SPIN_NOTHING);
    r.set(CONTEXT_HANDLER_END, 3);
    expect(r.engine.handlerPending(r.context)).toBe(1);
    expect(r.engine.pollSpin(r.context, 1)).toBe(2);
  });

  it('FD-3 a place that was freed is passed over, whatever is at address 0', () => {
    const r = make();
    const notifier = r.handle(1);
    const next = r.handle(2);
    r.engine.notifierSet(notifier);
    r.drop(1);
    r.machine.setWord(NOTIFIER_FLAG, 1);
    expect(r.engine.handlerReady(r.context, 0)).toBe(-1);
    expect(r.engine.handlerPending(r.context)).toBe(0);
    expect(r.engine.pollSpin(r.context, 2)).toBe(SPIN_NOTHING);
    expect(r.machine.word(NOTIFIER_FLAG)).toBe(1);
    r.machine.setWord(NOTIFIER_FLAG, 0);
    r.engine.notifierSet(next);
    expect(r.engine.pollSpin(r.context, 2)).toBe(2);
  });

  it('AP-1 busy polling finds a flag, and leaves it as it is', () => {
    const r = make();
    const notifiers = [0, 3, 4].map((place) => r.handle(place));
    expect(r.engine.pollSpin(r.context, 5)).toBe(SPIN_NOTHING);
    r.engine.notifierSet(notifiers[1]!);
    r.engine.notifierSet(notifiers[2]!);
    for (let i = 0; i < 2; i++) expect(r.engine.pollSpin(r.context, 1)).toBe(3);
    expect(r.machine.word(notifiers[1]! + NOTIFIER_FLAG)).toBe(1);
  });

  it('AP-1 busy polling finds buffers in a ring without a kick, and changes nothing', () => {
    const { r, queue, ring, spin } = withRing(2);
    expect(spin()).toBe(SPIN_NOTHING);
    ring.offer(0, 1);
    const [words, bytes] = [r.machine.u8.slice(queue, queue + 192), r.machine.guestBytes()];
    for (let i = 0; i < 2; i++) expect(spin()).toBe(2);
    expect(r.machine.u8.slice(queue, queue + 192)).toEqual(words);
    expect(Buffer.compare(r.machine.guestBytes(), bytes)).toBe(0);
    ring.describe(0, { at: ring.end, length: 8 });
    expect(r.engine.queuePop(queue, 1)).toBe(1);
    expect(spin()).toBe(2); // the second, seen by the last look at avail.idx
  });

  it('AP-1 a ring that is not ready, or broken, has nothing; its flag may', () => {
    const { r, queue, ring, notifier, spin } = withRing(0);
    ring.offer(0);
    r.machine.setWord(queue + QUEUE_READY, 0);
    expect(spin()).toBe(SPIN_NOTHING);
    r.machine.setWord(queue + QUEUE_READY, 1);
    expect(spin()).toBe(0);
    r.machine.setWord(queue + QUEUE_BROKEN, 4);
    expect(spin()).toBe(SPIN_NOTHING);
    r.engine.notifierSet(notifier);
    expect(spin()).toBe(0);
  });

  it('AP-3 what is not in the polled set is not looked at: neither ring nor flag', () => {
    const { r, queue, ring, spin } = withRing(3);
    ring.offer(0);
    for (const flags of [0, ~HANDLER_F_POLLED]) {
      const notifier = r.handle(3, { queue, flags });
      r.engine.notifierSet(notifier);
      expect(spin()).toBe(SPIN_NOTHING);
      expect(r.engine.handlerPending(r.context)).toBe(1);
    }
    r.handle(3, { queue });
    expect(spin()).toBe(3);
  });

  it('AP-10 whatever was notified ends busy polling, before any handler', () => {
    const { r, ring, spin } = withRing(0);
    r.engine.notify(r.context);
    expect(spin()).toBe(SPIN_NOTIFIED);
    ring.offer(0);
    expect(spin()).toBe(SPIN_NOTIFIED);
    expect(r.word(CONTEXT_NOTIFIED)).toBe(1);
    r.engine.accept(r.context);
    expect(spin()).toBe(0);
  });

  it('AP-4 no round, no look', () => {
    const { r, ring, spin } = withRing(0);
    ring.offer(0);
    r.engine.notify(r.context);
    expect(spin(0)).toBe(SPIN_NOTHING);
    expect(spin(1)).toBe(SPIN_NOTIFIED);
  });
}
