import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';

const bytes = (name: string) => readFileSync(new URL(`../../build/${name}`, import.meta.url));

describe('vblk/web', () => {
  it('fetches the module of the right kind, once, and says which engine runs', async () => {
    vi.resetModules();
    const asked: string[] = [];
    vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined); // as in a browser
    vi.stubGlobal('fetch', async (url: URL) => {
      asked.push(url.pathname.split('/').at(-1) as string);
      return new Response(bytes(asked.at(-1) as string));
    });
    try {
      const { openCore } = await import('#src/adapter/web');
      const cores = [await openCore(), await openCore(), await openCore({ shared: true })];
      expect(cores.map(({ choice, shared }) => [choice.engine, shared])).toEqual([
        ['wasm', false],
        ['wasm', false],
        ['wasm', true],
      ]);
      expect(asked).toEqual(['core.wasm', 'core.shared.wasm']);
      expect((await openCore({ engine: 'js' })).choice.engine).toBe('js');
      expect(asked).toHaveLength(2);
    } finally {
      vi.unstubAllGlobals();
      vi.restoreAllMocks();
    }
  });

  it('says what the server answered, and asks again the next time', async () => {
    vi.resetModules();
    let calls = 0;
    vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined);
    vi.stubGlobal('fetch', async () => {
      calls += 1;
      return calls === 1 ? new Response('', { status: 404 }) : new Response(bytes('core.wasm'));
    });
    try {
      const { openCore } = await import('#src/adapter/web');
      await expect(openCore()).rejects.toThrow(/core\.wasm answers 404/);
      expect((await openCore()).choice.engine).toBe('wasm');
    } finally {
      vi.unstubAllGlobals();
      vi.restoreAllMocks();
    }
  });
});
