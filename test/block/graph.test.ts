/** The graph of disks: who stands on a node, changes of context, filters that come and go. */
import { beforeEach, describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { type BlockDriver, OP_FLUSH, OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import { GraphError, OptionError } from '#src/block/error';
import { FaultDriver } from '#src/block/fault';
import { connected } from '#src/block/graph';
import { BlockNode } from '#src/block/node';
import { registerDriver } from '#src/block/registry';
import type { Core } from '#src/engine/core';
import { EAGAIN, EIO } from '#src/spec';
import { bytes, make, PAGE } from './rig.ts';
import { ScriptDriver } from './script-driver.ts';
import { SecondThread, twoThreads } from './second-thread.ts';

let core: Core;
let context: AioContext;

beforeEach(async () => {
  core = await openCore({ shared: true, maxBytes: 2 ** 26, ramBytes: PAGE });
  context = new AioContext(core, { sleeper: 'hook' });
});

const attach = (disk: BlockDriver | BlockNode, name: string) =>
  BlockBackend.attach(core, context, disk, { name });

/** A disk that other threads could open. */
const shareable = () =>
  Object.assign(new ScriptDriver('inline'), { share: { driver: 'null' } as const });

const refusalOf = (promise: Promise<unknown>) =>
  promise.then(
    () => null,
    (error: GraphError) => error,
  );

describe('nodes', () => {
  it('BB-18 a driver is closed with the last backend on its node, once', async () => {
    const driver = new ScriptDriver('inline');
    let closes = 0;
    driver.close = () => void closes++;
    const a = attach(driver, 'a');
    const b = attach(driver, 'b');
    expect(a.root).toBe(b.root);
    await a.close();
    expect(closes).toBe(0);
    await Promise.all([b.close(), b.close()]);
    expect(closes).toBe(1);
  });

  it('a disk that another driver has opened belongs to that one', () => {
    const base = new ScriptDriver('inline');
    const fault = attach(new FaultDriver(base), 'a');
    expect(() => attach(BlockNode.of(base), 'b')).toThrow(GraphError);
    expect(() => attach(BlockNode.of(base), 'b')).toThrow(`belongs to node '${fault.root!.name}'`);
  });

  it('a walk visits each node and backend once, whatever the way there', () => {
    const base = BlockNode.of(new ScriptDriver('inline'));
    const left = Object.assign(new ScriptDriver('inline'), { children: [base.driver] });
    const right = Object.assign(new ScriptDriver('inline'), { children: [base.driver] });
    const top = Object.assign(new ScriptDriver('inline'), { children: [left, right] });
    const a = attach(top, 'a');
    const { nodes, users } = connected(base);
    expect([nodes.size, [...users]]).toEqual([4, [a]]);
    base.drainedBegin();
    expect(a.quiesced).toBe(true);
    base.drainedEnd();
    expect(a.quiesced).toBe(false);
  });
});

describe('change of context', () => {
  it('BB-14 BB-16 all nodes and backends go together, and the hint says where', async () => {
    const driver = shareable();
    const [a, b] = [attach(driver, 'a'), attach(driver, 'b')];
    const thread = await SecondThread.open(core);
    await a.changeContext(thread);
    expect([a.ioThread, b.ioThread, a.root!.context]).toEqual([thread, thread, thread]);
    await b.changeContext(null);
    expect([a.ioThread, b.ioThread, a.root!.context]).toEqual([null, null, null]);
  });

  it('BB-14 a second parent that refuses is named, and nothing has changed', async () => {
    const driver = shareable();
    const [a, b] = [attach(driver, 'a'), attach(driver, 'b')];
    b.setDevOps({});
    const thread = await SecondThread.open(core);
    const error = await refusalOf(a.changeContext(thread));
    expect(error).toBeInstanceOf(GraphError);
    expect([error!.code, error!.refusedBy]).toEqual(['EPERM', 'b']);
    expect(error!.message).toBe("Cannot change iothread of active block backend 'b'");
    expect([a.ioThread, b.ioThread, a.root!.context]).toEqual([null, null, null]);
    expect([a.quiesced, b.quiesced]).toEqual([false, false]);
  });

  it('BB-15 a device moves its own backend, and lets others if it says so', async () => {
    const [a, b] = [shareable()].flatMap((driver) => [attach(driver, 'a'), attach(driver, 'b')]);
    const thread = await SecondThread.open(core);
    b!.setDevOps({});
    await b!.changeContext(thread);
    expect(await refusalOf(a!.changeContext(null))).toBeInstanceOf(GraphError);
    await a!.changeContext(thread); // it is there already
    b!.allowContextChange = true;
    await a!.changeContext(null);
    expect(b!.ioThread).toBe(null);
  });

  it('BB-14 a disk that serves main only refuses to go, and not to come back', async () => {
    const a = attach(new ScriptDriver('inline'), 'a');
    const error = await refusalOf(a.changeContext(await SecondThread.open(core)));
    expect(error!.refusedBy).toBe(a.root!.name);
    expect(error!.message).toContain('serves main only');
    await a.changeContext(null);
  });

  it('BB-14 who begins to refuse while the section is awaited is heard', async () => {
    const driver = Object.assign(new ScriptDriver('loop'), { share: { driver: 'null' } });
    const [a, b] = [attach(driver, 'a'), attach(driver, 'b')];
    const lane = a.openLane(context);
    lane.submit(make(lane, OP_FLUSH, 0, 0).request);
    const change = refusalOf(a.changeContext(await SecondThread.open(core)));
    b.setDevOps({});
    driver.settle();
    context.poll();
    expect((await change)!.refusedBy).toBe('b');
    expect(a.ioThread).toBe(null);
  });

  it('DP-12 the change back may be refused, and the next one works', async () => {
    const driver = shareable();
    const [device, other] = [attach(driver, 'device'), attach(driver, 'other')];
    const thread = await SecondThread.open(core);
    await device.changeContext(thread);
    other.setDevOps({});
    expect(await refusalOf(device.changeContext(null))).toBeInstanceOf(GraphError);
    expect(device.ioThread).toBe(thread);
    other.setDevOps(null);
    await device.changeContext(null);
    expect(device.ioThread).toBe(null);
  });

  it('BB-17 what a lane’s thread was to do is done before the lane leaves it', async () => {
    registerDriver('leaves', () => new ScriptDriver('inline'));
    const two = await twoThreads(
      Object.assign(new ScriptDriver('inline'), { share: { driver: 'leaves' } }),
    );
    const ran: string[] = [];
    two.lane.onOpen.add(() => ran.push('parked'));
    two.backend.drainedBegin();
    two.backend.drainedEnd();
    while (two.thread.context.poll());
    await two.remote.close();
    expect(ran).toContain('parked');
  });
});

describe('filters', () => {
  const errors = (disk: BlockDriver) => new FaultDriver(disk, [{ op: 'read', action: 'fail' }]);

  it('BB-9 what waits at the gate goes through the filter that came meanwhile', async () => {
    const disk = new ScriptDriver('inline');
    const [a, b] = [attach(disk, 'a'), attach(disk, 'b')];
    a.drainedBegin();
    const inserting = a.insertFilter({ open: errors });
    const lane = b.openLane(context);
    const { request } = make(lane, OP_READ, 0, bytes(512));
    expect(lane.submit(request)).toBe(-EAGAIN);
    const filter = await inserting;
    a.drainedEnd();
    expect(lane.submit(request)).toBe(-EIO);
    expect([a.root, b.root]).toEqual([filter, filter]);
    await b.removeFilter();
    expect(lane.submit(request)).toBe(0);
    expect([a.root, disk.closed]).toEqual([BlockNode.of(disk), false]);
  });

  it('BB-18 a filter that goes with its backend leaves no disk open', async () => {
    const disk = new ScriptDriver('inline');
    const a = attach(disk, 'a');
    await a.insertFilter({ open: errors });
    await a.close();
    expect(disk.closed).toBe(true);
  });

  it('BB-26 waits for requests that are under way, and closes none of the disk', async () => {
    const disk = new ScriptDriver('loop');
    const a = attach(disk, 'a');
    const lane = a.openLane(context);
    const { request, done } = make(lane, OP_READ, 0, bytes(512));
    expect(lane.submit(request)).toBe(PENDING);
    const inserting = a.insertFilter({ open: errors });
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(lane.driver).toBe(disk);
    disk.settle();
    context.poll();
    expect(done[0]!.result).toBe(0);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    disk.settle(); // the flush before
    await inserting;
    expect(lane.driver).not.toBe(disk);
    expect(a.quiesced).toBe(false);
  });

  it('threads open the whole chain: a filter by name, above an open disk', async () => {
    const two = await twoThreads({ driver: 'memory', options: { size: 65_536 } });
    const { backend, lane } = two;
    expect(lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request)).toBe(0);
    const rules = [{ op: 'write', action: 'fail' }];
    const spec = { driver: 'fault', options: { rules } };
    const filter = await backend.insertFilter({ spec, child: 'image', name: 'breaks' });
    expect([filter.name, lane.driver.driver]).toEqual(['breaks', 'fault']);
    expect(lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request)).toBe(-EIO);
    const read = bytes(512, 7);
    expect(lane.submit(make(lane, OP_READ, 0, read).request)).toBe(0);
    expect(read).toEqual(bytes(512));
    await backend.removeFilter();
    expect(lane.driver.driver).toBe('memory');
    expect(lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request)).toBe(0);
  });

  it('a filter that a thread cannot open is refused, and nothing has changed', async () => {
    const two = await twoThreads({ driver: 'memory', options: { size: 65_536 } });
    const { backend, lane, remote } = two;
    const before = [backend.root, lane.driver];
    const filter = (disk: BlockDriver) =>
      Object.assign(new ScriptDriver('inline'), { children: [disk] });
    await expect(backend.insertFilter({ open: filter })).rejects.toThrow(OptionError);
    expect([backend.root, lane.driver]).toEqual(before);
    expect([backend.quiesced, remote.inFlight]).toEqual([false, 0]);
    expect(lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request)).toBe(0);
    await expect(backend.removeFilter()).rejects.toThrow('is no filter that was inserted');
  });

  it('one that does not take the disk is refused, and so is a change below one', async () => {
    const disk = new ScriptDriver('inline');
    const a = attach(disk, 'a');
    const stray = new ScriptDriver('inline');
    await expect(a.insertFilter({ open: () => stray })).rejects.toThrow('has not taken the disk');
    expect([stray.closed, a.driver]).toEqual([true, disk]);
    await a.insertFilter({ open: errors });
    const b = attach(disk, 'b');
    await expect(b.replaceNode(new ScriptDriver('inline'))).rejects.toThrow('cannot be replaced');
    expect([b.driver, disk.closed]).toEqual([disk, false]);
  });

  it('BB-18 another disk under all backends of a node', async () => {
    const disk = new ScriptDriver('inline');
    const [a, b] = [attach(disk, 'a'), attach(disk, 'b')];
    const next = new ScriptDriver('inline', undefined, 131_072);
    await a.replaceNode(next);
    expect([a.driver, b.driver, disk.closed]).toEqual([next, next, true]);
    expect([a.size, b.size]).toEqual([131_072, 131_072]);
  });
});

describe('size', () => {
  it('BL-18 a resize of one backend is one of all on the disk, and of their threads', async () => {
    const two = await twoThreads({ driver: 'memory', options: { size: 65_536 } });
    const other = BlockBackend.attach(two.core, two.context, two.backend.root!);
    const told: string[] = [];
    other.onResize.add(() => told.push('other'));
    two.backend.onResize.add(() => told.push('first'));
    await other.resize(131_072);
    expect([two.backend.size, told.toSorted()]).toEqual([131_072, ['first', 'other']]);
    const { request } = make(two.lane, OP_READ, 130_560, bytes(512));
    expect(two.lane.submit(request)).toBe(0);
  });
});
