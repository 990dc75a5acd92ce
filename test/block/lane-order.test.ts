import { describe, expect, it } from 'vitest';
import { OP_FLUSH, OP_READ, PENDING } from '#src/block/driver';
import { BackendLane } from '#src/block/lane';
import type { LaneRequest } from '#src/block/lane-request';
import { NullDriver } from '#src/block/null';
import { LANE_SIZE } from '#src/layout';
import { EAGAIN, EIO } from '#src/spec';
import { bytes, make, perform, type Rig, rig } from './rig.ts';
import { fillRead, ScriptDriver } from './script-driver.ts';

describe('BB-1 a request that settles later', () => {
  it('BB-1 calls back from a later poll, never inside submit or settle', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    const { request, done } = make(lane, OP_READ, 0, new Uint8Array(512));
    expect(lane.submit(request)).toBe(PENDING);
    driver.settle();
    expect(done).toEqual([]);
    context.poll();
    expect(done).toEqual([{ request, result: 0 }]);
    context.poll();
    expect(done).toHaveLength(1);
  });

  it('BB-1 a result known at once is the return value, and nothing is called', async () => {
    const { lane, context } = await rig(new ScriptDriver('inline'));
    const { request, done } = make(lane, OP_READ, 0, new Uint8Array(512));
    expect(lane.submit(request)).toBe(0);
    context.poll();
    expect(done).toEqual([]);
    expect(lane.inFlight).toBe(0);
  });

  it('BB-1 a driver that may settle later may also answer at once', async () => {
    const driver = new ScriptDriver('loop', (request) => {
      fillRead(request, 7);
      return request.length;
    });
    const { lane } = await rig(driver);
    const target = new Uint8Array(512);
    expect(lane.submit(make(lane, OP_READ, 0, target).request)).toBe(0);
    expect([...target.subarray(0, 3)]).toEqual([7, 8, 9]);
  });

  it('a driver that settles twice, or inside submit, is told so', async () => {
    const driver = new ScriptDriver('loop');
    const r = await rig(driver);
    const { request } = make(r.lane, OP_FLUSH, 0, 0);
    r.lane.submit(request);
    const seen = driver.pending[0]!;
    driver.settle();
    expect(() => seen.settle(0)).toThrow(/'script' settled a request that is settled/);
    driver.answer = (part) => {
      part.settle(0);
      return PENDING;
    };
    const early = make(r.lane, OP_FLUSH, 0, 0);
    expect(r.lane.submit(early.request)).toBe(-EIO);
    expect(String(early.request.error)).toMatch(/submitting, not pending/);
  });
});

describe('BB-2 the order of completion', () => {
  it('BB-2 callback first, then the count goes down, then the drain is woken', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context, backend } = await rig(driver);
    const order: string[] = [];
    const { request } = make(lane, OP_FLUSH, 0, 0);
    request.done = () => order.push(`done, ${lane.inFlight} in flight`);
    expect(lane.submit(request)).toBe(PENDING);
    expect(lane.inFlight).toBe(1);
    const idle = backend.idle().then(() => order.push(`idle, ${lane.inFlight} in flight`));
    driver.settle();
    context.poll();
    await idle;
    expect(order).toEqual(['done, 1 in flight', 'idle, 0 in flight']);
  });

  it('BB-2 an exception in the callback does not leave the request in flight', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    const { request } = make(lane, OP_FLUSH, 0, 0);
    request.done = () => {
      throw new Error('mine');
    };
    lane.submit(request);
    driver.settle();
    expect(() => context.poll()).toThrow('mine');
    expect(lane.inFlight).toBe(0);
  });

  it('BB-2 a poll nested in a callback completes the others', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    const order: number[] = [];
    const requests = [0, 1, 2].map((i) => {
      const { request } = make(lane, OP_FLUSH, 0, 0);
      request.done = () => {
        if (i === 0) while (order.length < 2) context.poll();
        order.push(i);
      };
      lane.submit(request);
      return request;
    });
    for (const _ of requests) driver.settle();
    context.poll();
    expect(order).toEqual([1, 2, 0]);
  });
});

