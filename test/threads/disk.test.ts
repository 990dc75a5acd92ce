/** Disks without an emulator whose queues IOThreads serve, and clients in Workers. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { nodeThreadEntryUrl } from '#src/adapter/assets';
import { openCore, openDisk, startIOThread } from '#src/adapter/node';
import type { FaultRule } from '#src/block/fault';
import { DiskClient } from '#src/disk/client';
import { DiskClientSync } from '#src/disk/client-sync';
import type { DiskHandle } from '#src/disk/handle';
import type { DiskOptions } from '#src/disk/options';
import {
  engines,
  exercise,
  failure,
  faultDisk,
  MIB,
  memoryDisk,
  pattern,
  until,
} from '../disk/rig.ts';

interface Task {
  readonly name: string;
  readonly [argument: string]: unknown;
}

function start(kind: 'sync' | 'async', handle: DiskHandle, task: Task): Worker {
  const url = new URL('./disk-client.mjs', import.meta.url);
  return new Worker(url, { workerData: { handle, kind, task } });
}

/** What the Worker says last. */
async function outcome(worker: Worker): Promise<unknown> {
  let last: { result?: unknown; error?: string } = { error: 'nothing was said' };
  worker.on('message', (message) => {
    last = message;
  });
  await once(worker, 'exit');
  if (last.error) throw new Error(last.error);
  return last.result;
}

describe.each(engines)('A disk that IOThreads serve, %s engine', (engine) => {
  it.each([1, 2])('reads what was written, %i threads', async (iothreads) => {
    await using disk = await memoryDisk({ engine, iothreads }, 2 * MIB);
    await exercise(disk, 11 * iothreads);
    const { queues } = disk.stats();
    expect(queues.filter(({ requests }) => requests > 0)).toHaveLength(iothreads);
  });

  it.each(['sync', 'uv', 'threads'])('a file, aio = %s', async (aio) => {
    const folder = mkdtempSync(join(tmpdir(), 'vblk-disk-'));
    const filename = join(folder, 'image');
    writeFileSync(filename, pattern(MIB, 4));
    const spec = { driver: 'file', options: { filename, aio } };
    await using _folder = {
      [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true }),
    };
    await using disk = await openDisk(spec, { engine, iothreads: 1, queues: 2 });
    await using client = await DiskClient.open(await disk.connect());
    await Promise.all([
      exercise(disk, 12, { to: MIB / 2, rounds: 3 }),
      exercise(client, 13, { from: MIB / 2, rounds: 3 }),
    ]);
    const back = new Uint8Array(MIB);
    await disk.read(back, 0);
    expect(Buffer.compare(back, readFileSync(filename))).toBe(0);
  });

  it('fails as a disk on main does', async () => {
    const rules: FaultRule[] = [{ action: 'fail', op: 'read', offset: 512, length: 512 }];
    await using disk = await faultDisk(rules, { engine, iothreads: 1 });
    const error = await failure(disk.read(new Uint8Array(512), 512));
    expect(error).toMatchObject({
      name: 'BlockError',
      code: 'EIO',
      operation: 'read',
      offset: 512,
    });
    await disk.read(new Uint8Array(512), 1024);
  });

  it('an abort answers while the request is under way in the thread', async () => {
    const rules: FaultRule[] = [{ action: 'delay', op: 'read', ms: 100, count: 1 }];
    await using disk = await faultDisk(rules, { engine, iothreads: 1 });
    const abort = new AbortController();
    const buffer = new Uint8Array(512).fill(0x33);
    const read = failure(disk.read(buffer, 0, { signal: abort.signal }));
    await until(() => disk.backend.inFlight === 1);
    abort.abort('enough');
    expect(await read).toBe('enough');
    await until(() => disk.backend.inFlight === 0);
    await disk.flush();
    expect(buffer).toEqual(new Uint8Array(512).fill(0x33));
  });

  it('close waits for what is under way in the thread', async () => {
    const rules: FaultRule[] = [{ action: 'delay', op: 'write', ms: 50 }];
    const disk = await faultDisk(rules, { engine, iothreads: 1 });
    const done: string[] = [];
    const write = disk.write(pattern(512, 1), 0).then(() => done.push('write'));
    const closing = disk.close().then(() => done.push('close'));
    await Promise.all([write, closing]);
    expect(done).toEqual(['write', 'close']);
  });

  it('several disks share a core and its threads', async () => {
    const core = await openCore({ engine, shared: true, ramBytes: 16 * MIB });
    const iothreads = [await startIOThread(core), await startIOThread(core)];
    const options: DiskOptions = { core, iothreads, 'alloc-bytes': MIB, 'slot-size': 4096 };
    const disks = [await memoryDisk(options), await memoryDisk(options)];
    await using client = await DiskClient.open(await disks[1]!.connect());
    await Promise.all([
      exercise(disks[0]!, 5, { rounds: 5 }),
      exercise(disks[1]!, 6, { to: MIB / 2, rounds: 5 }),
      exercise(client, 7, { from: MIB / 2, rounds: 5 }),
    ]);
    await client.close();
    for (const disk of disks) await disk.close();
    for (const thread of iothreads) {
      expect(thread.info().users).toEqual([]);
      await thread.stop();
    }
    const small = await openCore({ engine, shared: true, ramBytes: MIB });
    const error = await failure(memoryDisk({ core: small, iothreads: 0 }));
    expect(error).toMatchObject({ name: 'OptionError', option: 'core' });
  });

  it('everybody is told when the thread dies', async () => {
    let worker: Worker | undefined;
    const createWorker = () => (worker = new Worker(nodeThreadEntryUrl()));
    const rules: FaultRule[] = [{ action: 'delay', op: 'read', ms: 60_000 }];
    const disk = await faultDisk(rules, { engine, iothreads: 1, createWorker });
    const client = await DiskClient.open(await disk.connect());
    const sync = start('sync', await disk.connect(), { name: 'waitSync' });
    const told = outcome(sync);
    await once(sync, 'message'); // it is open; a queue that is being served counts for a moment, too
    const reads = [disk, client].map((one) => failure(one.read(new Uint8Array(512), 0)));
    await until(() => disk.backend.inFlight === 3);
    await worker!.terminate();
    for (const error of await Promise.all(reads)) {
      expect(error).toMatchObject({ name: 'DiskError', code: 'EOWNERDEAD' });
    }
    expect(await told).toEqual({ name: 'DiskError', code: 'EOWNERDEAD' });
    await disk.close();
  });
});

