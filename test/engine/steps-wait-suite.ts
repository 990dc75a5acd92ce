/** Sleeping, visiting, kicking, polling and mail, with another thread acting before each step. */

import { expect, it } from 'vitest';
import { SPIN_NOTHING, SPIN_NOTIFIED } from '#src/engine/engine';
import {
  CONTEXT_HOME,
  CONTEXT_MAIL_RECEIVED,
  CONTEXT_MAIL_SENT,
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  CONTEXT_VISITS,
  CORE_HEADER_MAIN,
  CORE_HEADER_SIZE,
  CORE_HEADER_WAITERS,
  NOTIFIER_FLAG,
  NOTIFIER_WATCHER,
  VISITS_CLOSED,
} from '#src/layout';
import { atEachStep, witness } from './atomic-steps.ts';
import { LoopRig } from './loop-rig.ts';
import { type Contestant, RAM_AT } from './machine.ts';
import { RawRing } from './raw-ring.ts';
import { orderOf, scenes } from './scene.ts';

export function stepsWaitSuite(contestant: Contestant): void {
  const scene = scenes(() => {
    const r = new LoopRig(contestant);
    const header = r.machine.allocate(CORE_HEADER_SIZE);
    r.machine.setWord(header + CORE_HEADER_MAIN, r.context);
    return Object.assign(r, { header });
  });

  it('NT-2 a sleeper raises notify_me before it looks at notified: told, or awake', () => {
    atEachStep(
      scene((s) => s.engine.waitEnter(s.context)),
      (s) => {
        s.seen = s.engine.notify(s.context);
      },
      (s, step) => {
        if (s.seen === 0) expect(s.result, step).toBe(0);
        expect(s.word(CONTEXT_NOTIFY_ME), step).toBe(2);
      },
    );
  });

  it('NT-2 it lowers notify_me, then accepts', () => {
    const s = scene(
      (s) => void s.engine.waitLeave(s.context),
      (s) => void s.engine.waitEnter(s.context),
    )();
    expect(orderOf(s)).toEqual([
      ['sub32', s.context + CONTEXT_NOTIFY_ME],
      ['store32', s.context + CONTEXT_NOTIFIED],
    ]);
  });

  it('NT-3 two that sleep, or prepare, at once: each has its part of notify_me', () => {
    for (const act of ['waitEnter', 'waitLeave'] as const) {
      atEachStep(
        scene(
          (s) => void s.engine[act](s.context),
          (s) => void s.engine.waitEnter(s.context),
        ),
        (s) => {
          s.engine.waitEnter(s.context);
          s.engine.prepare(s.context);
          s.seen = 3;
        },
        (s, step) => {
          const own = act === 'waitEnter' ? 4 : 0;
          expect(s.word(CONTEXT_NOTIFY_ME), step).toBe(own + Math.max(s.seen, 0));
        },
      );
    }
  });

  it('NT-5 a poll looks at its home in one step, and at nothing else', () => {
    const s = scene(
      (s) => s.engine.pollBegin(s.context, 3),
      (s) => s.set(CONTEXT_HOME, 3),
    )();
    expect(orderOf(s)).toEqual([['load32', s.context + CONTEXT_HOME]]);
    expect(s.result).toBe(1);
  });

  it('FD-5 a visit and a closing at once: one of them is refused', () => {
    for (const act of ['visitBegin', 'visitClose'] as const) {
      const other = act === 'visitBegin' ? 'visitClose' : 'visitBegin';
      atEachStep(
        scene((s) => s.engine[act](s.context)),
        (s) => {
          s.seen = s.engine[other](s.context);
        },
        (s, step) => {
          if (s.seen >= 0) expect(s.result + s.seen, step).toBe(1);
          const closed = act === 'visitClose' ? s.result : Math.max(s.seen, 0);
          expect(s.word(CONTEXT_VISITS), step).toBe(closed === 1 ? VISITS_CLOSED : 1);
        },
      );
    }
  });

  it('FD-5 visitors that come and go at once are all counted', () => {
    for (const act of ['visitBegin', 'visitEnd'] as const) {
      atEachStep(
        scene(
          (s) => s.engine[act](s.context) ?? 1,
          (s) => s.set(CONTEXT_VISITS, 2),
        ),
        (s) => {
          s.seen = s.engine.visitBegin(s.context);
        },
        (s, step) => {
          const expected = (act === 'visitBegin' ? 3 : 1) + Math.max(s.seen, 0);
          expect([s.result, s.word(CONTEXT_VISITS)], step).toEqual([1, expected]);
        },
      );
    }
  });

  it('WT-1 a kick asks who waits, and then tells main as notify does', () => {
    const kick = scene(
      (s) => s.engine.waitKick(s.header),
      (s) => s.machine.setWord(s.header + CORE_HEADER_WAITERS, 1),
    );
    const s = kick();
    expect(orderOf(s)).toEqual([
      ['load32', s.header + CORE_HEADER_WAITERS],
      ['load32', s.header + CORE_HEADER_MAIN],
      ['store32', s.context + CONTEXT_NOTIFIED],
      ['load32', s.context + CONTEXT_NOTIFY_ME],
    ]);
    atEachStep(
      kick,
      (t) => {
        t.seen = t.engine.waitEnter(t.context);
      },
      (t, step) => {
        if (t.seen === 1) expect(t.result, step).toBe(t.context);
      },
    );
  });

  it('mail is counted before home is told: home that sees none on its way is woken', () => {
    atEachStep(
      scene((s) => s.engine.mailSent(s.context)),
      (s) => {
        // Home has been awake for whatever it was told so far, and looks for mail.
        s.engine.accept(s.context);
        const sent = s.word(CONTEXT_MAIL_SENT);
        s.seen = s.engine.waitEnter(s.context) === 1 && sent === 0 ? 1 : 0;
      },
      (s, step) => {
        if (s.seen === 1) expect(s.result, step).toBe(1);
        expect(s.word(CONTEXT_MAIL_SENT), step).toBe(1);
      },
    );
  });

  it('mail that two send at once is all counted, and what is sent while one is received', () => {
    atEachStep(
      scene((s) => s.engine.mailSent(s.context)),
      (s) => {
        s.seen = s.engine.mailSent(s.context);
      },
      (s, step) => expect(s.word(CONTEXT_MAIL_SENT), step).toBe(s.seen < 0 ? 1 : 2),
    );
    const s = scene((s) => s.engine.mailReceived(s.context))();
    expect(orderOf(s)).toEqual([
      ['add32', s.context + CONTEXT_MAIL_RECEIVED],
      ['load32', s.context + CONTEXT_MAIL_SENT],
    ]);
  });

  it('HN-8 to watch a notifier is one step', () => {
    const s = scene((s) => void s.engine.notifierWatch(s.header, s.context))();
    expect(orderOf(s)).toEqual([['store32', s.header + NOTIFIER_WATCHER]]);
  });

  it('NT-9 a flag that two test and clear is told to one of them', () => {
    const notifiers = new WeakMap<object, number>();
    const at = (s: object) => notifiers.get(s) as number;
    atEachStep(
      scene(
        (s) => s.engine.handlerReady(s.context, 0),
        (s) => {
          notifiers.set(s, s.handle(1));
          s.engine.notifierSet(at(s));
        },
      ),
      (s) => {
        s.seen = s.engine.notifierTestAndClear(at(s));
      },
      (s, step) => {
        const mine = s.result === 1 ? 1 : 0;
        expect(mine + Math.max(s.seen, 0), step).toBe(1);
        expect(s.machine.word(at(s) + NOTIFIER_FLAG), step).toBe(0);
      },
    );
  });

  it('NT-9 a flag set while it is looked at is told now or stays', () => {
    const notifiers = new WeakMap<object, number>();
    const at = (s: object) => notifiers.get(s) as number;
    for (const before of [0, 1]) {
      atEachStep(
        scene(
          (s) => s.engine.handlerReady(s.context, 0),
          (s) => {
            notifiers.set(s, s.handle(1));
            if (before) s.engine.notifierSet(at(s));
          },
        ),
        (s) => {
          s.seen = s.engine.notifierSet(at(s));
        },
        (s, step) => {
          const told = (s.result === 1 ? 1 : 0) + s.machine.word(at(s) + NOTIFIER_FLAG);
          if (before || s.seen >= 0) expect(told, step).toBeGreaterThanOrEqual(1);
          else expect([s.result, told], step).toEqual([-1, 0]);
        },
      );
    }
  });

  it('AP-1 AP-10 busy polling finds what comes during a round in that one or in the next', () => {
    const ROUNDS = 3;
    const make = () => {
      const r = new LoopRig(contestant);
      const queue = r.machine.createQueue(4);
      const ring = new RawRing(r.machine, queue, 4, RAM_AT);
      ring.enable();
      const notifier = r.handle(2, { queue });
      return { r, ring, notifier };
    };
    type Made = ReturnType<typeof make>;
    const events: [act: (m: Made) => void, found: number][] = [
      [({ r, notifier }) => void r.engine.notifierSet(notifier), 2],
      [({ ring }) => ring.offer(0), 2],
      [({ r }) => void r.engine.notify(r.context), SPIN_NOTIFIED],
    ];
    const idle = make();
    const steps = witness.watch(() => {
      expect(idle.r.engine.pollSpin(idle.r.context, ROUNDS)).toBe(SPIN_NOTHING);
    }).length;
    expect(steps % ROUNDS).toBe(0);
    for (const [act, found] of events) {
      for (let at = 0; at < (steps / ROUNDS) * (ROUNDS - 1); at++) {
        const m = make();
        let [count, result] = [0, 0];
        witness.watch(
          () => {
            result = m.r.engine.pollSpin(m.r.context, ROUNDS);
          },
          () => {
            if (count++ === at) act(m);
          },
        );
        expect(result, `before step ${at}`).toBe(found);
      }
    }
  });
}
