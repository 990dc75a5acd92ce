/** Requests smaller than the disk's blocks, by read-modify-write, with others that overlap (BB-23). */
import { describe, expect, it } from 'vitest';
import {
  type BlockRequest,
  OP_DISCARD,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
} from '#src/block/driver';
import { OptionError } from '#src/block/error';
import type { BackendLane } from '#src/block/lane';
import { LOCKS } from '#src/block/range-locks';
import { registerDriver } from '#src/block/registry';
import { ECANCELED, EIO } from '#src/spec';
import { bytes, type Done, make, perform, rig } from './rig.ts';
import { ScriptDriver, success } from './script-driver.ts';
import { twoThreads } from './second-thread.ts';

const BLOCK = 4096;
const SIZE = 128 * BLOCK;

/** A disk of 4 KiB blocks that keeps what is written, and refuses anything smaller. */
class LargeBlocks extends ScriptDriver {
  readonly disk: Uint8Array;
  readonly share = { driver: 'large' };

  constructor(later = false, disk = new Uint8Array(SIZE)) {
    super(later ? 'loop' : 'inline', undefined, SIZE);
    this.disk = disk;
    this.alignment = BLOCK;
    this.answer = later ? () => PENDING : (request) => this.carryOut(request);
  }

  carryOut(request: BlockRequest): number {
    const { op, offset, length, vector } = request;
    if (offset % BLOCK !== 0 || length % BLOCK !== 0) throw new Error('not in blocks');
    if (op === OP_WRITE_ZEROES) this.disk.fill(0, offset, offset + length);
    if (op !== OP_READ && op !== OP_WRITE) return 0;
    let at = offset;
    for (let i = 0; i < vector.count; i++) {
      const start = vector.starts[i]!;
      const part = vector.bytes.subarray(start, start + vector.lengths[i]!);
      if (op === OP_READ) part.set(this.disk.subarray(at, at + part.length));
      else this.disk.set(part, at);
      at += part.length;
    }
    return success(request);
  }

  override settle(): void {
    super.settle(this.carryOut(this.pending[0]!));
  }
}

const setup = (driver: LargeBlocks) => rig(driver, { readModifyWrite: true, bounceBytes: 65_536 });

function start(
  lane: BackendLane,
  op: typeof OP_READ | typeof OP_WRITE,
  at: number,
  data: Uint8Array,
) {
  const { request, done } = make(lane, op, at, data);
  const result = lane.submit(request);
  return { request, done, result };
}

describe('blocks larger than requests', () => {
  it('BB-23 any range reads and writes as on a disk of bytes', async () => {
    const driver = new LargeBlocks();
    const r = await setup(driver);
    const model = new Uint8Array(SIZE);
    let state = 1;
    const random = (n: number) => (state = (state * 48271) % 2147483647) % n;
    for (let i = 0; i < 300; i++) {
      const offset = random(SIZE - 1);
      const length = 1 + random(Math.min(SIZE - offset, i % 10 === 0 ? 150_000 : 9000));
      const data = bytes(length, i);
      if (i % 3 === 0) {
        expect(perform(r, OP_READ, offset, data)).toBe(0);
        expect(Buffer.compare(data, model.subarray(offset, offset + length))).toBe(0);
      } else if (i % 7 === 0) {
        expect(perform(r, OP_WRITE_ZEROES, offset, length)).toBe(0);
        model.fill(0, offset, offset + length);
      } else {
        expect(perform(r, OP_WRITE, offset, data)).toBe(0);
        model.set(data, offset);
      }
    }
    expect(Buffer.compare(driver.disk, model)).toBe(0);
    expect(r.lane.inFlight).toBe(0);
  });

  it('BB-23 reads only the blocks that a write covers in part', async () => {
    const driver = new LargeBlocks();
    const r = await setup(driver);
    const asked = () =>
      driver.asked.splice(0).map(({ op, offset, length }) => [op, offset, length]);
    perform(r, OP_WRITE, BLOCK, bytes(BLOCK));
    expect(asked()).toEqual([[OP_WRITE, BLOCK, BLOCK]]);
    perform(r, OP_WRITE, BLOCK - 1, bytes(1));
    expect(asked()).toEqual([
      [OP_READ, 0, BLOCK],
      [OP_WRITE, 0, BLOCK],
    ]);
    perform(r, OP_WRITE, BLOCK, bytes(BLOCK + 1));
    expect(asked()).toEqual([
      [OP_READ, 2 * BLOCK, BLOCK],
      [OP_WRITE, BLOCK, 2 * BLOCK],
    ]);
    perform(r, OP_WRITE, 1, bytes(2 * BLOCK));
    expect(asked()).toEqual([
      [OP_READ, 0, BLOCK],
      [OP_READ, 2 * BLOCK, BLOCK],
      [OP_WRITE, 0, 3 * BLOCK],
    ]);
    perform(r, OP_DISCARD, 1, 3 * BLOCK);
    perform(r, OP_DISCARD, 1, BLOCK);
    expect(asked()).toEqual([[OP_DISCARD, BLOCK, 2 * BLOCK]]);
  });

  it('BB-23 only if the backend was asked to', async () => {
    await expect(rig(new LargeBlocks())).rejects.toThrow(OptionError);
  });

  it('a block that cannot be read is not written, and its lock is free again', async () => {
    const driver = new LargeBlocks();
    const r = await setup(driver);
    driver.answer = () => -EIO;
    expect(perform(r, OP_WRITE, 1, bytes(5))).toBe(-EIO);
    expect(driver.asked).toHaveLength(1);
    driver.answer = (request) => driver.carryOut(request);
    expect(perform(r, OP_WRITE, 1, bytes(5))).toBe(0);
  });
});

