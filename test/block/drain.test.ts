/** Drained sections: who is told in which order, who is waited for, and what parks meanwhile. */
import { beforeEach, describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import { type BlockDriver, OP_FLUSH, OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import type { BackendLane } from '#src/block/lane';
import { BlockNode } from '#src/block/node';
import { type OpenDriver, registerDriver } from '#src/block/registry';
import type { Core } from '#src/engine/core';
import { EAGAIN, ENOMEDIUM } from '#src/spec';
import { bytes, make, PAGE } from './rig.ts';
import { ScriptDriver } from './script-driver.ts';
import { twoThreads } from './second-thread.ts';

let core: Core;
let context: AioContext;
let trace: string[];

beforeEach(async () => {
  core = await openCore({ ramBytes: PAGE });
  context = new AioContext(core, { sleeper: 'hook' });
  trace = [];
});

/** Holds requests until the section begins, as a throttle does, and says what it is told. */
class Holding extends ScriptDriver {
  readonly name: string;
  readonly children: readonly BlockDriver[];

  constructor(name: string, children: readonly BlockDriver[] = []) {
    super('loop');
    this.name = name;
    this.children = children;
  }

  drainedBegin(): void {
    trace.push(`${this.name} begin`);
    while (this.pending.length > 0) this.settle();
  }

  drainedEnd(): void {
    trace.push(`${this.name} end`);
  }
}

const attach = (disk: BlockDriver | BlockNode, options: BackendOptions = {}) =>
  BlockBackend.attach(core, context, disk, options);

const opsOf = (name: string, backend: BlockBackend) => ({
  drainedBegin: () => trace.push(`${name} begin, gate ${backend.quiesced ? 'closed' : 'open'}`),
  drainedEnd: () => trace.push(`${name} end, gate ${backend.quiesced ? 'closed' : 'open'}`),
});

it('BB-5 sections of a backend that is closed touch nothing: its words are somebody else’s', async () => {
  const backend = attach(new ScriptDriver());
  backend.drainedBegin();
  await backend.close();
  const blocks = Array.from({ length: 20 }, () => core.allocate(256));
  for (const block of blocks) core.u8.fill(0xa5, block, block + 256);
  backend.drainedEnd();
  backend.drainedBegin();
  for (const block of blocks) {
    expect(core.u8.subarray(block, block + 256).every((byte) => byte === 0xa5)).toBe(true);
  }
});

/** Has it settled after some turns of the loop? */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  for (let i = 0; i < 20; i++) await Promise.resolve();
  return done;
}

function flush(lane: BackendLane) {
  const made = make(lane, OP_FLUSH, 0, 0);
  expect(lane.submit(made.request)).toBe(PENDING);
  return made;
}

describe('order', () => {
  it('BB-5 gates and devices of all parents first, then drivers, the upper first', () => {
    const base = new Holding('base');
    const filter = new Holding('filter', [base]);
    const a = attach(filter);
    const b = attach(filter);
    a.setDevOps(opsOf('a', a));
    b.setDevOps(opsOf('b', b));
    a.drainedBegin();
    expect(trace).toEqual([
      'a begin, gate closed',
      'b begin, gate closed',
      'filter begin',
      'base begin',
    ]);
    expect([a.quiesced, b.quiesced]).toEqual([true, true]);
  });

  it('BB-5 a section of a node below closes the gates of everybody above', () => {
    const base = new Holding('base');
    const backend = attach(new Holding('filter', [base]));
    backend.setDevOps(opsOf('a', backend));
    const node = BlockNode.of(base);
    node.drainedBegin();
    expect(backend.quiesced).toBe(true);
    expect(trace).toEqual(['a begin, gate closed', 'filter begin', 'base begin']);
    node.drainedEnd();
    expect(backend.quiesced).toBe(false);
    expect(trace.slice(3)).toEqual(['base end', 'filter end', 'a end, gate open']);
    expect(() => node.drainedEnd()).toThrow('drainedEnd without drainedBegin');
  });

  it('BB-6 the end: drivers, then the device, then the parked requests', () => {
    const base = new Holding('base');
    const backend = attach(new Holding('filter', [base]));
    backend.setDevOps(opsOf('device', backend));
    const lane = backend.openLane(context);
    lane.onOpen.add(() => trace.push('parked come back'));
    backend.drainedBegin();
    trace = [];
    backend.drainedEnd();
    expect(trace).toEqual(['base end', 'filter end', 'device end, gate open']);
    context.poll();
    expect(trace.at(-1)).toBe('parked come back');
  });

  it('BB-7 nested three deep, a device at depth two: one begin, one end', () => {
    const backend = attach(new Holding('disk'));
    backend.drainedBegin();
    backend.drainedBegin();
    backend.setDevOps(opsOf('device', backend));
    backend.drainedBegin();
    for (let i = 0; i < 3; i++) backend.drainedEnd();
    expect(trace).toEqual([
      'disk begin',
      'device begin, gate closed',
      'disk end',
      'device end, gate open',
    ]);
  });

  it('BB-7 a device that goes inside a section is told that it has ended, for it', () => {
    const backend = attach(new Holding('disk'));
    backend.setDevOps(opsOf('device', backend));
    backend.drainedBegin();
    backend.setDevOps(null);
    expect(trace).toEqual(['device begin, gate closed', 'disk begin', 'device end, gate closed']);
    backend.drainedEnd();
    expect(trace.filter((line) => line.startsWith('device'))).toHaveLength(2);
  });

  it('BB-7 a backend that comes to a drained node is in the section at once', () => {
    const node = BlockNode.of(new Holding('disk'));
    const first = attach(node);
    first.drainedBegin();
    const second = attach(node);
    expect(second.quiesced).toBe(true);
    first.drainedEnd();
    expect(second.quiesced).toBe(false);
  });
});

describe('waiting', () => {
  it('BB-5 a section waits for the requests of every backend on the node', async () => {
    const driver = new ScriptDriver('loop');
    const a = attach(driver);
    const b = attach(driver);
    const lane = b.openLane(context);
    flush(lane);
    a.drainedBegin();
    expect(a.drainedPoll()).toBe(true);
    const idle = a.idle();
    expect(await settled(idle)).toBe(false);
    expect(lane.submit(make(lane, OP_READ, 0, bytes(512)).request)).toBe(-EAGAIN);
    driver.settle();
    context.poll();
    await idle;
    expect(a.drainedPoll()).toBe(false);
    a.drainedEnd();
  });

  it('BB-5 a section waits for a device that says it is busy', async () => {
    const backend = attach(new ScriptDriver('inline'));
    let busy = true;
    backend.setDevOps({ drainedPoll: () => busy });
    const idle = backend.idle();
    expect(await settled(idle)).toBe(false);
    busy = false;
    backend.wake();
    await idle;
  });

  it('BB-28 a driver that holds requests lets them go when the section begins', async () => {
    const disk = new Holding('disk');
    const backend = attach(disk);
    const { done } = flush(backend.openLane(context));
    const drained = backend.drain();
    context.poll();
    await drained;
    expect(done).toHaveLength(1);
  });

  it('BB-28 and so does the driver of another thread, on that thread', async () => {
    const opened: Holding[] = [];
    const open: OpenDriver = () => {
      opened.push(new Holding(opened.length === 0 ? 'main' : 'thread'));
      return opened.at(-1)!;
    };
    registerDriver('holding', open);
    const main = Object.assign(new Holding('main'), { share: { driver: 'holding' } });
    opened.push(main);
    const two = await twoThreads(main);
    while (two.thread.context.poll()); // whoever opens a lane looks at the gate, too
    const { done } = flush(two.lane);
    const drained = two.backend.drain();
    expect(trace).toEqual(['main begin']);
    while (two.thread.context.poll());
    expect(trace).toEqual(['main begin', 'thread begin']);
    expect(done).toHaveLength(1);
    two.context.poll();
    await drained;
    while (two.thread.context.poll());
    expect(trace.slice(2)).toEqual(['main end', 'thread end']);
  });

  it('BB-12 of a drive without a disk', async () => {
    const backend = BlockBackend.empty(core, context);
    await backend.drain();
    expect(
      backend.openLane(context).submit(make(backend.openLane(context), OP_FLUSH, 0, 0).request),
    ).toBe(-ENOMEDIUM);
  });

  it('BB-13 all gates close before anybody is waited for', async () => {
    const drivers = [new ScriptDriver('loop'), new ScriptDriver('loop')] as const;
    const backends = drivers.map((driver) => attach(driver));
    const lanes = backends.map((backend) => backend.openLane(context));
    const first = flush(lanes[0]!);
    // What ends on the one disk is followed by a request to the other, for as long as it may.
    let chained = 0;
    first.request.done = () => {
      chained = lanes[1]!.submit(make(lanes[1]!, OP_WRITE, 0, bytes(512)).request);
    };
    const drained = BlockBackend.drainAll(backends);
    expect(backends.map((backend) => backend.quiesced)).toEqual([true, true]);
    drivers[0].settle();
    context.poll();
    await drained;
    expect([chained, drivers[1].asked.length]).toEqual([-EAGAIN, 0]);
    expect(backends.map((backend) => backend.quiesced)).toEqual([false, false]);
  });

  it('BB-13 counts nest: a section inside stays when all have ended', async () => {
    const backend = attach(new ScriptDriver('inline'));
    backend.drainedBegin();
    await BlockBackend.drainAll([backend]);
    expect(backend.quiesced).toBe(true);
    backend.drainedEnd();
    expect(backend.quiesced).toBe(false);
  });

  it('historic bug 14, L9: whoever leaves last wakes main, though it sleeps already', async () => {
    const driver = Object.assign(new ScriptDriver('loop'), { share: { driver: 'late' } });
    const other = new ScriptDriver('loop');
    registerDriver('late', () => other);
    const two = await twoThreads(driver);
    flush(two.lane);
    const idle = two.backend.idle();
    for (let i = 0; i < 20; i++) await Promise.resolve(); // main waits by now
    while (two.context.poll());
    other.settle();
    while (two.thread.context.poll());
    expect(two.context.poll()).toBe(true); // scheduled by the thread
    await idle;
  });
});

describe('parking', () => {
  it('BB-8 historic bug 13: what comes back is in flight before the next section looks', async () => {
    const driver = new ScriptDriver('loop');
    const backend = attach(driver);
    const lane = backend.openLane(context);
    const { request, done } = make(lane, OP_READ, 0, bytes(512));
    backend.drainedBegin();
    expect([lane.submit(request), lane.inFlight]).toEqual([-EAGAIN, 0]);
    let result = 0;
    lane.onOpen.add(() => {
      if (result !== PENDING) result = lane.submit(request);
    });
    backend.drainedEnd();
    backend.drainedBegin(); // before the bottom half that brings it back
    context.poll();
    expect([driver.asked.length, lane.inFlight]).toEqual([0, 0]);
    backend.drainedEnd();
    context.poll();
    expect([result, lane.inFlight]).toEqual([PENDING, 1]);
    const drained = backend.drain(); // from here on it is waited for
    expect(await settled(drained)).toBe(false);
    driver.settle();
    context.poll();
    await drained;
    expect(done).toHaveLength(1);
  });

  it('BB-8 a request of the host parks in no count, and none is lost over many sections', async () => {
    const backend = attach(new ScriptDriver('inline'));
    for (let i = 0; i < 50; i++) {
      backend.drainedBegin();
      const written = backend.io.write(0, bytes(512));
      expect(backend.inFlight).toBe(0);
      backend.drainedEnd();
      context.poll();
      await written;
    }
    expect(backend.stats().write.operations).toBe(50);
  });

  it('BB-10 the second half of a request passes the gate that waits for the first', async () => {
    const driver = new ScriptDriver('loop');
    const backend = attach(driver);
    const lane = backend.openLane(context);
    expect(lane.startRequest()).toBe(true);
    const first = flush(lane);
    const second = make(lane, OP_READ, 0, bytes(512));
    second.request.part = true;
    let started = 0;
    first.request.done = () => {
      started = lane.submit(second.request);
    };
    const drained = backend.drain();
    driver.settle();
    context.poll();
    expect(started).toBe(PENDING);
    expect(await settled(drained)).toBe(false);
    driver.settle();
    context.poll();
    expect(await settled(drained)).toBe(false); // until the whole has ended
    lane.endRequest();
    await drained;
    expect(second.done).toHaveLength(1);
  });

  it('BB-10 nothing is started at a closed gate, and a part needs its whole', () => {
    const backend = attach(new ScriptDriver('inline'));
    const lane = backend.openLane(context);
    backend.drainedBegin();
    expect([lane.startRequest(), lane.inFlight]).toEqual([false, 0]);
    const { request } = make(lane, OP_READ, 0, bytes(512));
    request.part = true;
    expect(() => lane.submit(request)).toThrow('was not started');
    expect(() => lane.endRequest()).toThrow('endRequest without startRequest');
    backend.drainedEnd();
  });

  it('BB-11 a drain asked for on another thread is main’s, and waits for nobody who asks', async () => {
    const driver = Object.assign(new ScriptDriver('inline'), { share: { driver: 'asks' } });
    registerDriver('asks', () => new ScriptDriver('inline'));
    const two = await twoThreads(driver);
    const { lane, backend, thread } = two;
    expect(lane.startRequest()).toBe(true);
    let told = false;
    const drained = lane.drain(1).then(() => (told = true));
    expect([backend.quiesced, told]).toEqual([true, false]);
    await drained;
    expect([lane.inFlight, told]).toEqual([1, true]);
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(backend.quiesced).toBe(false);
    const second = lane.drain(); // holds one, and has not said so: it is waited for
    expect(await settled(second)).toBe(false);
    lane.endRequest();
    while (two.context.poll());
    await second;
    expect(() => lane.drain(1)).toThrow('0 requests are held');
    expect(thread.called.filter((service) => service === 'drained')).toHaveLength(2);
  });
});