describe('the gate', () => {
  it('closed: EAGAIN and nothing happens; onOpen tells when it is open, from a poll', async () => {
    const driver = new ScriptDriver('inline');
    const { lane, context, backend } = await rig(driver);
    let opened = 0;
    lane.onOpen.add(() => opened++);
    const { request } = make(lane, OP_READ, 0, bytes(512));
    backend.drainedBegin();
    expect(lane.submit(request)).toBe(-EAGAIN);
    expect([lane.inFlight, driver.asked.length, backend.stats().invalid]).toEqual([0, 0, 0]);
    backend.drainedEnd();
    expect(opened).toBe(0);
    context.poll();
    expect(opened).toBe(1);
    expect(lane.submit(request)).toBe(0);
  });

  it('who is refused wakes the drain, which may have seen it inside', async () => {
    const { core, context, backend } = await rig(new ScriptDriver('inline'));
    let woken = 0;
    const { address } = backend;
    const fake = { address, wake: () => woken++, drainFor: async () => {}, laneClosed() {} };
    const place = { address: core.allocate(LANE_SIZE), bounce: 0 };
    const lane = new BackendLane(core, context, fake, backend.driver, place);
    const { request } = make(lane, OP_READ, 0, bytes(512));
    expect([lane.submit(request), woken]).toEqual([0, 0]);
    backend.drainedBegin();
    expect([lane.submit(request), woken]).toEqual([-EAGAIN, 1]);
    backend.drainedEnd();
  });

  it('historic bug 13 open and closed again before the poll: onOpen is told the next time only', async () => {
    const { lane, context, backend } = await rig(new ScriptDriver('inline'));
    let opened = 0;
    lane.onOpen.add(() => opened++);
    backend.drainedBegin();
    backend.drainedEnd();
    backend.drainedBegin();
    context.poll();
    expect(opened).toBe(0);
    backend.drainedEnd();
    context.poll();
    expect(opened).toBe(1);
  });
});

describe('EAGAIN of a driver', () => {
  for (const settles of ['inline', 'loop'] as const) {
    it(`${settles}: is EIO, since EAGAIN says that the gate is closed`, async () => {
      const r = await rig(new ScriptDriver(settles, () => -EAGAIN));
      expect(perform(r, OP_READ, 0, bytes(512))).toBe(-EIO);
      expect(r.backend.stats().failed).toBe(1);
    });
  }
});

describe('plug', () => {
  it('passes the gate once for a batch; a drain stops it and waits for its end', async () => {
    const { lane, backend, context } = await rig(new ScriptDriver('inline'));
    lane.plug();
    lane.plug();
    expect(lane.inFlight).toBe(1);
    expect(lane.submit(make(lane, OP_READ, 0, bytes(512)).request)).toBe(0);
    expect(perform({ lane, context } as Rig, OP_READ, 2 ** 30, bytes(512))).toBe(-EIO);
    expect(lane.inFlight).toBe(1);
    const order: string[] = [];
    const idle = backend.idle().then(() => order.push('idle'));
    expect(lane.submit(make(lane, OP_READ, 0, bytes(512)).request)).toBe(-EAGAIN);
    expect(lane.inFlight).toBe(1);
    order.push('results used');
    lane.unplug();
    expect(lane.inFlight).toBe(1);
    lane.unplug();
    expect(lane.inFlight).toBe(0);
    await idle;
    expect(order).toEqual(['results used', 'idle']);
  });

  it('a request that settles later is counted beyond the end of the batch', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context, backend } = await rig(driver);
    lane.plug();
    const { request, done } = make(lane, OP_FLUSH, 0, 0);
    expect(lane.submit(request)).toBe(PENDING);
    backend.drainedBegin();
    lane.unplug();
    expect(lane.inFlight).toBe(1);
    driver.settle();
    context.poll();
    expect([done.length, lane.inFlight]).toEqual([1, 0]);
    backend.drainedEnd();
  });

  it('at a closed gate: each submit says EAGAIN, and nothing is in flight', async () => {
    const { lane, backend } = await rig(new ScriptDriver('inline'));
    backend.drainedBegin();
    lane.plug();
    expect(lane.inFlight).toBe(0);
    expect(lane.submit(make(lane, OP_READ, 0, bytes(512)).request)).toBe(-EAGAIN);
    lane.unplug();
    expect(lane.inFlight).toBe(0);
    backend.drainedEnd();
  });
});

describe('requests', () => {
  it('come from a pool: a steady stream makes no new one', async () => {
    const { lane } = await rig(new NullDriver(2 ** 20, false));
    const seen = new Set<LaneRequest>();
    for (let i = 0; i < 1000; i++) {
      const { request } = make(lane, OP_READ, 0, bytes(512));
      seen.add(request);
      lane.submit(request);
      request.release();
    }
    expect(seen.size).toBe(1);
  });

  it('are released once, and not while the lane has them', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    const { request } = make(lane, OP_FLUSH, 0, 0);
    lane.submit(request);
    expect(() => request.release()).toThrow('before it ended');
    expect(() => lane.submit(request)).toThrow('submitted twice');
    driver.settle();
    context.poll();
    request.release();
    expect(() => request.release()).toThrow('released twice');
  });

  it('a lane with requests in flight does not close', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    lane.submit(make(lane, OP_FLUSH, 0, 0).request);
    expect(() => lane.close()).toThrow('1 requests in flight');
    driver.settle();
    context.poll();
    lane.close();
  });
});
