/** Copies between the buffers of a chain and core memory. */

import { expect, it } from 'vitest';
import { QUEUE_CAPACITY } from '#src/layout';
import { type Contestant, RAM_AT } from './machine.ts';
import { WRITE } from './raw-ring.ts';
import { popOne, queueWord, rig } from './rig.ts';

const room = RAM_AT + 8192;

export function copySuite(contestant: Contestant): void {
  /** Chains of `lengths` readable and as many writable buffers, apart from each other. */
  function chained(lengths: readonly number[]) {
    const r = rig(contestant, { num: 64 });
    const places = lengths.map((_, i) => room + i * 1024 + (i % 5));
    const out = lengths.map((length, i) => ({ at: places[i]!, length }));
    const into = out.map((buffer) => ({ ...buffer, at: buffer.at + 0x40000, flags: WRITE }));
    expect(popOne(r, [...out, ...into])).toBe(1);
    const bytes: number[] = [];
    for (const { at, length } of out) {
      for (let i = 0; i < length; i++) {
        bytes.push((bytes.length * 7 + 1) & 0xff);
        r.machine.ram8[at + i] = bytes.at(-1)!;
      }
    }
    const scratch = r.machine.allocate(32768);
    return { ...r, out, into, bytes, scratch };
  }

  const shapes = [
    [1],
    [16],
    [512, 1, 3],
    [5, 1000, 64],
    Array(20).fill(13),
    Array(15).fill(3),
    Array(30).fill(2),
  ];

  it('copyFromChain takes any part of the readable bytes', () => {
    for (const lengths of shapes) {
      const { machine, engine, queue, bytes, scratch } = chained(lengths);
      const total = bytes.length;
      for (const skip of [0, 1, 15, 16, 17, total - 1, total, total + 1, 0xffffffff]) {
        for (const length of [0, 1, 63, 64, 65, total, 0xffffffff]) {
          machine.u8.fill(0xee, scratch, scratch + total + 2);
          const copied = engine.copyFromChain(queue, 0, skip, scratch, length);
          const part = bytes.slice(skip, skip + length);
          expect(copied).toBe(part.length);
          const seen = machine.u8.subarray(scratch, scratch + part.length + 1);
          expect([...seen]).toEqual([...part, 0xee]);
        }
      }
    }
  });

  it('copyToChain fills any part of the writable bytes and nothing else', () => {
    for (const lengths of shapes) {
      const { machine, engine, queue, into, bytes, scratch } = chained(lengths);
      const total = bytes.length;
      machine.u8.set(bytes, scratch);
      for (const skip of [0, 1, 16, total - 1, total]) {
        for (const length of [0, 1, 64, total, 0xffffffff]) {
          for (const { at, length: n } of into) machine.ram8.fill(0xee, at - 1, at + n + 1);
          const copied = engine.copyToChain(queue, 0, skip, scratch, length);
          const part = bytes.slice(0, Math.min(length, total - skip));
          expect(copied).toBe(part.length);
          const seen = into.flatMap(({ at, length: n }) => [
            ...machine.ram8.subarray(at - 1, at + n + 1),
          ]);
          const want = [...Array(skip).fill(0xee), ...part];
          while (want.length < total) want.push(0xee);
          const framed = into.flatMap(({ length: n }) => [0xee, ...want.splice(0, n), 0xee]);
          expect(seen).toEqual(framed);
        }
      }
    }
  });

  it('zeroChain zeroes any part of the writable bytes and nothing else', () => {
    const { machine, engine, queue, into, bytes } = chained([5, 1000, 64]);
    for (const [skip, length] of [
      [0, 5],
      [3, 10],
      [4, 1001],
      [1068, 99],
      [0, 0xffffffff],
      [1069, 1],
    ] as const) {
      for (const { at, length: n } of into) machine.ram8.fill(0xee, at - 1, at + n + 1);
      const zeroed = engine.zeroChain(queue, 0, skip, length);
      expect(zeroed).toBe(Math.max(0, Math.min(length, bytes.length - skip)));
      const seen = into.flatMap(({ at, length: n }) => [...machine.ram8.subarray(at, at + n)]);
      const want = seen.map((_, i) => (i >= skip && i < skip + length ? 0 : 0xee));
      expect(seen).toEqual(want);
      for (const { at, length: n } of into) {
        expect([machine.ram8[at - 1], machine.ram8[at + n]]).toEqual([0xee, 0xee]);
      }
    }
  });

  it('a head that is not in flight has no bytes', () => {
    const r = chained([16]);
    const heads = [1, 63, queueWord(r, QUEUE_CAPACITY), 0xffffffff];
    const { engine, queue, scratch } = r;
    for (const head of heads) {
      expect(engine.copyFromChain(queue, head, 0, scratch, 8)).toBe(0);
      expect(engine.copyToChain(queue, head, 0, scratch, 8)).toBe(0);
      expect(engine.zeroChain(queue, head, 0, 8)).toBe(0);
    }
    expect(engine.copyFromChain(queue, 0, 0, scratch, 8)).toBe(8);
    r.ring.push(0);
    expect(engine.copyFromChain(queue, 0, 0, scratch, 8)).toBe(0);
  });
}
