import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { Clocks, ManualClock } from '#src/aio/clock';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import {
  type BlockDriver,
  type BlockOp,
  type BlockRequest,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  PENDING,
} from '#src/block/driver';
import { OptionError } from '#src/block/error';
import { SegmentVector } from '#src/block/io-vector';
import { openDriver } from '#src/block/registry';
import { openThrottle, type ThrottleDriver, type ThrottleLimits } from '#src/block/throttle';
import { Core } from '#src/engine/core';
import { ScriptDriver } from './script-driver.ts';
import { MIB } from './second-thread.ts';

const SECOND = 1e9;
const core = await openCore({ shared: true, maxBytes: 64 * MIB });

/** A throttle in a context whose time a test moves. */
function throttle(limits: ThrottleLimits, file: BlockDriver = new ScriptDriver(), on: Core = core) {
  const clock = new ManualClock();
  const virtual = new ManualClock();
  const clocks = new Clocks({ realtime: clock, virtual });
  const context = new AioContext(on, { sleeper: 'hook', clocks });
  const disk = openThrottle(on, { file, ...limits }, { main: true, context }) as ThrottleDriver;
  /** Lets time go by, in steps of a millisecond, on both clocks. */
  const pass = (ns: number) => {
    for (let left = ns; left > 0; left -= 1e6) {
      clock.advance(Math.min(left, 1e6));
      virtual.advance(Math.min(left, 1e6));
      context.poll();
    }
  };
  return { clock, virtual, context, disk, file: file as ScriptDriver, pass };
}

interface Sent {
  readonly request: BlockRequest;
  /** Undefined while it waits. */
  result: number | undefined;
}

function send(disk: BlockDriver, op: BlockOp = OP_READ, length = 512, offset = 0): Sent {
  const vector = new SegmentVector(new Uint8Array(length));
  if (op <= OP_WRITE) vector.append(0, length);
  const request = { op, offset, length, flags: 0, vector, settle };
  const sent: Sent = { request, result: undefined };
  function settle(result: number): void {
    expect(sent.result).toBe(undefined);
    sent.result = result;
  }
  const result = disk.submit(request);
  if (result !== PENDING) sent.result = result;
  return sent;
}

const ended = (list: readonly Sent[]) => list.filter(({ result }) => result !== undefined).length;

describe('throttle: rates', () => {
  it.each([
    [{ 'iops-total': 100 }, OP_READ, 512],
    [{ 'iops-read': 100 }, OP_READ, 512],
    [{ 'iops-write': 100 }, OP_WRITE, 512],
    [{ 'iops-total': 100 }, OP_DISCARD, 512],
    [{ 'bps-total': 102_400 }, OP_READ, 1024],
    [{ 'bps-read': 102_400 }, OP_READ, 1024],
    [{ 'bps-write': '100k' }, OP_WRITE, 1024],
  ] as const)(
    'BB-28 %o lets 100 a second through, after a tenth of that at once',
    (limits, op, length) => {
      const t = throttle(limits);
      const sent = Array.from({ length: 400 }, () => send(t.disk, op, length));
      expect(ended(sent)).toBe(11); // until the bucket is fuller than a tenth of a second's
      t.pass(SECOND);
      expect(ended(sent)).toBe(111);
      t.pass(2 * SECOND);
      expect(ended(sent)).toBe(311);
      void t.disk.close();
    },
  );

  it('a limit of writes leaves reads alone, and the other way round', () => {
    const t = throttle({ 'iops-write': 10 });
    const reads = Array.from({ length: 50 }, () => send(t.disk, OP_READ));
    const writes = Array.from({ length: 50 }, () => send(t.disk, OP_WRITE));
    expect([ended(reads), ended(writes)]).toEqual([50, 2]);
    const u = throttle({ 'bps-read': 5120 });
    const others = [OP_READ, OP_WRITE].map((op) =>
      Array.from({ length: 50 }, () => send(u.disk, op as BlockOp)),
    );
    expect(others.map(ended)).toEqual([2, 50]);
    for (const { disk } of [t, u]) void disk.close();
  });

  it('a total counts reads and writes together', () => {
    const t = throttle({ 'iops-total': 20 });
    const sent = [OP_READ, OP_WRITE, OP_READ, OP_WRITE].map((op) => send(t.disk, op as BlockOp));
    expect(ended(sent)).toBe(3);
    void t.disk.close();
  });

  it('a flush never waits', () => {
    const t = throttle({ 'iops-total': 1, 'bps-total': 1 });
    for (let i = 0; i < 3; i++) send(t.disk);
    expect(send(t.disk, OP_FLUSH, 0).result).toBe(0);
    expect(t.disk.waiting).toBe(2);
    void t.disk.close();
  });

  it('iops-size: a request of more bytes counts as several', () => {
    const t = throttle({ 'iops-total': 100, 'iops-size': 4096 });
    const small = send(t.disk, OP_READ, 4096);
    const large = send(t.disk, OP_READ, 4096 * 20);
    const next = send(t.disk, OP_READ, 512);
    expect([small.result, large.result, next.result]).toEqual([4096, 81_920, undefined]);
    t.pass(0.109 * SECOND); // 21 in the bucket, 10 allowed
    expect(next.result).toBe(undefined);
    t.pass(0.001 * SECOND);
    expect(next.result).toBe(512);
    void t.disk.close();
  });

  it('without limits nothing waits', () => {
    const t = throttle({});
    expect(ended(Array.from({ length: 1000 }, () => send(t.disk)))).toBe(1000);
    void t.disk.close();
  });
});

