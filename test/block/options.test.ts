import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import {
  BlockError,
  codeOf,
  errnoOf,
  errnoOfThrown,
  isErrnoCode,
  OptionError,
} from '#src/block/error';
import { gather, SegmentVector, scatter, vectorLength, zeroVector } from '#src/block/io-vector';
import { NullDriver } from '#src/block/null';
import { booleanOption, choiceOption, integerOption, parseSize } from '#src/block/option';
import { driverNames, openDriver, registerDriver } from '#src/block/registry';

describe('errno and its codes', () => {
  it('go both ways', () => {
    for (const [code, errno] of [
      ['EPERM', 1],
      ['EIO', 5],
      ['EAGAIN', 11],
      ['ENOSPC', 28],
      ['ENOTSUP', 95],
      ['ENOMEDIUM', 123],
      ['ECANCELED', 125],
    ] as const) {
      expect([errnoOf(code), codeOf(errno), codeOf(-errno)]).toEqual([errno, code, code]);
    }
    expect(errnoOf('EOPNOTSUPP')).toBe(95);
  });

  it('what is unknown is EIO', () => {
    expect([errnoOf('EWHAT'), codeOf(4000), isErrnoCode('EWHAT')]).toEqual([5, 'EIO', false]);
    expect(errnoOfThrown(Object.assign(new Error(), { code: 'ENOSPC' }))).toBe(-28);
    for (const thrown of [new Error('x'), null, undefined, 'text', { code: 28 }]) {
      expect(errnoOfThrown(thrown)).toBe(-5);
    }
  });

  it('a BlockError says what, where and why', () => {
    const cause = new Error('cable');
    const error = new BlockError('EIO', 'read', { offset: 512, length: 1024, cause });
    expect(error.message).toBe('read of 1024 bytes at 512 failed (EIO): cable');
    expect(error).toMatchObject({ code: 'EIO', operation: 'read', offset: 512, length: 1024 });
    expect(error.cause).toBe(cause);
    expect(new BlockError('ENOSPC', 'flush').message).toBe('flush failed (ENOSPC)');
  });
});

describe('sizes', () => {
  it('are whole bytes, or strings in QEMU’s manner', () => {
    const good = {
      0: 0,
      512: 512,
      '4k': 4096,
      '1.5G': 1.5 * 2 ** 30,
      '2T': 2 ** 41,
      '1P': 2 ** 50,
    };
    for (const [text, bytes] of Object.entries(good)) expect(parseSize(text)).toBe(bytes);
    expect(parseSize(12)).toBe(12);
    for (const bad of ['', 'k', '-1', '1.3', '1kk', '0x10', '9000P', -1, 0.5, 2 ** 53, null, {}]) {
      expect(parseSize(bad)).toBeUndefined();
    }
  });
});

describe('other options', () => {
  it('take what is allowed and name what is not', () => {
    expect(booleanOption({ a: 'on' }, 'a', false)).toBe(true);
    expect(booleanOption({ a: 'off' }, 'a', true)).toBe(false);
    expect(booleanOption({}, 'a', true)).toBe(true);
    expect(() => booleanOption({ a: 1 }, 'a', true)).toThrow('a: 1 is not allowed');
    expect(integerOption({ n: 3 }, 'n', 1, 0, 3)).toBe(3);
    expect(() => integerOption({ n: 4 }, 'n', 1, 0, 3)).toThrow('whole numbers from 0 to 3');
    expect(() => integerOption({ n: 1.5 }, 'n', 1, 0, 3)).toThrow(OptionError);
    expect(choiceOption({}, 'c', 'x', ['x', 'y'])).toBe('x');
    expect(() => choiceOption({ c: 'z' }, 'c', 'x', ['x', 'y'])).toThrow(
      "c: 'z' is not allowed; allowed: x, y",
    );
  });
});

