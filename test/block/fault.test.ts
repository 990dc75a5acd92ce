import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import {
  type BlockOp,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
} from '#src/block/driver';
import { BlockError, OptionError } from '#src/block/error';
import { FaultDriver, type FaultRule } from '#src/block/fault';
import { SegmentVector } from '#src/block/io-vector';
import { openDriver } from '#src/block/registry';
import { EIO, ENOSPC } from '#src/spec';
import { ScriptDriver } from './script-driver.ts';

/** Submits to the driver; collects what settles later in `results`. */
function submit(
  driver: FaultDriver,
  op: BlockOp,
  offset = 0,
  length = 512,
  results: number[] = [],
): number {
  const vector = new SegmentVector(new Uint8Array(length));
  if (op === OP_READ || op === OP_WRITE) vector.append(0, length);
  const settle = (result: number) => results.push(result);
  return driver.submit({ op, offset, length, flags: 0, vector, settle });
}

function fault(rules: FaultRule[], image = new ScriptDriver('inline')) {
  return { driver: new FaultDriver(image, rules), image };
}

const pause = (ms = 5) => new Promise((resolve) => setTimeout(resolve, ms));

describe('fault disk: which requests', () => {
  it('fails by operation, and lets the others pass', () => {
    const { driver, image } = fault([
      { action: 'fail', errno: 'ENOSPC', op: ['write', 'discard'] },
    ]);
    expect(submit(driver, OP_WRITE)).toBe(-ENOSPC);
    expect(submit(driver, OP_DISCARD)).toBe(-ENOSPC);
    expect(submit(driver, OP_READ)).toBe(512);
    expect(submit(driver, OP_FLUSH, 0, 0)).toBe(0);
    expect(submit(driver, OP_WRITE_ZEROES)).toBe(0);
    expect(image.asked.map(({ op }) => op)).toEqual([OP_READ, OP_FLUSH, OP_WRITE_ZEROES]);
  });

  it('fails what touches a range, to the byte; a flush touches nothing', () => {
    const { driver } = fault([{ action: 'fail', offset: 1000, length: 100 }]);
    expect(submit(driver, OP_READ, 488, 512)).toBe(512); // ends where the range begins
    expect(submit(driver, OP_READ, 489, 512)).toBe(-EIO);
    expect(submit(driver, OP_READ, 1099, 512)).toBe(-EIO);
    expect(submit(driver, OP_READ, 1100, 512)).toBe(512);
    expect(submit(driver, OP_FLUSH, 0, 0)).toBe(0);
  });

  it('skips some, then acts on so many', () => {
    const { driver } = fault([{ action: 'fail', op: 'read', skip: 2, count: 2 }]);
    const results = Array.from({ length: 6 }, () => submit(driver, OP_READ));
    expect(results).toEqual([512, 512, -EIO, -EIO, 512, 512]);
  });

  it('the first rule that acts decides, and rules may be replaced', () => {
    const { driver } = fault([
      { action: 'fail', errno: 'EIO', count: 1 },
      { action: 'fail', errno: 'ENOSPC' },
    ]);
    expect([submit(driver, OP_READ), submit(driver, OP_READ)]).toEqual([-EIO, -ENOSPC]);
    driver.setRules([]);
    expect(submit(driver, OP_READ)).toBe(512);
  });
});

describe('fault disk: short transfers', () => {
  it('moves at most so many bytes, of the right place', () => {
    const { driver, image } = fault([{ action: 'short', bytes: 100 }]);
    expect(submit(driver, OP_READ, 1024)).toBe(100);
    expect(image.asked[0]).toMatchObject({ offset: 1024, length: 100 });
    expect(submit(driver, OP_WRITE, 0, 50)).toBe(50);
    expect(submit(driver, OP_FLUSH, 0, 0)).toBe(0);
  });
});