describe('throttle: bursts', () => {
  it('-max lets as many come at once', () => {
    const t = throttle({ 'iops-total': 10, 'iops-total-max': 50 });
    const sent = Array.from({ length: 100 }, () => send(t.disk));
    expect(ended(sent)).toBe(51);
    t.pass(SECOND);
    expect(ended(sent)).toBe(61);
    void t.disk.close();
  });

  it('-max-length lets the burst go on for seconds, at its rate', () => {
    const t = throttle({ 'iops-total': 10, 'iops-total-max': 50, 'iops-total-max-length': 4 });
    const sent = Array.from({ length: 500 }, () => send(t.disk));
    expect(ended(sent)).toBe(6); // a tenth of the burst rate
    t.pass(SECOND);
    expect(ended(sent)).toBe(56);
    t.pass(3 * SECOND);
    expect(ended(sent)).toBe(206);
    t.pass(4 * SECOND); // 200 units, leaking 10 a second, are used up in the fifth
    const after = ended(sent);
    t.pass(2 * SECOND);
    expect(ended(sent) - after).toBe(20);
    void t.disk.close();
  });

  it('a bucket that leaked may burst again', () => {
    const t = throttle({ 'iops-total': 10, 'iops-total-max': 50 });
    for (let i = 0; i < 51; i++) send(t.disk);
    t.pass(5.1 * SECOND);
    expect(ended(Array.from({ length: 100 }, () => send(t.disk)))).toBe(51);
    void t.disk.close();
  });
});

