/**
 * An IOThread from inside its Worker: its core, its context, its run loop, and the services that
 * main calls. QEMU: `iothread_run` of `iothread.c`.
 */

import { Core } from '../engine/core.ts';
import { CONTEXT_MAIL_RECEIVED, CONTEXT_MAIL_SENT, CONTEXT_STOP } from '../layout.ts';
import type { BottomHalf } from './bottom-half.ts';
import { AioContext } from './context.ts';
import { AioError } from './error.ts';
import { runLoop } from './run-loop.ts';
import { findService, serviceNames, type ThreadHome } from './services.ts';
import { Answer } from './thread-calls.ts';
import { encodeError } from './thread-error.ts';
import type { DownMessage, PoolLimits, UpMessage } from './thread-messages.ts';
import { type ParentLike, ParentPort } from './worker-port.ts';

type StartMessage = DownMessage & { type: 'start' };
type CallMessage = DownMessage & { type: 'call' };

/**
 * Waits for main's first message, is that IOThread until main stops it, and then closes the port.
 * To be called in the turn in which the Worker's module is run: a message may be there already.
 */
export async function runIOThread(parent: ParentLike): Promise<void> {
  const first = new Answer<StartMessage>();
  let home: Home | null = null;
  const port = new ParentPort(
    parent,
    (data) => {
      if (home) home.receive(data as DownMessage);
      else first.resolve(data as StartMessage);
    },
    // Nobody knows whose call it was: main ends the thread.
    () => say({ type: 'died', error: encodeError(new Error('a message could not be read')) }),
  );
  const say = (message: UpMessage) => port.post(message);
  try {
    home = await Home.open(await first.promise, say);
    say({ type: 'ready', thread: home.core.thread });
    const error = await home.run();
    say({ type: 'stopped', error: error === null ? null : encodeError(error) });
  } catch (error) {
    home?.context.leaveLoop(); // no turn comes any more: main takes what it has away
    say({ type: 'died', error: encodeError(error) });
  }
  port.close();
}

class Home implements ThreadHome {
  readonly id: string;
  readonly core: Core;
  readonly context: AioContext;
  readonly state = new Map<string, unknown>();
  #limits: PoolLimits;
  readonly #limitsListeners: ((limits: PoolLimits) => void)[] = [];
  readonly #say: (message: UpMessage) => void;
  /** Received, and not yet acted upon. */
  readonly #inbox: DownMessage[] = [];
  readonly #mail: BottomHalf;
  /** Services that have been called and have not answered. */
  #busy = 0;

  static async open(start: StartMessage, say: (message: UpMessage) => void): Promise<Home> {
    return new Home(await Core.attach(start.core), start, say);
  }

  private constructor(core: Core, start: StartMessage, say: (message: UpMessage) => void) {
    this.id = start.id;
    this.core = core;
    this.context = new AioContext(core, { name: start.id, block: start.context, sleeper: 'word' });
    this.#limits = start.limits;
    this.#say = say;
    this.#mail = this.context.bottomHalf('mail', () => this.#readMail());
  }

  get poolLimits(): PoolLimits {
    return this.#limits;
  }

  onPoolLimits(listener: (limits: PoolLimits) => void): void {
    this.#limitsListeners.push(listener);
  }

  post(event: string, payload: unknown): void {
    this.#say({ type: 'event', event, payload });
  }

  /** A message is here: it is acted upon in the context, as all that the thread does (WT-3). */
  receive(message: DownMessage): void {
    this.#inbox.push(message);
    this.core.engine.mailReceived(this.context.address);
    this.#mail.schedule();
  }

  /** Serves until main stops the thread. Returns what it then found not put away, or null. */
  async run(): Promise<Error | null> {
    await runLoop(
      this.context,
      () => this.#mayStop(),
      () => this.#mailOnItsWay(),
    );
    this.#mail.delete();
    try {
      this.context.close();
      return null;
    } catch (error) {
      return error as Error;
    }
  }

  /** Told to, and every message has been answered: main counted them before it set the word. */
  #mayStop(): boolean {
    return (
      Atomics.load(this.core.i32, (this.context.address + CONTEXT_STOP) >>> 2) === 1 &&
      this.#busy === 0 &&
      this.#inbox.length === 0 &&
      !this.#mailOnItsWay()
    );
  }

  /** Pairs with `IOThread.#mail`: what was counted was posted before. */
  #mailOnItsWay(): boolean {
    const { i32 } = this.core;
    const sent = Atomics.load(i32, (this.context.address + CONTEXT_MAIL_SENT) >>> 2);
    const received = Atomics.load(i32, (this.context.address + CONTEXT_MAIL_RECEIVED) >>> 2);
    return ((sent - received) | 0) > 0; // a message may arrive before it is counted
  }

  #readMail(): void {
    for (let mail = this.#inbox.shift(); mail; mail = this.#inbox.shift()) {
      if (mail.type === 'call') this.#serve(mail);
      if (mail.type === 'set-limits') this.#setLimits(mail.limits);
    }
  }

  #setLimits(limits: PoolLimits): void {
    this.#limits = limits;
    for (const listener of this.#limitsListeners) listener(limits);
  }

  #serve({ number, service, payload }: CallMessage): void {
    try {
      const found = findService(service);
      if (!found) {
        const message = `iothread '${this.id}' has no service '${service}'; it has: `;
        throw new AioError('ENOTSUP', message + serviceNames().join(', '));
      }
      const result = found(this, payload as never);
      if (result instanceof Promise) this.#answerLater(number, result);
      else this.#answer(number, result);
    } catch (error) {
      this.#refuse(number, error);
    }
  }

  /** The promise settles through the JavaScript loop: the thread must not block till then. */
  #answerLater(number: number, result: Promise<unknown>): void {
    this.#busy += 1;
    this.context.addLoopUser();
    result
      .then((value) => this.#answer(number, value))
      .catch((error) => this.#refuse(number, error))
      .finally(() => {
        this.#busy -= 1;
        this.context.removeLoopUser();
        this.context.notify();
      });
  }

  #answer(number: number, result: unknown): void {
    this.#say({ type: 'done', number, result });
  }

  #refuse(number: number, error: unknown): void {
    this.#say({ type: 'failed', number, error: encodeError(error) });
  }
}
