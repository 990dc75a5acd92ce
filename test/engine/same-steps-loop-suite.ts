/** Both engines take the same atomic steps: sleeping, polling, visits, coroutines, thread pool. */

import { expect, it } from 'vitest';
import {
  CONTEXT_HOME,
  CORE_HEADER_MAIN,
  CORE_HEADER_SIZE,
  CORE_HEADER_WAITERS,
  POOL_IDLE,
  QUEUE_BROKEN,
} from '#src/layout';
import { PoolRig } from './loop-rig.ts';
import { type Contestant, RAM_AT } from './machine.ts';
import { RawRing } from './raw-ring.ts';
import { recorder } from './same-steps-suite.ts';

export function sameStepsLoopSuite(one: Contestant, other: Contestant): void {
  /** `script` gets a rig and writes down what is done; both engines must leave the same bytes. */
  function same(script: (r: PoolRig, record: ReturnType<typeof recorder>) => void): void {
    const [mine, theirs] = [one, other].map((contestant) => {
      const r = new PoolRig(contestant);
      const lines: string[] = [];
      script(r, recorder(lines));
      return { lines, bytes: r.machine.u8.slice(r.machine.stateAt, r.machine.stateEnd) };
    });
    expect(mine!.lines.length).toBeGreaterThan(0);
    expect(theirs!.lines).toEqual(mine!.lines);
    expect(Buffer.compare(theirs!.bytes, mine!.bytes)).toBe(0);
  }

  it('NT-2 NT-5 FD-5 WT-1 sleeping, polls, visits, kicks and mail', () => {
    same((r, record) => {
      const { engine, context, machine } = r;
      const header = machine.allocate(CORE_HEADER_SIZE);
      record('enter', () => engine.waitEnter(context));
      record('mail to a sleeper', () => engine.mailSent(context));
      record('leave', () => engine.waitLeave(context));
      record('mail', () => engine.mailSent(context));
      record('enter notified', () => engine.waitEnter(context));
      record('received', () => engine.mailReceived(context));
      r.set(CONTEXT_HOME, 4);
      for (const thread of [4, 5]) record('poll', () => engine.pollBegin(context, thread));
      record('end', () => engine.pollEnd(context));
      record('visit', () => engine.visitBegin(context));
      record('close visited', () => engine.visitClose(context));
      record('visit ends', () => engine.visitEnd(context));
      record('close', () => engine.visitClose(context));
      record('visit closed', () => engine.visitBegin(context));
      record('nobody waits', () => engine.waitKick(header));
      machine.setWord(header + CORE_HEADER_WAITERS, 1);
      record('no main', () => engine.waitKick(header));
      machine.setWord(header + CORE_HEADER_MAIN, context);
      record('kick', () => engine.waitKick(header));
      engine.waitLeave(context);
      record('kick awake', () => engine.waitKick(header));
    });
  });

  it('AP-1 NT-9 handlers and busy polling', () => {
    for (const [one, other] of [
      [0, 1],
      [1, 0],
    ] as const) {
      same((r, record) => {
        const { engine, context, machine } = r;
        const queue = machine.createQueue(4);
        const ring = new RawRing(machine, queue, 4, RAM_AT);
        ring.enable();
        const notifiers = [r.handle(one, { queue }), r.handle(other), r.handle(3, { flags: 0 })];
        // Home, which may load it plainly, is the only one to change it while it serves.
        const lines: string[] = [];
        const quiet = recorder(lines, [queue + QUEUE_BROKEN]);
        const spin = (rounds: number) => engine.pollSpin(context, rounds);
        quiet('idle', () => spin(2));
        engine.notifierSet(notifiers[2]!);
        quiet('not polled', () => spin(1));
        engine.notifierSet(notifiers[1]!);
        quiet('flag', () => spin(2));
        ring.offer(0);
        quiet('ring', () => spin(2));
        engine.notifierSet(notifiers[0]!);
        quiet('ring and flag', () => spin(1));
        engine.notify(context);
        quiet('notified', () => spin(1));
        record(lines.join('\n'), () => 0);
        record('watch', () => engine.notifierWatch(notifiers[1]!, context));
        record('pending', () => engine.handlerPending(context));
        for (const from of [0, 1, 2, 0]) {
          record(`ready ${from}`, () => engine.handlerReady(context, from));
        }
        record('not pending', () => engine.handlerPending(context));
      });
    }
  });

  it('CO-1 CO-5 CO-13 coroutines', () => {
    same((r, record) => {
      const { engine, context } = r;
      for (const number of [2, 5, 2]) {
        record(`schedule ${number}`, () => engine.coSchedule(context, number, 1));
      }
      record('take', () => engine.coTake(context));
      for (const number of [1, 7]) engine.coSchedule(context, number, 2);
      record('take behind', () => engine.coTake(context));
      for (let i = 0; i < 5; i++) record('next', () => engine.coNext(context));
      record('take nothing', () => engine.coTake(context));
      engine.waitEnter(context);
      record('wakes', () => engine.coSchedule(context, 2, 1));
    });
  });

  it('TP-1 TP-2 TP-4 the thread pool', () => {
    same((r, record) => {
      const { engine, pool } = r;
      for (const number of [2, 0, 3]) record('submit', () => engine.poolSubmit(pool, number));
      record('take', () => engine.poolTake(pool));
      for (const number of [0, 0, 2]) record('cancel', () => engine.poolCancel(pool, number, -125));
      record('reap', () => engine.poolReap(pool, 0));
      record('submit again', () => engine.poolSubmit(pool, 0));
      r.setPool(POOL_IDLE, 1);
      record('submit to one that waits', () => engine.poolSubmit(pool, 1));
      record('cancel', () => engine.poolCancel(pool, 3, -1));
      for (let i = 0; i < 4; i++) record('take', () => engine.poolTake(pool));
      engine.prepare(r.context);
      for (const number of [2, 1]) record('done', () => engine.poolDone(pool, number, number - 9));
      for (const from of [2, 0, 0, 0]) record('reap', () => engine.poolReap(pool, from));
    });
  });
}
