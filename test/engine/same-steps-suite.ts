/** Both engines take the same atomic steps: same words, same order, same values. */

import { expect, it } from 'vitest';
import {
  BACKEND_SIZE,
  BH_DELETED,
  BH_IDLE,
  BH_ONESHOT,
  BH_SCHEDULED,
  CONTEXT_SIZE,
  CONTEXT_SLOTS,
  LANE_SIZE,
  NOTIFIER_SIZE,
  NOTIFIER_WATCHER,
  QUEUE_BROKEN,
  QUEUE_F_EVENT_IDX,
  QUEUE_F_NOTIFY_ON_EMPTY,
  SLOT_SIZE,
} from '#src/layout';
import { VIRTQ_AVAIL_F_NO_INTERRUPT } from '#src/spec';
import { witness } from './atomic-steps.ts';
import { Disk } from './disk.ts';
import { type Contestant, Machine } from './machine.ts';
import { rig } from './rig.ts';

const CLUSTER = 65536;
const S = BH_SCHEDULED;

/** What is done and the steps that takes, as lines. */
type Lines = string[];

/** Writes down each call that `record` is given, with its steps but those at `unseen`. */
export function recorder(lines: Lines, unseen: readonly number[] = []) {
  return (name: string, action: () => unknown) => {
    let result: unknown;
    const steps = witness.watch(() => {
      result = action();
    });
    lines.push(name);
    for (const { operation, address, operands } of steps) {
      if (operation === 'load32' && unseen.includes(address)) continue;
      lines.push(`  ${operation} ${address.toString(16)} ${operands.join(' ')}`);
    }
    lines.push(`  = ${result}`);
  };
}

