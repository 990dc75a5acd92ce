/** What a virtio-blk device says of itself: options, features, configuration space. */

import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { OptionError } from '#src/block/error';
import { VirtioBlk, type VirtioBlkOptions } from '#src/virtio/virtio-blk';
import { Bench, type BenchOptions, bit, F, OK, OUT, pattern } from './blk-bench.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
const open = (options: BenchOptions = {}) => Bench.open({ engine: 'js', ...options });
const ALL = 0xffff_ffff;

describe('virtio-blk configuration space', () => {
  const sizes: [discard: boolean, writeZeroes: boolean, size: number][] = [
    [false, false, 36],
    [true, false, 48],
    [false, true, 60],
    [true, true, 60],
  ];
  it.each(sizes)(
    'BL-11 discard %s, write-zeroes %s: %i bytes, then all ones',
    async (discard, writeZeroes, size) => {
      const { blk } = await open({ blk: { discard, 'write-zeroes': writeZeroes } });
      expect(blk.readConfig(size - 1, 1)).not.toBe(0xff);
      expect(blk.readConfig(size, 1)).toBe(0xff);
      expect(blk.readConfig(size - 1, 2)).toBe(0xffff);
      expect(blk.readConfig(size - 2, 4)).toBe(0xffff_ffff);
      expect([blk.readConfig(36, 4), blk.readConfig(48, 4)]).toEqual([
        discard ? 4_194_303 : writeZeroes ? 0 : ALL,
        writeZeroes ? 4_194_303 : ALL,
      ]);
      blk.writeConfig(size, 1, 0); // ignored
    },
  );

  it('BL-11 each field in its width', async () => {
    const driver = new ProbeDriver(SIZE + 512 * 7);
    const { blk } = await open({
      driver,
      blk: {
        'num-queues': 3,
        'queue-size': 64,
        logical_block_size: 4096,
        physical_block_size: 16384,
        min_io_size: 8192,
        opt_io_size: 4096 * 100,
        'max-discard-sectors': 800,
        'max-write-zeroes-sectors': 1600,
      },
    });
    const read = (offset: number, width: 1 | 2 | 4) => blk.readConfig(offset, width);
    expect([read(0, 4), read(4, 4)]).toEqual([2048, 0]); // whole logical blocks
    expect([read(8, 4), read(12, 4)]).toEqual([0, 62]); // size_max, seg_max
    expect([read(16, 2), read(18, 1), read(19, 1)]).toEqual([2, 16, 63]); // geometry
    expect([read(20, 4), read(24, 1), read(25, 1)]).toEqual([4096, 2, 0]);
    expect([read(26, 2), read(28, 4)]).toEqual([2, 100]);
    expect([read(32, 1), read(33, 1), read(34, 2)]).toEqual([1, 0, 3]);
    expect([read(36, 4), read(40, 4), read(44, 4)]).toEqual([800, 1, 8]);
    expect([read(48, 4), read(52, 4), read(56, 1), read(57, 1)]).toEqual([1600, 1, 1, 0]);
    // Bytes and words of larger fields.
    expect([read(20, 2), read(21, 1), read(22, 2)]).toEqual([4096, 16, 0]);
  });

  it('BL-11 the capacity of a disk above 2 TiB, and the geometry that is cut off', async () => {
    const driver = new ProbeDriver(0);
    Object.defineProperty(driver, 'size', { value: 3 * 2 ** 41 });
    const { blk } = await open({ driver });
    expect([blk.readConfig(0, 4), blk.readConfig(4, 4)]).toEqual([2 ** 31 * 2 - 2 ** 32, 3]);
    expect(blk.readConfig(16, 2)).toBe(16383);
  });

  it('BL-11 seg-max can be told otherwise', async () => {
    const { blk } = await open({ blk: { 'seg-max': 126 } });
    expect(blk.readConfig(12, 4)).toBe(126);
  });

  it('BL-12 only writeback can be written', async () => {
    const bench = await open();
    bench.start();
    const read = () => Array.from({ length: 60 }, (_, i) => bench.blk.readConfig(i, 1));
    const before = read();
    expect(before[32]).toBe(1);
    for (let i = 0; i < 60; i++) if (i !== 32) bench.blk.writeConfig(i, 1, before[i]! ^ 0xff);
    expect(read()).toEqual(before);
    expect(bench.backend.writeCache).toBe(true);
    bench.blk.writeConfig(32, 1, 0);
    expect([bench.backend.writeCache, bench.blk.readConfig(32, 1)]).toEqual([false, 0]);
    bench.blk.writeConfig(32, 1, 2);
    expect([bench.backend.writeCache, bench.blk.readConfig(32, 1)]).toEqual([true, 1]);
    bench.blk.writeConfig(32, 4, 0xffff_ff00);
    expect(bench.backend.writeCache).toBe(false);
    bench.blk.writeConfig(30, 4, 0x0001_0000);
    expect(bench.backend.writeCache).toBe(true);
    bench.blk.writeConfig(28, 4, 0);
    bench.blk.writeConfig(33, 1, 0);
    expect(bench.backend.writeCache).toBe(true);
  });

  it('BL-12 a driver that did not accept CONFIG_WCE cannot write it', async () => {
    const bench = await open();
    bench.start(ALL & ~bit(F.CONFIG_WCE) & ~bit(F.EVENT_IDX));
    bench.blk.writeConfig(32, 1, 0);
    expect(bench.backend.writeCache).toBe(true);
  });
});

