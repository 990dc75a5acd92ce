/** The life of a virtio-blk device: kicks sync and polled, resize, close, what it costs. */

import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { VirtioBlk } from '#src/virtio/virtio-blk';
import { Bench, OK, UNANSWERED } from './blk-bench.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;

describe('kicks', () => {
  it('HN-13 HN-15 sync: served inside the doorbell, also for a driver that spins', async () => {
    const bench = await Bench.open();
    bench.start();
    bench.rings[0]!.setInterrupts(false);
    const read = bench.read(0, 512);
    bench.kick();
    // No poll, no turn of the loop: the used ring shows it already.
    expect([bench.status(read), bench.collect(), bench.interrupts]).toEqual([OK, 1, []]);
  });

  it('poll: the doorbell sets a notifier, and the next turn serves', async () => {
    const bench = await Bench.open({ blk: { kick: 'poll', 'num-queues': 2 } });
    bench.start();
    bench.turns();
    const [first, second] = [bench.read(0, 512), bench.read(1, 512, 1)];
    bench.kick();
    bench.kick(1);
    expect([bench.status(first), bench.status(second)]).toEqual([UNANSWERED, UNANSWERED]);
    bench.turns();
    expect([bench.status(first), bench.status(second)]).toEqual([OK, OK]);
    expect(bench.interrupts).toEqual([0, 1]);
  });

  it('poll: what was published before DRIVER_OK is served without a kick', async () => {
    const bench = await Bench.open({ blk: { kick: 'poll' } });
    bench.negotiate();
    bench.addRing();
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    bench.blk.writeStatus(15);
    bench.turns();
    expect(bench.status(read)).toBe(OK);
  });

  it('BG-14 poll: a kick that is pending at reset is not served afterwards', async () => {
    const driver = new ProbeDriver(SIZE);
    const bench = await Bench.open({ driver, blk: { kick: 'poll' } });
    bench.start();
    bench.turns();
    const read = bench.read(0, 512);
    bench.kick();
    bench.blk.writeStatus(0);
    expect(bench.context.handlers).toEqual([]);
    bench.turns();
    expect([bench.status(read), driver.calls]).toEqual([UNANSWERED, []]);
    bench.start();
    bench.turns();
    expect(bench.context.handlers).toHaveLength(1);
    const next = bench.read(0, 512);
    bench.run();
    expect(bench.status(next)).toBe(OK);
  });
});

describe('resize', () => {
  it('BL-18 tells the driver, and reads beyond the old end succeed', async () => {
    const bench = await Bench.open();
    bench.start();
    const beyond = bench.read(SIZE / 512, 512);
    bench.run();
    expect(bench.status(beyond)).not.toBe(OK);
    const generation = bench.blk.configGeneration;
    await bench.backend.resize(2 * SIZE);
    expect(bench.configInterrupts).toBe(0); // from a bottom half
    bench.turns();
    expect([bench.configInterrupts, bench.blk.readConfig(0, 4)]).toEqual([1, (2 * SIZE) / 512]);
    expect(bench.blk.configGeneration).not.toBe(generation);
    const read = bench.read(SIZE / 512, 512);
    bench.run();
    expect(bench.status(read)).toBe(OK);
  });

  it('BL-18 with requests in flight it waits for them', async () => {
    const driver = new ProbeDriver(SIZE, 'loop');
    const bench = await Bench.open({ driver });
    bench.start();
    const read = bench.read(0, 512);
    bench.kick();
    let done = false;
    const resized = bench.backend.resize(2 * SIZE).then(() => (done = true));
    const parked = bench.read(SIZE / 512, 512);
    bench.kick();
    await Promise.resolve();
    expect([done, driver.held.length]).toEqual([false, 1]);
    driver.settle();
    bench.turns();
    await resized;
    bench.turns();
    driver.settleAll();
    bench.turns();
    expect([bench.status(read), bench.status(parked), bench.configInterrupts]).toEqual([OK, OK, 1]);
  });

  it('VC-4 without DRIVER_OK nobody is interrupted', async () => {
    const bench = await Bench.open();
    bench.negotiate();
    await bench.backend.resize(2 * SIZE);
    bench.turns();
    expect([bench.configInterrupts, bench.blk.readConfig(0, 4)]).toEqual([0, (2 * SIZE) / 512]);
  });
});

describe('close', () => {
  it.each(['sync', 'poll'] as const)('gives everything back, kick %s', async (kick) => {
    const core = await openCore({ engine: 'js', ramBytes: 1 << 16 });
    const context = new AioContext(core, { sleeper: 'hook' });
    const backend = BlockBackend.attach(core, context, new ProbeDriver(SIZE));
    const before = [core.allocatedBytes, context.bottomHalves];
    for (let i = 0; i < 20; i++) {
      const blk = new VirtioBlk(core, context, backend, { kick, 'num-queues': 4 });
      blk.writeStatus(3);
      blk.writeDriverFeatures(1, 1);
      blk.writeStatus(11);
      blk.writeStatus(15);
      await blk.close();
      await blk.close(); // again is nothing
      context.poll();
      expect([core.allocatedBytes, context.bottomHalves]).toEqual(before);
    }
    expect([backend.onResize.size, context.handlers]).toEqual([0, []]);
    await backend.close();
    context.close();
  });

  it('waits for what is in flight, and writes none of it', async () => {
    const driver = new ProbeDriver(SIZE, 'loop');
    const bench = await Bench.open({ driver });
    bench.start();
    const read = bench.read(0, 512);
    bench.kick();
    let closed = false;
    const closing = bench.blk.close().then(() => (closed = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toBe(false);
    driver.settle();
    bench.turns();
    await closing;
    expect([bench.status(read), bench.interrupts]).toEqual([UNANSWERED, []]);
  });
});