export function sameStepsSuite(one: Contestant, other: Contestant): void {
  function same(script: (contestant: Contestant) => Lines): void {
    const [mine, theirs] = [script(one), script(other)];
    expect(mine.length).toBeGreaterThan(0);
    expect(theirs).toEqual(mine);
  }

  for (const features of [0, QUEUE_F_EVENT_IDX, QUEUE_F_NOTIFY_ON_EMPTY]) {
    it(`rings: enable, notification, pop, push, reset; features ${features}`, () => {
      same((contestant) => {
        const r = rig(contestant, { features, num: 4 });
        const { engine, queue, ring } = r;
        const lines: Lines = [];
        // Home, which may load it plainly, is the only one to change it while it serves.
        const record = recorder(lines, [queue + QUEUE_BROKEN]);
        for (let head = 0; head < 4; head++) ring.describe(head, { at: r.room, length: 8 });
        record('off', () => engine.queueSetNotification(queue, 0));
        record('empty', () => engine.queueEmpty(queue));
        ring.offer(0, 1, 2);
        record('not empty', () => engine.queueEmpty(queue));
        record('pop two', () => engine.queuePop(queue, 2));
        record('on', () => engine.queueSetNotification(queue, 1));
        record('pop the third', () => engine.queuePop(queue, 2));
        record('pop nothing', () => engine.queuePop(queue, 2));
        record('push', () => ring.push(1));
        ring.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
        record('push two', () => ring.push(0, 2));
        record('push nothing', () => ring.push());
        ring.offer(3);
        record('pop with kicks', () => engine.queuePop(queue, 2));
        record('detach', () => engine.queueDetach(queue, 3));
        record('break', () => engine.queueBreak(queue, 1));
        record('pop broken', () => engine.queuePop(queue, 2));
        record('reset', () => engine.queueReset(queue));
        record('enable', () => ring.enable(features));
        record('too many', () => {
          ring.publish(5);
          return engine.queuePop(queue, 2);
        });
        record('restore broken', () => engine.queueRestore(queue, 2));
        engine.queueReset(queue);
        ring.enable(features);
        record('restore', () => engine.queueRestore(queue, 3));
        record('restore a request', () => engine.blkRestore(queue, 1));
        record('restore too many', () => engine.queueRestore(queue, 0));
        record('restore too far', () => engine.queueRestore(queue, 9));
        return lines;
      });
    });
  }

  it('SCSI commands: pop, a bad header, collect and finish, push, restore', () => {
    same((contestant) => {
      const r = rig(contestant, { num: 16 });
      const { engine, queue, ring, machine } = r;
      const [lane, backend] = [machine.allocate(LANE_SIZE), machine.allocate(BACKEND_SIZE)];
      const lines: Lines = [];
      const record = recorder(lines, [queue + QUEUE_BROKEN]);
      for (const head of [0, 2, 4, 6]) {
        ring.chain(head, [
          { at: r.room, length: head === 4 ? 50 : 51 },
          { at: r.room + 64, length: 108, flags: 2 },
        ]);
      }
      const pop = () => engine.scsiPop(queue, 8, 32, 96);
      ring.offer(0, 2);
      record('pop two', pop);
      record('pop nothing', pop);
      record('collect', () => engine.scsiCollect(queue, 0, 2, backend, 512, 0));
      record('finish', () => engine.scsiFinish(queue, 0, 0, lane, 0));
      record('push', () => engine.scsiPush(queue, ring.done(2)));
      record('push a stray', () => engine.scsiPush(queue, ring.done(0, 2)));
      ring.offer(6, 4, 0);
      record('pop one, and break', pop);
      record('pop broken', pop);
      record('push broken', () => engine.scsiPush(queue, ring.done(6)));
      engine.queueReset(queue);
      record('push not ready', () => engine.scsiPush(queue, ring.done(6)));
      ring.enable();
      record('restore', () => engine.scsiRestore(queue, 0, 32, 96));
      record('restore a bad one', () => engine.scsiRestore(queue, 4, 32, 96));
      return lines;
    });
  });

  it('gate, notify words, notifiers and bottom halves', () => {
    same((contestant) => {
      const machine = new Machine(contestant);
      const { engine } = machine;
      const lines: Lines = [];
      const record = recorder(lines);
      const [lane, backend] = [machine.allocate(LANE_SIZE), machine.allocate(BACKEND_SIZE)];
      const context = machine.allocate(CONTEXT_SIZE);
      const notifier = machine.allocate(NOTIFIER_SIZE);
      machine.setWord(context + CONTEXT_SLOTS, machine.allocate(8 * SLOT_SIZE));
      record('enter', () => engine.gateEnter(lane, backend, 2));
      record('close', () => engine.gateClose(backend));
      record('in flight', () => engine.gateInFlight(lane));
      record('leave', () => engine.gateLeave(lane, backend, 2));
      record('closed', () => engine.gateEnter(lane, backend, 2));
      record('open', () => engine.gateOpen(backend));
      record('nobody watches', () => engine.notifierSet(notifier));
      machine.setWord(notifier + NOTIFIER_WATCHER, context);
      record('set', () => engine.notifierSet(notifier));
      record('test and clear', () => engine.notifierTestAndClear(notifier));
      record('prepare', () => engine.prepare(context));
      record('notify', () => engine.notify(context));
      record('check', () => engine.check(context));
      record('accept', () => engine.accept(context));
      for (const flags of [S, S | BH_IDLE, S, S | BH_ONESHOT, BH_DELETED]) {
        for (const slot of [2, 5]) {
          record(`enqueue ${flags}`, () => engine.bhEnqueue(context, slot, 0, flags));
        }
      }
      record('stale', () => engine.bhEnqueue(context, 2, 9, S));
      record('cancel', () => engine.bhCancel(context, 5, 0));
      record('cancel stale', () => engine.bhCancel(context, 5, 9));
      record('pending', () => engine.bhPending(context));
      record('take', () => engine.bhTake(context));
      record('enqueue', () => engine.bhEnqueue(context, 7, 0, S));
      record('pending', () => engine.bhPending(context));
      record('take behind', () => engine.bhTake(context));
      for (let i = 0; i < 4; i++) record('next', () => engine.bhNext(context));
      record('take nothing', () => engine.bhTake(context));
      return lines;
    });
  });

  it('clusters claimed: fresh, within a limit, and used again', () => {
    same((contestant) => {
      const machine = new Machine(contestant, { stateBytes: 16 * CLUSTER });
      const lines: Lines = [];
      const record = recorder(lines);
      const disk = new Disk(machine, { size: 64 * CLUSTER, fresh: 6 });
      const limited = new Disk(machine, { size: 64 * CLUSTER, fresh: 3, limit: 2 });
      const buffer = machine.allocate(64);
      record('a hole read', () => disk.read(0, buffer, 8));
      record('first write', () => disk.write(0, buffer, 8));
      record('second write', () => disk.write(0, buffer, 8));
      record('two clusters', () => disk.write(2 * CLUSTER - 4, buffer, 8));
      record('allocated', () => disk.allocated(0));
      disk.zero(0, 2 * CLUSTER, 1);
      record('used again', () => disk.write(5 * CLUSTER, buffer, 8));
      for (let n = 0; n < 3; n++) record('limited', () => limited.write(n * CLUSTER, buffer, 8));
      record('empty', () => disk.write(10 * CLUSTER, buffer, 4 * CLUSTER));
      return lines;
    });
  });
}
