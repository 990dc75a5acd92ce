/** Lanes of other threads: the gate, figures, sizes and policy across them. */
import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import {
  type BlockDriver,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  PENDING,
  REQ_FUA,
} from '#src/block/driver';
import { BlockError, OptionError } from '#src/block/error';
import { FaultDriver } from '#src/block/fault';
import type { MemoryDriver } from '#src/block/memory';
import { type OpenDriver, registerDriver } from '#src/block/registry';
import { EAGAIN, EIO, EPERM } from '#src/spec';
import { bytes, type Done, make } from './rig.ts';
import { ScriptDriver } from './script-driver.ts';
import { MIB, SecondThread, type TwoThreads, twoThreads } from './second-thread.ts';

/** The driver objects that `shared` disks were opened as, main's first. */
let opened: SharedScript[] = [];

class SharedScript extends ScriptDriver {
  readonly share = { driver: 'script' };
  readonly sizes: number[] = [];
  readonly inside: boolean[] = [];

  resized(size: number): void {
    this.sizes.push(size);
  }

  several(several: boolean): void {
    this.inside.push(several);
  }
}

function script(settles: 'inline' | 'loop'): SharedScript {
  opened = [];
  const open: OpenDriver = () => {
    const driver = new SharedScript(settles);
    opened.push(driver);
    return driver;
  };
  registerDriver('script', open);
  return open(null as never, {}, { main: true }) as SharedScript;
}

async function close({ backend, remote, thread, context }: TwoThreads): Promise<void> {
  await remote.close();
  await backend.close();
  thread.close();
  context.close();
}