describe('throttle: options', () => {
  const wrong: [Record<string, unknown>, string][] = [
    [{ 'iops-total': 10, 'iops-read': 5 }, 'iops-read'],
    [{ 'bps-total': 10, 'bps-write': 5 }, 'bps-write'],
    [{ 'iops-read': 10, 'iops-read-max': 20, 'iops-total': 5 }, 'iops-read'],
    [{ 'iops-total': 10, 'iops-total-max': 9 }, 'iops-total-max'],
    [{ 'iops-total-max': 9 }, 'iops-total-max'],
    [{ 'bps-read': 9, 'bps-read-max-length': 2 }, 'bps-read-max-length'],
    [{ 'bps-read': 9, 'bps-read-max': 9, 'bps-read-max-length': 0 }, 'bps-read-max-length'],
    [
      { 'bps-read': 1e12, 'bps-read-max': 1e12, 'bps-read-max-length': 1001 },
      'bps-read-max-length',
    ],
    [{ 'iops-size': 4096 }, 'iops-size'],
    [{ 'bps-total': 9, 'iops-size': 4096 }, 'iops-size'],
    [{ 'iops-total': -1 }, 'iops-total'],
    [{ 'iops-total': 1e15 + 1 }, 'iops-total'],
    [{ 'bps-write': 'many' }, 'bps-write'],
    [{ file: 7 }, 'file'],
    [{ iops: 7 }, 'throttle.iops'],
    [{ buckets: 7 }, 'buckets'],
  ];
  it.each(wrong)('%o is refused, and says what is allowed', (options, name) => {
    const context = new AioContext(core, { sleeper: 'hook' });
    const file = new ScriptDriver();
    const open = () => openThrottle(core, { file, ...options }, { main: true, context });
    expect(open).toThrow(OptionError);
    expect(open).toThrow(new RegExp(`^${name}: .* is not allowed; allowed: `));
    context.close();
  });

  it.each([
    { 'iops-total': 10, 'iops-total-max': 10 },
    { 'iops-total': 1e15 },
    { 'bps-read': 1e12, 'bps-read-max': 1e12, 'bps-read-max-length': 1000 },
    { 'bps-total': '1M', 'iops-read': 5, 'iops-size': '4k' },
  ])('%o is allowed, and stands in the limits', (options) => {
    const t = throttle(options as ThrottleLimits);
    const sizes: Record<string, number> = { '1M': MIB, '4k': 4096 };
    const expected = Object.entries(options).map(([name, n]) => [name, sizes[n] ?? n]);
    expect(t.disk.limits).toEqual(Object.fromEntries(expected));
    void t.disk.close();
  });

  it('without a context, whose timers it needs, it is refused', () => {
    const open = () => openThrottle(core, { file: new ScriptDriver() }, { main: true });
    expect(open).toThrow(/AioContext/);
  });

  it('is a filter: what the disk behind says is what it says', async () => {
    const t = throttle({ 'iops-total': 9 });
    Object.assign(t.file, { alignment: 4096, readOnly: true, fua: false });
    const { size, alignment, readOnly, fua, children, share } = t.disk;
    expect({ size, alignment, readOnly, fua }).toEqual({
      size: 65_536,
      alignment: 4096,
      readOnly: true,
      fua: false,
    });
    expect([children, share]).toEqual([[t.file], null]);
    expect([t.disk.truncate(512), t.file.size]).toEqual([0, 512]);
    await t.disk.close();
    expect(t.file.closed).toBe(true);
  });

  it('its thread may block, unless the disk behind settles through the JavaScript loop', () => {
    const all = ['inline', 'word', 'loop'] as const;
    const settles = all.map((kind) => throttle({}, new ScriptDriver(kind)).disk.settles);
    expect(settles).toEqual(['word', 'word', 'loop']);
  });
});

