/** Disks that IOThreads open and serve. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeFiles } from '#src/adapter/node-files';
import { AioContext } from '#src/aio/context';
import type { IOThread } from '#src/aio/io-thread';
import { BlockBackend } from '#src/block/backend';
import {
  type BlockDriver,
  type BlockRequest,
  type DriverSpec,
  OP_READ,
  OP_WRITE,
  PENDING,
} from '#src/block/driver';
import { driverSuite } from '#src/block/driver-suite';
import { codeOf } from '#src/block/error';
import { fileDriver } from '#src/block/file';
import { gather, scatter } from '#src/block/io-vector';
import { registerDriver } from '#src/block/registry';
import type { RemoteLane } from '#src/block/remote-lane';
import type { Core } from '#src/engine/core';
import { engines, nextEvent, sharedCore, startThread, workerAt } from './threads.ts';
import { TwoThreads } from './two-threads.ts';

const MIB = 2 ** 20;
const folder = fs.mkdtempSync(join(tmpdir(), 'vblk-lanes-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
let files = 0;
registerDriver('file', fileDriver(nodeFiles));

/** A lane of an IOThread as a driver of main: each request is a message. */
class LaneDriver implements BlockDriver {
  readonly driver = 'lane';
  readonly settles = 'loop';
  readonly threads = 'one';
  readonly readOnly = false;
  readonly alignment = 1;
  readonly clusterDisk = 0;
  readonly #backend: BlockBackend;
  readonly #lane: RemoteLane;
  /** What the suite resizes at once, a backend resizes in a drained section. */
  #ready: Promise<unknown> = Promise.resolve();
  #size: number;

  constructor(backend: BlockBackend, lane: RemoteLane) {
    this.#backend = backend;
    this.#lane = lane;
    this.#size = backend.size;
  }

  get size(): number {
    return this.#size;
  }

  submit(request: BlockRequest): number {
    void this.#submit(request).then((result) => request.settle(result));
    return PENDING;
  }

  async #submit({ op, offset, length, flags, vector }: BlockRequest): Promise<number> {
    const data = op === OP_WRITE ? new Uint8Array(length) : null;
    if (data) gather(vector, 0, data, 0, length);
    const message = { lane: this.#lane.address, op, offset, length, flags, data };
    await this.#ready;
    const answer = (await this.#lane.iothread.call('submit', message)) as {
      result: number;
      data: Uint8Array | null;
    };
    if (answer.result < 0) return answer.result;
    if (op === OP_READ) scatter(vector, 0, answer.data as Uint8Array, 0, length);
    return op <= OP_WRITE ? length : 0;
  }

  truncate(size: number): number {
    if (!Number.isSafeInteger(size) || size < 0 || size % 512) return -22;
    this.#size = size;
    this.#ready = this.#backend.resize(size);
    return 0;
  }

  async close(): Promise<void> {
    await this.#ready;
    await this.#lane.close();
    await this.#backend.close();
  }
}

const file = (more = {}): DriverSpec => {
  const filename = join(folder, `disk${files++}`);
  return { driver: 'file', options: { filename, size: 8 * MIB, create: true, ...more } };
};

describe.each(engines)('driver suite on lanes of an IOThread, %s engine', (engine) => {
  let core: Core;
  let context: AioContext;
  let thread: IOThread;
  let bytes: number;
  beforeAll(async () => {
    core = await sharedCore(engine);
    context = new AioContext(core);
    thread = await startThread(core, { worker: workerAt('./block-thread.mjs') });
    bytes = core.allocatedBytes;
  });
  afterAll(async () => {
    expect(core.allocatedBytes).toBe(bytes);
    await thread.stop();
    context.close();
  });

  const open = (spec: () => DriverSpec) => async (): Promise<BlockDriver> => {
    const backend = await BlockBackend.open(core, context, spec());
    return new LaneDriver(backend, await backend.openLaneOn(thread));
  };
  const disks: [string, () => DriverSpec, { retains?: boolean }?][] = [
    ['memory', () => ({ driver: 'memory', options: { size: 8 * MIB } })],
    ['null', () => ({ driver: 'null', options: { size: 8 * MIB } }), { retains: false }],
    ['file, sync', () => file()],
    ['file, uv', () => file({ aio: 'uv' })],
    ['file, threads', () => file({ aio: 'threads' })],
    [
      'fault over memory, short and late',
      () => {
        const image = { driver: 'memory', options: { size: 8 * MIB } };
        const rules = [
          { action: 'short', bytes: 1024, op: ['read', 'write'], count: 3 },
          { action: 'delay', ms: 0 },
        ];
        return { driver: 'fault', options: { image, rules } };
      },
    ],
  ];
  for (const [name, spec, options] of disks) {
    describe(name, () => {
      for (const { name: title, run } of driverSuite(open(spec), options)) it(title, run);
    });
  }
});