describe('lanes of other threads', () => {
  it('BB-3 two contexts submit to one backend; each callback runs in its own', async () => {
    const two = await twoThreads(script('loop'));
    const { backend, context, thread, lane } = two;
    const local = backend.openLane(context);
    let polling = '';
    const seen: string[] = [];
    const submit = (from: typeof local, name: string): void => {
      const { request } = make(from, OP_READ, 0, bytes(512));
      request.done = () => seen.push(`${name} in ${polling}`);
      expect(from.submit(request)).toBe(PENDING);
    };
    submit(local, 'main');
    submit(lane, 'io0');
    submit(local, 'main');
    expect(opened.map((driver) => driver.pending.length)).toEqual([2, 1]);
    for (const driver of opened) while (driver.pending.length > 0) driver.settle();
    const poll = (name: string, at: AioContext): void => {
      polling = name;
      at.poll();
    };
    poll('io0', thread.context);
    expect(seen).toEqual(['io0 in io0']);
    poll('main', context);
    expect(seen).toEqual(['io0 in io0', 'main in main', 'main in main']);
    local.close();
    await close(two);
  });

  it('BB-27 figures of all lanes add up, and stay when one has closed', async () => {
    const two = await twoThreads(script('inline'));
    const { backend, context, lane, remote } = two;
    const local = backend.openLane(context);
    for (const at of [local, lane, lane]) {
      expect(at.submit(make(at, OP_READ, 0, bytes(1024)).request)).toBe(0);
    }
    expect(lane.submit(make(lane, OP_READ, 65_536, bytes(512)).request)).toBe(-EIO);
    const figures = { read: { operations: 3, bytes: 3072 }, invalid: 1 };
    expect(backend.stats()).toMatchObject(figures);
    expect(backend.stats().read.latencyNs).toBeGreaterThan(0);
    await remote.close();
    expect(backend.stats()).toMatchObject(figures);
    local.close();
    await close(two);
  });

  it('BB-12 a drain waits for a lane of another thread, and is woken by it', async () => {
    const two = await twoThreads(script('loop'));
    const { backend, context, thread, lane, remote } = two;
    const { request, done } = make(lane, OP_READ, 0, bytes(512));
    expect(lane.submit(request)).toBe(PENDING);
    expect([remote.inFlight, backend.inFlight]).toEqual([1, 1]);
    let idle = false;
    const drain = backend.idle().then(() => (idle = true));
    opened[1]!.settle();
    thread.context.poll();
    expect(done).toHaveLength(1);
    await Promise.resolve();
    expect(idle).toBe(false);
    context.poll(); // the bottom half that the other thread has scheduled
    await drain;
    expect(backend.inFlight).toBe(0);
    await close(two);
  });

  it('a closed gate refuses another thread, which is told in its own poll when it opens', async () => {
    const two = await twoThreads(script('inline'));
    const { backend, context, thread, lane } = two;
    while (thread.context.poll()); // whoever opens a lane is told, too
    let told = 0;
    lane.onOpen.add(() => told++);
    backend.drainedBegin();
    const { request } = make(lane, OP_READ, 0, bytes(512));
    expect(lane.submit(request)).toBe(-EAGAIN);
    backend.drainedEnd();
    context.poll();
    expect(told).toBe(0);
    while (thread.context.poll());
    expect(told).toBe(1);
    expect(lane.submit(request)).toBe(0);
    await close(two);
  });

  it('a gate that opened while the lane was being opened is told of, too', async () => {
    const two = await twoThreads(script('inline'));
    const { backend, thread } = two;
    backend.drainedBegin();
    const opening = backend.openLaneOn(thread);
    backend.drainedEnd();
    const second = await opening;
    let told = 0;
    thread.lane(second).onOpen.add(() => told++);
    while (thread.context.poll());
    expect(told).toBe(1);
    await second.close();
    await close(two);
  });

  it('a resize reaches the driver of every thread before the gate opens', async () => {
    const two = await twoThreads(script('inline'));
    const { backend, lane } = two;
    let size = 0;
    const call = two.thread.call.bind(two.thread);
    two.thread.call = (service, payload) => {
      size = backend.quiesced ? (payload as { size: number }).size : -1;
      return call(service, payload);
    };
    await backend.resize(131_072);
    two.thread.call = call;
    expect([size, opened[1]!.sizes]).toEqual([131_072, [131_072]]);
    expect(lane.submit(make(lane, OP_READ, 130_560, bytes(512)).request)).toBe(0);
    expect(lane.submit(make(lane, OP_READ, 131_072, bytes(512)).request)).toBe(-EIO);
    await close(two);
  });

  it('BB-21 a write cache that is switched off makes writes of other threads FUA', async () => {
    const two = await twoThreads(script('inline'));
    const { backend, lane } = two;
    const write = () => lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request);
    write();
    backend.writeCache = false;
    write();
    backend.writeCache = true;
    write();
    expect(opened[1]!.asked.map(({ flags }) => flags)).toEqual([0, REQ_FUA, 0]);
    await close(two);
  });

  it('BB-4 BB-22 a read-only disk refuses writes of other threads, and takes a flush', async () => {
    const two = await twoThreads(script('inline'), { readOnly: true });
    const { lane } = two;
    expect(lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request)).toBe(-EPERM);
    expect(lane.submit(make(lane, OP_FLUSH, 0, 0).request)).toBe(0);
    expect(lane.submit(make(lane, OP_READ, 0, bytes(512)).request)).toBe(0);
    expect(opened[1]!.asked.map(({ op }) => op)).toEqual([OP_READ]);
    await close(two);
  });

  it('a drive without a disk answers on other threads as on main', async () => {
    const core = await openCore({ shared: true, maxBytes: 64 * MIB });
    const context = new AioContext(core, { sleeper: 'hook' });
    const backend = BlockBackend.empty(core, context);
    const thread = await SecondThread.open(core);
    const remote = await backend.openLaneOn(thread);
    const lane = thread.lane(remote);
    expect(lane.submit(make(lane, OP_READ, 0, bytes(512)).request)).toBe(-123);
    await close({ core, context, backend, thread, remote, lane });
  });

  it('an iothread of another core is refused, and nothing is left', async () => {
    const two = await twoThreads(script('inline'));
    const other = await SecondThread.open(await openCore({ shared: true }), 'elsewhere');
    const before = two.core.allocatedBytes;
    const refused = await two.backend.openLaneOn(other).catch((thrown) => thrown);
    expect(refused).toBeInstanceOf(OptionError);
    expect(String(refused)).toContain("'elsewhere'");
    expect([two.core.allocatedBytes, other.called, other.users]).toEqual([before, [], []]);
    await close(two);
  });

  it('of a thread that died keeps its memory until the Worker has ended', async () => {
    const two = await twoThreads(script('inline'));
    const { core, thread, remote } = two;
    const before = core.allocatedBytes;
    let end = (): void => {};
    thread.ended = new Promise((resolve) => {
      end = resolve;
    });
    const { call } = thread;
    thread.call = () => Promise.reject(Object.assign(new Error('it died'), { code: 'EOWNERDEAD' }));
    const closing = remote.close();
    for (let i = 0; i < 10; i++) await null;
    expect([core.allocatedBytes, thread.users.length]).toEqual([before, 1]);
    end();
    await closing;
    expect(core.allocatedBytes).toBeLessThan(before);
    expect(thread.users).toEqual([]);
    thread.call = call; // it was only dead for main
    await thread.call('close-lane', { lane: remote.address });
    await two.backend.close();
    thread.close();
    two.context.close();
  });

  it('a disk that fails to close there is closed, and its error told once', async () => {
    const two = await twoThreads(script('inline'));
    opened[1]!.close = () => {
      throw new BlockError('EIO', 'close');
    };
    await expect(two.remote.close()).rejects.toThrow(BlockError);
    expect(two.thread.users).toEqual([]);
    await two.backend.close();
    two.thread.close();
    two.context.close();
  });

  it('leaves no memory, no use of the thread and no bottom half behind', async () => {
    const two = await twoThreads({ driver: 'null', options: { size: MIB } });
    const { core, backend, thread, context } = two;
    expect(thread.users).toHaveLength(1);
    const [before, slots] = [core.allocatedBytes, context.bottomHalves];
    const second = await backend.openLaneOn(thread);
    expect(thread.users).toHaveLength(2);
    await second.close();
    expect([core.allocatedBytes, context.bottomHalves]).toEqual([before, slots]);
    expect(thread.users).toHaveLength(1);
    await close(two);
    expect(thread.users).toEqual([]);
  });

  it('does not close with a request in flight, and then does', async () => {
    const two = await twoThreads(script('loop'));
    const { thread, lane, remote, backend } = two;
    lane.submit(make(lane, OP_READ, 0, bytes(512)).request);
    await expect(remote.close()).rejects.toThrow('1 requests in flight');
    await expect(backend.close()).rejects.toThrow('1 lanes');
    opened[1]!.settle();
    thread.context.poll();
    await remote.close();
    expect(opened.map((driver) => driver.closed)).toEqual([false, true]);
    await close(two);
    expect(opened.map((driver) => driver.closed)).toEqual([true, true]);
  });
});

