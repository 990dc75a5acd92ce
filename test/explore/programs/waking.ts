/** Who may poll, who is woken: home threads, nested waits, kicks of a wait, visits, mail. */

import {
  CONTEXT_DEPTH,
  CONTEXT_MAIL_RECEIVED,
  CONTEXT_MAIL_SENT,
  CONTEXT_NOTIFY_ME,
  CORE_HEADER_MAIN,
  CORE_HEADER_SIZE,
  CORE_HEADER_WAITERS,
} from '#src/layout';
import { HOME_CALLS, Home, kick, schedule, wakeContext } from '../mirror.ts';
import { atomics, type EngineCall, type Piece, repeat, until } from '../step.ts';
import { HOME, type Program } from '../world.ts';

const HANDLERS: readonly EngineCall[] = ['handlerReady', 'handlerPending', 'notifierSet'];

/**
 * NT-5, NT-12: the home thread waits, in blocking polls, for its handler to be called; a second
 * thread polls the same context, blocking or not. With `home` it is refused; home 0 lets it in, and
 * then it takes what the home thread sleeps for (MC M1e, M1g).
 */
export function foreignPoll({ home = HOME, blocking = false } = {}): Program {
  return {
    name: `a foreign ${blocking ? 'blocking' : 'non-blocking'} poll, home ${home}`,
    calls: [...HOME_CALLS, ...HANDLERS],
    // With the hook, plain words are no longer one thread's.
    fine: home === 0,
    allOrders: home === 0,
    build(world) {
      const event = world.notifier('event');
      const context = world.context('context', { handlers: [event], home });
      const handled = world.word('handled');
      world.arena.setWord(event + 4, context);
      return () => {
        function* handler(): Piece {
          yield* atomics.store(handled, 1);
        }
        function* poller(thread: number): Piece {
          const engine = world.engine(thread);
          const self = new Home(engine, context, { thread: thread + 1, handlers: [handler] });
          while ((yield* atomics.load(handled)) === 0) {
            if (!(yield* self.poll(thread === 0 || blocking))) return;
            if (thread === 1 && !blocking) return;
          }
        }
        return {
          threads: {
            home: poller(0),
            foreigner: poller(1),
            kicker: kick(world.engine(2), event, context),
          },
          final: () => (world.arena.word(context + CONTEXT_DEPTH) === 0 ? undefined : 'depth'),
        };
      };
    },
  };
}

/**
 * NT-3: between `prepare` and `check` of its foreign loop the home thread polls, blocking. That
 * poll's share of notify_me ends with it; bit 0 stays, so the foreign loop is woken, too.
 */
export function pollBetweenPrepareAndCheck(): Program {
  return {
    name: "a blocking poll between a foreign loop's prepare and check",
    calls: [...HOME_CALLS, 'prepare', 'check'],
    build(world) {
      const context = world.context('context', { slots: 2 });
      return () => {
        let [first, second] = [0, 0];
        const known = () => first * 2 + second;
        const callbacks = [
          function* (): Piece {
            first = 1;
          },
          function* (): Piece {
            second = 1;
          },
        ];
        function* home(): Piece {
          const engine = world.engine(0);
          const self = new Home(engine, context, { callbacks });
          yield* engine.prepare(context);
          yield* self.pollUntil(() => first === 1, known);
          if (second === 0) yield* self.sleepPrepared();
          yield* engine.check(context);
          yield* self.poll(false);
          yield* self.pollUntil(() => second === 1, known);
        }
        function* worker(): Piece {
          yield* schedule(world.engine(1), context, 0);
          yield* schedule(world.engine(1), context, 1);
        }
        return {
          threads: { home: home(), worker: worker() },
          final() {
            const left = world.arena.word(context + CONTEXT_NOTIFY_ME);
            return left === 0 ? undefined : `notify_me is ${left}`;
          },
        };
      };
    },
  };
}

export interface BrokenWait {
  /** The waiter reads the condition before it counts itself (MC M6a). */
  conditionFirst?: boolean;
  /** The kicker asks for waiters before it writes the condition (MC M6b). */
  kickFirst?: boolean;
}

