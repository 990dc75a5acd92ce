import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { startEdgeRuntime } from './edge-runtime.ts';
import { edgeSuite } from './edge-suite.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const installed = existsSync(new URL('node_modules/edge-runtime', import.meta.url));

describe.skipIf(!installed && !process.env.CI)('edge-runtime (npm ci --prefix test/matrix)', () => {
  const edge = edgeSuite(() => startEdgeRuntime(root));

  it('is handed a module of another realm, which fails instanceof', () => {
    expect(edge().evaluate('vblkCoreModule instanceof WebAssembly.Module')).toBe(false);
    expect(edge().evaluate('Object.prototype.toString.call(vblkCoreModule)')).toBe(
      '[object WebAssembly.Module]',
    );
  });

  it('generates no code from strings', () => {
    expect(() => edge().evaluate('new Function("return 1")')).toThrow(/Code generation/);
  });
});
