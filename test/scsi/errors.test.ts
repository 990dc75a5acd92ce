import { describe, expect, it } from 'vitest';
import { FaultDriver, type FaultRule } from '#src/block/fault';
import { MemoryDriver } from '#src/block/memory';
import { Machine } from '#src/machine/machine';
import { ScriptDriver } from '../block/script-driver.ts';
import { openBus, plug, type Rig, read10, rig, run, submit, verdict, write10 } from './rig.ts';

type Policy = 'report' | 'ignore' | 'stop' | 'enospc';

/** A memory disk that fails as `rules` say. */
async function faulty(rules: readonly FaultRule[], werror: Policy, rerror: Policy = 'report') {
  const bus = await openBus();
  const driver = new FaultDriver(new MemoryDriver(bus.core, 1024 * 1024), rules, true);
  const machine = new Machine(bus.context);
  return { ...plug(bus, 'hd', { driver, backend: { machine, werror, rerror } }), driver };
}

const write = (r: Rig) => submit(r, write10(0, 1), { out: new Uint8Array(512).fill(1) });
const verdicts = ({ answers }: ReturnType<typeof submit>) => answers.map(verdict);

describe('SD-14 errors of the host', () => {
  it.each([
    ['ENOMEDIUM', 123, '2/3a/00'],
    ['ENOMEM', 12, '4/44/00'],
    ['EINVAL', 22, '5/24/00'],
    ['ENOSPC', 28, '7/27/07'],
    ['ENODATA', 61, '3/11/00'],
    ['EREMOTEIO', 121, '4/44/00'],
    ['ENODEV', 19, '4/44/00'],
    ['EIO', 5, 'b/00/06'],
    ['an errno that nobody knows', 9999, 'b/00/06'],
    ['EDOM', 33, 'status 40'],
    ['EBADE', 52, 'status 24'],
  ])('SD-14 %s', async (_name, errno, expected) => {
    const driver = new ScriptDriver('inline', () => -errno);
    const r = await rig('hd', { driver });
    const answer = run(r, read10(0, 1), { in: 512 });
    expect([verdict(answer), answer.residual, answer.moved]).toEqual([expected, 0, 0]);
  });

  it.each([
    ['SYNCHRONIZE CACHE', [0x35], {}, 'flush'],
    ['WRITE', write10(3, 1), { out: new Uint8Array(512) }, 'write'],
    ['READ', read10(3, 1), { in: 512 }, 'read'],
    ['WRITE SAME', [0x41, 0, 0, 0, 0, 3, 0, 0, 1], { out: new Uint8Array(512) }, 'write-zeroes'],
    ['MODE SELECT that flushes', [0x15, 0x10, 0, 0, 24], modeSelect(), 'flush'],
  ] as const)(
    'SD-14 %s that fails is told with its operation',
    async (_name, cdb, data, operation) => {
      const r = await faulty([{ action: 'fail' }], 'report');
      run(r, write10(0, 0));
      expect(verdict(run(r, [...cdb], data))).toBe('b/00/06');
      const moves = operation === 'read' || operation === 'write' || operation === 'write-zeroes';
      expect(r.failures).toEqual([
        {
          unit: r.unit,
          operation,
          errno: 5,
          action: 'report',
          offset: moves ? 3 * 512 : 0,
          length: moves ? 512 : 0,
        },
      ]);
    },
  );

  it('SD-14 a driver that throws is an error too', async () => {
    const driver = new ScriptDriver('inline', () => {
      throw Object.assign(new Error('no'), { code: 'ENOSPC' });
    });
    expect(verdict(run(await rig('hd', { driver }), read10(0, 1), { in: 512 }))).toBe('7/27/07');
  });
});

describe('the error policy', () => {
  const fail: FaultRule = { action: 'fail', errno: 'ENOSPC' };

  it.each([
    ['report', ['7/27/07'], 'report'],
    ['ignore', ['GOOD'], 'ignore'],
    ['stop', [], 'stop'],
    ['enospc', [], 'stop'],
  ] as const)('werror=%s of a write without space', async (policy, expected, action) => {
    const r = await faulty([fail], policy);
    const answer = write(r);
    expect(verdicts(answer)).toEqual(expected);
    expect(r.failures.map((failure) => failure.action)).toEqual([action]);
    r.driver.setRules([]);
    r.unit.restartFailed();
    expect(verdicts(answer)).toEqual(expected.length > 0 ? expected : ['GOOD']);
  });

  it('werror=enospc reports any other error', async () => {
    const r = await faulty([{ action: 'fail', errno: 'EIO' }], 'enospc');
    expect(verdicts(write(r))).toEqual(['b/00/06']);
  });

  it('rerror is of reads alone', async () => {
    const r = await faulty([{ action: 'fail' }], 'ignore', 'report');
    expect(verdict(run(r, read10(0, 1), { in: 512 }))).toBe('b/00/06');
    expect(verdict(run(r, write10(0, 1), { out: new Uint8Array(512) }))).toBe('GOOD');
  });

  it('what is ignored counts as moved, and the rest of the command is done', async () => {
    const r = await faulty([{ action: 'fail', op: 'flush' }], 'ignore');
    const out = new Uint8Array(512).fill(7);
    expect(run(r, write10(0, 1), { out })).toMatchObject({ moved: 512, residual: 0 });
    const { buffers } = run(r, read10(0, 1, 8), { in: 512 }); // its flush fails, the read does not
    expect(buffers.in).toEqual(out);
    expect(r.failures.map(({ operation }) => operation)).toEqual(['flush']);
  });

  it('what is wrong with the command itself asks no policy', async () => {
    const r = await faulty([{ action: 'fail' }], 'stop', 'stop');
    expect(verdict(run(r, read10(9999, 1), { in: 512 }))).toBe('5/21/00');
    expect(r.failures).toEqual([]);
  });

  it('late errors are told as those at once', async () => {
    const r = await faulty([{ action: 'delay', errno: 'EIO' }], 'report');
    const answer = write(r);
    expect(answer.answers).toEqual([]);
    r.driver.release();
    for (let i = 0; i < 5; i++) r.context.poll();
    expect(verdicts(answer)).toEqual(['b/00/06']);
  });
});

function modeSelect() {
  return { out: [0, 0, 0, 0, 0x08, 0x12, ...new Array(18).fill(0)] };
}
