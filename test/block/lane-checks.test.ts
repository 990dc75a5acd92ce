import { describe, expect, it } from 'vitest';
import {
  type BlockOp,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_FUA,
  REQ_MAY_UNMAP,
} from '#src/block/driver';
import { NullDriver } from '#src/block/null';
import { EIO, ENOMEDIUM, EPERM } from '#src/spec';
import { bytes, make, perform, rig } from './rig.ts';
import { ScriptDriver, success } from './script-driver.ts';

describe('BB-4 checks before I/O', () => {
  const size = 65_536;
  const table: [string, BlockOp, number, number, number][] = [
    ['negative offset', OP_READ, -512, 512, -EIO],
    ['negative length', OP_DISCARD, 0, -1, -EIO],
    ['fraction', OP_DISCARD, 0.5, 512, -EIO],
    ['not a number', OP_DISCARD, Number.NaN, 512, -EIO],
    ['end beyond 2^53', OP_DISCARD, 2 ** 53 - 512, 1024, -EIO],
    ['last byte at the end', OP_READ, size - 512, 512, 0],
    ['one byte beyond the end', OP_READ, size - 511, 512, -EIO],
    ['far beyond the end', OP_WRITE, 2 ** 40, 512, -EIO],
    ['write of zeroes to the end', OP_WRITE_ZEROES, 0, size, 0],
    ['write of zeroes over the end', OP_WRITE_ZEROES, 512, size, -EIO],
    ['discard over the end', OP_DISCARD, size, 1, -EIO],
    ['nothing at the end', OP_DISCARD, size, 0, 0],
  ];
  for (const [what, op, offset, length, result] of table) {
    it(`BB-4 ${what}: ${result}`, async () => {
      const driver = new ScriptDriver('inline');
      const r = await rig(driver);
      const data = op === OP_READ || op === OP_WRITE;
      expect(perform(r, op, offset, data ? new Uint8Array(length) : length)).toBe(result);
      expect(driver.asked.length).toBe(result === 0 && length > 0 ? 1 : 0);
      expect(r.backend.stats().invalid).toBe(result < 0 ? 1 : 0);
      expect(r.lane.inFlight).toBe(0);
    });
  }

  it('BB-4 no medium: ENOMEDIUM for everything, and BB-12 a drain passes', async () => {
    const r = await rig(null);
    expect(perform(r, OP_READ, 0, new Uint8Array(512))).toBe(-ENOMEDIUM);
    expect(perform(r, OP_FLUSH, 0, 0)).toBe(-ENOMEDIUM);
    expect(perform(r, OP_READ, -1, new Uint8Array(512))).toBe(-EIO);
    await r.backend.idle();
    expect(r.lane.inFlight).toBe(0);
  });

  it('a vector that does not fit the length is a bug of the caller', async () => {
    const { lane } = await rig(new ScriptDriver('inline'));
    const { request } = make(lane, OP_READ, 0, new Uint8Array(512));
    request.length = 1024;
    expect(() => lane.submit(request)).toThrow('1024 bytes has a vector of 512');
  });
});

describe('BB-21 write cache', () => {
  it('BB-21 off: every write and write of zeroes has FUA; on: none but those that ask', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig(driver, { writeCache: false });
    perform(r, OP_WRITE, 0, bytes(512));
    perform(r, OP_WRITE_ZEROES, 0, 512, REQ_MAY_UNMAP);
    perform(r, OP_READ, 0, bytes(512));
    perform(r, OP_DISCARD, 0, 512);
    r.backend.writeCache = true;
    perform(r, OP_WRITE, 0, bytes(512));
    perform(r, OP_WRITE, 0, bytes(512), REQ_FUA);
    const flags = driver.asked.map((asked) => asked.flags);
    expect(flags).toEqual([REQ_FUA, REQ_FUA | REQ_MAY_UNMAP, 0, 0, 0, REQ_FUA]);
  });

  it('BB-21 a toggle is for later writes: one in flight keeps what it began with', async () => {
    const driver = new ScriptDriver('loop');
    driver.fua = false;
    const r = await rig(driver, { writeCache: true });
    const { request, done } = make(r.lane, OP_WRITE, 0, bytes(512));
    r.lane.submit(request);
    r.backend.writeCache = false;
    driver.settle();
    r.context.poll();
    expect(done[0]!.result).toBe(0);
    expect(driver.asked.map((asked) => asked.op)).toEqual([OP_WRITE]);
  });

  for (const settles of ['inline', 'loop'] as const) {
    it(`BB-21 a driver without FUA (${settles}) is told to flush after the write`, async () => {
      const driver = new ScriptDriver(settles, success);
      driver.fua = false;
      const r = await rig(driver, { writeCache: false });
      expect(perform(r, OP_WRITE, 512, bytes(512))).toBe(0);
      expect(driver.asked.map((asked) => asked.op)).toEqual([OP_WRITE, OP_FLUSH]);
      expect(perform(r, OP_WRITE_ZEROES, 0, 512)).toBe(0);
      expect(perform(r, OP_DISCARD, 0, 512)).toBe(0);
      const ops = driver.asked.map((asked) => asked.op);
      expect(ops.slice(2)).toEqual([OP_WRITE_ZEROES, OP_FLUSH, OP_DISCARD]);
    });
  }

  it('BB-21 the write fails if that flush fails', async () => {
    const driver = new ScriptDriver('inline', (request) =>
      request.op === OP_FLUSH ? -EIO : success(request),
    );
    driver.fua = false;
    const r = await rig(driver);
    expect(perform(r, OP_WRITE, 0, bytes(512), REQ_FUA)).toBe(-EIO);
    expect(perform(r, OP_WRITE, 0, bytes(512))).toBe(0);
  });
});

