/** Drained sections and changes of the disk while IOThreads write. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AioContext } from '#src/aio/context';
import type { IOThread } from '#src/aio/io-thread';
import { BlockBackend } from '#src/block/backend';
import type { DriverSpec } from '#src/block/driver';
import type { Core } from '#src/engine/core';
import { engines, sharedCore, startThread, workerAt } from './threads.ts';

const MIB = 2 ** 20;
const memory: DriverSpec = { driver: 'memory', options: { size: MIB } };
const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

describe.each(engines)('two IOThreads, %s engine', (engine) => {
  let core: Core;
  let context: AioContext;
  let threads: IOThread[];
  let bytes: number;

  beforeAll(async () => {
    core = await sharedCore(engine);
    context = new AioContext(core);
    const options = { worker: workerAt('./drain-thread.mjs') };
    threads = await Promise.all([startThread(core, options), startThread(core, options)]);
    bytes = core.allocatedBytes;
  });

  afterAll(async () => {
    expect(core.allocatedBytes).toBe(bytes);
    for (const thread of threads) await thread.stop();
    context.close();
  });

  async function open(spec: DriverSpec, options = {}) {
    const backend = await BlockBackend.open(core, context, spec, options);
    const lanes = await Promise.all(threads.map((thread) => backend.openLaneOn(thread)));
    const write = (index: number, message: object) =>
      threads[index]!.call('write', { lane: lanes[index]!.address, ...message });
    const close = async () => {
      await Promise.all(lanes.map((lane) => lane.close()));
      await backend.close();
    };
    return { backend, lanes, write, close };
  }

  it('BB-18 BB-9 disks and filters come and go under writes, and none fails', async () => {
    const disk = await open(memory);
    const { backend } = disk;
    let running = true;
    const work = Promise.all(
      [0, 1].map((index) =>
        disk.write(index, { offsets: [0, 4096, 8192], length: 512, value: index + 1, count: 600 }),
      ),
    ).finally(() => {
      running = false;
    });
    let changes = 0;
    for (; running; changes++) {
      if (changes % 3 === 0) await backend.insertMedium(memory);
      else if (changes % 3 === 1) {
        await backend.insertFilter({ spec: { driver: 'fault' }, child: 'image' });
      } else await backend.removeFilter();
      await pause();
    }
    expect(await work).toEqual([0, 0]);
    expect(changes).toBeGreaterThan(3);
    expect(backend.stats().write.operations).toBe(1200);
    await disk.close();
  });

  it('BB-11 drains asked for by both threads at once, each inside a request of its own', async () => {
    const disk = await open(memory);
    const drained = await Promise.all(
      threads.map((thread, index) =>
        thread.call('drain inside', { lane: disk.lanes[index]!.address, count: 50 }),
      ),
    );
    expect((drained[0] as number) + (drained[1] as number)).toBeGreaterThan(0);
    expect([disk.backend.quiesced, disk.backend.inFlight]).toEqual([false, 0]);
    await disk.close();
  });

  it('BB-23 writes of both threads into the same blocks: no byte of either is lost', async () => {
    const image = { driver: 'blocks', module: new URL('./large-blocks.mjs', import.meta.url).href };
    const disk = await open(image, { readModifyWrite: true });
    const offsets = (first: number) => Array.from({ length: 16 }, (_, i) => first + i * 1024);
    const failed = await Promise.all([
      disk.write(0, { offsets: offsets(0), length: 512, value: 1, count: 2000 }),
      disk.write(1, { offsets: offsets(512), length: 512, value: 2, count: 2000 }),
    ]);
    expect(failed).toEqual([0, 0]);
    const seen = new Uint8Array(16_384);
    await disk.backend.io.read(0, seen);
    const model = Uint8Array.from(seen, (_, i) => 1 + (Math.floor(i / 512) % 2));
    expect(Buffer.compare(seen, model)).toBe(0);
    await disk.close();
  });
});
