import { describe, expect, it } from 'vitest';
import { OP_DISCARD, OP_FLUSH, OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import { LUN_F_TRAY_OPEN } from '#src/layout';
import { ECANCELED, EIO } from '#src/spec';
import { fillRead, ScriptDriver, success } from '../block/script-driver.ts';
import { type Answer, be, type Rig, read10, rig, run, submit, verdict, write10 } from './rig.ts';

const verdicts = ({ answers }: Answer) => answers.map(verdict);

/** Polls until nothing changes any more. */
function settleAll(r: Rig): void {
  for (let i = 0; i < 20; i++) r.context.poll();
}

describe('SC-2 SC-12 SC-13 requests and their answers', () => {
  it('SC-2 on the list while it is worked on, not afterwards', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    const first = submit(r, read10(0, 1), { in: 512 });
    const second = submit(r, read10(1, 1), { in: 512 });
    expect(r.unit.requests).toEqual([first.request, second.request]);
    expect([first.request.enqueued, r.unit.busy]).toEqual([true, 2]);
    driver.settle();
    r.context.poll();
    expect(r.unit.requests).toEqual([second.request]);
    expect(first.request.enqueued).toBe(false);
    driver.settle();
    r.context.poll();
    expect([r.unit.busy, verdicts(first), verdicts(second)]).toEqual([0, ['GOOD'], ['GOOD']]);
  });

  it('SC-2 requests come from a pool, and are not given back while a unit has them', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    const { request, answers } = submit(r, read10(0, 1), { in: 512 });
    expect(() => request.release()).toThrow('before it ended');
    expect(() => r.units.submit(request, 0, 0)).toThrow('twice');
    driver.settle();
    r.context.poll();
    expect(answers).toHaveLength(1);
    request.release();
    expect(() => request.release()).toThrow('twice');
    expect(r.units.request()).toBe(request);
    expect(r.units.request()).not.toBe(request);
  });

  it.each([
    ['more than data-in has', read10(0, 1), { in: 511 }, 'overrun'],
    ['all that data-in has', read10(0, 1), { in: 512 }, 'GOOD'],
    ['more than data-out has', write10(0, 1), { out: new Uint8Array(511) }, 'overrun'],
    ['a read with data-out', read10(0, 1), { out: new Uint8Array(512) }, 'overrun'],
    ['a write with data-in', write10(0, 1), { in: 512 }, 'overrun'],
    ['both ways', write10(0, 1), { out: new Uint8Array(512), in: 1 }, 'failure'],
    ['both ways for no data', [0], { out: [1], in: 1 }, 'failure'],
  ])('SC-12 %s', async (_name, cdb, data, expected) => {
    const r = await rig('hd');
    const answer = run(r, cdb, data);
    expect(verdict(answer)).toBe(expected);
    if (expected !== 'GOOD') expect([answer.residual, answer.sense]).toEqual([0, '']);
    expect(answer.buffers.untouched(expected === 'GOOD' ? 512 : 0)).toBe(true);
  });

  it('SC-13 one block into 4 KiB: 512 bytes are written, 3584 are left', async () => {
    const r = await rig('hd');
    const answer = run(r, read10(0, 1), { in: 4096 });
    expect([answer.moved, answer.residual]).toEqual([512, 3584]);
    expect(answer.buffers.untouched(512)).toBe(true);
  });

  it('SC-13 one block of 4 KiB of data-out: only that block is written', async () => {
    const r = await rig('hd');
    const answer = run(r, write10(0, 1), { out: new Uint8Array(4096).fill(9) });
    expect([answer.moved, answer.residual]).toEqual([512, 3584]);
    const bytes = new Uint8Array(1024);
    await r.backend.io.read(0, bytes);
    expect([bytes[511], bytes[512]]).toEqual([9, 0]);
  });

  it('SC-12 SC-13 the residual counts from the buffer, and is 0 beside sense', async () => {
    const r = await rig('hd');
    expect(run(r, [0], { in: 100 }).residual).toBe(100);
    const inquiry = run(r, [0x12, 0, 0, 0, 200], { in: 255 });
    expect([inquiry.moved, inquiry.residual]).toEqual([36, 219]);
    const wrong = run(r, read10(4000, 1), { in: 512 });
    expect([verdict(wrong), wrong.residual, wrong.moved]).toEqual(['5/21/00', 0, 0]);
  });

  it('SC-13 a residual of 4 GiB is 2^31 - 1, and never negative', async () => {
    const r = await rig('hd');
    const { request, answers } = submit(r, [0]);
    expect(answers).toHaveLength(1);
    request.release();
    const huge = r.units.request();
    huge.cdb.fill(0);
    huge.buffers = { ...huge.buffers, outBytes: 0, inBytes: 0xffff_ffff };
    let residual = -1;
    huge.done = (ended) => (residual = ended.residual);
    r.units.submit(huge, 0, 0);
    expect(residual).toBe(0x7fff_ffff);
  });
});

