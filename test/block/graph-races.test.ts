/** Changes of the graph that meet each other, lanes that come and go, and threads that die. */
import { beforeEach, describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { type BlockDriver, OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import { BlockError } from '#src/block/error';
import { FaultDriver } from '#src/block/fault';
import { memoryDisks } from '#src/block/memory-state';
import { registerDriver } from '#src/block/registry';
import type { Core } from '#src/engine/core';
import { BACKEND_QUIESCE, BACKEND_SIZE, DISK_SEVERAL, LANE_SIZE } from '#src/layout';
import { bytes, make, PAGE } from './rig.ts';
import { ScriptDriver } from './script-driver.ts';
import { MIB, SecondThread } from './second-thread.ts';

let core: Core;
let context: AioContext;

beforeEach(async () => {
  core = await openCore({ shared: true, maxBytes: 64 * MIB, ramBytes: PAGE });
  context = new AioContext(core, { sleeper: 'hook' });
});

const turns = async () => {
  for (let i = 0; i < 50; i++) await Promise.resolve();
};
const memory = () => BlockBackend.open(core, context, { driver: 'memory', options: { size: MIB } });
const several = ({ clusterDisk }: BlockDriver) => core.u32[(clusterDisk + DISK_SEVERAL) >>> 2];

describe('threads inside a disk', () => {
  it('are counted over all backends on it, one thread each', async () => {
    const first = await memory();
    const second = BlockBackend.attach(core, context, first.root!);
    const one = await first.openLaneOn(await SecondThread.open(core, 'io0'));
    expect(several(first.driver)).toBe(0);
    const two = await second.openLaneOn(await SecondThread.open(core, 'io1'));
    expect(several(first.driver)).toBe(1);
    await two.close();
    expect(several(first.driver)).toBe(0);
    const lane = second.openLane(context);
    expect(several(first.driver)).toBe(1);
    lane.close();
    await one.close();
    expect(several(first.driver)).toBe(0);
  });

  it('are told to a disk below a filter that takes no interest', async () => {
    const backend = await memory();
    const disk = backend.driver;
    const filter = (below: BlockDriver) => {
      const one = Object.assign(new ScriptDriver('inline'), { share: below.share ?? null });
      return Object.assign(one, { children: [below] });
    };
    await backend.insertFilter({ open: filter });
    backend.openLane(context);
    await backend.openLaneOn(await SecondThread.open(core));
    expect(several(disk)).toBe(1);
  });

  it('are counted before the gate opens over a disk that another thread has', async () => {
    const first = await memory();
    await first.openLaneOn(await SecondThread.open(core, 'io0'));
    const second = BlockBackend.attach(core, context, new ScriptDriver('inline'));
    second.openLane(context);
    const seen: unknown[] = [];
    second.setDevOps({ drainedEnd: () => seen.push(several(first.driver)) });
    await second.insertMedium(first.driver);
    expect(seen).toEqual([1]);
  });
});

describe('a backend that is closed', () => {
  it('takes no change of its disk any more', async () => {
    const backend = BlockBackend.attach(core, context, new ScriptDriver('inline'));
    const closing = backend.close();
    const changes = [
      () => backend.insertMedium({ driver: 'null' }),
      () => backend.removeMedium(),
      () => backend.replaceNode({ driver: 'null' }),
      () => backend.insertFilter({ spec: { driver: 'throttle' } }),
      () => backend.removeFilter(),
      () => backend.resize(512),
      () => backend.changeContext(null),
    ];
    const before = core.allocatedBytes;
    for (const change of changes) await expect(change()).rejects.toThrow('the backend is closed');
    await closing;
    for (const change of changes) await expect(change()).rejects.toThrow('the backend is closed');
    expect(core.allocatedBytes).toBeLessThan(before);
  });

  it('opens no lane that had to wait for a change', async () => {
    const old = new ScriptDriver('loop');
    const other = BlockBackend.attach(core, context, old);
    const removing = other.removeMedium();
    const backend = BlockBackend.attach(core, context, shared('none', 'inline'));
    const thread = await SecondThread.open(core);
    const opening = backend.openLaneOn(thread);
    const refused = expect(opening).rejects.toThrow('the backend is closed');
    const closing = backend.close();
    await turns();
    old.settle();
    await Promise.all([removing, refused, closing]);
    expect([thread.called, thread.users]).toEqual([[], []]);
  });

  it('is left alone by who counted the threads of its disk when it closed', async () => {
    const disk = shared('counted', 'loop');
    const first = BlockBackend.attach(core, context, disk);
    const lane = first.openLane(context);
    const second = BlockBackend.attach(core, context, first.root!);
    const { request, done } = make(lane, OP_READ, 0, bytes(512));
    expect(lane.submit(request)).toBe(PENDING);
    const opening = first.openLaneOn(await SecondThread.open(core));
    const closing = second.close();
    await turns();
    disk.settle();
    context.poll();
    await Promise.all([opening, closing]);
    expect([done.length, first.quiesced, second.quiesced]).toEqual([1, false, true]);
    expect(core.allocate(BACKEND_SIZE)).toBe(second.address);
    expect(core.i32[(second.address + BACKEND_QUIESCE) >>> 2]).toBe(0);
  });

  it('is not made on a disk that is being closed, and leaves nothing', async () => {
    const before = core.allocatedBytes;
    const disk = new ScriptDriver('inline');
    let end = (): void => {};
    Object.assign(disk, { close: () => new Promise<void>((resolve) => (end = resolve)) });
    const backend = BlockBackend.attach(core, context, disk);
    const node = backend.root!;
    const closing = backend.close();
    await turns();
    const during = core.allocatedBytes;
    expect(() => BlockBackend.attach(core, context, node)).toThrow('is closing');
    expect(core.allocatedBytes).toBe(during);
    end();
    await closing;
    expect(core.allocatedBytes).toBe(before);
  });

  it('leaves no memory behind when its disk fails to close', async () => {
    const before = core.allocatedBytes;
    const disk = new ScriptDriver('inline');
    disk.close = () => {
      throw new BlockError('EIO', 'close');
    };
    await expect(BlockBackend.attach(core, context, disk).close()).rejects.toThrow('EIO');
    expect(core.allocatedBytes).toBe(before);
  });
});

/** A disk that threads open by its name; all that they open is in `opened`. */
function shared(name: string, settles: 'inline' | 'loop', opened: ScriptDriver[] = []) {
  registerDriver(name, () => {
    opened.push(new ScriptDriver(settles));
    return opened.at(-1)!;
  });
  return Object.assign(new ScriptDriver(settles), { share: { driver: name }, several() {} });
}

describe('a change while lanes come and go', () => {
  it('BB-18 waits for a lane whose thread has not opened the disk yet', async () => {
    const backend = BlockBackend.attach(core, context, shared('before', 'loop'));
    const lane = backend.openLane(context);
    const { request, done } = make(lane, OP_READ, 0, bytes(512));
    expect(lane.submit(request)).toBe(PENDING);
    const thread = await SecondThread.open(core);
    const opening = backend.openLaneOn(thread); // the request keeps it waiting
    await turns();
    const opened: ScriptDriver[] = [];
    const inserting = backend.insertMedium(shared('after', 'inline', opened));
    await turns();
    (backend.driver as ScriptDriver).settle();
    context.poll();
    await turns();
    const old = backend.driver as ScriptDriver;
    if (old.pending.length > 0) old.settle(); // the flush
    const [remote] = await Promise.all([opening, inserting]);
    expect(done).toHaveLength(1);
    expect(thread.lane(remote).driver).toBe(opened[0]);
  });

  it('BB-18 a lane that closes meanwhile leaves neither disk nor memory', async () => {
    const before: ScriptDriver[] = [];
    const after: ScriptDriver[] = [];
    const old = shared('before', 'loop', before);
    const backend = BlockBackend.attach(core, context, old);
    const allocated = core.allocatedBytes;
    const thread = await SecondThread.open(core);
    const inContext = core.allocatedBytes - allocated;
    const remote = await backend.openLaneOn(thread);
    const next = Object.assign(shared('after', 'inline', after), { settles: 'word' as const });
    const inserting = backend.insertMedium(next);
    await turns();
    expect([after.length, old.pending.length]).toEqual([1, 1]); // prepared; the old one flushes
    const closing = remote.close();
    await turns();
    old.settle();
    await Promise.all([inserting, closing]);
    expect([...before, ...after].map(({ closed }) => closed)).toEqual([true, true]);
    expect(thread.users).toEqual([]);
    expect(backend.driver).toBe(next);
    expect(core.allocatedBytes - inContext).toBeLessThanOrEqual(allocated + 64);
  });

  it('BB-18 a lane that closes while its thread opens the new disk does not fail the change', async () => {
    let open = (): void => {};
    const after = new ScriptDriver('inline');
    registerDriver('slow', () => new Promise((resolve) => (open = () => resolve(after))));
    const old = shared('before', 'inline');
    const backend = BlockBackend.attach(core, context, old);
    const thread = await SecondThread.open(core);
    const remote = await backend.openLaneOn(thread);
    const next = Object.assign(new ScriptDriver('inline'), { share: { driver: 'slow' } });
    const inserting = backend.insertMedium(next);
    await turns();
    const closing = remote.close();
    await turns();
    open();
    await Promise.all([inserting, closing]);
    expect([after.closed, old.closed, backend.driver]).toEqual([true, true, next]);
    expect(thread.users).toEqual([]);
  });

  it('the disk that is in already is no change', async () => {
    const disk = new ScriptDriver('inline');
    const backend = BlockBackend.attach(core, context, disk);
    const lane = backend.openLane(context);
    await backend.insertMedium(disk);
    await backend.replaceNode(disk);
    expect([disk.closed, backend.quiesced, backend.root!.parents.size]).toEqual([false, false, 1]);
    expect(lane.submit(make(lane, OP_READ, 0, bytes(512)).request)).toBe(0);
    lane.close();
    await backend.close();
    expect(disk.closed).toBe(true);
  });
});

describe('a thread that dies', () => {
  it('BB-11 while main drains for it: its words are nobody’s, and stay as they are', async () => {
    const disk = shared('dies', 'loop');
    const backend = BlockBackend.attach(core, context, disk);
    const thread = await SecondThread.open(core);
    const remote = await backend.openLaneOn(thread);
    const lane = backend.openLane(context);
    expect(lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request)).toBe(PENDING);
    const theirs = thread.lane(remote);
    expect(theirs.startRequest()).toBe(true);
    void theirs.drain(1);
    await turns();
    thread.call = () => Promise.reject(Object.assign(new Error('it died'), { code: 'EOWNERDEAD' }));
    await remote.close();
    const address = core.allocate(LANE_SIZE);
    expect(address).toBe(remote.address);
    disk.settle();
    context.poll();
    await turns();
    expect(backend.quiesced).toBe(false);
    const words = core.u32.subarray(address >>> 2, (address + LANE_SIZE) >>> 2);
    expect(words.every((word) => word === 0)).toBe(true);
  });
});

describe('memory disks below a filter', () => {
  it('are found there, for a state that is saved', async () => {
    const backend = await memory();
    const disk = backend.driver;
    await backend.insertFilter({ open: (below) => new FaultDriver(below) });
    const found = memoryDisks(backend.driver);
    expect([found.length, found[0] === disk]).toEqual([1, true]);
  });
});
