/**
 * The package's entries as bundles: a hundred small modules cost Node 0.4 ms each to load. The
 * input is tsc's output, so that what is shipped is what the tests ran. All entries are made at
 * once and share chunks: a class or a registry exists once, whichever entries a program imports.
 *
 * The bundles lie one folder below build/, as the rooms do, and a Worker's entry is called what its
 * module is called: relative to `import.meta.url` a file is found alike in both layouts.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { defineConfig } from 'rolldown';

const { bin, exports } = JSON.parse(readFileSync('package.json', 'utf8'));

/** package.json names each entry's bundle, and by its types the module that it is made from. */
const entries = Object.values(exports)
  .filter(({ types }) => types)
  .map(({ types, default: bundle }) => [basename(bundle, '.js'), types.replace('.d.ts', '.js')]);

/** Entries of Workers that nobody imports by name: `assets.ts` finds them beside itself. */
const workers = ['node-thread-entry', 'pool-entry'].map((name) => [
  name,
  `./build/adapter/${name}.js`,
]);

/** Hands tsc's maps on, so that the maps of the bundles lead to src/. */
const sourceMaps = {
  name: 'source-maps',
  load(id) {
    const map = `${id}.map`;
    if (!existsSync(map)) return null;
    return { code: readFileSync(id, 'utf8'), map: readFileSync(map, 'utf8') };
  },
};

export default defineConfig({
  input: {
    ...Object.fromEntries([...entries, ...workers]),
    [basename(bin.vblk, '.js')]: './build/cli/main.js',
  },
  // The loader is bundled (see NOTICE): an import map, which would find it for a page, does not
  // reach the page's Workers.
  external: [/^node:/],
  platform: 'neutral',
  plugins: [sourceMaps],
  output: {
    dir: 'build/dist',
    chunkFileNames: '[name].js',
    sourcemap: true,
    codeSplitting: {
      // What two entries need is one file. Only adapters and the command may name a platform, and
      // stay outside: nothing of Node's reaches a browser through it.
      groups: [{ name: 'shared', test: /[\\/]build[\\/](?!adapter|cli)/, minShareCount: 2 }],
    },
  },
});