describe.each(engines)('disks on two IOThreads, %s engine', (engine) => {
  const two = new TwoThreads(engine);

  async function open(spec: DriverSpec) {
    const disk = await two.open(spec);
    const { lanes } = disk;
    const hammer = (index: number, count: number, depth = 8) =>
      two.threads[index]!.call('hammer', {
        lane: lanes[index]!.address,
        count,
        depth,
        sectors: 64,
      });
    return { ...disk, hammer };
  }

  it('BB-3 BB-27 three threads at once: nothing is lost, and the figures are exact', async () => {
    const disk = await open({ driver: 'memory', options: { size: 4 * MIB } });
    await disk.backend.io.write(0, new Uint8Array(32_768).fill(1));
    const mine = async () => {
      for (let i = 0; i < 200; i++) await disk.backend.io.read(0, new Uint8Array(512));
    };
    const [a, b] = await Promise.all([disk.hammer(0, 3000), disk.hammer(1, 2000), mine()]);
    expect([a, b]).toEqual([3000, 2000]);
    const { read, failed, invalid } = disk.backend.stats();
    expect([read.operations, read.bytes, failed, invalid]).toEqual([5200, 5200 * 512, 0, 0]);
    await disk.close();
  });

  it('a thread whose disk answers through the JavaScript loop does not block before it has', async () => {
    const image = { driver: 'null', options: { size: MIB } };
    const rules = [{ action: 'delay', ms: 1, op: 'read' }];
    for (const spec of [file({ aio: 'uv' }), { driver: 'fault', options: { image, rules } }]) {
      const disk = await open(spec);
      const good = nextEvent<number>(two.threads[0]!, 'hammered');
      const lane = disk.lanes[0]!.address;
      await two.threads[0]!.call('hammer on', { lane, count: 50, depth: 4, sectors: 64 });
      expect(await good).toBe(50);
      await disk.close();
    }
  });

  it('a thread sleeps while the pool of its file disk works, and is woken', async () => {
    const disk = await open(file({ aio: 'threads' }));
    const good = nextEvent<number>(two.threads[0]!, 'hammered');
    const lane = disk.lanes[0]!.address;
    await two.threads[0]!.call('hammer on', { lane, count: 300, depth: 4, sectors: 64 });
    expect(await good).toBe(300);
    await disk.close();
  });

  it('TP-7 a lane that comes while the last one leaves gets a pool', async () => {
    const backend = await BlockBackend.open(two.core, two.context, file({ aio: 'threads' }));
    let lane = await backend.openLaneOn(two.threads[0]!);
    for (let i = 0; i < 5; i++) {
      const closing = lane.close();
      lane = await backend.openLaneOn(two.threads[0]!);
      await closing;
      const message = { lane: lane.address, count: 20, depth: 4, sectors: 64 };
      expect(await two.threads[0]!.call('hammer', message)).toBe(20);
    }
    await lane.close();
    await backend.close();
  });

  it('BB-8 drains come and go under the requests of two threads, and each completes', async () => {
    const disk = await open(file({ aio: 'uv' }));
    let running = true;
    const work = Promise.all([disk.hammer(0, 1500), disk.hammer(1, 1500)]).finally(() => {
      running = false;
    });
    let drains = 0;
    for (; running; drains++) {
      disk.backend.drainedBegin();
      await disk.backend.idle();
      const before = disk.backend.stats().read.operations;
      await new Promise((resolve) => setTimeout(resolve, 1));
      expect(disk.backend.stats().read.operations).toBe(before);
      disk.backend.drainedEnd();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(await work).toEqual([1500, 1500]);
    expect(drains).toBeGreaterThan(0);
    await disk.close();
  });

  it('the fault disk counts over real threads: ten of all reads fail', async () => {
    const image = { driver: 'null', options: { size: MIB } };
    const rules = [{ action: 'fail', op: 'read', skip: 500, count: 10 }];
    const disk = await open({ driver: 'fault', options: { image, rules } });
    const good = await Promise.all([disk.hammer(0, 400), disk.hammer(1, 400)]);
    expect((good[0] as number) + (good[1] as number)).toBe(790);
    expect(disk.backend.stats().failed).toBe(10);
    await disk.close();
  });

  it('TP-1 the limits of a thread are those of its pool, and change at run time', async () => {
    const [thread] = two.threads;
    thread!.set({ 'thread-pool-max': 1 });
    const disk = await open(file({ aio: 'threads' }));
    expect(await thread!.call('lane driver', disk.lanes[0]!.address)).toBe('word');
    expect(await disk.hammer(0, 200)).toBe(200);
    thread!.set({ 'thread-pool-max': 3 });
    expect(await disk.hammer(0, 200)).toBe(200);
    await disk.close();
  });

  it('WT-5 a thread with a lane does not stop; a refusal of the thread keeps its class', async () => {
    const disk = await open({ driver: 'null' });
    await expect(two.threads[0]!.stop()).rejects.toThrow(/lane \d+ of disk 'null'/);
    const nobody = { driver: 'never-registered' };
    const backend = await BlockBackend.open(two.core, two.context, { driver: 'null' });
    Object.defineProperty(backend.driver, 'share', { value: nobody });
    const error = await backend.openLaneOn(two.threads[0]!).catch((thrown) => thrown);
    expect([error.name, error.option]).toEqual(['OptionError', 'driver']);
    await backend.close();
    await disk.close();
  });

  it('a drain ends when the thread of a request has died', async () => {
    const thread = await startThread(two.core, { worker: workerAt('./block-thread.mjs') });
    const image = { driver: 'null', options: { size: MIB } };
    const options = { image, rules: [{ action: 'delay', op: 'read' }] };
    const backend = await BlockBackend.open(two.core, two.context, { driver: 'fault', options });
    const lane = await backend.openLaneOn(thread);
    const bytes = two.core.allocatedBytes;
    const hammer = { lane: lane.address, count: 1, depth: 1, sectors: 1 };
    await thread.call('hammer on', hammer);
    expect(backend.inFlight).toBe(1);
    let idle = false;
    const drained = backend.idle().then(() => (idle = true));
    expect(idle).toBe(false);
    await expect(thread.call('die', null)).rejects.toThrow();
    await drained; // nobody will finish it
    await lane.close();
    expect([backend.inFlight, two.core.allocatedBytes < bytes]).toEqual([0, true]);
    await backend.close();
    await thread.stop();
  });

  it('memory disks that two threads fill grow together, up to their limit', async () => {
    const spec = { driver: 'memory', options: { size: 64 * MIB, limit: 4 * MIB } };
    const disk = await open(spec);
    const fill = async (index: number) => {
      const { address: lane } = disk.lanes[index]!;
      let written = 0;
      for (let i = index; i < 80; i += 2) {
        const data = new Uint8Array(65_536).fill(i + 1);
        const message = { lane, op: OP_WRITE, offset: i * 65_536, length: 65_536, flags: 0, data };
        const { result } = (await two.threads[index]!.call('submit', message)) as {
          result: number;
        };
        if (result === 0) written += 1;
        else expect(codeOf(result)).toBe('ENOSPC');
      }
      return written;
    };
    const [a, b] = await Promise.all([fill(0), fill(1)]);
    expect(a + b).toBe(63); // and a table
    const seen = new Map<number, number>();
    for (let i = 0; i < 80; i++) {
      const read = new Uint8Array(65_536);
      await disk.backend.io.read(i * 65_536, read);
      expect(read.every((byte) => byte === read[0])).toBe(true);
      if (read[0] !== 0) seen.set(i, read[0] as number);
    }
    expect(seen.size).toBe(63);
    expect([...seen].every(([i, byte]) => byte === i + 1)).toBe(true);
    await disk.close();
  });
});
