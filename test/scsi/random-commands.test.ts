/** Commands that mean nothing, or almost something: nobody touches a byte that is not theirs. */

import { describe, expect, it } from 'vitest';
import { type BlockRequest, PENDING } from '#src/block/driver';
import { decodeTransfer, type PlainTransfer } from '#src/scsi/cdb';
import { CD_COMMANDS, HD_COMMANDS } from '#src/scsi/commands';
import { ScriptDriver, success } from '../block/script-driver.ts';
import { rig, submit, verdict } from './rig.ts';

const COMMANDS = 3000;

/** Remembers no data, only how far requests reach. */
class QuietDriver extends ScriptDriver {
  reach = 0;

  override submit(request: BlockRequest): number {
    this.reach = Math.max(this.reach, request.offset + request.length);
    const result = this.answer(request);
    if (result === PENDING) this.pending.push(request);
    return result;
  }
}

/** mulberry32. */
function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Mostly known commands, with small numbers more often than large ones. */
function randomCdb(next: (below: number) => number, known: readonly number[]): number[] {
  const cdb = Array.from({ length: 32 }, () => [0, 0, 0, 1, next(8), next(256)][next(6)]!);
  cdb[0] = next(8) === 0 ? next(256) : known[next(known.length)]!;
  if (next(2) === 0) cdb[1] = 0;
  return cdb;
}

function randomBuffers(next: (below: number) => number) {
  const size = () => [next(64), next(600), 512, 1024, 4096, next(20) ? 2048 : 70_000][next(6)]!;
  const bytes = () => {
    const list = new Uint8Array(size()).fill(next(3) ? 0 : next(256));
    for (let i = 0; i < 32 && i < list.length; i++) list[i] = next(3) ? next(4) : next(256);
    return list;
  };
  switch (next(8)) {
    case 0:
      return {};
    case 1:
      return { out: bytes(), in: size() };
    case 2:
    case 3:
    case 4:
      return { out: bytes() };
    default:
      return { in: size() };
  }
}

const knownTo = (table: typeof HD_COMMANDS) =>
  table.flatMap((command, opcode) => (command ? [opcode] : []));

describe('random commands', () => {
  it.each([
    ['hd', 'inline', knownTo(HD_COMMANDS), 1],
    ['hd', 'word', knownTo(HD_COMMANDS), 2],
    ['cd', 'inline', knownTo(CD_COMMANDS), 3],
    ['cd', 'word', knownTo(CD_COMMANDS), 4],
  ] as const)(
    '%s, %s: answered once, within CDB and buffers',
    async (type, settles, known, seed) => {
      const next = random(seed);
      const driver = new QuietDriver(settles, undefined, 256 * 1024);
      const r = await rig(type, { driver, unit: { serial: 'random' } });
      const told = new Map<string, number>();
      for (let i = 0; i < COMMANDS; i++) {
        const cdb = randomCdb(next, known);
        const data = { ...randomBuffers(next), cdbBytes: next(4) ? 32 : next(33) };
        const before = Uint8Array.from(data.out ?? []);
        const answer = submit(r, cdb, data);
        for (let polls = 0; polls < 500 && answer.answers.length === 0; polls++) {
          if (driver.pending.length > 0) driver.settle();
          r.context.poll();
        }
        const { buffers, request, answers } = answer;
        if (answers.length !== 1) expect.unreachable(`${answers.length} answers to ${cdb}`);
        const { moved, residual, status, response } = answers[0]!;
        const what = `${cdb} with ${buffers.outBytes} out, ${buffers.inBytes} in`;
        const isIn = buffers.inBytes > 0 && buffers.outBytes === 0;
        const bytes = Math.max(buffers.inBytes, buffers.outBytes);
        const left = response === 'ok' && status === 0 ? bytes - moved : 0;
        const held = buffers.untouched(isIn && status === 0 ? moved : 0);
        const same = buffers.out.every((byte, at) => byte === before[at]);
        if (!held || !same || moved > bytes || residual !== left) {
          expect.unreachable(`${what}: ${moved} moved, residual ${residual}`);
        }
        const said = verdict(answers[0]!);
        told.set(said, (told.get(said) ?? 0) + 1);
        request.release();
        run0(r);
      }
      expect(r.unit.busy).toBe(0);
      // The commands were worth sending.
      for (const said of ['GOOD', 'overrun', 'failure', '5/20/00', '5/24/00', '5/21/00']) {
        expect([said, (told.get(said) ?? 0) > 10]).toEqual([said, true]);
      }
      for (const { offset, length } of driver.asked) {
        expect(offset + length).toBeLessThanOrEqual(256 * 1024);
      }
    },
  );
});

/** Lowest bytes of address and count, by group. */
const LOW_BYTES = [[3, 4], [5, 8], [5, 8], [], [9, 13], [5, 9], [], []];

/** Of few blocks near the beginning. */
function makeShort(cdb: number[], next: (below: number) => number): void {
  cdb.fill(0, 2);
  for (const at of LOW_BYTES[cdb[0]! >>> 5]!) cdb[at] = next(4);
}