describe('overlap', () => {
  it('BB-23 two writes into one block: the second waits for the first, both are there', async () => {
    const driver = new LargeBlocks(true);
    const { lane, context } = await setup(driver);
    const first = start(lane, OP_WRITE, 0, new Uint8Array(512).fill(1));
    const second = start(lane, OP_WRITE, 512, new Uint8Array(512).fill(2));
    expect([first.result, second.result, driver.asked.length]).toEqual([PENDING, PENDING, 1]);
    for (let i = 0; i < 20 && second.done.length === 0; i++) {
      if (driver.pending.length > 0) driver.settle();
      context.poll();
    }
    expect([first.done[0]!.result, second.done[0]!.result]).toEqual([0, 0]);
    expect([driver.disk[0], driver.disk[511], driver.disk[512]]).toEqual([1, 1, 2]);
  });

  it('BB-23 a write of the whole block waits, too; one elsewhere and a read do not', async () => {
    const driver = new LargeBlocks(true);
    const { lane } = await setup(driver);
    start(lane, OP_WRITE, 1, bytes(1));
    expect(driver.asked).toHaveLength(1);
    start(lane, OP_WRITE, 0, bytes(BLOCK));
    expect(driver.asked).toHaveLength(1);
    start(lane, OP_WRITE, 5 * BLOCK, bytes(BLOCK));
    start(lane, OP_READ, 0, bytes(BLOCK));
    expect(driver.asked).toHaveLength(3);
    start(lane, OP_WRITE, LOCKS * BLOCK, bytes(BLOCK)); // shares the lock of block 0
    expect(driver.asked).toHaveLength(3);
  });

  it('BB-23 across threads: who unlocks wakes the lane that waits', async () => {
    const disk = new Uint8Array(SIZE);
    const other = new LargeBlocks(false, disk);
    registerDriver('large', () => other);
    const main = new LargeBlocks(true, disk);
    const two = await twoThreads(main, { readModifyWrite: true, bounceBytes: 65_536 });
    const near = two.backend.openLane(two.context);
    const first = start(near, OP_WRITE, 0, new Uint8Array(512).fill(1));
    const second = start(two.lane, OP_WRITE, 512, new Uint8Array(512).fill(2));
    expect([first.result, second.result]).toEqual([PENDING, PENDING]);
    expect(other.asked).toEqual([]);
    while (two.thread.context.poll());
    expect(other.asked).toEqual([]); // waiting costs no turns
    for (let i = 0; i < 10 && first.done.length === 0; i++) {
      if (main.pending.length > 0) main.settle();
      two.context.poll();
    }
    while (two.thread.context.poll());
    expect(second.done[0]!.result).toBe(0);
    expect([disk[0], disk[511], disk[512]]).toEqual([1, 1, 2]);
    expect([near.inFlight, two.lane.inFlight]).toEqual([0, 0]);
  });

  it('BB-23 a thread that dies leaves no block locked, and who waits for one goes on', async () => {
    const disk = new Uint8Array(SIZE);
    registerDriver('large-dies', () => new LargeBlocks(true, disk));
    const main = Object.assign(new LargeBlocks(false, disk), { share: { driver: 'large-dies' } });
    const two = await twoThreads(main, { readModifyWrite: true, bounceBytes: 65_536 });
    expect(start(two.lane, OP_WRITE, 0, new Uint8Array(512).fill(1)).result).toBe(PENDING);
    const near = two.backend.openLane(two.context);
    const { done } = start(near, OP_WRITE, 512, new Uint8Array(512).fill(2));
    while (two.context.poll());
    expect(done).toEqual([]);
    const died = Object.assign(new Error('it died'), { code: 'EOWNERDEAD' });
    two.thread.call = () => Promise.reject(died);
    two.thread.post('died', {});
    await null;
    while (two.context.poll());
    expect([done.length, disk[0], disk[512]]).toEqual([1, 0, 2]);
    await two.remote.close();
    near.close();
    await two.backend.close();
  });

  it('BB-23 a whole block that waited is written from memory as it is by then', async () => {
    const driver = new LargeBlocks();
    const slow = Object.assign(driver, { settles: 'word' as const });
    let first: BlockRequest | null = null;
    driver.answer = (request) => {
      if (first || request.op !== OP_READ) return driver.carryOut(request);
      first = request;
      return PENDING;
    };
    const { lane, context, core } = await setup(slow);
    start(lane, OP_WRITE, 1, bytes(1));
    const { done } = start(lane, OP_WRITE, 0, new Uint8Array(BLOCK).fill(7));
    core.allocate(8 * 2 ** 20); // the memory grows, and has another buffer
    first!.settle(BLOCK);
    while (context.poll());
    expect([done.length, done[0]?.result, driver.disk[0]]).toEqual([1, 0, 7]);
  });

  it('BB-23 BB-5 a drain waits for those that wait for a block', async () => {
    const driver = new LargeBlocks(true);
    const { lane, context, backend } = await setup(driver);
    const done: Done[][] = [];
    for (let i = 0; i < 4; i++) done.push(start(lane, OP_WRITE, i * 512, bytes(512)).done);
    const drained = backend.drain();
    for (let i = 0; i < 40; i++) {
      if (driver.pending.length > 0) driver.settle();
      context.poll();
    }
    await drained;
    expect(done.map((one) => one.length)).toEqual([1, 1, 1, 1]);
    lane.close();
  });

  it('BB-25 one that waits for a block is cancelled at once', async () => {
    const driver = new LargeBlocks(true);
    const { lane, context } = await setup(driver);
    const first = start(lane, OP_WRITE, 0, bytes(512));
    const second = start(lane, OP_WRITE, 512, bytes(512));
    second.request.cancel();
    context.poll();
    expect([second.done.length, first.done.length]).toEqual([1, 0]);
  });

  it('BB-25 the disk is told that a part of one, or one that went through, is unwanted', async () => {
    const driver = new LargeBlocks(true);
    const cancel = (request: BlockRequest) => {
      driver.pending.splice(driver.pending.indexOf(request), 1);
      request.settle(-ECANCELED);
    };
    const { lane, context } = await setup(Object.assign(driver, { cancel }));
    const part = start(lane, OP_WRITE, 1, bytes(1));
    const whole = start(lane, OP_READ, BLOCK, bytes(BLOCK));
    expect(driver.pending).toHaveLength(2);
    part.request.cancel();
    whole.request.cancel();
    while (context.poll());
    expect([part.done[0]?.result, whole.done[0]?.result]).toEqual([-ECANCELED, -ECANCELED]);
    expect([driver.pending.length, driver.asked.length]).toEqual([0, 2]);
    const next = start(lane, OP_WRITE, 0, bytes(BLOCK));
    expect(driver.pending).toHaveLength(1); // its lock was free
    driver.settle();
    while (context.poll());
    expect(next.done[0]?.result).toBe(0);
  });
});
