/** Which engine runs, why, and that it is the one that says so. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Core, type CoreOptions } from '#src/engine/core';
import { ArrayMemory } from '#src/engine/linear-memory';
import { createQueue } from '#src/engine/queue-memory';
import { QUEUE_NUM } from '#src/layout';

const bytes = readFileSync(fileURLToPath(new URL('../../build/core.wasm', import.meta.url)));
const module = new WebAssembly.Module(bytes);

/** A function of a wasm module prints as native code; one of TypeScript prints its source. */
function isCompiled(core: Core): boolean {
  return /\[native code\]/.test(Function.prototype.toString.call(core.engine.queuePop));
}

/** Enables a ring: the engine that runs can do work. */
function works(core: Core): void {
  const queue = createQueue(core, 8);
  expect(core.engine.queueEnable(queue.address, 8, 0, 0, 0, 0x1000, 0, 0x2000, 0)).toBe(0);
  expect(core.u32[(queue.address + QUEUE_NUM) >>> 2]).toBe(8);
  queue.free();
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('the engine that runs', () => {
  const cases: [string, CoreOptions, 'wasm' | 'js', RegExp][] = [
    ['auto with a module is wasm', { module }, 'wasm', /module was given/],
    ['auto with bytes is wasm', { engine: 'auto', module: bytes }, 'wasm', /module was given/],
    ['wasm is wasm', { engine: 'wasm', module }, 'wasm', /asked for/],
    ['js is js, module or not', { engine: 'js', module }, 'js', /asked for/],
    ['auto without a module is js', {}, 'js', /no module/],
    [
      'auto with guest memory of its own is js',
      { module, ram: new ArrayMemory(1) },
      'js',
      /buffer of its own/,
    ],
    [
      'auto on memory that is no WebAssembly.Memory is js',
      { module, memory: new ArrayMemory(1) },
      'js',
      /no WebAssembly.Memory/,
    ],
  ];

  it.each(cases)('%s', async (_name, options, kind, reason) => {
    for (const core of [
      await Core.open({ ramBytes: 65536, ...options }),
      Core.openSync({ ramBytes: 65536, ...options }),
    ]) {
      expect(core.choice.engine).toBe(kind);
      expect(core.choice.reason).toMatch(reason);
      expect(core.engine.kind).toBe(kind);
      expect(isCompiled(core)).toBe(kind === 'wasm');
      works(core);
    }
  });

  it('is js, on plain memory, where WebAssembly does not exist', async () => {
    vi.stubGlobal('WebAssembly', undefined);
    const core = await Core.open({ module: bytes, ramBytes: 65536 });
    expect(core.choice).toEqual({ engine: 'js', reason: 'this platform has no WebAssembly' });
    expect(core.memory).toBeInstanceOf(ArrayMemory);
    works(core);
    const before = core.memory.buffer;
    core.allocate(1 << 20);
    expect(core.memory.buffer).not.toBe(before); // grown, and the engine follows
    works(core);
  });

  it('is js where the platform forbids to compile, if auto was asked for', async () => {
    const forbid = (): never => {
      throw new WebAssembly.CompileError('Wasm code generation disallowed by embedder');
    };
    vi.spyOn(WebAssembly, 'compile').mockImplementation(forbid);
    const core = await Core.open({ module: bytes });
    expect(core.choice).toEqual({
      engine: 'js',
      reason: 'the platform forbids to compile WebAssembly',
    });
    await expect(Core.open({ engine: 'wasm', module: bytes })).rejects.toMatchObject({
      code: 'EMODULE',
    });
    vi.restoreAllMocks();
  });

  it('compiles nothing if it is given a compiled module', async () => {
    const compile = vi.spyOn(WebAssembly, 'compile');
    const core = await Core.open({ engine: 'wasm', module });
    expect(core.engine.kind).toBe('wasm');
    expect(compile).not.toHaveBeenCalled();
    vi.restoreAllMocks();
  });

  it('runs a module of another realm, which instanceof does not know', async () => {
    vi.stubGlobal(
      'WebAssembly',
      new Proxy(WebAssembly, {
        get: (target, name) => (name === 'Module' ? class Module {} : Reflect.get(target, name)),
      }),
    );
    const core = await Core.open({ engine: 'wasm', module, ramBytes: 65536 });
    expect(isCompiled(core)).toBe(true);
    works(core);
  });
});

describe('what cannot be had is refused by name', () => {
  it.each<[string, CoreOptions, RegExp]>([
    ['wasm without a module', { engine: 'wasm' }, /no module was given/],
    [
      'wasm on plain memory',
      { engine: 'wasm', module, memory: new ArrayMemory(1) },
      /no WebAssembly.Memory/,
    ],
    [
      'wasm with guest memory of its own',
      { engine: 'wasm', module, ram: new ArrayMemory(1) },
      /buffer of its own/,
    ],
  ])('%s', async (_name, options, message) => {
    await expect(Core.open(options)).rejects.toMatchObject({
      name: 'CoreError',
      code: 'ENOTSUP',
      message: expect.stringMatching(message),
    });
    expect(() => Core.openSync(options)).toThrow(message);
  });

  it('an engine that does not exist', () => {
    const options = { engine: 'native' } as unknown as CoreOptions;
    expect(() => Core.openSync(options)).toThrow(
      /no engine is called native: auto, wasm and js are/,
    );
  });
});