describe.each(engines)('Clients in Workers, %s engine', (engine) => {
  it.each([0, 1, 2])('two asynchronous and two synchronous, %i threads', async (iothreads) => {
    await using disk = await memoryDisk({ engine, iothreads, shared: true, queues: 6 }, 4 * MIB);
    const workers: Worker[] = [];
    for (const [i, kind] of (['async', 'sync', 'async', 'sync'] as const).entries()) {
      const name = kind === 'sync' ? 'fillSync' : 'fill';
      const task = { name, from: i * MIB, sectors: 300, seed: i + 1 };
      workers.push(start(kind, await disk.connect({ 'poll-max-ns': 20_000 }), task));
    }
    await Promise.all(workers.map(outcome));
    for (let i = 0; i < 4; i++) {
      const back = new Uint8Array(512);
      await disk.read(back, i * MIB + 512 * 299);
      expect(back).toEqual(new Uint8Array(512).fill((299 * 31 + i + 1) & 0xff));
    }
    expect(disk.stats().clients).toBe(0);
  });

  it('a synchronous client moves more than its slots hold, and without a copy', async () => {
    const options = { engine, iothreads: 1, 'queue-size': 16, 'slot-size': 4096 };
    await using disk = await memoryDisk(options, MIB);
    const handle = await disk.connect({ alloc: 512 * 1024 });
    const task = { name: 'largeSync', bytes: 512 * 1024 };
    expect(await outcome(start('sync', handle, task))).toBe(MIB);
  });

  it('a synchronous client throws what an asynchronous one rejects with', async () => {
    const rules: FaultRule[] = [{ action: 'fail', op: 'read', offset: 512, length: 512 }];
    await using disk = await faultDisk(rules, { engine, iothreads: 1 });
    const task = { name: 'errorsSync', offsets: [0, 512, 1, MIB, 1024] };
    expect(await outcome(start('sync', await disk.connect(), task))).toEqual([
      'no error',
      { name: 'BlockError', code: 'EIO', operation: 'read' },
      { name: 'OptionError', code: 'EINVAL', operation: undefined },
      { name: 'OptionError', code: 'EINVAL', operation: undefined },
      'no error',
    ]);
  });

  it('a synchronous client may live on main if a thread serves', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 1 });
    using client = await DiskClientSync.open(await disk.connect());
    const back = new Uint8Array(4096);
    for (let i = 0; i < 100; i++) {
      client.writeSync(pattern(4096, i), 4096 * i);
      client.readSync(back, 4096 * i);
      expect(Buffer.compare(back, pattern(4096, i))).toBe(0);
    }
  });

  it.each(['die', 'dieSync'])(
    'the queue of a client that ended is claimed anew: %s',
    async (name) => {
      await using disk = await memoryDisk({ engine, iothreads: 1, queues: 2 });
      for (let turn = 0; turn < 3; turn++) {
        const handle = await disk.connect();
        const worker = start(name === 'die' ? 'async' : 'sync', handle, { name });
        await once(worker, 'exit');
        expect(disk.stats().clients).toBe(1);
        expect(await failure(disk.connect())).toMatchObject({ code: 'EBUSY' });
        await disk.reclaim(handle);
      }
      await using client = await DiskClient.open(await disk.connect());
      await exercise(client, 8, { rounds: 5 });
    },
  );

  it('a Worker that connect was told of is watched', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 1, queues: 2 });
    const idle = new Worker('setInterval(() => {}, 1e6)', { eval: true });
    const handle = await disk.connect({ worker: idle });
    expect(await failure(disk.connect())).toMatchObject({ code: 'EBUSY' });
    await idle.terminate();
    expect(await failure(DiskClient.open(handle))).toMatchObject({ code: 'ESTALE' });
    await using client = await DiskClient.open(await disk.connect());
    await exercise(client, 9, { rounds: 2 });
  });

  it.each(['wait', 'waitSync'])(
    'closing the disk ends what a client waits for: %s',
    async (name) => {
      const rules: FaultRule[] = [{ action: 'delay', op: 'read', ms: 300 }];
      const disk = await faultDisk(rules, { engine, iothreads: 1 });
      const kind = name === 'wait' ? 'async' : 'sync';
      const told = outcome(start(kind, await disk.connect(), { name }));
      await until(() => disk.backend.inFlight === 1);
      await disk.close();
      expect(await told).toEqual({ name: 'DiskError', code: 'ESHUTDOWN' });
    },
  );
});
