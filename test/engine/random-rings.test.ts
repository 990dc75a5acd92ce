/**
 * Random rings, good and bad, through both engines. The long run of the same is
 * `node test/fuzz/run.mjs --rings 10000000 --seed 1`.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Engine } from '#src/engine/engine';
import { createJsEngine } from '#src/engine/js';
import {
  QUEUE_BROKEN,
  RECORD_IN_BYTES,
  RECORD_IN_COUNT,
  RECORD_OUT_BYTES,
  RECORD_OUT_COUNT,
} from '#src/layout';
import { VIRTQ_DESC_F_INDIRECT } from '#src/spec';
import { Twins } from '../fuzz/twins.ts';
import { unreached } from '../fuzz/verdicts.ts';
import {
  type Contestant,
  contestants,
  jsOneMemory,
  jsShared,
  jsTwoBuffers,
  Machine,
  RAM_AT,
  wasmShared,
  wasmUnshared,
} from './machine.ts';
import { type Buffer as Piece, RawRing, WRITE } from './raw-ring.ts';

const NUM = 64;
const TABLES = RAM_AT + 0x10000;
const ROOM = RAM_AT + 0x20000;

// ---- Rings by fast-check, which finds the smallest one that fails -------------------------------

/** A chain: sizes of its readable and writable buffers, and how many go into a table. */
const chain = fc.record({
  readable: fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 5 }),
  writable: fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 }),
  /** Buffers before the indirect table; as many as there are: no table. */
  direct: fc.nat({ max: 10 }),
  tableOff: fc.nat({ max: 31 }),
});
type Chain = typeof chain extends fc.Arbitrary<infer T> ? T : never;

const program = fc.record({
  chains: fc.array(chain, { minLength: 1, maxLength: 5 }),
  features: fc.integer({ min: 2, max: 3 }),
  max: fc.integer({ min: 1, max: 8 }),
});

function pieces({ readable, writable }: Chain, index: number): Piece[] {
  const sizes = [
    ...readable.map((length) => ({ length, flags: 0 })),
    ...writable.map((length) => ({ length, flags: WRITE })),
  ];
  return sizes.map(({ length, flags }, i) => ({
    at: ROOM + (index * 10 + i) * 8192 + (length % 7),
    length,
    flags,
  }));
}

/** Writes the chain with its first descriptor at `head`. Returns descriptors used. */
function write(ring: RawRing, head: number, index: number, shape: Chain): number {
  const list = pieces(shape, index);
  const direct = Math.min(shape.direct, list.length);
  if (direct === list.length) {
    ring.chain(head, list);
    return direct;
  }
  const table = TABLES + index * 1024 + shape.tableOff;
  ring.chain(0, list.slice(direct), table);
  const length = (list.length - direct) * 16;
  const refer = { at: table, length, flags: VIRTQ_DESC_F_INDIRECT };
  ring.chain(head, [...list.slice(0, direct), refer]);
  return direct + 1;
}

interface Setup {
  machine: Machine;
  ring: RawRing;
}

const setups = new Map<Contestant, Setup>();

/** A machine per contestant, its queue reset and its ring empty. */
function setup(contestant: Contestant, features: number): Setup {
  let known = setups.get(contestant);
  if (!known) {
    const machine = new Machine(contestant);
    known = { machine, ring: new RawRing(machine, machine.createQueue(NUM), NUM, RAM_AT) };
    setups.set(contestant, known);
  }
  const { machine, ring } = known;
  machine.ram8.fill(0, RAM_AT, ROOM);
  machine.engine.queueReset(ring.queue);
  ring.publish(0);
  expect(ring.enable(features)).toBe(0);
  return known;
}