describe('SC-6 cancel', () => {
  it('SC-6 in the lane: one answer, when the driver lets go', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    const answer = submit(r, read10(0, 1), { in: 512 });
    r.unit.cancel(answer.request);
    expect([r.unit.requests.length, r.unit.busy, answer.request.enqueued]).toEqual([0, 1, false]);
    settleAll(r);
    expect(answer.answers).toEqual([]);
    driver.settle(-ECANCELED);
    settleAll(r);
    expect(verdicts(answer)).toEqual(['aborted']);
    expect([r.unit.busy, answer.answers[0]!.residual]).toEqual([0, 0]);
  });

  it('SC-6 twice, and once more after the answer: one answer', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    const answer = submit(r, read10(0, 1), { in: 512 });
    r.unit.cancel(answer.request);
    r.unit.cancel(answer.request, 'reset');
    driver.settle();
    settleAll(r);
    r.unit.cancel(answer.request);
    settleAll(r);
    expect(verdicts(answer)).toEqual(['aborted']);
  });

  it('SC-6 after the driver has settled, before the poll: still canceled, once', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    const answer = submit(r, write10(0, 1), { out: new Uint8Array(512) });
    driver.settle();
    r.unit.cancel(answer.request, 'reset');
    settleAll(r);
    expect(verdicts(answer)).toEqual(['reset']);
  });

  it('SC-6 after the answer: nothing', async () => {
    const r = await rig('hd');
    const answer = submit(r, read10(0, 1), { in: 512 });
    r.unit.cancel(answer.request);
    expect(verdicts(answer)).toEqual(['GOOD']);
  });

  it('SC-6 inside a driver’s cancel that settles at once: one answer', async () => {
    const driver = new ScriptDriver('word');
    const cancelled = Object.assign(driver, {
      cancel: (request: { settle(result: number): void }) => request.settle(-ECANCELED),
    });
    const r = await rig('hd', { driver: cancelled });
    const answer = submit(r, read10(0, 1), { in: 512 });
    r.unit.cancel(answer.request);
    settleAll(r);
    expect(verdicts(answer)).toEqual(['aborted']);
  });

  it('SC-6 parked at the gate: answered at once, and the disk never sees it', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    r.backend.drainedBegin();
    const parked = submit(r, read10(0, 1), { in: 512 });
    const other = submit(r, read10(1, 1), { in: 512 });
    expect(parked.answers).toEqual([]);
    r.unit.cancel(parked.request);
    expect(verdicts(parked)).toEqual(['aborted']);
    r.backend.drainedEnd();
    settleAll(r);
    expect([verdicts(parked), verdicts(other)]).toEqual([['aborted'], ['GOOD']]);
    expect(driver.asked.map(({ offset }) => offset)).toEqual([512]);
  });

  it('SC-6 kept by the error policy: answered at once, and not tried again', async () => {
    const driver = new ScriptDriver('inline', () => -EIO);
    const r = await stopping(driver);
    const failed = submit(r, write10(0, 1), { out: new Uint8Array(512) });
    expect(failed.answers).toEqual([]);
    r.unit.cancel(failed.request);
    expect(verdicts(failed)).toEqual(['aborted']);
    r.unit.restartFailed();
    expect(driver.asked).toHaveLength(1);
  });

  it('SD-17 SC-6 historic bug 17: one that waits for a bounce buffer is called back', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver, backend: { bounceSlots: 1 } });
    const first = submit(r, read10(0, 1), { in: 512 });
    const waiting = submit(r, read10(1, 1), { in: 512 });
    expect(driver.asked).toHaveLength(1);
    r.unit.cancel(waiting.request);
    settleAll(r);
    expect(verdicts(waiting)).toEqual(['aborted']);
    expect(waiting.buffers.untouched(0)).toBe(true);
    driver.settle();
    settleAll(r);
    expect([verdicts(first), r.unit.busy, driver.asked.length]).toEqual([['GOOD'], 0, 1]);
  });

  it('SC-6 one that fails after it was canceled asks no policy', async () => {
    const driver = new ScriptDriver('word');
    const r = await stopping(driver);
    const answer = submit(r, write10(0, 1), { out: new Uint8Array(512) });
    r.unit.cancel(answer.request);
    driver.settle(-EIO);
    settleAll(r);
    expect([verdicts(answer), r.failures, r.unit.busy]).toEqual([['aborted'], [], 0]);
  });

  it('SC-6 between two operations of a command: the next one is not begun', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    const out = [0, 38, 0, 32, 0, 0, 0, 0, ...range(0), ...range(1)];
    const answer = submit(r, unmap(out.length), { out });
    r.unit.cancel(answer.request);
    driver.settle();
    settleAll(r);
    expect([verdicts(answer), driver.asked.length]).toEqual([['aborted'], 1]);
  });

  it('SC-6 in its turn’s pause: answered at once', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    const ranges = Array.from({ length: 100 }, (_, i) => range(i));
    const out = [...be(1606, 2), ...be(1600, 2), 0, 0, 0, 0, ...ranges.flat()];
    const answer = submit(r, unmap(out.length), { out });
    expect(answer.answers).toEqual([]);
    const asked = driver.asked.length;
    expect(asked).toBeLessThan(100);
    r.unit.cancel(answer.request);
    settleAll(r);
    expect([verdicts(answer), driver.asked.length, r.unit.busy]).toEqual([['aborted'], asked, 0]);
  });

  it('SC-6 from inside an answer: those that are left, each once', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    const all = [0, 1, 2].map((lba) => submit(r, read10(lba, 1), { in: 512 }));
    const tell = all[0]!.request.done;
    all[0]!.request.done = (ended) => {
      tell(ended);
      r.unit.cancelAll('reset');
    };
    driver.settle();
    settleAll(r);
    driver.settle();
    driver.settle();
    settleAll(r);
    expect(all.map(verdicts)).toEqual([['GOOD'], ['reset'], ['reset']]);
  });

  it('SC-6 all at once, in every place', async () => {
    const driver = new ScriptDriver('word');
    driver.answer = (request) => (request.op === OP_WRITE ? -EIO : PENDING);
    const r = await stopping(driver);
    const pending = submit(r, read10(0, 1), { in: 512 });
    const failed = submit(r, write10(0, 1), { out: new Uint8Array(512) });
    r.backend.drainedBegin();
    const parked = submit(r, read10(1, 1), { in: 512 });
    expect(r.unit.requests.map(({ place }) => place)).toEqual(['lane', 'failed', 'parked']);
    r.unit.cancelAll();
    expect([verdicts(failed), verdicts(parked)]).toEqual([['aborted'], ['aborted']]);
    driver.settle();
    settleAll(r);
    expect([verdicts(pending), r.unit.busy]).toEqual([['aborted'], 0]);
    r.backend.drainedEnd();
    settleAll(r);
    expect(driver.asked).toHaveLength(2);
  });

  it('SC-6 abandoned: no byte of the buffers is touched, and each is answered', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    const read = submit(r, read10(0, 1), { in: 512 });
    const cancelled = submit(r, read10(1, 1), { in: 512 });
    r.unit.cancel(cancelled.request);
    r.unit.abandonAll();
    for (const request of driver.pending) fillRead(request, 1);
    driver.settle();
    driver.settle();
    settleAll(r);
    expect([verdicts(read), verdicts(cancelled)]).toEqual([['reset'], ['aborted']]);
    expect([read, cancelled].every(({ buffers }) => buffers.untouched(0))).toBe(true);
  });

  it('SC-6 behind a guard that says no: nothing is touched, and it is answered', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    let inside = 0;
    const guard = {
      enter: () => {
        inside += 1;
        return false;
      },
      leave: () => {
        inside -= 1;
      },
    };
    const read = submit(r, read10(0, 1), { in: 512 });
    read.request.io!.guard = guard;
    fillRead(driver.pending[0]!, 1);
    driver.settle();
    settleAll(r);
    expect([verdicts(read), read.buffers.untouched(0), inside]).toEqual([['reset'], true, 0]);
    r.backend.drainedBegin();
    const parked = submit(r, read10(0, 1), { in: 512 });
    parked.request.guard = guard;
    r.backend.drainedEnd();
    settleAll(r);
    expect([verdicts(parked), parked.buffers.untouched(0), inside]).toEqual([['reset'], true, 0]);
  });

  it('SC-6 of another unit’s request is refused', async () => {
    const one = await rig('hd');
    const other = await rig('hd');
    const { request } = submit(one, [0]);
    expect(() => other.unit.cancel(request)).toThrow('another unit');
  });
});

