/** Two IOThreads over one core, and disks that both have open. */
import { afterAll, beforeAll } from 'vitest';
import { AioContext } from '#src/aio/context';
import type { IOThread } from '#src/aio/io-thread';
import { BlockBackend } from '#src/block/backend';
import type { DriverSpec } from '#src/block/driver';
import type { Core } from '#src/engine/core';
import { type EngineName, sharedCore, startThread, workerAt } from './threads.ts';

export class TwoThreads {
  core!: Core;
  context!: AioContext;
  threads!: IOThread[];

  /** For all tests of the `describe` that calls this. */
  constructor(engine: EngineName) {
    beforeAll(async () => {
      this.core = await sharedCore(engine);
      this.context = new AioContext(this.core);
      const options = { worker: workerAt('./block-thread.mjs') };
      const start = () => startThread(this.core, options);
      this.threads = await Promise.all([start(), start()]);
    });
    afterAll(async () => {
      for (const thread of this.threads) await thread.stop();
      this.context.close();
    });
  }

  /** A disk with a lane on each of them. */
  async open(spec: DriverSpec) {
    const backend = await BlockBackend.open(this.core, this.context, spec);
    const lanes = await Promise.all(this.threads.map((thread) => backend.openLaneOn(thread)));
    const close = async () => {
      await Promise.all(lanes.map((lane) => lane.close()));
      await backend.close();
    };
    return { backend, lanes, close };
  }
}
