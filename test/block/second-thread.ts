/**
 * A thread that is none: a second instance of a core over the same memory, with a context of its
 * own that the test polls. What main and it say to each other is cloned, as between threads.
 */

import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { findService, type ThreadHome } from '#src/aio/services';
import { encodeError, reviveError } from '#src/aio/thread-error';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import type { BlockDriver, DriverSpec } from '#src/block/driver';
import type { BackendLane } from '#src/block/lane';
import { laneAt } from '#src/block/lane-service';
import type { LaneThread, RemoteLane } from '#src/block/remote-lane';
import { Core } from '#src/engine/core';

export class SecondThread implements LaneThread, ThreadHome {
  readonly id: string;
  readonly core: Core;
  readonly context: AioContext;
  readonly state = new Map<string, unknown>();
  readonly users: string[] = [];
  readonly called: string[] = [];
  /** Has its Worker ended, should it have died? */
  ended: Promise<void> = Promise.resolve();
  poolLimits = { min: 0, max: 2 };
  readonly #main: Core;

  static async open(main: Core, id = 'io0'): Promise<SecondThread> {
    return new SecondThread(main, await Core.attach(main.handle()), id);
  }

  private constructor(main: Core, core: Core, id: string) {
    this.#main = main;
    this.id = id;
    this.core = core;
    const block = AioContext.allocate(main, { slots: 16 });
    this.context = new AioContext(core, { name: id, block, sleeper: 'hook' });
  }

  async call(service: string, payload: unknown): Promise<unknown> {
    this.called.push(service);
    try {
      const perform = findService(service);
      if (!perform) throw new Error(`no service ${service}`);
      return structuredClone(await perform(this, structuredClone(payload) as never));
    } catch (thrown) {
      throw reviveError(structuredClone(encodeError(thrown)));
    }
  }

  ref(user: string): void {
    this.users.push(user);
  }

  unref(user: string): void {
    this.users.splice(this.users.indexOf(user), 1);
  }

  onPoolLimits(): void {}

  readonly #listeners = new Map<string, Set<(payload: never) => void>>();

  on<T>(event: string, listener: (payload: T) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener as (payload: never) => void));
    return () => listeners.delete(listener as (payload: never) => void);
  }

  post(event: string, payload: unknown): void {
    for (const tell of this.#listeners.get(event) ?? []) tell(structuredClone(payload) as never);
  }

  lane(remote: RemoteLane): BackendLane {
    return laneAt(this, remote.address);
  }

  close(): void {
    this.context.close();
    AioContext.release(this.#main, this.context.address);
  }
}

export const MIB = 2 ** 20;

export interface TwoThreads {
  core: Core;
  context: AioContext;
  thread: SecondThread;
  backend: BlockBackend;
  /** A lane of the second thread, seen from main, and the lane itself. */
  remote: RemoteLane;
  lane: BackendLane;
}

/** A backend of main's, with a lane on a second thread. The test polls both contexts. */
export async function twoThreads(
  disk: DriverSpec | BlockDriver | ((core: Core) => BlockDriver),
  options: BackendOptions = {},
): Promise<TwoThreads> {
  const core = await openCore({ shared: true, maxBytes: 256 * MIB, ramBytes: 65_536 });
  const context = new AioContext(core, { sleeper: 'hook' });
  const opened = typeof disk === 'function' ? disk(core) : disk;
  const backend = await BlockBackend.open(core, context, opened, options);
  const thread = await SecondThread.open(core);
  const remote = await backend.openLaneOn(thread);
  return { core, context, thread, backend, remote, lane: thread.lane(remote) };
}
