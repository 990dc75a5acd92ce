/** The file disk with `aio=threads`: its Workers, and what happens where there are none. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { nodeFiles } from '#src/adapter/node-files';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { type BlockDriver, OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import { DriverClient } from '#src/block/driver-client';
import { driverSuite } from '#src/block/driver-suite';
import { BlockError, OptionError } from '#src/block/error';
import { type FileHost, fileDriver } from '#src/block/file';
import { SegmentVector } from '#src/block/io-vector';
import { openDriver, registerDriver } from '#src/block/registry';
import type { Core } from '#src/engine/core';
import { EINVAL } from '#src/spec';
import { bytes, make } from '../block/rig.ts';
import { MIB, SecondThread } from '../block/second-thread.ts';
import { until } from './threads.ts';

const folder = fs.mkdtempSync(join(tmpdir(), 'vblk-pool-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
let files = 0;

function image(content: Uint8Array | number = MIB): string {
  const filename = join(folder, `disk${files++}`);
  fs.writeFileSync(filename, typeof content === 'number' ? new Uint8Array(content) : content);
  return filename;
}

/** Registers file disks of a host whose parts the test replaces. */
function use(parts: Partial<FileHost> = {}): void {
  registerDriver('file', fileDriver({ ...nodeFiles, ...parts }));
}
beforeEach(() => use());

/** Buffers in core memory, which are used again when the area is used up. */
function buffers(core: Core): (size: number) => Uint8Array {
  const length = 32 * MIB;
  const area = core.allocate(length, 4096);
  const { buffer } = core.memory;
  let next = 0;
  return (size) => {
    if (next + size > length) next = 0;
    const at = next;
    next += Math.ceil(size / 4096) * 4096;
    return new Uint8Array(buffer, area + at, size);
  };
}

const suiteCore = await openCore({ shared: true, maxBytes: 512 * MIB });
const suiteContext = new AioContext(suiteCore);
const suiteBuffer = buffers(suiteCore);

function suiteDisk(options: Record<string, unknown> = {}): Promise<BlockDriver> {
  const create = { filename: image(0), size: 8 * MIB, create: true, aio: 'threads' };
  const spec = { driver: 'file', options: { ...create, ...options } };
  return openDriver(suiteCore, spec, { main: true, context: suiteContext }) as Promise<BlockDriver>;
}

describe('driver suite: file, threads', () => {
  for (const { name, run } of driverSuite(suiteDisk, { buffer: suiteBuffer })) it(name, run);
});

describe('driver suite: file, threads, without holes', () => {
  const disk = () => {
    use({ punchHoleSync: () => false });
    return suiteDisk();
  };
  for (const { name, run } of driverSuite(disk, { buffer: suiteBuffer })) it(name, run);
});

const spec = (filename: string, more = {}) => ({
  driver: 'file',
  options: { filename, aio: 'threads', ...more },
});