/** WT-1: main waits for a condition that another thread makes true. */
export function waitAgainstKick(broken: BrokenWait = {}): Program {
  return {
    name: 'a wait for a condition against the kick of who changes it',
    calls: [...HOME_CALLS, 'waitKick'],
    build(world) {
      const { arena } = world;
      const context = world.context('main');
      const header = arena.allocate('header', CORE_HEADER_SIZE, { fields: 'CORE_HEADER_' });
      const busy = world.word('busy', 1);
      arena.setWord(header + CORE_HEADER_MAIN, context);
      return () => {
        function* main(): Piece {
          const self = new Home(world.engine(0), context);
          const count = atomics.add(header + CORE_HEADER_WAITERS, 1);
          if (!broken.conditionFirst) yield* count;
          while ((yield* atomics.load(busy)) !== 0) {
            if (broken.conditionFirst) yield* count;
            yield* self.poll();
          }
          yield* atomics.sub(header + CORE_HEADER_WAITERS, 1);
        }
        function* kicker(): Piece {
          if (!broken.kickFirst) yield* atomics.store(busy, 0);
          const woken = yield* world.engine(1).waitKick(header);
          if (broken.kickFirst) yield* atomics.store(busy, 0);
          if (woken !== 0) yield* wakeContext(woken >>> 0);
        }
        return { threads: { main: main(), kicker: kicker() }, final: () => undefined };
      };
    },
  };
}

/** FD-5: `visitors` threads schedule while home closes the context and frees its words. */
export function visitsAgainstClose({ visitors = 2 } = {}): Program {
  return {
    name: `visits against the closing of a context: ${visitors} visitors`,
    calls: ['notify', 'visitBegin', 'visitEnd', 'visitClose'],
    build(world) {
      const context = world.context('context');
      const freed = world.word('freed');
      const counted = world.word('counted');
      return () => {
        function* visitor(thread: number): Piece {
          const engine = world.engine(thread);
          if ((yield* engine.visitBegin(context)) === 0) {
            yield* atomics.add(counted, 1);
            return;
          }
          if ((yield* atomics.load(freed)) !== 0) throw new Error('a visit of freed memory');
          yield* engine.notify(context);
          if ((yield* atomics.load(freed)) !== 0) throw new Error('freed under a visitor');
          yield* engine.visitEnd(context);
          yield* atomics.add(counted, 1);
        }
        function* home(): Piece {
          const engine = world.engine(0);
          for (;;) {
            const before = yield* atomics.load(counted);
            if ((yield* engine.visitClose(context)) === 1) break;
            yield* until(() => world.arena.word(counted) !== before);
          }
          yield* atomics.store(freed, 1);
        }
        const threads: Record<string, Piece> = { home: home() };
        for (let n = 1; n <= visitors; n++) threads[`visitor ${n}`] = visitor(n);
        return { threads, final: () => undefined };
      };
    },
  };
}

/**
 * Mail: a message is posted, then counted, then the context is woken; home stays in its JavaScript
 * loop, where messages arrive, until it has received as many as were sent.
 */
export function mail({ senders = 2 } = {}): Program {
  return {
    name: `mail to a thread that sleeps: ${senders} senders`,
    calls: [...HOME_CALLS, 'mailSent', 'mailReceived'],
    build(world) {
      const context = world.context('context');
      const posted = world.word('posted');
      return () => {
        let received = 0;
        const self = new Home(world.engine(0), context);
        function* home(): Piece {
          const engine = world.engine(0);
          yield* repeat(
            () => received === senders,
            () => received,
            function* () {
              const sent = yield* atomics.load(context + CONTEXT_MAIL_SENT);
              if (sent === (yield* atomics.load(context + CONTEXT_MAIL_RECEIVED))) {
                yield* self.poll();
                return;
              }
              yield* until(() => world.arena.word(posted) > received);
              received += 1;
              yield* engine.mailReceived(context);
            },
          );
        }
        function* sender(thread: number): Piece {
          yield* atomics.add(posted, 1);
          if ((yield* world.engine(thread).mailSent(context)) === 1) yield* wakeContext(context);
        }
        const threads: Record<string, Piece> = { home: home() };
        for (let n = 1; n <= senders; n++) threads[`sender ${n}`] = sender(n);
        return { threads, final: () => undefined };
      };
    },
  };
}
