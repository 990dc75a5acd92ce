/** edge-runtime with code generation off, running `edge.js` and the build as one script. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import type { Edge } from './edge-suite.ts';
import { packageExport } from './package-exports.ts';

const require = createRequire(import.meta.url);
const CONDITIONS = ['edge-light', 'worker', 'import'];
/** The global that holds the compiled module: the host compiles, the handler only instantiates. */
const CORE = 'vblkCoreModule';

/** One script: `edge.js`, the library, and no import left. */
async function bundle(root: string): Promise<string> {
  const entry = join(root, packageExport(root, '.', CONDITIONS));
  const build = await rolldown({
    input: fileURLToPath(new URL('edge.js', import.meta.url)),
    platform: 'browser',
    resolve: { conditionNames: CONDITIONS },
    plugins: [
      {
        name: 'vblk',
        resolveId(source) {
          if (source === 'vblk') return entry;
          return source.endsWith('core.wasm') ? CORE : null;
        },
        load(id) {
          return id === CORE ? `export default globalThis.${CORE};` : null;
        },
      },
    ],
    onLog(level, log) {
      if (level === 'warn') throw new Error(log.message);
    },
  });
  const { output } = await build.generate({ format: 'iife' });
  await build.close();
  if (output.length !== 1) throw new Error(`the bundle has ${output.length} files`);
  return output[0].code;
}

/** Starts edge-runtime on the package at `root`. `evaluate` runs code beside the worker. */
export async function startEdgeRuntime(
  root: string,
): Promise<Edge & { evaluate(code: string): unknown }> {
  const { EdgeRuntime } = require('edge-runtime');
  const core = packageExport(root, './core.wasm', CONDITIONS);
  const module = await WebAssembly.compile(await readFile(join(root, core)));
  const runtime = new EdgeRuntime({
    codeGeneration: { strings: false, wasm: false },
    extend: (context: object) => Object.assign(context, { [CORE]: module }),
  });
  const evaluate = (code: string) => runtime.evaluate(code);
  evaluate(await bundle(root));
  return {
    fetch: (path, init) => runtime.dispatchFetch(`http://edge.test${path}`, init),
    close: async () => {},
    evaluate,
  };
}