describe('fault disk: delays', () => {
  it('settles through the loop if a rule delays, as its image does if none does', () => {
    expect(fault([{ action: 'fail' }]).driver.settles).toBe('inline');
    expect(fault([{ action: 'delay' }]).driver.settles).toBe('loop');
    expect(fault([{ action: 'reorder', group: 2 }]).driver.settles).toBe('loop');
    expect(fault([], new ScriptDriver('word')).driver.settles).toBe('word');
    const late = new FaultDriver(new ScriptDriver('inline'), [], true);
    late.setRules([{ action: 'delay' }]);
    expect(late.settles).toBe('loop');
    const inline = fault([]).driver;
    expect(() => inline.setRules([{ action: 'delay' }])).toThrow(/may-delay/);
  });

  it('by release: nothing reaches the disk before, order as asked', () => {
    const { driver, image } = fault([{ action: 'delay' }]);
    const results: number[] = [];
    for (let i = 0; i < 4; i++) {
      expect(submit(driver, OP_READ, i * 512, 512, results)).toBe(PENDING);
    }
    expect([image.asked.length, driver.held]).toEqual([0, 4]);
    expect(driver.release(1)).toBe(1);
    expect(driver.release(2, 'reverse')).toBe(2);
    expect(driver.release()).toBe(1);
    expect(image.asked.map(({ offset }) => offset)).toEqual([0, 1536, 1024, 512]);
    expect([results, driver.held]).toEqual([[512, 512, 512, 512], 0]);
  });

  it('by time, and by release before its time, but once', async () => {
    const { driver, image } = fault([{ action: 'delay', ms: 1 }]);
    const results: number[] = [];
    submit(driver, OP_READ, 0, 512, results);
    submit(driver, OP_READ, 512, 512, results);
    driver.release(1);
    expect(results).toEqual([512]);
    await pause();
    expect(results).toEqual([512, 512]);
    expect(image.asked).toHaveLength(2);
  });

  it('fails late', () => {
    const { driver, image } = fault([{ action: 'delay', errno: 'ENOSPC' }]);
    const results: number[] = [];
    submit(driver, OP_WRITE, 0, 512, results);
    driver.release();
    expect([results, image.asked]).toEqual([[-ENOSPC], []]);
  });

  it('reorders groups: the last one first', async () => {
    const { driver, image } = fault([{ action: 'reorder', group: 3, op: 'write' }]);
    const results: number[] = [];
    for (let i = 0; i < 4; i++) submit(driver, OP_WRITE, i * 512, 512, results);
    expect(submit(driver, OP_READ)).toBe(512);
    expect(results).toEqual([]);
    await pause();
    expect(image.asked.slice(1).map(({ offset }) => offset)).toEqual([1024, 512, 0]);
    expect([results.length, driver.held]).toEqual([3, 1]);
    driver.close();
    expect(results.at(-1)).toBe(-125);
  });

  it('a disk that throws or settles later behind a delay is not lost', () => {
    const image = new ScriptDriver('loop');
    const { driver } = fault([{ action: 'delay' }], image);
    const results: number[] = [];
    submit(driver, OP_READ, 0, 512, results);
    driver.release();
    expect(results).toEqual([]);
    image.settle();
    image.answer = () => {
      throw new Error('no');
    };
    submit(driver, OP_READ, 0, 512, results);
    driver.release();
    expect(results).toEqual([512, -EIO]);
  });
});

describe('fault disk: by name', () => {
  it('opens the disk behind it from plain data that survives a clone', async () => {
    const core = await openCore({ engine: 'js' });
    const context = new AioContext(core);
    const spec = structuredClone({
      driver: 'fault',
      options: {
        image: { driver: 'memory', options: { size: '1M' } },
        rules: [{ action: 'fail', op: 'write', offset: 4096, length: 512, errno: 'EIO' }],
      },
    });
    const backend = await BlockBackend.open(core, context, spec);
    expect(backend.driver.clusterDisk).toBe(0);
    await backend.io.write(0, new Uint8Array(4096));
    const failed = backend.io.write(4096, new Uint8Array(512));
    await expect(failed).rejects.toBeInstanceOf(BlockError);
    await expect(failed).rejects.toMatchObject({ code: 'EIO', operation: 'write', offset: 4096 });
    await backend.close();
    context.close();
  });

  it('names what is wrong with a rule', async () => {
    const core = await openCore({ engine: 'js' });
    const open = (rule: object) => () =>
      openDriver(core, {
        driver: 'fault',
        options: { image: { driver: 'null' }, rules: [{ action: 'fail' }, rule] },
      });
    expect(open({ action: 'explode' })).toThrow(OptionError);
    expect(open({ action: 'explode' })).toThrow(
      "rules[1].action: 'explode' is not allowed; allowed: fail, short, delay, reorder",
    );
    expect(open({ action: 'fail', op: 'erase' })).toThrow("rules[1].op: 'erase'");
    expect(open({ action: 'fail', errno: 'EWHAT' })).toThrow("rules[1].errno: 'EWHAT'");
    expect(open({ action: 'fail', count: -1 })).toThrow('rules[1].count: -1');
    expect(open({ action: 'short' })).toThrow('rules[1].bytes: undefined');
    expect(open({ action: 'reorder', group: 1 })).toThrow('rules[1].group: 1');
    const noImage = () => openDriver(core, { driver: 'fault' });
    expect(noImage).toThrow('image: undefined is not allowed');
  });
});
