/** Gate, notify words, notifiers and bottom halves, with another thread acting before each step. */

import { expect, it } from 'vitest';
import {
  BACKEND_QUIESCE,
  BACKEND_SIZE,
  BH_DELETED,
  BH_FLAGS_MASK,
  BH_GENERATION_SHIFT,
  BH_IDLE,
  BH_SCHEDULED,
  CONTEXT_BH_LIST,
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  CONTEXT_SIZE,
  CONTEXT_SLOT_COUNT,
  CONTEXT_SLOTS,
  LANE_IN_FLIGHT,
  LANE_SIZE,
  NOTIFIER_FLAG,
  NOTIFIER_SIZE,
  NOTIFIER_WATCHER,
  SLOT_FLAGS,
  SLOT_SIZE,
} from '#src/layout';
import { atEachStep, witness } from './atomic-steps.ts';
import { type Contestant, Machine } from './machine.ts';

const S = BH_SCHEDULED;
const SLOTS = 8;

export function stepsWordsSuite(contestant: Contestant): void {
  const make = () => {
    const machine = new Machine(contestant);
    const { engine } = machine;
    const context = machine.allocate(CONTEXT_SIZE);
    const table = machine.allocate(SLOTS * SLOT_SIZE);
    machine.setWord(context + CONTEXT_SLOTS, table);
    machine.setWord(context + CONTEXT_SLOT_COUNT, SLOTS);
    const lane = machine.allocate(LANE_SIZE);
    const backend = machine.allocate(BACKEND_SIZE);
    const notifier = machine.allocate(NOTIFIER_SIZE);
    const schedule = (slot: number, flags = S) => engine.bhEnqueue(context, slot, 0, flags);
    const ran: number[] = [];
    /** Runs what is ready, then what is scheduled. Ends, even if a list has become a ring. */
    const drain = () => {
      for (let turn = 0; turn < 3; turn++) {
        for (let left = 20; left > 0; left--) {
          const next = engine.bhNext(context);
          if (next < 0) break;
          if ((next >>> 16) & S) ran.push(next & 0xffff);
        }
        engine.bhTake(context);
      }
      return ran;
    };
    return {
      machine,
      engine,
      context,
      lane,
      backend,
      notifier,
      schedule,
      drain,
      ran,
      flagsAt: (slot: number) => table + slot * SLOT_SIZE + SLOT_FLAGS,
      result: 0,
      seen: -1,
    };
  };
  type Scene = ReturnType<typeof make>;
  /** A scene whose action is `act`, which may leave a result. */
  const scene = (act: (s: Scene) => number | undefined, prepare?: (s: Scene) => void) => () => {
    const s = make();
    prepare?.(s);
    const action = () => {
      s.result = act(s) ?? 0;
    };
    return Object.assign(s, { action });
  };
  /** The order of an action's steps: operation and address. */
  const order = (s: { action: () => void }) =>
    witness.watch(s.action).map(({ operation, address }) => [operation, address]);

  it('the gate: who enters counts first and asks then, so main sees one or is seen', () => {
    const enter = scene((s) => s.engine.gateEnter(s.lane, s.backend, 3));
    atEachStep(
      enter,
      (s) => {
        s.engine.gateClose(s.backend);
        s.seen = s.engine.gateInFlight(s.lane);
      },
      (s, step) => {
        if (s.seen === 0) expect(s.result, step).toBe(0);
        expect(s.engine.gateInFlight(s.lane), step).toBe(s.result === 1 ? 3 : 0);
      },
    );
    const s = enter();
    expect(order(s)).toEqual([
      ['add32', s.lane + LANE_IN_FLIGHT],
      ['load32', s.backend + BACKEND_QUIESCE],
    ]);
  });

  it('the gate: who leaves counts first and asks then, so main that waits is woken', () => {
    const leave = scene(
      (s) => s.engine.gateLeave(s.lane, s.backend, 3),
      (s) => void s.engine.gateEnter(s.lane, s.backend, 3),
    );
    atEachStep(
      leave,
      (s) => {
        s.engine.gateClose(s.backend);
        s.seen = s.engine.gateInFlight(s.lane);
      },
      (s, step) => {
        if (s.seen > 0) expect(s.result, step).toBe(1);
        expect(s.engine.gateInFlight(s.lane), step).toBe(0);
      },
    );
  });

  it('the gate: two lanes that come and go at once leave no count behind', () => {
    const enter = scene((s) => s.engine.gateEnter(s.lane, s.backend, 3));
    atEachStep(
      enter,
      (s) => {
        s.engine.gateEnter(s.lane, s.backend, 5);
        s.engine.gateClose(s.backend);
        s.engine.gateEnter(s.lane, s.backend, 9);
        s.engine.gateClose(s.backend);
        s.engine.gateOpen(s.backend);
      },
      (s, step) => {
        const mine = s.result === 1 ? 3 : 0;
        if (step === 'no step') return;
        expect(s.engine.gateInFlight(s.lane), step).toBe(5 + mine);
        expect(s.machine.word(s.backend + BACKEND_QUIESCE), step).toBe(1);
      },
    );
  });

  it('NT-1 notify sets notified before it asks who sleeps, so no sleeper is missed', () => {
    const notify = scene((s) => s.engine.notify(s.context));
    atEachStep(
      notify,
      (s) => {
        s.engine.prepare(s.context);
        s.seen = s.machine.word(s.context + CONTEXT_NOTIFIED);
      },
      (s, step) => {
        if (s.seen === 0) expect(s.result, step).toBe(1);
        expect(s.machine.word(s.context + CONTEXT_NOTIFIED), step).toBe(1);
      },
    );
  });

  it('NT-2 GS-2 prepare is one step; check lowers notify_me, then accepts', () => {
    const prepare = scene((s) => void s.engine.prepare(s.context));
    const p = prepare();
    expect(order(p)).toEqual([['or32', p.context + CONTEXT_NOTIFY_ME]]);
    const s = scene((s) => void s.engine.check(s.context))();
    expect(order(s)).toEqual([
      ['and32', s.context + CONTEXT_NOTIFY_ME],
      ['store32', s.context + CONTEXT_NOTIFIED],
    ]);
  });

  it('NT-9 a notifier is set before its watcher is looked up, so who attaches sees one', () => {
    atEachStep(
      scene((s) => s.engine.notifierSet(s.notifier)),
      (s) => {
        s.machine.setWord(s.notifier + NOTIFIER_WATCHER, s.context);
        s.seen = s.machine.word(s.notifier + NOTIFIER_FLAG);
      },
      (s, step) => {
        if (s.seen !== 0) return;
        expect(s.machine.word(s.context + CONTEXT_NOTIFIED), step).toBe(1);
      },
    );
  });

  it('NT-9 test-and-clear is one step: a set meanwhile is told now or stays', () => {
    atEachStep(
      scene((s) => s.engine.notifierTestAndClear(s.notifier)),
      (s) => {
        s.engine.notifierSet(s.notifier);
        s.seen = 1;
      },
      (s, step) => {
        if (s.seen !== 1) return;
        expect(s.result + s.machine.word(s.notifier + NOTIFIER_FLAG), step).toBe(1);
      },
    );
  });

  it('BH-1 a slot is in the list before anybody is told, and is not touched after that', () => {
    const s = scene((s) => s.schedule(3))();
    const slot = s.flagsAt(3);
    const steps = witness.watch(s.action);
    const last = (address: number) => steps.findLastIndex((step) => step.address === address);
    const list = last(s.context + CONTEXT_BH_LIST);
    const notified = steps.findIndex((step) => step.address === s.context + CONTEXT_NOTIFIED);
    expect(list).toBeLessThan(notified);
    for (const word of [slot, slot + 4]) expect(last(word)).toBeLessThan(list);
    expect(steps.at(-1)?.address).toBe(s.context + CONTEXT_NOTIFY_ME);
  });

  it('BH-1 BH-3 two threads schedule: each slot is in the list once, whatever the order', () => {
    for (const other of [3, 4]) {
      atEachStep(
        scene(
          (s) => s.schedule(3),
          (s) => void s.schedule(1),
        ),
        (s) => {
          s.seen = s.schedule(other);
        },
        (s, step) => {
          const expected = s.seen === -1 || other === 3 ? [1, 3] : [1, 3, 4];
          expect(s.drain().sort(), step).toEqual(expected);
        },
      );
    }
  });

  it('BH-1 BH-2 home polls while a slot is scheduled: it runs now or in the next poll', () => {
    for (const before of [[], [3], [1, 3]]) {
      atEachStep(
        scene(
          (s) => s.schedule(3),
          (s) => {
            for (const slot of before) s.schedule(slot);
          },
        ),
        (s) => {
          s.drain();
          s.seen = s.ran.length;
        },
        (s, step) => {
          s.drain();
          expect(s.ran, step).toContain(3);
          expect(s.machine.word(s.flagsAt(3)) & BH_FLAGS_MASK, step).toBe(0);
          expect(s.machine.word(s.context + CONTEXT_BH_LIST), step).toBe(0);
        },
      );
    }
  });

  it('BH-5 BH-6 a cancel loses neither a schedule nor a deletion of another thread', () => {
    for (const flags of [S | BH_IDLE, BH_DELETED]) {
      atEachStep(
        scene(
          (s) => void s.engine.bhCancel(s.context, 3, 0),
          (s) => void s.schedule(3),
        ),
        (s) => {
          s.schedule(3, flags);
          s.seen = s.machine.word(s.flagsAt(3)) & flags;
        },
        (s, step) => {
          if (s.seen < 0) return;
          const kept = flags & ~S;
          expect(s.machine.word(s.flagsAt(3)) & kept, step).toBe(kept);
        },
      );
    }
  });

  it('BH-6 a slot that is freed and made anew meanwhile is not scheduled by an old handle', () => {
    for (const act of ['schedule', 'cancel'] as const) {
      atEachStep(
        scene(
          (s) => (act === 'schedule' ? s.schedule(3) : void s.engine.bhCancel(s.context, 3, 0)),
          (s) => void s.schedule(3, BH_DELETED | S),
        ),
        (s) => {
          s.drain();
          s.seen = s.machine.word(s.flagsAt(3)) >>> BH_GENERATION_SHIFT;
          s.ran.length = 0;
          s.engine.bhEnqueue(s.context, 3, 1, S);
        },
        (s, step) => {
          if (s.seen !== 1) return;
          expect(s.drain(), step).toEqual([3]);
          expect(s.machine.word(s.flagsAt(3)) >>> BH_GENERATION_SHIFT, step).toBe(1);
        },
      );
    }
  });

  it('BH-4 BH-10 what is scheduled while the list is taken is in it or in the next', () => {
    atEachStep(
      scene(
        (s) => void s.engine.bhTake(s.context),
        (s) => {
          for (const slot of [1, 2]) s.schedule(slot);
          s.engine.bhTake(s.context);
          for (const slot of [5, 6]) s.schedule(slot);
        },
      ),
      (s) => {
        s.seen = s.schedule(7);
      },
      (s, step) => {
        expect(s.drain(), step).toEqual(s.seen < 0 ? [1, 2, 5, 6] : [1, 2, 5, 6, 7]);
      },
    );
  });

  it('BH-2 a slot leaves the ready queue before its flags say so: the next one is not lost', () => {
    atEachStep(
      scene(
        (s) => s.engine.bhNext(s.context),
        (s) => {
          for (const slot of [1, 2]) s.schedule(slot);
          s.engine.bhTake(s.context);
        },
      ),
      (s) => void s.schedule(1),
      (s, step) => {
        expect(s.result & 0xffff, step).toBe(1);
        expect(s.drain(), step).toContain(2);
        expect(s.machine.word(s.flagsAt(2)) & BH_FLAGS_MASK, step).toBe(0);
      },
    );
  });

  it('BH-6 a slot deleted while it is taken is freed by this run or by the next', () => {
    atEachStep(
      scene(
        (s) => s.engine.bhNext(s.context),
        (s) => {
          s.schedule(1);
          s.engine.bhTake(s.context);
        },
      ),
      (s) => {
        s.seen = s.schedule(1, BH_DELETED);
      },
      (s, step) => {
        s.drain();
        const freed = s.seen < 0 ? 0 : 1;
        expect(s.machine.word(s.flagsAt(1)), step).toBe(freed << BH_GENERATION_SHIFT);
      },
    );
  });
}
