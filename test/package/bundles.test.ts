/** The bundles that the package's entries are: what they reach, and that each thing exists once. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { readmeBlocks } from '../rules/readme-blocks.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dist = join(root, 'build/dist');
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const CHROMIUM = '/usr/bin/chromium';

/** What a bundle imports as it is loaded: files of the package, and bare names. */
function closure(entry: string): { files: Set<string>; bare: Set<string> } {
  const files = new Set<string>();
  const bare = new Set<string>();
  const visit = (file: string): void => {
    if (files.has(file)) return;
    files.add(file);
    const text = readFileSync(file, 'utf8');
    for (const [, from, alone] of text.matchAll(
      /^(?:import|export)\s[^;]*?from ?["']([^"']+)["']|^import ?["']([^"']+)["']/gm,
    )) {
      const target = (from ?? alone) as string;
      if (target.startsWith('.')) visit(join(dirname(file), target));
      else bare.add(target);
    }
  };
  visit(entry);
  return { files, bare };
}

const names = ({ files }: { files: Set<string> }) => [...files].map((file) => basename(file));
const bundle = (name: string) => join(root, exports[name].default);

function runInNode(script: string): string {
  return execFileSync('node', ['--input-type=module', '--eval', script], {
    cwd: root, // a package may import itself by name
    encoding: 'utf8',
  });
}

describe('the bundles', () => {
  it.each(['.', './web', './v86', './io-thread', './file-driver', './driver-suite'])(
    '%s is complete, and reaches no module of Node',
    (name) => expect([...closure(bundle(name)).bare]).toEqual([]),
  );

  it('vblk and vblk/node load a handful of files, and the file driver later', () => {
    const loaded = new Set([...names(closure(bundle('.'))), ...names(closure(bundle('./node')))]);
    expect(loaded.size).toBeLessThan(8);
    expect(loaded).not.toContain(basename(bundle('./file-driver')));
    expect(readdirSync(dist)).toContain(basename(bundle('./file-driver')));
  });

  it('hold each class and each registry once, whichever entries are imported', () => {
    const printed = runInNode(`
      import { BlockError, driverNames, openDriver, OptionError, Core } from 'vblk';
      import { openCore } from 'vblk/node';
      import { fileDriver } from 'vblk/file-driver';
      const core = await openCore({ ramBytes: 65536 });
      const caught = (promise) => promise.then(() => null, (error) => error);
      const refuse = async () => { throw Object.assign(new Error(), { code: 'ENOENT' }) };
      const host = new Proxy({}, { get: (_, key) => key === 'then' ? undefined : refuse });
      console.log(JSON.stringify([
        core instanceof Core,
        driverNames().includes('file'),
        (await caught((async () => fileDriver(host)(core, {}, { main: true }))()))
          instanceof OptionError,
        (await caught((async () => openDriver(core, {
          driver: 'file', options: { filename: '/no/such/folder/disk' },
        }))())) instanceof BlockError,
      ]));`);
    expect(JSON.parse(printed)).toEqual([true, true, true, true]);
  });

  it('have maps that lead to the sources', () => {
    for (const name of readdirSync(dist).filter((file) => file.endsWith('.js'))) {
      if (!/^(?!import|export)\S/m.test(readFileSync(join(dist, name), 'utf8'))) continue;
      const map = JSON.parse(readFileSync(join(dist, `${name}.map`), 'utf8'));
      expect(map.sources.length, name).toBeGreaterThan(0);
      for (const source of map.sources)
        expect(source).toMatch(
          /^\.\.\/\.\.\/(src\/.+\.ts|node_modules\/@assemblyscript\/loader\/index\.js)$/,
        );
      expect(map.sourcesContent).toHaveLength(map.sources.length);
    }
  });

  it.skipIf(!existsSync(CHROMIUM) && !process.env['CI'])(
    "run README's first example in Chromium, with the module from beside them",
    async () => {
      const example = readmeBlocks().find(({ language }) => language === 'js')?.text ?? '';
      const script = example.replace('vblk/node', 'vblk/web');
      const imports = {
        vblk: exports['.'].default.slice(1),
        'vblk/web': exports['./web'].default.slice(1),
      };
      const body =
        `<script type="importmap">${JSON.stringify({ imports })}</script>` +
        `<script type="module">${script}</script>`;
      const args = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run'];
      const browser = await chromium.launch({ executablePath: CHROMIUM, args });
      try {
        const page = await browser.newPage();
        await page.route('http://vblk.test/**', (route) => {
          const path = new URL(route.request().url()).pathname;
          if (path === '/') return route.fulfill({ contentType: 'text/html', body });
          return route.fulfill({ path: join(root, path) });
        });
        const said = new Promise<string>((resolve) => {
          page.on('console', (message) => resolve(message.text()));
          page.on('pageerror', (error) => resolve(String(error)));
        });
        await page.goto('http://vblk.test/');
        expect(await said).toBe('hello from the ring');
      } finally {
        await browser.close();
      }
    },
  );
});