/** Puts a unit back into the state of its beginning. */
function run0({ words, backend, config }: Awaited<ReturnType<typeof rig>>): void {
  words.resetUnit();
  words.takeAttention();
  words.blockSize = config.logicalBlockSize;
  backend.writeCache = true;
}

describe('the short way for reads and writes', () => {
  it('decodePlain says the same as the long way, for random commands', async () => {
    const next = random(5);
    const driver = new ScriptDriver('inline', success, 256 * 1024);
    const r = await rig('hd', { driver });
    const plain: PlainTransfer = { op: 0, offset: 0, length: 0 };
    const known = [0x08, 0x0a, 0x28, 0x2a, 0xa8, 0xaa, 0x88, 0x8a];
    let taken = 0;
    for (let i = 0; i < COMMANDS; i++) {
      const cdb = randomCdb(next, known);
      if (next(4)) makeShort(cdb, next);
      const data = { ...randomBuffers(next), cdbBytes: next(8) ? 32 : next(33) };
      const bytes = Uint8Array.from([9, ...cdb]);
      const outBytes = data.out?.length ?? 0;
      const fits = r.unit.decodePlain(bytes, 1, data.cdbBytes, outBytes, data.in ?? 0, plain);
      driver.asked.length = 0;
      const { answers, request } = submit(r, cdb, data);
      request.release();
      if (!fits) continue;
      taken += 1;
      const asked = driver.asked.map(({ op, offset, length }) => ({ op, offset, length }));
      expect([verdict(answers[0]!), asked]).toEqual(['GOOD', [plain]]);
    }
    expect(taken).toBeGreaterThan(100);
  });

  it.each([
    ['READ (6)', [0x08, 0x01, 0x02, 0x03, 4, 0], { op: 0, offset: 0x10203 * 512, length: 2048 }],
    ['WRITE (6) of 256', [0x0a, 0, 0, 1, 0, 0], { op: 1, offset: 512, length: 131_072 }],
    ['READ (10)', [0x28, 0, 0, 0, 1, 0, 0, 0, 2, 0], { op: 0, offset: 131_072, length: 1024 }],
    ['WRITE (12)', [0xaa, 0x10, 0, 0, 0, 2, 0, 0, 0, 3], { op: 1, offset: 1024, length: 1536 }],
    [
      'READ (16)',
      [0x88, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
      { op: 0, offset: 2 ** 41, length: 512 },
    ],
    ['READ (10) with FUA', [0x28, 8, 0, 0, 0, 0, 0, 0, 1], null],
    ['READ (6) with protection', [0x08, 0x20, 0, 0, 1], null],
    ['WRITE (10) with protection', [0x2a, 0x20, 0, 0, 0, 0, 0, 0, 1], null],
    ['READ (10) of nothing', [0x28], null],
    ['WRITE AND VERIFY (10)', [0x2e, 0, 0, 0, 0, 0, 0, 0, 1], null],
    ['INQUIRY', [0x12, 0, 0, 0, 36], null],
  ])('decodeTransfer of %s', (_name, cdb, expected) => {
    const bytes = Uint8Array.from({ length: 40 }, (_, i) => cdb[i - 3] ?? 0);
    const into: PlainTransfer = { op: 0, offset: 0, length: 0 };
    expect(decodeTransfer(bytes, 3, 32, 512, into) ? into : null).toEqual(expected);
    const lengths = [6, 10, 10, 0, 16, 12];
    expect(decodeTransfer(bytes, 3, lengths[cdb[0]! >>> 5]! - 1, 512, into)).toBe(false);
    if (expected) expect(decodeTransfer(bytes, 3, lengths[cdb[0]! >>> 5]!, 512, into)).toBe(true);
  });

  it.each([
    ['a plain read', 'hd', {}, () => {}, true],
    ['a unit attention', 'hd', {}, (r) => r.words.setAttention(0x2900), false],
    ['an open tray', 'cd', {}, (r) => r.words.mediumChanged(false), false],
    ['a unit that leaves', 'hd', {}, (r) => (r.words.state = 2), false],
  ] as [string, 'hd' | 'cd', object, (r: Awaited<ReturnType<typeof rig>>) => void, boolean][])(
    'decodePlain of a read: %s',
    async (_name, type, options, change, expected) => {
      const r = await rig(type, options);
      change(r);
      const into: PlainTransfer = { op: 0, offset: 0, length: 0 };
      const read = Uint8Array.from([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
      expect(r.unit.decodePlain(read, 0, 10, 0, 4096, into)).toBe(expected);
      expect(r.unit.decodePlain(read, 0, 10, 1, 4096, into)).toBe(false);
    },
  );

  it('decodePlain of a write to what takes none', async () => {
    const into: PlainTransfer = { op: 0, offset: 0, length: 0 };
    const write = Uint8Array.from([0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    const fits = async (type: 'hd' | 'cd', readOnly: boolean) =>
      (await rig(type, { backend: { readOnly } })).unit.decodePlain(write, 0, 10, 2048, 0, into);
    expect(await fits('hd', false)).toBe(true);
    expect(await fits('hd', true)).toBe(false);
    expect(await fits('cd', false)).toBe(false);
  });
});
