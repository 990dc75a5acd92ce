import { describe, expect, it } from 'vitest';
import { DirectBatch, LONG_WAY } from '#src/block/direct-batch';
import { OP_READ, OP_WRITE, PENDING, REQ_FUA, type RequestTable } from '#src/block/driver';
import { EAGAIN, EIO, EPERM } from '#src/spec';
import { PAGE, rig } from './rig.ts';
import { fillRead, ScriptDriver } from './script-driver.ts';

/** An address in guest RAM, which begins behind the core's first page. */
const RAM = PAGE + 4096;

/** A batch of `count` requests of 512 bytes from sector 0 on, into guest RAM. */
function batchOf(count: number): DirectBatch {
  const batch = new DirectBatch(count);
  for (let i = 0; i < count; i++) batch.add(i, i * 512, RAM + i * 512, 512);
  return batch;
}

/** A driver with a loop of its own, which answers with `answers` and remembers what it did. */
class LoopDriver extends ScriptDriver {
  readonly done: [op: number, offset: number, start: number, length: number][] = [];
  answers: (number | undefined)[] = [];
  between = (_done: number) => {};

  submitAll(
    op: number,
    { count, offsets, starts, lengths, results }: RequestTable,
    bytes: Uint8Array,
    words: Uint32Array,
    gate: number,
  ): number {
    for (let i = 0; i < count; i++) {
      if (Atomics.load(words, gate) !== 0) return i;
      this.done.push([op, offsets[i]!, starts[i]!, lengths[i]!]);
      bytes[starts[i]!] = 0x40 + i;
      const answer = this.answers.shift();
      results[i] = answer ?? lengths[i]!;
      this.between(this.done.length);
    }
    return count;
  }
}

const resultsOf = (batch: DirectBatch) => [...batch.results.subarray(0, batch.count)];

describe('the short way of a lane', () => {
  it('is open to drivers that settle inline and take any alignment', async () => {
    expect((await rig(new ScriptDriver('inline'))).lane.direct).toBe(true);
    expect((await rig(new ScriptDriver('loop'))).lane.direct).toBe(false);
    const aligned = new ScriptDriver('inline');
    aligned.alignment = 512;
    expect((await rig(aligned)).lane.direct).toBe(false);
  });

  it('BB-27 does each member, one after the other, into guest RAM, and counts them', async () => {
    const driver = new ScriptDriver('inline', (request) => {
      fillRead(request, request.offset / 512 + 1);
      clock.advance(10);
      return request.length;
    });
    const { lane, backend, core, clock } = await rig(driver);
    const batch = batchOf(3);
    lane.plug();
    lane.transfer(OP_READ, batch);
    lane.unplug();
    expect(resultsOf(batch)).toEqual([0, 0, 0]);
    expect(driver.asked.map(({ offset, length }) => [offset, length])).toEqual([
      [0, 512],
      [512, 512],
      [1024, 512],
    ]);
    expect([0, 1, 2].map((i) => core.ramU8[RAM + i * 512])).toEqual([1, 2, 3]);
    const { read } = backend.stats();
    expect([read.operations, read.bytes]).toEqual([3, 1536]);
    expect(read.latencyNs).toBe(30);
  });

  it('BB-2 needs the gate: outside of plug, and at a closed gate, nothing reaches the driver', async () => {
    const driver = new ScriptDriver('inline');
    const { lane, backend } = await rig(driver);
    const batch = batchOf(2);
    lane.transfer(OP_READ, batch);
    backend.drainedBegin();
    lane.plug();
    lane.transfer(OP_READ, batch);
    expect(resultsOf(batch)).toEqual([LONG_WAY, LONG_WAY]);
    lane.unplug();
    backend.drainedEnd();
    expect(driver.asked).toEqual([]);
  });

  it('stops where the gate closes: the rest is told so', async () => {
    const driver = new ScriptDriver('inline');
    const { lane, backend } = await rig(driver);
    driver.answer = (request) => {
      if (request.offset === 512) backend.drainedBegin();
      return request.length;
    };
    const batch = batchOf(4);
    lane.plug();
    lane.transfer(OP_READ, batch);
    lane.unplug();
    expect(resultsOf(batch)).toEqual([0, 0, -EAGAIN, -EAGAIN]);
    expect([driver.asked.length, lane.inFlight, backend.stats().failed]).toEqual([2, 0, 0]);
    backend.drainedEnd();
  });

  it('BB-4 leaves what lies beyond the end to the long way, and what ends there not', async () => {
    const driver = new ScriptDriver('inline', undefined, 1024);
    const { lane } = await rig(driver);
    const batch = new DirectBatch(3);
    batch.add(0, 512, RAM, 512);
    batch.add(1, 512, RAM, 513);
    batch.add(2, 1024, RAM, 512);
    lane.plug();
    lane.transfer(OP_READ, batch);
    lane.unplug();
    expect(resultsOf(batch)).toEqual([0, LONG_WAY, LONG_WAY]);
    expect(driver.asked).toHaveLength(1);
  });

  it('tells errors, counts them, and leaves short transfers to the long way', async () => {
    const answers = [512, 0, 511, -EPERM, -EAGAIN, PENDING];
    const driver = new ScriptDriver('inline', () => {
      const answer = answers.shift();
      if (answer === undefined) throw Object.assign(new Error('worn out'), { code: 'EIO' });
      return answer;
    });
    const { lane, backend } = await rig(driver);
    const batch = batchOf(7);
    lane.plug();
    lane.transfer(OP_READ, batch);
    lane.unplug();
    expect(resultsOf(batch)).toEqual([0, LONG_WAY, LONG_WAY, -EPERM, -EIO, -EIO, -EIO]);
    const { failed, read } = backend.stats();
    expect([failed, read.operations]).toEqual([4, 1]);
  });

  it('BB-21 passes FUA on if the driver can, and goes the long way if not', async () => {
    const driver = new ScriptDriver('inline');
    const { lane, backend } = await rig(driver);
    const write = () => {
      const batch = batchOf(1);
      lane.plug();
      lane.transfer(OP_WRITE, batch);
      lane.unplug();
      return resultsOf(batch)[0];
    };
    backend.writeCache = true;
    expect([write(), driver.asked.at(-1)?.flags]).toEqual([0, 0]);
    backend.writeCache = false;
    expect([write(), driver.asked.at(-1)?.flags]).toEqual([0, REQ_FUA]);
    driver.fua = false;
    expect([write(), driver.asked.length]).toEqual([LONG_WAY, 2]);
  });

  it('BB-22 leaves writes of a read-only disk to the long way', async () => {
    const driver = new ScriptDriver('inline');
    driver.readOnly = true;
    const { lane } = await rig(driver);
    const batch = batchOf(1);
    lane.plug();
    lane.transfer(OP_WRITE, batch);
    expect([resultsOf(batch), driver.asked]).toEqual([[LONG_WAY], []]);
    lane.transfer(OP_READ, batch);
    lane.unplug();
    expect(resultsOf(batch)).toEqual([0]);
  });
});

