/** The bytes of a saved state: what is written is read, and what is not ours is refused. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32 } from '#src/machine/crc32';
import { MachineState, type StateHandler } from '#src/machine/machine-state';
import { StateError } from '#src/machine/state-error';
import { readState, type StateSection, writeState } from '#src/machine/state-format';
import { StateReader } from '#src/machine/state-reader';
import { StateWriter } from '#src/machine/state-writer';

const sections: StateSection[] = [
  { id: 'one', version: 1, bytes: Uint8Array.of(1, 2, 3) },
  { id: 'zwei ü', version: 7, bytes: new Uint8Array(0) },
];

function refusal(act: () => unknown): StateError {
  try {
    act();
  } catch (error) {
    if (error instanceof StateError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

/** With the check sum that such bytes would have. */
function resealed(bytes: Uint8Array, change: (bytes: Uint8Array) => void): Uint8Array {
  const copy = bytes.slice();
  change(copy);
  const body = copy.subarray(0, copy.length - 4);
  new DataView(copy.buffer).setUint32(body.length, crc32(body), true);
  return copy;
}

describe('the format of a state', () => {
  it('has the check sum that others have', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
  });

  it('gives back the sections that were put in', () => {
    expect(readState(writeState(sections))).toEqual(sections);
    expect(readState(writeState([]))).toEqual([]);
  });

  it('refuses every state that was cut off, and every changed byte', () => {
    const state = writeState(sections);
    for (let length = 0; length < state.length; length++) {
      expect(refusal(() => readState(state.subarray(0, length))).code).toBe('EFORMAT');
    }
    for (let at = 0; at < state.length; at++) {
      const changed = state.slice();
      changed[at]! ^= 0x10;
      expect(refusal(() => readState(changed)).code).toMatch(/EFORMAT|EVERSION/);
    }
    expect(refusal(() => readState(Uint8Array.of(...state, 0))).message).toMatch(/check sum/);
  });

  it('says what is wrong with bytes that are something else, or newer', () => {
    const gzip = new Uint8Array(64).fill(0x1f);
    expect(refusal(() => readState(gzip)).message).toMatch(/no saved state of vblk/);
    const newer = resealed(writeState(sections), (bytes) => {
      bytes[8] = 2;
    });
    const error = refusal(() => readState(newer));
    expect([error.code, error.message]).toEqual([
      'EVERSION',
      'the state is of format 2, this program knows format 1',
    ]);
  });

  it('believes no length before as many bytes are there', () => {
    // Id of the first section: length, then its bytes, version, length.
    const lengthAt = 16 + 2 + 3 + 4;
    const huge = resealed(writeState(sections), (bytes) =>
      bytes.fill(0xff, lengthAt, lengthAt + 4),
    );
    expect(refusal(() => readState(huge)).message).toMatch(/section 0, length: the state is cut/);
    const many = resealed(writeState(sections), (bytes) => bytes.fill(0xff, 12, 16));
    expect(refusal(() => readState(many)).message).toMatch(/sections: 4294967295 is larger/);
    const fewer = resealed(writeState(sections), (bytes) => {
      bytes[12] = 1;
    });
    expect(refusal(() => readState(fewer)).message).toMatch(/left over/);
  });

  it('refuses a section that is there twice', () => {
    const twice = writeState([sections[0]!, sections[0]!]);
    expect(refusal(() => readState(twice)).message).toBe("section 'one': is there twice");
  });
});