describe('aio=threads', () => {
  async function open(filename: string): Promise<{
    core: Core;
    context: AioContext;
    backend: BlockBackend;
  }> {
    const core = await openCore({ shared: true, maxBytes: 256 * MIB, ramBytes: 65_536 });
    const context = new AioContext(core);
    const backend = await BlockBackend.open(core, context, spec(filename));
    return { core, context, backend };
  }

  it('serves many requests at once, and leaves nothing behind', async () => {
    const filename = image();
    const { core, context, backend } = await open(filename);
    expect(backend.driver.settles).toBe('word');
    const writes = Array.from({ length: 100 }, (_, i) =>
      backend.io.write(i * 5120, new Uint8Array(5120).fill(i + 1)),
    );
    await Promise.all(writes);
    await backend.io.flush();
    await backend.io.writeZeroes(0, 512);
    const file = fs.readFileSync(filename);
    expect([file[0], file[512], file[99 * 5120], file[100 * 5120]]).toEqual([0, 1, 100, 0]);
    const read = new Uint8Array(300_000);
    await backend.io.read(1024, read);
    expect(Buffer.compare(read, file.subarray(1024, 301_024))).toBe(0);
    await backend.close();
    context.close();
    const bare = await openCore({ shared: true, maxBytes: 256 * MIB, ramBytes: 65_536 });
    expect(core.allocatedBytes).toBe(bare.allocatedBytes);
  });

  it('TP-1 two disks of one context share its pool, which the last one closes', async () => {
    const made: Worker[] = [];
    use({
      createPoolWorker: () => {
        const worker = nodeFiles.createPoolWorker!() as Worker;
        made.push(worker);
        return worker;
      },
    });
    const { core, context, backend } = await open(image());
    const second = await BlockBackend.open(core, context, spec(image()));
    await second.io.flush();
    await backend.close();
    await second.io.flush();
    expect(made).toHaveLength(1);
    const exited = new Promise((resolve) => made[0]!.once('exit', resolve));
    await second.close();
    await exited;
    context.close();
  });

  it('an error of the host is the error of the request', async () => {
    const filename = image(1024);
    const { context, backend } = await open(filename);
    const fd = (backend.driver as unknown as { file: { fd: number } }).file;
    const real = fd.fd;
    fd.fd = 9999;
    await expect(backend.io.read(0, new Uint8Array(512))).rejects.toMatchObject({ code: 'EBADF' });
    fd.fd = real;
    await backend.io.read(0, new Uint8Array(512));
    await backend.close();
    context.close();
  });

  it('takes a view that is older than a growth of the memory, but no memory of others', async () => {
    const { core, context, backend } = await open(image(bytes(512, 9)));
    const address = core.allocate(512);
    const { u8 } = core; // and now another thread grows it
    core.memory.grow(1);
    expect(u8.buffer).not.toBe(core.memory.buffer);
    const client = new DriverClient(backend.driver);
    const read = (view: Uint8Array, start: number) => {
      const vector = new SegmentVector(view);
      vector.append(start, 512);
      return client.submit(OP_READ, 0, 512, vector);
    };
    expect(await read(new Uint8Array(core.memory.buffer), address)).toBe(512);
    core.u8.fill(0, address, address + 512);
    expect(await read(u8, address)).toBe(512);
    expect(core.u8.slice(address, address + 512)).toEqual(bytes(512, 9));
    expect(await read(new Uint8Array(512), 0)).toBe(-EINVAL);
    core.free(address);
    await backend.close();
    context.close();
  });

  it('is refused without shared memory, without Workers, and where descriptors stay', async () => {
    const core = await openCore({ ramBytes: 65_536 });
    const shared = await openCore({ shared: true, maxBytes: 64 * MIB });
    const refused = async (at: Core, thread = { main: true, context: new AioContext(at) }) => {
      const error = await (async () => openDriver(at, spec(image()), thread))().catch((e) => e);
      expect(error).toBeInstanceOf(OptionError);
      return (error as OptionError).allowed;
    };
    expect(await refused(core)).toBe('sync, uv; threads needs a core with shared memory');
    expect(await refused(shared, { main: true } as never)).toContain('AioContext');
    use({ createPoolWorker: undefined as never });
    expect(await refused(shared)).toContain('makes Workers');
    use({ descriptorsCross: false });
    expect(await refused(shared)).toContain('descriptors');
  });

  it('TP-7 a pool that cannot start fails the open, with the cause', async () => {
    const noWorkers = new Error('no Worker for you');
    const files = new Set<number>();
    const openSync: typeof fs.openSync = (...list) => {
      const fd = fs.openSync(...list);
      files.add(fd);
      return fd;
    };
    const closeSync = (fd: number) => {
      files.delete(fd);
      fs.closeSync(fd);
    };
    const watched = { ...nodeFiles.fs, openSync, closeSync };
    use({
      fs: watched,
      createPoolWorker: () => {
        throw noWorkers;
      },
    });
    const error = (await open(image()).catch((thrown) => thrown)) as BlockError;
    expect(error).toBeInstanceOf(BlockError);
    expect([error.operation, error.cause]).toEqual(['open', noWorkers]);
    const nowhere = new URL('./nowhere.mjs', import.meta.url);
    use({ fs: watched, createPoolWorker: () => new Worker(nowhere) });
    await expect(open(image())).rejects.toThrow(/nowhere\.mjs/);
    expect(files.size).toBe(0);
  });

  it('TP-7 historic bug 27: a disk that moves to a thread without a pool goes on, with one warning', async () => {
    const filename = image(bytes(MIB));
    const core = await openCore({ shared: true, maxBytes: 256 * MIB, ramBytes: 65_536 });
    const context = new AioContext(core);
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const backend = await BlockBackend.open(core, context, spec(filename), { onWarning });
    await backend.io.write(0, bytes(512, 9));
    use({
      createPoolWorker: () => {
        throw new Error('too many threads');
      },
    });
    const before = core.allocatedBytes;
    const thread = await SecondThread.open(core);
    const remote = await backend.openLaneOn(thread);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/io0.*no thread pool.*aio=sync.*too many threads/);
    const lane = thread.lane(remote);
    expect(lane.driver.settles).toBe('inline');
    const read = new Uint8Array(512);
    expect(lane.submit(make(lane, OP_READ, 0, read).request)).toBe(0);
    expect(read).toEqual(bytes(512, 9));
    expect(lane.submit(make(lane, OP_WRITE, 512, bytes(512, 3)).request)).toBe(0);
    expect(warnings).toHaveLength(1);
    await remote.close();
    thread.close();
    expect(core.allocatedBytes).toBe(before);
    await backend.io.read(512, read);
    expect(read).toEqual(bytes(512, 3));
    await backend.close();
    context.close();
  });

  it('TP-1 TP-7 a thread that the disk moves to has a pool of its own, with its limits', async () => {
    const made = new Map<AioContext | string, number>();
    let opener = 'main';
    use({
      createPoolWorker: () => {
        made.set(opener, (made.get(opener) ?? 0) + 1);
        return nodeFiles.createPoolWorker!();
      },
    });
    const filename = image(bytes(MIB));
    const { core, context, backend } = await open(filename);
    opener = 'io0';
    const thread = await SecondThread.open(core);
    const remote = await backend.openLaneOn(thread);
    const lane = thread.lane(remote);
    expect(lane.driver.settles).toBe('word');
    const reads = Array.from({ length: 20 }, (_, i) => make(lane, OP_READ, i * 512, 512 * 1));
    for (const { request } of reads) {
      request.vector.reset(new Uint8Array(512));
      request.vector.append(0, 512);
      expect(lane.submit(request)).toBe(PENDING);
    }
    await until(() => {
      thread.context.poll();
      return reads.every(({ done }) => done.length === 1);
    });
    for (const [i, { request, done }] of reads.entries()) {
      expect(done[0]!.result).toBe(0);
      expect(request.vector.bytes[7]).toBe((i * 512 + 7) & 0xff);
    }
    expect(made.get('main')).toBe(1);
    expect(made.get('io0')).toBeLessThanOrEqual(2);
    await remote.close();
    thread.close();
    await backend.close();
    context.close();
  });
});