describe('the short way through a loop of the driver', () => {
  const transfer = (
    { lane }: Awaited<ReturnType<typeof rig>>,
    op: typeof OP_READ | typeof OP_WRITE,
    batch: DirectBatch,
  ) => {
    lane.plug();
    lane.transfer(op, batch);
    lane.unplug();
    return resultsOf(batch);
  };

  it('BB-27 one call does all members, in guest RAM, and they are counted', async () => {
    const driver = new LoopDriver();
    const rigged = await rig(driver);
    expect(transfer(rigged, OP_READ, batchOf(2))).toEqual([0, 0]);
    expect(driver.done).toEqual([
      [OP_READ, 0, RAM, 512],
      [OP_READ, 512, RAM + 512, 512],
    ]);
    expect([rigged.core.ramU8[RAM], rigged.core.ramU8[RAM + 512]]).toEqual([0x40, 0x41]);
    const { read } = rigged.backend.stats();
    expect([read.operations, read.bytes, driver.asked.length]).toEqual([2, 1024, 0]);
  });

  it('BB-2 where it met a closed gate, the rest is told so', async () => {
    const driver = new LoopDriver();
    const rigged = await rig(driver);
    driver.between = (done) => {
      if (done === 2) rigged.backend.drainedBegin();
    };
    expect(transfer(rigged, OP_READ, batchOf(4))).toEqual([0, 0, -EAGAIN, -EAGAIN]);
    const { read, failed } = rigged.backend.stats();
    expect([driver.done.length, read.operations, failed]).toEqual([2, 2, 0]);
    rigged.backend.drainedEnd();
  });

  it('what it answers is read as an answer of `submit` is', async () => {
    const driver = new LoopDriver();
    driver.answers = [512, 0, 511, -EPERM, -EAGAIN, PENDING, Number.NaN];
    const rigged = await rig(driver);
    expect(transfer(rigged, OP_READ, batchOf(7))).toEqual([
      0,
      LONG_WAY,
      LONG_WAY,
      -EPERM,
      -EIO,
      -EIO,
      LONG_WAY,
    ]);
    const { failed, read } = rigged.backend.stats();
    expect([failed, read.operations]).toEqual([3, 1]);
  });

  it('BB-4 a batch that goes beyond the end is not for it, one that ends there is', async () => {
    const driver = new LoopDriver('inline', undefined, 1024);
    const rigged = await rig(driver);
    expect(transfer(rigged, OP_READ, batchOf(2))).toEqual([0, 0]);
    expect([driver.done.length, driver.asked.length]).toEqual([2, 0]);
    expect(transfer(rigged, OP_READ, batchOf(3))).toEqual([0, 0, LONG_WAY]);
    expect([driver.done.length, driver.asked.length]).toEqual([2, 2]);
  });

  it('BB-21 nor is a write that must be durable', async () => {
    const driver = new LoopDriver();
    const rigged = await rig(driver);
    rigged.backend.writeCache = false;
    expect(transfer(rigged, OP_WRITE, batchOf(1))).toEqual([0]);
    expect([driver.done.length, driver.asked.at(-1)?.flags]).toEqual([0, REQ_FUA]);
    rigged.backend.writeCache = true;
    expect(transfer(rigged, OP_WRITE, batchOf(1))).toEqual([0]);
    expect(driver.done).toEqual([[OP_WRITE, 0, RAM, 512]]);
  });

  it('a batch that is used again has forgotten how far the last one went', async () => {
    const driver = new LoopDriver('inline', undefined, 1024);
    const rigged = await rig(driver);
    const batch = batchOf(3);
    transfer(rigged, OP_READ, batch);
    batch.clear();
    batch.add(0, 0, RAM, 512);
    expect([transfer(rigged, OP_READ, batch), driver.done.length]).toEqual([[0], 1]);
  });
});
