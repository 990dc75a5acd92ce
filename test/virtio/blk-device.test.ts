/** The life of a virtio-blk device: kicks sync and polled, resize, close, what it costs. */

import { PerformanceObserver } from 'node:perf_hooks';
import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { MemoryDriver } from '#src/block/memory';
import { NullDriver } from '#src/block/null';
import { GuestChain } from '#src/guest/chain';
import { VirtioBlk } from '#src/virtio/virtio-blk';
import { Bench, engines, IN, OK, OUT, pattern, UNANSWERED } from './blk-bench.ts';
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

describe.each(engines)('no allocation per request, %s', (engine) => {
  const disks = {
    null: () => new NullDriver(SIZE, false),
    memory: (core: Bench['core']) => new MemoryDriver(core, SIZE),
  };

  it.each(['null', 'memory'] as const)('%s disk', async (disk) => {
    const bench = await Bench.open({ engine, driver: disks[disk], blk: { 'queue-size': 256 } });
    bench.start();
    const seed = bench.write(0, pattern(4096));
    bench.run();
    expect(bench.status(seed)).toBe(OK);
    const ring = bench.rings[0]!;
    const { ram } = bench;
    let interrupts = 0; // counted, not listed: a list would allocate
    bench.blk.transport!.interruptQueue = () => void interrupts++;
    const chain = new GuestChain();
    const headers = [IN, OUT].map((type) => {
      const header = ram.allocate(16, 16);
      ram.setU32(header, type);
      ram.setU64(header + 8, 0);
      return header;
    });
    const [data, status] = [ram.allocate(4096), ram.allocate(16)];
    const round = (): void => {
      for (let i = 0; i < 64; i++) {
        const write = i % 8 === 7;
        chain.clear().out(headers[write ? 1 : 0]!, 16);
        if (write) chain.out(data, 4096);
        else chain.in(data, 4096);
        ring.add(chain.in(status, 1));
      }
      ring.publish();
      bench.blk.kick(0);
      while (ring.collect() >= 0);
    };
    for (let i = 0; i < 1500; i++) round();
    let collections = 0;
    const observer = new PerformanceObserver((list) => (collections += list.getEntries().length));
    await new Promise((resolve) => setTimeout(resolve, 50));
    observer.observe({ entryTypes: ['gc'] });
    // The compiler allocates now and then, too: the quietest of five windows counts.
    const grown = Array.from({ length: 5 }, () => {
      const before = process.memoryUsage().heapUsed;
      for (let i = 0; i < 300; i++) round();
      return process.memoryUsage().heapUsed - before;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    observer.disconnect();
    expect([collections, ram.getU8(status), interrupts]).toEqual([0, OK, 3000]);
    expect(Math.min(...grown) / (300 * 64)).toBeLessThan(1);
  });
});