describe('disks that cannot go to another thread', () => {
  async function refused(disk: BlockDriver, shared = true): Promise<unknown> {
    const core = await openCore({ shared, maxBytes: 64 * MIB });
    const context = new AioContext(core, { sleeper: 'hook' });
    const backend = await BlockBackend.open(core, context, disk);
    const before = core.allocatedBytes;
    const call = () => Promise.reject(new Error());
    const thread = { id: 'io0', core, ended: Promise.resolve(), call, ref() {}, unref() {} };
    const error = await backend.openLaneOn(thread).catch((thrown) => thrown);
    expect([core.allocatedBytes, backend.inFlight]).toEqual([before, 0]);
    return error;
  }

  it('an open driver without share serves its own thread only, and the error says so', async () => {
    const error = await refused(new ScriptDriver());
    expect(error).toBeInstanceOf(OptionError);
    expect(String(error)).toContain("an open 'script' driver, which serves its own thread only");
    expect((error as OptionError).option).toBe('iothread');
  });

  it('a fault disk over such a driver does not either', async () => {
    expect(await refused(new FaultDriver(new ScriptDriver()))).toBeInstanceOf(OptionError);
  });

  it('nothing goes there without shared memory', async () => {
    expect(String(await refused(script('inline'), false))).toContain('not shared');
  });

  it('a driver that the thread fails to open is an error of its class, and nothing is left', async () => {
    const two = await twoThreads(script('inline'));
    const { core, backend, thread } = two;
    registerDriver('script', () => {
      throw new BlockError('EACCES', 'open');
    });
    const before = [core.allocatedBytes, thread.users.length, thread.context.bottomHalves];
    const error = await backend.openLaneOn(thread).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(BlockError);
    expect(error.code).toBe('EACCES');
    expect([core.allocatedBytes, thread.users.length, thread.context.bottomHalves]).toEqual(before);
    await close(two);
  });
});