describe('a file disk on several threads', () => {
  it('passes its descriptor on, and closes it after all lanes', async () => {
    const core = await openCore({ shared: true, maxBytes: 64 * MIB });
    const context = new AioContext(core);
    const filename = image(bytes(4096));
    const closed: number[] = [];
    const closeSync = (fd: number) => {
      closed.push(fd);
      fs.closeSync(fd);
    };
    use({ fs: { ...nodeFiles.fs, closeSync } });
    const options = { filename, readonly: true };
    const backend = await BlockBackend.open(core, context, { driver: 'file', options });
    fs.renameSync(filename, `${filename}.moved`);
    const thread = await SecondThread.open(core);
    const remote = await backend.openLaneOn(thread);
    const lane = thread.lane(remote);
    const fdOf = (driver: unknown) => (driver as { file: { fd: number } }).file.fd;
    expect(fdOf(lane.driver)).toBe(fdOf(backend.driver));
    expect([lane.driver.readOnly, lane.driver.size]).toEqual([true, 4096]);
    const read = new Uint8Array(512);
    expect(lane.submit(make(lane, OP_READ, 512, read).request)).toBe(0);
    expect(read[1]).toBe(1);
    await remote.close();
    expect(closed).toEqual([]);
    const fd = fdOf(backend.driver);
    await backend.close();
    expect(closed).toEqual([fd]);
    thread.close();
    context.close();
  });

  it("is opened by name where descriptors are a thread's own, if it is the same file", async () => {
    use({ descriptorsCross: false });
    const core = await openCore({ shared: true, maxBytes: 64 * MIB });
    const context = new AioContext(core);
    const filename = image(bytes(4096));
    const options = { filename, discard: 'ignore' };
    const backend = await BlockBackend.open(core, context, { driver: 'file', options });
    const thread = await SecondThread.open(core);
    const remote = await backend.openLaneOn(thread);
    const fdOf = (driver: unknown) => (driver as { file: { fd: number } }).file.fd;
    expect(fdOf(thread.lane(remote).driver)).not.toBe(fdOf(backend.driver));
    await remote.close();
    fs.renameSync(filename, `${filename}.moved`);
    fs.writeFileSync(filename, bytes(4096));
    const error = await backend.openLaneOn(thread).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(BlockError);
    expect([error.code, error.cause.message]).toEqual(['ESTALE', expect.stringMatching(/another/)]);
    await backend.close();
    thread.close();
    context.close();
  });
});