describe('fields', () => {
  const field = fc.oneof(
    fc.nat(255).map((value) => ['u8', value] as const),
    fc.nat(65535).map((value) => ['u16', value] as const),
    fc.nat(0xffff_ffff).map((value) => ['u32', value] as const),
    fc.maxSafeNat().map((value) => ['u64', value] as const),
    fc.boolean().map((value) => ['bool', value] as const),
    fc.string({ unit: 'grapheme', maxLength: 40 }).map((value) => ['text', value] as const),
    fc.uint8Array({ maxLength: 600 }).map((value) => ['blob', value] as const),
  );

  function write(writer: StateWriter, [kind, value]: readonly [string, unknown]): void {
    (writer[kind as 'u8'] as (value: never) => unknown)(value as never);
  }

  function read(reader: StateReader, kind: string): unknown {
    if (kind === 'text') return reader.text('field', 4096);
    if (kind === 'blob') return reader.blob('field', 4096).slice();
    return (reader[kind as 'u8'] as (field: string) => unknown)('field');
  }

  it('VM-7 what is got is what was put, for any list of fields', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 30 }), (fields) => {
        const writer = new StateWriter();
        for (const one of fields) write(writer, one);
        const reader = new StateReader(writer.bytes.slice());
        expect(fields.map(([kind]) => read(reader, kind))).toEqual(fields.map(([, v]) => v));
        reader.end();
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it('names section and field of what is cut off, too large, or no text', () => {
    const reader = (...bytes: number[]) => new StateReader(Uint8Array.from(bytes), 'disk');
    const cut = refusal(() => reader(1, 2, 3).u32('features'));
    expect([cut.section, cut.field, cut.code]).toEqual(['disk', 'features', 'EFORMAT']);
    expect(cut.message).toBe("section 'disk', features: the state is cut off here");
    expect(reader(5).upTo('size', 1, 5)).toBe(5);
    expect(refusal(() => reader(6).upTo('size', 1, 5)).message).toMatch(/6 is larger than 5/);
    expect(refusal(() => reader(2).bool('on')).code).toBe('EINVAL');
    expect(refusal(() => reader(1, 0, 0xff).text('name', 9)).message).toMatch(/no text/);
    expect(reader(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0).u64('n')).toBe(2 ** 53 - 1);
    const wide = reader(0, 0, 0, 0, 0, 0, 0x20, 0);
    expect(refusal(() => wide.u64('n')).code).toBe('EINVAL');
  });
});

describe('MachineState', () => {
  const order: string[] = [];
  const part = (name: string, version = 1): StateHandler => ({
    version,
    save: (writer) => void writer.text(name),
    load: (reader) => {
      const value = reader.text('value', 99);
      return () => void order.push(`${name}: ${value}`);
    },
  });

  it('reads and checks all sections before it changes anything', () => {
    const saved = new MachineState();
    saved.add('a', part('first'));
    saved.add('b', part('second'));
    const bytes = saved.save() as Uint8Array;
    const bad = new MachineState();
    bad.add('a', part('x'));
    bad.add('b', {
      ...part('y'),
      load: (reader) => reader.fail('EMISMATCH', 'size', 'differs'),
    });
    order.length = 0;
    expect(refusal(() => bad.load(bytes)).message).toBe("section 'b', size: differs");
    expect(order).toEqual([]);
    const good = new MachineState();
    good.add('b', part('y'));
    good.add('a', part('x'));
    void good.load(bytes)();
    expect(order).toEqual(['y: second', 'x: first']);
  });

  it('refuses sections that are missing, unknown, newer, or longer than what is read of them', () => {
    const make = (...parts: [string, StateHandler][]) => {
      const state = new MachineState();
      for (const [id, handler] of parts) state.add(id, handler);
      return state;
    };
    const bytes = make(['a', part('a', 3)]).save() as Uint8Array;
    expect(refusal(() => make().load(bytes)).message).toMatch(/'a': this machine has nothing/);
    const two = make(['a', part('a', 3)], ['b', part('b')]);
    expect(refusal(() => two.load(bytes)).message).toMatch(/'b': the state has nothing/);
    expect(refusal(() => make(['a', part('a', 2)]).load(bytes)).code).toBe('EVERSION');
    const short = make(['a', { ...part('a', 3), load: () => () => {} }]);
    expect(refusal(() => short.load(bytes)).message).toMatch(/3 bytes are left over/);
    expect(() => two.add('a', part('a'))).toThrow("a section 'a' is saved already");
  });

  it('one section is refused while another takes its time: nothing is left that nobody hears of', async () => {
    const state = new MachineState();
    const load = () => () => {};
    const late = () => new Promise<void>((_, reject) => setImmediate(reject, new Error('late')));
    state.add('late', { version: 1, save: late, load });
    state.add('busy', {
      version: 1,
      save: () => {
        throw new StateError('EBUSY', 'busy');
      },
      load,
    });
    expect(() => state.save()).toThrow('busy');
    const unheard: unknown[] = [];
    const hear = (error: unknown) => unheard.push(error);
    process.on('unhandledRejection', hear);
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.off('unhandledRejection', hear);
    expect(unheard).toEqual([]);
  });

  it('waits for what takes its time, one after the other', async () => {
    const state = new MachineState();
    const later = (name: string): StateHandler => ({
      ...part(name),
      save: async (writer) => {
        await null;
        writer.text(name);
      },
      load: (reader) => {
        reader.text('value', 99);
        return async () => {
          await null;
          order.push(name);
        };
      },
    });
    state.add('a', later('a'));
    const remove = state.add('gone', later('gone'));
    state.add('b', later('b'));
    remove();
    order.length = 0;
    await state.load(await state.save())();
    expect(order).toEqual(['a', 'b']);
  });
});
