/** An emulator is told of every buffer that the device writes to, before the driver is. */

import { describe, expect, it } from 'vitest';
import { MemoryDriver } from '#src/block/memory';
import {
  Bench,
  type BenchOptions,
  engines,
  GET_ID,
  IN,
  OK,
  OUT,
  pattern,
  UNANSWERED,
} from './blk-bench.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
const disks = {
  'a cluster disk': (options: BenchOptions) => ({
    ...options,
    driver: (core: Bench['core']) => new MemoryDriver(core, SIZE),
  }),
  'another disk': (options: BenchOptions) => ({ ...options, driver: new ProbeDriver(SIZE) }),
};

interface Told {
  readonly address: number;
  readonly length: number;
}

describe.each(engines)('guest writes, %s', (engine) => {
  /** A started device; `told` fills while it runs, and each time `onTold` is called. */
  async function start(options: BenchOptions) {
    const told: Told[] = [];
    const watch = { onTold: () => {} };
    const onGuestWrite = (address: number, length: number): void => {
      told.push({ address, length });
      watch.onTold();
    };
    const bench = await Bench.open({ engine, ...options, blk: { onGuestWrite } });
    bench.start();
    const at = (guest: number, length: number): Told => ({
      address: bench.ram.offset(guest, length),
      length,
    });
    return { bench, told, at, watch };
  }

  /** On a cluster disk whose first cluster is there: a write to a hole has two ways to go. */
  async function startCluster() {
    const rig = await start(disks['a cluster disk']({}));
    rig.bench.write(16, new Uint8Array(512));
    rig.bench.run();
    rig.told.length = 0;
    return rig;
  }

  async function startLate() {
    const driver = new ProbeDriver(SIZE, 'loop');
    return { driver, ...(await start({ driver })) };
  }

  it.each(Object.entries(disks))('are told, %s', async (_name, on) => {
    const { bench, told, at } = await start(on({}));
    const write = bench.write(0, pattern(512));
    bench.run();
    expect(new Set(told.splice(0).map(({ address }) => address))).toEqual(
      new Set([at(write.statusAt, 1).address]),
    );
    const read = bench.read(0, 512);
    bench.run();
    expect(told.splice(0)).toEqual([at(read.data, 512), at(read.statusAt, 1)]);
    const id = bench.ask(GET_ID, 0, { into: 20 });
    bench.run();
    const unique = new Set(told.map(({ address }) => address));
    expect(unique).toEqual(new Set([at(id.data, 20).address, at(id.statusAt, 1).address]));
  });

  it.each(Object.entries(disks))('are told for chains longer than a block, %s', async (_, on) => {
    const { bench, told, at } = await start(on({}));
    const asked = bench.ask(IN, 0, {
      into: 40 * 512,
      layout: (chain, { header, data, status }) => {
        chain.out(header, 16);
        // Backwards, so that no two neighbours are one segment.
        for (let n = 39; n >= 0; n--) chain.in(data + n * 512, 512);
        chain.in(status, 1);
      },
    });
    bench.run();
    expect(bench.status(asked)).toBe(OK);
    const expected = Array.from({ length: 40 }, (_, n) => at(asked.data + (39 - n) * 512, 512));
    expect(told).toEqual([...expected, at(asked.statusAt, 1)]);
  });

  it('are told of each request of a batch, and not of what the device only reads', async () => {
    const { bench, told, at } = await startCluster();
    const asked = [
      bench.read(0, 512),
      bench.ask(OUT, 8, { out: pattern(512) }),
      bench.read(4, 512),
    ];
    bench.run();
    expect(told).toEqual([
      at(asked[0]!.data, 512),
      at(asked[0]!.statusAt, 1),
      at(asked[1]!.statusAt, 1),
      at(asked[2]!.data, 512),
      at(asked[2]!.statusAt, 1),
    ]);
  });

  it('are told when a late request ends, before the driver can see it', async () => {
    const { bench, driver, told, at, watch } = await startLate();
    driver.bytes.set(pattern(512));
    const read = bench.read(0, 512);
    bench.run();
    expect(told).toEqual([]);
    let used = -1;
    let status = -1;
    watch.onTold = () => {
      used = bench.collect();
      status = bench.status(read);
    };
    driver.settleAll();
    bench.turns();
    expect(told).toEqual([at(read.data, 512), at(read.statusAt, 1)]);
    expect([used, status]).toEqual([0, UNANSWERED]);
    expect(bench.data(read, 512)).toEqual(pattern(512));
    expect(bench.collect()).toBe(1);
  });

  it('are not told of a request that a reset dropped', async () => {
    const { bench, driver, told } = await startLate();
    bench.read(0, 512);
    bench.run();
    bench.blk.writeStatus(0);
    driver.settleAll();
    bench.turns();
    await bench.blk.idle();
    expect(told).toEqual([]);
  });

  it('may grow the memory in the middle of a batch', async () => {
    const { bench, told, watch } = await startCluster();
    watch.onTold = () => bench.core.memory.grow(1);
    const asked = [bench.write(0, pattern(512)), bench.read(0, 512), bench.read(8, 512)];
    bench.run();
    expect(asked.map((request) => bench.status(request))).toEqual([OK, OK, OK]);
    expect(told).toHaveLength(5);
    expect(bench.data(asked[1]!, 512)).toEqual(pattern(512));
  });

  it('must go to a function', async () => {
    const blk = { onGuestWrite: 'here' as never };
    await expect(Bench.open({ engine, blk })).rejects.toThrow('onGuestWrite');
  });
});
