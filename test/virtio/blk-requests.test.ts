/** What a virtio-blk device answers to each request: types, checks, statuses, used lengths. */

import { describe, expect, it } from 'vitest';
import { NullDriver } from '#src/block/null';
import { BROKEN_HEADERS, QUEUE_INUSE } from '#src/layout';
import {
  BARRIER,
  Bench,
  type BenchOptions,
  bit,
  DISCARD,
  engines,
  F,
  FLUSH,
  GET_ID,
  IN,
  IOERR,
  OK,
  OUT,
  pattern,
  SCSI_CMD,
  segment,
  UNANSWERED,
  UNSUPP,
  WRITE_ZEROES,
} from './blk-bench.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
const SECTORS = SIZE / 512;

describe.each(engines)('virtio-blk requests, %s', (engine) => {
  async function start(options: BenchOptions = {}) {
    const driver = new ProbeDriver(SIZE);
    const bench = await Bench.open({ engine, driver, ...options });
    bench.start();
    return { bench, driver };
  }

  /** One request by itself: its status and used length. */
  function answer(bench: Bench, ...ask: Parameters<Bench['ask']>) {
    const asked = bench.ask(...ask);
    expect(bench.run()).toBe(1);
    return { status: bench.status(asked), used: asked.used };
  }

  it('BL-1 BL-3 reads what was written', async () => {
    const { bench, driver } = await start();
    const bytes = pattern(4096);
    const write = bench.write(8, bytes);
    bench.run();
    expect([bench.status(write), write.used]).toEqual([OK, 1]);
    expect(driver.bytes.slice(4096, 8192)).toEqual(bytes);
    const read = bench.read(8, 4096);
    bench.run();
    expect([bench.status(read), read.used]).toEqual([OK, 4097]);
    expect(bench.data(read, 4096)).toEqual(bytes);
    expect(driver.take()).toMatchObject([
      { op: 'write', offset: 4096, length: 4096, segments: 1 },
      { op: 'read', offset: 4096, length: 4096, segments: 1 },
    ]);
  });

  it('BL-1 a write whose header is split 7 + 9, the second part with the data', async () => {
    const { bench, driver } = await start();
    const bytes = pattern(1024, 3);
    const { ram } = bench;
    const piece = ram.allocate(9 + 1024);
    const asked = bench.ask(OUT, 2, {
      layout: (chain, { header, status }) => {
        ram.write(piece, ram.read(header + 7, 9));
        ram.write(piece + 9, bytes);
        chain
          .out(header, 7)
          .out(piece, 9 + 1024)
          .in(status, 1);
      },
    });
    bench.run();
    expect(bench.status(asked)).toBe(OK);
    expect(driver.bytes.slice(1024, 2048)).toEqual(bytes);
  });

  it('BL-1 a read whose status is the last byte of the data descriptor', async () => {
    const { bench, driver } = await start();
    driver.bytes.set(pattern(512, 5));
    const { ram } = bench;
    const buffer = ram.allocate(513 + 8);
    ram.fill(buffer, 521, 0xee);
    const asked = bench.ask(IN, 0, {
      layout: (c, at) => void c.out(at.header, 16).in(buffer, 513),
    });
    bench.run();
    expect(ram.read(buffer, 512)).toEqual(pattern(512, 5));
    expect([ram.getU8(buffer + 512), ram.getU8(buffer + 513)]).toEqual([OK, 0xee]);
    expect(asked.used).toBe(513);
  });

  it('BL-1 data in 40 segments, over several segment blocks', async () => {
    const { bench, driver } = await start();
    const bytes = pattern(40 * 512, 9);
    driver.bytes.set(bytes);
    const read = bench.ask(IN, 0, {
      into: 2 * bytes.length,
      layout: (chain, { header, data, status }) => {
        chain.out(header, 16);
        for (let i = 0; i < 40; i++) chain.in(data + i * 1024, 512);
        chain.in(status, 1);
      },
    });
    bench.run();
    const got = Array.from({ length: 40 }, (_, i) => bench.ram.read(read.data + i * 1024, 512));
    expect(new Uint8Array(Buffer.concat(got))).toEqual(bytes);
    expect(bench.ram.getU8(read.data + 512)).toBe(0xee);
    expect(driver.take()[0]).toMatchObject({ segments: 40, length: 40 * 512 });
  });

  it('BL-2 every type 0 to 31, with and without OUT and BARRIER', async () => {
    const { bench } = await start();
    // The lowest bit is the direction, so that 2n and 2n + 1 are one request of two directions.
    const known = new Map([
      [IN, OK],
      [OUT, OK],
      [FLUSH, OK],
      [FLUSH | 1, OK],
      [GET_ID, OK],
    ]);
    known
      .set(GET_ID | 1, OK)
      .set(DISCARD, OK)
      .set(WRITE_ZEROES, OK);
    for (let type = 0; type < 32; type++) {
      for (const barrier of [0, BARRIER]) {
        const out = type === DISCARD || type === WRITE_ZEROES ? segment(0, 1) : pattern(512);
        const into = type === OUT ? 0 : 512;
        const { status } = answer(bench, (type | barrier) >>> 0, 0, { out, into });
        expect([type, barrier, status]).toEqual([type, barrier, known.get(type) ?? UNSUPP]);
      }
    }
    for (const type of [0x100, 0x7fff_fffe]) expect(answer(bench, type, 0).status).toBe(UNSUPP);
  });

  it('BL-2 BARRIER changes nothing: data moves, and the used length counts it', async () => {
    const { bench, driver } = await start();
    expect(answer(bench, BARRIER + OUT, 1, { out: pattern(512, 2) }).status).toBe(OK);
    expect(driver.bytes.slice(512, 1024)).toEqual(pattern(512, 2));
    expect(answer(bench, BARRIER + IN, 1, { into: 512 })).toEqual({ status: OK, used: 513 });
  });

  describe('BL-4 range', () => {
    const cases: [what: string, type: number, sector: number, bytes: number, status: number][] = [
      ['the last sector', IN, SECTORS - 1, 512, OK],
      ['one sector beyond', IN, SECTORS, 512, IOERR],
      ['across the end', IN, SECTORS - 1, 1024, IOERR],
      ['nothing, at the end', IN, SECTORS, 0, OK],
      ['nothing, beyond the end', IN, SECTORS + 1, 0, IOERR],
      ['half a sector', IN, 0, 256, IOERR],
      ['a byte more than a sector', OUT, 0, 513, IOERR],
      ['a write across the end', OUT, SECTORS - 1, 1024, IOERR],
      ['a sector whose low word alone would fit', OUT, 2 ** 32, 512, IOERR],
      ['a sector that wraps in bytes', IN, 2 ** 55, 512, IOERR],
    ];
    it.each(cases)('%s', async (_what, type, sector, bytes, status) => {
      const { bench, driver } = await start();
      const data = type === OUT ? { out: pattern(bytes) } : { into: bytes };
      const { used, ...got } = answer(bench, type, sector, data);
      expect(got.status).toBe(status);
      expect(driver.take()).toHaveLength(status === OK && bytes > 0 ? 1 : 0);
      if (status === IOERR) {
        expect(bench.backend.stats()).toMatchObject({ invalid: 1, failed: 0 });
        // VQ-6: a status behind bytes that were not written does not count.
        expect(used).toBe(type === OUT || bytes === 0 ? 1 : 0);
      }
      expect(bench.blk.brokenReason).toBe(0);
    });

    it('with logical blocks of 4096 bytes: sector and size are multiples of 8', async () => {
      const { bench } = await start({ backend: { logicalBlockSize: 4096 } });
      const status = (sector: number, into: number) => answer(bench, IN, sector, { into }).status;
      expect([status(8, 4096), status(8, 512), status(4, 4096)]).toEqual([OK, IOERR, IOERR]);
      expect([status(SECTORS - 8, 4096), status(SECTORS, 4096)]).toEqual([OK, IOERR]);
    });

    it('a request has at most 4194303 sectors', async () => {
      const driver = new NullDriver(2 ** 40, false);
      const bench = await Bench.open({ engine, driver, ram: 8 << 20, blk: { 'queue-size': 1024 } });
      bench.start();
      const most = 4_194_303;
      const buffer = bench.ram.allocate(4 << 20);
      // The same 4 MiB again and again.
      const read = (sectors: number) =>
        answer(bench, IN, 0, {
          layout: (chain, { header, status }) => {
            chain.out(header, 16);
            for (let left = sectors * 512; left > 0; left -= 4 << 20) {
              chain.in(buffer, Math.min(left, 4 << 20));
            }
            chain.in(status, 1);
          },
        }).status;
      expect([read(most), read(most + 1)]).toEqual([OK, IOERR]);
      const zero = (count: number) =>
        answer(bench, WRITE_ZEROES, 0, { out: segment(0, count) }).status;
      expect([zero(most), zero(most + 1), zero(2 ** 32 - 1)]).toEqual([OK, IOERR, IOERR]);
    });
  });

  it('BL-5 a read-only disk refuses writes before any driver or policy sees them', async () => {
    const { bench, driver } = await start({ backend: { readOnly: true } });
    const zeroes = segment(0, 8);
    expect(answer(bench, OUT, 0, { out: pattern(512) })).toEqual({ status: IOERR, used: 1 });
    expect(answer(bench, DISCARD, 0, { out: zeroes }).status).toBe(IOERR);
    expect(answer(bench, WRITE_ZEROES, 0, { out: zeroes }).status).toBe(IOERR);
    expect(driver.take()).toEqual([]);
    expect(bench.backend.stats()).toMatchObject({ invalid: 3, failed: 0 });
    expect(answer(bench, IN, 0, { into: 512 }).status).toBe(OK);
    expect(answer(bench, FLUSH, 0).status).toBe(OK);
  });

  it('VQ-6 L12 a read that fails reports no data, and a failed write its status only', async () => {
    const { bench, driver } = await start();
    driver.answer = () => -5;
    expect(answer(bench, IN, 0, { into: 512 })).toEqual({ status: IOERR, used: 0 });
    expect(answer(bench, OUT, 0, { out: pattern(512) })).toEqual({ status: IOERR, used: 1 });
    expect(answer(bench, FLUSH, 0)).toEqual({ status: IOERR, used: 1 });
    expect(bench.backend.stats()).toMatchObject({ invalid: 0, failed: 3 });
  });

  describe('BL-8 DISCARD and WRITE_ZEROES', () => {
    const both = [DISCARD, WRITE_ZEROES];
    const cases: [what: string, types: number[], out: Uint8Array, status: number][] = [
      ['one segment', both, segment(8, 16), OK],
      ['no sectors', both, segment(8, 0), OK],
      ['to the end of the disk', both, segment(SECTORS - 1, 1), OK],
      ['beyond the end of the disk', both, segment(SECTORS - 1, 2), IOERR],
      ['a sector above 2^32', both, segment(2 ** 32, 1), IOERR],
      ['more than the most sectors', both, segment(0, 1025), IOERR],
      ['the most sectors', both, segment(0, 1024), OK],
      ['two segments', both, new Uint8Array(32), UNSUPP],
      ['a byte more than a segment', both, new Uint8Array(17), UNSUPP],
      ['an unknown flag', both, segment(0, 1, 2), UNSUPP],
      ['the highest flag', both, segment(0, 1, 0x8000_0000), UNSUPP],
      ['the unmap flag', [DISCARD], segment(0, 1, 1), UNSUPP],
      ['the unmap flag', [WRITE_ZEROES], segment(0, 1, 1), OK],
      ['an unknown flag beyond the end', both, segment(SECTORS, 1, 2), IOERR],
    ];
    const limits = { 'max-discard-sectors': 1024, 'max-write-zeroes-sectors': 1024 };
    it.each(cases)('%s, %j', async (_what, types, out, status) => {
      const { bench } = await start({ blk: limits });
      for (const type of types)
        expect(answer(bench, type, 0, { out })).toEqual({ status, used: 1 });
    });

    it('fewer bytes than a segment break the queue, and earlier requests are answered', async () => {
      for (const type of both) {
        const { bench, driver } = await start();
        const before = bench.read(0, 512);
        const short = bench.ask(type, 0, { out: new Uint8Array(15) });
        const after = bench.read(0, 512);
        bench.kick();
        expect([bench.status(before), bench.status(short)]).toEqual([OK, UNANSWERED]);
        expect(bench.status(after)).toBe(UNANSWERED);
        expect([bench.collect(), driver.calls.length]).toEqual([1, 1]);
        expect(bench.queueWord(QUEUE_INUSE)).toBe(0);
        expect(bench.blk.brokenReason).toBe(BROKEN_HEADERS);
        expect([bench.blk.status & 64, bench.configInterrupts]).toEqual([64, 1]);
      }
    });

    it('without OUT they are not known', async () => {
      const { bench, driver } = await start();
      const out = segment(0, 1);
      for (const type of both) expect(answer(bench, type & ~1, 0, { out }).status).toBe(UNSUPP);
      expect(driver.take()).toEqual([]);
    });

    it('reach the driver with their range; zeroes may become a hole only with unmap', async () => {
      const { bench, driver } = await start();
      answer(bench, DISCARD, 0, { out: segment(8, 16) });
      answer(bench, WRITE_ZEROES, 0, { out: segment(3, 2) });
      answer(bench, WRITE_ZEROES, 0, { out: segment(4, 1, 1) });
      expect(driver.take()).toMatchObject([
        { op: 'discard', offset: 4096, length: 8192, flags: 0 },
        { op: 'zero', offset: 1536, length: 1024, flags: 0 },
        { op: 'zero', offset: 2048, length: 512, flags: 2 },
      ]);
    });

    it('the segment may be split over descriptors and lie in one with the header', async () => {
      const { bench, driver } = await start();
      const { ram } = bench;
      const joined = ram.allocate(32);
      const asked = bench.ask(WRITE_ZEROES, 0, {
        out: segment(8, 8),
        layout: (chain, { header, data, status }) => {
          ram.write(joined, ram.read(header, 16));
          ram.write(joined + 16, ram.read(data, 5));
          chain
            .out(joined, 21)
            .out(data + 5, 11)
            .in(status, 1);
        },
      });
      bench.run();
      expect(bench.status(asked)).toBe(OK);
      expect(driver.take()).toMatchObject([{ op: 'zero', offset: 4096, length: 4096 }]);
    });

    it('are not supported where they are not offered', async () => {
      const { bench, driver } = await start({ blk: { discard: false, 'write-zeroes': false } });
      for (const type of both) {
        expect(answer(bench, type, 0, { out: segment(0, 1) }).status).toBe(UNSUPP);
      }
      expect(driver.take()).toEqual([]);
    });
  });

  describe('BL-9 VQ-6 GET_ID', () => {
    const nineteen = 'ABCDEFGHIJKLMNOPQRS';
    const cases: [serial: string, buffer: number, text: string, used: number][] = [
      ['', 20, '\0', 1],
      ['disk0', 64, 'disk0\0', 6],
      [nineteen, 20, `${nineteen}\0`, 21],
      [nineteen, 64, `${nineteen}\0`, 20],
      [`${nineteen}T`, 20, `${nineteen}T`, 21],
      [`${nineteen}TUVWXY`, 64, `${nineteen}T`, 20],
      ['disk0', 5, 'disk0', 6],
      ['disk0', 6, 'disk0\0', 7],
      ['disk0', 0, '', 1],
      ['\u00e9', 20, '\u00c3\u00a9\0', 3],
    ];
    it.each(cases)('serial %j, buffer of %i', async (serial, buffer, text, used) => {
      const { bench } = await start({ blk: { serial } });
      const asked = bench.ask(GET_ID, 0, { into: buffer });
      bench.run();
      expect([bench.status(asked), asked.used]).toEqual([OK, used]);
      const got = bench.data(asked, Math.max(buffer, 1));
      expect(String.fromCharCode(...got.subarray(0, text.length))).toBe(text);
      // The rest of the buffer is as the guest left it.
      expect(got.subarray(text.length, buffer).every((byte) => byte === 0xee)).toBe(true);
    });
  });

  describe('BL-10 SCSI_CMD', () => {
    const cases: [size: number, written: boolean][] = [
      [1, false],
      [15, false],
      [16, true],
    ];
    it.each(cases)('errors in a segment of %i bytes: %s', async (size, written) => {
      const { bench } = await start();
      const asked = bench.ask(SCSI_CMD, 0, {
        out: pattern(16),
        into: 128,
        layout: (chain, { header, data, status }) => {
          bench.ram.fill(data + 64, 64, 0xee);
          chain
            .out(header, 16)
            .out(data, 16)
            .in(data + 32, 32);
          chain.in(data + 96, size).in(status, 1);
        },
      });
      bench.run();
      expect([bench.status(asked), asked.used]).toEqual([UNSUPP, 0]);
      const { ram } = bench;
      if (written) expect(ram.getU32(asked.data + 96)).toBe(255);
      else expect(ram.getU8(asked.data + 96)).toBe(0xee);
      expect(ram.getU8(asked.data + 96 + 4)).toBe(0xee);
      expect(ram.read(asked.data + 32, 32).every((byte) => byte === 0xee)).toBe(true);
    });

    it('with nothing but a status byte', async () => {
      const { bench } = await start();
      expect(answer(bench, SCSI_CMD, 0)).toEqual({ status: UNSUPP, used: 1 });
    });

    it('in every layout of one writable descriptor nothing but the status is written', async () => {
      const { bench } = await start();
      const asked = bench.ask(SCSI_CMD | OUT, 0, {
        into: 64,
        layout: (chain, { header, data }) => void chain.out(header, 16).in(data, 64),
      });
      bench.run();
      expect(bench.ram.read(asked.data, 63).every((byte) => byte === 0xee)).toBe(true);
      expect(bench.ram.getU8(asked.data + 63)).toBe(UNSUPP);
    });
  });

  it('BG-12 a chain without header, status or writable part breaks the queue', async () => {
    const layouts: [string, Parameters<Bench['ask']>[2]][] = [
      ['header of 15', { layout: (c, at) => void c.out(at.header, 15).in(at.status, 1) }],
      ['nothing writable', { layout: (c, at) => void c.out(at.header, 16) }],
      ['nothing readable', { layout: (c, at) => void c.in(at.status, 1) }],
    ];
    for (const [what, how] of layouts) {
      const { bench } = await start();
      const asked = bench.ask(IN, 0, how);
      bench.kick();
      expect([what, bench.blk.brokenReason]).toEqual([what, BROKEN_HEADERS]);
      expect([bench.status(asked), bench.collect()]).toEqual([UNANSWERED, 0]);
      expect([bench.blk.status & 64, bench.configInterrupts]).toEqual([64, 1]);
    }
  });

  it('BL-14 with the write cache off, writes and zeroes are FUA', async () => {
    const { bench, driver } = await start();
    bench.blk.writeConfig(32, 1, 0);
    answer(bench, OUT, 0, { out: pattern(512) });
    bench.blk.writeConfig(32, 1, 1);
    answer(bench, OUT, 0, { out: pattern(512) });
    expect(driver.take().map(({ flags }) => flags & 1)).toEqual([1, 0]);
    expect(bench.blk.driverFeatures(0) & bit(F.CONFIG_WCE)).not.toBe(0);
  });
});