describe('rings made by fast-check', () => {
  for (const contestant of contestants) {
    it(`VQ-3 VQ-4 VQ-12 what is put in comes out: ${contestant.name}`, () => {
      fc.assert(
        fc.property(program, ({ chains, features, max }) => {
          const { machine, ring } = setup(contestant, features);
          const heads: number[] = [];
          let next = 0;
          chains.forEach((shape, i) => {
            heads.push(next);
            next += write(ring, next, i, shape);
          });
          ring.offer(...heads);
          const popped: number[] = [];
          for (;;) {
            const count = machine.engine.queuePop(ring.queue, max);
            if (count <= 0) break;
            for (let i = 0; i < count; i++) popped.push(ring.batch(i));
          }
          expect(machine.word(ring.queue + QUEUE_BROKEN)).toBe(0);
          expect(popped).toEqual(heads);
          chains.forEach((shape, i) => {
            const sum = (sizes: number[]) => sizes.reduce((total, size) => total + size, 0);
            const fields = [RECORD_OUT_COUNT, RECORD_IN_COUNT, RECORD_OUT_BYTES, RECORD_IN_BYTES];
            const { readable, writable } = shape;
            expect(fields.map((field) => ring.field(heads[i]!, field))).toEqual([
              readable.length,
              writable.length,
              sum(readable),
              sum(writable),
            ]);
            const want = pieces(shape, i).map(({ at, length }) => ({ address: at, length }));
            expect(ring.segments(heads[i]!)).toEqual(want);
          });
          ring.push(...heads.toReversed());
          expect(ring.usedIdx).toBe(heads.length);
        }),
        { numRuns: 400 },
      );
    });
  }

  it('one field spoilt: the same verdict, answers and bytes from every engine', () => {
    const spoilt = fc.record({
      shape: chain,
      features: fc.integer({ min: 0, max: 7 }),
      entry: fc.nat({ max: 10 }),
      inTable: fc.boolean(),
      field: fc.constantFrom(0, 4, 8, 12, 14),
      value: fc.oneof(
        fc.constantFrom(0, 1, 8, 16, NUM - 1, NUM, 0x7fff, 0xffff, 0xffffffff, 0x80000000),
        fc.nat({ max: 0x20 }),
        fc.integer({ min: RAM_AT, max: RAM_AT + (1 << 20) }),
      ),
    });
    const verdicts = new Set<number>();
    fc.assert(
      fc.property(spoilt, ({ shape, features, entry, inTable, field, value }) => {
        const outcomes = contestants.map((contestant) => {
          const { machine, ring } = setup(contestant, features);
          write(ring, 0, 0, shape);
          const table = inTable ? TABLES + shape.tableOff : ring.desc;
          const at = table + entry * 16 + field;
          const view = new DataView(machine.ram.buffer);
          if (field < 12) view.setUint32(at, value, true);
          else view.setUint16(at, value, true);
          ring.offer(0);
          const popped = machine.engine.blkPop(ring.queue, 4);
          const broken = machine.word(ring.queue + QUEUE_BROKEN);
          const segments = popped === 1 ? ring.segments(0) : [];
          return { popped, broken, segments, used: ring.push(...(popped === 1 ? [0] : [])) };
        });
        verdicts.add(outcomes[0]!.broken);
        for (const outcome of outcomes) expect(outcome).toEqual(outcomes[0]);
      }),
      { numRuns: 3000 },
    );
    expect(verdicts.size).toBeGreaterThan(8);
  });
});

// ---- Rings by the fast generator ------------------------------------------------------------------

const SEED = 20_250_101;

/** wasm and js on one memory, taking turns call by call: the contract promises that they can. */
const turns: Contestant = {
  name: 'wasm and js in turn',
  kind: 'wasm',
  shared: false,
  make: (pages) => {
    const parts = wasmUnshared.make(pages);
    const js = createJsEngine(parts.state, parts.ram);
    let calls = 0;
    const engine = { kind: 'wasm' } as Record<string, unknown>;
    for (const name of Object.keys(js).filter((key) => key !== 'kind') as (keyof Engine)[]) {
      const both = [parts.engine[name], js[name]] as ((...values: number[]) => number)[];
      engine[name] = (...values: number[]) => both[calls++ % 2]!(...values);
    }
    return { ...parts, engine: engine as unknown as Engine };
  },
};

describe('200,000 hostile rings', () => {
  const runs = [
    { a: wasmUnshared, b: jsTwoBuffers, rings: 70_000 },
    { a: wasmShared, b: jsShared, rings: 70_000 },
    { a: wasmUnshared, b: jsOneMemory, rings: 30_000 },
    { a: turns, b: jsTwoBuffers, rings: 30_000 },
  ].map(({ a, b, rings }, i) => ({
    twins: new Twins(a, b, SEED + i),
    rings,
    title: `${a.name} and ${b.name}`,
  }));

  for (const { twins, rings, title } of runs) {
    it(`BG-1 to BG-13, BG-16: ${title} agree, and touch nothing else`, () => {
      twins.run(rings);
      expect(twins.rings).toBe(rings);
      expect(twins.popped).toBeGreaterThan(rings / 2);
      expect(twins.served).toBeGreaterThan(rings / 20);
      expect(twins.commands).toBeGreaterThan(rings / 20);
      expect(twins.plain).toBeGreaterThan(rings / 500);
      expect(twins.verdicts[0]).toBeGreaterThan(rings / 5);
    }, 120_000);
  }

  it('each verdict was reached', () => {
    expect(unreached(runs.map(({ twins }) => twins))).toEqual([]);
  });
});
