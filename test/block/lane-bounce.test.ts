import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import { ECANCELED } from '#src/spec';
import { bytes, make, PAGE, perform, rig } from './rig.ts';
import { fillRead, ScriptDriver, success } from './script-driver.ts';

describe('bounce buffers', () => {
  it('a driver that settles later never sees the caller’s memory', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context, core } = await rig(driver);
    const ram = core.ramU8;
    ram.set(bytes(512), PAGE);
    const { request, done } = make(lane, OP_WRITE, 0, 512);
    request.vector.reset(ram);
    request.vector.append(PAGE, 512);
    lane.submit(request);
    ram.fill(0xff, PAGE, PAGE + 512); // the guest may do that; it is not what was submitted
    expect(driver.asked[0]!.data).toEqual([...bytes(512)]);
    expect(driver.pending[0]!.vector.bytes.buffer).not.toBe(core.memory.buffer);
    driver.settle();
    context.poll();
    expect(done[0]!.result).toBe(0);
  });

  it('a read lands in guest memory only when it has settled', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context, core } = await rig(driver);
    const { request } = make(lane, OP_READ, 0, 512);
    request.vector.reset(core.ramU8);
    request.vector.append(PAGE, 512);
    lane.submit(request);
    fillRead(driver.pending[0]!, 5);
    expect(core.ramU8[PAGE]).toBe(0);
    driver.settle();
    expect(core.ramU8[PAGE]).toBe(0);
    context.poll();
    expect(core.ramU8[PAGE]).toBe(5);
  });

  it('BL-17 an abandoned read copies nothing, frees its slot and still ends', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context, backend } = await rig(driver, { bounceSlots: 1 });
    const target = new Uint8Array(512).fill(0xee);
    const { request, done } = make(lane, OP_READ, 0, target);
    lane.submit(request);
    request.abandoned = true;
    fillRead(driver.pending[0]!, 1);
    driver.settle();
    const idle = backend.idle();
    context.poll();
    await idle;
    expect(target.every((byte) => byte === 0xee)).toBe(true);
    expect(done).toEqual([{ request, result: -ECANCELED }]);
    expect(backend.stats().failed).toBe(0);
    const next = make(lane, OP_READ, 0, new Uint8Array(512));
    lane.submit(next.request);
    driver.settle();
    context.poll();
    expect(next.done[0]!.result).toBe(0);
  });

  it('BL-17 an abandoned write does not go on to its next part', async () => {
    const driver = new ScriptDriver('loop');
    driver.size = 2 ** 20;
    const { lane, context } = await rig(driver, { bounceBytes: PAGE });
    const { request, done } = make(lane, OP_WRITE, 0, new Uint8Array(3 * PAGE));
    lane.submit(request);
    driver.settle();
    context.poll();
    expect(driver.asked).toHaveLength(2);
    request.abandoned = true;
    driver.settle();
    context.poll();
    expect(driver.asked).toHaveLength(2);
    expect(done[0]!.result).toBe(-ECANCELED);
  });

  it('requests longer than a slot go in parts', async () => {
    const driver = new ScriptDriver('loop', (request) => {
      fillRead(request, request.offset / PAGE);
      return success(request);
    });
    driver.size = 2 ** 20;
    const r = await rig(driver, { bounceBytes: PAGE });
    const target = new Uint8Array(2 * PAGE + 512);
    expect(perform(r, OP_READ, PAGE, target)).toBe(0);
    expect(driver.asked.map(({ length }) => length)).toEqual([PAGE, PAGE, 512]);
    expect([target[0], target[PAGE], target[2 * PAGE]]).toEqual([1, 2, 3]);
  });

  it('requests beyond the slots wait, in order, and none is lost', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver, { bounceSlots: 2 });
    const order: number[] = [];
    for (let i = 0; i < 5; i++) {
      const { request } = make(lane, OP_WRITE, i * 512, new Uint8Array(512).fill(i));
      request.tag = i;
      request.done = (ended) => order.push(ended.tag);
      expect(lane.submit(request)).toBe(PENDING);
    }
    expect(driver.asked).toHaveLength(2);
    expect(lane.inFlight).toBe(5);
    for (let i = 0; i < 5; i++) {
      driver.settle();
      context.poll();
    }
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(driver.asked.map(({ data }) => data[0])).toEqual([0, 1, 2, 3, 4]);
    expect([lane.inFlight, lane.bounceSlots]).toEqual([0, 2]);
  });

  it('a slot that is free again goes to who waits, not to who comes', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver, { bounceSlots: 1 });
    const late = make(lane, OP_WRITE, 1024, bytes(512)).request;
    const first = make(lane, OP_WRITE, 0, bytes(512)).request;
    first.done = () => expect(lane.submit(late)).toBe(PENDING);
    lane.submit(first);
    lane.submit(make(lane, OP_WRITE, 512, bytes(512)).request);
    for (let i = 0; i < 3; i++) {
      driver.settle();
      context.poll();
    }
    expect(driver.asked.map(({ offset }) => offset)).toEqual([0, 512, 1024]);
  });

  it('a request abandoned while it waits for a slot never reaches the driver', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context } = await rig(driver, { bounceSlots: 1 });
    lane.submit(make(lane, OP_WRITE, 0, bytes(512)).request);
    const second = make(lane, OP_WRITE, 0, bytes(512));
    lane.submit(second.request);
    second.request.abandoned = true;
    driver.settle();
    context.poll();
    expect(second.done[0]!.result).toBe(-ECANCELED);
    expect(driver.asked).toHaveLength(1);
  });

  it('on shared memory a driver that settles through the loop gets an unshared view', async () => {
    const core = await openCore({ shared: true, ramBytes: PAGE, maxBytes: 64 * PAGE });
    const driver = new ScriptDriver('loop');
    const { lane } = await rig(driver, {}, core);
    const { request } = make(lane, OP_READ, 0, 512);
    request.vector.reset(core.ramU8);
    request.vector.append(PAGE, 512);
    lane.submit(request);
    expect(driver.pending[0]!.vector.bytes.buffer).toBeInstanceOf(ArrayBuffer);
  });

  it('a driver that another thread answers gets core memory, and it is freed', async () => {
    const driver = new ScriptDriver('word');
    const { lane, context, core, backend } = await rig(driver);
    const { request } = make(lane, OP_READ, 0, new Uint8Array(512));
    lane.submit(request);
    const { vector } = driver.pending[0]!;
    expect(vector.bytes.buffer).toBe(core.memory.buffer);
    expect(vector.starts[0]! % 4096).toBe(0);
    driver.settle();
    context.poll();
    const before = core.allocatedBytes;
    lane.close();
    expect(before - core.allocatedBytes).toBeGreaterThan(131_072);
    await backend.close();
  });

  it('memory that grows meanwhile: the data still lands where the guest sees it', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context, core } = await rig(driver);
    const { request } = make(lane, OP_READ, 0, 1024);
    request.vector.reset(core.ramU8);
    request.vector.append(2 * PAGE, 1024);
    lane.submit(request);
    fillRead(driver.pending[0]!, 3);
    core.memory.grow(1);
    driver.settle();
    context.poll();
    expect(core.ramU8[2 * PAGE]).toBe(3);
  });
});
