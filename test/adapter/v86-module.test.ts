import { describe, expect, it } from 'vitest';
import { withSharedMemory } from '#src/adapter/v86-module';
import { sharedWasm } from '#src/adapter/v86-shared';

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const leb = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >>> 7)]);
const text = (name: string) => [name.length, ...new TextEncoder().encode(name)];
const section = (id: number, contents: number[]) => [id, ...leb(contents.length), ...contents];
const module = (...sections: number[][]) => Uint8Array.from([...HEADER, ...sections.flat()]);

const memory = (...limits: number[]) => section(5, [1, ...limits]);
/** Type 0 is () -> (). */
const types = section(1, [1, 0x60, 0, 0]);
const imports = (...entries: number[][]) => section(2, [entries.length, ...entries.flat()]);
const importedMemory = (...limits: number[]) => [...text('e'), ...text('m'), 2, ...limits];
const importedFunction = (name: string) => [...text('e'), ...text(name), 0, 0];
const importedTable = (...limits: number[]) => [...text('e'), ...text('t'), 1, 0x70, ...limits];
const importedGlobal = [...text('e'), ...text('g'), 3, 0x7f, 0];
/** Exports memory 0 as `memory`. */
const exported = section(7, [1, ...text('memory'), 2, 0]);

/** Compiles it and says what its memory is. */
async function instantiate(bytes: Uint8Array<ArrayBuffer>, m?: WebAssembly.Memory) {
  const compiled = await WebAssembly.compile(bytes);
  const t = new (WebAssembly as unknown as { Table: new (descriptor: object) => unknown }).Table({
    element: 'anyfunc',
    initial: 2,
    maximum: 300,
  });
  const given = { e: { m, f: () => {}, g: 1, t } };
  const { exports } = await WebAssembly.instantiate(compiled, given);
  return exports['memory'] as WebAssembly.Memory;
}

describe('module whose memory is made shared', () => {
  it.each([
    ['without a maximum', [0, 2]],
    ['with one', [1, 2, 200, 1]],
    ['with numbers of two bytes', [1, 0x82, 0, 200, 1]],
  ])('its own memory, %s', async (_, limits) => {
    const own = await instantiate(withSharedMemory(module(memory(...limits), exported), 300));
    expect(own.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(own.grow(298)).toBe(2);
    expect(() => own.grow(1)).toThrow(RangeError);
  });

  it('one that it imports, among all kinds of imports', async () => {
    const bytes = module(
      types,
      imports(
        importedFunction('f'),
        importedTable(0, 1),
        importedTable(1, 1, 172, 2),
        importedGlobal,
        importedMemory(0, 2),
        importedFunction('f'),
      ),
      exported,
      section(0, [...text('behind'), 1, 2, 3]),
    );
    const given = new WebAssembly.Memory({ initial: 2, maximum: 300, shared: true });
    const shared = withSharedMemory(bytes, 300);
    expect(await instantiate(shared, given)).toBe(given);
    expect([...shared.subarray(-3)]).toEqual([1, 2, 3]);
  });

  it('a section whose size takes one byte more than before', async () => {
    // 126 bytes of contents become 128.
    const name = 'x'.repeat(119);
    const padded = [...text('e'), ...text(name), 2, 0, 2];
    expect(imports(padded)[1]).toBe(126);
    const bytes = withSharedMemory(module(imports(padded), exported), 300);
    expect([...bytes.subarray(9, 11)]).toEqual([0x80, 1]);
    await WebAssembly.compile(bytes);
  });

  it.each([
    ['no module', Uint8Array.of(1, 2, 3, 4, 1, 0, 0, 0), 'no WebAssembly module'],
    ['too short', Uint8Array.of(0, 0x61, 0x73), 'too short'],
    ['no memory', module(types), '0 memories'],
    ['two memories', module(imports(importedMemory(0, 1)), memory(0, 1)), '2 memories'],
    ['shared already', module(memory(3, 1, 2)), 'shared already'],
    ['of 64-bit addresses', module(memory(4, 1)), 'unknown kind 4'],
    ['larger at least than it may be', module(memory(0, ...leb(301))), 'needs 301 pages'],
    ['cut off', module(memory(0, 1)).subarray(0, -1), 'behind the module'],
    ['a section that lies', module(section(5, [1, 0, 1, 9])), 'as long as it says'],
    ['an unknown import', module(imports([...text('e'), ...text('x'), 9])), 'unknown kind 9'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => withSharedMemory(bytes, 300)).toThrow(message);
  });

  it('takes a memory that is as large at least as it may be', () => {
    expect(() => withSharedMemory(module(memory(0, ...leb(300))), 300)).not.toThrow();
  });
});

describe('sharedWasm', () => {
  const table = { length: 1924 };

  it('names a v86 that it does not know', async () => {
    const bytes = module(memory(0, 1), exported);
    const other = { env: { codegen_finalize() {}, __indirect_function_table: { length: 8 } } };
    await expect(sharedWasm(bytes)(other)).rejects.toThrow('this version of v86');
    await expect(sharedWasm(bytes)({ env: {} })).rejects.toThrow('this version of v86');
    const env = { codegen_finalize() {}, __indirect_function_table: table };
    await expect(sharedWasm(bytes)({ env })).rejects.toThrow('codegen_finalize_finished');
  });

  it('names bytes that are no module', async () => {
    const env = { codegen_finalize() {}, __indirect_function_table: table };
    await expect(sharedWasm(new ArrayBuffer(16))({ env })).rejects.toThrow('no WebAssembly module');
  });
});
