/**
 * What the release modules may be made of: code, and nothing that a second instance over the same
 * memory could disturb, or that a Node 20 miscompiles.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import binaryen from 'binaryen';
import { describe, expect, it } from 'vitest';

const SECTIONS: Record<number, string> = {
  0: 'custom',
  1: 'type',
  2: 'import',
  3: 'function',
  4: 'table',
  5: 'memory',
  6: 'global',
  7: 'export',
  8: 'start',
  9: 'element',
  10: 'code',
  11: 'data',
  12: 'datacount',
};

/** Names of a module's sections, in order. */
function sectionsOf(bytes: Uint8Array): string[] {
  const names: string[] = [];
  let at = 8;
  const leb = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] as number;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    names.push(SECTIONS[bytes[at++] as number] ?? 'unknown');
    const length = leb();
    at += length;
  }
  return names;
}

/** Names of the instructions that the disassembly shows. */
function instructionsOf(bytes: Uint8Array): Set<string> {
  const module = binaryen.readBinaryWithFeatures(bytes, binaryen.Features.All);
  const names = module.emitText().matchAll(/\(([a-z0-9_]+\.[a-z0-9_.]+)/g);
  const found = new Set(Array.from(names, (match) => match[1] as string));
  module.dispose();
  return found;
}

function assemble(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  module.setFeatures(binaryen.Features.All);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

const waits = (bytes: Uint8Array): string[] =>
  [...instructionsOf(bytes)].filter((name) => name.includes('wait'));

describe.each([
  ['core.wasm', false],
  ['core.shared.wasm', true],
])('%s', (name, shared) => {
  const bytes = readFileSync(fileURLToPath(new URL(`../../build/${name}`, import.meta.url)));

  it('has the sections type, import, function, export and code, and no other', () => {
    expect(sectionsOf(bytes)).toEqual(['type', 'import', 'function', 'export', 'code']);
  });

  it('imports env.memory and nothing else, of its own kind', () => {
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
    expect(imports).toEqual([{ module: 'env', name: 'memory', kind: 'memory' }]);
    const memory = new WebAssembly.Memory({ initial: 0, maximum: 65536, shared });
    expect(
      () => new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } }),
    ).not.toThrow();
  });

  it('never sleeps: Node 20 miscompiles the wait instructions', () => {
    expect(waits(bytes)).toEqual([]);
  });

  it('orders by atomics', () => {
    const names = instructionsOf(bytes);
    expect(names).toContain('i32.atomic.load16_u');
    expect(names).toContain('i32.atomic.store16');
  });

  it('stays under 20 kB', () => {
    expect(bytes.length).toBeLessThan(20_000);
  });
});

it('only atomics.ts names atomic instructions: an exploration build swaps that file alone', () => {
  const folder = fileURLToPath(new URL('../../assembly/', import.meta.url));
  const names = readdirSync(folder).filter((name) => name.endsWith('.ts'));
  const using = names.filter((name) => {
    return /\batomic\.[a-z]+[<(]/.test(readFileSync(join(folder, name), 'utf8'));
  });
  expect(using).toEqual(['atomics.ts']);
});

describe('the scan itself', () => {
  const memory = '(import "env" "memory" (memory 1 1 shared))';

  it('finds a wait', () => {
    const wait = '(memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0))';
    const bytes = assemble(`(module ${memory} (func (export "f") (result i32) ${wait}))`);
    expect(waits(bytes)).toEqual(['memory.atomic.wait32']);
  });

  it('finds data, globals, tables and a start function', () => {
    const parts = '(data (i32.const 8) "x") (global (mut i32) (i32.const 0)) (table 1 funcref)';
    const bytes = assemble(`(module ${memory} ${parts} (func $s) (start $s))`);
    expect(sectionsOf(bytes)).toEqual(expect.arrayContaining(['data', 'global', 'table', 'start']));
  });
});
