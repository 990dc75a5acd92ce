/**
 * Compiles assembly/ as for a release, but with functions that call out in the place of
 * assembly/atomics.ts. `npm run mutate` does that in its own, warm process and leaves the module's
 * path in VBLK_STEPPED_MODULE; else it is compiled here, in memory.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import asc from 'assemblyscript/asc';

const ATOMICS = 'assembly/atomics.ts';

/** The file with the body of each function gone, and the function imported instead. */
function withoutBodies(source) {
  return source
    .replaceAll('\n@inline', '')
    .replace(/export function (\w+)(\([^)]*\): \w+) \{[^}]*\}/g, (_, name, signature) => {
      return `@external("atomics", "${name}")\nexport declare function ${name}${signature};`;
    });
}

/** Bytes of the module made from the assembly/ folder in `root`. */
export async function compileStepped(root) {
  let binary;
  const { error, stderr } = await asc.main(['assembly/index.ts', '--target', 'release'], {
    readFile: async (name) => {
      const text = await readFile(join(root, name), 'utf8').catch(() => null);
      return text !== null && name === ATOMICS ? withoutBodies(text) : text;
    },
    writeFile: (name, contents) => {
      if (name.endsWith('.wasm')) binary = new Uint8Array(contents);
    },
    listFiles: () => null,
  });
  if (error || !binary) throw new Error(`asc: ${error?.message}\n${stderr}`);
  return binary;
}

/** The module, ready made or compiled now. */
export async function steppedModule(root) {
  const made = process.env['VBLK_STEPPED_MODULE'];
  return new WebAssembly.Module(made ? await readFile(made) : await compileStepped(root));
}