describe('drivers of users', () => {
  const module = new URL('./module-driver.mjs', import.meta.url).href;

  it('are opened from their module on every thread', async () => {
    const spec = { driver: 'mine', module, options: { size: MIB } };
    const two = await twoThreads(spec);
    const { backend, lane } = two;
    expect(backend.driver.driver).toBe('module');
    const read = new Uint8Array(4);
    expect(lane.submit(make(lane, OP_READ, 0, read).request)).toBe(0);
    expect(read).toEqual(Uint8Array.of(2, 2, 2, 2)); // opened second
    await close(two);
  });

  it('a module that is not there, or opens nothing, is refused', async () => {
    const missing = twoThreads({ driver: 'mine', module: `${module}x` });
    await expect(missing).rejects.toMatchObject({ code: 'ENOENT', operation: 'open' });
    const nothing = twoThreads({ driver: 'mine', module: 'data:text/javascript,export {}' });
    await expect(nothing).rejects.toBeInstanceOf(OptionError);
  });
});

describe('the memory disk on several threads', () => {
  const memory = { driver: 'memory', options: { size: 4 * MIB } };
  const clusters = ({ backend }: TwoThreads) => (backend.driver as MemoryDriver).clusters;
  const transfer = (two: TwoThreads, op: typeof OP_READ, at: number, data: Uint8Array | number) =>
    two.lane.submit(make(two.lane, op as never, at, data).request);

  it('is one disk: what one thread writes another reads', async () => {
    const two = await twoThreads(memory);
    const { backend } = two;
    const data = bytes(200_000);
    await backend.io.write(70_000, data);
    const read = new Uint8Array(data.length);
    expect(transfer(two, OP_READ, 70_000, read)).toBe(0);
    expect(Buffer.compare(read, data)).toBe(0);
    expect(two.lane.driver.clusterDisk).toBe(backend.driver.clusterDisk);
    await close(two);
  });

  it('grows from a thread that cannot allocate, and its clusters are no guest memory', async () => {
    const two = await twoThreads(memory);
    const data = bytes(2 * MIB, 7);
    expect(transfer(two, OP_WRITE as never, 0, data)).toBe(0);
    expect(clusters(two)).toBe(2 * 16 + 1);
    expect(Buffer.compare(await readAll(two, data.length), data)).toBe(0);
    const pages = two.core.memory.buffer.byteLength - 65_536;
    expect(() => two.core.setRegions([{ guest: 0, size: 65_536, offset: pages }])).toThrow();
    await close(two);
  });

  async function readAll({ backend }: TwoThreads, length: number): Promise<Uint8Array> {
    const read = new Uint8Array(length);
    await backend.io.read(0, read);
    return read;
  }

  it('a discard frees clusters only while one thread alone has lanes', async () => {
    const two = await twoThreads(memory);
    const { backend, context } = two;
    transfer(two, OP_WRITE as never, 0, bytes(4 * 65_536, 1));
    expect(clusters(two)).toBe(5);
    transfer(two, OP_DISCARD as never, 0, 65_536); // the second thread is alone
    expect(clusters(two)).toBe(4);
    const local = backend.openLane(context);
    await backend.idle();
    transfer(two, OP_DISCARD as never, 65_536, 65_536);
    expect(clusters(two)).toBe(4);
    local.close();
    transfer(two, OP_DISCARD as never, 65_536, 65_536);
    expect(clusters(two)).toBe(3);
    await close(two);
  });

  it('a lane that makes it two threads waits until the one inside knows', async () => {
    const two = await twoThreads(script('loop'));
    const { backend, context, thread, lane } = two;
    lane.submit(make(lane, OP_READ, 0, bytes(512)).request);
    const local = backend.openLane(context);
    expect(local.submit(make(local, OP_READ, 0, bytes(512)).request)).toBe(-EAGAIN);
    expect(opened[0]!.inside).toEqual([]);
    opened[1]!.settle();
    thread.context.poll();
    context.poll();
    await new Promise((resolve) => setImmediate(resolve));
    expect(opened[0]!.inside).toEqual([true]);
    expect(local.submit(make(local, OP_READ, 0, bytes(512)).request)).toBe(PENDING);
    opened[0]!.settle();
    context.poll();
    local.close();
    expect(opened[0]!.inside).toEqual([true, false]);
    await close(two);
  });

  it('an attached one neither truncates nor frees what it does not own', async () => {
    const two = await twoThreads(memory);
    const { backend, lane, remote } = two;
    transfer(two, OP_WRITE as never, 0, bytes(512, 3));
    expect(lane.driver.truncate(MIB)).toBe(-EPERM);
    await backend.resize(2 * MIB);
    expect(lane.driver.size).toBe(2 * MIB);
    await remote.close();
    expect(clusters(two)).toBe(2);
    await close(two);
  });
});

