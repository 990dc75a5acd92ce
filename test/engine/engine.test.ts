import { describe, expect, it } from 'vitest';
import type { Engine } from '#src/engine/engine';
import { ABI_VERSION, LAYOUT_SUM } from '#src/layout';
import { blkSuite } from './blk-suite.ts';
import { chainSuite } from './chain-suite.ts';
import { edgeSuite } from './edge-suite.ts';
import { engineSuite } from './engine-suite.ts';
import { contestants, coreModule, jsShared, Machine } from './machine.ts';
import { scsiSuite } from './scsi-suite.ts';

for (const contestant of contestants) engineSuite(contestant);

for (const contestant of contestants) {
  const between = { ...contestant, between: true };
  describe(`${contestant.name}, RAM between other regions`, () => {
    describe('chains', () => chainSuite(between));
    describe('edges', () => edgeSuite(between));
    describe('virtio-blk requests', () => blkSuite(between));
    describe('virtio-scsi commands', () => scsiSuite(between));
  });
}

describe('the engine under test is the one meant', () => {
  const isNative = (engine: Engine) => /\[native code\]/.test(String(engine.queuePop));
  const functionsOf = (engine: Engine) =>
    Object.keys(engine)
      .filter((name) => name !== 'kind')
      .sort();

  for (const contestant of [...contestants, jsShared]) {
    it(`${contestant.name}: kind, code and memory`, () => {
      const { engine, state, ram } = new Machine(contestant);
      expect(engine.kind).toBe(contestant.kind);
      // What a module exports is native code; what tsc made can be read.
      expect(isNative(engine)).toBe(contestant.kind === 'wasm');
      expect(state.buffer instanceof SharedArrayBuffer).toBe(contestant.shared);
      expect(state === ram).toBe(contestant.name !== 'js, two plain buffers');
    });

    it(`${contestant.name}: was compiled with this layout`, () => {
      const { engine } = new Machine(contestant);
      expect([engine.abi() >>> 0, engine.layoutSum() >>> 0]).toEqual([ABI_VERSION, LAYOUT_SUM]);
    });
  }

  it('both engines have the same functions, and the module has no other exports', () => {
    const [wasm, js] = [contestants[0]!, jsShared].map((c) => new Machine(c).engine);
    expect(functionsOf(wasm!)).toEqual(functionsOf(js!));
    for (const shared of [false, true]) {
      const names = WebAssembly.Module.exports(coreModule(shared)).map(({ name }) => name);
      expect(names.sort()).toEqual(functionsOf(js!));
    }
  });
});
