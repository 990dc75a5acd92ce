import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { OP_DISCARD, OP_READ, OP_WRITE, OP_WRITE_ZEROES } from '#src/block/driver';
import { MemoryDriver } from '#src/block/memory';
import { EINVAL, EIO, ENOSPC, ENOTSUP } from '#src/spec';
import { bytes, make, PAGE, perform, rig } from './rig.ts';
import { fillRead, ScriptDriver, success } from './script-driver.ts';

describe('short transfers', () => {
  for (const settles of ['inline', 'loop'] as const) {
    it(`${settles}: reads are carried on where they stopped`, async () => {
      const driver = new ScriptDriver(settles, (request) => {
        const part = Math.min(300, request.length);
        fillRead(request, request.offset, part);
        return part;
      });
      const r = await rig(driver);
      const target = new Uint8Array(1024);
      const { request } = make(r.lane, OP_READ, 512, target);
      const segments = [
        [700, 324],
        [0, 300],
        [400, 100],
        [510, 100],
      ] as const;
      request.vector.reset(target);
      for (const [start, length] of segments) request.vector.append(start, length);
      request.length = 824;
      expect(r.lane.submit(request)).toBe(0);
      expect(driver.asked.map(({ offset }) => offset)).toEqual([512, 812, 1112]);
      const got = segments.flatMap(([start, length]) => [
        ...target.subarray(start, start + length),
      ]);
      expect(got).toEqual([...bytes(824, 512)]);
      expect(target[505]).toBe(0);
    });

    it(`${settles}: writes are carried on where they stopped`, async () => {
      const driver = new ScriptDriver(settles, (request) => Math.min(200, request.length));
      const r = await rig(driver);
      expect(perform(r, OP_WRITE, 0, bytes(512))).toBe(0);
      expect(driver.asked.map((asked) => asked.offset)).toEqual([0, 200, 400]);
      const written = driver.asked.flatMap((asked) => asked.data.slice(0, 200));
      expect(written).toEqual([...bytes(512)]);
    });

    it(`${settles}: a read of 0 is the end of the file, the rest is zeroes`, async () => {
      let left = 700;
      const driver = new ScriptDriver(settles, (request) => {
        const part = Math.min(left, request.length);
        left -= part;
        fillRead(request, 1, part);
        return part;
      });
      const r = await rig(driver);
      const target = new Uint8Array(1024).fill(0xee);
      expect(perform(r, OP_READ, 0, target)).toBe(0);
      expect(target[699]).toBe((1 + 699) & 0xff);
      expect(target.subarray(700).every((byte) => byte === 0)).toBe(true);
      expect(driver.asked).toHaveLength(2);
    });

    it(`${settles}: a write of 0 bytes is ENOSPC, not an endless loop`, async () => {
      const r = await rig(new ScriptDriver(settles, () => 0));
      expect(perform(r, OP_WRITE, 0, bytes(512))).toBe(-ENOSPC);
    });

    it(`${settles}: more than was asked for is EIO`, async () => {
      const r = await rig(new ScriptDriver(settles, (request) => request.length + 1));
      expect(perform(r, OP_WRITE, 0, bytes(512))).toBe(-EIO);
      expect(perform(r, OP_READ, 0, bytes(512))).toBe(-EIO);
    });
  }

  it('in blocks: an odd count is the end of the file and is not carried on', async () => {
    const driver = new ScriptDriver('inline', (request) => {
      fillRead(request, 1, 100);
      return 100;
    });
    driver.alignment = 512;
    const r = await rig(driver);
    const target = new Uint8Array(1024).fill(0xee);
    expect(perform(r, OP_READ, 0, target)).toBe(0);
    expect(driver.asked).toHaveLength(1);
    expect(target[99]).toBe(100);
    expect(target.subarray(100).every((byte) => byte === 0)).toBe(true);
  });

  it('what a driver throws is its errno, and kept', async () => {
    const full = Object.assign(new Error('no room'), { code: 'ENOSPC' });
    const driver = new ScriptDriver('inline', () => {
      throw full;
    });
    const { lane } = await rig(driver);
    const { request } = make(lane, OP_WRITE, 0, bytes(512));
    expect(lane.submit(request)).toBe(-ENOSPC);
    expect(request.error).toBe(full);
    expect(lane.inFlight).toBe(0);
  });

  it('a driver without DISCARD and WRITE_ZEROES is helped', async () => {
    const driver = new ScriptDriver('loop', (request) =>
      request.op >= OP_DISCARD ? -ENOTSUP : success(request),
    );
    driver.size = 2 ** 20;
    const r = await rig(driver);
    perform(r, OP_WRITE, 0, new Uint8Array(131_072).fill(0xff)); // the slot is not clean now
    driver.asked.length = 0;
    expect(perform(r, OP_DISCARD, 0, 512)).toBe(0);
    expect(perform(r, OP_WRITE_ZEROES, 512, 300_000)).toBe(0);
    const writes = driver.asked.slice(2);
    expect(writes.map(({ op, offset }) => [op, offset])).toEqual([
      [OP_WRITE, 512],
      [OP_WRITE, 512 + 131_072],
      [OP_WRITE, 512 + 262_144],
    ]);
    expect(writes.flatMap(({ data }) => data).every((byte) => byte === 0)).toBe(true);
    expect(writes.reduce((sum, { length }) => sum + length, 0)).toBe(300_000);
  });
});

