/**
 * A thread that is none: a second core over the same shared memory, with a context of its own, on
 * the test's thread. It does what an IOThread does when the test says so, one turn at a time.
 */

import { AioContext, type AioContextOptions } from '#src/aio/context';
import { findService, type ThreadHome } from '#src/aio/services';
import { Core } from '#src/engine/core';
import type { QueueThread } from '#src/virtio/remote-queues';
import '#src/virtio/queue-service';

interface Letter {
  readonly service: string;
  readonly payload: unknown;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

export class NearThread implements QueueThread, ThreadHome {
  readonly id: string;
  readonly core: Core;
  readonly context: AioContext;
  readonly state = new Map<string, unknown>();
  readonly poolLimits = { min: 0, max: 1 };
  /** Services called, in order. */
  readonly called: string[] = [];
  readonly users: string[] = [];
  readonly ended = Promise.resolve();
  /** Messages stay unread while this is set. */
  paused = false;
  /** Called before each service; what it throws is the answer. */
  before: (service: string, payload: unknown) => void = () => {};
  readonly #main: Core;
  readonly #block: number;
  readonly #letters: Letter[] = [];
  readonly #listeners = new Map<string, Set<(payload: never) => void>>();

  static async open(main: Core, id: string, options: AioContextOptions = {}): Promise<NearThread> {
    const block = AioContext.allocate(main, options);
    return new NearThread(id, main, await Core.attach(main.handle()), block);
  }

  private constructor(id: string, main: Core, core: Core, block: number) {
    this.id = id;
    this.#main = main;
    this.core = core;
    this.#block = block;
    this.context = new AioContext(core, { name: id, block, sleeper: 'hook' });
  }

  /** Posted as it would be; read in a turn of this thread. */
  call(service: string, payload: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#letters.push({ service, payload: structuredClone(payload), resolve, reject });
    });
  }

  on<T>(event: string, listener: (payload: T) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  ref(user: string): void {
    this.users.push(user);
  }

  unref(user: string): void {
    this.users.splice(this.users.indexOf(user), 1);
  }

  post(event: string, payload: unknown): void {
    const copy = structuredClone(payload);
    for (const listener of this.#listeners.get(event) ?? []) listener(copy as never);
  }

  onPoolLimits(): void {}

  /** How many listeners main has. */
  get listeners(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** One turn: mail, then a poll. True if anything was done. */
  turn(): boolean {
    const read = this.readMail();
    return this.context.poll() || read;
  }

  readMail(): boolean {
    const letters = this.paused ? [] : this.#letters.splice(0);
    for (const { service, payload, resolve, reject } of letters) {
      this.called.push(service);
      try {
        this.before(service, payload);
        const found = findService(service);
        if (!found) throw new Error(`no service ${service}`);
        resolve(found(this, payload as never));
      } catch (error) {
        reject(error);
      }
    }
    return letters.length > 0;
  }

  /** As if the Worker had gone. */
  die(cause: Error): void {
    this.paused = true;
    this.post('died', cause);
    const error = Object.assign(new Error(`${this.id} died`), { code: 'EOWNERDEAD' });
    for (const { reject } of this.#letters.splice(0)) reject(error);
    this.call = () => Promise.reject(error);
  }

  close(): void {
    this.turn();
    this.context.close();
    AioContext.release(this.#main, this.#block);
  }
}
