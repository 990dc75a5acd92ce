/** Flushes that may be skipped (BB-24), and requests that are given up (BB-25). */
import { describe, expect, it } from 'vitest';
import { BlockBackend } from '#src/block/backend';
import { DirectBatch } from '#src/block/direct-batch';
import { OP_FLUSH, OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import { FaultDriver } from '#src/block/fault';
import { ECANCELED, EIO } from '#src/spec';
import { bytes, make, PAGE, perform, rig } from './rig.ts';
import { ScriptDriver, success } from './script-driver.ts';

const flushes = (driver: ScriptDriver) => driver.asked.filter(({ op }) => op === OP_FLUSH).length;

describe('BB-24 flushes', () => {
  it('BB-24 one after a write reaches the driver, one after that does not', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig(driver);
    const flush = () => perform(r, OP_FLUSH, 0, 0);
    expect([flush(), flushes(driver)]).toEqual([0, 1]); // who had the disk before may have written
    expect([flush(), flushes(driver)]).toEqual([0, 1]);
    perform(r, OP_READ, 0, bytes(512));
    expect([flush(), flushes(driver)]).toEqual([0, 1]);
    perform(r, OP_WRITE, 0, bytes(512));
    expect([flush(), flushes(driver)]).toEqual([0, 2]);
    expect(r.backend.stats().flush.operations).toBe(4);
  });

  it('BB-24 a write of the short way counts', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig(driver);
    perform(r, OP_FLUSH, 0, 0);
    const batch = new DirectBatch(4);
    batch.add(0, 0, PAGE, 512);
    r.lane.plug();
    r.lane.transfer(OP_WRITE, batch);
    r.lane.unplug();
    perform(r, OP_FLUSH, 0, 0);
    expect(flushes(driver)).toBe(2);
  });

  it('BB-24 a second flush while one is under way is asked for: writes may lie between', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    const a = make(lane, OP_FLUSH, 0, 0);
    const b = make(lane, OP_FLUSH, 0, 0);
    expect([lane.submit(a.request), lane.submit(b.request)]).toEqual([PENDING, PENDING]);
    expect(flushes(driver)).toBe(2);
    driver.settle();
    driver.settle();
    context.poll();
    expect(lane.submit(make(lane, OP_FLUSH, 0, 0).request)).toBe(0);
    expect(flushes(driver)).toBe(2);
  });

  it('BB-24 write, flush A, write that ends before A does: flush B covers it', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    lane.submit(make(lane, OP_FLUSH, 0, 0).request);
    lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request);
    driver.pending.reverse();
    driver.settle(); // the write first
    driver.settle();
    while (context.poll());
    expect(lane.submit(make(lane, OP_FLUSH, 0, 0).request)).toBe(PENDING);
  });

  it('BB-24 a flush that failed has covered nothing', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig(driver);
    driver.answer = () => -EIO;
    expect(perform(r, OP_FLUSH, 0, 0)).toBe(-EIO);
    driver.answer = success;
    expect(perform(r, OP_FLUSH, 0, 0)).toBe(0);
    expect(flushes(driver)).toBe(2);
  });

  it('BB-24 with a second backend on the disk none is skipped', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig(driver);
    perform(r, OP_FLUSH, 0, 0);
    const other = BlockBackend.attach(r.core, r.context, driver);
    await other.io.write(0, bytes(512)); // not counted in the words of the first
    perform(r, OP_FLUSH, 0, 0);
    expect(flushes(driver)).toBe(2);
    await other.close();
    perform(r, OP_FLUSH, 0, 0);
    perform(r, OP_FLUSH, 0, 0);
    expect(flushes(driver)).toBe(3);
  });
});

describe('BB-25 cancel', () => {
  it('BB-25 the driver is asked; done runs once, from a later poll, in the gate', async () => {
    const driver = new ScriptDriver('loop');
    const asked: unknown[] = [];
    const hook = { cancel: (request: unknown) => asked.push(request) };
    const { lane, context } = await rig(Object.assign(driver, hook));
    const { request, done } = make(lane, OP_READ, 0, bytes(512));
    lane.submit(request);
    request.cancel();
    request.cancel();
    context.poll();
    expect([asked.length, done.length, lane.inFlight]).toEqual([1, 0, 1]);
    driver.settle(-ECANCELED);
    while (context.poll());
    expect(done.map(({ result }) => result)).toEqual([-ECANCELED]);
    expect(lane.inFlight).toBe(0);
    request.cancel(); // it has ended
    request.release();
    expect(lane.request().canceled).toBe(false);
  });

  it('BB-25 a request that ends all the same says how', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    const { request, done } = make(lane, OP_WRITE, 0, bytes(512));
    lane.submit(request);
    request.cancel();
    driver.settle();
    context.poll();
    expect(done.map(({ result }) => result)).toEqual([0]);
  });

  it('BB-25 no further part is begun', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver);
    const { request, done } = make(lane, OP_WRITE, 0, bytes(1024));
    lane.submit(request);
    request.cancel();
    driver.settle(512);
    context.poll();
    expect([done[0]!.result, driver.asked.length]).toEqual([-ECANCELED, 1]);
  });

  it('BB-25 one that waits for a slot leaves the queue, the others do not', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver, { bounceSlots: 1 });
    const made = [0, 1, 2].map((i) => make(lane, OP_WRITE, i * 512, bytes(512)));
    for (const { request } of made) lane.submit(request);
    made[1]!.request.cancel();
    context.poll();
    expect(made.map(({ done }) => done.length)).toEqual([0, 1, 0]);
    driver.settle();
    context.poll();
    driver.settle();
    while (context.poll());
    expect(made.map(({ done }) => done[0]!.result)).toEqual([0, -ECANCELED, 0]);
    expect([lane.inFlight, driver.asked.length]).toEqual([0, 2]);
  });

  it('BB-25 the fault disk lets one go that it holds', async () => {
    const fault = new FaultDriver(new ScriptDriver('inline'), [{ action: 'delay' }]);
    const { lane, context } = await rig(fault);
    const { request, done } = make(lane, OP_READ, 0, bytes(512));
    lane.submit(request);
    request.cancel();
    context.poll();
    expect([done[0]!.result, fault.held]).toEqual([-ECANCELED, 0]);
  });

  it('BB-25 a signal: before, at the gate, and in flight', async () => {
    const driver = new ScriptDriver('loop');
    const { backend, context } = await rig(driver);
    const codeOf = (promise: Promise<void>) =>
      promise.then(
        () => 'done',
        (error) => [error.code, error.cause],
      );
    const before = codeOf(backend.io.read(0, bytes(512), { signal: AbortSignal.abort('early') }));
    expect(await before).toEqual(['ECANCELED', 'early']);
    backend.drainedBegin();
    const gate = new AbortController();
    const parked = codeOf(backend.io.read(0, bytes(512), { signal: gate.signal }));
    gate.abort('parked');
    expect(await parked).toEqual(['ECANCELED', 'parked']);
    backend.drainedEnd();
    context.poll();
    expect(driver.asked).toEqual([]);
    const flight = new AbortController();
    const running = codeOf(backend.io.read(0, bytes(512), { signal: flight.signal }));
    flight.abort('late');
    driver.settle(-ECANCELED);
    context.poll();
    expect(await running).toEqual(['ECANCELED', 'late']);
    await backend.drain();
  });
});