describe('registry', () => {
  it('opens drivers by name, users’ own among them, and names those it knows', async () => {
    const core = await openCore({ engine: 'js' });
    registerDriver('mine', (_core, options) => new NullDriver(options['blocks'] as number, true));
    expect(driverNames()).toEqual([
      'fault',
      'file',
      'memory',
      'mine',
      'null',
      'overlay',
      'throttle',
    ]);
    const disk = await openDriver(core, { driver: 'mine', options: { blocks: 512 } });
    expect(disk.size).toBe(512);
    expect(() => openDriver(core, { driver: 'nul' })).toThrow(
      "driver: 'nul' is not allowed; allowed: fault, file, memory, mine, null",
    );
  });

  it('a null disk knows its options', async () => {
    const core = await openCore({ engine: 'js' });
    const open = (options: Record<string, unknown>) =>
      openDriver(core, { driver: 'null', options });
    expect((await open({})).size).toBe(2 ** 30);
    expect(() => open({ size: 100 })).toThrow('size: 100 is not allowed');
    expect(() => open({ 'read-zeros': true })).toThrow('the options size, read-zeroes');
  });

  it('a null disk leaves buffers alone, or zeroes them', () => {
    for (const zeroes of [false, true]) {
      const vector = new SegmentVector(new Uint8Array(8).fill(7));
      vector.append(2, 4);
      const request = { op: 0, offset: 0, length: 4, flags: 0, vector, settle() {} } as const;
      expect(new NullDriver(512, zeroes).submit(request)).toBe(4);
      const middle = zeroes ? 0 : 7;
      expect([...vector.bytes]).toEqual([7, 7, middle, middle, middle, middle, 7, 7]);
    }
  });
});

describe('vectors', () => {
  const segments = [
    [10, 4],
    [2, 3],
    [20, 5],
  ] as const;

  function vector(): SegmentVector {
    const made = new SegmentVector(Uint8Array.from({ length: 32 }, (_, i) => i));
    for (const [start, length] of segments) made.append(start, length);
    return made;
  }

  it('join segments that follow each other, and grow as need be', () => {
    const made = new SegmentVector(new Uint8Array(4096));
    made.append(0, 8);
    made.append(8, 8);
    expect([made.count, made.lengths[0], made.total]).toEqual([1, 16, 16]);
    for (let i = 0; i < 100; i++) made.append(100 + i * 20, 10);
    expect([made.count, made.total, vectorLength(made)]).toEqual([101, 1016, 1016]);
    expect(made.starts[100]).toBe(100 + 99 * 20);
  });

  it('gather, scatter and zero any part, to the byte', () => {
    const order = segments.flatMap(([start, length]) =>
      Array.from({ length }, (_, i) => start + i),
    );
    for (let skip = 0; skip <= 12; skip++) {
      for (let length = 0; length <= 12 - skip; length++) {
        const wanted = order.slice(skip, skip + length);
        const flat = new Uint8Array(16);
        gather(vector(), skip, flat, 1, length);
        expect([...flat]).toEqual([0, ...wanted, ...new Array(15 - length).fill(0)]);

        const target = vector();
        scatter(target, skip, new Uint8Array(16).fill(99), 1, length);
        const hit = [...target.bytes].flatMap((byte, i) => (byte === 99 ? [i] : []));
        expect(hit).toEqual([...wanted].sort((a, b) => a - b));

        const zeroed = vector();
        zeroed.bytes.fill(1);
        zeroVector(zeroed, skip, length);
        expect([...zeroed.bytes].filter((byte) => byte === 0)).toHaveLength(length);
        expect(wanted.every((i) => zeroed.bytes[i] === 0)).toBe(true);

        const part = new SegmentVector();
        part.slice(vector(), skip, length);
        expect(part.total).toBe(length);
        const sliced = new Uint8Array(length);
        gather(part, 0, sliced, 0, length);
        expect([...sliced]).toEqual(wanted);
      }
    }
  });
});