describe('the gate', () => {
  it('parks what meets a closed gate and goes on with it in order', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    r.backend.drainedBegin();
    const all = [3, 1, 2].map((lba) => submit(r, read10(lba, 1), { in: 512 }));
    expect(driver.asked).toEqual([]);
    expect(r.unit.requests.map(({ place }) => place)).toEqual(['parked', 'parked', 'parked']);
    r.backend.drainedEnd();
    settleAll(r);
    expect(all.map(verdicts)).toEqual([['GOOD'], ['GOOD'], ['GOOD']]);
    expect(driver.asked.map(({ offset }) => offset / 512)).toEqual([3, 1, 2]);
  });

  it('a command whose turn comes while the gate is closed waits for both', async () => {
    const driver = new ScriptDriver('inline');
    const r = await rig('hd', { driver });
    const ranges = Array.from({ length: 100 }, (_, i) => range(i));
    const out = [...be(1606, 2), ...be(1600, 2), 0, 0, 0, 0, ...ranges.flat()];
    const answer = submit(r, unmap(out.length), { out });
    const asked = driver.asked.length;
    r.backend.drainedBegin();
    settleAll(r);
    expect(driver.asked).toHaveLength(asked);
    r.backend.drainedEnd();
    settleAll(r);
    expect([verdicts(answer), driver.asked.length]).toEqual([['GOOD'], 100]);
    expect(driver.asked.map(({ offset }) => offset / 512)).toEqual(ranges.map((_, i) => i));
  });

  it('what has not begun sees medium and size as they are when the gate opens', async () => {
    const r = await rig('cd');
    r.backend.drainedBegin();
    const read = submit(r, read10(0, 1), { in: 2048 });
    r.words.flag(LUN_F_TRAY_OPEN, true);
    r.backend.drainedEnd();
    settleAll(r);
    expect(verdicts(read)).toEqual(['2/3a/00']);
  });

  it('a unit is not closed under its requests', async () => {
    const driver = new ScriptDriver('word');
    const r = await rig('hd', { driver });
    submit(r, read10(0, 1), { in: 512 });
    expect(() => r.units.unplug(0, 0)).toThrow('1 requests');
    driver.settle();
    settleAll(r);
    r.units.unplug(0, 0);
    expect(r.lane.onOpen.size).toBe(0);
  });
});