describe('throttle: who waits', () => {
  it('BB-28 goes first in, first out, each direction by itself', () => {
    const t = throttle({ 'iops-read': 10, 'iops-write': 20 });
    for (let i = 0; i < 8; i++) {
      send(t.disk, OP_READ, 512, i * 512);
      send(t.disk, OP_WRITE, 512, i * 512);
    }
    t.pass(SECOND);
    const order = (op: BlockOp) =>
      t.file.asked.filter((asked) => asked.op === op).map(({ offset }) => offset / 512);
    expect(order(OP_READ)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(order(OP_WRITE)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(t.disk.waiting).toBe(0);
    void t.disk.close();
  });

  it('BB-28 a new one does not overtake one whose time has come and who has not been served', () => {
    const t = throttle({ 'iops-total': 10 });
    for (let i = 0; i < 3; i++) send(t.disk, OP_READ, 512, i * 512);
    t.clock.advance(SECOND);
    send(t.disk, OP_READ, 512, 3 * 512);
    t.pass(SECOND);
    expect(t.file.asked.map(({ offset }) => offset / 512)).toEqual([0, 1, 2, 3]);
    void t.disk.close();
  });

  it('BB-28 a drained section lets all of them go at once, and nothing waits in it', () => {
    const t = throttle({ 'iops-total': 1 });
    const sent = Array.from({ length: 20 }, (_, i) => send(t.disk, i % 2 ? OP_READ : OP_WRITE));
    expect(ended(sent)).toBe(1);
    t.disk.drainedBegin();
    expect([ended(sent), t.disk.waiting]).toEqual([20, 0]);
    expect(send(t.disk).result).toBe(512);
    t.disk.drainedEnd();
    const later = send(t.disk);
    expect(later.result).toBe(undefined);
    t.pass(25 * SECOND); // what went in the section was counted
    expect(later.result).toBe(512);
    void t.disk.close();
  });

  it('BB-28 waits by the virtual clock while it runs: a machine that stands still lets none go', () => {
    const t = throttle({ 'iops-total': 10 });
    t.context.clocks.start();
    const sent = Array.from({ length: 12 }, () => send(t.disk));
    t.context.clocks.stop();
    t.pass(SECOND);
    expect(ended(sent)).toBe(2);
    t.context.clocks.start();
    t.pass(SECOND / 2);
    expect(ended(sent)).toBeGreaterThan(6);
    void t.disk.close();
  });

  it('without a machine, and for the host while the machine stands still, time goes by itself', () => {
    const t = throttle({ 'iops-total': 10 });
    t.context.clocks.start();
    for (let i = 0; i < 2; i++) send(t.disk);
    t.context.clocks.stop();
    const sent = send(t.disk);
    t.clock.advance(SECOND / 5);
    t.context.poll();
    expect(sent.result).toBe(512);
    void t.disk.close();
  });

  it('limits change while it runs, for those that wait, too', () => {
    const t = throttle({ 'iops-total': 1 });
    const sent = Array.from({ length: 40 }, () => send(t.disk));
    expect(ended(sent)).toBe(1);
    t.disk.setLimits({ 'iops-total': 100 });
    expect(ended(sent)).toBe(12);
    t.pass(SECOND / 10);
    expect(ended(sent)).toBe(22);
    expect(() => t.disk.setLimits({ 'iops-total': 5, 'iops-read': 5 })).toThrow(OptionError);
    expect(t.disk.limits).toEqual({ 'iops-total': 100 });
    t.disk.setLimits({});
    expect([ended(sent), t.disk.waiting]).toEqual([40, 0]);
    void t.disk.close();
  });

  it('BB-25 one that is cancelled ends once; the others keep their turns', () => {
    const t = throttle({ 'iops-total': 10 });
    const sent = Array.from({ length: 5 }, (_, i) => send(t.disk, OP_READ, 512, i * 512));
    t.disk.cancel(sent[2]!.request);
    expect(sent[2]!.result).toBe(-125);
    t.pass(SECOND);
    expect(sent.map(({ result }) => result)).toEqual([512, 512, -125, 512, 512]);
    void t.disk.close();
  });

  it('when the disk is closed they end with ECANCELED, and no timer is left', async () => {
    const t = throttle({ 'iops-total': 1 });
    const sent = Array.from({ length: 4 }, () => send(t.disk));
    await t.disk.close();
    expect(sent.map(({ result }) => result)).toEqual([512, -125, -125, -125]);
    t.context.close();
  });

  it('the disk behind may settle later, fail, or throw', () => {
    const t = throttle({ 'iops-total': 10 }, new ScriptDriver('word'));
    const sent = Array.from({ length: 4 }, () => send(t.disk));
    expect(t.file.pending.length).toBe(2);
    t.file.settle();
    t.file.settle(-5);
    t.pass(SECOND / 10);
    t.file.settle();
    t.file.answer = () => {
      throw Object.assign(new Error('gone'), { code: 'ENXIO' });
    };
    t.pass(SECOND / 10);
    expect(sent.map(({ result }) => result)).toEqual([512, -5, 512, -6]);
    void t.disk.close();
  });

  it('a view of core memory is taken anew: memory may grow while a request waits', async () => {
    const own = await openCore({ ramBytes: 65_536 });
    const t = throttle({ 'iops-total': 10 }, new ScriptDriver(), own);
    const address = own.allocate(512);
    for (let i = 0; i < 2; i++) send(t.disk);
    const vector = new SegmentVector(own.u8);
    vector.append(address, 512);
    const request = { op: OP_WRITE, offset: 0, length: 512, flags: 0, vector, settle: () => {} };
    expect(t.disk.submit(request as BlockRequest)).toBe(PENDING);
    own.u8[address] = 77;
    own.allocate(4 * MIB); // the old view is detached
    t.pass(SECOND);
    expect(t.file.asked.at(-1)!.data.length).toBe(512);
    expect(t.file.asked.at(-1)!.data[0]).toBe(77);
    void t.disk.close();
  });
});

describe('throttle: several threads', () => {
  async function two(limits: ThrottleLimits) {
    const file = await openDriver(core, { driver: 'null', options: { size: MIB } });
    const mine = throttle(limits, file);
    const other = await Core.attach(core.handle());
    const clocks = new Clocks({ realtime: new ManualClock(5e15) }); // threads' clocks differ
    const block = AioContext.allocate(core);
    const context = new AioContext(other, { sleeper: 'hook', clocks, block });
    const { options } = mine.disk.share!;
    const disk = (await openThrottle(other, options!, { main: false, context })) as ThrottleDriver;
    const pass = (ns: number) => {
      for (let left = ns; left > 0; left -= 1e6) {
        mine.pass(1e6);
        context.clocks.realtime.advance(1e6);
        context.poll();
      }
    };
    return { mine, disk, pass };
  }

  it('BB-28 share one set of buckets', async () => {
    const t = await two({ 'iops-total': 100 });
    const sent = Array.from({ length: 200 }, (_, i) => send(i % 2 ? t.disk : t.mine.disk));
    expect(ended(sent)).toBe(11);
    t.pass(SECOND);
    expect(ended(sent)).toBeGreaterThan(105);
    expect(ended(sent)).toBeLessThan(117);
    const parity = (odd: number) => ended(sent.filter((_, i) => i % 2 === odd));
    expect(parity(1)).toBeGreaterThan(20);
    expect(parity(0)).toBeGreaterThan(20);
    void t.disk.close();
    void t.mine.disk.close();
  });

  it('BB-28 a thread whose clock stood still for a while catches up with the others', async () => {
    const t = await two({ 'iops-total': 10 });
    send(t.disk);
    send(t.mine.disk);
    t.mine.pass(10 * SECOND);
    send(t.mine.disk);
    expect(send(t.disk).result).toBe(512);
    const sent = [send(t.disk), send(t.disk)];
    t.pass(SECOND / 4);
    expect(ended(sent)).toBe(2);
    void t.disk.close();
    void t.mine.disk.close();
  });

  it('limits that main changes count on the other thread, for what waits there, too', async () => {
    const t = await two({ 'iops-total': 1 });
    const sent = Array.from({ length: 30 }, () => send(t.disk));
    expect(ended(sent)).toBe(1);
    t.mine.disk.setLimits({ 'iops-total': 1000 });
    t.pass(SECOND / 10);
    expect(ended(sent)).toBe(30);
    void t.disk.close();
    void t.mine.disk.close();
  });

  it('a drained section of one thread is that of its own requests', async () => {
    const t = await two({ 'iops-total': 1 });
    const here = Array.from({ length: 5 }, () => send(t.mine.disk));
    const there = Array.from({ length: 5 }, () => send(t.disk));
    t.disk.drainedBegin();
    expect([ended(here), ended(there)]).toEqual([1, 5]);
    t.mine.disk.drainedBegin();
    expect(ended(here)).toBe(5);
    void t.disk.close();
    void t.mine.disk.close();
  });

  it('core memory is as before when it is closed', async () => {
    const before = core.allocatedBytes;
    const context = new AioContext(core, { sleeper: 'hook' });
    const options = { file: { driver: 'null' }, 'iops-total': 5 };
    const backend = await BlockBackend.open(core, context, { driver: 'throttle', options });
    await backend.io.read(0, new Uint8Array(512));
    await backend.close();
    context.close();
    expect(core.allocatedBytes).toBe(before);
  });
});

describe('throttle: under a backend', () => {
  it('BB-28 a drained section of the backend ends while requests are throttled', async () => {
    const context = new AioContext(core);
    const options = { file: { driver: 'memory', options: { size: MIB } }, 'iops-total': 1 };
    const backend = await BlockBackend.open(core, context, { driver: 'throttle', options });
    const reads = Array.from({ length: 20 }, () => backend.io.read(0, new Uint8Array(512)));
    await backend.drained(() => {
      expect((backend.driver as ThrottleDriver).waiting).toBe(0);
    });
    await Promise.all(reads);
    const late = backend.io.read(0, new Uint8Array(512));
    expect((backend.driver as ThrottleDriver).waiting).toBe(1);
    backend.drainedBegin();
    await late;
    backend.drainedEnd();
    await backend.close();
    context.close();
  });
});