describe('virtio-blk features', () => {
  const offered = async (options: BenchOptions) => (await open(options)).blk.deviceFeatures(0);
  const always = [2, 4, 6, 10, 28, 29];

  it('BL-13 by default', async () => {
    const bits = [...always, F.FLUSH, F.CONFIG_WCE, F.DISCARD, F.WRITE_ZEROES];
    expect(await offered({})).toBe(bits.reduce((word, n) => word + bit(n), 0));
    const { blk } = await open();
    expect([blk.deviceFeatures(1) & 1, blk.deviceFeatures(2)]).toEqual([1, 0]);
  });

  it('BL-13 with everything off', async () => {
    const blk = { 'config-wce': false, discard: false, 'write-zeroes': false };
    const word = await offered({ blk, backend: { writeCache: false } });
    expect(word).toBe(always.reduce((sum, n) => sum + bit(n), 0));
  });

  const cases: [what: string, options: BenchOptions, n: number, on: boolean][] = [
    ['RO of a read-only backend', { backend: { readOnly: true } }, 5, true],
    ['RO', {}, 5, false],
    ['MQ with two queues', { blk: { 'num-queues': 2 } }, F.MQ, true],
    ['MQ with one', {}, F.MQ, false],
    ['FLUSH with CONFIG_WCE, cache off', { backend: { writeCache: false } }, F.FLUSH, true],
    ['FLUSH with the cache on only', { blk: { 'config-wce': false } }, F.FLUSH, true],
    ['no DISCARD', { blk: { discard: false } }, F.DISCARD, false],
    ['no WRITE_ZEROES', { blk: { 'write-zeroes': false } }, F.WRITE_ZEROES, false],
    ['SCSI to a modern driver', {}, 7, false],
    ['NOTIFY_ON_EMPTY to a modern driver', {}, 24, false],
  ];
  it.each(cases)('BL-13 %s', async (_what, options, n, on) => {
    expect((await offered(options)) & bit(n)).toBe(on ? bit(n) | 0 : 0);
  });

  it('BL-13 the legacy interface adds SCSI, and drops ANY_LAYOUT', async () => {
    const { blk } = await open();
    blk.useLegacy(true);
    const word = blk.deviceFeatures(0);
    expect([word & bit(7), word & bit(24), word & bit(27)]).toEqual([bit(7), bit(24), 0]);
  });
});