describe('the fault disk on several threads', () => {
  const read = (lane: TwoThreads['lane']) =>
    lane.submit(make(lane, OP_READ, 0, bytes(512)).request);
  const spec = (rules: unknown) => ({
    driver: 'fault',
    options: { image: { driver: 'null', options: { size: MIB } }, rules },
  });

  it('counts over all threads: the third read fails, whoever makes it', async () => {
    const two = await twoThreads(spec([{ action: 'fail', op: 'read', skip: 2, count: 1 }]));
    const { backend, context, lane } = two;
    const local = backend.openLane(context);
    expect([read(local), read(lane), read(local), read(lane)]).toEqual([0, 0, -EIO, 0]);
    local.close();
    await close(two);
  });

  it('new rules of main are the rules of all threads', async () => {
    const two = await twoThreads(spec([{ action: 'fail', op: 'flush', errno: 'ENOSPC' }]));
    const { backend, lane } = two;
    const flush = () => lane.submit(make(lane, OP_FLUSH, 0, 0).request);
    expect([flush(), read(lane)]).toEqual([-28, 0]);
    (backend.driver as FaultDriver).setRules([
      { action: 'fail', offset: 512, length: 512 },
      { action: 'fail', op: ['read', 'write'], offset: 1024, errno: 'EPERM' },
    ]);
    expect([flush(), read(lane)]).toEqual([0, 0]);
    const at = (offset: number) => lane.submit(make(lane, OP_READ, offset, bytes(512)).request);
    expect([at(512), at(1024), at(0)]).toEqual([-EIO, -EPERM, 0]);
    await close(two);
  });

  it('delays on the thread whose request it is', async () => {
    const two = await twoThreads(spec([{ action: 'delay', ms: 0, op: 'read' }]));
    const { backend, thread, lane } = two;
    const request = make(lane, OP_READ, 0, bytes(512));
    expect(lane.submit(request.request)).toBe(PENDING);
    expect((backend.driver as FaultDriver).held).toBe(0);
    const done: Done[] = request.done;
    while (done.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      thread.context.poll();
    }
    expect(done[0]!.result).toBe(0);
    await close(two);
  });

  it('gives its table back', async () => {
    const two = await twoThreads(spec([]));
    const { core } = two;
    const share = (two.backend.driver as FaultDriver).share!;
    expect((share.options as { table: number }).table).toBeGreaterThan(0);
    const before = core.allocatedBytes;
    const driver: BlockDriver = new FaultDriver(new ScriptDriver());
    await driver.close();
    expect(core.allocatedBytes).toBe(before);
    await close(two);
  });
});