describe('BB-22 read-only', () => {
  for (const from of ['driver', 'option'] as const) {
    it(`BB-22 by ${from}: writes are EPERM, a flush succeeds and does nothing`, async () => {
      const driver = new ScriptDriver('inline');
      driver.readOnly = from === 'driver';
      const r = await rig(driver, { readOnly: from === 'option' });
      expect(perform(r, OP_WRITE, 0, bytes(512))).toBe(-EPERM);
      expect(perform(r, OP_WRITE_ZEROES, 0, 512)).toBe(-EPERM);
      expect(perform(r, OP_DISCARD, 0, 512)).toBe(-EPERM);
      expect(perform(r, OP_FLUSH, 0, 0)).toBe(0);
      expect(driver.asked).toEqual([]);
      expect(perform(r, OP_READ, 0, bytes(512))).toBe(0);
    });
  }
});

describe('BB-27 figures', () => {
  it('BB-27 operations, bytes, failed, invalid by kind', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig(driver);
    perform(r, OP_READ, 0, bytes(512));
    perform(r, OP_READ, 0, bytes(1024));
    perform(r, OP_WRITE, 0, bytes(2048));
    perform(r, OP_WRITE_ZEROES, 0, 4096);
    perform(r, OP_FLUSH, 0, 0);
    perform(r, OP_DISCARD, 0, 8192);
    perform(r, OP_DISCARD, 65_536, 8192);
    driver.answer = () => -EIO;
    perform(r, OP_READ, 0, bytes(512));
    r.lane.countInvalid();
    const stats = r.backend.stats();
    expect(stats.read).toMatchObject({ operations: 2, bytes: 1536 });
    expect(stats.write).toMatchObject({ operations: 2, bytes: 6144 });
    expect(stats.flush).toMatchObject({ operations: 1, bytes: 0 });
    expect(stats.discard).toMatchObject({ operations: 1, bytes: 8192 });
    expect(stats).toMatchObject({ failed: 1, invalid: 2, merged: 0 });
    r.lane.close();
    expect(r.backend.stats()).toEqual(stats);
  });

  it('BB-27 counts beyond 2^32 bytes', async () => {
    const r = await rig(new NullDriver(2 ** 40, false));
    for (let i = 0; i < 3; i++) perform(r, OP_DISCARD, 0, 2 ** 33 + 512);
    expect(r.backend.stats().discard.bytes).toBe(3 * (2 ** 33 + 512));
  });

  it('BB-27 latency: from submit to completion, of every request that settles later', async () => {
    const driver = new ScriptDriver('loop');
    const { lane, context, clock, backend } = await rig(driver);
    for (const ns of [1000, 5000]) {
      lane.submit(make(lane, OP_READ, 0, bytes(512)).request);
      clock.advance(ns);
      driver.settle();
      context.poll();
    }
    expect(backend.stats().read).toEqual({ operations: 2, bytes: 1024, latencyNs: 6000 });
  });

  it('BB-27 latency of requests that settle at once is sampled and scaled', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig(driver);
    driver.answer = (request) => {
      r.clock.advance(100);
      return success(request);
    };
    for (let i = 0; i < 100; i++) perform(r, OP_READ, 0, bytes(512));
    expect(r.backend.stats().read).toMatchObject({ operations: 100, latencyNs: 10_000 });
  });
});