describe('virtio-blk write cache', () => {
  const RING = ALL & ~bit(F.EVENT_IDX);

  it.each([
    [true, true],
    [false, false],
  ])('BL-14 without CONFIG_WCE the cache is what FLUSH says: %s', async (flush, cache) => {
    const bench = await open({ blk: { 'config-wce': false } });
    bench.start(flush ? RING : RING & ~bit(F.FLUSH));
    expect(bench.backend.writeCache).toBe(cache);
    bench.blk.writeStatus(0);
    expect([bench.blk.status, bench.backend.writeCache]).toEqual([0, true]);
  });

  it('BL-14 a driver that leaves CONFIG_WCE out and takes FLUSH turns the cache on', async () => {
    const bench = await open({ backend: { writeCache: false } });
    bench.start(RING & ~bit(F.CONFIG_WCE));
    expect(bench.backend.writeCache).toBe(true);
    bench.blk.writeStatus(0);
    expect(bench.backend.writeCache).toBe(false);
  });

  it('BL-14 the seven steps: writeback set before DRIVER_OK stays', async () => {
    const bench = await open({ backend: { writeCache: false } });
    bench.blk.writeStatus(0);
    bench.blk.writeStatus(3);
    expect(bench.blk.deviceFeatures(0) & bit(F.CONFIG_WCE)).not.toBe(0);
    bench.blk.writeDriverFeatures(0, bit(F.CONFIG_WCE));
    bench.blk.writeDriverFeatures(1, 1);
    bench.blk.writeStatus(11);
    bench.blk.writeConfig(32, 1, 1);
    bench.blk.writeStatus(15);
    expect(bench.backend.writeCache).toBe(true);
  });

  it('BL-14 CONFIG_WCE without FLUSH: writeback starts 0', async () => {
    const bench = await open();
    bench.negotiate(RING & ~bit(F.FLUSH));
    expect(bench.blk.readConfig(32, 1)).toBe(0);
    bench.blk.writeStatus(15);
    expect(bench.backend.writeCache).toBe(false);
    bench.blk.writeStatus(0);
    expect(bench.backend.writeCache).toBe(true);
  });

  it('BL-14 CONFIG_WCE with FLUSH: writeback starts as the disk has it', async () => {
    for (const writeCache of [true, false]) {
      const bench = await open({ backend: { writeCache } });
      bench.start();
      expect(bench.backend.writeCache).toBe(writeCache);
    }
  });

  it('BL-14 BL-17 reset brings back what the driver changed', async () => {
    const bench = await open();
    bench.start();
    bench.blk.writeConfig(32, 1, 0);
    expect(bench.backend.writeCache).toBe(false);
    bench.blk.writeStatus(0);
    expect(bench.backend.writeCache).toBe(true);
  });
});