describe('aligned drivers (O_DIRECT)', () => {
  it('guest memory that is aligned is passed on; other memory is not', async () => {
    const driver = new ScriptDriver('inline');
    driver.alignment = 512;
    const { lane, core } = await rig(driver);
    for (const [start, direct] of [
      [PAGE, true],
      [PAGE + 512, true],
      [PAGE + 256, false],
    ] as const) {
      const { request } = make(lane, OP_READ, 0, 512);
      request.vector.reset(core.ramU8);
      request.vector.append(start, 512);
      driver.answer = (part) => {
        expect(part.vector.bytes.buffer === core.memory.buffer).toBe(direct);
        expect((part.vector.bytes.byteOffset + part.vector.starts[0]!) % 512).toBe(0);
        fillRead(part, 9);
        return part.length;
      };
      expect(lane.submit(request)).toBe(0);
      expect(core.ramU8[start + 511]).toBe((9 + 511) & 0xff);
    }
  });

  it('segments of odd length are bounced, and so is an array of somebody’s', async () => {
    const driver = new ScriptDriver('inline', (request) => {
      expect(request.vector.count).toBe(1);
      fillRead(request, 9);
      return request.length;
    });
    driver.alignment = 512;
    const { lane, core } = await rig(driver);
    const { request } = make(lane, OP_READ, 0, 512);
    request.vector.reset(core.ramU8);
    request.vector.append(PAGE, 100);
    request.vector.append(PAGE + 512, 412);
    expect(lane.submit(request)).toBe(0);
    expect(core.ramU8[PAGE + 512]).toBe(109);
    const array = new Uint8Array(512);
    expect(lane.submit(make(lane, OP_READ, 0, array).request)).toBe(0);
    expect(array[0]).toBe(9);
  });

  it('an offset or length that is no multiple is EINVAL', async () => {
    const driver = new ScriptDriver('inline');
    driver.alignment = 512;
    const r = await rig(driver);
    expect(perform(r, OP_READ, 100, bytes(512))).toBe(-EINVAL);
    expect(perform(r, OP_READ, 0, bytes(100))).toBe(-EINVAL);
    expect(driver.asked).toEqual([]);
  });
});

describe('memory that grows in the middle of a transfer', () => {
  it('the rest of a short read goes where guest RAM is now', async () => {
    const driver = new ScriptDriver('inline');
    const { lane, core } = await rig(driver);
    driver.answer = (part) => {
      fillRead(part, part.offset, 512);
      if (part.offset === 0) core.memory.grow(1);
      return 512;
    };
    const { request } = make(lane, OP_READ, 0, 1024);
    request.vector.reset(core.ramU8);
    request.vector.append(2 * PAGE, 1024);
    expect(lane.submit(request)).toBe(0);
    expect([core.ramU8[2 * PAGE + 1], core.ramU8[2 * PAGE + 513]]).toEqual([1, 1]);
  });
});

describe('memory disk through a lane', () => {
  for (const engine of ['wasm', 'js'] as const) {
    it(`${engine}: a write that makes the memory grow is written whole, and reads back`, async () => {
      const core = await openCore({ engine, ramBytes: 48 * PAGE });
      const r = await rig(new MemoryDriver(core, 2 ** 30), {}, core);
      const length = 40 * PAGE;
      const before = core.memory.buffer.byteLength;
      const region = core.regionList[0]!.offset;
      core.ramU8.fill(0x5a, region, region + length);
      const write = make(r.lane, OP_WRITE, 512, length);
      write.request.vector.reset(core.ramU8);
      write.request.vector.append(region, 1024);
      write.request.vector.append(region + 2048, length - 1024);
      expect(r.lane.submit(write.request)).toBe(0);
      expect(core.memory.buffer.byteLength).toBeGreaterThan(before);
      const back = new Uint8Array(length);
      expect(perform(r, OP_READ, 512, back)).toBe(0);
      expect(back.subarray(0, length - 1024).every((byte) => byte === 0x5a)).toBe(true);
    });
  }
});