describe('SC-7 restart', () => {
  const commands = [
    ['a write', write10(2, 1), { out: new Uint8Array(512).fill(5) }, OP_WRITE],
    ['a read', read10(2, 1), { in: 512 }, OP_READ],
    ['SYNCHRONIZE CACHE', [0x35], {}, OP_FLUSH],
    [
      'UNMAP',
      [0x42, 0, 0, 0, 0, 0, 0, 0, 24],
      { out: [0, 22, 0, 16, 0, 0, 0, 0, ...range(7)] },
      OP_DISCARD,
    ],
  ] as const;

  it.each(commands)(
    'SC-7 %s that stopped the machine is tried again when it goes on',
    async (_n, cdb, data, op) => {
      const driver = new ScriptDriver('inline', () => -EIO);
      const r = await stopping(driver);
      const answer = submit(r, [...cdb], data);
      expect(r.failures.map(({ operation, errno, action }) => [operation, errno, action])).toEqual([
        [['read', 'write', 'flush', 'discard'][op], EIO, 'stop'],
      ]);
      expect([answer.answers, answer.request.place]).toEqual([[], 'failed']);
      driver.answer = success;
      r.unit.restartFailed();
      expect(verdicts(answer)).toEqual(['GOOD']);
      expect(driver.asked.map((asked) => asked.op)).toEqual([op, op]);
    },
  );

  it('SC-7 one without data is enqueued anew, others keep their place', async () => {
    const driver = new ScriptDriver('inline', () => -EIO);
    const r = await stopping(driver);
    const flush = submit(r, [0x35]);
    const write = submit(r, write10(0, 1), { out: new Uint8Array(512) });
    driver.answer = () => -EIO;
    r.unit.restartFailed();
    expect(r.unit.requests).toEqual([write.request, flush.request]);
    r.unit.cancelAll();
    expect([verdicts(flush), verdicts(write)]).toEqual([['aborted'], ['aborted']]);
  });

  it('SC-7 SD-5 an UNMAP begins anew with its first range', async () => {
    const driver = new ScriptDriver('inline');
    driver.answer = ({ offset }) => (offset === 512 ? -EIO : 0);
    const r = await stopping(driver);
    const out = [0, 38, 0, 32, 0, 0, 0, 0, ...range(0), ...range(1)];
    const answer = submit(r, unmap(out.length), { out });
    driver.answer = success;
    r.unit.restartFailed();
    expect(verdicts(answer)).toEqual(['GOOD']);
    expect(driver.asked.map(({ offset }) => offset)).toEqual([0, 512, 0, 512]);
  });

  it('SC-7 one that fails again is kept again, and no other is touched', async () => {
    const driver = new ScriptDriver('inline', () => -EIO);
    const r = await stopping(driver);
    const answer = submit(r, read10(0, 1), { in: 512 });
    r.unit.restartFailed();
    expect([answer.request.place, r.failures.length]).toEqual(['failed', 2]);
    driver.answer = success;
    r.unit.restartFailed();
    r.unit.restartFailed();
    expect([verdicts(answer), driver.asked.length]).toEqual([['GOOD'], 3]);
  });
});

function range(lba: number): number[] {
  return [...be(lba, 8), ...be(1, 4), 0, 0, 0, 0];
}

function unmap(length: number): number[] {
  return [0x42, 0, 0, 0, 0, 0, 0, ...be(length, 2), 0];
}

/** A unit whose errors stop the machine. */
async function stopping(driver: ScriptDriver): Promise<Rig> {
  const { Machine } = await import('#src/machine/machine');
  const { openBus, plug } = await import('./rig.ts');
  const bus = await openBus();
  const machine = new Machine(bus.context);
  return plug(bus, 'hd', { driver, backend: { machine, werror: 'stop', rerror: 'stop' } });
}