describe('virtio-blk options', () => {
  type Wrong = [option: string, options: Record<string, unknown>, allowed: string];
  const wrong: Wrong[] = [
    ['queue-size', { 'queue-size': 2 }, 'powers of two from 4 to 1024'],
    ['queue-size', { 'queue-size': 2048 }, 'powers of two from 4 to 1024'],
    ['queue-size', { 'queue-size': 100 }, 'powers of two from 4 to 1024'],
    ['queue-size', { 'queue-size': Number.NaN }, 'powers of two from 4 to 1024'],
    ['num-queues', { 'num-queues': 0 }, 'whole numbers from 1 to 1024'],
    ['num-queues', { 'num-queues': 1025 }, 'whole numbers from 1 to 1024'],
    ['num-queues', { 'num-queues': 1.5 }, 'whole numbers from 1 to 1024'],
    ['seg-max', { 'seg-max': 0 }, 'whole numbers from 1 to 1022'],
    ['seg-max', { 'seg-max': 1023 }, 'whole numbers from 1 to 1022'],
    ['logical_block_size', { logical_block_size: 256 }, 'powers of two from 512 to 2097152'],
    ['logical_block_size', { logical_block_size: 2 ** 22 }, 'powers of two from 512 to 2097152'],
    ['logical_block_size', { logical_block_size: 1000 }, 'powers of two from 512 to 2097152'],
    ['physical_block_size', { physical_block_size: 513 }, 'powers of two from 512 to 2097152'],
    [
      'physical_block_size',
      { logical_block_size: 4096, physical_block_size: 512 },
      'at least logical_block_size, which is 4096',
    ],
    ['min_io_size', { min_io_size: 100 }, 'multiples of 512 up to 33553920'],
    ['min_io_size', { min_io_size: 512 * 65536 }, 'multiples of 512 up to 33553920'],
    ['opt_io_size', { opt_io_size: -512 }, 'multiples of 512 up to 2199023255040'],
    ['max-discard-sectors', { 'max-discard-sectors': 0 }, 'multiples of 1 from 1 to 4194303'],
    [
      'max-write-zeroes-sectors',
      { logical_block_size: 4096, 'max-write-zeroes-sectors': 4_194_303 },
      'multiples of 8 from 8 to 4194296',
    ],
    ['config-wce', { 'config-wce': 'yes' }, 'true, false'],
    ['discard', { discard: 1 }, 'true, false'],
    ['serial', { serial: 7 }, 'a string without zero characters'],
    ['serial', { serial: 'a\0b' }, 'a string without zero characters'],
    ['kick', { kick: 'async' }, 'sync, poll'],
    ['legacyEndian', { legacyEndian: 'middle' }, 'little, big'],
    ['queuesize', { queuesize: 4 }, 'the options id, machine, serial, queue-size, num-queues'],
  ];

  async function parts() {
    const core = await openCore({ engine: 'js', ramBytes: 1 << 16 });
    const context = new AioContext(core, { sleeper: 'hook' });
    const backend = BlockBackend.attach(core, context, new ProbeDriver(SIZE));
    return { core, context, backend };
  }

  /** What making the device throws. */
  function refusal(make: () => unknown): OptionError {
    try {
      make();
    } catch (error) {
      if (error instanceof OptionError) return error;
      throw error;
    }
    throw new Error('it was taken');
  }

  it.each(wrong)(
    'BL-20 BL-21 %s: %j is refused, and nothing is left',
    async (name, options, allowed) => {
      const { core, context, backend } = await parts();
      const before = [core.allocatedBytes, context.bottomHalves];
      for (let i = 0; i < 100; i++) {
        const error = refusal(
          () => new VirtioBlk(core, context, backend, options as VirtioBlkOptions),
        );
        expect(error.option).toBe(name);
        expect(error.message).toContain(name);
        expect(error.message).toContain(`allowed: ${allowed}`);
      }
      expect([core.allocatedBytes, context.bottomHalves]).toEqual(before);
      expect([backend.onResize.size, backend.quiesced]).toEqual([0, false]);
    },
  );

  it.each([4, 8, 256, 1024])('BL-20 queue-size %i is taken', async (size) => {
    const bench = await open({ blk: { 'queue-size': size }, ram: 1 << 20 });
    bench.start();
    const write = bench.write(0, pattern(512));
    bench.run();
    expect(bench.status(write)).toBe(OK);
    expect(bench.blk.queues[0]!.maxSize).toBe(size);
  });

  it('BL-21 no drive, an empty drive, a closed one', async () => {
    const { core, context, backend } = await parts();
    const before = core.allocatedBytes;
    const missing = undefined as unknown as BlockBackend;
    expect(refusal(() => new VirtioBlk(core, context, missing)).message).toContain('drive');
    const empty = BlockBackend.empty(core, context);
    expect(refusal(() => new VirtioBlk(core, context, empty)).message).toContain('medium');
    await empty.close();
    expect(core.allocatedBytes).toBe(before);
    await backend.close();
    expect(() => new VirtioBlk(core, context, backend)).toThrow('closed');
  });

  it('BL-21 a drive that another device has, which alone is told of drained sections', async () => {
    const { core, context, backend } = await parts();
    const first = new VirtioBlk(core, context, backend);
    const before = core.allocatedBytes;
    expect(refusal(() => new VirtioBlk(core, context, backend)).message).toContain(
      'no other device has',
    );
    expect(core.allocatedBytes).toBe(before);
    await first.close();
    await new VirtioBlk(core, context, backend).close();
  });

  it('BL-21 a block size below what the disk can do', async () => {
    const { core, context } = await parts();
    const driver = new ProbeDriver(SIZE, 'inline', 4096);
    const backend = BlockBackend.attach(core, context, driver, { logicalBlockSize: 4096 });
    const error = refusal(() => new VirtioBlk(core, context, backend, { logical_block_size: 512 }));
    expect(error.message).toContain(
      'logical_block_size: 512 is not allowed; allowed: at least 4096',
    );
  });

  it('BL-21 a context that is full: all that was made is undone, a hundred times', async () => {
    const core = await openCore({ engine: 'js', ramBytes: 1 << 16 });
    for (let slots = 1; slots <= 7; slots++) {
      const context = new AioContext(core, { sleeper: 'hook', slots });
      const backend = BlockBackend.attach(core, context, new ProbeDriver(SIZE));
      const before = core.allocatedBytes;
      const make = () =>
        new VirtioBlk(core, context, backend, { 'num-queues': 8, kick: 'poll', discard: false });
      for (let i = 0; i < 100; i++) {
        expect(make).toThrow(RangeError);
        context.poll();
        expect([core.allocatedBytes, context.bottomHalves]).toEqual([before, 0]);
      }
      expect(backend.onResize.size).toBe(0);
      await backend.close();
      context.close();
    }
  });

  it('BL-21 memory that is full: all that was made is undone', async () => {
    const core = await openCore({ engine: 'js', ramBytes: 1 << 16, maxBytes: 1 << 19 });
    const context = new AioContext(core, { sleeper: 'hook' });
    const backend = BlockBackend.attach(core, context, new ProbeDriver(SIZE));
    const before = core.allocatedBytes;
    expect(() => new VirtioBlk(core, context, backend, { 'num-queues': 50 })).toThrow('grow');
    context.poll();
    expect([core.allocatedBytes, context.bottomHalves]).toEqual([before, 0]);
    expect(backend.onResize.size).toBe(0);
  });

  it('every queue config survives structuredClone', async () => {
    const { blk } = await open({ blk: { 'num-queues': 3, serial: 'clone' } });
    expect(blk.queueConfigs).toHaveLength(3);
    for (const config of blk.queueConfigs) {
      expect(structuredClone(config)).toEqual(config);
      const types = Object.values(config).map((value) => typeof value);
      expect(types.every((type) => ['number', 'string', 'boolean'].includes(type))).toBe(true);
    }
    expect(blk.queueConfigs.map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  it('a device with one queue of 256 takes less than 64 KiB of core memory', async () => {
    const { core, context, backend } = await parts();
    const before = core.allocatedBytes;
    const blk = new VirtioBlk(core, context, backend);
    expect(core.allocatedBytes - before).toBeLessThan(65_536);
    await blk.close();
    expect(core.allocatedBytes).toBe(before);
  });

  it('the block size reaches the backend, and close takes it back', async () => {
    const { core, context, backend } = await parts();
    const blk = new VirtioBlk(core, context, backend, { logical_block_size: 4096 });
    expect(blk.readConfig(20, 4)).toBe(4096);
    await blk.close();
    const next = new VirtioBlk(core, context, backend);
    expect([next.readConfig(20, 4), OUT]).toEqual([512, 1]);
    await next.close();
  });
});
